/** Arrays of the program that are gone, or changed, when their command completes. */

import { assertEquals, assertRejects } from "@std/assert";
import { Ring, uringCmd, UringError } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import type { Command } from "../../ring/command.ts";
import { devNull, pipe, unixPair, writeSync } from "../kit/fds.ts";
import { turn } from "../kit/wait.ts";

const transfer = (bytes: Uint8Array<ArrayBuffer>) =>
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });

Deno.test("a command that was aborted rejects with the reason, although its array was transferred", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const bytes = new Uint8Array(64);
  const abort = new AbortController();
  const promise = ring.cmd(op.read(ends.left, bytes), abort);
  transfer(bytes);
  await turn();
  abort.abort("the reason");
  assertEquals(await promise.catch((error) => error), "the reason");
});

const REFUSED: [string, (bytes: Uint8Array, fd: number) => Command<unknown>][] =
  [
    ["EBADF", (bytes) => op.read(999_999, bytes)],
    [
      "EOPNOTSUPP",
      (bytes, fd) =>
        uringCmd({ fd, cmd_op: 0, addr: { bytes, kernel: "both" } }),
    ],
  ];
for (const [code, make] of REFUSED) {
  Deno.test(`a refusal with ${code} is told, although the array was transferred`, async () => {
    await using ring = Ring.open();
    using ends = pipe();
    const bytes = new Uint8Array(64);
    const promise = ring.cmd(make(bytes, ends.left));
    transfer(bytes);
    const error = await assertRejects(() => promise, UringError);
    assertEquals(error.code, code);
  });
}

Deno.test("a read of 0 bytes is one, although its array was transferred", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const bytes = new Uint8Array(64);
  const promise = ring.cmd(op.read(file.fd, bytes));
  transfer(bytes);
  assertEquals(await promise, 0);
});

Deno.test("a receive changes no byte that the kernel has not written", async () => {
  await using ring = Ring.open();
  using ends = unixPair(op.SOCK_DGRAM);
  const into = new Uint8Array(8);
  const flags = op.MSG_TRUNC;
  const abort = new AbortController();
  const aborted = ring.cmd(op.recv(ends.left, into, { flags }), abort);
  into.fill(7);
  await turn();
  abort.abort("the reason");
  assertEquals(await aborted.catch((error) => error), "the reason");
  assertEquals([...into], Array(8).fill(7));
  const received = ring.cmd(op.recv(ends.left, into, { flags }));
  await turn();
  into.fill(9);
  writeSync(ends.right, "\x01\x02");
  assertEquals(await received, 2);
  assertEquals([...into], [1, 2, 9, 9, 9, 9, 9, 9]);
});
