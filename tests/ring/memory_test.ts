import { Command } from "../../ring/command.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { probe, Ring, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import * as raw from "../../ring/raw.ts";
import { operand, scratchOperand } from "../../ring/operand.ts";
import {
  IORING_OP_NOP,
  IORING_OP_READ,
  IORING_OP_READV,
} from "../../sys/uapi/io_uring.ts";
import { arenaOf } from "../../sys/arena.ts";
import { openDescriptors, readText } from "../../sys/file.ts";
import { socketName, socketOption } from "../../sys/socket_calls.ts";
import { SO_TYPE, SOL_SOCKET } from "../../sys/uapi/socket.ts";
import { give, take } from "../../ring/flight/pool.ts";
import { textOf } from "../kit/bytes.ts";
import { ADDR } from "../kit/commands.ts";
import { replaceConstructors } from "../kit/constructors.ts";
import { collect, turn } from "../kit/wait.ts";
import { devNull, pipe, tcpPair, writeSync } from "../kit/fds.ts";
import { mappingCount } from "../kit/process.ts";
import { testUnless } from "../kit/skip.ts";
import { Page } from "../attack/late/pages.ts";

Deno.test("memory of ring.alloc() is zeroed, aligned, and of the length asked for", async () => {
  await using ring = Ring.open();
  for (const byteLength of [1, 4096, 65536, 65537, 1 << 20]) {
    const bytes = ring.alloc(byteLength);
    assertEquals(bytes.length, byteLength);
    assertEquals(bytes.every((byte) => byte === 0), true);
    assertEquals(arenaOf(bytes.buffer)!.address % 65536, 0);
  }
  for (const bad of [0, -1, 1.5, NaN, 2 ** 32]) {
    assertThrows(() => ring.alloc(bad), RangeError, "byteLength");
  }
});

Deno.test("memory of alloc() cannot be detached, transferred or resized", async () => {
  await using ring = Ring.open();
  const { buffer } = ring.alloc(64) as Uint8Array<ArrayBuffer>;
  assertThrows(() => buffer.transfer(), TypeError);
  assertThrows(() => buffer.transferToFixedLength(1), TypeError);
  assertThrows(() => buffer.resize(0), TypeError);
  assertThrows(() => structuredClone(buffer, { transfer: [buffer] }));
  assertEquals(buffer.detached, false);
});

Deno.test("a view of alloc() memory is used in place, on any ring", async () => {
  await using one = Ring.open();
  await using other = Ring.open();
  using pair = pipe();
  const memory = one.alloc(4096);
  const view = new Uint8Array(memory.buffer, 100, 8).subarray(2, 6);
  const read = other.cmd(op.read(pair.left, view));
  await turn();
  writeSync(pair.right, "here");
  // The bytes are there as soon as the kernel has written them.
  assertEquals(await read, 4);
  assertEquals(new TextDecoder().decode(memory.slice(102, 106)), "here");
  assertEquals([memory[101], memory[106]], [0, 0]);
});

Deno.test("any other array is copied in at the call", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const data = new TextEncoder().encode("before");
  const write = ring.cmd(op.write(pair.right, data));
  data.fill(0x21);
  assertEquals(await write, 6);
  const into = new Uint8Array(6);
  await ring.cmd(op.read(pair.left, into));
  assertEquals(new TextDecoder().decode(into), "before");
});

Deno.test("only the bytes that were read are copied out", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const whole = new Uint8Array(12).fill(0x2e);
  writeSync(pair.right, "abc");
  assertEquals(await ring.cmd(op.read(pair.left, whole.subarray(2, 10))), 3);
  assertEquals(new TextDecoder().decode(whole), "..abc.......");
});

Deno.test("constructors that a program redefines get no memory of other commands", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  using sockets = tcpPair();
  using none = devNull();
  const secret = new TextEncoder().encode("of another command");
  await ring.cmd(op.write(none.fd, secret));
  const into = new Uint8Array(8);
  const large = new Uint8Array(3 << 20);
  const reader = new Command({
    name: "READ",
    opcode: IORING_OP_READ,
    file: pair.left,
    len: 8,
    operands: [scratchOperand(ADDR, 8)],
    decode: (completion) => completion.memory(),
  });
  {
    using replaced = replaceConstructors();
    writeSync(pair.right, "abcdefgh");
    assertEquals(await ring.cmd(op.read(pair.left, into)), 8);
    writeSync(pair.right, "ijklmnop");
    const copy = await ring.cmd(reader);
    assertEquals([copy.buffer.byteLength, textOf(copy)], [8, "ijklmnop"]);
    assertEquals(await ring.cmd(op.write(none.fd, large)), large.length);
    const name = socketName(sockets.left, "getsockname") as Uint8Array;
    assertEquals([name.length, name.buffer.byteLength], [16, 16]);
    const option = socketOption(sockets.left, SOL_SOCKET, SO_TYPE, 4);
    assertEquals((option as Uint8Array).buffer.byteLength, 4);
    assertEquals(readText("/proc/self/comm")?.includes("\0"), false);
    assert((openDescriptors() as number[]).includes(none.fd));
    ring.alloc(16);
    const other = Ring.open({ sqe128: true, cqe32: true });
    const extra = new Command({
      name: "NOP",
      opcode: IORING_OP_NOP,
      cqe32: true,
      decode: ({ extra1 }) => extra1,
    });
    assertEquals(await other.cmd(extra), 0n);
    await other.close();
    assertEquals([replaced.arenas, replaced.functions], [[], []]);
  }
  assertEquals(textOf(into), "abcdefgh");
});

const gettable = probe().families["socket GETSOCKOPT"]?.available === "yes";

testUnless(
  gettable ? "" : "GETSOCKOPT",
  "bytes that a command could have written but did not are unchanged",
  async () => {
    await using ring = Ring.open();
    using pair = tcpPair();
    const bytes = new Uint8Array(16).fill(0xaa);
    const getType = uringCmd({
      fd: pair.left,
      cmd_op: 2, // SOCKET_URING_OP_GETSOCKOPT
      level: 1,
      optname: 3, // SO_TYPE
      optlen: 16,
      optval: { bytes, kernel: "writes" },
    });
    assertEquals(await ring.cmd(getType), 4);
    assertEquals([...bytes], [1, 0, 0, 0, ...Array(12).fill(0xaa)]);
  },
);

Deno.test("a buffer in flight survives when every reference to it is dropped", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const results: Promise<number>[] = [];
  const check: WeakRef<Uint8Array>[] = [];
  (() => {
    for (let i = 0; i < 50; i++) {
      const bytes = i % 2 ? ring.alloc(64) : new Uint8Array(64);
      check.push(new WeakRef(bytes));
      results.push(ring.cmd(op.read(pair.left, bytes)));
    }
  })();
  await turn();
  for (let i = 0; i < 5; i++) {
    collect();
    // Memory that was freed would be reused here.
    for (let j = 0; j < 200; j++) new Uint8Array(64).fill(0x55);
    await turn();
  }
  assertEquals(check.every((ref) => ref.deref() !== undefined), true);
  const fresh = Array.from({ length: 500 }, () => new Uint8Array(64));
  for (let i = 0; i < 50; i++) {
    writeSync(pair.right, new Uint8Array(64).fill(7));
  }
  assertEquals(await Promise.all(results), Array(50).fill(64));
  assert(fresh.every((bytes) => bytes.every((byte) => byte === 0)));
});

Deno.test("alloc() memory is collected once nothing uses it", async () => {
  await using ring = Ring.open();
  const refs: WeakRef<ArrayBufferLike>[] = [];
  (() => {
    for (let i = 0; i < 20; i++) {
      refs.push(new WeakRef(ring.alloc(65536).buffer));
    }
  })();
  for (let i = 0; i < 10; i++) {
    await turn();
    collect();
  }
  assertGreater(refs.filter((ref) => ref.deref() === undefined).length, 15);
});

Deno.test("an array that is transferred in flight fails only its command", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const bytes = new Uint8Array(8);
  const read = ring.cmd(op.read(pair.left, bytes));
  await turn();
  const moved = new Uint8Array(bytes.buffer.transfer(4096));
  writeSync(pair.right, "12345678");
  await assertRejects(() => read, TypeError, "detached or made smaller");
  assertEquals(moved.every((byte) => byte === 0), true);
  assertEquals(await ring.cmd(op.nop()), 0);
});

Deno.test("an array that is made smaller in flight fails its command", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const buffer = new ArrayBuffer(8, { maxByteLength: 64 });
  const read = ring.cmd(op.read(pair.left, new Uint8Array(buffer)));
  await turn();
  buffer.resize(0);
  writeSync(pair.right, "12345678");
  await assertRejects(() => read, TypeError, "made smaller");
});

Deno.test("an array that was detached or resized is refused before its command is queued", async () => {
  await using ring = Ring.open();
  const gone = new Uint8Array(8);
  const command = op.read(0, gone);
  gone.buffer.transfer();
  await assertRejects(() => ring.cmd(command), TypeError, "detached");
  assertThrows(() => op.read(0, gone), TypeError, "detached");
  const buffer = new ArrayBuffer(8, { maxByteLength: 64 });
  const grown = op.read(0, new Uint8Array(buffer));
  buffer.resize(4);
  await assertRejects(() => ring.cmd(grown), TypeError, "8 bytes when");
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("an aborted command keeps its memory until its last completion", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const abort = new AbortController();
  const bytes = new Uint8Array(8);
  const read = ring.cmd(op.read(pair.left, bytes), abort);
  await turn();
  // Data and abort arrive together: whichever wins, the block is not reused.
  writeSync(pair.right, "late!");
  abort.abort();
  const others = Array.from({ length: 20 }, () => {
    const data = new Uint8Array(8).fill(0x42);
    return ring.cmd(op.write(pair.right, data));
  });
  const outcome = await read.then((n) => n, (error: Error) => error.name);
  if (typeof outcome === "number") {
    assertEquals(new TextDecoder().decode(bytes.subarray(0, 5)), "late!");
  } else {
    assertEquals(outcome, "AbortError");
  }
  await Promise.all(others);
});

Deno.test("blocks are reused, and never have two users", () => {
  const seen = new Set<number>();
  const blocks = Array.from({ length: 3000 }, (_, i) => take(1 + i % 300));
  for (const { address, bytes } of blocks) {
    for (let at = 0; at < bytes.length; at += 64) {
      assertEquals(seen.has(address + at), false);
      seen.add(address + at);
    }
  }
  const first = blocks[0];
  for (const block of blocks) give(block);
  const again = Array.from({ length: 3000 }, (_, i) => take(1 + i % 300));
  assertEquals(again.every(({ address }) => seen.has(address)), true);
  assertEquals(again.includes(first), true);
  for (const block of again) give(block);
});

Deno.test("a block too large for the pool has its own memory", () => {
  const block = take((1 << 20) + 1);
  assertEquals(block.bytes.length, (1 << 20) + 1);
  give(block);
  assertEquals(take((1 << 20) + 1) === block, false);
});

Deno.test("a file of many megabytes is read into an ordinary array", async () => {
  await using ring = Ring.open();
  const path = await Deno.makeTempFile();
  const data = new Uint8Array(5 << 20);
  for (let at = 0; at < data.length; at += 65536) {
    crypto.getRandomValues(data.subarray(at, at + 65536));
  }
  await Deno.writeFile(path, data);
  const fd = await ring.cmd(op.openat(path));
  const into = new Uint8Array(data.length);
  assertEquals(await ring.cmd(op.read(fd, into, { offset: 0 })), data.length);
  assertEquals(into, data);
  await ring.cmd(op.close(fd));
  await Deno.remove(path);
});

// ---- Addresses that the kernel gets -----------------------------------------------

/** Reads into two arrays, whose addresses are in a third. */
function readv(fd: number, first: Uint8Array, second: Uint8Array) {
  const iov = new Uint8Array(32); // Two of struct iovec: base, length.
  const view = new DataView(iov.buffer);
  view.setUint32(8, first.length, true);
  view.setUint32(24, second.length, true);
  return new Command<number>({
    name: "READV",
    opcode: IORING_OP_READV,
    file: fd,
    len: 2,
    operands: [
      operand(ADDR, { bytes: iov, kernel: "reads" }),
      operand(0, { bytes: first, kernel: "writes" }, { inside: 0 }),
      operand(16, { bytes: second, kernel: "writes" }, { inside: 0 }),
    ],
  });
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("many addresses of idle memory are released, and none of memory in use", async () => {
  await using ring = Ring.open();
  await using other = Ring.open();
  using pair = pipe();
  using file = devNull();
  const used = ring.alloc(8);
  const address = arenaOf(used.buffer)!.address;
  const read = ring.cmd(op.read(pair.left, used));
  await turn();
  const idle = Array.from({ length: 5000 }, () => other.alloc(1));
  const addresses = idle.map(({ buffer }) => arenaOf(buffer)!.address);
  // New memory may take their places, but not the one the kernel writes to.
  const pages = addresses.map((at) => Page.at(at));
  const free = pages.filter((page) => page !== null);
  assertGreater(free.length, 0);
  assertEquals(Page.at(address), null);
  writeSync(pair.right, "it lives");
  assertEquals([await read, text(used)], [8, "it lives"]);
  // A released address is mapped again at the next use.
  for (const [i, bytes] of idle.entries()) {
    if (pages[i] === null || i % 100 > 0) continue;
    bytes[0] = 1;
    assertEquals(await ring.cmd(op.write(file.fd, bytes)), 1);
  }
  assert(free.every(({ intact }) => intact));
  for (const page of free) page[Symbol.dispose]();
});

Deno.test("a command's first address stays while the second is mapped", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  // So large that the next address releases all idle ones.
  const large = ring.alloc(256 << 20);
  const small = ring.alloc(8);
  const read = ring.cmd(
    readv(pair.left, large.subarray(0, 8), small),
  );
  await turn();
  writeSync(pair.right, "one, andtwo, and");
  assertEquals(await read, 16);
  assertEquals(text(large.subarray(0, 8)), "one, and");
  assertEquals(text(small), "two, and");
});

Deno.test("a view of alloc() memory has its own address beside memory that is copied", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const memory = ring.alloc(70_000);
  const [first, second] = [17, 65_537].map((at) => memory.subarray(at, at + 4));
  const read = ring.cmd(readv(pair.left, first, second));
  await turn();
  writeSync(pair.right, "one!two!");
  assertEquals(await read, 8);
  assertEquals([text(first), text(second)], ["one!", "two!"]);
});

Deno.test("collected memory is unmapped at both addresses", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const round = async () => {
    for (let i = 0; i < 100; i++) {
      await ring.cmd(op.write(file.fd, ring.alloc(1)));
    }
    for (let i = 0; i < 5; i++) {
      await turn();
      collect();
    }
  };
  await round();
  const before = mappingCount();
  for (let i = 0; i < 3; i++) await round();
  // Each memory has two mappings.
  assertLess(mappingCount() - before, 100);
});

Deno.test("a bare ring closes although its queue was transferred, and leaves that mapped", () => {
  const ring = raw.setup({ entries: 8 });
  const buffer = ring.sq.words.buffer as ArrayBuffer;
  const moved = new Int32Array(buffer.transfer());
  const { length } = moved;
  ring.close();
  moved.fill(7);
  assertEquals([moved.length, moved.every((word) => word === 7)], [
    length,
    true,
  ]);
});
