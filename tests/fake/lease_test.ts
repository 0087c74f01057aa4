/** The memory of a command in flight, without a kernel. */

import {
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import * as op from "../../cmd/op.ts";
import { alloc } from "../../ring/alloc.ts";
import { Lease } from "../../ring/flight/lease.ts";
import { operand } from "../../ring/operand.ts";
import { ADDR } from "../kit/commands.ts";
import { numbered } from "./fake.ts";

Deno.test("bytes that are counted and were not written are the caller's own", () => {
  for (const byteLength of [1, 100, 4096, 100_000]) {
    const secret = new Lease();
    const others = new Uint8Array(byteLength).fill(0x53);
    secret.take(op.write(0, others));
    secret.give();
    const into = new Uint8Array(byteLength).fill(0xee);
    for (const command of [op.read(0, into), op.recv(0, into)]) {
      const lease = new Lease();
      lease.take(command);
      lease.copyOut(command, byteLength);
      lease.give();
      assertEquals(into.findIndex((byte) => byte !== 0xee), -1);
    }
  }
});

Deno.test("a decoder gets memory of alloc() and arrays that the kernel writes themselves, and copies of others", () => {
  const read = alloc(8);
  const [written, copied] = [new Uint8Array(8), new Uint8Array(8)];
  const command = numbered(1, {
    operands: [
      operand(ADDR, { bytes: written, kernel: "writes" }),
      operand(48, { bytes: read, kernel: "reads" }),
      operand(56, { bytes: copied, kernel: "reads" }),
    ],
  });
  const lease = new Lease();
  lease.take(command);
  const [first, second, third] = lease.memories(command);
  assertStrictEquals(first, written);
  assertStrictEquals(second, read);
  assertEquals(third, copied);
  assertNotStrictEquals(third, copied);
  lease.give();
});
