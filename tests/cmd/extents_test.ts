/** The space of files: what is allocated, freed, cut and flushed. */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { FixedFile, Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { pattern } from "../kit/bytes.ts";
import { devNull, Fd, pipe } from "../kit/fds.ts";
import { Folder } from "../kit/folder.ts";
import { words } from "../kit/golden.ts";
import { assertRefused, outcome } from "../kit/outcome.ts";
import { lacksOpcode, testUnless } from "../kit/skip.ts";

Deno.test("the SQE of fallocate has its fields and nothing else", () => {
  const range = { offset: 0x1_8000_0002, length: 0x71f2_f3f4_f5f6_0000n };
  const fields = {
    op: 0x11,
    fd: 5,
    off: 0x8000_0002,
    off_high: 1,
    addr: 0xf5f6_0000,
    addr_high: 0x71f2_f3f4,
  };
  assertEquals(words(op.fallocate(5, range)), fields);
  for (
    const [mode, len] of [
      ["allocateKeepSize", 1],
      ["punchHole", 3],
      ["collapseRange", 8],
      ["zeroRange", 0x10],
      ["zeroRangeKeepSize", 0x11],
      ["insertRange", 0x20],
      ["unshareRange", 0x40],
    ] as const
  ) {
    const command = op.fallocate(5, { ...range, mode });
    assertEquals(words(command), { ...fields, len }, mode);
  }
});

Deno.test("the SQE of ftruncate has its fields and nothing else", () => {
  const command = op.ftruncate(new FixedFile(0x103), 0x1_8000_0002);
  const fields = { op: 0x37, flags: 1, fd: 0x103 };
  assertEquals(words(command), { ...fields, off: 0x8000_0002, off_high: 1 });
  assertEquals(words(op.ftruncate(5, 0)), { op: 0x37, fd: 5 });
});

Deno.test("the SQE of syncFileRange has its fields and nothing else", () => {
  assertEquals(words(op.syncFileRange(5)), { op: 0x08, fd: 5, op_flags: 7 });
  const options = { offset: 2n ** 32n, length: 2 ** 32 - 1 };
  const some = { waitBefore: false, write: true, waitAfter: false };
  assertEquals(words(op.syncFileRange(5, { ...options, ...some })), {
    op: 0x08,
    fd: 5,
    off_high: 1,
    len: 2 ** 32 - 1,
    op_flags: 2,
  });
  const none = { waitBefore: false, write: false, waitAfter: false };
  assertEquals(words(op.syncFileRange(5, none)), { op: 0x08, fd: 5 });
});

Deno.test("a range that the kernel cannot express is refused by name", () => {
  const last = 2n ** 63n - 1n;
  for (
    const [make, message] of [
      [() => op.fallocate(5, { offset: -1, length: 1 }), "offset must be"],
      [() => op.fallocate(5, { offset: 0, length: 0 }), "length must be 1"],
      [() => op.fallocate(5, { offset: 0, length: 0n }), "length must be 1"],
      [() => op.fallocate(5, { offset: 0, length: 0.5 }), "length must be an"],
      [
        () => op.fallocate(5, { offset: last, length: 1 }),
        "below 2^63, not at",
      ],
      [() => op.fallocate(5, { offset: 0, length: last + 1n }), "length must"],
      [() => op.ftruncate(5, -1), "byteLength must be an integer"],
      [() => op.ftruncate(5, 2 ** 53), "byteLength must be an integer"],
      [() => op.ftruncate(5, last + 1n), "byteLength must be below 2^63"],
      [() => op.syncFileRange(5, { length: 2 ** 32 }), "length"],
      [() => op.syncFileRange(5, { offset: last, length: 1 }), "below 2^63"],
      [() => op.ftruncate(-1, 0), "fd"],
    ] as const
  ) assertThrows(make, RangeError, message, make.toString());
  op.fallocate(5, { offset: last - 1n, length: 1 });
  op.ftruncate(5, last);
  const mode = "erase" as "allocate";
  const unknown = () => op.fallocate(5, { offset: 0, length: 1, mode });
  assertThrows(unknown, TypeError, "mode must be one of allocate, ");
  const forgotten = op.ftruncate as unknown as (fd: number) => void;
  assertThrows(() => forgotten(5), TypeError, "byteLength must be a number");
  for (const name of ["waitBefore", "write", "waitAfter"]) {
    assertBoolean(name, (value) => op.syncFileRange(5, { [name]: value }));
  }
});

/** A file of four blocks of 4 KiB, open for both. */
async function blocks(ring: Ring, folder: Folder) {
  const path = folder.file("file", pattern(4 * BLOCK));
  const fd = new Fd(await ring.cmd(op.openat(path, { flags: op.O_RDWR })));
  return { path, fd };
}

const BLOCK = 4096;
const lacks = lacksOpcode("FALLOCATE");

testUnless(lacks, "fallocate extends a file, or leaves its size", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const path = folder.file("file");
  const open = op.openat(path, { flags: op.O_RDWR });
  using file = new Fd(await ring.cmd(open));
  const range = { offset: 0, length: 64 * 1024 };
  const mode = "allocateKeepSize";
  assertEquals(await ring.cmd(op.fallocate(file.fd, { ...range, mode })), 0);
  const kept = Deno.statSync(path);
  assertEquals(kept.size, 0);
  assertGreater(kept.blocks!, 0);
  assertEquals(await ring.cmd(op.fallocate(file.fd, range)), 0);
  assertEquals(Deno.statSync(path).size, 64 * 1024);
});

testUnless(
  lacks,
  "each mode of fallocate changes the data as its name says",
  async () => {
    await using ring = Ring.open();
    const bytes = pattern(4 * BLOCK);
    const zeros = new Uint8Array(BLOCK);
    const part = (from: number, to: number) =>
      bytes.subarray(from * BLOCK, to * BLOCK);
    const gap = [part(0, 1), zeros, part(2, 4)];
    for (
      const [mode, expected] of [
        ["punchHole", gap],
        ["zeroRange", gap],
        ["zeroRangeKeepSize", gap],
        ["collapseRange", [part(0, 1), part(2, 4)]],
        ["insertRange", [part(0, 1), zeros, part(1, 4)]],
        ["unshareRange", [bytes]],
        ["allocate", [bytes]],
      ] as const
    ) {
      using folder = new Folder();
      const { path, fd } = await blocks(ring, folder);
      using file = fd;
      const before = Deno.statSync(path).blocks!;
      const range = { offset: BLOCK, length: BLOCK, mode };
      const result = await outcome(ring.cmd(op.fallocate(file.fd, range)));
      // Not every file system has every mode, or takes a block of this size.
      if (result === "EOPNOTSUPP" || result === "EINVAL") continue;
      assertEquals(result, 0, mode);
      const found = Deno.readFileSync(path);
      assertEquals(
        found,
        new Uint8Array(await new Blob([...expected]).bytes()),
      );
      if (mode !== "punchHole") continue;
      assertGreater(before, Deno.statSync(path).blocks!, "the space is freed");
    }
  },
);

testUnless(
  lacks,
  "a file that has no space to allocate is refused with advice",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const range = { offset: 0, length: 1 };
    const refused = (fd: number, more?: Partial<op.FallocateOptions>) =>
      ring.cmd(op.fallocate(fd, { ...range, ...more }));
    using ends = pipe();
    const message = `FALLOCATE on fd ${ends.right}: ESPIPE (29). The file is a`;
    await assertRefused(refused(ends.right), "ESPIPE", message);
    using device = devNull();
    await assertRefused(refused(device.fd), "ENODEV", "no regular file");
    using reader = new Fd(await ring.cmd(op.openat(folder.file("a", "abc"))));
    await assertRefused(refused(reader.fd), "EBADF", "opened for writing");
    const large = { length: 2n ** 62n };
    const path = `${folder.path}/a`;
    const open = op.openat(path, { flags: op.O_RDWR });
    using writer = new Fd(await ring.cmd(open));
    // tmpfs has no limit, but no room either.
    const result = await outcome(refused(writer.fd, large));
    assert(result === "EFBIG" || result === "ENOSPC", String(result));
    assertEquals(Deno.statSync(path).size, 3);
  },
);

testUnless(
  lacksOpcode("FTRUNCATE"),
  "ftruncate cuts a file, and extends it with zeros",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file", "hello");
    const open = op.openat(path, { flags: op.O_RDWR });
    using file = new Fd(await ring.cmd(open));
    assertEquals(await ring.cmd(op.ftruncate(file.fd, 2)), 0);
    assertEquals(Deno.readTextFileSync(path), "he");
    assertEquals(await ring.cmd(op.ftruncate(file.fd, 4n)), 0);
    assertEquals(Deno.readTextFileSync(path), "he\0\0");
    const [fixed] = ring.registerFiles([file.fd]);
    assertEquals(await ring.cmd(op.ftruncate(fixed, 0)), 0);
    assertEquals(Deno.statSync(path).size, 0);
    const large = op.ftruncate(file.fd, 2n ** 63n - 1n);
    // tmpfs has no limit.
    if (await outcome(ring.cmd(large)) === 0) return;
    const message = `FTRUNCATE on fd ${file.fd}: EFBIG (27). The file would`;
    await assertRefused(ring.cmd(large), "EFBIG", message);
  },
);

testUnless(
  lacksOpcode("FTRUNCATE"),
  "ftruncate of a file that is open for reading changes nothing",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file", "hello");
    using file = new Fd(await ring.cmd(op.openat(path)));
    const refused = ring.cmd(op.ftruncate(file.fd, 0));
    await assertRefused(refused, "EINVAL", "not open for writing", "O_RDWR");
    assertEquals(Deno.readTextFileSync(path), "hello");
  },
);

testUnless(
  lacksOpcode("SYNC_FILE_RANGE"),
  "syncFileRange writes a range, of a file that has pages",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const { fd } = await blocks(ring, folder);
    using file = fd;
    assertEquals(await ring.cmd(op.syncFileRange(file.fd)), 0);
    const range = { offset: BLOCK, length: BLOCK };
    assertEquals(await ring.cmd(op.syncFileRange(file.fd, range)), 0);
    using ends = pipe();
    const refused = ring.cmd(op.syncFileRange(ends.left));
    await assertRefused(refused, "ESPIPE", "SYNC_FILE_RANGE", "no page cache");
  },
);
