/**
 * io_uring passthrough commands for Deno: commands that only one kind of file
 * understands, each answered by a promise. C programs send such commands with the
 * system call ioctl(). This library sends them through io_uring: many share one
 * system call, and no thread waits for them. It is TypeScript over the `syscall`
 * and `mmap` of libc, without native code to compile.
 *
 * The files are sockets, block devices, drives that speak NVMe (solid state drives)
 * or SCSI (most other disks and tapes), files on btrfs, and those of drivers of your
 * own.
 *
 * Requirements: Linux 5.19 or later on x86-64 or aarch64, Deno 2.7.12 or later,
 * and `--allow-ffi` without a path. That flag lets the program do whatever its
 * user can. Sockets have commands since Linux 6.6, options since 6.7, and block
 * devices commands since 6.12; {@linkcode probe} tells what the running kernel
 * has.
 *
 * Entry points:
 *
 * - `@uring/cmd`: `Ring`, `uringCmd` and `defineCommand` for any driver, `probe`
 * - `@uring/cmd/socket`: bytes in the queues, options, addresses, timestamps
 * - `@uring/cmd/block`: discard a range of a block device
 * - `@uring/cmd/nvme`: health (SMART) and other logs, features, reads, writes, zones,
 *   and any other command to an NVMe drive
 * - `@uring/cmd/scsi`: identity and product data (VPD), reads, writes, and any other
 *   SCSI command
 * - `@uring/cmd/btrfs`: encoded reads and writes of a btrfs file
 * - `@uring/cmd/fuse`: a directory whose files are what your functions return (FUSE)
 * - `@uring/cmd/ublk`: a block device whose contents are what your functions read and
 *   write
 * - `@uring/cmd/op`: the ordinary operations, such as open, read, connect and poll
 * - `@uring/cmd/raw`: the bare ring, as liburing has it
 * - `@uring/cmd/cli`: a tool for the shell, and drive health for Prometheus
 *
 * To see what this kernel can do, run the module itself:
 * `deno run --allow-ffi jsr:@uring/cmd`.
 *
 * @example Count the bytes that wait in a connection
 * ```ts
 * import { Ring } from "@uring/cmd";
 * import { siocinq, socketFd } from "@uring/cmd/socket";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * using client = await Deno.connect({ port: listener.addr.port });
 * using server = await listener.accept();
 * await client.write(new TextEncoder().encode("hello"));
 *
 * await using ring = Ring.open();
 * const fd = socketFd(server); // the descriptor that Deno keeps to itself
 * console.log(await ring.cmd(siocinq(fd)), "bytes wait to be read");
 * ```
 *
 * @module
 */

export { Ring } from "./ring/ring.ts";
export type { ChainOptions, CommandOptions, RingStats } from "./ring/ring.ts";
export type { Restrictions } from "./ring/restrict.ts";
export type { RingOptions } from "./ring/options.ts";
export { Completion } from "./ring/completion.ts";
export { FixedBuffer, FixedFile, Personality } from "./ring/registered.ts";
export { BufferRing, LentBuffer } from "./ring/buffer_ring.ts";
export type { Command, FileRef } from "./ring/command.ts";
export type { Memory, Operand } from "./ring/operand.ts";
export { type Advice, CommandError, UringError } from "./ring/errors.ts";
export { type Address, UnsafeAddress, unsafeAddress } from "./cmd/address.ts";
export { open, OpenFile, type OpenFileOptions } from "./cmd/open.ts";
export { uringCmd, type UringCmdFields } from "./cmd/uring_cmd.ts";
export {
  type CommandDefinition,
  type CommandMaker,
  defineCommand,
  type DefinedCommand,
  type Layout,
  type Read,
  type ValueOf,
  type Values,
  type Varying,
} from "./cmd/define_command.ts";
export { bytes, pointer, s32, s64, u16, u32, u64, u8 } from "./sys/struct.ts";
export { Field, type PointerField } from "./sys/struct.ts";
export {
  type Families,
  type FamilyName,
  type FamilyProbe,
  type Probe,
  probe,
} from "./cmd/probe.ts";

if (import.meta.main) {
  const { demo } = await import("./cmd/cli/demo.ts");
  Deno.exitCode = await demo();
}
