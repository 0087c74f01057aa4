/**
 * Descriptors that somebody has closed by their numbers, which are other files' now:
 * the library uses no number for what is not its own any more.
 */

import { assertEquals } from "@std/assert";
import { Eventfd } from "../../ring/loop/eventfd.ts";
import { Relay } from "../../ring/loop/relay.ts";
import { descriptors } from "../kit/process.ts";
import { scriptValue } from "../kit/run.ts";
import { lacksFlag, lacksLinux, testUnless } from "../kit/skip.ts";
import { until } from "../kit/wait.ts";
import { WAYS } from "../kit/wires.ts";

// ---- The eventfd of a ring, and the pipe of the waker ------------------------------

const FLAGS = ["-A", "--v8-flags=--expose-gc"];
const LIMITED = ["timeout", "60"];

/**
 * The start of a script that closes numbers. A process of its own: Deno does not
 * forget a number that it has not closed itself.
 */
const START = `
  import { Ring } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { setup } from "@uring/ring/bare/setup.ts";
  import { Bell } from "@uring/ring/loop/bell.ts";
  import { close, open } from "@uring/sys/file.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { scratch } from "@uring/sys/scratch.ts";
  import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
  import { descriptors } from "@uring/tests/kit/process.ts";
  import { takeUpSignals } from "@uring/tests/kit/signals.ts";
  import { collect, sleep, turn, until, wake } from "@uring/tests/kit/wait.ts";
  import { take } from "@uring/tests/kit/wires.ts";
  await takeUpSignals(); // So that none of Deno's takes a number later.
  const others = descriptors("eventfd"); // Deno has some.
  const mine = () => descriptors("eventfd").filter((fd) => !others.includes(fd));
  const F_DUPFD = 0;
  /** Gives a number that is free to a copy of a file, unless the file has it. */
  function give(number, file) {
    if (file === number) return;
    const got = syscall("fcntl", file, F_DUPFD, number);
    if (got !== number) throw new Error(got + " is not " + number);
  }
  /** Takes all lower numbers and frees this one, so that the next file has it. */
  function makeNext(number) {
    close(number);
    while (open("/dev/null") < number);
    close(number);
  }
  function nameOf(number) {
    try {
      return Deno.readLinkSync("/proc/self/fd/" + number);
    } catch {
      return "none";
    }
  }
  /** Deno tries to read once more, and would read from the next file. */
  const rest = () => sleep(100);
  const timeouts = (ring) => Promise.all([10, 20].map((ms) => ring.cmd(op.timeout(ms))));
`;

for (const way of WAYS) {
  for (
    const [what, takes] of [
      ["a file", `give(eventfd, open("/dev/null"));`],
      ["a pipe", `const ends = pipe(); give(eventfd, ends.left);`],
      [
        "the eventfd of another ring",
        `makeNext(eventfd);
         await wake(other);`,
      ],
      [
        "another ring",
        `makeNext(eventfd);
         other = Ring.open({ spin: false });`,
      ],
    ]
  ) {
    Deno.test(`a ring that ${way} wakes leaves ${what} alone that has the number of its eventfd`, async () => {
      const [before, afterUse, afterClose] = await scriptValue<string[]>(
        `${START}
        take("${way}");
        const ring = Ring.open({ spin: false });
        let other = Ring.open({ spin: false });
        await wake(ring);
        await rest();
        const [eventfd] = mine();
        close(eventfd);
        ${takes}
        const names = [nameOf(eventfd)];
        await timeouts(ring);
        names.push(nameOf(eventfd));
        await ring.close();
        for (let i = 0; i < 3; i++) {
          collect();
          await turn();
        }
        names.push(nameOf(eventfd));
        await timeouts(other);
        await other.close();
        console.log(JSON.stringify(names));
        Deno.exit();
      `,
        FLAGS,
        LIMITED,
      );
      assertEquals([afterUse, afterClose], [before, before]);
    });
  }

  Deno.test(`a nudge through ${way} writes nothing into a file that has the number of the eventfd`, async () => {
    const content = await scriptValue<string>(
      `${START}
      take("${way}");
      const handle = setup({ entries: 4 });
      const bell = new Bell(handle, () => {});
      await rest();
      const [eventfd] = mine();
      close(eventfd);
      const path = Deno.makeTempFileSync();
      const file = open(path, 2);
      give(eventfd, file);
      writeSync(file, "precious");
      await new Promise((resolve) => bell.nudge(resolve));
      bell.close();
      console.log(JSON.stringify(Deno.readTextFileSync(path)));
      Deno.removeSync(path);
      Deno.exit();
    `,
      FLAGS,
      LIMITED,
    );
    assertEquals(content, "precious");
  });

  const name =
    `a deferTaskrun ring that ${way} wakes signals no eventfd that has the number of its own`;
  testUnless(lacksFlag("DEFER_TASKRUN"), name, async () => {
    const count = await scriptValue<number>(
      `${START}
      take("${way}");
      const O_NONBLOCK = 0o4000;
      const ring = Ring.open({ spin: false, deferTaskrun: true });
      await wake(ring);
      await rest();
      const [eventfd] = mine();
      close(eventfd);
      give(eventfd, syscall("eventfd2", 0, O_NONBLOCK));
      for (let i = 0; i < 3; i++) await timeouts(ring);
      const { at } = scratch();
      console.log(syscall("read", eventfd, at, 8)); // -EAGAIN: no signal.
      Deno.exit();
    `,
      FLAGS,
      LIMITED,
    );
    assertEquals(count, -11);
  });
}

Deno.test("the waker reads no pipe that has the number of an eventfd, and goes on waking", async () => {
  const [bytes, eventfds] = await scriptValue<[string, number]>(
    `${START}
    take("${WAYS[1]}");
    const ring = Ring.open({ spin: false });
    await wake(ring);
    const [eventfd] = mine();
    close(eventfd);
    const ends = pipe();
    give(eventfd, ends.left);
    writeSync(ends.right, "hello");
    for (let i = 0; i < 3; i++) await wake(ring);
    const { bytes, at } = scratch();
    const count = syscall("read", ends.left, at, 8);
    const text = String.fromCharCode(...bytes.subarray(0, count));
    // The ring needed no other eventfd.
    console.log(JSON.stringify([text, mine().length]));
    Deno.exit();
  `,
    FLAGS,
    LIMITED,
  );
  assertEquals([bytes, eventfds], ["hello", 0]);
});

Deno.test("a waker that ends leaves a file alone that has the number of its pipe", async () => {
  const name = await scriptValue<string>(
    `${START}
    take("${WAYS[1]}");
    const numbers = () => [...Deno.readDirSync("/proc/self/fd")]
      .map(({ name }) => Number(name)).filter((fd) => nameOf(fd).startsWith("pipe:"));
    const before = numbers();
    const ring = Ring.open({ spin: false });
    await wake(ring);
    const [end] = numbers().filter((fd) => !before.includes(fd));
    close(end);
    give(end, open("/dev/null"));
    await ring.close();
    for (let i = 0; i < 3; i++) {
      collect();
      await turn();
    }
    console.log(JSON.stringify(nameOf(end)));
    Deno.exit();
  `,
    FLAGS,
    LIMITED,
  );
  assertEquals(name, "/dev/null");
});

Deno.test("more eventfds than a waker has places for wake through another waker", async () => {
  const before = descriptors("io_uring").length;
  const rung = new Set<number>();
  const relays = Array.from(
    { length: 300 },
    (_, i) =>
      new Relay(Eventfd.open(), {
        rung: () => rung.add(i),
        disconnect: () => rung.delete(i),
      }),
  );
  relays[0].hold(true);
  relays[299].hold(true);
  for (const relay of relays) relay.arm();
  for (const relay of relays) relay.eventfd.signal();
  await until(() => rung.size === relays.length);
  assertEquals(descriptors("io_uring").length, before + 2);
  for (const relay of relays) relay.close();
  assertEquals(descriptors("io_uring").length, before);
});

// ---- Rings -------------------------------------------------------------------------

testUnless(
  lacksFlag("DEFER_TASKRUN"),
  "a deferTaskrun ring leaves the eventfd of a ring alone that has its number",
  async () => {
    const woken = await scriptValue<boolean>(
      `${START}
    import "@uring/tests/kit/no_watchdogs.ts";
    import { settles } from "@uring/tests/kit/wait.ts";
    const ring = Ring.open({ spin: false, deferTaskrun: true });
    await wake(ring);
    makeNext(ring.fd);
    const other = Ring.open({ spin: false });
    if (other.fd !== ring.fd) throw new Error("another number");
    let woken = true;
    for (let i = 0; i < 4; i++) {
      const late = other.cmd(op.timeout(30));
      await ring.cmd(op.timeout(10));
      woken &&= await settles(late, 5000);
    }
    console.log(woken);
    Deno.exit();
  `,
      FLAGS,
      LIMITED,
    );
    assertEquals(woken, true);
  },
);

for (const count of [0, 16]) {
  Deno.test(`after ${count} others, a ring that closes leaves a ring alone that has its number`, async () => {
    const [closed, answers] = await scriptValue<[boolean, unknown[]]>(
      `${START}
      import { settles } from "@uring/tests/kit/wait.ts";
      const idle = Array.from({ length: ${count} }, () => Ring.open({ entries: 1 }));
      const ring = Ring.open();
      const ends = pipe();
      const memory = ring.alloc(64);
      const reads = [1, 2, 3].map(() => ring.cmd(op.read(ends.left, memory)));
      Promise.allSettled(reads);
      await turn();
      makeNext(ring.fd);
      const other = Ring.open();
      if (other.fd !== ring.fd) throw new Error("another number");
      const closed = await settles(ring.close(), 5000);
      const answers = [await other.cmd(op.nop()), other.registerFiles([0]).length];
      console.log(JSON.stringify([closed, answers]));
      Deno.exit();
    `,
      FLAGS,
      LIMITED,
    );
    assertEquals(closed, true);
    assertEquals(answers, [0, 1]);
  });

  Deno.test(`after ${count} others, a ring runs and waits for nothing on a ring that has its number`, async () => {
    const [outcome, files] = await scriptValue<[string, number]>(
      `${START}
      const idle = Array.from({ length: ${count} }, () => Ring.open({ entries: 1 }));
      const ring = Ring.open();
      makeNext(ring.fd);
      const other = Ring.open();
      if (other.fd !== ring.fd) throw new Error("another number");
      const outcomeOf = (run) => {
        try {
          return String(run());
        } catch (error) {
          return error.code;
        }
      };
      const outcome = outcomeOf(() => ring.cmdSync(op.timeout(10)));
      outcomeOf(() => ring.registerFiles([0, 0]));
      console.log(JSON.stringify([outcome, other.registerFiles([0]).length]));
      Deno.exit();
    `,
      FLAGS,
      LIMITED,
    );
    // The kernel knows a registered ring by its index.
    assertEquals(outcome, count < 16 ? "undefined" : "EBADF");
    assertEquals(files, 1);
  });
}

testUnless(
  lacksLinux(6, 3),
  "a ring gives its index back although its number is another file's",
  async () => {
    const indices = await scriptValue<number[]>(
      `${START}
    import { registerRingFd } from "@uring/ring/bare/register.ts";
    for (let i = 0; i < 20; i++) {
      const { fd, close: end } = setup({ entries: 1 });
      const file = open("/dev/null");
      close(fd);
      give(fd, file);
      end();
      close(fd);
      close(file);
    }
    const { fd } = setup({ entries: 1 });
    console.log(JSON.stringify([registerRingFd(fd)]));
    Deno.exit();
  `,
      FLAGS,
      LIMITED,
    );
    assertEquals(indices.map((it) => it >= 0), [true]);
  },
);
