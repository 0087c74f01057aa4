/** The io_uring transport on /dev/null, whose driver answers every command at once. */

import { assert, assertEquals } from "@std/assert";
import { Uring } from "../../cmd/fuse/uring.ts";
import type { FuseRequest } from "../../cmd/fuse/request.ts";
import { close, open } from "../../sys/file.ts";
import { Inbox, messageCount } from "../../cmd/fuse/inbox.ts";
import { StopSignal } from "../../ring/service/stop.ts";
import { sleep, until } from "../kit/wait.ts";

const AGREEMENT = {
  minor: 45,
  maxWrite: 131_072,
  flags: ["OVER_IO_URING" as const],
};

/** Serves /dev/null until a function has answered enough. */
async function onNull(
  receive: (uring: Uring, request: FuseRequest) => boolean,
  apart = false,
): Promise<{ uring: Uring; ended: number[]; closed: () => boolean }> {
  const fd = open("/dev/null", 2);
  let closed = false;
  const device = {
    fd,
    close: () => {
      close(fd);
      closed = true;
    },
  };
  const size = { queues: 2, depth: 3, payload: 131_072, apart };
  const uring = new Uring(device, size);
  const ended: number[] = [];
  uring.start({
    // What is read from /dev/null is no request.
    receive: (request) => request.tag < 0 || receive(uring, request),
    ended: (errno) => void ended.push(errno),
  });
  await uring.agreed(AGREEMENT);
  return { uring, ended, closed: () => closed };
}

for (const apart of [false, true]) {
  Deno.test(
    `each entry carries one request after another, ${
      apart ? "as copies" : "in place"
    }`,
    async () => {
      const counts = new Array<number>(6).fill(0);
      const { uring, ended, closed } = await onNull((uring, request) => {
        if (++counts[request.tag] === 1000) return false;
        assert(uring.reply(request, 0, 8));
        assert(!uring.reply(request, 0, 8), "a second reply goes nowhere");
        return true;
      }, apart);
      await until(() => counts.every((count) => count === 1000));
      assertEquals([uring.name, uring.how], [
        "io_uring",
        "requests by io_uring, 2 queues of 3",
      ]);
      uring.abort();
      await until(closed);
      assertEquals(ended, [103]);
    },
  );
}

Deno.test("a reply that comes later is sent, and one after the end is not", async () => {
  const held: FuseRequest[] = [];
  let late = 0;
  const { uring, closed } = await onNull((uring, request) => {
    if (late++ >= 6) held.push(request);
    else {
      setTimeout(() => {
        assert(uring.reply(request, 5, 0));
        uring.free(request);
      });
    }
    return false;
  });
  await until(() => held.length === 6);
  uring.abort();
  for (const request of held) {
    assert(!uring.reply(request, 0, 0));
    uring.free(request);
  }
  await until(closed);
  assertEquals(await uring.notify(new Uint8Array(16)), -107);
});

Deno.test("a notification is written in another thread, one after another", async () => {
  const { uring, closed } = await onNull(() => false);
  const sizes = [16, 100_000, 24, 300_000];
  const sent = sizes.map((size) => uring.notify(new Uint8Array(size)));
  assertEquals(await Promise.all(sent), [0, 0, 0, 0]);
  uring.abort();
  await until(closed);
});

Deno.test("a kernel that does not agree has the classic transport", async () => {
  const fd = open("/dev/null", 2);
  const device = { fd, close: () => close(fd) };
  const size = { queues: 1, depth: 1, payload: 131_072, apart: false };
  const uring = new Uring(device, size);
  await uring.agreed({ ...AGREEMENT, flags: [] });
  assertEquals([uring.name, uring.how], [
    "classic",
    "requests by read(2), waiting by a poll with io_uring: " +
    "the kernel does not offer FUSE over io_uring",
  ]);
  uring.abort();
});

Deno.test("a thread does not sleep while a message is on its way", async () => {
  const inbox = new Inbox();
  assertEquals(inbox.expects, false);
  inbox.receive(); // Before it is known how many were sent.
  inbox.sent = messageCount();
  inbox.sent[0] = 1;
  assertEquals(inbox.expects, false);
  using signal = new StopSignal();
  const { uring, closed } = await onNull((uring, request) =>
    uring.reply(request, 0, 8)
  );
  inbox.sent[0] = 2;
  const slept = uring.sleep(signal.fd, inbox);
  // Nothing would wake it, and it is awake.
  await sleep(50);
  inbox.receive();
  assertEquals(inbox.expects, false);
  uring.abort();
  await until(closed);
  await slept;
});

Deno.test("a driver that refuses the entries has the classic transport", async () => {
  const fd = open("/dev/zero", 0);
  const device = { fd, close: () => close(fd) };
  const size = { queues: 2, depth: 2, payload: 131_072, apart: false };
  const uring = new Uring(device, size);
  await uring.agreed(AGREEMENT);
  assertEquals([uring.name, uring.how], [
    "classic",
    "requests by read(2), waiting by a poll with io_uring: " +
    "the kernel refused io_uring with EOPNOTSUPP",
  ]);
  uring.abort();
});

Deno.test("a thread may sleep between requests, and run promises in between", async () => {
  using signal = new StopSignal();
  let count = 0;
  const { uring, closed } = await onNull((uring, request) => {
    count++;
    if (count % 100 !== 0) return uring.reply(request, 0, 8);
    if (count >= 3000) return true; // Never answered.
    Promise.resolve().then(() => {
      uring.reply(request, 0, 8);
      uring.free(request);
    });
    return false;
  });
  let woken = false;
  const slept = uring.sleep(signal.fd, new Inbox());
  await until(() => count >= 3000);
  // It sleeps, until a signal lets a timer run.
  setTimeout(() => {
    woken = true;
    uring.abort();
  });
  signal.raise();
  await until(closed);
  await slept;
  assert(woken);
});
