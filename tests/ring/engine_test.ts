/** Edge cases of the engine, on the real kernel. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, type RingOptions, UringError } from "../../mod.ts";
import { Command } from "../../ring/command.ts";
import { Batch } from "../../ring/flight/batch.ts";
import { Engine } from "../../ring/loop/engine.ts";
import * as op from "../../cmd/op.ts";
import { AWAITED } from "../../ring/flight/settle.ts";
import { setup } from "../../ring/bare/setup.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import "../kit/no_watchdogs.ts";
import { message } from "../kit/commands.ts";
import { link } from "../../ring/flight/slot.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { outcomes } from "../kit/outcome.ts";
import { refuse } from "../kit/refuse.ts";
import { openFdCount } from "../kit/process.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { random } from "../kit/random.ts";
import { takeUpSignals } from "../kit/signals.ts";
import { turn, until } from "../kit/wait.ts";

const { EAGAIN, EBUSY, EINTR, EINVAL } = E;

/** Runs a command, or a chain, on an engine without a Ring. */
function run(engine: Engine, ...chain: Command<unknown>[]): Promise<unknown>[] {
  const slots = chain.map((each) => engine.queues.slots.take(each));
  link(slots);
  for (const slot of slots) slot.receiver = AWAITED;
  const promises = slots.map((slot) => slot.await());
  engine.queues.enqueue(slots[0]);
  engine.schedule();
  return promises;
}

/** Runs a synchronous batch on an engine without a Ring. */
function runBatch(engine: Engine, commands: Command<unknown>[]): unknown[] {
  const { queues, sync } = engine;
  const batch = new Batch(queues, [...commands], true);
  queues.takeSlots(batch);
  return sync.run(batch);
}

const bad = new Command<number>({ name: "BAD", opcode: 255 });

// ---- The smallest queues ---------------------------------------------------------

Deno.test("a ring of one entry runs commands in every way", async () => {
  await using ring = Ring.open({ entries: 1, cqEntries: 2 });
  using ends = pipe();
  const byte = new Uint8Array(1);
  const writes = Array.from(
    { length: 30 },
    () => ring.cmd(op.write(ends.right, byte)),
  );
  const chains = Array.from({ length: 10 }, () => ring.link([op.nop()])[0]);
  assertEquals(ring.cmdAllSync(Array(20).fill(op.nop())), Array(20).fill(0));
  assertEquals(await Promise.all(writes), Array(30).fill(1));
  assertEquals(await Promise.all(chains), Array(10).fill(0));
  assertEquals(ring.cmdSync(op.read(ends.left, new Uint8Array(64))), 30);
});

// ---- CQ overflow ------------------------------------------------------------

for (const options of [{}, { deferTaskrun: true }] as RingOptions[]) {
  const shape = JSON.stringify(options);

  Deno.test(`completions that overflow the CQ are not lost, with ${shape}`, async () => {
    await using ring = Ring.open({ ...options, entries: 2, cqEntries: 4 });
    await using sender = Ring.open();
    using strays = reportedErrors();
    using ends = pipe();
    const read = ring.cmd(op.read(ends.left, ring.alloc(1)));
    await turn();
    const all = Array.from({ length: 100 }, (_, i) => message(ring, 0, i + 1));
    sender.cmdAllSync(all);
    writeSync(ends.right, "x");
    // The overflowed completions come before those of the batch.
    assertEquals(ring.cmdAllSync(Array(20).fill(op.nop())), Array(20).fill(0));
    assertEquals(await read, 1);
    await until(() => strays.errors.length === 100);
    strays.errors.forEach((error, i) =>
      assert(String(error).includes(`res ${i + 1} for`), String(error))
    );
    assertGreater(ring.stats().overflows, 0);
    assertEquals(ring.stats().inFlight, 0);
  });
}

// ---- Bad SQEs ------------------------------------------------

for (const flags of [0, uapi.IORING_SETUP_SUBMIT_ALL]) {
  const kind = flags === 0 ? "that stops at a bad SQE" : "that goes on";

  Deno.test(`a bad SQE fails its command only, on a kernel ${kind}`, async () => {
    const engine = new Engine(setup({ entries: 8, flags }));
    const mixed = [bad, op.nop(), op.nop(), bad, bad, op.nop(), bad];
    const expected = mixed.map((each) => each === bad ? "EINVAL" : 0);
    const many = Array.from({ length: 10 }, () => mixed).flat();
    const ended = await outcomes(many.flatMap((each) => run(engine, each)));
    assertEquals(ended, Array.from({ length: 10 }, () => expected).flat());
    for (const batch of [mixed, many]) {
      assertThrows(
        () => runBatch(engine, batch),
        UringError,
        "EINVAL",
      );
      assertEquals(engine.queues.room.inFlight, 0);
    }
    assertEquals(engine.sync.runOne(op.nop()), 0);
    await engine.close();
  });

  Deno.test(`a bad SQE fails its whole chain, on a kernel ${kind}`, async () => {
    const engine = new Engine(setup({ entries: 8, flags }));
    for (let place = 0; place < 3; place++) {
      const chain = [op.nop(), op.nop(), op.nop()].with(place, bad);
      const others = Array.from({ length: 5 }, () => run(engine, op.nop()));
      const ended = await outcomes(run(engine, ...chain));
      const expected = ["ECANCELED", "ECANCELED", "ECANCELED"];
      assertEquals(ended, expected.with(place, "EINVAL"));
      assertEquals(await Promise.all(others.flat()), Array(5).fill(0));
    }
    await engine.close();
  });
}

// ---- Signals -----------------------------------------------------------------------

/** Signals this thread, again and again. SIGUSR1 would start Deno's debugger. */
class Storm implements AsyncDisposable {
  signals = 0;
  readonly #child: Deno.ChildProcess;
  readonly #count = () => void this.signals++;

  private constructor() {
    // The thread, and not the process, whose other threads would take it.
    const thread = Deno.readLinkSync("/proc/thread-self").split("/").at(-1);
    const script = `while kill -USR2 ${thread}; do sleep 0.001; done`;
    Deno.addSignalListener("SIGUSR2", this.#count);
    this.#child = new Deno.Command("sh", { args: ["-c", script] }).spawn();
  }

  /** Starts a storm once Deno catches signals: before that, they end it. */
  static async start(): Promise<Storm> {
    await takeUpSignals();
    const storm = new Storm();
    await until(() => storm.signals > 0);
    return storm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await takeUpSignals();
    Deno.removeSignalListener("SIGUSR2", this.#count);
  }
}

Deno.test("signals do not disturb a ring: neither a call that blocks, nor the event loop", async () => {
  await using storm = await Storm.start();
  for (const options of [{}, { deferTaskrun: true }, { sqpoll: true }]) {
    await using ring = Ring.open({ ...options, entries: 4 });
    using ends = pipe();
    let interrupted = 0;
    const real = libc().symbols.enter;
    using _count = stub(libc().symbols, "enter", (...args) => {
      const rc = real(...args);
      if (rc < 0 && libc().errno[0] === EINTR) interrupted++;
      return rc;
    });
    const start = performance.now();
    ring.cmdSync(op.timeout(100));
    assertGreater(performance.now() - start, 90);
    let tries = 0;
    do {
      assertLess(tries++, 200);
      ring.cmdAllSync([1, 2, 3, 4, 5].map((i) => op.timeout(10 * i)));
    } while (interrupted === 0);
    const reads = Array.from(
      { length: 20 },
      () => ring.cmd(op.read(ends.left, new Uint8Array(1))),
    );
    const before = storm.signals;
    await until(() => storm.signals > before + 5);
    assertEquals(writeSync(ends.right, new Uint8Array(20)), 20);
    assertEquals(await Promise.all(reads), Array(20).fill(1));
  }
});

// ---- The program closes the descriptor ------------------------------------------

/** Opens a ring that is not registered, so that it enters by its descriptor. */
function unregistered(entries = 4): { engine: Engine; fd: number } {
  const op = uapi.IORING_REGISTER_RING_FDS;
  using _refused = refuse(["io_uring_register"], EINVAL, op);
  const handle = setup({ entries });
  return { engine: new Engine(handle), fd: handle.fd };
}

/** Milliseconds of a timeout that no test waits for. */
const ENDLESS = 60_000;

for (
  const [state, act] of [
    ["is open", async (engine, shut) => {
      shut();
      return await outcomes(run(engine, op.nop()));
    }],
    ["has commands in flight", async (engine, shut) => {
      const all = [1, 2].flatMap(() => run(engine, op.timeout(ENDLESS)));
      await turn();
      shut();
      return await outcomes([...all, ...run(engine, op.nop())]);
    }],
    ["has commands that wait", async (engine, shut) => {
      const all = Array.from(
        { length: 20 },
        () => run(engine, op.timeout(ENDLESS)),
      );
      await turn();
      shut();
      const chain = run(engine, op.nop(), op.nop());
      // The chain waits for room. The cancellation does not, so that the engine
      // enters the kernel.
      const [first] = engine.queues.slots.busy();
      engine.queues.aborts.abort(first, new Error("never mind"));
      return await outcomes([...all.flat(), ...chain]);
    }],
    ["runs a batch", (engine, shut) => {
      const closing: Command<unknown> = new Command({
        name: "NOP",
        opcode: 0,
        decode: shut,
      });
      const batch = [closing, ...Array(10).fill(op.timeout(ENDLESS))];
      const error = assertThrows(
        () => runBatch(engine, batch),
        UringError,
      );
      return Promise.resolve([error.code]);
    }],
    ["is closing", async (engine, shut) => {
      const all = Array.from(
        { length: 20 },
        () => run(engine, op.timeout(ENDLESS)),
      );
      await turn();
      shut();
      void engine.close();
      return await outcomes(all.flat());
    }],
  ] as [
    string,
    (engine: Engine, shut: () => void) => Promise<unknown[]>,
  ][]
) {
  Deno.test(`a ring whose descriptor is closed while it ${state} fails its commands with EBADF`, async () => {
    const fds = openFdCount();
    const { engine, fd } = unregistered();
    const ended = await act(engine, () => void close(fd));
    // close() ends the commands that wait for room with an AbortError.
    const failed = ended.filter((name) => name !== "AbortError");
    assertEquals(failed, failed.map(() => "EBADF"));
    assertGreater(failed.length, 0);
    assertInstanceOf(engine.queues.failure, UringError);
    assert(engine.queues.failure.message.includes("behind its back"));
    await engine.close();
    assertEquals(engine.queues.life, "closed");
    await until(() => openFdCount() <= fds);
  });
}

// ---- Failing and short calls ---------------------------------------------------------

const SHAPES: RingOptions[] = [
  {},
  { deferTaskrun: true },
  { sqe128: true, cqe32: true },
  { sqpoll: { idleMs: 1 } },
];

for (const options of SHAPES) {
  Deno.test(`no command is lost or repeated by EINTR, EAGAIN, EBUSY and short submits, with ${JSON.stringify(options)}`, async () => {
    const [seed] = crypto.getRandomValues(new Int32Array(1));
    const below = random(seed);
    await using ring = Ring.open({ ...options, entries: 4, cqEntries: 16 });
    using ends = pipe();
    const real = libc().symbols.enter;
    let target = -1;
    using _trouble = stub(
      libc().symbols,
      "enter",
      (nr, fd, toSubmit, minComplete, flags, ...rest) => {
        if (target < 0) target = fd; // Not the waker's, which enters later.
        const what = fd === target ? below(6) : 5;
        if (what < 3) {
          libc().errno[0] = [EINTR, EAGAIN, EBUSY][what];
          return -1;
        }
        // After a short submit the kernel does not wait for completions.
        if (what === 3 && toSubmit > 1 && !options.sqpoll) {
          return real(nr, fd, 1, 0, flags, ...rest);
        }
        return real(nr, fd, toSubmit, minComplete, flags, ...rest);
      },
    );
    assertEquals(ring.cmdSync(op.nop()), 0);
    const write = op.write(ends.right, new Uint8Array(1));
    let bytes = 0;
    for (let round = 0; round < 60; round++) {
      const all = Array.from({ length: below(30) }, () => ring.cmd(write));
      const chain = outcomes([...ring.link([write, write, write])]);
      bytes += all.length;
      const batch = Array(below(30)).fill(write);
      bytes += batch.length;
      const context = `round ${round} with the seed ${seed}`;
      assertEquals(ring.cmdAllSync(batch), batch.map(() => 1), context);
      assertEquals(await Promise.all(all), all.map(() => 1), context);
      // A command that a short submit cut off its chain does not run.
      const links = await chain;
      const ran = links.filter((end) => end === 1).length;
      const cut = Array(3 - ran).fill("ECANCELED");
      assertEquals(links, [...Array(ran).fill(1), ...cut], context);
      bytes += ran;
      const read = op.read(ends.left, new Uint8Array(4096));
      assertEquals(ring.cmdSync(read), bytes, context);
      bytes = 0;
    }
    const { inFlight, waiting, submitted, completions } = ring.stats();
    assertEquals([inFlight, waiting, submitted - completions], [0, 0, 0]);
  });
}

Deno.test("the kernel returns all 32 bits of a generation", async () => {
  const engine = new Engine(setup({ entries: 4 }));
  using strays = reportedErrors();
  for (const generation of [0x7fff_ffff, -0x8000_0000, -1, 0]) {
    const slot = engine.queues.slots.take(op.nop());
    engine.queues.slots.give(slot);
    slot.generation = generation;
    assertEquals(await run(engine, op.nop())[0], 0);
    assertEquals(slot.generation, generation + 1 | 0);
  }
  assertEquals(strays.errors, []);
  await engine.close();
});

// ---- Turns and the end -----------------------------------------------------------

Deno.test("a command without company is submitted in the next microtask", async () => {
  await using ring = Ring.open();
  await turn();
  const { enters } = ring.stats();
  const nop = ring.cmd(op.nop());
  assertEquals(ring.stats().enters, enters);
  await null;
  assertEquals(ring.stats().enters, enters + 1);
  await nop;
});

Deno.test("close() of a ring that is collected meanwhile resolves", async () => {
  const engine = new Engine(setup({ entries: 4 }));
  const late = outcomes(run(engine, op.timeout(ENDLESS)));
  await turn();
  const closed = engine.close();
  engine.drop();
  await closed;
  assertEquals(await late, ["AbortError"]);
});
