/** Tables of files, buffers and credentials, whose places change. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { type FixedFile, Ring, uringCmd, UringError } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import * as raw from "../../ring/raw.ts";
import { Command } from "../../ring/raw.ts";
import { libc } from "../../sys/libc.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { textOf } from "../kit/bytes.ts";
import { devNull, pipe, writeSync } from "../kit/fds.ts";
import { outcome } from "../kit/outcome.ts";
import { isRoot } from "../kit/process.ts";
import { lacksRoot, testUnless } from "../kit/skip.ts";
import { collect, turn, until } from "../kit/wait.ts";

/** Reads what a file of the table has, into memory of the ring. */
async function readFrom(ring: Ring, file: FixedFile): Promise<string> {
  const into = ring.alloc(16);
  const length = await ring.cmd(op.read(file, into));
  return textOf(into.subarray(0, length));
}

// ---- Files -----------------------------------------------------------------------

Deno.test("a table of files has empty places, which take files and give them back", async () => {
  await using ring = Ring.open();
  using first = pipe();
  using second = pipe();
  const files = ring.registerFiles([null, first.left, null]);
  assertEquals(files.map((file) => file?.index), [undefined, 1, undefined]);
  const file = ring.updateFile(2, second.left);
  assertEquals(file.index, 2);
  writeSync(first.right, "first");
  writeSync(second.right, "second");
  assertEquals(await readFrom(ring, files[1]!), "first");
  assertEquals(await readFrom(ring, file), "second");

  assertEquals(ring.updateFile(1, null), null);
  const read = op.read(files[1]!, ring.alloc(1));
  await assertRejects(() => ring.cmd(read), TypeError, "table of files");
  assertEquals(await outcome(ring.cmd(emptyPlace(1))), "EBADF");
  ring.unregisterFiles();
});

/** A read of a place without its `FixedFile`, which only `./raw` makes. */
function emptyPlace(index: number): Command<number> {
  const flags = uapi.IOSQE_FIXED_FILE;
  return new Command({ name: "READ", opcode: 22, flags, fdWord: index });
}

Deno.test("a file whose place has another one is refused before anything is queued", async () => {
  await using ring = Ring.open();
  using old = pipe();
  using now = pipe();
  const [stale] = ring.registerFiles([old.left]);
  const file = ring.updateFile(0, now.left);
  assert(file !== stale);
  writeSync(old.right, "old");
  writeSync(now.right, "now");
  const read = op.read(stale, ring.alloc(8));
  await assertRejects(() => ring.cmd(read), TypeError, "table of files");
  await assertRejects(() => ring.cmdAll([read]), TypeError, "table of files");
  assertThrows(() => ring.cmdSync(read), TypeError, "table of files");
  assertEquals(ring.stats().submitted, 0);
  assertEquals(await readFrom(ring, file), "now");
});

Deno.test("a place that a command in flight uses cannot change, and others can", async () => {
  await using ring = Ring.open();
  using waiting = pipe();
  using other = pipe();
  const [file] = ring.registerFiles([waiting.left, null]);
  const read = ring.cmd(op.read(file!, ring.alloc(8)));
  for (const fd of [other.left, null]) {
    const update = () => ring.updateFile(0, fd as number);
    assertThrows(update, TypeError, "READ is in flight");
    await turn();
    assertThrows(update, TypeError, "READ is in flight");
  }
  const second = ring.updateFile(1, other.left);
  writeSync(other.right, "other");
  assertEquals(await readFrom(ring, second), "other");
  writeSync(waiting.right, "x");
  assertEquals(await read, 1);
  assertEquals(ring.updateFile(0, other.left).index, 0);
});

Deno.test("an update with a descriptor that is not open empties its place, and says so", async () => {
  await using ring = Ring.open();
  using node = devNull();
  const [file] = ring.registerFiles([node.fd]);
  const command = uringCmd({ fd: file, cmd_op: 0 });
  assertEquals(await ring.cmd(command), 0);
  const bad = [2 ** 31 - 1, ring.fd];
  for (const fd of bad) {
    const error = assertThrows(() => ring.updateFile(0, fd), UringError);
    assertEquals(error.op, "io_uring_register REGISTER_FILES_UPDATE");
    assertEquals(error.code, "EBADF");
    assertStringIncludes(error.message, "not open");
    await assertRejects(() => ring.cmd(command), TypeError, "table of files");
  }
  const again = ring.updateFile(0, node.fd);
  assertEquals(await ring.cmd(uringCmd({ fd: again, cmd_op: 0 })), 0);
});

Deno.test("an update that the kernel refuses at once leaves the place as it was", async () => {
  const ring = Ring.open({ disabled: true });
  using node = devNull();
  const bytes = ring.alloc(8);
  const [file] = ring.registerFiles([node.fd]);
  const [buffer] = ring.registerBuffers([bytes]);
  const ops = [uapi.IORING_OP_URING_CMD, uapi.IORING_OP_READ_FIXED];
  const sqeFlagsAllowed = uapi.IOSQE_FIXED_FILE;
  ring.restrict({ ops, sqeFlagsAllowed });
  for (
    const update of [
      () => ring.updateFile(0, node.fd),
      () => ring.updateFile(0, null),
      () => ring.updateBuffer(0, bytes),
      () => ring.updateBuffer(0, null),
      () => ring.registerPersonality(),
    ]
  ) {
    const error = assertThrows(update, UringError);
    assertEquals(error.code, "EACCES");
    assertStringIncludes(error.message, "restricted");
  }
  assertEquals(await ring.cmd(uringCmd({ fd: file, cmd_op: 0 })), 0);
  assertEquals(await ring.cmd(op.read(file, bytes, { buffer })), 0);
  await ring.close();
});

Deno.test("a restricted ring updates what registerOps allows", async () => {
  const ring = Ring.open({ disabled: true });
  using node = devNull();
  ring.registerFiles([null]);
  ring.registerBuffers([null]);
  ring.restrict({
    ops: [raw.IORING_OP_READ_FIXED],
    sqeFlagsRequired: raw.IOSQE_FIXED_FILE,
    registerOps: [
      raw.IORING_REGISTER_FILES_UPDATE,
      raw.IORING_REGISTER_BUFFERS_UPDATE,
      raw.IORING_REGISTER_PERSONALITY,
      raw.IORING_UNREGISTER_PERSONALITY,
    ],
  });
  const file = ring.updateFile(0, node.fd);
  const buffer = ring.updateBuffer(0, ring.alloc(8));
  const personality = ring.registerPersonality();
  const read = op.read(file, buffer.bytes, { buffer });
  assertEquals(await ring.cmd(read, { personality }), 0);
  ring.unregisterPersonality(personality);
  await ring.close();
});

// deno-lint-ignore no-explicit-any
const wrong: any[] = [-1, 2, 0.5, NaN, "0", null, undefined, 2n];
Deno.test("a place that the table does not have is refused, and so is a ring without one", async () => {
  await using ring = Ring.open();
  assertThrows(() => ring.updateFile(0, 0), TypeError, "no table of files");
  const bytes = ring.alloc(8);
  assertThrows(
    () => ring.updateBuffer(0, bytes),
    TypeError,
    "no table of buff",
  );
  ring.registerFiles([null, null]);
  ring.registerBuffers([null, null]);
  for (const place of wrong) {
    assertThrows(() => ring.updateFile(place, 0), Error, "place must be");
    assertThrows(() => ring.updateBuffer(place, bytes), Error, "place must be");
  }
  for (const fd of [-1, 0.5, "0", undefined, 2 ** 31]) {
    assertThrows(() => ring.updateFile(0, fd as number), Error, "fd must be");
  }
  const own = new Uint8Array(8);
  assertThrows(() => ring.updateBuffer(0, own), TypeError, "ring.alloc()");
  for (const bad of [{}, undefined, ring.alloc(8).subarray(0, 0)]) {
    assertThrows(
      () => ring.updateBuffer(0, bad as Uint8Array),
      Error,
      "buffer",
    );
  }
  const closing = ring.close();
  assertThrows(() => ring.updateFile(0, 0), TypeError, "closed");
  assertThrows(() => ring.updateBuffer(0, bytes), TypeError, "closed");
  assertThrows(() => ring.registerPersonality(), TypeError, "closed");
  await closing;
});

/** Cuts the next io_uring_register() short, before or after the kernel has answered. */
function cutShort(when: "before" | "after", call: () => unknown): void {
  const { symbols, nr } = libc();
  const real = symbols.call;
  using _cut = stub(symbols, "call", (...args) => {
    if (args[0] !== nr.io_uring_register) return real(...args);
    if (when === "after") real(...args);
    throw new RangeError("cut short");
  });
  assertThrows(call, RangeError, "cut short");
}

for (const when of ["before", "after"] as const) {
  Deno.test(`an update that is cut short ${when} its system call leaves no file at the place of another`, async () => {
    await using ring = Ring.open();
    using old = pipe();
    using now = pipe();
    const [file] = ring.registerFiles([old.left]);
    const [buffer] = ring.registerBuffers([ring.alloc(8)]);
    const read = op.read(file, buffer.bytes, { buffer });
    cutShort(when, () => ring.updateBuffer(0, ring.alloc(16)));
    await assertRejects(() => ring.cmd(read), TypeError, "table of buffers");
    cutShort(when, () => ring.updateFile(0, null));
    const plain = op.read(file, ring.alloc(8));
    await assertRejects(() => ring.cmd(plain), TypeError, "table of files");
    writeSync(now.right, "now");
    assertEquals(await readFrom(ring, ring.updateFile(0, now.left)), "now");
  });
}

Deno.test("a thousand places change hands, and each command finds its own file", async () => {
  await using ring = Ring.open();
  using pipes = new DisposableStack();
  const ends = Array.from({ length: 4 }, () => pipes.use(pipe()));
  ring.registerFiles(new Array<null>(64).fill(null));
  const now: (FixedFile | null)[] = new Array(64).fill(null);
  for (let i = 0; i < 1000; i++) {
    const place = i * 37 % 64;
    const { left, right } = ends[i % 4];
    now[place] = ring.updateFile(place, left);
    writeSync(right, `${i}`);
    assertEquals(await readFrom(ring, now[place]!), `${i}`);
    if (i % 3 === 0) ring.updateFile(place, null);
  }
});

// ---- Buffers ---------------------------------------------------------------------

Deno.test("a table of buffers has empty places, which take buffers and give them back", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const [none, first] = ring.registerBuffers([null, ring.alloc(8)]);
  assertEquals([none, first!.index], [null, 1]);
  const second = ring.updateBuffer(0, ring.alloc(65536).subarray(100, 108));
  assertEquals(second.index, 0);
  for (const buffer of [first!, second]) {
    writeSync(ends.right, "fixed");
    const { bytes } = buffer;
    assertEquals(await ring.cmd(op.read(ends.left, bytes, { buffer })), 5);
    assertEquals(textOf(bytes.subarray(0, 5)), "fixed");
  }
  const { bytes } = first!;
  const stale = op.read(ends.left, bytes, { buffer: first! });
  const [a, b] = [
    ring.updateBuffer(1, ring.alloc(8)),
    ring.updateBuffer(0, null),
  ];
  assertEquals([a.index, b], [1, null]);
  await assertRejects(() => ring.cmd(stale), TypeError, "table of buffers");
  const buffer = second;
  const gone = op.read(ends.left, second.bytes, { buffer });
  assertThrows(() => ring.cmdSync(gone), TypeError, "table of buffers");
  ring.unregisterBuffers();
});

Deno.test("a buffer that a command in flight uses stays in its place", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  ring.registerBuffers([null, null]);
  const buffer = ring.updateBuffer(0, ring.alloc(8));
  const read = ring.cmd(op.read(ends.left, buffer.bytes, { buffer }));
  const next = ring.alloc(8);
  assertThrows(() => ring.updateBuffer(0, next), TypeError, "READ_FIXED");
  await turn();
  assertThrows(() => ring.updateBuffer(0, null), TypeError, "READ_FIXED");
  assertEquals(ring.updateBuffer(1, next).index, 1);
  writeSync(ends.right, "x");
  assertEquals(await read, 1);
  assertEquals(ring.updateBuffer(0, null), null);
});

Deno.test("a place that the kernel does not fill keeps its buffer", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const [buffer] = ring.registerBuffers([ring.alloc(8)]);
  const { symbols, errno } = libc();
  {
    using _full = stub(symbols, "call", () => {
      errno[0] = E.EFAULT;
      return -1;
    });
    const bytes = ring.alloc(8);
    assertThrows(() => ring.updateBuffer(0, bytes), UringError, "EFAULT");
  }
  writeSync(ends.right, "kept");
  const read = op.read(ends.left, buffer.bytes, { buffer });
  assertEquals(await ring.cmd(read), 4);
});

Deno.test("buffers that were replaced are collected, and those in the table are not", async () => {
  await using ring = Ring.open();
  ring.registerBuffers([null]);
  const gone: WeakRef<ArrayBufferLike>[] = [];
  for (let i = 0; i < 50; i++) {
    const bytes = ring.alloc(65536);
    gone.push(new WeakRef(bytes.buffer));
    ring.updateBuffer(0, bytes);
  }
  const left = () => gone.filter((each) => each.deref() !== undefined).length;
  await until(() => {
    collect();
    return left() < 5;
  });
  assertInstanceOf(gone.at(-1)!.deref(), ArrayBuffer);
});

// ---- Credentials -----------------------------------------------------------------

Deno.test("a command has the credentials that were registered", async () => {
  await using ring = Ring.open();
  const personality = ring.registerPersonality();
  assert(personality.id > 0);
  for (
    const run of [
      (command: Command<number>) => ring.cmd(command, { personality }),
      async (command: Command<number>) =>
        (await ring.cmdAll([op.nop(), command], { personality }))[1],
      (command: Command<number>) =>
        ring.link([op.nop(), command], { personality })[1],
    ]
  ) {
    assertEquals(await run(op.nop()), 0);
  }
  ring.unregisterPersonality(personality);
});

Deno.test("credentials of no ring, of another or of an earlier moment are refused", async () => {
  await using ring = Ring.open();
  await using other = Ring.open();
  const foreign = other.registerPersonality();
  const old = ring.registerPersonality();
  ring.unregisterPersonality(old);
  for (const personality of [foreign, old]) {
    const options = { personality };
    const expected = "not registered with this ring";
    await assertRejects(() => ring.cmd(op.nop(), options), TypeError, expected);
    await assertRejects(() => ring.cmdAll([op.nop()], options), TypeError);
    const chain = ring.link([op.nop(), op.nop()], options);
    for (const each of chain) await assertRejects(() => each, TypeError);
    assertThrows(() => ring.unregisterPersonality(personality), TypeError);
  }
  // deno-lint-ignore no-explicit-any
  for (const personality of [1, null, {}, "1", { id: 1 }] as any[]) {
    const run = () => ring.cmd(op.nop(), { personality });
    await assertRejects(run, TypeError, "ring.registerPersonality()");
  }
  assertEquals(ring.stats().submitted, 0);
});

Deno.test("credentials of a command in flight cannot be unregistered", async () => {
  await using ring = Ring.open();
  using ends = pipe();
  const personality = ring.registerPersonality();
  const read = ring.cmd(op.read(ends.left, ring.alloc(8)), { personality });
  const unregister = () => ring.unregisterPersonality(personality);
  assertThrows(unregister, TypeError, "in flight");
  await turn();
  assertThrows(unregister, TypeError, "in flight");
  writeSync(ends.right, "x");
  assertEquals(await read, 1);
  unregister();
  assertThrows(unregister, TypeError, "not registered");
});

testUnless(
  lacksRoot(),
  "a command opens a file that only its credentials can",
  async () => {
    assert(isRoot);
    // glibc's sets the user of this thread only.
    const library = Deno.dlopen("libc.so.6", {
      setfsuid: { parameters: ["u32"], result: "i32" },
    });
    const { symbols } = library;
    const path = await Deno.makeTempFile();
    await Deno.chmod(path, 0o600);
    await using ring = Ring.open();
    const personality = ring.registerPersonality();
    symbols.setfsuid(65534);
    try {
      const own = await outcome(ring.cmd(op.openat(path)));
      assertEquals(own, "EACCES");
      for (const async of [false, true]) {
        const fd = await ring.cmd(op.openat(path), { personality, async });
        await ring.cmd(op.close(fd));
      }
      const both = await Promise.all(
        ring.link([op.openat(path), op.openat(path)], { personality }),
      );
      const more = await ring.cmdAll([op.openat(path)], { personality });
      await ring.cmdAll([...both, ...more].map((fd) => op.close(fd)));
      // The next user of the slot has its own credentials again.
      assertEquals(await outcome(ring.cmd(op.openat(path))), "EACCES");
    } finally {
      symbols.setfsuid(0);
      library.close();
      await Deno.remove(path);
    }
  },
);
