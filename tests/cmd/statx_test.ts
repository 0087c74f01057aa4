/** The status of files, judged by Deno's own calls. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Completion, FixedFile, Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { statx as layout } from "../../sys/uapi/fs.ts";
import { sizeof } from "../../sys/struct.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { textOf } from "../kit/bytes.ts";
import { devNull, Fd, pipe } from "../kit/fds.ts";
import { Folder } from "../kit/folder.ts";
import { assertMemory, words } from "../kit/golden.ts";
import { assertRefused } from "../kit/outcome.ts";
import { lacksOpcode, testUnless } from "../kit/skip.ts";

const USUAL = 0xfff; // STATX_BASIC_STATS | STATX_BTIME

Deno.test("the SQE of statx has its fields and nothing else", () => {
  const plain = op.statx("/é");
  assertEquals(words(plain), { op: 0x15, fd: -100, len: USUAL });
  assertMemory(plain, [[16, "reads", "/é\0"], [8, "writes", 256]]);

  const full = op.statx(Uint8Array.of(0x61, 0xff), {
    dirFd: 0x102,
    mask: op.STATX_SIZE,
    noFollow: true,
    sync: "force",
  });
  const op_flags = 0x2100; // AT_STATX_FORCE_SYNC, AT_SYMLINK_NOFOLLOW
  assertEquals(words(full), { op: 0x15, fd: 0x102, len: 0x200, op_flags });
  const path = Uint8Array.of(0x61, 0xff, 0);
  assertMemory(full, [[16, "reads", path], [8, "writes", 256]]);
});

Deno.test("the SQE of fstatx has its fields and nothing else", () => {
  const command = op.fstatx(5, { sync: "never", mask: 0 });
  // AT_STATX_DONT_SYNC, AT_EMPTY_PATH
  assertEquals(words(command), { op: 0x15, fd: 5, op_flags: 0x5000 });
  assertMemory(command, [[16, "reads", "\0"], [8, "writes", 256]]);
});

Deno.test("statx refuses what it does not take, by name", () => {
  assertBoolean("noFollow", (noFollow) => op.statx("a", { noFollow }));
  const sync = "yes" as "auto";
  assertThrows(() => op.statx("a", { sync }), TypeError, "sync must be one of");
  assertThrows(() => op.statx("a", { mask: -1 }), RangeError, "mask");
  // STATX__RESERVED, which the kernel keeps for other structs.
  assertThrows(() => op.fstatx(1, { mask: 2 ** 31 }), RangeError, "mask");
  assertEquals(words(op.fstatx(1, { mask: 2 ** 31 - 1 })).len, 2 ** 31 - 1);
  assertThrows(() => op.statx("a", { dirFd: -1 }), RangeError, "dirFd");
  assertThrows(() => op.statx("a\0b"), TypeError, "zero byte");
  assertThrows(() => op.statx(Uint8Array.of(0)), TypeError, "zero byte");
  assertThrows(() => op.statx("x\ud800"), TypeError, "well-formed");
  const file = new FixedFile(1) as unknown as number;
  assertThrows(() => op.fstatx(file), TypeError, "fd must be a number");
  const number = 5 as unknown as string;
  const message = "path must be a string or a Uint8Array, not 5";
  assertThrows(() => op.statx(number), TypeError, message);
});

Deno.test("each field of a status has its place in the struct", () => {
  const view = new DataView(new ArrayBuffer(sizeof(layout)));
  for (let at = 0; at < view.byteLength; at++) view.setUint8(at, at);
  const decode = op.fstatx(5).decode!;
  const memory = () => [new Uint8Array(), new Uint8Array(view.buffer)];
  view.setUint32(0, 0xfff, true);
  view.setBigInt64(80, -2n, true); // btime, before 1970
  view.setUint32(88, 999_999_999, true);
  for (const at of [64, 96, 112]) {
    view.setBigInt64(at, BigInt(at) * 10_000_000_000n, true);
    view.setUint32(at + 8, at, true);
  }
  const status = decode(new Completion(0, 0, memory()));
  assertEquals(status, {
    mask: 0xfff,
    blksize: 0x07060504,
    attributes: 0x0f0e0d0c0b0a0908n,
    nlink: 0x13121110,
    uid: 0x17161514,
    gid: 0x1b1a1918,
    mode: 0x1d1c,
    ino: 0x2726252423222120n,
    size: 0x2f2e2d2c2b2a2928n,
    blocks: 0x3736353433323130n,
    attributesMask: 0x3f3e3d3c3b3a3938n,
    atimeNs: 640_000_000_000_000_000_064n,
    btimeNs: -1_000_000_001n,
    ctimeNs: 960_000_000_000_000_000_096n,
    mtimeNs: 1_120_000_000_000_000_000_112n,
    rdev: [0x83828180, 0x87868584],
    dev: [0x8b8a8988, 0x8f8e8d8c],
    mountId: 0x9796959493929190n,
  });
  view.setUint32(0, 0x7ff, true); // Without STATX_BTIME.
  assertEquals(decode(new Completion(0, 0, memory())).btimeNs, null);
});

const lacks = lacksOpcode("STATX");

/** Compares a status with what Deno reports, in its milliseconds. */
function assertSame(
  status: op.FileStatus,
  path: string,
  noFollow = false,
): void {
  const info = noFollow ? Deno.lstatSync(path) : Deno.statSync(path);
  const milliseconds = (ns: bigint) => Number(ns / 1_000_000n);
  assertEquals(
    {
      mode: status.mode,
      nlink: status.nlink,
      uid: status.uid,
      gid: status.gid,
      ino: Number(status.ino),
      size: Number(status.size),
      blocks: Number(status.blocks),
      blksize: status.blksize,
      atime: milliseconds(status.atimeNs),
      mtime: milliseconds(status.mtimeNs),
      // Deno drops the milliseconds of this one.
      ctime: milliseconds(status.ctimeNs) / 1000 | 0,
    },
    {
      mode: info.mode,
      nlink: info.nlink,
      uid: info.uid,
      gid: info.gid,
      ino: info.ino,
      size: info.size,
      blocks: info.blocks,
      blksize: info.blksize,
      atime: info.atime?.getTime(),
      mtime: info.mtime?.getTime(),
      ctime: info.ctime!.getTime() / 1000 | 0,
    },
  );
  const [major, minor] = status.dev;
  assertEquals(info.dev, makedev(major, minor));
}

/** Joins the halves of a device number as glibc does. */
function makedev(major: number, minor: number): number {
  return (major & 0xfff) * 0x100 + (minor & 0xff) + (minor >>> 8) * 0x100000;
}

testUnless(
  lacks,
  "statx reports what Deno.stat and Deno.lstat report",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const file = folder.file("file", "hello");
    const link = `${folder.path}/link`;
    Deno.symlinkSync("file", link);
    Deno.linkSync(file, `${folder.path}/other`);
    Deno.utimeSync(file, new Date(-1500), new Date(86_400_123));

    const status = await ring.cmd(op.statx(file));
    assertSame(status, file);
    assertEquals(status.mtimeNs, 86_400_123_000_000n);
    assertEquals(status.atimeNs, -1_500_000_000n);
    assertEquals(status.mode & op.S_IFMT, op.S_IFREG);
    assertEquals(status.nlink, 2);
    assertSame(await ring.cmd(op.statx(link)), link);
    const itself = await ring.cmd(op.statx(link, { noFollow: true }));
    assertSame(itself, link, true);
    assertEquals(itself.mode & op.S_IFMT, op.S_IFLNK);
    const directory = await ring.cmd(op.statx(folder.path));
    assertSame(directory, folder.path);
    assertEquals(directory.mode & op.S_IFMT, op.S_IFDIR);
  },
);

testUnless(
  lacks,
  "statx starts at dirFd, and takes bytes that are not UTF-8",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using directory = new Fd(await ring.cmd(op.openat(folder.path)));
    const dirFd = directory.fd;
    const name = Uint8Array.of(0x61, 0xff, 0xfe); // No text has these bytes.
    const flags = op.O_CREAT | op.O_WRONLY;
    using file = new Fd(await ring.cmd(op.openat(name, { dirFd, flags })));
    await ring.cmd(op.write(file.fd, new Uint8Array(7)));
    const { size, ino } = await ring.cmd(op.statx(name, { dirFd }));
    assertEquals(size, 7n);
    assertEquals(ino, (await ring.cmd(op.fstatx(file.fd))).ino);
    name.fill(0x62); // The command has a copy of a path.
    const parts = ['STATX "bbb" in fd ', "no such file"];
    await assertRefused(
      ring.cmd(op.statx(name, { dirFd })),
      "ENOENT",
      ...parts,
    );
  },
);

testUnless(
  lacks,
  "fstatx reports an open file whose last name was removed",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using file = new Fd(
      await ring.cmd(op.openat(folder.file("a", "abc"), { flags: op.O_RDWR })),
    );
    Deno.removeSync(`${folder.path}/a`);
    const { nlink, size, mask } = await ring.cmd(op.fstatx(file.fd));
    assertEquals([nlink, size, mask & 0x7ff], [0, 3n, 0x7ff]);
  },
);

testUnless(
  lacks,
  "fstatx reports the types of files, and the numbers of devices",
  async () => {
    await using ring = Ring.open();
    using ends = pipe();
    using file = devNull();
    const fifo = await ring.cmd(op.fstatx(ends.left));
    assertEquals(fifo.mode & op.S_IFMT, op.S_IFIFO);
    const device = await ring.cmd(op.fstatx(file.fd, { sync: "force" }));
    assertEquals(device.mode & op.S_IFMT, op.S_IFCHR);
    assertEquals(device.rdev, [1, 3]);
  },
);

testUnless(
  lacks,
  "a status has the time of creation where the file system has it",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("a");
    const { btimeNs, mask } = await ring.cmd(op.statx(path));
    assertEquals(btimeNs !== null, (mask & op.STATX_BTIME) !== 0);
    const { birthtime } = Deno.statSync(path);
    const milliseconds = btimeNs === null
      ? undefined
      : Number(btimeNs / 1000000n);
    assertEquals(milliseconds, birthtime?.getTime());
  },
);

testUnless(lacks, "many statuses at once do not mix", async () => {
  await using ring = Ring.open({ entries: 64 });
  using folder = new Folder();
  const sizes = Array.from({ length: 100 }, (_, i) => i);
  const paths = sizes.map((i) => folder.file(`f${i}`, new Uint8Array(i)));
  const found = ring.cmdAllSync(paths.map((path) => op.statx(path)));
  assertEquals(found.map(({ size }) => Number(size)), sizes);
  const command = op.statx(paths[9]);
  const twice = await Promise.all([ring.cmd(command), ring.cmd(command)]);
  assertEquals(twice.map(({ size }) => size), [9n, 9n]);
});

testUnless(
  lacks,
  "a status that is refused names the path, the cause and the remedy",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const file = folder.file("file");
    Deno.symlinkSync("loop", `${folder.path}/loop`);
    const refused = (path: string) => ring.cmd(op.statx(path));
    const missing = `${folder.path}/missing`;
    await assertRefused(
      refused(missing),
      "ENOENT",
      `STATX ${JSON.stringify(missing)}: ENOENT (2). There is no such file`,
    );
    await assertRefused(refused(`${file}/x`), "ENOTDIR", "is a file where a");
    await assertRefused(refused(`${folder.path}/loop`), "ELOOP", "readlink -f");
    const long = refused(`/${"x".repeat(5000)}`);
    await assertRefused(long, "ENAMETOOLONG", "4095 bytes");
    await assertRefused(refused(""), "ENOENT");
    const closed = ring.cmd(op.fstatx(0x7fff_fff0));
    await assertRefused(closed, "EBADF", "STATX on fd 2147483632", "not open");
    assert(Deno.statSync(file).isFile);
  },
);

/** Returns the times of a file that stat(1) reports, with nanoseconds. */
function times(path: string): bigint[] {
  const args = ["-c", "%.9X %.9Y %.9Z", path];
  const { stdout } = new Deno.Command("stat", {
    args,
    env: { LC_ALL: "C" },
  }).outputSync();
  return textOf(stdout).trim().split(" ").map((text) => {
    const [seconds, nanoseconds] = text.split(".");
    return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  });
}

/** Returns what is missing if stat(1) is not that of GNU. */
function lacksStat(): string {
  try {
    times("/proc/self");
    return "";
  } catch {
    return "GNU stat";
  }
}

testUnless(
  lacks || lacksStat(),
  "the times of a status are exact to the nanosecond",
  async () => {
    await using ring = Ring.open();
    for (const path of [Deno.execPath(), "/", "/usr/bin"]) {
      const status = await ring.cmd(op.statx(path));
      const { atimeNs, mtimeNs, ctimeNs } = status;
      assertEquals([atimeNs, mtimeNs, ctimeNs], times(path), path);
    }
  },
);
