/** The engine at its edges, on the real kernel. */

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
import { Engine } from "../../ring/loop/engine.ts";
import * as op from "../../cmd/op.ts";
import { AWAITED } from "../../ring/flight/settle.ts";
import { setup } from "../../ring/bare/setup.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import { custom, message } from "../kit/commands.ts";
import { openFdCount, reportedErrors } from "../kit/process.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { random } from "../kit/random.ts";
import { turn, until } from "../kit/wait.ts";

const { EAGAIN, EBUSY, EINTR } = E;

/** Runs a command on a bare engine. */
function run(engine: Engine, ...chain: Command<unknown>[]): Promise<unknown>[] {
  const slots = chain.map((each) => engine.queues.slots.take(each));
  slots.forEach((slot, i) => {
    slot.receiver = AWAITED;
    slot.linked = slots[i + 1] ?? null;
  });
  const promises = slots.map((slot) => slot.await());
  engine.queues.enqueue(slots[0]);
  engine.schedule();
  return promises;
}

/** How promises ended: values, and errors by name. */
async function outcomes(promises: Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) =>
    each.status === "fulfilled" ? each.value : (each.reason as UringError).code
  );
}

const bad = custom({ name: "BAD", opcode: 255 });

// ---- The smallest queues ---------------------------------------------------------

Deno.test("a ring of one entry does all that others do", async () => {
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

// ---- The CQ overflows ------------------------------------------------------------

for (const options of [{}, { deferTaskrun: true }] as RingOptions[]) {
  const shape = JSON.stringify(options);

  Deno.test(`of what the CQ has no room for, nothing is lost, with ${shape}`, async () => {
    await using ring = Ring.open({ ...options, entries: 2, cqEntries: 4 });
    await using sender = Ring.open();
    using strays = reportedErrors();
    using ends = pipe();
    const read = ring.cmd(op.read(ends.left, ring.alloc(1)));
    await turn();
    const all = Array.from({ length: 100 }, (_, i) => message(ring, 0, i + 1));
    sender.cmdAllSync(all);
    writeSync(ends.right, "x");
    // The first ones are in the way of what is waited for.
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

// ---- The kernel stops in the middle ------------------------------------------------

for (const flags of [0, uapi.IORING_SETUP_SUBMIT_ALL]) {
  const kind = flags === 0 ? "that stops at a bad SQE" : "that does not";

  Deno.test(`a bad SQE is told to its command alone, by a kernel ${kind}`, async () => {
    const engine = new Engine(setup({ entries: 8, flags }));
    const mixed = [bad, op.nop(), op.nop(), bad, bad, op.nop(), bad];
    const expected = mixed.map((each) => each === bad ? "EINVAL" : 0);
    const many = Array.from({ length: 10 }, () => mixed).flat();
    const ended = await outcomes(many.flatMap((each) => run(engine, each)));
    assertEquals(ended, Array.from({ length: 10 }, () => expected).flat());
    for (const batch of [mixed, many]) {
      assertThrows(
        () => engine.sync.run([...batch], null),
        UringError,
        "EINVAL",
      );
      assertEquals(engine.queues.room.inFlight, 0);
    }
    assertEquals(engine.sync.runOne(op.nop()), 0);
    await engine.close();
  });

  Deno.test(`a chain with a bad SQE in it fails as a whole, by a kernel ${kind}`, async () => {
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

/** Signals this thread, again and again. */
class Storm implements AsyncDisposable {
  signals = 0;
  readonly #child: Deno.ChildProcess;
  readonly #count = () => void this.signals++;

  constructor() {
    Deno.addSignalListener("SIGUSR1", this.#count);
    // The thread, and not the process, whose other threads would take it.
    const thread = Deno.readLinkSync("/proc/thread-self").split("/").at(-1);
    const script = `while kill -USR1 ${thread}; do sleep 0.001; done`;
    this.#child = new Deno.Command("sh", { args: ["-c", script] }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    Deno.removeSignalListener("SIGUSR1", this.#count);
  }
}

Deno.test("signals do not disturb a ring: neither a call that blocks, nor the event loop", async () => {
  await using storm = new Storm();
  await until(() => storm.signals > 0);
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

// ---- The descriptor is closed behind its back ------------------------------------------

/** An engine on a ring that is no registered one, so that its number counts. */
function unregistered(entries = 4): { engine: Engine; fd: number } {
  const real = libc().symbols.call;
  const { io_uring_register } = libc().nr;
  using _refused = stub(libc().symbols, "call", (nr, ...args) => {
    const op = Number(args[1]);
    if (nr !== io_uring_register || op !== uapi.IORING_REGISTER_RING_FDS) {
      return real(nr, ...args);
    }
    libc().errno[0] = 22;
    return -1;
  });
  const handle = setup({ entries });
  // Whatever the number is given to meanwhile is closed by nobody else.
  return { engine: new Engine(handle), fd: handle.fd };
}

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
      // Nothing is submitted before there is room; but a cancellation is.
      const [first] = engine.queues.slots.busy();
      engine.queues.abort(first, new Error("never mind"));
      return await outcomes([...all.flat(), ...chain]);
    }],
    ["runs a batch", (engine, shut) => {
      const closing: Command<unknown> = new Command({
        name: "NOP",
        opcode: 0,
        decode: shut,
      });
      const batch = [closing, ...Array(10).fill(op.timeout(ENDLESS))];
      const slots = batch.map((each) => engine.queues.slots.take(each));
      const error = assertThrows(
        () => engine.sync.run(batch, slots),
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
  Deno.test(`a ring whose descriptor is closed while it ${state} says so once`, async () => {
    const fds = openFdCount();
    const { engine, fd } = unregistered();
    const ended = await act(engine, () => void close(fd));
    // What waited when the ring was closed was told of that.
    const told = ended.filter((code) => code !== 20);
    assertEquals(told, told.map(() => "EBADF"));
    assertGreater(told.length, 0);
    assertInstanceOf(engine.queues.failure, UringError);
    assert(engine.queues.failure.message.includes("behind its back"));
    await engine.close();
    assertEquals(engine.queues.life, "closed");
    await until(() => openFdCount() <= fds);
  });
}

// ---- Trouble at every call ---------------------------------------------------------

const SHAPES: RingOptions[] = [
  {},
  { deferTaskrun: true },
  { sqe128: true, cqe32: true },
  { sqpoll: { idleMs: 1 } },
];

for (const options of SHAPES) {
  Deno.test(`interruptions, refusals and short submits lose and repeat nothing, with ${JSON.stringify(options)}`, async () => {
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
        if (target < 0) target = fd; // And not the one that wakes it.
        const what = fd === target ? below(6) : 5;
        if (what < 3) {
          libc().errno[0] = [EINTR, EAGAIN, EBUSY][what];
          return -1;
        }
        // A short submit does not wait.
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
      const chain = Promise.allSettled(ring.link([write, write, write]));
      bytes += all.length;
      const batch = Array(below(30)).fill(write);
      bytes += batch.length;
      const context = `round ${round} with the seed ${seed}`;
      assertEquals(ring.cmdAllSync(batch), batch.map(() => 1), context);
      assertEquals(await Promise.all(all), all.map(() => 1), context);
      // What a short submit cuts off a chain does not run.
      const links = (await chain).map((end) =>
        end.status === "fulfilled" ? end.value : end.reason.code
      );
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

Deno.test("generations of all 32 bits come back from the kernel as they went", async () => {
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
