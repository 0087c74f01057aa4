/**
 * Waking a ring in processes that lack descriptors, whose descriptors the program
 * closes, or that are to end.
 */

import { assertEquals } from "@std/assert";
import type { RingOptions } from "../../mod.ts";
import { runScript } from "../kit/run.ts";
import { lacksFlag, testUnless } from "../kit/skip.ts";
import { WAYS } from "../kit/wires.ts";

const noDefer = lacksFlag("DEFER_TASKRUN");
const [, WAKER] = WAYS;

/**
 * The start of a script that can take all descriptors. Deno needs some for
 * signals, which it opens late, and panics without them: so it opens them first.
 */
const FULL = `
  import "node:net"; // A slow machine takes seconds to load it.
  import { Ring } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { close, open } from "@uring/sys/file.ts";
  import { takeUpSignals } from "@uring/tests/kit/signals.ts";
  import { wake } from "@uring/tests/kit/wait.ts";
  import { take } from "@uring/tests/kit/wires.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { scratch } from "@uring/sys/scratch.ts";
  const full = [];
  const fill = () => { for (let fd; (fd = open("/dev/null")) >= 0;) full.push(fd); };
  const free = () => full.splice(0).forEach(close);
  await takeUpSignals();
`;
const LIMITED = ["prlimit", "--nofile=100:100"];

for (
  const [missing, options] of [
    ["", {}],
    [lacksFlag("SQPOLL"), { sqpoll: true }],
    [noDefer, { deferTaskrun: true }],
  ] as [string, RingOptions][]
) {
  const shape = JSON.stringify(options);
  for (
    // An eventfd is enough for a pipe of Deno. The waker needs a ring and the two
    // ends of a pipe too: with fewer it closes those that it got, and with more it
    // closes one end. Of 8, some are left for Deno.
    const [way, expected] of [
      [WAYS[0], "0,1,1,1"],
      [WAYS[1], "0,0,0,3"],
    ] as const
  ) {
    const name =
      `without descriptors for ${way} the clock polls a ring with ${shape}`;
    testUnless(missing, name, async () => {
      const { stdout, stderr } = await runScript(
        `${FULL}
        take("${way}");
        const count = () => Array.from({ length: 100 }, (_, fd) => {
          try {
            return Deno.readLinkSync("/proc/self/fd/" + fd);
          } catch {
            return "";
          }
        }).filter((name) => /eventfd|io_uring|pipe/.test(name)).length;
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
      assertEquals(stdout, `${expected}\n`, stderr);
    });
  }
}

Deno.test("once there are descriptors again, a waker replaces the clock", async () => {
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
    // The ring retries after 16 looks, which may have happened just now.
    console.log(looks > 3, before - looks < 20, ring.stats().wakes - before);
  `,
    ["--allow-ffi"],
    LIMITED,
  );
  assertEquals(stdout, "true true 1\n", stderr);
});

Deno.test("a ring that the clock polls lets the process end after unref()", async () => {
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

for (const held of [false, true]) {
  Deno.test(`a clock that ${held ? "is released" : "was never held"} lets the process end`, async () => {
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

Deno.test("the clock polls a ring whose eventfd was closed, and lets the process end", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { close } from "@uring/sys/file.ts";
    import { descriptors } from "@uring/tests/kit/process.ts";
    import { turn, wake } from "@uring/tests/kit/wait.ts";
    import { take } from "@uring/tests/kit/wires.ts";
    take("${WAKER}");
    const others = descriptors("eventfd"); // Deno has some.
    const rings = [Ring.open({ spin: false }), Ring.open()];
    for (const ring of rings) await wake(ring);
    const eventfds = descriptors("eventfd").toSorted((a, b) => a - b)
      .filter((fd) => !others.includes(fd));
    if (eventfds.length !== 2) throw new Error(eventfds.join());
    const [first, second] = [30, 100].map((ms) => rings[0].cmd(op.timeout(ms)));
    await turn();
    close(eventfds[0]); // The read in flight keeps it, and completes.
    await first;
    await second;
    console.log("late");
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "late\n", ""]);
});

/** The start of a script with a ring whose eventfd is known. */
const KNOWN = `
  import { Ring } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { close } from "@uring/sys/file.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
  import { descriptors } from "@uring/tests/kit/process.ts";
  import { sleep, until, wake } from "@uring/tests/kit/wait.ts";
  import { replacePipe } from "@uring/tests/kit/wires.ts";
  // Makes Deno open its sockets for signals now, so that none takes a number later.
  const handler = () => {};
  Deno.addSignalListener("SIGUSR2", handler);
  Deno.removeSignalListener("SIGUSR2", handler);
  const others = descriptors("eventfd"); // Deno has some.
  const ring = Ring.open({ spin: false });
  const mine = () => descriptors("eventfd").filter((fd) => !others.includes(fd));
`;

Deno.test("a ring whose eventfd was closed gets another, and leaves the file alone that has its number now", async () => {
  const { code, stdout, stderr } = await runScript(
    `${KNOWN}
    await wake(ring);
    await sleep(100); // Deno tries to read again, and would wait for our pipe.
    const [eventfd] = mine();
    close(eventfd);
    const ends = pipe();
    console.log(ends.left === eventfd, mine().length);
    for (let i = 0; i < 3; i++) await ring.cmd(op.timeout(30));
    while (mine().length === 0) await ring.cmd(op.timeout(1));
    await wake(ring);
    await ring.close();
    console.log(writeSync(ends.right, "x"), mine().length);
    console.log(descriptors("io_uring").length);
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "true 0\n1 0\n0\n", ""]);
});

Deno.test("a ring notices at once that the read of its eventfd fails", async () => {
  const { code, stdout, stderr } = await runScript(
    `${KNOWN}
    import "@uring/tests/kit/no_watchdogs.ts"; // Only the failed read can tell.
    await wake(ring);
    const [eventfd] = mine();
    const F_DUPFD = 0; // The file stays open, so that epoll does not forget it.
    const copy = syscall("fcntl", eventfd, F_DUPFD, 0);
    close(eventfd);
    await ring.cmd(op.timeout(30));
    await ring.cmd(op.timeout(30));
    close(copy);
    while (mine().length === 0) await ring.cmd(op.timeout(1));
    console.log(mine()[0] === eventfd, descriptors("io_uring").length);
    await ring.close();
    console.log(mine().length);
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "true 1\n0\n", ""]);
});

Deno.test("where pipes do not tell of signals, the waker wakes all rings", async () => {
  const { code, stdout, stderr } = await runScript(
    `${KNOWN}
    let made = 0;
    const silent = replacePipe(function () {
      made++;
      for (const name of ["open", "useUserBuffer", "readStart", "ref", "unref"]) {
        this[name] = () => 0;
      }
      this.open = (fd) => (this.fd = fd, 0);
      this.close = () => close(this.fd);
    });
    const timer = setInterval(() => {}, 1000); // Such a pipe holds no process.
    for (let i = 0; i < 3; i++) await ring.cmd(op.timeout(30));
    silent[Symbol.dispose]();
    while (descriptors("io_uring").length < 2) await ring.cmd(op.timeout(1));
    await wake(ring);
    await using next = Ring.open();
    await wake(next);
    console.log(made, mine().length, descriptors("io_uring").length);
    clearInterval(timer);
    await ring.close();
  `,
    ["-A"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, "1 2 3\n", ""]);
});

Deno.test("a ring waits on although the program has closed the pipe of its waker", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { close } from "@uring/sys/file.ts";
    import { wake } from "@uring/tests/kit/wait.ts";
    import { take } from "@uring/tests/kit/wires.ts";
    take("${WAKER}");
    const links = () => Array.from({ length: 100 }, (_, fd) => {
      try {
        return Deno.readLinkSync("/proc/self/fd/" + fd);
      } catch {
        return "";
      }
    });
    const before = links(); // Deno has some pipes.
    const ring = Ring.open({ spin: false });
    await wake(ring);
    const made = links()
      .findIndex((name) => /^pipe:/.test(name) && !before.includes(name));
    if (made < 0) throw new Error("there is no pipe");
    close(made);
    await ring.cmd(op.timeout(20));
    console.log("late");
    Deno.exit(); // Deno would close the number, which is no file's now.
  `,
    ["-A"],
    ["timeout", "30"],
  );
  assertEquals([code, stdout, stderr], [0, "late\n", ""]);
});
