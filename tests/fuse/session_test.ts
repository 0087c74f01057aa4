/**
 * A session on a fake kernel: the bytes of requests and replies, and the promise that
 * every request is answered once. Offsets are those of <linux/fuse.h>, written again.
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type FileSystem, memory, type Stat } from "../../cmd/fuse/mod.ts";
import { keyValue, type NodeFileSystem } from "../../cmd/fuse/mod.ts";
import { readyHere } from "../../cmd/fuse/here.ts";
import { FuseRequest } from "../../cmd/fuse/request.ts";
import { random } from "../kit/random.ts";
import { FakeKernel, names, words } from "./fake.ts";
import { sleep, turn } from "../kit/wait.ts";

// Operations, by the numbers of the header.
const [LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK] = [1, 2, 3, 4, 9, 10];
const [LINK, OPEN, READ, WRITE, STATFS, RELEASE] = [13, 14, 15, 16, 17, 18];
const [SETXATTR, GETXATTR, LISTXATTR, FLUSH] = [21, 22, 23, 25];
const [RENAME, INIT, OPENDIR] = [12, 26, 27];
const [READDIR, CREATE, INTERRUPT, BATCH_FORGET] = [28, 35, 36, 42];
const [IOCTL, READDIRPLUS, LSEEK, TMPFILE] = [39, 44, 46, 51];
const [ENOENT, EINTR, EIO, EPERM, EROFS, ERANGE] = [2, 4, 5, 1, 30, 34];
const [ENOSYS, ENODATA, EOVERFLOW, EILSEQ, ESTALE, EPROTO] = [
  ...[38, 61, 75, 84, 116, 71],
];

const text = new TextEncoder().encode("hello, world\n");
const DIRECTORY: Stat = { kind: "directory", ino: 9 };
const hello: FileSystem = {
  getattr: (path) =>
    path === "/"
      ? DIRECTORY
      : path === "/hello"
      ? { size: text.length, mode: 0o600 }
      : null,
  readdir:
    () => ["hello", { name: "sub", stat: DIRECTORY }, ".", "é".repeat(9)],
  read: (_, into, { offset }) => text.subarray(offset, offset + into.length),
};

/** Returns the arguments of a READ, a WRITE or a READDIR. */
const range = (fh: number, offset: number | bigint, size: number) =>
  words(BigInt(fh), BigInt(offset), size, 0, 0n, 0, 0);

/** Opens the root directory, or a file. Returns the number of the open file. */
function open(kernel: FakeKernel, opcode: number, nodeid: number, flags = 0) {
  const { errno, view } = kernel.now(opcode, nodeid, words(flags, 0));
  assertEquals([errno, view.byteLength], [0, 16]);
  return Number(view.getBigUint64(0, true));
}

Deno.test("INIT agrees on what both have", async () => {
  const { kernel } = FakeKernel.ofPaths(hello, { flags: ["POSIX_LOCKS"] });
  const offered = words(7, 99, 131_072, 0xffff_ffff, 0xffff_ffff);
  const { errno, bytes } = kernel.now(INIT, 0, offered, new Uint8Array(44));
  assertEquals([errno, bytes.length], [0, 64]);
  // flags: bits 0 1 5 12 15 18 21 22 23 30; flags2: bit 3. max_write 131072 is 32
  // pages; max_background 64, congestion_threshold 48; time_gran 1.
  const golden = words(7, 45, 131_072, 0x40e4_9023, 48 << 16 | 64);
  const rest = words(131_072, 1, 32, 8, 0, 0, 0, 0, 0, 0, 0);
  assertEquals(bytes, new Uint8Array([...golden, ...rest]));
  const { minor, flags } = await kernel.session.ready;
  assertEquals([minor, flags.length], [45, 11]);
});

Deno.test("INIT asks for what a filesystem does itself", async () => {
  const kernel = new FakeKernel(memory(), {
    flags: ["PASSTHROUGH", "HANDLE_KILLPRIV_V2"],
    device: { open: () => 1, close: () => {} },
  });
  const offered = words(7, 45, 131_072, 0xffff_ffff, 0xffff_ffff);
  const { view } = kernel.now(INIT, 0, offered, new Uint8Array(44));
  assertEquals(view.getUint32(12, true), 0x50e4_9021);
  // Files of filesystems that are on no other.
  assertEquals([view.getUint32(32, true), view.getUint32(36, true)], [40, 1]);
  assert((await kernel.session.ready).flags.includes("PASSTHROUGH"));
  assert(kernel.server.backings !== null);
  kernel.now(INIT, 0, words(7, 45, 131_072, 0x4000_0000, 8));
  assertEquals(kernel.server.backings, null);
});

Deno.test("INIT of an old kernel gets no more than it offers", async () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  const { view } = kernel.now(INIT, 0, words(7, 36, 4096, 1 << 5, 0xff));
  assertEquals([view.getUint32(4, true), view.getUint32(12, true)], [36, 32]);
  assertEquals(view.getUint32(32, true), 0);
  assertEquals((await kernel.session.ready).flags, ["BIG_WRITES"]);
  const old = FakeKernel.ofPaths(hello).kernel;
  assertEquals(old.now(INIT, 0, words(7, 20, 4096, 0)).errno, EPROTO);
  await assertRejects(() => old.session.ready, Error, "too old");
});

Deno.test("a look-up answers with number, times and attributes", () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  const { errno, view } = kernel.now(LOOKUP, 1, names("hello"));
  assertEquals([errno, view.byteLength], [0, 128]);
  const at = (byte: number) => view.getBigUint64(byte, true);
  assertEquals([at(0), at(8), at(16), at(24)], [2n, 0n, 1n, 0n]);
  assertEquals(view.getUint32(32, true), 500_000_000); // Names: 1500 ms.
  assertEquals(view.getUint32(36, true), 250_000_000); // Attributes: 250 ms.
  assertEquals([at(40), at(48)], [2n, 13n]);
  assertEquals(view.getUint32(100, true), 0o100600);
  assertEquals([view.getUint32(108, true), view.getUint32(112, true)], [7, 8]);
  assertEquals(kernel.now(LOOKUP, 1, names("no")).errno, ENOENT);
  assertEquals(kernel.now(LOOKUP, 77, names("hello")).errno, ESTALE);
});

Deno.test("the kernel may keep that a name is not there", () => {
  const { kernel } = FakeKernel.ofPaths(hello, { negativeTtlMs: 2000 });
  const { errno, view } = kernel.now(LOOKUP, 1, names("no"));
  assertEquals([errno, view.byteLength], [0, 128]);
  assertEquals([view.getBigUint64(0, true), view.getBigUint64(16, true)], [
    ...[0n, 2n],
  ]);
});

Deno.test("names of all lengths and letters arrive as they are", () => {
  const seen: string[] = [];
  const { kernel } = FakeKernel.ofPaths({
    getattr: (path) => (seen.push(path), null),
  });
  const all = ["a", "x".repeat(23), "y".repeat(24), "z".repeat(25), "é", "𝒳y"];
  all.push("n".repeat(255), "\uFEFFbom", `${"a".repeat(22)}é`, " ", "a\nb");
  for (const name of all) kernel.now(LOOKUP, 1, names(name));
  assertEquals(seen, all.map((name) => `/${name}`));
  const wrong = new Uint8Array([0x61, 0xff, 0]);
  assertEquals(kernel.now(LOOKUP, 1, wrong).errno, EILSEQ);
  assertEquals(seen.length, all.length);
});

Deno.test("a directory is read in parts, and each name once", () => {
  const many = Array.from({ length: 500 }, (_, i) => `name-${i}`);
  let reads = 0;
  const { kernel } = FakeKernel.ofPaths({
    getattr: () => DIRECTORY,
    readdir: () => (reads++, many),
  });
  const fh = open(kernel, OPENDIR, 1);
  const found: string[] = [];
  for (let offset = 0n, left = 100; left > 0; left--) {
    const { bytes, view } = kernel.now(READDIR, 1, range(fh, offset, 1000));
    assert(bytes.length <= 1000 && bytes.length % 8 === 0);
    if (bytes.length === 0) break;
    for (let at = 0; at < bytes.length;) {
      const length = view.getUint32(at + 16, true);
      offset = view.getBigUint64(at + 8, true);
      const name = bytes.subarray(at + 24, at + 24 + length);
      found.push(new TextDecoder().decode(name));
      at += 24 + length + 7 & ~7;
    }
  }
  assertEquals(found, [".", "..", ...many]);
  assertEquals(reads, 1);
  kernel.now(READDIR, 1, range(fh, 0, 1000));
  assertEquals(reads, 2);
});

Deno.test("a directory with attributes counts look-ups, one without does not", () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  const fh = open(kernel, OPENDIR, 1);
  const { bytes, view } = kernel.now(READDIRPLUS, 1, range(fh, 0, 4096));
  const found: [string, bigint, number][] = [];
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at + 144, true);
    const name = bytes.subarray(at + 152, at + 152 + length);
    const type = view.getUint32(at + 148, true);
    const id = view.getBigUint64(at, true);
    found.push([new TextDecoder().decode(name), id, type]);
    at += 152 + length + 7 & ~7;
  }
  assertEquals(found, [
    [".", 0n, 4],
    ["..", 0n, 4],
    ["hello", 0n, 0],
    ["sub", 2n, 4],
    ["é".repeat(9), 0n, 0],
  ]);
  assertEquals(kernel.session.stats().nodes, 2);
  kernel.tell(FORGET, 2, words(1n));
  assertEquals(kernel.session.stats().nodes, 1);
});

Deno.test("a name that is none is EIO, and what came before is sent", () => {
  const { kernel } = FakeKernel.ofPaths({
    getattr: () => DIRECTORY,
    readdir: () => ["good", "a/b"],
  });
  const fh = open(kernel, OPENDIR, 1);
  const { errno, bytes } = kernel.now(READDIR, 1, range(fh, 0, 4096));
  assertEquals([errno, bytes.length], [0, 32 + 32 + 32]);
  assertEquals(kernel.now(READDIR, 1, range(fh, 3, 4096)).errno, EIO);
  assertMatch(kernel.told[0], /^READDIR \/: readdir returned the name "a\/b"/);
});

Deno.test("a name for which there is no room does not end the directory", () => {
  for (const opcode of [READDIR, READDIRPLUS]) {
    const { kernel } = FakeKernel.ofPaths({
      getattr: () => DIRECTORY,
      readdir: () => ["a", "b".repeat(5000), "c"],
    });
    const fh = open(kernel, OPENDIR, 1);
    assertEquals(kernel.now(opcode, 1, range(fh, 0, 4096)).errno, 0);
    assertEquals(kernel.now(opcode, 1, range(fh, 3, 4096)).errno, 36);
  }
});

Deno.test("a duration that is none counts no look-up", () => {
  for (const part of [{ ttlMs: -1 }, { stat: { ttlMs: NaN } }]) {
    const entry = { node: {}, stat: {}, ...part };
    const { fs } = forgetful({ lookup: () => entry as never });
    const kernel = new FakeKernel(fs);
    assertEquals(kernel.now(LOOKUP, 1, names("x")).errno, EIO);
    assertEquals(kernel.session.stats().nodes, 1);
    assertMatch(kernel.told[0], /ttlMs is (-1|NaN)/);
  }
});

class Liar extends Uint8Array {
  override get length() {
    return 3000;
  }
  override subarray() {
    return new Uint8Array(100_000);
  }
}
const detached = new Uint8Array(5);
detached.buffer.transfer();

Deno.test("an answer has the bytes of the handler, and none from before", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(7);
  const growing = new Uint8Array(new ArrayBuffer(3, { maxByteLength: 9 }));
  const own = Object.defineProperty(new Uint8Array(3), "length", { value: 99 });
  const good: Uint8Array[] = [shared, growing, own, new Liar(3)];
  const bad: unknown[] = ["hello", [1, 2], 5n, true, {}, { length: 3000 }];
  bad.push({ length: -1 }, { length: NaN }, new Uint16Array(3), detached);
  bad.push(new ArrayBuffer(3), new Proxy(new Uint8Array(3), {}), Symbol());
  let answer: unknown;
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    read: () => answer as Uint8Array,
    getxattr: () => answer as Uint8Array,
    ioctl: () => ({ output: answer as Uint8Array }),
  });
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  const ask = () => [
    kernel.now(READ, 2, range(fh, 0, 4096)),
    kernel.now(GETXATTR, 2, words(4096, 0), names("user.x")),
    kernel.now(IOCTL, 2, words(BigInt(fh), 0, 0, 0n, 0, 4096)),
  ];
  for (answer of good) {
    const lengths = ask().map(({ bytes }) => bytes.length);
    assertEquals(lengths, [3, 3, 16 + 3]);
    for (const { bytes } of ask()) assert(!bytes.includes(0xaa));
  }
  kernel.told.length = 0;
  for (answer of bad) {
    for (const { errno } of ask()) assertEquals(errno, EIO);
    const { length } = kernel.told;
    assertMatch(kernel.told[length - 1], /must be a Uint8Array|is detached/);
    assertEquals(kernel.told.splice(0).length, 3);
  }
  answer = undefined;
  assertEquals(ask()[1].errno, ENODATA);
});

Deno.test("numbers of nodes end with the last look-up, and come never again", () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  const look = () =>
    kernel.now(LOOKUP, 1, names("hello")).view.getBigUint64(0, true);
  assertEquals([look(), look(), look()], [2n, 2n, 2n]);
  kernel.tell(FORGET, 2, words(2n));
  assertEquals(look(), 2n);
  kernel.tell(BATCH_FORGET, 0, words(2, 0, 2n, 1n, 2n, 1n));
  assertEquals(kernel.session.stats().nodes, 1);
  assertEquals(look(), 3n);
  assertEquals(kernel.now(GETATTR, 2, words(0, 0, 0n)).errno, ESTALE);
  kernel.tell(FORGET, 99, words(1n));
  kernel.tell(FORGET, 1, words(1n));
  assertEquals(kernel.now(GETATTR, 1, words(0, 0, 0n)).errno, 0);
});

Deno.test("reads answer with what there is, in memory of the reply or of their own", () => {
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    read: (path, into, ctx) => {
      if (ctx.flags !== 0) return new Uint8Array(into.length + 5).fill(7);
      into.set(text.subarray(ctx.offset));
      assertEquals([path, ctx.uid, ctx.gid, ctx.pid], [
        "/hello",
        1000,
        1001,
        1002,
      ]);
      return text.length - ctx.offset;
    },
  });
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  assertEquals(kernel.now(READ, 2, range(fh, 7, 4096)).bytes, text.slice(7));
  const longer = words(BigInt(fh), 0n, 100, 0, 0n, 1, 0);
  assertEquals(kernel.now(READ, 2, longer).bytes.length, 100);
  assertEquals(kernel.now(READ, 2, range(fh + 1, 0, 1)).errno, 9);
  assertEquals(kernel.now(RELEASE, 2, words(BigInt(fh), 0, 0, 0n)).errno, 0);
  assertEquals(kernel.now(READ, 2, range(fh, 0, 1)).errno, 9);
});

Deno.test("what is missing is ENOSYS, or EROFS where it would write", () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  const of = (opcode: number, ...parts: Uint8Array[]) =>
    kernel.now(opcode, 2, ...parts).errno;
  assertEquals(of(FLUSH, words(BigInt(fh), 0, 0, 0n)), ENOSYS);
  assertEquals(of(GETXATTR, words(0, 0), names("user.x")), ENOSYS);
  assertEquals(of(LSEEK, words(BigInt(fh), 0n, 3, 0)), ENOSYS);
  assertEquals(of(63), ENOSYS);
  assertEquals(of(4096), ENOSYS);
  assertEquals(of(OPEN, words(1, 0)), EROFS);
  assertEquals(of(MKDIR, words(0, 0), names("x")), EROFS);
  assertEquals(of(UNLINK, names("x")), EROFS);
  assertEquals(of(SETATTR, new Uint8Array(88)), EROFS);
  assertEquals(of(CREATE, words(1, 0, 0, 0), names("x")), EROFS);
  assertEquals(of(TMPFILE, words(1, 0, 0, 0), names("")), ENOSYS);
  const { kernel: writable } = FakeKernel.ofPaths({ ...hello, write() {} });
  const { errno } = writable.now(MKDIR, 1, words(0, 0), names("x"));
  assertEquals(errno, ENOSYS);
  assertEquals(writable.now(LINK, 1, words(1n), names("x")).errno, EPERM);
  const { view } = writable.now(STATFS, 1);
  assertEquals([view.byteLength, view.getUint32(44, true)], [80, 255]);
  assertEquals(kernel.told, []);
});

Deno.test("offsets from 2^53 on are refused with words", () => {
  const { kernel } = FakeKernel.ofPaths(hello);
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  assertEquals(kernel.now(READ, 2, range(fh, 2 ** 53 - 1, 9)).errno, 0);
  assertEquals(
    kernel.now(READ, 2, range(fh, 2n ** 53n, 9)).errno,
    EOVERFLOW,
  );
  assertMatch(
    kernel.told[0],
    /READ \/hello: .*9007199254740992 is beyond 2\^53/,
  );
});

Deno.test("an extended attribute answers with its size, or its bytes", () => {
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    getxattr: (_, name) => name === "user.a" ? text : null,
    listxattr: () => ["user.a", "user.b"],
  });
  const get = (size: number, name: string) =>
    kernel.now(GETXATTR, 1, words(size, 0), names(name));
  assertEquals(get(0, "user.a").view.getUint32(0, true), 13);
  assertEquals(get(13, "user.a").bytes, text);
  assertEquals(get(12, "user.a").errno, ERANGE);
  assertEquals(get(0, "user.b").errno, ENODATA);
  const list = kernel.now(LISTXATTR, 1, words(100, 0)).bytes;
  assertEquals(new TextDecoder().decode(list), "user.a\0user.b\0");
});

Deno.test("whatever a handler throws, the request is answered and the program told", async () => {
  const recursion = (): never => recursion();
  const thrown: [string, () => unknown][] = [
    ["error", () => {
      throw new Error("why");
    }],
    ["rejection", () => Promise.reject(new Error("later"))],
    ["undefined", () => {
      throw undefined;
    }],
    ["overflow", recursion],
    ["wrong kind", () => ({ kind: "door" })],
    ["negative", () => ({ size: -1 })],
    [
      "thenable",
      () => ({
        then: (_: unknown, no: (e: Error) => void) => no(new Error("no")),
      }),
    ],
    ["getter", () => ({
      get size(): number {
        throw new Error("getter");
      },
    })],
  ];
  const { kernel } = FakeKernel.ofPaths({
    getattr: (path) =>
      thrown.find(([name]) => `/${name}` === path)![1]() as Stat,
  });
  for (const [name] of thrown) {
    const { errno } = await kernel.ask(LOOKUP, 1, names(name));
    assertEquals(errno, EIO, name);
  }
  assertEquals(kernel.told.length, thrown.length);
  assertEquals(kernel.unanswered, 0);
  assertEquals(kernel.session.stats().nodes, 1);
});

Deno.test("an interrupt aborts the signal of its request, before or after it is read", async () => {
  let early: AbortSignal | null = null;
  const { kernel } = FakeKernel.ofPaths({
    getattr: async (_, ctx) => {
      await turn();
      const { signal } = ctx;
      early ??= signal;
      await new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
      return null;
    },
  });
  const first = kernel.ask(LOOKUP, 1, names("a"));
  const unique = kernel.next - 2;
  kernel.tell(INTERRUPT, 0, words(BigInt(unique)));
  assertEquals((await first).errno, EINTR);
  const second = kernel.ask(LOOKUP, 1, names("b"));
  const other = kernel.next - 2;
  await sleep(5);
  kernel.tell(INTERRUPT, 0, words(BigInt(other)));
  assertEquals((await second).errno, EINTR);
  // By another queue, it may come before its request.
  kernel.tell(INTERRUPT, 0, words(BigInt(kernel.next + 2)));
  assertEquals((await kernel.ask(LOOKUP, 1, names("c"))).errno, EINTR);
  assertEquals(kernel.told, []);
});

Deno.test("a handler that is late is answered for once, and keeps its memory", async () => {
  const late = Promise.withResolvers<number>();
  let memory: Uint8Array | null = null;
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    read: (_, into) => {
      memory = into;
      return late.promise;
    },
  }, { timeoutMs: 20 });
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  const { errno } = await kernel.ask(READ, 2, range(fh, 0, 64));
  assertEquals(errno, EIO);
  assertMatch(kernel.told[0], /READ \/hello: No answer after 20 ms/);
  kernel.now(LOOKUP, 1, names("hello"));
  memory!.fill(0x55);
  const { bytes } = kernel.now(LOOKUP, 1, names("hello"));
  assertEquals(bytes.includes(0x55), false);
  late.resolve(64);
  await turn();
  assertEquals(kernel.session.stats().inFlight, 0);
});

Deno.test("what the kernel no longer wants is taken back", () => {
  const released: unknown[] = [];
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    open: (path) => path,
    release: (_, { handle }) => void released.push(handle),
  });
  kernel.now(LOOKUP, 1, names("hello"));
  kernel.unwanted.add(kernel.next);
  kernel.now(LOOKUP, 1, names("hello"));
  kernel.unwanted.add(kernel.next);
  kernel.now(OPEN, 2, words(0, 0));
  assertEquals(released, ["/hello"]);
  assertEquals(kernel.session.stats().handles, 0);
  kernel.tell(FORGET, 2, words(1n));
  assertEquals(kernel.session.stats().nodes, 1);
});

Deno.test("the end of a mount aborts the signals, and releases open files", async () => {
  const released: unknown[] = [];
  let aborted = false;
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    open: () => 42,
    read: (_, _into, { signal }) => {
      signal.addEventListener("abort", () => aborted = true);
      return new Promise(() => {});
    },
    release: (_, { handle }) => void released.push(handle),
  });
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2);
  kernel.ask(READ, 2, range(fh, 0, 64));
  kernel.session.ready.catch(() => {});
  kernel.session.ended(19);
  assertEquals([aborted, released], [true, [42]]);
  assertEquals(await kernel.session.finished, 19);
});

Deno.test("what was initialised and is not mounted is destroyed", async () => {
  const calls: string[] = [];
  const ready = await readyHere({
    ...memory(),
    init: () => void calls.push("init"),
    destroy: () => void calls.push("destroy"),
  }, {});
  ready.drop();
  await turn();
  assertEquals(calls, ["init", "destroy"]);
});

Deno.test("writes give the handler the bytes in place", () => {
  const seen: [number, string][] = [];
  const { kernel } = FakeKernel.ofPaths({
    ...hello,
    write: (_, data, { offset }) => {
      seen.push([offset, new TextDecoder().decode(data)]);
      return data.length > 5 ? 5 : undefined;
    },
  });
  kernel.now(LOOKUP, 1, names("hello"));
  const fh = open(kernel, OPEN, 2, 1);
  const put = (size: number) =>
    kernel.now(WRITE, 2, range(fh, 3, size), text.subarray(0, size));
  assertEquals(put(5).view.getUint32(0, true), 5);
  assertEquals(put(13).view.getUint32(0, true), 5);
  assertEquals(seen, [[3, "hello"], [3, "hello, world\n"]]);
});

Deno.test("requests of random bytes are answered, each once", async () => {
  const kernel = new FakeKernel(memory(), { flags: [] });
  const pick = random(7);
  const replies: Promise<unknown>[] = [];
  for (let i = 0; i < 20_000; i++) {
    const opcode = pick(60);
    if ([FORGET, INTERRUPT, BATCH_FORGET, 41].includes(opcode)) continue;
    const bytes = new Uint8Array(pick(200));
    for (let at = 0; at < bytes.length; at++) {
      bytes[at] = pick(3) === 0 ? pick(256) : pick(3);
    }
    replies.push(kernel.ask(opcode, pick(6), bytes));
  }
  await Promise.all(replies);
  assertEquals(kernel.unanswered, 0);
});

Deno.test("a request may have a number that no JavaScript number is", () => {
  const request = new FuseRequest({
    head: new DataView(words(0, 0, 2n ** 63n + 5n, 1n, 0, 0, 0, 0, 1n).buffer),
    argument: 40,
    input: new Uint8Array(100),
    joined: true,
    output: new Uint8Array(100),
  });
  request.begin(40);
  assertEquals(request.unique, 2n ** 63n + 5n);
});

/** Files that the kernel knows, each by its name, until it forgets them. */
function forgetful(more: Partial<NodeFileSystem<{ name: string }>>) {
  const forgotten: string[] = [];
  const fs: NodeFileSystem<{ name: string }> = {
    root: { name: "" },
    getattr: ({ name }) => name === "" ? DIRECTORY : { size: 1 },
    lookup: (_, name) => ({ node: { name }, stat: { size: 1 } }),
    forget: ({ name }) => void forgotten.push(name),
    ...more,
  };
  return { fs: fs as NodeFileSystem<object>, forgotten };
}

Deno.test("an answer after the deadline leaves no file open, and none known", async () => {
  const events: string[] = [];
  const late = async <T>(what: string, value: T): Promise<T> => {
    await sleep(40);
    events.push(what);
    return value;
  };
  const { fs, forgotten } = forgetful({
    lookup: (_, name) => {
      const entry = { node: { name }, stat: { size: 1 } };
      return name === "late" ? late("found", entry) : entry;
    },
    open: () => late("opened", 7),
    readdir: ({ name }) =>
      late(`read ${name}`, ["x", "yy"]).then((names) =>
        names.map((name) => ({ name, node: { name }, stat: {} }))
      ),
    release: (_, { handle }) => void events.push(`released ${handle}`),
  });
  const kernel = new FakeKernel(fs, { timeoutMs: 10 });
  const { view } = kernel.now(LOOKUP, 1, names("file"));
  const id = Number(view.getBigUint64(0, true));
  const fh = open(kernel, OPENDIR, 1);
  const asked = [
    kernel.ask(OPEN, id, words(0, 0)),
    kernel.ask(LOOKUP, 1, names("late")),
    kernel.ask(READDIRPLUS, 1, range(fh, 0, 4096)),
  ];
  for (const reply of asked) assertEquals((await reply).errno, EIO);
  await sleep(100);
  assertEquals(events.toSorted(), ["found", "opened", "read ", "released 7"]);
  assertEquals(forgotten.toSorted(), ["late", "x", "yy"]);
  const { nodes, handles, inFlight } = kernel.session.stats();
  assertEquals([nodes, handles, inFlight], [2, 1, 0]);
});

Deno.test("a handler that never answers holds up no forget after its deadline", async () => {
  const known = { name: "known" };
  const gate = Promise.withResolvers<void>();
  const { fs, forgotten } = forgetful({
    lookup: async (_, name) => {
      if (name === "never") await new Promise(() => {});
      if (name === "late") await gate.promise;
      if (name === "failed") await gate.promise.then(() => Promise.reject(7));
      return { node: known, stat: { size: 1 } };
    },
  });
  const kernel = new FakeKernel(fs, { timeoutMs: 10 });
  const { view } = await kernel.ask(LOOKUP, 1, names("known"));
  const asked = ["never", "late", "late", "failed"].map((name) =>
    kernel.ask(LOOKUP, 1, names(name))
  );
  kernel.tell(FORGET, Number(view.getBigUint64(0, true)), words(1n));
  assertEquals(forgotten, []); // They may return it.
  for (const reply of asked) assertEquals((await reply).errno, EIO);
  assertEquals(forgotten, ["known"]);
  gate.resolve();
  await sleep(5);
  assertEquals(forgotten, ["known"]);
  assertEquals(kernel.session.stats().nodes, 1);
  // It is there again, and forgotten again.
  const again = await kernel.ask(LOOKUP, 1, names("known"));
  const id = Number(again.view.getBigUint64(0, true));
  kernel.tell(FORGET, id, words(1n));
  assertEquals(forgotten, ["known", "known"]);
});

for (
  const forget of [
    () => {
      throw new Error("forget");
    },
    () => Promise.reject(new Error("forget")),
  ]
) {
  Deno.test(`a request is answered although forget fails: ${forget}`, async () => {
    const gate = Promise.withResolvers<null>();
    const { fs } = forgetful({
      forget,
      lookup: (_, name) =>
        name === "slow" ? gate.promise : { node: { name }, stat: { size: 1 } },
    });
    const kernel = new FakeKernel(fs);
    const { view } = kernel.now(LOOKUP, 1, names("file"));
    const slow = kernel.ask(LOOKUP, 1, names("slow"));
    kernel.tell(FORGET, Number(view.getBigUint64(0, true)), words(1n));
    gate.resolve(null);
    assertEquals((await slow).errno, ENOENT);
    await turn();
    assertEquals(kernel.told, ["FORGET null: forget"]);
    assertEquals(kernel.session.stats().nodes, 1);
  });
}

for (
  const onError of [
    () => {
      throw new Error("onError");
    },
    () => Promise.reject(new Error("onError")),
  ]
) {
  Deno.test(`a mount ends although all fails: ${onError}`, async () => {
    let releases = 0;
    const { fs } = forgetful({
      open: () => 1,
      release: () => {
        releases++;
        throw new Error("release");
      },
      pathOf: () => {
        throw new Error("pathOf");
      },
      statfs: () => {
        throw new Error("statfs");
      },
    });
    const kernel = new FakeKernel(fs, { onError });
    const { view } = kernel.now(LOOKUP, 1, names("file"));
    const id = Number(view.getBigUint64(0, true));
    for (let i = 0; i < 3; i++) open(kernel, OPEN, id);
    assertEquals(kernel.now(STATFS, 1).errno, EIO);
    kernel.session.ended(19);
    assertEquals(await kernel.session.finished, 19);
    await turn();
    assertEquals(releases, 3);
  });
}

Deno.test("memory() refuses access control lists, which nobody would check", () => {
  const kernel = new FakeKernel(memory());
  const set = (name: string) =>
    kernel.now(SETXATTR, 1, words(2, 0), names(name), new Uint8Array(2)).errno;
  assertEquals(set("user.x"), 0);
  assertEquals(set("system.posix_acl_access"), 95);
});

Deno.test("names in memory and of keys have 255 bytes at most", async () => {
  const args = words(2, 0o644, 0, 0);
  for (const fs of [memory(), keyValue(new Map())]) {
    for (const letter of ["x", "é", "€"]) {
      const most = letter.repeat(255 / new TextEncoder().encode(letter).length);
      const kernel = new FakeKernel(fs);
      const errnos = async (name: string) => [
        (await kernel.ask(LOOKUP, 1, names(name))).errno,
        (await kernel.ask(CREATE, 1, args, names(name))).errno,
        (await kernel.ask(RENAME, 1, words(1n), names(name, "n"))).errno,
        (await kernel.ask(RENAME, 1, words(1n), names("n", name))).errno,
      ];
      assertEquals(await errnos(most), [ENOENT, 0, 0, 0]);
      const [look, make, , move] = await errnos(`${most}${letter}`);
      assertEquals([look, make], [36, 36]);
      assert(move !== 0);
      await kernel.ask(RENAME, 1, words(1n), names(most, "n"));
      const longer = names("n", `${most}é`);
      const { errno } = await kernel.ask(RENAME, 1, words(1n), longer);
      assertEquals(errno, 36);
    }
  }
});

Deno.test("files in memory leave no room below none", () => {
  const kernel = new FakeKernel(memory({ maxBytes: 1_000_000 }));
  const { view } = kernel.now(CREATE, 1, words(2, 0o644, 0, 0), names("f"));
  const id = Number(view.getBigUint64(0, true));
  const fh = Number(view.getBigUint64(128, true));
  const part = new Uint8Array(90_000);
  const put = (i: number) =>
    kernel.now(WRITE, id, range(fh, i * part.length, part.length), part).errno;
  for (let i = 0; i < 11; i++) {
    assertEquals(put(i), 0);
    assert(kernel.now(STATFS, 1).view.getBigUint64(8, true) <= 244n);
  }
  assertEquals(put(11), 28);
});

Deno.test("a file that was opened and cannot be named is released", async () => {
  const fail = () => {
    throw new Error("no");
  };
  for (const stat of [{ size: -1 }, { mtime: "x" as never }]) {
    const released: unknown[] = [];
    const { fs } = forgetful({
      create: () => ({ node: { name: "new" }, stat, handle: 7 }),
      open: () => 8,
      release: (_, { handle }) => void released.push(handle),
      write: () => {},
      backing: fail,
    });
    const kernel = new FakeKernel(fs, {
      flags: ["PASSTHROUGH"],
      device: { open: () => 1, close: () => {} },
    });
    const args = words(2, 0o644, 0, 0);
    assertEquals(kernel.now(CREATE, 1, args, names("new")).errno, EIO);
    const { view } = kernel.now(LOOKUP, 1, names("file"));
    const id = Number(view.getBigUint64(0, true));
    assertEquals(kernel.now(OPEN, id, words(0, 0)).errno, EIO);
    assertEquals(released, [7, 8]);
    assertEquals(kernel.session.stats().handles, 0);
  }
  for (
    const getattr of [() => null, fail, () => Promise.reject(new Error("no"))]
  ) {
    const released: unknown[] = [];
    const { kernel } = FakeKernel.ofPaths<number>({
      getattr,
      create: () => 7,
      write: () => {},
      release: (path, { handle }) => void released.push(path, handle),
    });
    const args = words(2, 0o644, 0, 0);
    assertEquals((await kernel.ask(CREATE, 1, args, names("new"))).errno, EIO);
    assertEquals(released, ["/new", 7]);
  }
});
