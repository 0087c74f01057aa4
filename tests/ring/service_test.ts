/** Services: tags that complete, are answered, and complete again. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { createContext, runInContext } from "node:vm";
import { spy, stub } from "@std/testing/mock";
import { BufferRing, Ring, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { alloc } from "../../ring/alloc.ts";
import { Command } from "../../ring/command.ts";
import { Service, type ServiceOptions } from "../../ring/service/service.ts";
import { StopSignal } from "../../ring/service/stop.ts";
import { E } from "../../sys/uapi/errno.ts";
import { libc } from "../../sys/libc.ts";
import {
  IORING_CQE_F_MORE,
  IORING_OP_POLL_ADD,
  IORING_POLL_ADD_MULTI,
} from "../../sys/uapi/io_uring.ts";
import "../kit/no_watchdogs.ts";
import { devNull, type FdPair, pipe, writeSync } from "../kit/fds.ts";
import { descriptors, mappingCount } from "../kit/process.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { runScript } from "../kit/run.ts";
import { collect, settles, turn, until } from "../kit/wait.ts";
import { replacePipe, take, WAYS } from "../kit/wires.ts";

/** Word of an SQE with the low half of its offset. */
const OFF = 2;

interface Shape {
  readonly name: string;
  readonly options: Partial<ServiceOptions>;
  readonly held?: boolean;
}

const SHAPES: readonly Shape[] = [
  { name: "", options: {} },
  { name: " with deferTaskrun", options: { deferTaskrun: true } },
  { name: " with large entries", options: { sqe128: true } },
  { name: " as on Linux 6.12", options: {}, held: true },
];

function open(tags: number, { options, held }: Shape = SHAPES[0]): Service {
  using _release = held ? pretendRelease("6.12.0") : null;
  return Service.open({ tags, spin: false, ...options });
}

/** A pipe, and a tag that reads a byte from it. */
interface Reader extends Disposable {
  readonly ends: FdPair;
  readonly bytes: Uint8Array;
}

function reader(
  service: Service,
  tag: number,
  receive: (tag: number, res: number, flags: number) => void,
): Reader {
  const ends = pipe();
  const bytes = service.alloc(8);
  service.prepare(tag, op.read(ends.left, bytes), receive);
  return { ends, bytes, [Symbol.dispose]: () => ends[Symbol.dispose]() };
}

for (const shape of SHAPES) {
  Deno.test(`the tags of a turn go to the kernel in one enter, with all replies${shape.name}`, async () => {
    using file = devNull();
    const service = open(8, shape);
    const told: number[] = [];
    const receive = (tag: number, res: number) => {
      assertEquals(res, 0);
      told.push(tag);
      if (told.length <= 8 * 3) service.submit(tag);
    };
    const command = uringCmd({ fd: file.fd, cmd_op: 0 });
    for (let tag = 0; tag < 8; tag++) {
      service.prepare(tag, command, receive);
      service.submit(tag);
    }
    assertEquals([service.inFlight, service.stats().enters], [8, 0]);
    await until(() => service.inFlight === 0);
    const { enters, submitted, completions, wakes } = service.stats();
    assertEquals([enters, wakes], [4, 0]);
    assertEquals([submitted, completions], [32, 32]);
    assertEquals(told.slice(0, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
    await service.close();
  });

  for (const way of WAYS) {
    Deno.test(`completions that come later wake the event loop through ${way}${shape.name}`, async () => {
      using _way = take(way);
      const service = open(2, shape);
      const told: [number, number][] = [];
      const receive = (tag: number, res: number) => {
        told.push([tag, res]);
        if (told.length < 6) service.submit(tag);
      };
      using first = reader(service, 0, receive);
      using second = reader(service, 1, receive);
      service.submit(0);
      service.submit(1);
      await turn();
      for (let i = 0; i < 3; i++) {
        const { enters } = service.stats();
        const before = told.length;
        writeSync(first.ends.right, "a");
        writeSync(second.ends.right, "b");
        await until(() => told.length >= before + 2);
        await turn();
        // Both in one turn or in two, each of which posts what was deferred first.
        const most = shape.options.deferTaskrun ? 4 : 2;
        assert(service.stats().enters <= enters + most);
      }
      assert(service.stats().wakes >= 3);
      assertEquals(told.map(([, res]) => res), [1, 1, 1, 1, 1, 1]);
      assertEquals([first.bytes[0], second.bytes[0]], [97, 98]);
      if (service.inFlight > 0) service.abandon();
      await service.close();
    });
  }

  Deno.test(`a reply is the SQE of the tag with other words${shape.name}`, async () => {
    const path = Deno.makeTempFileSync();
    Deno.writeTextFileSync(path, "0123456789");
    await using ring = Ring.open();
    const fd = ring.cmdSync(op.openat(path));
    Deno.removeSync(path);
    const service = open(2, shape);
    const bytes = service.alloc(16);
    let seen = "";
    const words: Int32Array[] = [];
    for (let tag = 0; tag < 2; tag++) {
      const into = bytes.subarray(tag, tag + 1);
      words[tag] = service.prepare(tag, op.read(fd, into, { offset: 0 }), (
        tag,
        res,
      ) => {
        assertEquals(res, 1);
        seen += String.fromCharCode(bytes[tag]);
        words[tag][OFF] += 2;
        if (words[tag][OFF] < 10) service.submit(tag);
      });
    }
    words[1][OFF] = 1;
    service.submit(0);
    service.submit(1);
    await service.close();
    assertEquals([...seen].sort().join(""), "0123456789");
    assertEquals(words[0].length, 0); // Detached with the ring.
    ring.cmdSync(op.close(fd));
  });

  Deno.test(`a service runs in its thread until no tag is in flight${shape.name}`, async () => {
    using file = devNull();
    const service = open(4, shape);
    let left = 100;
    const receive = (tag: number) => {
      if (--left > 0) service.submit(tag);
    };
    const command = uringCmd({ fd: file.fd, cmd_op: 0 });
    for (let tag = 0; tag < 4; tag++) {
      service.prepare(tag, command, receive);
      service.submit(tag);
    }
    assertEquals(service.run(), "idle");
    assert(left <= 0);
    const { enters, wakes } = service.stats();
    assertEquals([Math.ceil(103 / 4), 0], [enters, wakes]);
    assertEquals(service.run(), "idle");
    await service.close();
    assertEquals(service.run(), "idle");
  });
}

Deno.test("replies of async code go to the kernel in one enter", async () => {
  using file = devNull();
  const service = open(6);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  const counts = new Array(6).fill(0);
  const later = async (tag: number) => {
    for (let i = 0; i <= tag % 3; i++) await null;
    service.submit(tag);
  };
  for (let tag = 0; tag < 6; tag++) {
    service.prepare(tag, command, (tag) => {
      if (++counts[tag] < 4) void later(tag);
    });
    service.submit(tag);
  }
  await until(() => counts.every((count) => count === 4));
  assertEquals(service.stats().enters, 4);
  await service.close();
});

Deno.test("timers live while tags complete at once for ever", async () => {
  using file = devNull();
  const service = open(4);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  let going = true;
  for (let tag = 0; tag < 4; tag++) {
    service.prepare(tag, command, (tag) => {
      if (going) service.submit(tag);
    });
    service.submit(tag);
  }
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // I/O of others is looked for as well.
  using ends = pipe();
  await using ring = Ring.open();
  const read = ring.cmd(op.read(ends.left, new Uint8Array(1)));
  await turn();
  writeSync(ends.right, "x");
  assert(await settles(read));
  going = false;
  await service.close();
  assert(service.stats().completions > 100);
});

Deno.test("the event loop is due after 16 enters", async () => {
  using file = devNull();
  const service = open(1);
  let left = 1000;
  service.prepare(0, uringCmd({ fd: file.fd, cmd_op: 0 }), (tag) => {
    if (left-- > 0) service.submit(tag);
  });
  // While time stands still, it is not due for another reason.
  using _clock = stub(performance, "now", () => 0);
  service.submit(0);
  await turn();
  assertEquals(service.stats().enters, 16);
  left = 0;
  await service.close();
});

Deno.test("a tag that is in flight, unprepared or unknown is refused", async () => {
  const service = open(2);
  using _reader = reader(service, 0, () => {});
  service.submit(0);
  assertThrows(() => service.submit(0), TypeError, "in flight");
  assertThrows(() => service.submit(1), TypeError, "not prepared");
  assertThrows(() => service.submit(7), RangeError, "no tag 7");
  const nop = op.nop();
  assertThrows(() => service.prepare(0, nop, () => {}), TypeError, "in flight");
  assertThrows(() => service.prepare(2, nop, () => {}), RangeError, "tag");
  const other = op.read(0, new Uint8Array(8));
  assertThrows(() => service.prepare(1, other, () => {}), TypeError, "alloc");
  const payload = new Uint8Array(80);
  const wide = uringCmd({ fd: 0, cmd_op: 0, payload });
  assertThrows(() => service.prepare(1, wide, () => {}), RangeError, "sqe128");
  const buffers = new BufferRing(0, 1, 8);
  const lent = op.recv(0, buffers) as Command<unknown>;
  assertThrows(() => service.prepare(1, lent, () => {}), TypeError, "tables");
  assertThrows(() => service.submit(1), TypeError, "not prepared");
  // A call that throws in the middle leaves no SQE that is half of one.
  service.prepare(1, nop, () => {});
  assertThrows(() => service.prepare(1, other, () => {}), TypeError, "alloc");
  assertThrows(() => service.submit(1), TypeError, "not prepared");
  service.abandon();
  assertThrows(() => service.submit(0), TypeError, "has ended");
  await service.close();
});

Deno.test("a tag that completes many times stays in flight", async () => {
  const service = open(1);
  using ends = pipe();
  const multishot = new Command<unknown>({
    name: "POLL_ADD",
    opcode: IORING_OP_POLL_ADD,
    file: ends.left,
    len: IORING_POLL_ADD_MULTI,
    opFlags: op.POLLIN,
    multishot: true,
  });
  const told: boolean[] = [];
  service.prepare(0, multishot, (_tag, _res, flags) => {
    told.push((flags & IORING_CQE_F_MORE) !== 0);
  });
  service.submit(0);
  for (let i = 1; i <= 3; i++) {
    await turn();
    writeSync(ends.right, "x");
    await until(() => told.length === i);
    assertEquals(service.inFlight, 1);
  }
  assertEquals(told, [true, true, true]);
  service.abandon();
});

Deno.test("a completion that comes while the bell is armed is found", async () => {
  const service = open(1, { name: "", options: { spin: true } });
  let told = 0;
  using read = reader(service, 0, (tag) => {
    told++;
    if (told < 3) service.submit(tag);
  });
  service.submit(0);
  await turn();
  const real = performance.now;
  // The service asks for the time when it has looked for completions, for the last
  // time before the kernel is to signal them.
  using _clock = stub(performance, "now", () => {
    if (told === 1) {
      told++;
      writeSync(read.ends.right, "b");
    }
    return real.call(performance);
  });
  writeSync(read.ends.right, "a");
  const found = (async () => {
    while (told < 3) await turn();
  })();
  assert(await settles(found, 5000));
  await service.close();
});

Deno.test("what code submits that runs while the bell is made is handed over", async () => {
  using file = devNull();
  const service = open(3);
  let left = 40; // More than one turn, so that the event loop calls the last.
  let told = false;
  using _read = reader(service, 1, () => {});
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  service.prepare(2, command, () => told = true);
  service.prepare(0, command, (tag) => service.submit(--left > 0 ? tag : 1));
  // Any code may run in microtasks while Deno loads a module.
  let made = 0;
  using _pipe = replacePipe(function () {
    if (made++ === 0) service.submit(2);
  });
  service.submit(0);
  await until(() => made > 0);
  const found = (async () => {
    while (!told) await turn();
  })();
  assert(await settles(found, 5000));
  service.abandon();
});

Deno.test("a receiver that throws loses no completion and stops nothing", async () => {
  using file = devNull();
  using reported = reportedErrors();
  const service = open(3);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  const told: number[] = [];
  for (let tag = 0; tag < 3; tag++) {
    service.prepare(tag, command, (tag) => {
      told.push(tag);
      if (told.length <= 3) service.submit(tag);
      throw new Error(`tag ${tag}`);
    });
    service.submit(tag);
  }
  await service.close();
  assertEquals(told, [0, 1, 2, 0, 1, 2]);
  assertEquals(
    reported.errors.map((error) => (error as Error).message),
    told.map((tag) => `tag ${tag}`),
  );
});

Deno.test("a receiver that recurses without an end costs the others nothing", async () => {
  using file = devNull();
  using reported = reportedErrors();
  const service = open(2);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  const recurse = (): number => 1 + recurse();
  let told = 0;
  service.prepare(0, command, () => void recurse());
  service.prepare(1, command, () => told++);
  service.submit(0);
  service.submit(1);
  await service.close();
  assertEquals([told, reported.errors.length], [1, 1]);
  assert(reported.errors[0] instanceof RangeError);
});

Deno.test("the queues wrap around", async () => {
  using file = devNull();
  const service = open(3);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  const counts = [0, 0, 0];
  for (let tag = 0; tag < 3; tag++) {
    service.prepare(tag, command, (tag) => {
      // Each at a pace of its own, so that tags meet every place of the queue.
      if (++counts[tag] < 5000 * (tag + 1)) service.submit(tag);
    });
    service.submit(tag);
  }
  assertEquals(service.run(), "idle");
  assertEquals(counts, [5000, 10000, 15000]);
  await service.close();
});

Deno.test("close waits until no tag is in flight, and serves until then", async () => {
  const rings = descriptors("io_uring").length;
  const service = open(1);
  let count = 0;
  using read = reader(service, 0, (tag) => {
    if (++count < 3) service.submit(tag);
  });
  service.submit(0);
  const closed = service.close();
  assertEquals(await settles(closed, 20), false);
  for (let i = 1; i <= 3; i++) {
    writeSync(read.ends.right, "x");
    await until(() => count === i);
  }
  await closed;
  assertEquals(service.isOpen, false);
  assertEquals(descriptors("io_uring").length, rings);
  await service.close();
});

Deno.test("abandon frees the descriptor and the mappings at once, and keeps the memory", async () => {
  const before = descriptors("io_uring").length;
  const eventfds = descriptors("eventfd").length;
  const service = open(2);
  let told = 0;
  using read = reader(service, 0, () => told++);
  const own = alloc(16);
  const address = service.keep(own);
  assertNotEquals(address, 0);
  service.submit(0);
  await turn();
  assertEquals(service.inFlight, 1);
  const closed = service.close();
  service.abandon();
  service.abandon();
  await closed;
  assertEquals(descriptors("io_uring").length, before);
  assertEquals(descriptors("eventfd").length, eventfds);
  await turn();
  writeSync(read.ends.right, "x");
  await turn();
  assertEquals([told, service.isOpen], [0, false]);
});

Deno.test("the last ring that closes leaves a service its memory", async () => {
  const service = open(1);
  let result = 0;
  using read = reader(service, 0, (_, res) => result = res);
  service.submit(0);
  await turn();
  await Ring.open().close();
  writeSync(read.ends.right, "x");
  await until(() => result !== 0);
  assertEquals([result, read.bytes[0]], [1, "x".charCodeAt(0)]);
  await service.close();
});

Deno.test("a service that has closed leaves its memory one mapping, which is JavaScript's", async () => {
  const service = open(1);
  const all = Array.from({ length: 20 }, () => service.alloc(65536));
  const before = mappingCount();
  await service.close();
  // The kernel's mapping of each, and pages that guard it.
  assert(mappingCount() <= before - 20);
  all.forEach((bytes) => assertEquals(bytes[0], 0));
});

Deno.test("a service that is abandoned with a tag in flight leaves its memory mapped for the kernel", async () => {
  const service = open(1);
  for (let i = 0; i < 20; i++) service.alloc(65536);
  using _read = reader(service, 0, () => {});
  service.submit(0);
  await turn();
  const before = mappingCount();
  service.abandon();
  // The queues of the ring go.
  assert(mappingCount() > before - 10);
});

/** Makes a service, ends it, and returns what remains of its memory. */
async function memoryAfter(
  end: (service: Service) => void | Promise<void>,
): Promise<WeakRef<ArrayBufferLike>> {
  const service = open(1);
  const bytes = service.alloc(8);
  const weak = new WeakRef(bytes.buffer);
  await end(service);
  return weak;
}

Deno.test("memory of a service is kept for good only if it was abandoned with a tag in flight", async () => {
  using ends = pipe();
  const inFlight = await memoryAfter((service) => {
    const read = op.read(ends.left, alloc(1));
    service.prepare(0, read, () => {});
    service.submit(0);
    service.abandon();
  });
  const idle = await memoryAfter((service) => service.abandon());
  const closed = await memoryAfter((service) => service.close());
  const gone = () => !closed.deref() && !idle.deref();
  for (let i = 0; i < 10 && !gone(); i++) {
    await turn();
    collect();
  }
  assert(gone());
  assertNotEquals(inFlight.deref(), undefined);
});

Deno.test("a receiver can abandon the service", async () => {
  using file = devNull();
  const service = open(3);
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  let told = 0;
  for (let tag = 0; tag < 3; tag++) {
    service.prepare(tag, command, () => {
      told++;
      service.abandon();
    });
    service.submit(tag);
  }
  await service.close();
  assertEquals(told, 1);
});

Deno.test("a ring that cannot go on abandons the service, and tells", async () => {
  using file = devNull();
  const errors: Error[] = [];
  const service = Service.open({ tags: 1, failed: (it) => errors.push(it) });
  service.prepare(0, uringCmd({ fd: file.fd, cmd_op: 0 }), () => {});
  const { symbols, errno } = libc();
  const { enter } = symbols;
  const mutable = symbols as { enter: unknown };
  try {
    mutable.enter = () => {
      errno[0] = E.EBADF;
      return -1;
    };
    service.submit(0);
    await until(() => !service.isOpen);
  } finally {
    mutable.enter = enter;
  }
  assertMatch(`${errors[0]}`, /EBADF/);
  await service.close();
});

for (const errno of ["EINTR", "EAGAIN", "EBUSY"] as const) {
  Deno.test(`an io_uring_enter that answers ${errno} is made again`, async () => {
    using file = devNull();
    const service = open(1);
    let told = 0;
    service.prepare(0, uringCmd({ fd: file.fd, cmd_op: 0 }), () => told++);
    const { symbols, errno: memory } = libc();
    const { enter } = symbols;
    const mutable = symbols as { enter: unknown };
    let refusals = 3;
    try {
      mutable.enter = (...args: Parameters<typeof enter>) => {
        if (refusals-- <= 0) return enter(...args);
        memory[0] = E[errno];
        return -1;
      };
      service.submit(0);
      await until(() => told === 1);
    } finally {
      mutable.enter = enter;
    }
    await service.close();
  });
}

// ---- A thread of its own ------------------------------------------------------

Deno.test("run submits all replies and waits for the next in one enter", () => {
  const service = open(2);
  const received: number[] = [];
  const receive = (tag: number) => {
    received.push(tag);
    writeSync([second, first][tag].ends.right, "x");
    service.submit(tag);
    if (received.length === 10) service.stop();
  };
  using first = reader(service, 0, receive);
  using second = reader(service, 1, receive);
  service.submit(0);
  service.submit(1);
  writeSync(first.ends.right, "x");
  using calls = spy(libc().symbols, "enter");
  assertEquals(service.run(), "stopped");
  assertEquals(received, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
  assertEquals(calls.calls.length, 11);
  service.abandon();
});

Deno.test("run stops when a receiver says so, and the event loop goes on", async () => {
  const service = open(2);
  let told = 0;
  using read = reader(service, 0, (tag) => {
    if (++told === 2) service.stop();
    service.submit(tag);
  });
  service.submit(0);
  writeSync(read.ends.right, "xx".repeat(8));
  assertEquals(service.run(), "stopped");
  assertEquals(told, 2);
  service.stop(); // Outside of run it does nothing.
  await turn();
  writeSync(read.ends.right, "x");
  await until(() => told === 3);
  assertEquals(service.inFlight, 1);
  service.abandon();
});

Deno.test("run refuses to run inside a receiver", async () => {
  using file = devNull();
  const service = open(1);
  let error: unknown;
  service.prepare(0, uringCmd({ fd: file.fd, cmd_op: 0 }), () => {
    try {
      service.run();
    } catch (thrown) {
      error = thrown;
    }
  });
  service.submit(0);
  await service.close();
  assert(error instanceof TypeError);
});

Deno.test("a stop signal ends run, once for each time it was raised", async () => {
  const service = open(1);
  using signal = new StopSignal();
  using read = reader(service, 0, (tag) => service.submit(tag));
  service.submit(0);
  signal.raise();
  signal.raise();
  assertEquals(service.run({ stopFd: signal.fd }), "signalled");
  assertEquals(service.inFlight, 1);
  // In the event loop, a signal is for the next run.
  await turn();
  writeSync(read.ends.right, "x");
  await turn();
  signal.raise();
  assertEquals(service.run({ stopFd: signal.fd }), "signalled");
  service.abandon();
});

Deno.test("the poll for a stop signal does not keep close waiting", async () => {
  using file = devNull();
  const service = open(1);
  using signal = new StopSignal();
  service.prepare(0, uringCmd({ fd: file.fd, cmd_op: 0 }), () => {});
  service.submit(0);
  assertEquals(service.run({ stopFd: signal.fd }), "idle");
  assertEquals(service.inFlight, 0);
  assert(await settles(service.close()));
});

Deno.test("run says that a stop signal cannot be polled", async () => {
  const service = open(1);
  using _read = reader(service, 0, () => {});
  service.submit(0);
  assertThrows(() => service.run({ stopFd: 9999 }), Error, "POLL_ADD");
  service.abandon();
  await service.close();
});

const WORKER = (root: string) => `
  import { Service } from "${root}ring/service/service.ts";
  import * as op from "${root}cmd/op.ts";
  onmessage = async ({ data: { readFd, writeFd, stopFd } }) => {
    const service = Service.open({ tags: 2, deferTaskrun: true });
    const bytes = service.alloc(1);
    let told = 0;
    service.prepare(0, op.read(readFd, bytes), () => {
      told++;
      service.submit(1);
    });
    service.prepare(1, op.write(writeFd, bytes), () => service.submit(0));
    service.submit(0);
    const end = service.run({ stopFd });
    const { inFlight } = service;
    service.abandon();
    await service.close();
    postMessage({ end, inFlight, told });
    close();
  };
`;

Deno.test("a worker sleeps in the kernel, answers this thread that blocks, and is stopped from it", async () => {
  const root = new URL("../../", import.meta.url).href;
  const source = `data:text/javascript,${encodeURIComponent(WORKER(root))}`;
  using asks = pipe();
  using answers = pipe();
  using signal = new StopSignal();
  const worker = new Worker(source, { type: "module" });
  const result = new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  worker.postMessage({
    ...{ readFd: asks.left, writeFd: answers.right, stopFd: signal.fd },
  });
  const into = alloc(1);
  await using ring = Ring.open();
  for (let i = 0; i < 100; i++) {
    assertEquals(writeSync(asks.right, new Uint8Array([i])), 1);
    // This blocks the thread until the worker has answered.
    assertEquals(ring.cmdSync(op.read(answers.left, into)), 1);
    assertEquals(into[0], i);
  }
  signal.raise();
  assertEquals(await result, { end: "signalled", inFlight: 1, told: 100 });
});

// ---- Calls that are cut short ---------------------------------------------------

for (const answers of [false, true]) {
  const when = answers ? "after" : "before";
  Deno.test(`a receiver that node:vm ends ${when} its answer has answered once`, async () => {
    const service = open(1);
    let [told, inside] = [0, true];
    using read = reader(service, 0, (tag) => {
      told++;
      if (answers || told > 1) service.submit(tag);
      while (inside);
    });
    service.submit(0);
    await turn();
    const { symbols } = libc();
    const { enter } = symbols;
    {
      // Written while run waits: no signal to the event loop makes the next turn.
      using _enter = stub(symbols, "enter", (...args) => {
        if (told === 0) writeSync(read.ends.right, "a");
        return enter(...args);
      });
      const context = createContext({ service });
      const program = "service.run()";
      assertThrows(() => runInContext(program, context, { timeout: 100 }));
    }
    inside = false;
    await until(() => told === (answers ? 1 : 2));
    for (let i = 0; i < 3; i++) await turn();
    assertEquals([told, service.inFlight], [answers ? 1 : 2, 1]);
    writeSync(read.ends.right, "b");
    await until(() => told === (answers ? 2 : 3));
    service.abandon();
  });
}

Deno.test("a turn does not begin inside a receiver, even if Deno runs microtasks there", async () => {
  const { stdout, stderr } = await runScript(
    `
    import { Service } from "@uring/ring/service/service.ts";
    import * as op from "@uring/cmd/op.ts";
    const service = Service.open({ tags: 2 });
    let inside = false;
    const receive = (tag) => {
      if (inside) console.log("inside another");
      inside = true;
      if (tag === 0 && again-- > 0) {
        service.submit(0);
        process.getBuiltinModule("node:net"); // Loads it.
      }
      inside = false;
      told++;
    };
    let [told, again] = [0, 1];
    // Where no microtask is the caller, they run in the middle of the call.
    setTimeout(async () => {
      for (let tag = 0; tag < 2; tag++) {
        service.prepare(tag, op.nop(), receive);
        service.submit(tag);
      }
      service.run();
      await service.close();
      console.log(told);
    });
  `,
    undefined,
    ["timeout", "60"],
  );
  assertEquals([stdout, stderr], ["3\n", ""]);
});

// ---- The life of the process -----------------------------------------------------

const HOLD = (more: string) => `
  import { Service } from "@uring/ring/service/service.ts";
  import { alloc } from "@uring/ring/alloc.ts";
  import * as op from "@uring/cmd/op.ts";
  import { syscall } from "@uring/sys/libc.ts";
  import { scratch } from "@uring/sys/scratch.ts";
  syscall("pipe2", scratch().at, 0);
  const fds = [scratch().view.getInt32(0, true), scratch().view.getInt32(4, true)];
  const service = Service.open({ tags: 1 });
  service.prepare(0, op.read(fds[0], service.alloc(1)), () => console.log("told"));
  service.submit(0);
  ${more}
`;

Deno.test("tags in flight keep the process alive, unless it was told otherwise", async () => {
  const write =
    `setTimeout(() => syscall("write", fds[1], scratch().at, 1), 50);`;
  const held = await runScript(HOLD(`${write} console.log("end");`));
  assertEquals([held.stdout, held.stderr], ["end\ntold\n", ""]);
  const late = `Deno.unrefTimer(${write.slice(0, -1)}); service.ref();`;
  const again = await runScript(HOLD(`service.unref(); ${late}`));
  assertEquals([again.stdout, again.stderr], ["told\n", ""]);
  const free = await runScript(HOLD(`service.unref(); console.log("end");`));
  assertEquals([free.stdout, free.stderr], ["end\n", ""]);
});

Deno.test("a page that unloads abandons its services", async () => {
  const { stdout, stderr } = await runScript(HOLD(`
    dispatchEvent(new Event("unload"));
    console.log(service.isOpen);
  `));
  assertEquals([stdout, stderr], ["false\n", ""]);
});
