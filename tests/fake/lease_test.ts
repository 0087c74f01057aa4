/** The memory of a command in flight, without a kernel. */

import { assertEquals } from "@std/assert";
import * as op from "../../cmd/op.ts";
import { Lease } from "../../ring/flight/lease.ts";

Deno.test("bytes that are counted and were not written are the caller's own", () => {
  for (const byteLength of [1, 100, 4096, 100_000]) {
    const secret = new Lease();
    const others = new Uint8Array(byteLength).fill(0x53);
    secret.take(op.write(0, others));
    secret.give();
    for (const make of [op.read, op.recv]) {
      const lease = new Lease();
      const into = new Uint8Array(byteLength).fill(0xee);
      const command = make(0, into);
      lease.take(command);
      lease.copyOut(command, byteLength);
      lease.give();
      assertEquals(into.findIndex((byte) => byte !== 0xee), -1);
    }
  }
});
