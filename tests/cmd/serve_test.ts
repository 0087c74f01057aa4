/**
 * The loop of a server, over a protocol of pipes: a tag reads one byte, which is the
 * request, and the reply is what `answers` collects.
 */

import { assert, assertEquals } from "@std/assert";
import * as op from "../../cmd/op.ts";
import {
  type Protocol,
  Serving,
  type ServingOptions,
} from "../../cmd/serve.ts";
import { Service } from "../../ring/service/service.ts";
import { StopSignal } from "../../ring/service/stop.ts";
import { E } from "../../sys/uapi/errno.ts";
import { type FdPair, pipe, writeSync } from "../kit/fds.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { sleep, turn, until } from "../kit/wait.ts";

interface Ask {
  readonly tag: number;
  readonly byte: string;
}

type Handler = (ask: Ask) => string | PromiseLike<string>;

/** Tags that read from pipes, and a handler. */
class Server implements AsyncDisposable {
  readonly service: Service;
  readonly serving: Serving<Ask, string>;
  readonly pipes: FdPair[] = [];
  /** What was answered: `"0: text"`, or `"0: -errno"`. */
  readonly answers: string[] = [];
  readonly aborted: string[] = [];

  constructor(tags: number, handle: Handler, options?: ServingOptions) {
    const service = this.service = Service.open({ tags });
    const bytes = service.alloc(tags);
    const protocol: Protocol<Ask, string> = {
      read: (tag, res) =>
        res > 0 ? { tag, byte: String.fromCharCode(bytes[tag]) } : null,
      handle,
      reply: (tag, _, value) => {
        if (value === "bad") throw new Error("cannot be written");
        this.answers.push(`${tag}: ${value}`);
      },
      refuse: (tag, _, errno) => void this.answers.push(`${tag}: -${errno}`),
      errnoOf(error) {
        if (error === "worse") throw new Error("no errno");
        return error === "missing" ? E.ENOENT : E.EIO;
      },
      abort: ({ byte }, errno) => void this.aborted.push(`${byte} ${errno}`),
    };
    this.serving = new Serving(service, tags, protocol, options);
    for (let tag = 0; tag < tags; tag++) {
      const ends = pipe();
      this.pipes.push(ends);
      const read = op.read(ends.left, bytes.subarray(tag, tag + 1));
      service.prepare(tag, read, this.serving.receive);
      service.submit(tag);
    }
  }

  ask(tag: number, byte: string): void {
    writeSync(this.pipes[tag].right, byte);
  }

  /** Returns the answers, once there are so many. */
  async take(count: number): Promise<string[]> {
    await until(() => this.answers.length >= count);
    return this.answers.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.service.abandon();
    await this.service.close();
    for (const ends of this.pipes) ends[Symbol.dispose]();
  }
}

Deno.test("a handler is answered for with its value, or with an errno", async () => {
  using reported = reportedErrors();
  await using server = new Server(1, ({ byte }) => {
    if (byte === "m") throw "missing";
    if (byte === "w") throw "worse";
    return byte === "b" ? "bad" : `got ${byte}`;
  });
  const found: string[] = [];
  for (const byte of "ambwc") {
    server.ask(0, byte);
    found.push(...await server.take(1));
  }
  assertEquals(found, ["0: got a", "0: -2", "0: -5", "0: -5", "0: got c"]);
  assertEquals(reported.errors.map(String), ["Error: no errno"]);
  assertEquals(server.serving.pending, 0);
});

Deno.test("a handler that returns no promise is answered in the same turn", async () => {
  await using server = new Server(2, ({ byte }) => byte);
  await turn();
  const { enters } = server.service.stats();
  server.ask(0, "a");
  server.ask(1, "b");
  assertEquals((await server.take(2)).sort(), ["0: a", "1: b"]);
  await turn();
  assert(server.service.stats().enters <= enters + 4);
  assertEquals(server.service.inFlight, 2);
});

Deno.test("promises answer in any order, and other thenables as well", async () => {
  const resolves: ((value: string) => void)[] = [];
  const thenable = {
    then(resolve: (value: string) => void) {
      resolve("thenable");
      resolve("again");
    },
  };
  await using server = new Server(
    3,
    ({ tag }) =>
      tag === 2
        ? thenable as PromiseLike<string>
        : new Promise((resolve) => resolves[tag] = resolve),
  );
  for (let tag = 0; tag < 3; tag++) server.ask(tag, "x");
  // They come in any order.
  await until(() => 0 in resolves && 1 in resolves);
  assertEquals(await server.take(1), ["2: thenable"]);
  assertEquals(server.serving.pending, 2);
  resolves[1]("b");
  assertEquals(await server.take(1), ["1: b"]);
  resolves[0]("a");
  assertEquals(await server.take(1), ["0: a"]);
  assertEquals(server.serving.pending, 0);
});

Deno.test("a promise that rejects is answered with an errno", async () => {
  await using server = new Server(1, () => Promise.reject("missing"));
  server.ask(0, "x");
  assertEquals(await server.take(1), ["0: -2"]);
});

Deno.test("a handler that takes too long is answered for, and aborted; when it is late, nobody hears it", async () => {
  const resolves: ((value: string) => void)[] = [];
  await using server = new Server(
    1,
    ({ byte }) => {
      if (byte === "a") return new Promise((resolve) => resolves.push(resolve));
      // The first is late. No timer runs between this and the second's reply, so that
      // a slow machine does not let the second time out.
      resolves[0]("late");
      return Promise.resolve().then(() => Promise.resolve("in time"));
    },
    { timeoutMs: 20 },
  );
  server.ask(0, "a");
  assertEquals(await server.take(1), [`0: -${E.ETIMEDOUT}`]);
  assertEquals(server.aborted, [`a ${E.ETIMEDOUT}`]);
  server.ask(0, "b");
  assertEquals(await server.take(1), ["0: in time"]);
  await sleep(40);
  assertEquals(server.answers, []);
  assertEquals(server.aborted, [`a ${E.ETIMEDOUT}`]);
});

Deno.test("a server that shuts down answers all that is open with an errno", async () => {
  await using server = new Server(
    3,
    ({ tag }) => tag === 0 ? "sync" : new Promise(() => {}),
    { timeoutMs: 60_000 },
  );
  server.ask(1, "b");
  server.ask(2, "c");
  await until(() => server.serving.pending === 2);
  server.serving.shutDown(E.ENODEV);
  const errno = `-${E.ENODEV}`;
  assertEquals(server.answers, [`1: ${errno}`, `2: ${errno}`]);
  assertEquals(server.serving.pending, 0);
  server.answers.length = 0;
  server.ask(0, "a");
  assertEquals(await server.take(1), [`0: ${errno}`]);
});

Deno.test("a handler that shuts its server down is answered once", async () => {
  await using server: Server = new Server(1, ({ byte }) => {
    server.serving.shutDown(E.EIO);
    if (byte === "t") throw "missing";
    return "value";
  });
  server.ask(0, "a");
  assertEquals(await server.take(1), ["0: -5"]);
  server.ask(0, "t");
  assertEquals(await server.take(1), ["0: -5"]);
  assertEquals(server.answers, []);
});

Deno.test("a late handler of a service that has ended is ignored", async () => {
  const resolves: ((value: string) => void)[] = [];
  await using server = new Server(
    1,
    () => new Promise((resolve) => resolves.push(resolve)),
  );
  server.ask(0, "a");
  await until(() => resolves.length === 1);
  server.service.abandon();
  resolves[0]("late");
  await turn();
  assertEquals(server.serving.pending, 0);
});

Deno.test("a server that sleeps in the kernel wakes up for promises, and sleeps again", async () => {
  let left = 3;
  await using server: Server = new Server(1, async ({ byte }) => {
    await sleep(5);
    // Queued before the next sleep, which ends at once with it.
    if (--left > 0) server.ask(0, String(left));
    else server.service.abandon();
    return byte;
  });
  server.ask(0, "a");
  assertEquals(await server.serving.run(), "idle");
  assertEquals(server.answers, ["0: a", "0: 2", "0: 1"]);
});

Deno.test("a stop signal ends a server that sleeps, also while a handler is pending", async () => {
  using signal = new StopSignal();
  let waiting = false;
  await using server: Server = new Server(1, ({ byte }) => {
    signal.raise();
    waiting = byte === "p";
    return waiting ? sleep(5).then(() => byte) : byte;
  });
  for (const byte of ["a", "p"]) {
    server.ask(0, byte);
    assertEquals(await server.serving.run({ stopFd: signal.fd }), "signalled");
    assertEquals(await server.take(1), [`0: ${byte}`]);
  }
  assert(waiting);
});

Deno.test("a server does not fall asleep beside a handler that the event loop has called", async () => {
  using signal = new StopSignal();
  let called = false;
  await using server: Server = new Server(2, () => {
    called = true;
    return sleep(20).then(() => {
      signal.raise();
      return "late";
    });
  });
  server.ask(0, "p");
  await until(() => called);
  assertEquals(await server.serving.run({ stopFd: signal.fd }), "signalled");
  assertEquals(await server.take(1), ["0: late"]);
});
