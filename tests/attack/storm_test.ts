/** Storms of aborts: a command settles once, at whatever moment it is aborted. */

import { assertEquals, assertGreater } from "@std/assert";
import { Ring, type RingOptions } from "../../mod.ts";
import { probe } from "../../cmd/probe.ts";
import { Command } from "../../ring/command.ts";
import * as op from "../../cmd/op.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { run } from "../kit/run.ts";
import { pipe } from "../kit/fds.ts";
import { random } from "../kit/random.ts";
import { testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

const ABORTS = 12_500;
const ABORTED = new Error("aborted");

const shapes: [flag: string, options: RingOptions][] = [
  ["", {}],
  ["", { entries: 2, cqEntries: 4 }],
  ["DEFER_TASKRUN", { entries: 16, deferTaskrun: true }],
  ["SQPOLL", { entries: 16, sqpoll: { idleMs: 1 } }],
];

/** Makes the commands of a storm: they end at once, later, never, or in a worker. */
function commands(fd: number, fifo: string): Command<unknown>[] {
  const worker = uapi.IOSQE_ASYNC;
  return [
    op.nop(),
    new Command<number>({
      name: "NOP",
      opcode: uapi.IORING_OP_NOP,
      flags: worker,
    }),
    op.timeout(1),
    op.poll(fd, { events: op.POLLIN }),
    op.read(fd, new Uint8Array(8)),
    // A worker waits for the other end, and has to be interrupted.
    op.openat(fifo, { flags: op.O_CREAT }),
    new Command<number>({
      name: "POLL_ADD",
      opcode: uapi.IORING_OP_POLL_ADD,
      file: fd,
      opFlags: op.POLLIN,
      flags: worker,
    }),
  ];
}

for (const [i, [flag, options]] of shapes.entries()) {
  const missing = flag === "" || probe().setupFlags.includes(flag) ? "" : flag;
  const shape = JSON.stringify(options);
  const name = `commands aborted at any moment settle once, with ${shape}`;
  testUnless(missing, name, async () => {
    using ends = pipe();
    const folder = await Deno.makeTempDir();
    const fifo = `${folder}/fifo`;
    await run("mkfifo", [fifo]);
    const below = random(i + 1);
    const ring = Ring.open(options);
    const kinds = commands(ends.left, fifo);
    const counts = { begun: 0, settled: 0, aborted: 0 };
    const wrong: unknown[] = [];
    const settle = (error: unknown) => {
      counts.settled++;
      if (error === ABORTED) counts.aborted++;
      else if (error !== null) wrong.push(error);
    };
    // Aborted at once, in a microtask, or some turns of the event loop later.
    let waiting: AbortController[] = [];
    while (counts.begun < ABORTS) {
      for (let burst = below(40); burst >= 0; burst--) {
        const abort = new AbortController();
        const when = below(8);
        if (when === 0) abort.abort(ABORTED);
        counts.begun++;
        ring.cmd(kinds[below(kinds.length)], abort)
          .then(() => settle(null), settle);
        if (when < 3) abort.abort(ABORTED);
        else if (when < 5) queueMicrotask(() => abort.abort(ABORTED));
        else waiting.push(abort);
      }
      for (let turns = below(4); turns > 0; turns--) await turn();
      const late = waiting.filter(() => below(4) > 0);
      for (const abort of late) abort.abort(ABORTED);
      waiting = waiting.filter((abort) => !late.includes(abort));
    }
    for (const abort of waiting) abort.abort(ABORTED);
    await until(() => counts.settled === counts.begun);
    assertEquals(wrong, []);
    assertGreater(counts.aborted, ABORTS / 4);
    await until(() => ring.stats().inFlight + ring.stats().waiting === 0);
    await ring.close();
    assertEquals(counts.settled, counts.begun);
    await Deno.remove(folder, { recursive: true });
  });
}
