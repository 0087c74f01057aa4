/**
 * The cost of the hot paths in system calls. These tests measure no time, so that a
 * slow machine finds what a fast one does.
 */

import { assert, assertEquals } from "@std/assert";
import { spy, stub } from "@std/testing/mock";
import { Ring, type RingOptions, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import type { Command } from "../../ring/command.ts";
import * as raw from "../../ring/raw.ts";
import { libc } from "../../sys/libc.ts";
import "../kit/no_watchdogs.ts";
import { devNull, type FdPair, pipe, writeSync } from "../kit/fds.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { turn, until } from "../kit/wait.ts";
import { take, WAYS } from "../kit/wires.ts";

const ENTRIES = 128;
/** Rounds of a loop: more than the turns that run in a row as microtasks. */
const ROUNDS = 40;

interface Shape {
  readonly name: string;
  readonly options?: RingOptions;
  /** `true` to open the ring as on Linux 6.12, which reads SQEs again. */
  readonly held?: boolean;
  /** `true` if the kernel posts completions only in io_uring_enter(). */
  readonly deferred?: boolean;
}

const SHAPES: readonly Shape[] = [
  { name: "without options" },
  {
    name: "with deferTaskrun",
    options: { deferTaskrun: true },
    deferred: true,
  },
  {
    name: "with large entries",
    options: { sqe128: true, cqe32: true },
    deferred: true,
  },
  { name: "that holds its SQEs, as on Linux 6.12", held: true },
];

function openShape({ options, held }: Shape, more: RingOptions = {}): Ring {
  using _release = held ? pretendRelease("6.12.0") : null;
  return Ring.open({ ...options, ...more, entries: ENTRIES });
}

/** Numbers of calls of io_uring_enter(2). */
interface Enters {
  /** Calls of libc by this thread. */
  readonly called: number;
  /** Calls in the statistics of the ring. */
  readonly counted: number;
}

async function entersOf(ring: Ring, run: () => unknown): Promise<Enters> {
  const before = ring.stats().enters;
  // While time stands still, the event loop is not due for a turn of its own, which
  // takes an enter of the waker.
  using _clock = stub(performance, "now", () => 0);
  using calls = spy(libc().symbols, "enter");
  await run();
  const counted = ring.stats().enters - before;
  return { called: calls.calls.length, counted };
}

/** Expects the same number of both. */
const exactly = (enters: number): Enters => ({
  called: enters,
  counted: enters,
});

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

for (const shape of SHAPES) {
  const { name, held = false, deferred = false } = shape;

  /** Counts the calls for a NOP and for a uring command of /dev/null. */
  const forBoth = async (
    run: (ring: Ring, command: Command<number>, room: number) => unknown,
    expected: number,
  ) => {
    await using ring = openShape(shape);
    using file = devNull();
    for (const command of [op.nop(), uringCmd({ fd: file.fd, cmd_op: 0 })]) {
      const found = await entersOf(ring, () => run(ring, command, ENTRIES));
      assertEquals(found, exactly(expected), command.name);
    }
  };

  Deno.test(`a batch that fits takes one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) => {
      ring.cmdAllSync(times(room, () => command));
    }, 1);
  });

  Deno.test(`an awaited batch that fits takes one enter, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) => ring.cmdAll(times(room, () => command)),
      1,
    );
  });

  Deno.test(`awaited batches of one turn share one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) =>
      Promise.all(times(
        8,
        () => ring.cmdAll(times(room >> 3, () => command)),
      )), 1);
  });

  Deno.test(`loops of batches take one enter a round, on a ring ${name}`, async () => {
    await forBoth((ring, command, room) =>
      Promise.all(times(4, async () => {
        const batch = times(room >> 2, () => command);
        for (let i = 0; i < ROUNDS; i++) await ring.cmdAll(batch);
      })), ROUNDS);
  });

  Deno.test(`cmdSync takes one enter, on a ring ${name}`, async () => {
    await forBoth((ring, command) => ring.cmdSync(command), 1);
  });

  Deno.test(`commands of one turn share one enter, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) =>
        Promise.all(times(room, () => ring.cmd(command))),
      1,
    );
  });

  Deno.test(`concurrent loops take one enter a round, on a ring ${name}`, async () => {
    // A turn resolves all promises, and the loops queue their next commands
    // before the microtask of the next turn submits.
    await forBoth((ring, command, room) =>
      Promise.all(times(room, async () => {
        for (let i = 0; i < ROUNDS; i++) await ring.cmd(command);
      })), ROUNDS);
  });

  Deno.test(`loops that call through a function share their enters, on a ring ${name}`, async () => {
    // Every second loop queues some microtasks later. The turn waits for them.
    await forBoth((ring, command, room) => {
      const through = async () => await ring.cmd(command);
      const direct = () => ring.cmd(command);
      const each = times(room >> 1, () => [direct, through]).flat();
      return Promise.all(each.map(async (run) => {
        for (let i = 0; i < ROUNDS; i++) await run();
      }));
    }, ROUNDS);
  });

  // A ring that holds SQEs has as many as commands may be in flight.
  const holds = held || raw.rereadsSqes();
  const [enters, word] = holds ? [1, "one enter"] : [4, "four enters"];

  Deno.test(`four times as many as there are entries take ${word}, on a ring ${name}`, async () => {
    await forBoth(
      (ring, command, room) =>
        Promise.all(times(4 * room, () => ring.cmd(command))),
      enters,
    );
  });

  Deno.test(`four times as many in a batch take ${word}, on a ring ${name}`, async () => {
    await using ring = openShape(shape);
    using file = devNull();
    const inBatch = (command: ReturnType<typeof op.nop>) =>
      entersOf(ring, () => ring.cmdAllSync(times(4 * ENTRIES, () => command)));
    assertEquals(await inBatch(op.nop()), exactly(enters));
    const command = uringCmd({ fd: file.fd, cmd_op: 0 });
    assertEquals(await inBatch(command), exactly(enters));
    await forBoth(
      (ring, command, room) => ring.cmdAll(times(4 * room, () => command)),
      enters,
    );
  });

  for (const [i, way] of WAYS.entries()) {
    const more = ["no enter", "one enter"][i];
    Deno.test(`a later completion takes ${more} more through ${way}, on a ring ${name}`, async () => {
      using _way = take(way);
      // Without `spin` the number of calls does not depend on the clock.
      await using ring = openShape(shape, { spin: false });
      using ends = pipe();
      // One enter submits. Where completions are deferred, one more fetches them;
      // Linux 6.1 also posts them in io_uring_register(), which saves that one.
      const most = deferred ? 2 : 1;
      // The waker enters once to wake the event loop. A late signal adds one enter
      // to its round, or saves the next round one, since the waker waits already.
      const rounds: Enters[] = [];
      const asItShould = ({ called, counted }: Enters) =>
        counted <= most && called === counted + i;
      do {
        rounds.push(await entersOf(ring, () => readLater(ring, ends)));
      } while (!rounds.some(asItShould) && rounds.length < 8);
      assert(rounds.some(asItShould), Deno.inspect(rounds));
    });
  }
}

/** Reads from a pipe, and writes to it once the read is in flight. */
async function readLater(ring: Ring, { left, right }: FdPair): Promise<void> {
  let bytesRead = 0;
  const done = (count: number) => bytesRead = count;
  // If it never completes, closing the ring rejects it.
  ring.cmd(op.read(left, new Uint8Array(1))).then(done, () => {});
  await turn(); // Submits the read, and arms the bell.
  writeSync(right, "x");
  await until(() => bytesRead === 1);
}

Deno.test("a batch of commands with memory takes one enter", async () => {
  const { nvmeBatch, readBatch, ring, wide } = await import(
    "../kit/memory_loops.ts"
  );
  for (let round = 0; round < 3; round++) {
    const reads = await entersOf(ring, () => ring.cmdAllSync(readBatch));
    assertEquals(reads, exactly(1));
    const nvme = await entersOf(wide, () => wide.cmdAllSync(nvmeBatch));
    assertEquals(nvme, exactly(1));
  }
});

Deno.test("a batch of the bare ring takes one enter", () => {
  const ring = raw.setup({ entries: ENTRIES });
  try {
    using calls = spy(libc().symbols, "enter");
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < ENTRIES; i++) {
        assert(raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData: i }));
      }
      const toSubmit = ring.sq.publish();
      const taken = raw.enter(ring, { toSubmit, minComplete: ENTRIES });
      assertEquals([taken, ring.cq.ready], [ENTRIES, ENTRIES]);
      while (ring.cq.next());
      ring.cq.commit();
      assertEquals(calls.calls.length, round);
    }
  } finally {
    ring.close();
  }
});
