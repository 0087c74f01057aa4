/**
 * Ends loops of calls by the timeout of `node:vm`, which can cut any call short and
 * runs no `finally`, and prints a line for each thing that went wrong. The argument
 * is a name of {@linkcode LOOPS}.
 */

import { createContext, runInContext } from "node:vm";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { Command } from "../../ring/command.ts";
import { IORING_OP_NOP } from "../../sys/uapi/io_uring.ts";
import { pipe } from "../kit/fds.ts";
import { settles, sleep } from "../kit/wait.ts";

const ROUNDS = 60;
const PATTERN = 0x52;

/** Programs for the context. */
const LOOPS: Readonly<Record<string, string>> = {
  cmdSync: "for (let i = 0;; i++) ring.cmdSync(i % 3 ? reads[i % 64] : nop);",
  cmdAllSync: "for (let i = 0;; i++) ring.cmdAllSync(i % 2 ? nops : mixed);",
  cmd: `for (let i = 0;; i++) {
    expect(ring.cmd(i % 3 ? reads[i % 64] : nop));
    if (i % 16 === 0) ring.cmdSync(nop);
  }`,
  cmdAll: `for (let i = 0;; i++) {
    expect(ring.cmdAll(i % 2 ? nops : mixed, { signal }));
    if (i % 16 === 0) ring.cmdSync(nop);
  }`,
  link: `for (let i = 0;; i++) {
    for (const promise of ring.link(mixed)) expect(promise);
    if (i % 8 === 0) ring.cmdSync(nop);
  }`,
  decoder: `expect(ring.cmd(decoded)); ring.cmd(endless).catch(() => {});
    expect(ring.cmd(decoded)); ring.cmdSync(nop); for (;;);`,
  ownDecoder: "expect(ring.cmd(decoded)); ring.cmdSync(endless); for (;;);",
};

const [name] = Deno.args;
const problems = new Set<string>();
globalThis.addEventListener("error", (event) => {
  problems.add(`reported: ${event.message}`);
  event.preventDefault();
});

const source = Deno.makeTempFileSync();
Deno.writeFileSync(source, new Uint8Array(16).fill(PATTERN));
const ring = Ring.open();
const fd = ring.cmdSync(op.openat(source));
Deno.removeSync(source);
using blocker = pipe();
const free = ring.alloc(16);
const earlier = op.read(fd, free, { offset: 0 });
await Promise.all(Array.from({ length: 400 }, () => ring.cmd(earlier)));
free.fill(0);

const memory = ring.alloc(16 * 64);
const reads = Array.from(
  { length: 64 },
  (_, i) => op.read(fd, memory.subarray(16 * i, 16 * i + 16), { offset: 0 }),
);
const made = (decode: () => unknown) =>
  new Command({ name: "NOP", opcode: IORING_OP_NOP, decode });
const decoded = made(() => ({}));
let inside = false;
let calls = 0;
const endless = made(() => {
  calls++;
  while (inside); // Until the timeout.
});

for (let round = 0; round < ROUNDS && problems.size === 0; round++) {
  const report = (text: string) => problems.add(`round ${round}: ${text}`);
  const expected: Promise<unknown>[] = [];
  const expect = (promise: Promise<unknown>) => {
    promise.catch(() => {});
    expected.push(promise);
  };
  const abort = new AbortController();
  const { signal } = abort;
  for (let i = 0; i < [0, 3, 6, 8][round % 4]; i++) {
    expect(ring.cmd(op.read(blocker.left, new Uint8Array(1)), { signal }));
  }
  const nop = op.nop();
  const never = round % 2 === 0 ? undefined : new AbortController().signal;
  const context = createContext({
    ...{ ring, reads, nop, nops: new Array(20).fill(nop), decoded, endless },
    ...{ mixed: [nop, reads[0], decoded], expect, signal: never },
  });
  inside = true;
  calls = 0;
  try {
    runInContext(LOOPS[name], context, { timeout: 1 + round % 5 });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") report(`${error}`);
  }
  inside = false;
  // The next call is another one each time: what was cut short is put in order.
  if (round % 3 === 0) {
    try {
      ring.cmdSync(nop);
    } catch (error) {
      // The decoder that was cut short is over for the ring in its next turn.
      if (!(error instanceof TypeError)) report(`${error}`);
    }
  }
  if (round % 3 !== 2) abort.abort();
  if (!await settles(ring.cmd(nop))) report("the next command is lost");
  abort.abort();
  for (const promise of expected) {
    if (!await settles(promise)) report("a command never settled");
  }
  for (let i = 0; i < 500 && ring.stats().inFlight > 0; i++) await sleep(1);
  const { inFlight, waiting } = ring.stats();
  if (inFlight + waiting > 0) {
    report(`${inFlight} in flight, ${waiting} waiting`);
  }
  if (calls > 1) report("a decoder that was cut short was called again");
  memory.fill(0);
  await sleep(1);
  if (memory.some((byte) => byte !== 0)) report("a command ran after its call");
  if (free[0] !== 0) report("an earlier command ran again");
}
if (!await settles(ring.close())) problems.add("close() never resolves");
for (const problem of problems) console.log(problem);
Deno.exit(0);
