/** Attributes, as bytes. Offsets are those of <linux/fuse.h>, written once more. */

import { assertEquals, assertThrows } from "@std/assert";
import { stat as nodeStat } from "node:fs/promises";
import { modeOf, type Stat, writeAttr } from "../../cmd/fuse/stat.ts";
import { writeStatx } from "../../cmd/fuse/stat.ts";

const DEFAULTS = { uid: 7, gid: 8, time: 1_500 };

/** Returns the fields of a `struct fuse_attr` by name. */
function attr(stat: Stat) {
  const view = new DataView(new ArrayBuffer(96));
  for (let i = 0; i < 96; i++) view.setUint8(i, 0xaa);
  writeAttr(view, 4, stat, 33, DEFAULTS);
  const [u32, u64] = [
    (at: number) => view.getUint32(4 + at, true),
    (at: number) => view.getBigInt64(4 + at, true),
  ];
  assertEquals([view.getUint32(0), view.getUint32(92)], [
    ...[0xaaaa_aaaa, 0xaaaa_aaaa],
  ]);
  return {
    ...{ ino: u64(0), size: u64(8), blocks: u64(16) },
    ...{ atime: u64(24), mtime: u64(32), ctime: u64(40) },
    ...{ atimensec: u32(48), mtimensec: u32(52), ctimensec: u32(56) },
    ...{ mode: u32(60), nlink: u32(64), uid: u32(68), gid: u32(72) },
    ...{ rdev: u32(76), blksize: u32(80), flags: u32(84) },
  };
}

Deno.test("attributes that are missing have their defaults", () => {
  assertEquals(attr({}), {
    ...{ ino: 33n, size: 0n, blocks: 0n },
    ...{ atime: 1n, mtime: 1n, ctime: 1n },
    ...{ atimensec: 500_000_000, mtimensec: 500_000_000 },
    ...{ ctimensec: 500_000_000, mode: 0o100644, nlink: 1, uid: 7, gid: 8 },
    ...{ rdev: 0, blksize: 4096, flags: 0 },
  });
});

Deno.test("attributes are where the kernel reads them", () => {
  assertEquals(
    attr({
      ...{ ino: 0x1_0000_0002n, size: 2 ** 53 - 1, blocks: 5, mode: 0o40711 },
      ...{ nlink: 3, uid: 4, gid: 0, rdev: 6, blksize: 512 },
      ...{ atime: -1n, mtime: new Date(-1), ctime: 1_700_000_000_123.5 },
    }),
    {
      ...{ ino: 0x1_0000_0002n, size: 2n ** 53n - 1n, blocks: 5n },
      ...{ atime: -1n, mtime: -1n, ctime: 1_700_000_000n },
      ...{ atimensec: 999_999_999, mtimensec: 999_000_000 },
      ...{ ctimensec: 123_500_000, mode: 0o40711, nlink: 3, uid: 4, gid: 0 },
      ...{ rdev: 6, blksize: 512, flags: 0 },
    },
  );
});

Deno.test("what Deno and node return is taken as it is", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "seven b");
    await Deno.chmod(path, 0o640);
    await Deno.utime(path, 1, 2.25);
    const stats = await nodeStat(path);
    const bigints = await nodeStat(path, { bigint: true });
    for (const stat of [await Deno.stat(path), stats, bigints]) {
      const { mode, size, mtime, mtimensec, nlink, uid } = attr(stat);
      assertEquals([mode, size, mtime, mtimensec, nlink, uid], [
        ...[0o100640, 7n, 2n, 250_000_000, 1, Deno.uid()],
      ]);
    }
    assertEquals(attr(await Deno.stat("/tmp")).mode >>> 12, 4);
    assertEquals(attr(await nodeStat("/tmp")).mode >>> 12, 4);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("the kind decides the type, then the mode, then the methods", () => {
  assertEquals(modeOf({ kind: "directory" }), 0o40755);
  assertEquals(modeOf({ kind: "symlink" }), 0o120777);
  assertEquals(modeOf({ kind: "fifo", mode: 0o600 }), 0o10600);
  assertEquals(modeOf({ kind: "file", mode: 0o40600 }), 0o100600);
  assertEquals(modeOf({ mode: 0o140000 }), 0o140000);
  assertEquals(modeOf({ mode: null, isDirectory: true }), 0o40755);
  assertEquals(modeOf({ isDirectory: () => false, isSymlink: true }), 0o120777);
  const kind = "door" as unknown as "file";
  assertThrows(() => modeOf({ kind }), TypeError, "file, directory");
});

Deno.test("counts and times that no file has are refused", () => {
  for (const size of [-1, 1.5, NaN, 2 ** 53, -1n]) {
    assertThrows(() => attr({ size }), RangeError, `size is ${size}`);
  }
  for (const mtime of [NaN, Infinity, new Date(NaN)]) {
    assertThrows(() => attr({ mtime }), RangeError, "a time is");
  }
});

Deno.test("statx has the time of birth, and the parts of a device's number", () => {
  const view = new DataView(new ArrayBuffer(256));
  const stat: Stat = {
    kind: "char",
    rdev: 5 << 8 | 0x45,
    birthtime: 3_000_000_001n,
  };
  writeStatx(view, 0, stat, 33, DEFAULTS);
  const u32 = (at: number) => view.getUint32(at, true);
  assertEquals([u32(0), view.getUint16(28, true)], [0xfff, 0o20644]);
  assertEquals([view.getBigInt64(80, true), u32(88)], [3n, 1]); // btime
  assertEquals([view.getBigInt64(112, true), u32(120)], [1n, 500_000_000]);
  assertEquals([u32(128), u32(132)], [5, 0x45]); // rdev
  writeStatx(view, 0, {}, 33, DEFAULTS);
  assertEquals([u32(0), view.getBigInt64(80, true)], [0x7ff, 0n]);
});
