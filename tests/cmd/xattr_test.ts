/** Extended attributes, as Python's os module sees them too, where it is installed. */

import {
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { FixedFile, Ring, UringError } from "../../mod.ts";
import { alloc } from "../../ring/alloc.ts";
import * as op from "../../cmd/op.ts";
import { pattern, textOf, utf8 } from "../kit/bytes.ts";
import { Fd, pipe } from "../kit/fds.ts";
import { Folder } from "../kit/folder.ts";
import { assertMemory, words } from "../kit/golden.ts";
import { assertRefused } from "../kit/outcome.ts";
import { hasLinux, lacksOpcode, testUnless } from "../kit/skip.ts";

Deno.test("the SQEs of fgetxattr and getxattr have their fields and nothing else", () => {
  const fixed = op.fgetxattr(new FixedFile(3), "user.é");
  assertEquals(words(fixed), { op: 0x2b, flags: 1, fd: 3, len: 65536 });
  assertMemory(fixed, [[16, "reads", "user.é\0"], [8, "writes", 65536]]);
  const path = op.getxattr("/p", "user.a", { maxLength: 5 });
  assertEquals(words(path), { op: 0x2c, fd: -1, len: 5 });
  assertMemory(path, [
    [16, "reads", "user.a\0"],
    [8, "writes", 5],
    [48, "reads", "/p\0"],
  ]);
});

Deno.test("the SQEs of fsetxattr and setxattr have their fields and nothing else", () => {
  const value = Uint8Array.of(7, 0, 9);
  const plain = op.fsetxattr(5, "user.a", value);
  assertEquals(words(plain), { op: 0x29, fd: 5, len: 3 });
  assertMemory(plain, [[16, "reads", "user.a\0"], [8, "reads", value]]);
  const create = op.setxattr("/p", "user.a", value, { only: "create" });
  assertEquals(words(create), { op: 0x2a, fd: -1, len: 3, op_flags: 1 });
  assertMemory(create, [
    [16, "reads", "user.a\0"],
    [8, "reads", value],
    [48, "reads", "/p\0"],
  ]);
  const replace = op.setxattr("/p", "user.a", value, { only: "replace" });
  assertEquals(words(replace), { op: 0x2a, fd: -1, len: 3, op_flags: 2 });
});

Deno.test("operations on attributes refuse what they do not take, by name", () => {
  const value = new Uint8Array(1);
  const only = "new" as "create";
  const words = new Uint16Array(1) as unknown as Uint8Array;
  for (
    const [make, message] of [
      [() => op.getxattr("a\0", "user.a"), "path has a zero byte"],
      [() => op.getxattr("a", "user.\0"), "name has a zero byte"],
      [() => op.fgetxattr(5, 5 as unknown as string), "name must be a string"],
      [() => op.setxattr("a", "user.a", value, { only }), "only must be one"],
      [() => op.fsetxattr(5, "user.a", words), "value must be a Uint8Array"],
    ] as const
  ) assertThrows(make, TypeError, message, make.toString());
  const long = new Uint8Array(65537);
  for (
    const [make, message] of [
      [() => op.fgetxattr(5, ""), "length of name must be"],
      [() => op.fgetxattr(5, `user.${"é".repeat(126)}`), "length of name"],
      [() => op.fgetxattr(5, "user.a", { maxLength: 0 }), "maxLength must be"],
      [() => op.getxattr("a", "b", { maxLength: 65537 }), "maxLength must be"],
      [() => op.fsetxattr(5, "user.a", long), "length of value must be"],
    ] as const
  ) assertThrows(make, RangeError, message, make.toString());
  op.fgetxattr(5, `user.${"é".repeat(125)}`, { maxLength: 1 }); // 255 bytes.
  op.fsetxattr(5, "user.a", long.subarray(1));
});

/** Names what is missing for attributes of temporary files. */
function lacksAttributes(): string {
  const opcodes = lacksOpcode("GETXATTR", "SETXATTR", "FGETXATTR", "FSETXATTR");
  if (opcodes !== "") return opcodes;
  using folder = new Folder();
  const ring = Ring.open();
  try {
    const path = folder.file("a");
    ring.cmdSync(op.setxattr(path, "user.a", new Uint8Array()));
    return "";
  } catch (error) {
    if (error instanceof UringError) return "extended attributes in /tmp";
    throw error;
  } finally {
    ring.close();
  }
}

const lacks = lacksAttributes();

testUnless(
  lacks,
  "an attribute that is set by path or descriptor is read by both",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file");
    using file = new Fd(await ring.cmd(op.openat(path)));
    const value = pattern(300);
    assertEquals(await ring.cmd(op.setxattr(path, "user.a", value)), 0);
    assertEquals(await ring.cmd(op.fgetxattr(file.fd, "user.a")), value);
    const aligned = alloc(16).fill(7);
    assertEquals(await ring.cmd(op.fsetxattr(file.fd, "user.b", aligned)), 0);
    const found = await Promise.all([
      ring.cmd(op.getxattr(path, "user.b")),
      ring.cmd(op.getxattr(path, "user.a", { maxLength: 300 })),
      ring.cmd(op.fgetxattr(file.fd, utf8("user.b"))),
    ]);
    assertEquals(found, [new Uint8Array(16).fill(7), value, found[0]]);
    await ring.cmd(op.setxattr(path, "user.a", new Uint8Array()));
    assertEquals(await ring.cmd(op.getxattr(path, "user.a")), new Uint8Array());
  },
);

testUnless(
  lacks,
  "a registered file has attributes since Linux 6.13, and a refusal before says so",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using file = new Fd(await ring.cmd(op.openat(folder.file("file"))));
    const [fixed] = ring.registerFiles([file.fd]);
    const value = Uint8Array.of(1, 2, 3);
    for (
      const [command, expected] of [
        [op.fsetxattr(fixed, "user.a", value), 0],
        [op.fgetxattr(fixed, "user.a"), value],
      ] as const
    ) {
      if (hasLinux(6, 13)) {
        assertEquals<unknown>(await ring.cmd<unknown>(command), expected);
        continue;
      }
      const refusal = await assertRejects(() => ring.cmd<unknown>(command));
      assertStringIncludes(String(refusal), "EBADF");
      assertStringIncludes(String(refusal), "since 6.13");
    }
    ring.unregisterFiles();
  },
);

function lacksPython(): string {
  try {
    const { success } = new Deno.Command("python3", { args: ["-c", ""] })
      .outputSync();
    return success ? "" : "Python";
  } catch {
    return "Python";
  }
}

testUnless(
  lacks || lacksPython(),
  "another program sees the attributes, and sets them",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file");
    await ring.cmd(op.setxattr(path, "user.a", utf8("from here")));
    const script = "import os, sys; p = sys.argv[1]\n" +
      "print(os.getxattr(p, 'user.a')); os.setxattr(p, 'user.b', b'from there')";
    const python = new Deno.Command("python3", { args: ["-c", script, path] });
    assertEquals(textOf(python.outputSync().stdout), "b'from here'\n");
    const found = await ring.cmd(op.getxattr(path, "user.b"));
    assertEquals(textOf(found), "from there");
  },
);

testUnless(
  lacks,
  "only decides whether an attribute may be there",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file");
    const set = (only: "create" | "replace", text: string) =>
      ring.cmd(op.setxattr(path, "user.a", utf8(text), { only }));
    const quoted = JSON.stringify(path);
    const message =
      `SETXATTR "user.a" of ${quoted}: ENODATA (61). The file has`;
    await assertRefused(set("replace", "first"), "ENODATA", message);
    assertEquals(await set("create", "second"), 0);
    await assertRefused(set("create", "third"), "EEXIST", 'only: "create"');
    assertEquals(textOf(await ring.cmd(op.getxattr(path, "user.a"))), "second");
    assertEquals(await set("replace", "fourth"), 0);
    assertEquals(textOf(await ring.cmd(op.getxattr(path, "user.a"))), "fourth");
  },
);

testUnless(
  lacks,
  "an attribute that cannot be had is refused with advice",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const path = folder.file("file");
    using file = new Fd(await ring.cmd(op.openat(path)));
    const none = ring.cmd(op.fgetxattr(file.fd, "user.none"));
    const message = `FGETXATTR "user.none" on fd ${file.fd}: ENODATA (61). `;
    await assertRefused(none, "ENODATA", message, "getfattr");
    await ring.cmd(op.setxattr(path, "user.a", pattern(100)));
    const short = ring.cmd(op.getxattr(path, "user.a", { maxLength: 99 }));
    await assertRefused(short, "ERANGE", "longer than maxLength. Leave it out");
    const kind = ring.cmd(op.getxattr(path, "nothing"));
    await assertRefused(kind, "EOPNOTSUPP", 'A name starts with "user."');
    const missing = ring.cmd(op.getxattr(`${path}.x`, "user.a"));
    await assertRefused(missing, "ENOENT", "There is no such file");
    const closed = ring.cmd(op.fgetxattr(0x7fff_fff0, "user.a"));
    await assertRefused(closed, "EBADF", "not open");
    using ends = pipe();
    const value = utf8("x");
    const other = ring.cmd(op.fsetxattr(ends.left, "user.a", value));
    await assertRefused(other, "EPERM", "Only regular files and directories");
  },
);
