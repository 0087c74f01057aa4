/**
 * Waking a ring for later completions, and polling by a timer where the waker
 * lacks memory or permission.
 */

import {
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { closeSync, openSync } from "node:fs";
import { Ring } from "../../mod.ts";
import { PollTimer } from "../../ring/loop/polling.ts";
import { Engine } from "../../ring/loop/engine.ts";
import * as op from "../../cmd/op.ts";
import { AWAITED } from "../../ring/flight/settle.ts";
import { give, take } from "../../ring/flight/pool.ts";
import { enableRings, registerRestrictions } from "../../ring/bare/register.ts";
import { type RingHandle, setup } from "../../ring/bare/setup.ts";
import { Bell } from "../../ring/loop/bell.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close, fileFacts, open } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import "../kit/no_watchdogs.ts";
import { pipe, writeSync } from "../kit/fds.ts";
import { descriptors, openFdCount, ringMappings } from "../kit/process.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { type EnterCall, refuse, refuseEnter } from "../kit/refuse.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";
import { collect, turn, until, wake } from "../kit/wait.ts";
import { replacePipe, take as through, WAYS } from "../kit/wires.ts";

const { EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, EPERM } = E;

const noDefer = lacksFlag("DEFER_TASKRUN");
const DEFER = uapi.IORING_SETUP_DEFER_TASKRUN |
  uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_TASKRUN_FLAG;

// ---- No waker ------------------------------------------------------

const { IORING_REGISTER_FILES, IORING_REGISTER_EVENTFD } = uapi;
const [, WAKER] = WAYS;

for (
  const [call, errno, op_, why, ways] of [
    ["io_uring_setup", ENOMEM, undefined, "no memory for a ring", [WAKER]],
    ["io_uring_setup", EPERM, undefined, "no permission for it", [WAKER]],
    ["pipe2", ENFILE, undefined, "no file left in the system", [WAKER]],
    ["io_uring_register", EMFILE, IORING_REGISTER_FILES, "no table", [WAKER]],
    ["eventfd2", ENOMEM, undefined, "no memory for an eventfd", WAYS],
    ["io_uring_register", ENOMEM, IORING_REGISTER_EVENTFD, "no memory", WAYS],
  ] as const
) {
  for (const way of ways) {
    Deno.test(`with ${why} (${call}) the clock polls a ring, and ${way} wakes the next`, async () => {
      using _way = through(way);
      await using ring = Ring.open();
      await using next = Ring.open();
      const before = openFdCount();
      const eventfds = descriptors("eventfd").length;
      {
        using _refused = refuse([call], errno, op_);
        await Promise.all([wake(ring), ring.cmd(op.timeout(20))]);
        await until(() => openFdCount() === before);
      }
      await wake(next);
      assertEquals(descriptors("eventfd").length, eventfds + 1);
    });
  }
}

Deno.test("a bell without a waker tries to connect at every sixteenth look by the clock", async () => {
  const handle = setup({ entries: 4 });
  const { call } = libc().symbols;
  const looks: number[] = [];
  let look = 0;
  {
    using _refused = stub(libc().symbols, "call", (nr, ...args) => {
      if (nr !== libc().nr.eventfd2) return call(nr, ...args);
      looks.push(look);
      libc().errno[0] = ENOMEM;
      return -1;
    });
    const bell: Bell = new Bell(handle, () => {
      if (++look < 40) bell.arm();
    });
    bell.arm();
    await until(() => look === 40);
    bell.close();
  }
  handle.close();
  assertEquals(looks, [0, 16, 32]);
});

Deno.test("a bell whose waker has failed tries to connect at every sixteenth look, too", async () => {
  using _way = through(WAKER);
  const handle = setup({ entries: 4 });
  let look = 0;
  const bell: Bell = new Bell(handle, () => {
    if (++look < 40) bell.arm();
  });
  {
    using _failed = refuseEnter((call) => isWakers(call) ? ENOMEM : undefined);
    bell.arm();
  }
  const { call } = libc().symbols;
  const looks: number[] = [];
  {
    using _refused = stub(libc().symbols, "call", (nr, ...args) => {
      if (nr !== libc().nr.eventfd2) return call(nr, ...args);
      looks.push(look);
      libc().errno[0] = ENOMEM;
      return -1;
    });
    await until(() => look === 40);
    bell.close();
  }
  handle.close();
  assertEquals(looks, [16, 32]);
});

for (const way of WAYS) {
  testUnless(noDefer, `${way} wakes a restricted ring`, async () => {
    using _way = through(way);
    for (const deferTaskrun of [false, true]) {
      await using ring = Ring.open({ disabled: true, deferTaskrun });
      ring.restrict({ ops: [uapi.IORING_OP_TIMEOUT] });
      const before = descriptors("eventfd").length;
      await wake(ring);
      assertEquals(descriptors("eventfd").length, before);
      await ring.close();
      assertEquals(descriptors("eventfd").length, before - 1);
    }
  });
}

Deno.test("the clock polls after 1 ms, then less often, and after 1 ms again when armed anew", async () => {
  let wanted = 8;
  const clock: PollTimer = new PollTimer(() => {
    if (--wanted > 0) clock.arm();
  });
  using set = timers();
  clock.hold(true);
  clock.arm();
  clock.arm();
  while (wanted > 0) await turn();
  assertEquals(set.delays, [1, 2, 4, 8, 16, 20, 20, 20]);
  wanted = 2;
  clock.arm();
  assertEquals(set.delays.at(-1), 1);
  clock.stop();
  assertEquals(clock.looks, 8);
});

/** Collects the delays of timers that are set until disposed. */
function timers(): Disposable & { delays: number[] } {
  const delays: number[] = [];
  const real = setTimeout;
  const timer = stub(globalThis, "setTimeout", (look, delay, ...rest) => {
    delays.push(delay!);
    return real(look, delay, ...rest);
  });
  return { delays, [Symbol.dispose]: () => timer.restore() };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("the clock has one timer at most, and none once stopped", async () => {
  let wanted = 5;
  const clock: PollTimer = new PollTimer(() => {
    if (--wanted > 0) clock.arm();
    // Arming the clock after the sixth look makes the seventh one sooner.
    if (clock.looks === 6) queueMicrotask(() => clock.arm());
  });
  clock.arm();
  await until(() => wanted === 0);
  wanted = 2;
  clock.arm();
  await until(() => wanted === 0);
  await pause(60);
  assertEquals(clock.looks, 7);
  clock.arm();
  clock.stop();
  await pause(60);
  assertEquals(clock.looks, 7);
});

Deno.test("a look that throws does not stop the clock", async () => {
  using reported = reportedErrors();
  using set = timers();
  const clock = new PollTimer(() => {
    throw new Error("a look");
  });
  for (let i = 1; i <= 3; i++) {
    clock.arm();
    while (reported.errors.length < i) await turn();
  }
  assertEquals(set.delays, [1, 1, 1]);
});

/** Returns whether the waker makes a call: only it submits two SQEs at a time here. */
const isWakers = ({ toSubmit }: EnterCall) => toSubmit === 2;

Deno.test("a ring keeps its waker after one EINTR or EAGAIN", async () => {
  using _way = through(WAKER);
  await using ring = Ring.open();
  await wake(ring);
  const open = descriptors("io_uring");
  for (const errno of [EINTR, EAGAIN]) {
    let refused = 0;
    {
      using _once = refuseEnter((call) =>
        isWakers(call) && refused++ === 0 ? errno : undefined
      );
      // On a busy machine a completion may be there before the waker is asked.
      for (let tries = 0; refused === 0 && tries < 50; tries++) {
        await wake(ring);
      }
    }
    assertGreater(refused, 0);
    assertEquals(descriptors("io_uring"), open);
  }
});

// ---- Restricted rings -----------------------------------------------------------

/** Restricts an engine's ring to timeouts and some registrations, and enables it. */
function restrict(
  engine: Engine,
  { fd }: RingHandle,
  registerOps: readonly number[],
): void {
  const rc = registerRestrictions(fd, [
    [uapi.IORING_RESTRICTION_SQE_OP, uapi.IORING_OP_TIMEOUT],
    [uapi.IORING_RESTRICTION_SQE_OP, uapi.IORING_OP_ASYNC_CANCEL],
    [uapi.IORING_RESTRICTION_REGISTER_OP, uapi.IORING_REGISTER_ENABLE_RINGS],
    ...registerOps.map((each) =>
      [uapi.IORING_RESTRICTION_REGISTER_OP, each] as const
    ),
  ]);
  assertEquals([rc, enableRings(fd)], [0, 0]);
  engine.queues.life = "open";
}

/** Runs a timeout in the kernel. */
async function timeout(engine: Engine, delayMs: number): Promise<void> {
  const slot = engine.queues.slots.take(op.timeout(delayMs));
  slot.receiver = AWAITED;
  const over = slot.await();
  engine.queues.enqueue(slot);
  engine.schedule();
  await over;
}

for (
  const [when, early, registerOps] of [
    ["from the start", false, []],
    ["once one is registered", true, []],
    ["after one is unregistered", true, [uapi.IORING_UNREGISTER_EVENTFD]],
  ] as const
) {
  for (const [kind, flags] of [["", 0], ["with DEFER_TASKRUN ", DEFER]]) {
    testUnless(
      flags === 0 ? "" : noDefer,
      `a restricted ring ${kind}that refuses an eventfd ${when} finds its completions`,
      async () => {
        const handle = setup({
          entries: 4,
          flags: uapi.IORING_SETUP_R_DISABLED | Number(flags),
        });
        const engine = new Engine(handle);
        if (early) engine.prepareToWait();
        restrict(engine, handle, registerOps);
        for (let i = 0; i < 5; i++) {
          await Promise.all([timeout(engine, 5), timeout(engine, 10)]);
        }
        assertGreater(engine.wakes, 0);
        const last = timeout(engine, 600_000).then(
          () => "over",
          (error: DOMException) => error.name,
        );
        await turn();
        await engine.close();
        assertEquals(await last, "AbortError");
      },
    );
  }
}

// ---- Rings that close each other -----------------------------------------------------

/** Makes `count` rings with armed bells, each with a completion not yet reported. */
function signalled(rung: (i: number) => void, count: number) {
  const handles = Array.from({ length: count }, () => setup({ entries: 4 }));
  const bells = handles.map((handle, i) => new Bell(handle, () => rung(i)));
  for (const bell of bells) {
    bell.hold(true);
    bell.arm();
  }
  for (const { sq, enter } of handles) {
    op.nop().submit(sq, 0, 0);
    enter(sq.publish(), 0, 0);
  }
  return {
    bells,
    [Symbol.dispose]() {
      for (const bell of bells) bell.close();
      for (const handle of handles) handle.close();
    },
  };
}

for (const way of WAYS) {
  Deno.test(`a bell closed while another rings through ${way} does not ring, and frees its memory once`, async () => {
    using _way = through(way);
    for (const count of [2, 3, 40]) await closeAll(count);
  });
}

/** Closes as many bells, and some twice, while the first of them rings. */
async function closeAll(count: number): Promise<void> {
  const rung: number[] = [];
  using rings = signalled((i) => {
    rung.push(i);
    // The waker has already reaped the reads of all bells.
    for (const bell of rings.bells) bell.close();
    for (const bell of rings.bells) bell.close();
  }, count);
  await until(() => rung.length > 0);
  await turn();
  await turn();
  assertEquals(rung.length, 1);
  const blocks = Array.from({ length: 3 * count }, () => take(8));
  const addresses = new Set(blocks.map(({ address }) => address));
  assertEquals(addresses.size, blocks.length);
  blocks.forEach(give);
}

for (const way of WAYS) {
  Deno.test(`all bells ring through ${way}, even if each one closes another bell that is armed`, async () => {
    using _way = through(way);
    const rung: number[] = [];
    const handle = setup({ entries: 4 });
    using rings = signalled((i) => {
      rung.push(i);
      const idle = new Bell(handle, () => rung.push(-1));
      idle.arm();
      idle.close();
    }, 20);
    await until(() => rung.length === rings.bells.length);
    const all = rings.bells.map((_, i) => i);
    assertEquals(rung.toSorted((a, b) => a - b), all);
    handle.close();
  });

  Deno.test(`a bell that throws does not keep others from ringing through ${way}`, async () => {
    using _way = through(way);
    using reported = reportedErrors();
    const rung: number[] = [];
    using _rings = signalled((i) => {
      rung.push(i);
      if (i === 0) throw new Error("the first");
    }, 3);
    await until(() => rung.length === 3);
    assertEquals(reported.errors.map(String), ["Error: the first"]);
  });
}

/** Empties the pool of blocks, so that each further block lies after the last. */
function drain() {
  const blocks = Array.from({ length: 2000 }, () => take(8));
  // Leaves room for some more blocks in the same arena.
  while (blocks.at(-1)!.address % 65536 > 60_000) blocks.push(take(8));
  const [last] = blocks.slice(-1);
  return {
    /** The number of the next block after the drained ones: 1 is the first. */
    get next(): number {
      const block = take(8);
      blocks.push(block);
      return (block.address - last.address) / 64;
    },
    /** `true` if the kernel may write to the arena of these blocks for good. */
    get held(): boolean {
      return last.arena.held;
    },
    [Symbol.dispose]: () => blocks.forEach(give),
  };
}

Deno.test("arming an armed bell reads its eventfd no second time", () => {
  using _way = through(WAKER);
  const handle = setup({ entries: 4 });
  const bell = new Bell(handle, () => {});
  bell.arm();
  const real = libc().symbols.enter;
  let enters = 0;
  {
    using _counted = stub(libc().symbols, "enter", (...args) => {
      enters++;
      return real(...args);
    });
    for (let i = 0; i < 3; i++) bell.arm();
  }
  bell.close();
  handle.close();
  assertEquals(enters, 0);
});

Deno.test("the block of a bell is reused only once its read has completed", () => {
  using _way = through(WAKER);
  const handles: RingHandle[] = [];
  const open = () =>
    [1, 2].map(() => {
      const handle = setup({ entries: 4 });
      handles.push(handle);
      return new Bell(handle, () => {});
    });
  open().forEach((bell) => bell.close()); // The waker has its blocks now.
  using blocks = drain();
  for (let i = 0; i < 3; i++) {
    const [bell, idle] = open();
    bell.arm();
    for (const each of [bell, idle]) each.close();
  }
  // The bells used blocks 1 and 2, in any order.
  assertEquals([blocks.next, blocks.next].toSorted(), [1, 2]);
  const [armed, other] = open();
  armed.arm();
  assertEquals(blocks.held, false);
  {
    // The waker fails, and never learns that the read has completed.
    using _refused = refuseEnter(() => ENOMEM);
    other.arm();
  }
  for (const bell of [armed, other]) bell.close();
  assertEquals(blocks.held, true);
  assertEquals(blocks.next, 5);
  for (const handle of handles) handle.close();
});

// ---- Pipes of Deno ---------------------------------------------------------------------

Deno.test("a pipe whose signals come late is not given up", async () => {
  const known = descriptors("eventfd");
  const handle = setup({ entries: 4 });
  const real = setTimeout;
  let look = () => {};
  using _timers = stub(globalThis, "setTimeout", (run, ms, ...rest) => {
    if (ms !== 1000) return real(run, ms, ...rest);
    look = run as () => void;
    return real(() => {}, 0);
  });
  let rung = 0;
  const bell = new Bell(handle, () => {
    rung++;
    while (handle.cq.next());
    handle.cq.commit();
  });
  const complete = () => {
    bell.arm();
    op.nop().submit(handle.sq, 0, 0);
    handle.enter(handle.sq.publish(), 0, 0);
  };
  const eventfds = descriptors("eventfd");
  assertEquals(eventfds.length, known.length + 1);
  for (let i = 0; i < 5; i++) {
    complete();
    look();
    assertEquals(rung, 2 * i + 1);
    complete();
    await until(() => rung === 2 * i + 2);
  }
  assertEquals(descriptors("eventfd"), eventfds);
  bell.close();
  handle.close();
});

/** Deno's class of pipes without a method, or with one that does something else. */
function pipesWith(methods: Record<string, unknown>) {
  return function () {
    const none = () => 0;
    const names = [
      "open",
      "useUserBuffer",
      "readStart",
      "ref",
      "unref",
      "close",
    ];
    const all = Object.fromEntries(names.map((name) => [name, none]));
    return { ...all, ...methods };
  };
}

for (
  const [what, Pipe] of [
    ["is no class of pipes", undefined],
    ["is one that cannot be made", () => {}],
    ["is one that reads into no memory", pipesWith({ useUserBuffer: null })],
    ["is one that refuses an eventfd", pipesWith({ open: () => -E.EEXIST })],
  ] as const
) {
  Deno.test(`where there ${what}, the waker wakes a ring`, async () => {
    const eventfds = descriptors("eventfd").length;
    const rings = descriptors("io_uring").length;
    {
      using _class = replacePipe(Pipe);
      await using ring = Ring.open();
      await wake(ring);
      assertEquals(descriptors("io_uring").length, rings + 2);
    }
    assertEquals(descriptors("eventfd").length, eventfds);
    assertEquals(descriptors("io_uring").length, rings);
  });
}

Deno.test("the waker wakes a ring whose eventfd has a number that Deno knows otherwise", async () => {
  const rings = descriptors("io_uring").length;
  await using ring = Ring.open();
  const file = openSync("/dev/null", "r");
  close(file); // Deno thinks that it is open.
  await wake(ring);
  assertEquals(descriptors("eventfd").includes(file), true);
  assertEquals(descriptors("io_uring").length, rings + 2);
  await ring.close();
  try {
    closeSync(file);
  } catch {
    // It is closed already.
  }
});

Deno.test("the number of a closed eventfd is not closed again", async () => {
  const known = descriptors("eventfd");
  const ring = Ring.open();
  await wake(ring);
  const [eventfd] = descriptors("eventfd").filter((fd) => !known.includes(fd));
  await ring.close();
  assertEquals(descriptors("eventfd"), known);
  const files = [open("/dev/null")];
  while (files.at(-1)! < eventfd) files.push(open("/dev/null"));
  assertEquals(files.includes(eventfd), true);
  for (let i = 0; i < 3; i++) {
    await turn();
    collect();
  }
  assertEquals(fileFacts(eventfd), fileFacts(files[0]));
  files.forEach(close);
});

// ---- Turns of the event loop ---------------------------------------------------------

for (const way of WAYS) {
  Deno.test(`a nudge through ${way} takes its turn, and rings no bell`, async () => {
    using _way = through(way);
    const handle = setup({ entries: 4 });
    let rung = 0;
    const bell = new Bell(handle, () => rung++);
    bell.arm();
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => bell.nudge(resolve));
    }
    // Two at a time: the second is an immediate.
    await Promise.all(
      [1, 2].map(() => new Promise<void>((resolve) => bell.nudge(resolve))),
    );
    assertEquals(rung, 0);
    bell.arm();
    op.nop().submit(handle.sq, 0, 0);
    handle.enter(handle.sq.publish(), 0, 0);
    await until(() => rung === 1);
    bell.close();
    handle.close();
  });

  Deno.test(`a nudge through ${way} takes its turn even if the bell closes`, async () => {
    using _way = through(way);
    const handle = setup({ entries: 4 });
    const bell = new Bell(handle, () => {});
    const turns = new Promise<void>((resolve) => bell.nudge(resolve));
    bell.close();
    await turns;
    await new Promise<void>((resolve) => bell.nudge(resolve));
    handle.close();
  });

  Deno.test(`a nudge through ${way} takes its turn even if the eventfd was closed`, async () => {
    using _way = through(way);
    const known = descriptors("eventfd");
    const handle = setup({ entries: 4 });
    const bell = new Bell(handle, () => {});
    descriptors("eventfd").filter((fd) => !known.includes(fd)).forEach(close);
    await new Promise<void>((resolve) => bell.nudge(resolve));
    bell.close();
    handle.close();
  });
}

// ---- The end of a waker ----------------------------------------------------------------

Deno.test("a waker without rings closes, and the next ring opens another", async () => {
  using _way = through(WAKER);
  async function late(): Promise<void> {
    await using ring = Ring.open();
    await using other = Ring.open();
    for (const each of [ring, other]) await wake(each);
    assertEquals(descriptors("io_uring").length, before + 3);
  }
  const before = descriptors("io_uring").length;
  await late();
  const open = openFdCount();
  for (let i = 0; i < 5; i++) {
    await late();
    await until(() => openFdCount() <= open);
    assertEquals(descriptors("io_uring").length, before);
  }
});

Deno.test("the clock polls rings whose waker lost its descriptor, until another wakes them", async () => {
  using _way = through(WAKER);
  // A thread has 16 registered rings: with those taken, the waker enters by its
  // descriptor.
  const idle = Array.from({ length: 16 }, () => Ring.open({ entries: 1 }));
  const known = descriptors("io_uring");
  await using ring = Ring.open();
  await using other = Ring.open();
  using ends = pipe();
  await wake(other);
  const waiting = other.cmd(op.poll(ends.left, { events: op.POLLIN }));
  const mapped = ringMappings();
  const waker = descriptors("io_uring").filter((fd) =>
    !known.includes(fd) && fd !== ring.fd && fd !== other.fd
  );
  assertEquals(waker.length, 1);
  close(waker[0]);
  using another = pipe(); // Gets that number: the waker must not close it.
  assertEquals(descriptors("io_uring").includes(waker[0]), false);
  await wake(ring);
  writeSync(ends.right, "x");
  assertNotEquals(await waiting, 0);
  await Promise.all([10, 20].map((ms) => other.cmd(op.timeout(ms))));
  assertEquals(writeSync(another.right, "x"), 1);
  // After 16 looks the rings retry.
  for (let i = 0; descriptors("io_uring").length < known.length + 3; i++) {
    assertLess(i, 100);
    await Promise.all([ring, other].map((each) => each.cmd(op.timeout(10))));
  }
  assertEquals(ringMappings(), mapped); // The first waker has none any more.
  await Promise.all(idle.map((each) => each.close()));
});

Deno.test("the clock polls rings whose waker cannot be entered for long", async () => {
  using _way = through(WAKER);
  await using ring = Ring.open();
  let refused = 0;
  {
    using _full = refuseEnter((call) => {
      if (!isWakers(call)) return undefined;
      refused++;
      return EAGAIN;
    });
    for (let i = 0; i < 3; i++) await wake(ring);
  }
  assertGreater(refused, 1);
  assertLess(refused, 2000);
  await ring.cmd(op.timeout(5));
});
