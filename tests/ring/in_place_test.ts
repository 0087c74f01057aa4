/**
 * Commands with memory of alloc(): the kernel uses it in place, wherever it lies
 * and however often its address changes.
 */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, type RingOptions, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { setup } from "../../ring/bare/setup.ts";
import type { Command } from "../../ring/command.ts";
import { Batch } from "../../ring/flight/batch.ts";
import { Engine } from "../../ring/loop/engine.ts";
import { alloc } from "../../ring/raw.ts";
import { arenaOf } from "../../sys/arena.ts";
import { open } from "../../sys/file.ts";
import { libc } from "../../sys/libc.ts";
import { O_DIRECT, O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { IORING_OP_ASYNC_CANCEL } from "../../sys/uapi/io_uring.ts";
import { memoryAt, Page, pageOf } from "../attack/late/pages.ts";
import { pressure } from "../attack/late/assault.ts";
import { devNull, Fd, pipe, writeSync } from "../kit/fds.ts";
import { pretendRelease } from "../kit/refuse.ts";
import { testUnless } from "../kit/skip.ts";
import { until } from "../kit/wait.ts";

/** Bytes of the file below. */
const SIZE = 1 << 18;
/** Bytes that tell their place in a file. */
const content = Uint8Array.from({ length: SIZE }, (_, i) => i * 7 + (i >> 8));

/** A file with that content. */
async function contentFile(flags = O_RDONLY): Promise<Fd & AsyncDisposable> {
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, content);
  const file = new Fd(open(path, flags));
  await Deno.remove(path);
  return Object.assign(file, {
    [Symbol.asyncDispose]: () => Promise.resolve(file.close()),
  });
}

/** The byte of memory that no command writes. */
const OTHER = 0xee;

const RINGS: Readonly<Record<string, RingOptions & { held?: boolean }>> = {
  "a ring": {},
  "a ring with large entries": { sqe128: true, cqe32: true },
  "a ring with a submission thread": { sqpoll: true },
  "a small ring": { entries: 2 },
  "a ring that holds its SQEs, as on Linux 6.12": { held: true },
};

type Run = (ring: Ring, commands: Command<number>[]) => unknown;

const RUNS: Readonly<Record<string, Run>> = {
  cmd: (ring, commands) => Promise.all(commands.map((it) => ring.cmd(it))),
  cmdSync: (ring, commands) => commands.map((it) => ring.cmdSync(it)),
  cmdAllSync: (ring, commands) => ring.cmdAllSync(commands),
  cmdAll: (ring, commands) => ring.cmdAll(commands),
  "a batch with other commands": (ring, commands) => {
    const into = new Uint8Array(1);
    using file = devNull();
    const heap = op.write(file.fd, into);
    return ring.cmdAllSync([...commands, heap]).slice(0, -1);
  },
};

for (const [which, { held, ...options }] of Object.entries(RINGS)) {
  for (const [how, run] of Object.entries(RUNS)) {
    Deno.test(`each byte is read where it belongs, by ${how} on ${which}`, async () => {
      await using file = await contentFile();
      using _release = held ? pretendRelease("6.12.0") : null;
      await using ring = Ring.open(options);
      const memory = ring.alloc(SIZE + 65536).fill(OTHER);
      const expected = memory.slice();
      const reads = op.readsOf(file.fd, memory);
      const commands: Command<number>[] = [];
      const lengths: number[] = [];
      // Across many boundaries of 64 KiB, and with gaps.
      let at = 3;
      for (let i = 0; at < SIZE; i++) {
        const length = 1 + i * 991 % 13_000;
        const offset = i * 4099 % (SIZE - length);
        const command = i % 2
          ? reads.at(offset, at, length)
          : op.read(file.fd, memory.subarray(at, at + length), { offset });
        commands.push(command);
        lengths.push(length);
        expected.set(content.subarray(offset, offset + length), at);
        at += length + i % 5;
      }
      assertGreater(commands.length, 30);
      for (let round = 0; round < 2; round++) {
        memory.fill(OTHER);
        assertEquals(await run(ring, commands), lengths);
        assert(memory.every((byte, i) => byte === expected[i]));
      }
    });
  }
}

Deno.test("each command of a chain reads where it should", async () => {
  await using file = await contentFile();
  await using ring = Ring.open();
  const memory = ring.alloc(100);
  const reads = op.readsOf(file.fd, memory);
  const chain = [reads.at(0, 0, 10), reads.at(50, 20, 30), reads.at(7, 99, 1)];
  assertEquals(await Promise.all(ring.link(chain)), [10, 30, 1]);
  const expected = new Uint8Array(100);
  expected.set(content.subarray(0, 10), 0);
  expected.set(content.subarray(50, 80), 20);
  expected.set(content.subarray(7, 8), 99);
  assertEquals(memory.slice(), expected);
});

/** Returns the missing requirement of reads past the page cache; empty if none. */
async function lacksDirect(): Promise<string> {
  try {
    await using _file = await contentFile(O_RDONLY | O_DIRECT);
    return "";
  } catch {
    return "folder for temporary files with O_DIRECT, as tmpfs has it since Linux 6.6";
  }
}

const PAST_CACHE =
  "a file is read past the page cache into parts of one memory";
testUnless(await lacksDirect(), PAST_CACHE, async () => {
  await using file = await contentFile(O_RDONLY | O_DIRECT);
  await using ring = Ring.open({ deferTaskrun: true });
  const memory = ring.alloc(SIZE);
  const reads = op.readsOf(file.fd, memory);
  const commands = Array.from(
    { length: SIZE / 4096 },
    (_, i) => reads.at(i * 4096, SIZE - (i + 1) * 4096, 4096),
  );
  ring.cmdAllSync(commands);
  for (let i = 0; i < commands.length; i++) {
    const part = memory.slice(SIZE - (i + 1) * 4096, SIZE - i * 4096);
    assertEquals(part, content.slice(i * 4096, (i + 1) * 4096));
  }
});

Deno.test("a command with two addresses in memory of alloc() has both", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const [one, two] = [alloc(70_000).subarray(66_000), alloc(8).subarray(4)];
  const kernel = "both";
  const command = uringCmd({
    fd: file.fd,
    cmd_op: 1,
    addr: { bytes: one, kernel },
    addr3: { bytes: two, kernel },
  });
  const words = new Int32Array(16);
  const address = (at: number) =>
    (words[at] >>> 0) + (words[at + 1] >>> 0) * 2 ** 32;
  const placeOf = (bytes: Uint8Array) =>
    arenaOf(bytes.buffer)!.address + bytes.byteOffset;
  assertEquals([command.leases, command.numeric], [false, true]);
  assertEquals(ring.cmdAllSync([command, command]), [0, 0]);
  command.encode(words, 0, false, 0, 0);
  assertEquals([address(4), address(12)], [0, 0]);
  command.encodeAddresses(words, 0);
  assertEquals([address(4), address(12)], [placeOf(one), placeOf(two)]);
  const mixed = uringCmd({
    fd: file.fd,
    cmd_op: 1,
    addr: { bytes: one, kernel },
    addr3: { bytes: new Uint8Array(8), kernel },
  });
  assertEquals([mixed.leases, mixed.numeric], [true, false]);
  assertEquals(ring.cmdSync(mixed), 0);
});

Deno.test("memory of a batch that was cut short is there until the kernel has written it", async () => {
  const handle = setup({ entries: 8 });
  const engine = new Engine(handle);
  using pair = pipe();
  const { symbols } = libc();
  const { enter } = symbols;
  let calls = 0;
  using _driver = stub(symbols, "enter", (...args) => {
    if (calls++ === 1) throw new Error("cut short");
    // As with a driver that cannot cancel.
    const { words } = handle.sq;
    for (let at = 0; at < words.length; at += 16) {
      if ((words[at] & 0xff) === IORING_OP_ASYNC_CANCEL) words[at] &= ~0xff;
    }
    return enter(...args);
  });
  const places = (() => {
    const memory = alloc(8192);
    const reads = op.readsOf(pair.left, memory);
    const commands = [reads.at(0, 0, 4), reads.at(0, 4096, 4)];
    const batch = new Batch(engine.queues, commands, false);
    assertThrows(() => engine.sync.run(batch), Error, "cut short");
    const { address } = arenaOf(memory.buffer)!;
    return [address, address + 4096];
  })();
  for (let i = 0; i < 5; i++) await pressure();
  // Other memory would be mapped there now.
  assertEquals(places.map((at) => Page.at(pageOf(at))), [null, null]);
  assertEquals(engine.queues.room.inFlight, 2);
  const text = (at: number) => new TextDecoder().decode(memoryAt(at, 4));
  writeSync(pair.right, "late");
  await until(() => engine.queues.room.inFlight === 1);
  writeSync(pair.right, "more");
  await until(() => engine.queues.room.inFlight === 0);
  assertEquals(places.map(text).sort(), ["late", "more"]);
  await engine.close();
});
