/** A mirror of a directory on a fake kernel: no mount is needed. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type NodeFileSystem, passthrough } from "../../cmd/fuse/mod.ts";
import { FakeKernel, names, type Reply, words } from "./fake.ts";

// Operations, by the numbers of <linux/fuse.h>.
const [LOOKUP, FORGET, GETATTR, SETATTR, READLINK] = [1, 2, 3, 4, 5];
const [SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, LINK] = [6, 8, 9, 10, 11, 13];
const [OPEN, READ, WRITE, STATFS, RELEASE, FSYNC] = [14, 15, 16, 17, 18, 20];
const [SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR] = [21, 22, 23, 24];
const [OPENDIR, READDIR, RELEASEDIR, CREATE] = [27, 28, 29, 35];
const READDIRPLUS = 44;
const [FALLOCATE, RENAME2, LSEEK, COPY, TMPFILE] = [43, 45, 46, 47, 51];
const [ENOENT, EEXIST, ENOTEMPTY, ENODATA] = [2, 17, 39, 61];
const [O_RDWR, O_CREAT, O_TRUNC, O_APPEND] = [2, 0o100, 0o1000, 0o2000];
/** `FOPEN_PASSTHROUGH` and `FOPEN_NOFLUSH`; the flags of a file that is served. */
const [BACKED, SERVED] = [0x80 | 0x20, 0x20];

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A backing device that records what it is asked. */
class Device {
  readonly calls: string[] = [];
  #last = 0;

  constructor(readonly refusal = 0) {}

  open(fd: number): number {
    this.calls.push(`open ${fd > 0}`);
    return this.refusal || ++this.#last;
  }

  close(id: number): void {
    this.calls.push(`close ${id}`);
  }
}

/** A kernel that knows the mirror of a new directory. */
class Mirror implements AsyncDisposable {
  readonly real = Deno.makeTempDirSync();
  readonly fs: NodeFileSystem<object> = passthrough(this.real);
  readonly device: Device;
  readonly kernel: FakeKernel;

  constructor(refusal = 0) {
    this.device = new Device(refusal);
    this.kernel = new FakeKernel(this.fs, { device: this.device });
  }

  static async make(refusal = 0): Promise<Mirror> {
    const mirror = new Mirror(refusal);
    await mirror.fs.init!();
    return mirror;
  }

  async ask(opcode: number, id: number, ...parts: Uint8Array[]) {
    const reply = await this.kernel.ask(opcode, id, ...parts);
    assertEquals(reply.errno, 0, `operation ${opcode}`);
    return reply;
  }

  /** Looks a name up. Returns the number of its file. */
  async find(name: string, parent = 1): Promise<number> {
    return idOf(await this.ask(LOOKUP, parent, names(name)));
  }

  /** Makes and opens a file. */
  async create(name: string, mode = 0o644, flags = O_RDWR | O_CREAT) {
    const { view } = await this.ask(
      CREATE,
      1,
      words(flags, 0o100000 | mode, 0, 0),
      names(name),
    );
    return openedAt(view, 128, Number(view.getBigUint64(0, true)));
  }

  async open(id: number, flags = O_RDWR) {
    return openedAt((await this.ask(OPEN, id, words(flags, 0))).view, 0, id);
  }

  async write(id: number, fh: bigint, offset: bigint, text: string) {
    const data = encode(text);
    const head = words(fh, offset, data.length, 0, 0n, 0, 0);
    const { view } = await this.ask(WRITE, id, head, data);
    assertEquals(view.getUint32(0, true), data.length);
  }

  async read(id: number, fh: bigint, offset = 0n, size = 4096) {
    const head = words(fh, offset, size, 0, 0n, 0, 0);
    return decode((await this.ask(READ, id, head)).bytes);
  }

  async release(id: number, fh: bigint, opcode = RELEASE) {
    await this.ask(opcode, id, words(fh, 0, 0, 0n));
  }

  async [Symbol.asyncDispose]() {
    await this.fs.destroy!();
    await Deno.remove(this.real, { recursive: true });
  }
}

const idOf = ({ view }: Reply) => Number(view.getBigUint64(0, true));

function openedAt(view: DataView, at: number, id: number) {
  return {
    id,
    fh: view.getBigUint64(at, true),
    flags: view.getUint32(at + 8, true),
    backing: view.getInt32(at + 12, true),
  };
}

/** Counts the descriptors that lead below a directory. */
function descriptorsBelow(dir: string): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(dir);
    } catch {
      return false; // That of the listing.
    }
  }).length;
}

Deno.test("a mirror of what is no directory is refused at once", () => {
  assertThrows(
    () => passthrough("/proc/nothing"),
    Error,
    "ENOENT: cannot open",
  );
  assertThrows(() => passthrough("/dev/null"), Error, "ENOTDIR");
});

Deno.test("what is written to a mirror is in the directory", async () => {
  await using mirror = await Mirror.make();
  const { real } = mirror;
  const { id, fh } = await mirror.create("file", 0o666);
  await mirror.write(id, fh, 0n, "hello");
  assertEquals(await Deno.readTextFile(`${real}/file`), "hello");
  // Whatever the umask of this process is.
  assertEquals((await Deno.stat(`${real}/file`)).mode! & 0o777, 0o666);
  assertEquals(await mirror.read(id, fh, 1n, 3), "ell");
  assertEquals(await mirror.read(id, fh, 5n), "");
  await mirror.ask(FSYNC, id, words(fh, 1, 0));
  await Deno.writeTextFile(`${real}/file`, "by another");
  assertEquals(await mirror.read(id, fh), "by another");
  const { view } = await mirror.ask(GETATTR, id, words(0, 0, 0n));
  const info = await Deno.stat(`${real}/file`);
  assertEquals(Number(view.getBigUint64(16, true)), info.ino);
  assertEquals(view.getBigUint64(24, true), 10n);
  await mirror.release(id, fh);
  const appending = await mirror.open(id, 1 | O_APPEND);
  await mirror.write(id, appending.fh, 0n, "!");
  assertEquals(await Deno.readTextFile(`${real}/file`), "by another!");
  await mirror.release(id, appending.fh);
});

Deno.test("a file keeps its number, whatever its names are", async () => {
  await using mirror = await Mirror.make();
  const { real } = mirror;
  const { id, fh } = await mirror.create("a");
  await mirror.write(id, fh, 0n, "text");
  const link = await mirror.ask(LINK, 1, words(BigInt(id)), names("b"));
  assertEquals([idOf(link), await mirror.find("b")], [id, id]);
  await mirror.ask(RENAME2, 1, words(1n, 0, 0), names("a", "c"));
  assertEquals(await mirror.find("c"), id);
  // By another program, and no name of it is known.
  await Deno.rename(`${real}/c`, `${real}/d`);
  await mirror.ask(UNLINK, 1, names("b"));
  await Deno.remove(`${real}/d`);
  const { errno } = await mirror.kernel.ask(LOOKUP, 1, names("d"));
  assertEquals(errno, ENOENT);
  const { view } = await mirror.ask(GETATTR, id, words(0, 0, 0n));
  assertEquals(view.getUint32(16 + 64, true), 0); // Names.
  const second = await mirror.open(id);
  assertEquals(await mirror.read(id, second.fh), "text");
  await mirror.release(id, second.fh);
  await mirror.release(id, fh);
  const before = descriptorsBelow(real);
  // create, LINK, find b, find c.
  mirror.kernel.tell(FORGET, id, words(4n));
  assertEquals(descriptorsBelow(real), before - 1);
});

Deno.test("renames take flags, and directories have to be empty", async () => {
  await using mirror = await Mirror.make();
  const { real, kernel } = mirror;
  for (const name of ["one", "two"]) {
    await mirror.ask(MKDIR, 1, words(0o1777, 0), names(name));
    await Deno.writeTextFile(`${real}/${name}/${name}`, name);
  }
  assertEquals((await Deno.stat(`${real}/one`)).mode! & 0o7777, 0o1777);
  const rename = (flags: number) =>
    kernel.ask(RENAME2, 1, words(1n, flags, 0), names("one", "two"));
  assertEquals((await rename(1)).errno, EEXIST);
  assertEquals((await rename(0)).errno, ENOTEMPTY);
  assertEquals((await rename(2)).errno, 0);
  assertEquals(await Deno.readTextFile(`${real}/two/one`), "one");
  const { errno } = await kernel.ask(RMDIR, 1, names("one"));
  assertEquals(errno, ENOTEMPTY);
  await Deno.remove(`${real}/one/two`);
  await mirror.ask(RMDIR, 1, names("one"));
});

Deno.test("attributes are changed to the nanosecond, and no other", async () => {
  await using mirror = await Mirror.make();
  const { id, fh } = await mirror.create("file");
  const set = (valid: number, { size = 0n, mtime = 0n, nsec = 0, mode = 0 }) =>
    mirror.ask(
      SETATTR,
      id,
      words(valid, 0, fh, size, 0n, 0n, mtime, 0n, 0, nsec, 0, mode),
      new Uint8Array(16),
    );
  const { atime } = await Deno.stat(`${mirror.real}/file`);
  await set(1 | 8 | 32, {
    size: 99n,
    mtime: -1n,
    nsec: 123456789,
    mode: 0o640,
  });
  const { view } = await mirror.ask(GETATTR, id, words(0, 0, 0n));
  assertEquals(view.getBigUint64(24, true), 99n);
  assertEquals(view.getBigInt64(16 + 32, true), -1n);
  assertEquals(view.getUint32(16 + 52, true), 123456789);
  assertEquals(view.getUint32(16 + 60, true), 0o100640);
  assertEquals((await Deno.stat(`${mirror.real}/file`)).atime, atime);
  // Without the open file, which a size of 2^40 needs not.
  await mirror.release(id, fh);
  await set(8, { size: 2n ** 40n });
  assertEquals((await Deno.stat(`${mirror.real}/file`)).size, 2 ** 40);
});

Deno.test("a caller without privilege clears set-user-ID bits", async () => {
  await using mirror = await Mirror.make();
  const { id, fh } = await mirror.create("file");
  const path = `${mirror.real}/file`;
  const mode = async () => (await Deno.stat(path)).mode! & 0o7777;
  const write = async (flags: number) => {
    const head = words(fh, 0n, 1, flags, 0n, 0, 0);
    await mirror.ask(WRITE, id, head, encode("x"));
    return await mode();
  };
  await Deno.chmod(path, 0o6770);
  // The kernel itself clears the bits of a file that this process writes, unless it
  // is root's.
  if (Deno.uid() === 0) assertEquals(await write(0), 0o6770);
  assertEquals(await write(4), 0o770);
  await Deno.chmod(path, 0o2760); // Mandatory locks, once: that bit stays.
  if (Deno.uid() === 0) assertEquals(await write(4), 0o2760);
  await Deno.chmod(path, 0o4700);
  const valid = 8 | 2048;
  await mirror.ask(SETATTR, id, words(valid, 0, fh), new Uint8Array(72));
  assertEquals(await mode(), 0o700);
  await mirror.release(id, fh);
  await Deno.chmod(path, 0o4700);
  const { view } = await mirror.ask(OPEN, id, words(1 | O_TRUNC, 1));
  assertEquals(await mode(), 0o700);
  await mirror.release(id, view.getBigUint64(0, true));
  // open(2) truncates for O_TRUNC without the right to write, and the kernel asks so.
  await Deno.writeTextFile(path, "text");
  const reading = await mirror.open(id, 0);
  await mirror.ask(
    SETATTR,
    id,
    words(8 | 64, 0, reading.fh),
    new Uint8Array(72),
  );
  assertEquals((await Deno.stat(path)).size, 0);
  await mirror.release(id, reading.fh);
});

Deno.test("links, nodes and files without a name are mirrored", async () => {
  await using mirror = await Mirror.make();
  const { real, kernel } = mirror;
  await mirror.ask(SYMLINK, 1, names("link", "/etc/pässwd"));
  const link = await mirror.find("link");
  const { bytes } = await mirror.ask(READLINK, link);
  assertEquals(decode(bytes), "/etc/pässwd");
  assertEquals(await Deno.readLink(`${real}/link`), "/etc/pässwd");
  // A link of a link is one of itself.
  await mirror.ask(LINK, 1, words(BigInt(link)), names("again"));
  assertEquals(await Deno.readLink(`${real}/again`), "/etc/pässwd");
  await mirror.ask(MKNOD, 1, words(0o10622, 0, 0, 0), names("fifo"));
  assert((await Deno.lstat(`${real}/fifo`)).isFifo);
  const flags = words(O_RDWR, 0o100600, 0, 0);
  const { errno, view } = await kernel.ask(TMPFILE, 1, flags, names(""));
  assertEquals(errno, 0);
  const id = Number(view.getBigUint64(0, true));
  const { fh } = openedAt(view, 128, id);
  await mirror.write(id, fh, 0n, "named later");
  await mirror.ask(LINK, 1, words(BigInt(id)), names("named"));
  assertEquals(await Deno.readTextFile(`${real}/named`), "named later");
  await mirror.release(id, fh);
});

Deno.test("a directory is listed, with types and inodes", async () => {
  await using mirror = await Mirror.make();
  const { real } = mirror;
  await Deno.mkdir(`${real}/dir`);
  const all = Array.from({ length: 500 }, (_, i) => `file-${i}`);
  for (const name of all) await Deno.writeTextFile(`${real}/${name}`, "");
  const { view } = await mirror.ask(OPENDIR, 1, words(0, 0));
  const fh = view.getBigUint64(0, true);
  const list = async () => {
    const found: string[] = [];
    for (let offset = 0n;;) {
      const head = words(fh, offset, 4096, 0, 0n, 0, 0);
      const { bytes, view } = await mirror.ask(READDIR, 1, head);
      if (bytes.length === 0) return found.sort();
      for (let at = 0; at < bytes.length;) {
        const length = view.getUint32(at + 16, true);
        const name = decode(bytes.slice(at + 24, at + 24 + length));
        const [ino, type] = [view.getBigUint64(at, true), bytes[at + 20]];
        if (name === "dir") assertEquals(type, 4);
        if (name === "file-7") {
          const info = await Deno.stat(`${real}/${name}`);
          assertEquals([Number(ino), type], [info.ino, 8]);
        }
        found.push(name);
        offset = view.getBigUint64(at + 8, true);
        at += 24 + length + 7 & ~7;
      }
    }
  };
  assertEquals(await list(), [".", "..", "dir", ...all].sort());
  const head = words(fh, 0n, 65536, 0, 0n, 0, 0);
  const plus = await mirror.ask(READDIRPLUS, 1, head);
  // "." and ".." have no node; the others are as a look-up has them.
  const at = 2 * (128 + 32);
  const first = Number(plus.view.getBigUint64(at, true));
  if (first !== 0) { // The filesystem of the temporary files is a local one.
    const length = plus.view.getUint32(at + 128 + 16, true);
    const name = decode(plus.bytes.slice(at + 152, at + 152 + length));
    assertEquals(await mirror.find(name), first);
    const { ino, mode } = await Deno.stat(`${real}/${name}`);
    assertEquals(Number(plus.view.getBigUint64(at + 40, true)), ino);
    assertEquals(plus.view.getUint32(at + 40 + 60, true), mode);
  }
  await Deno.remove(`${real}/dir`);
  assertEquals(await list(), [".", "..", ...all].sort()); // As rewinddir(3) does.
  await mirror.release(1, fh, RELEASEDIR);
});

Deno.test("holes, room and copies are those of the directory", async () => {
  await using mirror = await Mirror.make();
  const { id, fh } = await mirror.create("sparse");
  await mirror.write(id, fh, 8_589_934_592n, "far"); // 2^33
  const seek = async (offset: bigint, whence: number) => {
    const { view } = await mirror.ask(LSEEK, id, words(fh, offset, whence, 0));
    return view.getBigUint64(0, true);
  };
  assertEquals(await seek(5n, 4), 5n);
  assert(await seek(0n, 3) >= 2n ** 33n - 65536n);
  const to = await mirror.create("copy");
  const copy = words(fh, 2n ** 33n, BigInt(to.id), to.fh, 1n, 3n, 0n);
  const { view } = await mirror.ask(COPY, id, copy);
  assertEquals(view.getUint32(0, true), 3);
  assertEquals(await mirror.read(to.id, to.fh), "\0far");
  const room = words(to.fh, 0n, 100_000n, 0, 0);
  await mirror.ask(FALLOCATE, to.id, room);
  assertEquals((await Deno.stat(`${mirror.real}/copy`)).size, 100_000);
  const space = (await mirror.ask(STATFS, 1)).view;
  assert(space.getBigUint64(0, true) > 0n && space.getUint32(44, true) > 14);
  for (const it of [{ id, fh }, to]) await mirror.release(it.id, it.fh);
});

Deno.test("extended attributes are those of the file", async () => {
  await using mirror = await Mirror.make();
  const { id, fh } = await mirror.create("file");
  const { errno } = await mirror.kernel.ask(
    SETXATTR,
    id,
    words(5, 1),
    names("user.name"),
    encode("value"),
  );
  await mirror.release(id, fh);
  if (errno === 95) return; // A tmpfs of before Linux 6.6.
  assertEquals(errno, 0);
  const get = (size: number) =>
    mirror.kernel.ask(GETXATTR, id, words(size, 0), names("user.name"));
  assertEquals((await get(0)).view.getUint32(0, true), 5);
  assertEquals(decode((await get(100)).bytes), "value");
  const { bytes } = await mirror.ask(LISTXATTR, id, words(100, 0));
  assert(decode(bytes).split("\0").includes("user.name"));
  await mirror.ask(REMOVEXATTR, id, names("user.name"));
  assertEquals((await get(100)).errno, ENODATA);
});

Deno.test("all open files of a node have the first one's backing", async () => {
  await using mirror = await Mirror.make();
  const { device } = mirror;
  const first = await mirror.create("file");
  assertEquals([first.flags, first.backing], [BACKED, 1]);
  const second = await mirror.open(first.id, 0);
  assertEquals([second.flags, second.backing], [BACKED, 1]);
  assertEquals(mirror.kernel.session.stats().backed, 2);
  await mirror.release(first.id, first.fh);
  assertEquals(device.calls, ["open true"]);
  await mirror.release(first.id, second.fh);
  assertEquals(device.calls, ["open true", "close 1"]);
  const third = await mirror.open(first.id, 0);
  assertEquals(third.backing, 2);
  // An open that the kernel no longer wants is released as well.
  mirror.kernel.unwanted.add(mirror.kernel.next);
  await mirror.open(first.id, 0);
  assertEquals(mirror.kernel.session.stats().backed, 1);
  await mirror.release(first.id, third.fh);
  assertEquals(device.calls.slice(2), ["open true", "close 2"]);
});

Deno.test("a kernel that refuses backing files is served", async () => {
  for (const [errno, calls] of [[1, 1], [40, 2]]) {
    await using mirror = await Mirror.make(-errno);
    for (const name of ["one", "two"]) {
      const { id, fh, flags, backing } = await mirror.create(name);
      assertEquals([flags, backing], [SERVED, 0]);
      await mirror.release(id, fh);
    }
    // Without the privilege, it is asked once.
    assertEquals(mirror.device.calls.length, calls);
  }
});

Deno.test("the kernel is asked to forget the oldest files", async () => {
  const real = await Deno.makeTempDir();
  const fs = passthrough(real, { maxFiles: 4 });
  const kernel = new FakeKernel(fs);
  await fs.init!();
  for (let i = 0; i < 6; i++) {
    await Deno.writeTextFile(`${real}/${i}`, "");
    assertEquals((await kernel.ask(LOOKUP, 1, names(`${i}`))).errno, 0);
  }
  // Of those numbered 2 to 7. Those that were asked for are the last from then on.
  const asked = kernel.notified.map((bytes) => {
    const view = new DataView(bytes.buffer);
    const [length, code] = [view.getUint32(0, true), view.getInt32(4, true)];
    assertEquals([length, code], [bytes.length, 9]);
    assertEquals(view.getUint32(16, true), (length - 32) / 8);
    return Array.from(new BigUint64Array(bytes.slice(32).buffer), Number);
  });
  assertEquals(asked, [[2, 3], [4, 5, 2], [3, 6, 4]]);
  await fs.destroy!();
  await Deno.remove(real, { recursive: true });
});

Deno.test("the end closes all descriptors", async () => {
  const mirror = await Mirror.make();
  for (const name of ["a", "b"]) await mirror.create(name);
  mirror.kernel.session.ended(19);
  assert(descriptorsBelow(mirror.real) > 0);
  await mirror[Symbol.asyncDispose]();
  assertEquals(descriptorsBelow(mirror.real), 0);
  await assertRejects(async () => await mirror.fs.init!(), Error, "another");
});

Deno.test("a file found is there, though the kernel forgot it meanwhile", async () => {
  await using mirror = await Mirror.make();
  await Deno.writeTextFile(`${mirror.real}/file`, "text");
  for (let i = 0; i < 200; i++) {
    const id = await mirror.find("file");
    const again = mirror.find("file");
    for (let turns = i % 20; turns > 0; turns--) await Promise.resolve();
    mirror.kernel.tell(FORGET, id, words(1n));
    const found = await again;
    await mirror.ask(GETATTR, found, words(0, 0, 0n));
    mirror.kernel.tell(FORGET, found, words(1n));
  }
  assertEquals(descriptorsBelow(mirror.real), 1);
});
