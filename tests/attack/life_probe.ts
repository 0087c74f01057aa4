/**
 * Cuts calls short that open, restrict, hold, fail or close a ring, and prints a line
 * for each thing that went wrong. The arguments are a name of {@linkcode ATTACKS}, and
 * the way of completions to the event loop.
 */

import { createContext, runInContext } from "node:vm";
import { Ring, UringError } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { close } from "../../sys/file.ts";
import { pipe } from "../kit/fds.ts";
import { collect, settles, sleep } from "../kit/wait.ts";
import { take, type WAYS } from "../kit/wires.ts";

const blocker = pipe();
const problems = new Map<string, number>();
const report = (text: string) =>
  problems.set(text, (problems.get(text) ?? 0) + 1);

globalThis.addEventListener("error", (event) => {
  report(`reported: ${event.message}`);
  event.preventDefault();
});

/** Calls `run` once, `frames` frames from the end of the stack. */
function atDepth(frames: number, run: () => void, ...pad: number[]): void {
  const descend = (..._pad: number[]): number => {
    let left: number;
    try {
      left = descend(..._pad);
    } catch {
      left = 0;
    }
    if (left === frames) {
      try {
        run();
      } catch {
        // Cut short.
      }
    }
    return left + 1;
  };
  descend(...pad);
}

/** Calls `attack` with each of the last depths of the stack, a word apart. */
async function atEveryDepth(
  attack: (cut: (run: () => void) => void) => Promise<void>,
): Promise<void> {
  for (let frames = 0; frames < 24; frames++) {
    for (let pad = 0; pad < 12; pad += 2) {
      await attack((run) => atDepth(frames, run, ...new Array(pad).fill(0)));
    }
  }
}

/** Calls `step` again and again, until the timeout of node:vm ends it. */
function untilTimeout(step: () => void, timeout: number): void {
  try {
    runInContext("for (;;) step();", createContext({ step }), { timeout });
  } catch {
    // Cut short.
  }
}

const turn = () => sleep(1);

/** Expects that a ring which cannot go on has told all, says so, and closes. */
async function expectFailed(
  ring: Ring,
  pending: Promise<unknown>[],
): Promise<void> {
  await turn();
  try {
    ring.cmdSync(op.nop());
    report("cmdSync() has succeeded on a failed ring");
  } catch (error) {
    if (!(error instanceof UringError || error instanceof TypeError)) {
      report(`cmdSync() has thrown ${error}`);
    }
  }
  if (!await settles(Promise.allSettled(pending))) report("lost settlements");
  if (!await settles(ring.cmd(op.nop()).catch(() => {}))) {
    report("cmd() on a failed ring never settles");
  }
  if (!await settles(ring.close())) report("close() never resolves");
}

async function expectClosed(
  ring: Ring,
  pending: Promise<unknown>[],
): Promise<void> {
  if (!await settles(ring.close())) report("close() never resolves");
  if (!await settles(Promise.allSettled(pending))) report("lost settlements");
}

/**
 * Opens as many rings as a thread has registered indices (IO_RINGFD_REG_MAX, Linux
 * 6.18): a further ring is entered by its descriptor.
 */
function takeUpIndices(): Ring[] {
  return Array.from({ length: 16 }, () => Ring.open());
}

function busyRing(): [Ring, Promise<unknown>[]] {
  const ring = Ring.open();
  const endless = op.timeout(600_000);
  const pending: Promise<unknown>[] = [1, 2].map(() => ring.cmd(endless));
  // The one has a slot, and the other has none.
  const batch = [endless, op.poll(blocker.left, { events: op.POLLIN })];
  pending.push(ring.cmdAll(batch), ring.cmdAll(batch));
  for (const promise of pending) promise.catch(() => {});
  return [ring, pending];
}

/** Returns whether a ring takes commands: the call was cut short at its end. */
function isOpen(ring: Ring | undefined): boolean {
  try {
    return ring?.cmdSync(op.nop()) === 0;
  } catch {
    return false;
  }
}

const descriptorCount = () => [...Deno.readDirSync("/proc/self/fd")].length;
const ringMappings = () =>
  Deno.readTextFileSync("/proc/self/maps").split("io_uring").length - 1;

const ATTACKS: Readonly<Record<string, () => Promise<void>>> = {
  async failure() {
    const others = takeUpIndices();
    await atEveryDepth(async (cut) => {
      const [ring, pending] = busyRing();
      await turn();
      close(ring.fd); // Behind its back: a later call finds EBADF.
      cut(() => ring.cmdSync(op.nop()));
      await expectFailed(ring, pending);
    });
    await Promise.all(others.map((ring) => ring.close()));
  },
  async closeFailed() {
    const others = takeUpIndices();
    await atEveryDepth(async (cut) => {
      const [ring, pending] = busyRing();
      await turn();
      close(ring.fd);
      await ring.cmd(op.nop()).catch(() => {});
      cut(() => void ring.close());
      await expectFailed(ring, pending);
    });
    await Promise.all(others.map((ring) => ring.close()));
  },
  async close() {
    await atEveryDepth(async (cut) => {
      const [ring, pending] = busyRing();
      await turn();
      cut(() => void ring.close());
      await expectClosed(ring, pending);
    });
  },
  async unload() {
    const end = () => void dispatchEvent(new Event("unload"));
    // The event loop is given turns only in a program that goes on.
    for (let i = 0; i < 200; i++) {
      const [ring] = busyRing();
      await null;
      end();
      await ring.close();
    }
    const fds = descriptorCount();
    for (let frames = 0; frames < 40; frames++) {
      for (let pad = 0; pad < 12; pad++) {
        const [ring, pending] = busyRing();
        await turn();
        atDepth(frames, end, ...new Array(pad).fill(0));
        await turn();
        await expectClosed(ring, pending);
      }
    }
    await turn();
    const leaked = descriptorCount() - fds;
    // Deno opens some of its own. A leak would be of many of the 480.
    if (leaked > 4) report(`an unload event leaves ${leaked} descriptors`);
  },
  /** Ends by itself, since nothing keeps the process alive. */
  async unref() {
    const [ring] = busyRing();
    await turn();
    for (let frames = 0; frames < 24; frames++) {
      ring.ref();
      atDepth(frames, () => ring.unref());
      ring.unref();
    }
  },
  /** Ends once the command has settled. */
  async ref() {
    const ring = Ring.open();
    const pending = ring.cmd(op.timeout(500)).then(() => settled = true);
    let settled = false;
    await turn();
    for (let frames = 0; frames < 24; frames++) {
      ring.unref();
      atDepth(frames, () => ring.ref());
      ring.ref();
    }
    globalThis.addEventListener("unload", () => {
      if (!settled) console.log("the process has left a command in flight");
    });
    pending.then(() => ring.close());
  },
  /** Deno says so if it ends before a command that it should have waited for. */
  async refAgain() {
    for (let frames = 0; frames < 30; frames++) {
      for (let pad = 0; pad < 12; pad++) {
        const ring = Ring.open();
        const pending = ring.cmd(op.timeout(2));
        await null;
        await null;
        atDepth(frames, () => ring.unref(), ...new Array(pad).fill(0));
        ring.ref();
        await pending;
        await ring.close();
      }
    }
  },
  async open() {
    Ring.open();
    untilTimeout(() => void Ring.open().close(), 20);
    collect();
    await sleep(10);
    const [fds, mappings] = [descriptorCount(), ringMappings()];
    for (let round = 0; round < 60; round++) {
      const opened: Ring[] = [];
      untilTimeout(() => opened.push(Ring.open()), 1 + round % 3);
      await Promise.all(opened.map((ring) => ring.close()));
    }
    collect();
    await sleep(10);
    await Ring.open().close(); // Gives back what the last call has left.
    await turn();
    const leaked = [descriptorCount() - fds, ringMappings() - mappings];
    // A ring that was opened, and cut off before the program had it, is collected.
    if (Math.max(...leaked) > 12) report(`60 cuts leave ${leaked}`);
  },
  async restrict() {
    const restrictions = { ops: [op.nop().opcode] };
    for (let round = 0; round < 60; round++) {
      const rings = Array.from(
        { length: 40 },
        () => Ring.open({ disabled: true }),
      );
      rings[0].restrict(restrictions); // Loads a module, outside of the context.
      let i = 0;
      untilTimeout(() => {
        i = Math.min(i + 1, rings.length);
        rings[i]?.restrict(restrictions);
      }, 1 + round % 3);
      const ring = rings[i];
      try {
        if (!isOpen(ring)) ring?.restrict(restrictions);
        await ring?.cmd(op.nop());
        ring?.cmdSync(op.nop());
      } catch (error) {
        report(`restrict() cannot be made again: ${error}`);
      }
      await Promise.all(rings.map((ring) => ring.close()));
    }
  },
  async loop() {
    let fired = false;
    setTimeout(() => fired = true, 50);
    const start = performance.now();
    while (!fired && performance.now() - start < 20_000) {
      await using ring = Ring.open();
      await ring.cmd(op.nop());
    }
    if (!fired) report("a ring for each command keeps timers waiting");
  },
};

const [attack, way] = Deno.args;
take(way as typeof WAYS[number]);
await ATTACKS[attack]();
for (const [text, count] of problems) console.log(`${count} times: ${text}`);
