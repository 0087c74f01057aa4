/** What wakes a ring, and what does where nothing can: descriptors run out, memory, permission. */

import {
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { probe, Ring, type RingOptions } from "../../mod.ts";
import { PollTimer } from "../../ring/loop/polling.ts";
import { Engine } from "../../ring/loop/engine.ts";
import * as op from "../../cmd/op.ts";
import { AWAITED } from "../../ring/flight/settle.ts";
import { give, take } from "../../ring/flight/pool.ts";
import { enableRings, registerRestrictions } from "../../ring/bare/register.ts";
import { type RingHandle, setup } from "../../ring/bare/setup.ts";
import { Bell } from "../../ring/loop/bell.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close } from "../../sys/file.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { libc } from "../../sys/libc.ts";
import { descriptors, openFdCount, runScript } from "../kit/process.ts";
import { pipe } from "../kit/fds.ts";
import { reportedErrors } from "../kit/process.ts";
import { testUnless } from "../kit/skip.ts";
import { turn, until, wake } from "../kit/wait.ts";
import { writeSync } from "../kit/fds.ts";
import { refuse } from "../kit/refuse.ts";

const { EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, EPERM } = E;

const { setupFlags } = probe();
const deferred = setupFlags.includes("DEFER_TASKRUN") ? "" : "DEFER_TASKRUN";
const DEFER = uapi.IORING_SETUP_DEFER_TASKRUN |
  uapi.IORING_SETUP_SINGLE_ISSUER | uapi.IORING_SETUP_TASKRUN_FLAG;

/**
 * Begins a script that takes all descriptors. Deno needs some of its own, late
 * and for signals, and panics without.
 */
const FULL = `
  import { Ring } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { close, open } from "@uring/sys/file.ts";
  import { wake } from "@uring/tests/kit/wait.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { scratch } from "@uring/sys/scratch.ts";
  const full = [];
  const fill = () => { for (let fd; (fd = open("/dev/null")) >= 0;) full.push(fd); };
  const free = () => full.splice(0).forEach(close);
  const ignore = () => {};
  Deno.addSignalListener("SIGUSR2", ignore);
  Deno.removeSignalListener("SIGUSR2", ignore);
  await new Promise((resolve) => setTimeout(resolve, 50));
`;
const LIMITED = ["prlimit", "--nofile=100:100"];

// ---- Nothing to wake with ------------------------------------------------------

const shapes: RingOptions[] = [{}, { sqpoll: true }];
if (deferred === "") shapes.push({ deferTaskrun: true });

for (const options of shapes) {
  const shape = JSON.stringify(options);
  Deno.test(`without descriptors a ring with ${shape} is looked at by the clock`, async () => {
    // The waker takes three: with fewer, what it has taken is given back. Of the
    // three it has a ring and a pipe to itself. A few are for Deno's own use.
    const { stdout, stderr } = await runScript(
      `${FULL}
      const count = () => Array.from({ length: 100 }, (_, fd) => {
        try {
          return Deno.readLinkSync("/proc/self/fd/" + fd);
        } catch {
          return "";
        }
      }).filter((name) => /io_uring|pipe/.test(name)).length;
      const rooms = [0, 1, 2, 8];
      const rings = rooms.map(() => Ring.open(${shape}));
      const took = [];
      for (const [i, ring] of rings.entries()) {
        fill();
        full.splice(0, rooms[i]).forEach(close);
        const before = count();
        await wake(ring);
        await Promise.all([30, 10, 20].map((delay) => ring.cmd(op.timeout(delay))));
        took.push(count() - before);
      }
      free();
      console.log(took.join());
    `,
      ["-A"],
      LIMITED,
    );
    assertEquals(stdout, "0,0,0,2\n", stderr);
  });
}

Deno.test("a ring without descriptors is woken again once there are some", async () => {
  const { stdout, stderr } = await runScript(
    `${FULL}
    const ring = Ring.open();
    fill();
    await ring.cmd(op.timeout(1000));
    const looks = ring.stats().wakes;
    free();
    const { view, at } = scratch();
    syscall("pipe2", at, 0);
    const [left, right] = [view.getInt32(0, true), view.getInt32(4, true)];
    const late = ring.cmd(op.poll(left, { events: op.POLLIN }));
    let before;
    do {
      before = ring.stats().wakes;
      await new Promise((resolve) => setTimeout(resolve, 200));
    } while (ring.stats().wakes > before);
    syscall("write", right, at, 1);
    await late;
    // It tries again after 16 looks, and may have come to that just now.
    console.log(looks > 3, before - looks < 20, ring.stats().wakes - before);
  `,
    ["--allow-ffi"],
    LIMITED,
  );
  assertEquals(stdout, "true true 1\n", stderr);
});

Deno.test("a ring that is looked at by the clock lets the process go after unref()", async () => {
  const { code, stdout, stderr } = await runScript(
    `${FULL}
    const ring = Ring.open();
    fill();
    await ring.cmd(op.timeout(50));
    ring.unref();
    ring.cmd(op.timeout(600_000)).then(() => console.log("waited"));
    setTimeout(() => {
      free();
      console.log("bye");
    }, 50);
  `,
    ["--allow-ffi"],
    LIMITED,
  );
  assertEquals([code, stdout], [0, "bye\n"], stderr);
});

for (
  const [call, errno, op_, why] of [
    ["io_uring_setup", ENOMEM, undefined, "no memory for a ring"],
    ["io_uring_setup", EPERM, undefined, "no permission for another ring"],
    ["pipe2", ENFILE, undefined, "no files in the whole system"],
    ["io_uring_register", EMFILE, uapi.IORING_REGISTER_FILES, "no table"],
    ["eventfd2", ENOMEM, undefined, "no memory for an eventfd"],
    ["io_uring_register", ENOMEM, uapi.IORING_REGISTER_EVENTFD, "no memory"],
  ] as const
) {
  Deno.test(`with ${why} (${call}) a ring is looked at by the clock, the next is woken`, async () => {
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

testUnless(
  deferred,
  "a restricted ring is woken, and not looked at by the clock",
  async () => {
    for (const deferTaskrun of [false, true]) {
      await using ring = Ring.open({ disabled: true, deferTaskrun });
      ring.restrict({ ops: [uapi.IORING_OP_TIMEOUT] });
      const before = descriptors("eventfd").length;
      await wake(ring);
      assertEquals(descriptors("eventfd").length, before);
      await ring.close();
      assertEquals(descriptors("eventfd").length, before - 1);
    }
  },
);

Deno.test("the clock looks soon, then less often, and soon again when something is new", async () => {
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

/** The delays of timers that are set meanwhile. */
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

Deno.test("the clock has one timer, and none once it was stopped", async () => {
  let wanted = 5;
  const clock: PollTimer = new PollTimer(() => {
    if (--wanted > 0) clock.arm();
    // The seventh look is some time away, and sooner then.
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

Deno.test("a look that throws is over all the same", async () => {
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

for (const held of [false, true]) {
  Deno.test(`a clock that ${held ? "is let go" : "was never held"} lets the process go`, async () => {
    const { code, stderr } = await runScript(
      `
      import { PollTimer } from "@uring/ring/loop/polling.ts";
      const clock = new PollTimer(() => clock.arm());
      clock.hold(${held});
      clock.arm();
      if (${held}) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        clock.hold(false);
      }
    `,
      undefined,
      ["timeout", "60"],
    );
    assertEquals([code, stderr], [0, ""]);
  });
}

Deno.test("a waker that is held up for a moment is not given up", async () => {
  await using ring = Ring.open();
  await wake(ring);
  const open = descriptors("io_uring");
  const real = libc().symbols.enter;
  for (const errno of [EINTR, EAGAIN]) {
    let refused = false;
    {
      using _once = stub(libc().symbols, "enter", (...args) => {
        // Only the waker queues two at a time here.
        if (refused || args[2] !== 2) return real(...args);
        refused = true;
        libc().errno[0] = errno;
        return -1;
      });
      await wake(ring);
    }
    assertEquals([refused, descriptors("io_uring")], [true, open]);
  }
});

// ---- Rings that refuse -----------------------------------------------------------

/** Restricts the ring of an engine to what is listed, and opens it. */
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

/** Waits for a time, in the kernel. */
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
    ["once it is registered", true, []],
    ["to register it anew", true, [uapi.IORING_UNREGISTER_EVENTFD]],
  ] as const
) {
  for (const [kind, flags] of [["", 0], ["with DEFER_TASKRUN ", DEFER]]) {
    testUnless(
      flags === 0 ? "" : deferred,
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

/** Bells of so many rings, each with a completion that nobody was told of yet. */
function signalled(rung: (i: number) => void, count: number) {
  const handles = Array.from({ length: count }, () => setup({ entries: 4 }));
  const bells = handles.map(({ fd }, i) => new Bell(fd, false, () => rung(i)));
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

Deno.test("a bell that was closed while another one rang is not rung, and its memory is given back once", async () => {
  for (const count of [2, 3, 40]) {
    const rung: number[] = [];
    using rings = signalled((i) => {
      rung.push(i);
      // Their reads have completed, and were taken together with this one's.
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
});

Deno.test("bells that ring together are all rung, when each closes another that waits", async () => {
  const rung: number[] = [];
  const handle = setup({ entries: 4 });
  using rings = signalled((i) => {
    rung.push(i);
    // One that is armed, and whose completion is to come.
    const idle = new Bell(handle.fd, false, () => rung.push(-1));
    idle.arm();
    idle.close();
  }, 20);
  await until(() => rung.length === rings.bells.length);
  const all = rings.bells.map((_, i) => i);
  assertEquals(rung.toSorted((a, b) => a - b), all);
  handle.close();
});

Deno.test("a ring whose turn throws keeps no other from its own", async () => {
  using reported = reportedErrors();
  const rung: number[] = [];
  using _rings = signalled((i) => {
    rung.push(i);
    if (i === 0) throw new Error("the first");
  }, 3);
  await until(() => rung.length === 3);
  assertEquals(reported.errors.map(String), ["Error: the first"]);
});

/** Takes all blocks that were given back: each after these lies behind the last. */
function drain() {
  const blocks = Array.from({ length: 2000 }, () => take(8));
  // Some are to come before the next arena begins.
  while (blocks.at(-1)!.address % 65536 > 60_000) blocks.push(take(8));
  const [last] = blocks.slice(-1);
  return {
    /** Which block after those is taken next: 1 is the first. */
    get next(): number {
      const block = take(8);
      blocks.push(block);
      return (block.address - last.address) / 64;
    },
    [Symbol.dispose]: () => blocks.forEach(give),
  };
}

Deno.test("a bell that is armed already has its eventfd read once", () => {
  const handle = setup({ entries: 4 });
  const bell = new Bell(handle.fd, false, () => {});
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

Deno.test("the block of a bell is used again once its read is over, and else by nobody", () => {
  const handles: RingHandle[] = [];
  const open = () =>
    [1, 2].map(() => {
      const handle = setup({ entries: 4 });
      handles.push(handle);
      return new Bell(handle.fd, false, () => {});
    });
  open().forEach((bell) => bell.close()); // What the waker takes is taken.
  using blocks = drain();
  for (let i = 0; i < 3; i++) {
    const [bell, idle] = open();
    bell.arm();
    for (const each of [bell, idle]) each.close();
  }
  // One was 1, one 2, and the last that was given back is the next.
  assertEquals([blocks.next, blocks.next].toSorted(), [1, 2]);
  const [armed, other] = open();
  armed.arm();
  {
    // The waker cannot go on, and knows of no completion any more.
    using _refused = stub(libc().symbols, "enter", () => {
      libc().errno[0] = ENOMEM;
      return -1;
    });
    other.arm();
  }
  for (const bell of [armed, other]) bell.close();
  assertEquals(blocks.next, 5);
  for (const handle of handles) handle.close();
});

Deno.test("a ring whose eventfd was closed is looked at by the clock, and holds the process no longer", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { close } from "@uring/sys/file.ts";
    import { descriptors } from "@uring/tests/kit/process.ts";
    import { turn, wake } from "@uring/tests/kit/wait.ts";
    const others = descriptors("eventfd"); // Deno has some.
    const rings = [Ring.open({ spin: false }), Ring.open()];
    for (const ring of rings) await wake(ring);
    const eventfds = descriptors("eventfd").toSorted((a, b) => a - b)
      .filter((fd) => !others.includes(fd));
    if (eventfds.length !== 2) throw new Error(eventfds.join());
    const [first, second] = [30, 100].map((ms) => rings[0].cmd(op.timeout(ms)));
    await turn();
    close(eventfds[0]); // It is read already, and that goes on.
    await first;
    await second;
    console.log("late");
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "late\n", ""]);
});

// ---- The end of a waker ----------------------------------------------------------------

Deno.test("a waker without rings closes, and the next ring opens another", async () => {
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

Deno.test("rings whose waker lost its descriptor are looked at by the clock, then woken by another", async () => {
  // A thread has 16 rings that it enters without a descriptor.
  const idle = Array.from({ length: 16 }, () => Ring.open({ entries: 1 }));
  const known = descriptors("io_uring");
  await using ring = Ring.open();
  await using other = Ring.open();
  using ends = pipe();
  await wake(other);
  const waiting = other.cmd(op.poll(ends.left, { events: op.POLLIN }));
  const waker = descriptors("io_uring").filter((fd) =>
    !known.includes(fd) && fd !== ring.fd && fd !== other.fd
  );
  assertEquals(waker.length, 1);
  close(waker[0]);
  using another = pipe(); // Has its number, which is not to be closed.
  assertEquals(descriptors("io_uring").includes(waker[0]), false);
  await wake(ring);
  writeSync(ends.right, "x");
  assertNotEquals(await waiting, 0);
  await Promise.all([10, 20].map((ms) => other.cmd(op.timeout(ms))));
  assertEquals(writeSync(another.right, "x"), 1);
  // After some looks they try again.
  for (let i = 0; descriptors("io_uring").length < known.length + 3; i++) {
    assertLess(i, 100);
    await Promise.all([ring, other].map((each) => each.cmd(op.timeout(10))));
  }
  await Promise.all(idle.map((each) => each.close()));
});

Deno.test("rings whose waker cannot be entered for long are looked at by the clock", async () => {
  await using ring = Ring.open();
  const real = libc().symbols.enter;
  let refused = 0;
  {
    using _full = stub(
      libc().symbols,
      "enter",
      (nr, fd, toSubmit, ...rest) => {
        // Only the waker queues two at a time here.
        if (toSubmit !== 2) return real(nr, fd, toSubmit, ...rest);
        refused++;
        libc().errno[0] = EAGAIN;
        return -1;
      },
    );
    for (let i = 0; i < 3; i++) await wake(ring);
  }
  assertGreater(refused, 1);
  assertLess(refused, 2000);
  await ring.cmd(op.timeout(5));
});
