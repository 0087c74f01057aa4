/**
 * io_uring passthrough commands for Deno.
 *
 * Opens an io_uring and sends *file private commands* through it, which only the
 * file they are sent to understands: sockets, block devices, drivers. Everything
 * is TypeScript over `libc`'s `syscall` and `mmap`; there is nothing to compile.
 *
 * Run this module, and it says what the kernel and the process can do, and does
 * it: `deno run --allow-ffi jsr:@uring/cmd`.
 *
 * @example
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { siocinq, socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using conn = await Deno.connect({ port: listener.addr.port });
 * await using ring = Ring.open();
 * console.log(await ring.cmd(siocinq(socketFd(conn))), "bytes to read");
 * ```
 *
 * @module
 */

export { Ring } from "./ring/ring.ts";
export type { CommandOptions, Restrictions, RingStats } from "./ring/ring.ts";
export type { RingOptions } from "./ring/options.ts";
export { Completion } from "./ring/completion.ts";
export { FixedBuffer, FixedFile } from "./ring/registered.ts";
export type { Command, File } from "./ring/command.ts";
export type { Memory, Operand } from "./ring/operand.ts";
export { type Advice, UringError } from "./ring/errors.ts";
export { defineCommand } from "./cmd/define_command.ts";
export { type Address, UnsafeAddress, unsafeAddress } from "./cmd/address.ts";
export { uringCmd, type UringCmdFields } from "./cmd/uring_cmd.ts";
export type {
  CommandDefinition,
  Layout,
  Read,
  Values,
} from "./cmd/define_command.ts";
export { bytes, pointer, s32, s64, u16, u32, u64, u8 } from "./sys/struct.ts";
export { Field, type PointerField } from "./sys/struct.ts";
export { probe } from "./cmd/probe.ts";
export type { FamilyProbe, Probe } from "./cmd/probe.ts";

if (import.meta.main) {
  const { demo } = await import("./cmd/cli/demo.ts");
  Deno.exitCode = await demo();
}
