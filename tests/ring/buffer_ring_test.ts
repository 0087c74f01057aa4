/** Provided buffers: the ring that the kernel reads, and who has each buffer. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import {
  BufferRing,
  type Command,
  LentBuffer,
  Ring,
  type RingOptions,
  uringCmd,
  UringError,
} from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import * as raw from "../../ring/raw.ts";
import { Command as Made } from "../../ring/raw.ts";
import { lendBuffer, memoryOf, wasConsumed } from "../../ring/buffer_ring.ts";
import { libc, syscall } from "../../sys/libc.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { Taker } from "../kit/buffer_taker.ts";
import { textOf, utf8 } from "../kit/bytes.ts";
import {
  Fd,
  type FdPair,
  pipe,
  tcpPair,
  unixPair,
  writeSync,
} from "../kit/fds.ts";
import { words } from "../kit/golden.ts";
import { outcome } from "../kit/outcome.ts";
import { random } from "../kit/random.ts";
import { lacksFlag, lacksLinux, lacksOpcode, testUnless } from "../kit/skip.ts";
import { collect, turn, until } from "../kit/wait.ts";

// ---- The bytes of each SQE ---------------------------------------------------------

/** Rings of buffers that no kernel has: of group 5, with 256 bytes each. */
const group = new BufferRing(5, 4, 256);

Deno.test("a transfer to provided buffers names their group, and no address", () => {
  const lent = { flags: 0x20, fd: 7, buf_index: 5 };
  const position = { off: 0xffff_ffff, off_high: 0xffff_ffff };
  assertEquals(words(op.recv(7, group)), { op: 27, ...lent, len: 256 });
  assertEquals(words(op.recv(7, group, { flags: 2 })), {
    ...{ op: 27, ...lent, len: 256 },
    op_flags: 2,
  });
  assertEquals(words(op.recv(7, group, { multishot: true })), {
    ...{ op: 27, ...lent },
    ioprio: 2,
  });
  assertEquals(words(op.read(7, group)), {
    ...{ op: 22, ...lent, len: 256 },
    ...position,
  });
  assertEquals(words(op.read(7, group, { offset: 9 })), {
    ...{ op: 22, ...lent, len: 256 },
    off: 9,
  });
  assertEquals(words(op.read(7, group, { multishot: true })), {
    ...{ op: 49, ...lent },
    ...position,
  });
  assertEquals(words(uringCmd({ fd: 7, cmd_op: 3, buf_group: group })), {
    ...{ op: 46, ...lent },
    cmd_op: 3,
    uring_cmd_flags: 2,
  });
  const none = new BufferRing(0, 1, 1);
  assertEquals(words(op.recv(7, none)), { op: 27, flags: 0x20, fd: 7, len: 1 });
});

Deno.test("a transfer to provided buffers runs with ring.cmd() or ring.stream(), as it says", () => {
  assertEquals([op.recv(7, group).multishot, op.recv(7, group).bufferRing], [
    false,
    group,
  ]);
  assert(op.recv(7, group, { multishot: true }).multishot);
  assert(op.read(7, group, { multishot: true }).multishot);
  assert(uringCmd({ fd: 7, cmd_op: 0, buf_group: group }).multishot);
  assertEquals(op.recv(7, new Uint8Array(1)).bufferRing, null);
});

Deno.test("options of provided buffers that do not fit are refused", () => {
  const read = () => op.read(7, group, { multishot: true, offset: 0 });
  assertThrows(read, TypeError, "no offset");
  // deno-lint-ignore no-explicit-any
  for (const multishot of [1, "true", null] as any[]) {
    assertThrows(() => op.read(7, group, { multishot }), TypeError, "boolean");
    assertThrows(() => op.recv(7, group, { multishot }), TypeError, "boolean");
  }
  // deno-lint-ignore no-explicit-any
  for (const buf_group of [5, {}, null, "5"] as any[]) {
    const make = () => uringCmd({ fd: 7, cmd_op: 0, buf_group });
    assertThrows(make, TypeError, "registerBufferRing()");
    const bare = { name: "BARE", opcode: 27, bufferRing: buf_group };
    assertThrows(() => new Made(bare), TypeError, "registerBufferRing()");
  }
  const both = { fd: 7, cmd_op: 0, buf_group: group, buf_index: 0 };
  assertThrows(() => uringCmd(both), TypeError, "the same bytes");
  const oneShot = { fd: 7, cmd_op: 0, buf_group: group, uring_cmd_flags: 0 };
  assertThrows(() => uringCmd(oneShot), TypeError, "MULTISHOT");
});

// ---- The ring in memory ------------------------------------------------------------

Deno.test("a ring provides each buffer once, with an address of its own", () => {
  for (const count of [1, 2, 3, 5, 64, 100, 4096, 32768]) {
    const taker = new Taker(new BufferRing(1, count, 16));
    assertEquals(taker.left, count);
    const { address: first } = taker.take()!;
    for (let id = 1; id < count; id++) {
      const expected = { id, address: first + 16 * id, byteLength: 16 };
      assertEquals(taker.take(), expected);
    }
    assertEquals(taker.take(), null);
    const { entries } = memoryOf(taker.ring);
    assert(
      entries >= count && entries < 2 * count &&
        Number.isInteger(Math.log2(entries)),
    );
  }
});

for (
  const [count, rounds] of [[1, 70_000], [3, 150_000], [8, 150_000], [
    32768,
    200_000,
  ]]
) {
  Deno.test(`${count} buffers are in one place each, while tail and head wrap`, () => {
    const below = random(7);
    const ring = new BufferRing(1, count, 4);
    const taker = new Taker(ring);
    const loans: { loan: LentBuffer; id: number }[] = [];
    const kernels = new Set(Array.from({ length: count }, (_, id) => id));
    for (let i = 0; i < rounds; i++) {
      if (loans.length === 0 || kernels.size > 0 && below(2) === 0) {
        const { id } = taker.take()!;
        assert(kernels.delete(id), "a buffer was provided twice");
        const loan = lendBuffer(ring, id, 2)!;
        assertEquals(loan.bytes.length, 2);
        loans.push({ loan, id });
      } else {
        // In any order.
        const [{ loan, id }] = loans.splice(below(loans.length), 1);
        loan.release();
        loan.release();
        kernels.add(id);
      }
      if (taker.left !== kernels.size) assertEquals(taker.left, kernels.size);
      if (ring.lent !== loans.length) assertEquals(ring.lent, loans.length);
    }
    for (const { loan } of loans) loan.release();
    assertEquals([taker.left, ring.lent], [count, 0]);
  });
}

Deno.test("a completion that is delivered again finds the same loan", () => {
  const ring = new BufferRing(1, 2, 8);
  const loan = lendBuffer(ring, 1, 8)!;
  assertEquals(lendBuffer(ring, 1, 8), loan);
  assertEquals(ring.lent, 1);
  loan.release();
  assert(lendBuffer(ring, 1, 8) !== loan);
});

Deno.test("the kernel's numbers reach no memory beside the buffers", () => {
  const ring = new BufferRing(1, 2, 8);
  for (const id of [2, 3, 0xffff]) assertEquals(lendBuffer(ring, id, 8), null);
  for (const [length, real] of [[9, 8], [2 ** 31 - 1, 8], [-1, 0], [0, 0]]) {
    const loan = lendBuffer(ring, 1, length)!;
    assertEquals([loan.bytes.length, loan.bytes.byteOffset], [real, 8]);
    loan.release();
  }
});

Deno.test("a buffer that was released has no bytes, and its loan gives no other back", () => {
  const ring = new BufferRing(1, 1, 8);
  const old = lendBuffer(ring, 0, 8)!;
  old.release();
  assertThrows(() => old.bytes, TypeError, "was released");
  const now = lendBuffer(ring, 0, 8)!;
  old.release();
  old[Symbol.dispose]();
  assertEquals([ring.lent, now.bytes.length], [1, 8]);
  assertThrows(() => old.bytes, TypeError, "was released");
});

Deno.test("a release that is cut short before its store gives the buffer back once", () => {
  const ring = new BufferRing(1, 2, 8);
  const taker = new Taker(ring);
  taker.take();
  const loan = lendBuffer(ring, 0, 8)!;
  let end = () => {};
  const dive = (calls: number): void => {
    if (calls > 0) return dive(calls - 1);
    end();
  };
  const isCut = (calls: number) => {
    try {
      dive(calls);
      return false;
    } catch (error) {
      assertInstanceOf(error, RangeError);
      return true;
    }
  };
  let [fits, depth] = [0, 1 << 15];
  while (depth - fits > 1) {
    const middle = fits + depth >> 1;
    if (isCut(middle)) depth = middle;
    else fits = middle;
  }
  end = () => loan.release();
  assert(isCut(1 << 17));
  // At depths near the end of the stack.
  for (let tries = 0; tries < 100 && taker.left === 1; tries++) {
    isCut(depth + 5 - tries);
  }
  loan.release();
  assertEquals([taker.left, ring.lent], [2, 0]);
  loan.release();
  assertEquals([taker.left, ring.lent], [2, 0]);
});

Deno.test("the kernel's head tells which buffers it has taken", () => {
  const ring = new BufferRing(1, 4, 8);
  const taker = new Taker(ring);
  for (let round = 0; round < 70_000; round++) {
    const { id } = taker.take()!;
    const loan = lendBuffer(ring, id, 8)!;
    if (round % 1000 === 0) {
      assert(wasConsumed(ring, id, taker.head));
      assert(!wasConsumed(ring, id, taker.head - 1 & 0xffff));
      assert(!wasConsumed(ring, (id + 1) % 4, taker.head));
    }
    loan.release();
  }
});

Deno.test("sizes that a ring of buffers cannot have are refused", async () => {
  await using ring = Ring.open();
  // deno-lint-ignore no-explicit-any
  for (const bad of [0, -1, 32769, 1.5, NaN, "4", undefined, null] as any[]) {
    const make = () => ring.registerBufferRing({ count: bad, byteLength: 1 });
    assertThrows(make, Error, "count must be");
  }
  // deno-lint-ignore no-explicit-any
  for (const bad of [0, -1, 2 ** 30 + 1, 1.5, "4", undefined] as any[]) {
    const make = () => ring.registerBufferRing({ count: 1, byteLength: bad });
    assertThrows(make, Error, "byteLength must be");
  }
  const huge = { count: 32768, byteLength: 2 ** 20 };
  assertThrows(() => ring.registerBufferRing(huge), RangeError, "all buffers");
  // deno-lint-ignore no-explicit-any
  assertThrows(() => ring.registerBufferRing(7 as any), TypeError, "options");
  const closing = ring.close();
  const one = { count: 1, byteLength: 1 };
  assertThrows(() => ring.registerBufferRing(one), TypeError, "closed");
  await closing;
});

// ---- One buffer for one command ----------------------------------------------------

const SHAPES: [missing: string, options: RingOptions][] = [
  ["", {}],
  [lacksFlag("DEFER_TASKRUN"), { deferTaskrun: true }],
  [lacksFlag("SQPOLL"), { sqpoll: true }],
  [lacksFlag("CQE_MIXED"), { mixed: true }],
];

for (const [missing, options] of SHAPES) {
  const shape = JSON.stringify(options);
  testUnless(
    missing,
    `a command takes a buffer, and gives it back, on a ring opened with ${shape}`,
    async () => {
      await using ring = Ring.open(options);
      using ends = unixPair();
      using tube = pipe();
      const buffers = ring.registerBufferRing({ count: 2, byteLength: 8 });
      assertEquals([buffers.count, buffers.byteLength, buffers.lent], [
        2,
        8,
        0,
      ]);
      for (let i = 0; i < 10; i++) {
        writeSync(ends.right, `recv ${i}`);
        writeSync(tube.right, `read ${i}`);
        using received = await ring.cmd(op.recv(ends.left, buffers));
        using read = await ring.cmd(op.read(tube.left, buffers));
        assertEquals(textOf(received.bytes), `recv ${i}`);
        assertEquals(textOf(read.bytes), `read ${i}`);
        assertEquals(buffers.lent, 2);
      }
      assertEquals(buffers.lent, 0);
      writeSync(ends.right, "sync");
      using own = ring.cmdSync(op.recv(ends.left, buffers));
      assertEquals(textOf(own.bytes), "sync");
      writeSync(ends.right, "all");
      const [, all] = await ring.cmdAll([
        op.nop(),
        op.recv(ends.left, buffers),
      ]);
      assertEquals(textOf(all.bytes), "all");
      all.release();
      const waiting = ring.cmd(op.recv(ends.left, buffers), { async: true });
      await turn();
      writeSync(ends.right, "worker");
      using late = await waiting;
      assertEquals(textOf(late.bytes), "worker");
    },
  );
}

/** Returns the ends of a pair, which close one by one. */
function split(pair: FdPair): { reader: Fd; writer: Fd } {
  using _both = pair;
  return { reader: copyOf(pair.left), writer: copyOf(pair.right) };
}

/** Returns another descriptor of a file. */
function copyOf(fd: number): Fd {
  const F_DUPFD = 0;
  return new Fd(syscall("fcntl", fd, F_DUPFD, 0));
}

Deno.test("the end of a file takes no buffer", async () => {
  await using ring = Ring.open();
  const ends = split(unixPair());
  using reader = ends.reader;
  ends.writer.close();
  const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
  const path = await Deno.makeTempFile();
  const fd = await ring.cmd(op.openat(path));
  for (let i = 0; i < 3; i++) {
    for (const command of [op.recv(reader.fd, buffers), op.read(fd, buffers)]) {
      const none = await ring.cmd(command);
      assertEquals([none.bytes.length, buffers.lent], [0, 0]);
      none.release();
      assertThrows(() => none.bytes, TypeError, "was released");
    }
  }
  await ring.cmd(op.close(fd));
  await Deno.remove(path);
});

Deno.test("a regular file is read at an offset, into a buffer in place", async () => {
  await using ring = Ring.open();
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "0123456789");
  const fd = await ring.cmd(op.openat(path));
  const buffers = ring.registerBufferRing({ count: 2, byteLength: 4 });
  using part = await ring.cmd(op.read(fd, buffers, { offset: 3 }));
  assertEquals(textOf(part.bytes), "3456");
  // The memory is the ring's: another command uses it without a copy.
  using tube = pipe();
  assertEquals(await ring.cmd(op.write(tube.right, part.bytes)), 4);
  assertEquals(textOf(part.bytes), "3456");
  await ring.cmd(op.close(fd));
  await Deno.remove(path);
});

Deno.test("a command that finds all buffers lent fails with ENOBUFS, and loses no data", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
  const receive = () => ring.cmd(op.recv(ends.left, buffers));
  writeSync(ends.right, "one");
  const held = await receive();
  writeSync(ends.right, "two");
  const error = await assertRejects(receive, UringError);
  assertEquals(error.code, "ENOBUFS");
  assertStringIncludes(error.message, "All provided buffers are lent");
  assertStringIncludes(error.message, "No data is lost");
  assertEquals(textOf(held.bytes), "one");
  held.release();
  using next = await receive();
  assertEquals(textOf(next.bytes), "two");
});

Deno.test("a buffer goes back when `decode` returns, unless it returns the buffer", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
  const spec = {
    name: "RECV",
    opcode: uapi.IORING_OP_RECV,
    file: ends.left,
    len: 8,
    bufferRing: buffers,
  };
  let leaked: LentBuffer | null = null;
  const parse = new Made({
    ...spec,
    decode: ({ lent }) => textOf((leaked = lent)!.bytes),
  });
  for (const text of ["one", "two", "three"]) {
    writeSync(ends.right, text);
    assertEquals(await ring.cmd(parse), text);
    assertThrows(() => leaked!.bytes, TypeError, "was released");
  }
  const oops = new Error("a decoder's");
  const throws = new Made({
    ...spec,
    decode: () => {
      throw oops;
    },
  });
  for (let i = 0; i < 3; i++) {
    writeSync(ends.right, "x");
    assertEquals(await ring.cmd(throws).catch((error) => error), oops);
  }
  const keep = new Made({ ...spec, decode: ({ lent }) => lent! });
  writeSync(ends.right, "kept");
  using kept = await ring.cmd(keep);
  assertEquals([textOf(kept.bytes), buffers.lent], ["kept", 1]);
  // A number as the result does not lose the buffer either.
  kept.release();
  for (const rest of [{}, { success: 7 }]) {
    const counts = new Made<number>({ ...spec, ...rest });
    writeSync(ends.right, "count");
    assertEquals(await ring.cmd(counts), 5);
    assertEquals(buffers.lent, 0);
    writeSync(ends.right, "count");
    assertEquals(await ring.cmdAll([counts]), [5]);
    writeSync(ends.right, "count");
    assertEquals(ring.cmdSync(counts), 5);
  }
});

Deno.test("aborted commands leave all buffers to the next", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 2, byteLength: 8 });
  for (const async of [false, true]) {
    for (let i = 0; i < 20; i++) {
      const abort = new AbortController();
      const { signal } = abort;
      const command = op.recv(ends.left, buffers);
      const waiting = ring.cmd(command, { signal, async });
      if (i % 2 === 0) await turn();
      abort.abort();
      await assertRejects(() => waiting);
    }
  }
  for (let i = 0; i < 4; i++) {
    writeSync(ends.right, `${i}`);
    using item = await ring.cmd(op.recv(ends.left, buffers));
    assertEquals(textOf(item.bytes), `${i}`);
  }
});

Deno.test("a failed read leaves its buffer to the next", async () => {
  await using ring = Ring.open();
  const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
  using folder = new Fd(await ring.cmd(op.openat("/")));
  for (let i = 0; i < 4; i++) {
    const reading = ring.cmd(op.read(folder.fd, buffers));
    assertEquals(await outcome(reading), "EISDIR");
    using reset = resetSocket(ring);
    const read = await outcome(ring.cmd(op.read(reset.fd, buffers)));
    assertEquals(read, "ECONNRESET");
    using other = resetSocket(ring);
    const received = await outcome(ring.cmd(op.recv(other.fd, buffers)));
    assertEquals(received, "ECONNRESET");
  }
  using tube = pipe();
  for (const text of ["one", "two", "three"]) {
    writeSync(tube.right, text);
    using item = await ring.cmd(op.read(tube.left, buffers));
    assertEquals(textOf(item.bytes), text);
  }
});

/** Returns a socket whose peer has cut the connection. */
function resetSocket(ring: Ring): Fd {
  using pair = tcpPair();
  // A close with unread data resets the connection, if the data has come.
  writeSync(pair.left, "unread");
  const flags = 2; // MSG_PEEK
  ring.cmdSync(op.recv(pair.right, new Uint8Array(1), { flags }));
  return copyOf(pair.left);
}

Deno.test("a stranger's ring of buffers is refused before anything is queued", async () => {
  await using ring = Ring.open();
  await using other = Ring.open();
  using ends = unixPair();
  const mine = ring.registerBufferRing({ count: 1, byteLength: 8 });
  const theirs = other.registerBufferRing({ count: 1, byteLength: 8 });
  const old = ring.registerBufferRing({ count: 1, byteLength: 8 });
  assertEquals([mine.id, theirs.id, old.id], [0, 0, 1]);
  ring.unregisterBufferRing(old);
  for (const buffers of [theirs, old, new BufferRing(0, 1, 8)]) {
    const command = op.recv(ends.left, buffers);
    const expected = "provided buffers that are not registered";
    await assertRejects(() => ring.cmd(command), TypeError, expected);
    await assertRejects(() => ring.cmdAll([command]), TypeError, expected);
    assertThrows(() => ring.cmdSync(command), TypeError, expected);
    const many = op.recv(ends.left, buffers, { multishot: true });
    assertThrows(() => ring.stream(many), TypeError, expected);
    const unregister = () => ring.unregisterBufferRing(buffers);
    assertThrows(unregister, TypeError, "not registered");
  }
  assertEquals(ring.stats().submitted, 0);
  // deno-lint-ignore no-explicit-any
  for (const bad of [0, null, {}, undefined] as any[]) {
    assertThrows(() => ring.unregisterBufferRing(bad), TypeError, "bufferRing");
  }
  const again = ring.registerBufferRing({ count: 1, byteLength: 8 });
  assertEquals(again.id, 1);
});

Deno.test("provided buffers that a command in flight may take cannot be unregistered", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 2, byteLength: 8 });
  const waiting = ring.cmd(op.recv(ends.left, buffers));
  const unregister = () => ring.unregisterBufferRing(buffers);
  assertThrows(unregister, TypeError, "RECV is in flight");
  await turn();
  assertThrows(unregister, TypeError, "RECV is in flight");
  writeSync(ends.right, "held");
  const held = await waiting;
  unregister();
  assertEquals(textOf(held.bytes), "held");
  held.release();
  assertThrows(() => held.bytes, TypeError, "was released");
  assertThrows(unregister, TypeError, "not registered");
});

for (const when of ["before", "after"] as const) {
  Deno.test(`a registration of buffers that is cut short ${when} its system call can be made again`, async () => {
    await using ring = Ring.open();
    using ends = unixPair();
    const { symbols, nr } = libc();
    const real = symbols.call;
    const cut = (call: () => unknown) => {
      using _cut = stub(symbols, "call", (...args) => {
        if (args[0] !== nr.io_uring_register) return real(...args);
        if (when === "after") real(...args);
        throw new RangeError("cut short");
      });
      assertThrows(call, RangeError, "cut short");
    };
    const options = { count: 1, byteLength: 8 };
    cut(() => ring.registerBufferRing(options));
    const buffers = ring.registerBufferRing(options);
    writeSync(ends.right, "x");
    (await ring.cmd(op.recv(ends.left, buffers))).release();
    cut(() => ring.unregisterBufferRing(buffers));
    ring.unregisterBufferRing(buffers);
  });
}

Deno.test("a restricted ring takes provided buffers where their flag is allowed", async () => {
  using ends = unixPair();
  for (const sqeFlagsAllowed of [0, raw.IOSQE_BUFFER_SELECT]) {
    const ring = Ring.open({ disabled: true });
    const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
    ring.restrict({ ops: [raw.IORING_OP_RECV], sqeFlagsAllowed });
    writeSync(ends.right, "x");
    const result = await outcome(ring.cmd(op.recv(ends.left, buffers)));
    if (sqeFlagsAllowed === 0) assertEquals(result, "EACCES");
    else assertInstanceOf(result, LentBuffer);
    const register = () => ring.registerBufferRing({ count: 1, byteLength: 8 });
    const error = assertThrows(register, UringError);
    assertEquals(error.code, "EACCES");
    assertStringIncludes(error.message, "restricted");
    await ring.close();
  }
  const ring = Ring.open({ disabled: true });
  ring.restrict({
    registerOps: [
      raw.IORING_REGISTER_PBUF_RING,
      raw.IORING_UNREGISTER_PBUF_RING,
    ],
  });
  ring.unregisterBufferRing(
    ring.registerBufferRing({ count: 1, byteLength: 8 }),
  );
  await ring.close();
});

// ---- Streams -----------------------------------------------------------------------

const MULTISHOT = lacksLinux(6, 0);
const READS = lacksOpcode("READ_MULTISHOT");

/** Streams of both operations: a connected socket, and a pipe. */
const WAYS = [
  {
    name: "recv",
    missing: MULTISHOT,
    open: () => unixPair(),
    make: (fd: number, from: BufferRing) =>
      op.recv(fd, from, { multishot: true }),
  },
  {
    name: "read",
    missing: READS,
    open: () => pipe(),
    make: (fd: number, from: BufferRing) =>
      op.read(fd, from, { multishot: true }),
  },
];

for (const { name, missing, open, make } of WAYS) {
  for (const [lacks, options] of SHAPES) {
    const shape = JSON.stringify(options);
    testUnless(
      missing || lacks,
      `a stream of ${name} has all bytes in order, to the end of the file, opened with ${shape}`,
      async () => {
        await using ring = Ring.open(options);
        const { reader, writer } = split(open());
        using _reader = reader;
        const buffers = ring.registerBufferRing({ count: 4, byteLength: 7 });
        const sent = "the quick brown fox jumps over the lazy dog. ".repeat(20);
        let got = "";
        const send = async () => {
          for (let at = 0; at < sent.length; at += 5) {
            writeSync(writer.fd, sent.slice(at, at + 5));
            if (at % 50 === 0) await turn();
          }
          writer.close();
        };
        const sending = send();
        for await (using item of ring.stream(make(reader.fd, buffers))) {
          assert(item.bytes.length > 0 && item.bytes.length <= 7);
          got += textOf(item.bytes);
        }
        await sending;
        assertEquals(got, sent);
        assertEquals([buffers.lent, ring.stats().inFlight], [0, 0]);
      },
    );
  }

  testUnless(
    missing,
    `leaving a stream of ${name} gives back what nobody has asked for`,
    async () => {
      await using ring = Ring.open();
      using ends = open();
      const buffers = ring.registerBufferRing({ count: 8, byteLength: 4 });
      const stream = ring.stream(make(ends.left, buffers));
      writeSync(ends.right, "0123456789abcdef0123");
      await until(() => buffers.lent >= 5);
      for await (using item of stream) {
        assertEquals(textOf(item.bytes), "0123");
        break;
      }
      assertEquals([buffers.lent, ring.stats().inFlight], [0, 0]);
      ring.unregisterBufferRing(buffers);
    },
  );

  testUnless(
    missing,
    `a stream of ${name} pauses while its values have all buffers, and loses nothing`,
    async () => {
      await using ring = Ring.open();
      using ends = open();
      const buffers = ring.registerBufferRing({ count: 3, byteLength: 4 });
      const stream = ring.stream(make(ends.left, buffers));
      const sent = "abcdefghijklmnopqrstuvwxyz".repeat(4);
      writeSync(ends.right, sent);
      await until(() => ring.stats().inFlight === 0); // ENOBUFS has ended it.
      assertEquals(buffers.lent, 3);
      let got = "";
      for await (using item of stream) {
        got += textOf(item.bytes);
        if (got.length === sent.length) break;
      }
      assertEquals([got, buffers.lent], [sent, 0]);
    },
  );

  testUnless(
    missing,
    `a stream of ${name} whose program holds all buffers fails with ENOBUFS`,
    async () => {
      await using ring = Ring.open();
      using ends = open();
      const buffers = ring.registerBufferRing({ count: 3, byteLength: 4 });
      const held: LentBuffer[] = [];
      writeSync(ends.right, "0123456789abcdef");
      const error = await assertRejects(async () => {
        for await (const item of ring.stream(make(ends.left, buffers))) {
          held.push(item);
        }
      }, UringError);
      assertEquals(error.code, "ENOBUFS");
      assertStringIncludes(error.message, "for await (using item");
      const text = held.map((item) => textOf(item.bytes)).join("");
      assertEquals(text, "0123456789ab");
      for (const item of held) item.release();
      using last = await ring.cmd(op.read(ends.left, buffers));
      assertEquals(textOf(last.bytes), "cdef");
    },
  );

  testUnless(
    missing,
    `a paused stream of ${name} can be left, aborted, and closed with its ring`,
    async () => {
      for (const end of ["leave", "abort", "close"]) {
        const ring = Ring.open();
        using ends = open();
        const buffers = ring.registerBufferRing({ count: 1, byteLength: 4 });
        const abort = new AbortController();
        const { signal } = abort;
        const stream = ring.stream(make(ends.left, buffers), { signal });
        writeSync(ends.right, "0123456789abcdef");
        await until(() => ring.stats().inFlight === 0);
        if (end === "leave") {
          await stream.return!();
          assertEquals(buffers.lent, 0);
          assertEquals((await stream.next()).done, true);
        } else if (end === "abort") {
          abort.abort();
          (await stream.next()).value.release();
          await assertRejects(() => stream.next(), DOMException, "aborted");
        } else {
          await ring.close();
          const { value } = await stream.next();
          assertEquals(textOf(value.bytes), "0123");
          value.release();
          await assertRejects(() => stream.next(), TypeError, "closed");
          await stream.return!();
        }
        await ring.close();
      }
    },
  );

  testUnless(
    missing,
    `an abort of a stream of ${name} keeps what the program has, and gives the rest back`,
    async () => {
      await using ring = Ring.open();
      using ends = open();
      const buffers = ring.registerBufferRing({ count: 4, byteLength: 4 });
      for (let round = 0; round < 10; round++) {
        const abort = new AbortController();
        const stream = ring.stream(make(ends.left, buffers), abort);
        writeSync(ends.right, "abcdef");
        using first = (await stream.next()).value as LentBuffer;
        abort.abort();
        const rest: string[] = [];
        await assertRejects(async () => {
          for await (using item of stream) rest.push(textOf(item.bytes));
        }, DOMException);
        const all = textOf(first.bytes) + rest.join("");
        assert("abcdef".startsWith(all.slice(0, 6)), all);
        // What the kernel had not handed out is still in the file.
        if (all.length < 6) {
          using left = await ring.cmd(op.read(ends.left, buffers));
          assertEquals(all + textOf(left.bytes), "abcdef");
        }
      }
      assertEquals(buffers.lent, 0);
    },
  );
}

testUnless(MULTISHOT, "a hundred connections share a few buffers", async () => {
  await using ring = Ring.open();
  const buffers = ring.registerBufferRing({ count: 32, byteLength: 64 });
  using files = new DisposableStack();
  const all = Array.from({ length: 100 }, () => {
    const { reader, writer } = split(unixPair());
    files.use(reader);
    return { left: reader.fd, right: writer.fd, writer };
  });
  const got = all.map(() => "");
  const readers = all.map(async ({ left }, i) => {
    for (;;) {
      try {
        const stream = ring.stream(op.recv(left, buffers, { multishot: true }));
        for await (using item of stream) got[i] += textOf(item.bytes);
        return;
      } catch (error) {
        // Others have all buffers just now.
        if (!(error instanceof UringError) || error.code !== "ENOBUFS") {
          throw error;
        }
        await turn();
      }
    }
  });
  for (let round = 0; round < 20; round++) {
    all.forEach(({ right }, i) => writeSync(right, `${i}:${round};`));
    await turn();
  }
  for (const { writer } of all) writer.close();
  await Promise.all(readers);
  all.forEach((_, i) => {
    const sent = Array.from({ length: 20 }, (_, round) => `${i}:${round};`);
    assertEquals(got[i], sent.join(""));
  });
  assertEquals(buffers.lent, 0);
});

testUnless(MULTISHOT, "a stream goes on after its CQ was full", async () => {
  await using ring = Ring.open({ entries: 4, cqEntries: 4 });
  using ends = unixPair(op.SOCK_DGRAM);
  const buffers = ring.registerBufferRing({ count: 64, byteLength: 8 });
  const stream = ring.stream(op.recv(ends.left, buffers, { multishot: true }));
  let got = 0;
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 10; i++) writeSync(ends.right, `${round}-${i}`);
    for (let i = 0; i < 10; i++) {
      using item = (await stream.next()).value as LentBuffer;
      assertEquals(textOf(item.bytes), `${round}-${i}`);
      got++;
    }
  }
  assertEquals(got, 100);
  await stream.return!();
  assertEquals(buffers.lent, 0);
});

testUnless(
  READS,
  "a multishot read of a file that cannot be polled says so",
  async () => {
    await using ring = Ring.open();
    const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, "regular");
    const fd = await ring.cmd(op.openat(path));
    const error = await assertRejects(async () => {
      for await (
        const _ of ring.stream(op.read(fd, buffers, { multishot: true }))
      );
    }, UringError);
    assertEquals(error.code, "EBADFD");
    assertStringIncludes(error.message, "cannot be polled");
    await ring.cmd(op.close(fd));
    await Deno.remove(path);
  },
);

testUnless(
  lacksLinux(6, 18),
  "IORING_URING_CMD_MULTISHOT reaches the driver with a group, and not without",
  async () => {
    await using ring = Ring.open();
    using ends = unixPair();
    const buffers = ring.registerBufferRing({ count: 1, byteLength: 8 });
    const run = async (rest: object) => {
      const command = uringCmd({ fd: ends.left, cmd_op: 99, ...rest });
      for await (const _ of ring.stream(command));
    };
    const uring_cmd_flags = uapi.IORING_URING_CMD_MULTISHOT;
    assertEquals(await outcome(run({ uring_cmd_flags })), "EINVAL");
    // The socket's driver has no command of this number.
    assertEquals(await outcome(run({ buf_group: buffers })), "EOPNOTSUPP");
    assertEquals(buffers.lent, 0);
  },
);

// ---- Memory ------------------------------------------------------------------------

Deno.test("a ring closes while buffers are lent, whose bytes stay", async () => {
  const ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 4, byteLength: 4096 });
  const held: LentBuffer[] = [];
  for (const text of ["one", "two"]) {
    writeSync(ends.right, text);
    held.push(await ring.cmd(op.recv(ends.left, buffers)));
  }
  await ring.close();
  collect();
  assertEquals(held.map(({ bytes }) => textOf(bytes)), ["one", "two"]);
  held[0].release();
  assertThrows(() => held[0].bytes, TypeError, "was released");
  assertEquals(textOf(held[1].bytes), "two");
  assertThrows(() => ring.unregisterBufferRing(buffers), TypeError, "closed");
});

Deno.test("what the program has dropped stays as long as the kernel may write to it", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  let command: Command<LentBuffer> | null = op.recv(
    ends.left,
    ring.registerBufferRing({ count: 4, byteLength: 4096 }),
  );
  const waiting = ring.cmd(command);
  command = null;
  await turn();
  for (let i = 0; i < 5; i++) {
    collect();
    await turn();
  }
  // Other memory would take the place of what was collected.
  const others = Array.from({ length: 16 }, () => ring.alloc(65536).fill(0x55));
  writeSync(ends.right, "still there");
  using item = await waiting;
  assertEquals(textOf(item.bytes), "still there");
  for (const each of others) {
    assertEquals(each.findIndex((it) => it !== 0x55), -1);
  }
});

Deno.test("buffers of closed rings and of groups that are gone are collected", async () => {
  const gone: WeakRef<BufferRing>[] = [];
  const use = async () => {
    const ring = Ring.open();
    using ends = unixPair();
    for (let i = 0; i < 10; i++) {
      const buffers = ring.registerBufferRing({ count: 16, byteLength: 4096 });
      writeSync(ends.right, "x");
      (await ring.cmd(op.recv(ends.left, buffers))).release();
      gone.push(new WeakRef(buffers));
      if (i % 2 === 0) ring.unregisterBufferRing(buffers);
    }
    await ring.close();
  };
  await use();
  await until(() => {
    collect();
    return gone.filter((each) => each.deref() !== undefined).length === 0;
  });
});

Deno.test("entries have their addresses in memory that no view of a buffer reaches", async () => {
  await using ring = Ring.open();
  using ends = unixPair();
  const buffers = ring.registerBufferRing({ count: 2, byteLength: 8 });
  writeSync(ends.right, "x");
  using item = await ring.cmd(op.recv(ends.left, buffers));
  // A program can reach the other buffers like this, and no more.
  new Uint8Array(item.bytes.buffer).fill(0xee);
  writeSync(ends.right, "y");
  using next = await ring.cmd(op.recv(ends.left, buffers));
  assertEquals(next.bytes, utf8("y"));
});
