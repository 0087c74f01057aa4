/** io_uring_register(): what the kernel is given, and what its answers mean. */

import { assert, assertEquals, assertFalse } from "@std/assert";
import { stub } from "@std/testing/mock";
import * as register from "../../ring/bare/register.ts";
import { setup } from "../../ring/bare/setup.ts";
import { libc } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";

/** Makes a call for no ring, and returns the bytes that the kernel was given. */
function given(count: number, call: (ring: number) => number): number[] {
  const { bytes } = scratch();
  bytes.fill(0xee); // What an earlier call has left.
  assertEquals(call(2 ** 31 - 1), -E.EBADF);
  return [...bytes.subarray(0, count)];
}

Deno.test("what the kernel reserves is zero in restrictions and updates", () => {
  const restrictions = given(
    32,
    (ring) => register.registerRestrictions(ring, [[1, 46], [3, 4]]),
  );
  const twelve = new Array(12).fill(0);
  assertEquals(restrictions, [1, 0, 46, 0, ...twelve, 3, 0, 4, 0, ...twelve]);
  const ringFd = given(16, register.registerRingFd);
  assertEquals(ringFd.slice(4, 8), [0, 0, 0, 0]);
  const file = given(16, (ring) => register.updateFile(ring, 7, 5));
  assertEquals(file.slice(0, 8), [7, 0, 0, 0, 0, 0, 0, 0]);
});

Deno.test("an opcode that the kernel lists as unsupported is not among those it has", () => {
  const { io_uring_probe: probe, io_uring_probe_op: entry } = uapi;
  const ring = setup({ entries: 1 });
  const { symbols } = libc();
  const real = symbols.call;
  const missing = uapi.IORING_OP_READ;
  assert(register.probeOpcodes(ring.fd).has(missing));
  {
    using _built = stub(symbols, "call", (...args) => {
      const rc = real(...args);
      const at = sizeof(probe) + missing * sizeof(entry);
      entry.flags.set(scratch().view, at, 0);
      return rc;
    });
    const opcodes = register.probeOpcodes(ring.fd);
    assertFalse(opcodes.has(missing));
    assert(opcodes.has(uapi.IORING_OP_WRITE));
  }
  ring.close();
});
