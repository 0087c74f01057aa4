/** Removal, renaming and making of the entries of directories. */

import { assertEquals, assertThrows } from "@std/assert";
import { type Command, Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { textOf } from "../kit/bytes.ts";
import { Fd, pipe } from "../kit/fds.ts";
import { Folder } from "../kit/folder.ts";
import { assertMemory, words } from "../kit/golden.ts";
import { assertRefused, outcomes } from "../kit/outcome.ts";
import { isRoot } from "../kit/process.ts";
import { lacksLinux, lacksOpcode, testUnless } from "../kit/skip.ts";

/** Returns the names in a folder, in order. */
function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

const both = { fromDirFd: 0x102, toDirFd: 0x304 };

Deno.test("the SQE of unlinkat has its fields and nothing else", () => {
  const plain = op.unlinkat("/é");
  assertEquals(words(plain), { op: 0x24, fd: -100 });
  assertMemory(plain, [[16, "reads", "/é\0"]]);
  const directory = op.unlinkat("a", { dirFd: 5, removeDirectory: true });
  assertEquals(words(directory), { op: 0x24, fd: 5, op_flags: 0x200 });
});

Deno.test("the SQE of renameat has its fields and nothing else", () => {
  const plain = op.renameat("a", "b");
  // AT_FDCWD twice.
  assertEquals(words(plain), { op: 0x23, fd: -100, len: 2 ** 32 - 100 });
  assertMemory(plain, [[16, "reads", "a\0"], [8, "reads", "b\0"]]);
  const fields = { op: 0x23, fd: 0x102, len: 0x304 };
  const noReplace = op.renameat("a", "b", { ...both, noReplace: true });
  assertEquals(words(noReplace), { ...fields, op_flags: 1 });
  const exchange = op.renameat("a", "b", { ...both, exchange: true });
  assertEquals(words(exchange), { ...fields, op_flags: 2 });
});

Deno.test("the SQEs of mkdirat and symlinkat have their fields and nothing else", () => {
  const directory = op.mkdirat("a");
  assertEquals(words(directory), { op: 0x25, fd: -100, len: 0o777 });
  assertMemory(directory, [[16, "reads", "a\0"]]);
  const all = op.mkdirat("a", { dirFd: 5, mode: 0o7777 });
  assertEquals(words(all), { op: 0x25, fd: 5, len: 0o7777 });
  const link = op.symlinkat("target", "link", { dirFd: 5 });
  assertEquals(words(link), { op: 0x26, fd: 5 });
  assertMemory(link, [[16, "reads", "target\0"], [8, "reads", "link\0"]]);
});

Deno.test("the SQE of linkat has its fields and nothing else", () => {
  const plain = op.linkat("a", "b", both);
  assertEquals(words(plain), { op: 0x27, fd: 0x102, len: 0x304 });
  assertMemory(plain, [[16, "reads", "a\0"], [8, "reads", "b\0"]]);
  const follow = op.linkat("a", "b", { ...both, followLink: true });
  const op_flags = 0x400; // AT_SYMLINK_FOLLOW
  assertEquals(words(follow), { op: 0x27, fd: 0x102, len: 0x304, op_flags });
});

Deno.test("operations on entries refuse what they do not take, by name", () => {
  assertBoolean(
    "removeDirectory",
    (removeDirectory) => op.unlinkat("a", { removeDirectory }),
  );
  assertBoolean(
    "noReplace",
    (noReplace) => op.renameat("a", "b", { noReplace }),
  );
  assertBoolean("exchange", (exchange) => op.renameat("a", "b", { exchange }));
  assertBoolean(
    "followLink",
    (followLink) => op.linkat("a", "b", { followLink }),
  );
  const text = "noReplace" as unknown as op.RenameOptions;
  const message = 'options must be an object, not "noReplace"';
  assertThrows(() => op.renameat("a", "b", text), TypeError, message);
  const contrary = { noReplace: true, exchange: true };
  assertThrows(
    () => op.renameat("a", "b", contrary),
    TypeError,
    "exclude each",
  );
  for (
    const [make, name] of [
      [() => op.unlinkat("a\0b"), "path"],
      [() => op.mkdirat("a\0b"), "path"],
      [() => op.symlinkat("\0", "b"), "target"],
      [() => op.symlinkat("a", "\0"), "path"],
      [() => op.renameat("\0", "b"), "from"],
      [() => op.renameat("a", "\0"), "to"],
      [() => op.linkat("a", Uint8Array.of(0x61, 0)), "to"],
    ] as const
  ) assertThrows(make, TypeError, `${name} has a zero byte`);
  for (
    const [make, name] of [
      [() => op.unlinkat("a", { dirFd: -100 }), "dirFd"],
      [() => op.renameat("a", "b", { fromDirFd: -1 }), "fromDirFd"],
      [() => op.renameat("a", "b", { toDirFd: -1 }), "toDirFd"],
      [() => op.linkat("a", "b", { toDirFd: 0.5 }), "toDirFd"],
      [() => op.mkdirat("a", { mode: 0o10000 }), "mode"],
    ] as const
  ) assertThrows(make, RangeError, `${name} must be an integer from 0`);
});

testUnless(
  lacksOpcode("UNLINKAT"),
  "unlinkat removes a file, and a directory only if it is told to",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const file = folder.file("file");
    const directory = `${folder.path}/directory`;
    Deno.mkdirSync(directory);
    Deno.symlinkSync("directory", `${folder.path}/link`);

    const asFile = ring.cmd(op.unlinkat(directory));
    const quoted = JSON.stringify(directory);
    const message = `UNLINKAT ${quoted}: EISDIR (21). The path is a directory`;
    await assertRefused(asFile, "EISDIR", message, "removeDirectory: true");
    const removeDirectory = true;
    const asDirectory = ring.cmd(op.unlinkat(file, { removeDirectory }));
    await assertRefused(asDirectory, "ENOTDIR", "Without removeDirectory");
    Deno.writeTextFileSync(`${directory}/inside`, "");
    const full = ring.cmd(op.unlinkat(directory, { removeDirectory }));
    await assertRefused(full, "ENOTEMPTY", "Remove them first");
    assertEquals(names(folder.path), ["directory", "file", "link"]);

    assertEquals(await ring.cmd(op.unlinkat(`${folder.path}/link`)), 0);
    assertEquals(await ring.cmd(op.unlinkat(file)), 0);
    using opened = new Fd(await ring.cmd(op.openat(directory)));
    assertEquals(
      await ring.cmd(op.unlinkat("inside", { dirFd: opened.fd })),
      0,
    );
    const empty = op.unlinkat(directory, { removeDirectory });
    assertEquals(await ring.cmd(empty), 0);
    assertEquals(names(folder.path), []);
    await assertRefused(ring.cmd(empty), "ENOENT", "There is no such file");
  },
);

testUnless(
  lacksOpcode("RENAMEAT"),
  "renameat replaces, keeps or exchanges what is at the new path",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const [a, b] = [folder.file("a", "first"), folder.file("b", "second")];
    const kept = ring.cmd(op.renameat(a, b, { noReplace: true }));
    const message = `RENAMEAT ${JSON.stringify(a)} to ${JSON.stringify(b)}: `;
    await assertRefused(kept, "EEXIST", message, "Leave out noReplace");
    assertEquals(Deno.readTextFileSync(b), "second");
    assertEquals(await ring.cmd(op.renameat(a, b, { exchange: true })), 0);
    assertEquals(Deno.readTextFileSync(a), "second");
    assertEquals(Deno.readTextFileSync(b), "first");
    assertEquals(await ring.cmd(op.renameat(a, b)), 0);
    assertEquals(names(folder.path), ["b"]);
    assertEquals(Deno.readTextFileSync(b), "second");

    const gone = ring.cmd(op.renameat(a, b, { exchange: true }));
    await assertRefused(gone, "ENOENT", "with `exchange`");
    const directory = `${folder.path}/directory`;
    Deno.mkdirSync(`${directory}/inside`, { recursive: true });
    const over = ring.cmd(op.renameat(b, directory));
    await assertRefused(over, "EISDIR", "the old one is not");
    const under = ring.cmd(op.renameat(directory, b));
    await assertRefused(under, "ENOTDIR", "the new one is a file");
    const inside = ring.cmd(op.renameat(directory, `${directory}/inside/x`));
    await assertRefused(inside, "EINVAL", "lies inside the old one");
    Deno.mkdirSync(`${folder.path}/other`);
    const full = ring.cmd(op.renameat(`${folder.path}/other`, directory));
    await assertRefused(full, "ENOTEMPTY", "Remove them first");
  },
);

testUnless(
  lacksOpcode("RENAMEAT"),
  "renameat moves between the directories of two descriptors",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    for (const name of ["from", "to"]) Deno.mkdirSync(`${folder.path}/${name}`);
    folder.file("from/a", "moved");
    using from = new Fd(await ring.cmd(op.openat(`${folder.path}/from`)));
    using to = new Fd(await ring.cmd(op.openat(`${folder.path}/to`)));
    const dirs = { fromDirFd: from.fd, toDirFd: to.fd };
    const move = op.renameat("a", "b", dirs);
    assertEquals(await ring.cmd(move), 0);
    assertEquals(Deno.readTextFileSync(`${folder.path}/to/b`), "moved");
    assertEquals(names(`${folder.path}/from`), []);
    const message = `RENAMEAT "a" in fd ${from.fd} to "b" in fd ${to.fd}: `;
    await assertRefused(ring.cmd(move), "ENOENT", message);
  },
);

testUnless(
  lacksOpcode("MKDIRAT"),
  "mkdirat makes a directory with its permissions",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using opened = new Fd(await ring.cmd(op.openat(folder.path)));
    const make = op.mkdirat("new", { dirFd: opened.fd, mode: 0o1700 });
    assertEquals(await ring.cmd(make), 0);
    const path = `${folder.path}/new`;
    assertEquals(Deno.statSync(path).mode, op.S_IFDIR | 0o1700);
    assertEquals(await ring.cmd(op.mkdirat(`${path}/inside`)), 0);
    const { mode } = Deno.statSync(`${path}/inside`);
    assertEquals(mode! & 0o777, 0o777 & ~Deno.umask());
    const message = `MKDIRAT "new" in fd ${opened.fd}: EEXIST (17). The path`;
    await assertRefused(ring.cmd(make), "EEXIST", message);
    const orphan = ring.cmd(op.mkdirat(`${path}/missing/x`));
    await assertRefused(orphan, "ENOENT", "Make it first");
    const file = folder.file("file");
    await assertRefused(ring.cmd(op.mkdirat(`${file}/x`)), "ENOTDIR", "a file");
  },
);

testUnless(
  lacksOpcode("SYMLINKAT"),
  "symlinkat makes a link that leads to its target",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    folder.file("target", "found");
    const link = `${folder.path}/link`;
    assertEquals(await ring.cmd(op.symlinkat("target", link)), 0);
    assertEquals(Deno.readLinkSync(link), "target");
    assertEquals(Deno.readTextFileSync(link), "found");
    using opened = new Fd(await ring.cmd(op.openat(folder.path)));
    const loose = op.symlinkat("/no where", "loose", { dirFd: opened.fd });
    assertEquals(await ring.cmd(loose), 0);
    assertEquals(Deno.readLinkSync(`${folder.path}/loose`), "/no where");
    const message = `SYMLINKAT "loose" in fd ${opened.fd} to "/no where": `;
    await assertRefused(ring.cmd(loose), "EEXIST", message, "Rename a link");
    const empty = ring.cmd(op.symlinkat("", `${folder.path}/empty`));
    await assertRefused(empty, "ENOENT", "`target` is empty");
  },
);

testUnless(
  lacksOpcode("LINKAT"),
  "linkat gives a file another name",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const file = folder.file("file", "same");
    const { ino } = Deno.statSync(file);
    const other = `${folder.path}/other`;
    assertEquals(await ring.cmd(op.linkat(file, other)), 0);
    assertEquals(Deno.statSync(other).ino, ino);
    assertEquals(Deno.statSync(file).nlink, 2);

    const link = `${folder.path}/link`;
    Deno.symlinkSync("file", link);
    const [itself, target] = [`${folder.path}/itself`, `${folder.path}/target`];
    await ring.cmd(op.linkat(link, itself));
    assertEquals(Deno.readLinkSync(itself), "file");
    await ring.cmd(op.linkat(link, target, { followLink: true }));
    assertEquals(Deno.lstatSync(target).ino, ino);

    await assertRefused(
      ring.cmd(op.linkat(file, other)),
      "EEXIST",
      "`to` exists",
    );
    const directory = ring.cmd(op.linkat(folder.path, `${folder.path}/x`));
    await assertRefused(directory, "EPERM", "`from` is a directory");
  },
);

/** A mount that is often not that of the temporary files. */
const OTHER = "/dev/shm";

/** Returns what is missing unless the temporary files are on another mount. */
function lacksOther(): string {
  try {
    using folder = new Folder();
    const { dev } = Deno.statSync(folder.path);
    return Deno.statSync(OTHER).dev === dev ? "two mounts" : "";
  } catch {
    return OTHER;
  }
}

testUnless(
  lacksOpcode("LINKAT", "RENAMEAT") || lacksOther(),
  "a link to another mount is refused, and a renaming",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const to = `${OTHER}/uring-${crypto.randomUUID()}`;
    const file = folder.file("file");
    const link = ring.cmd(op.linkat(file, to));
    await assertRefused(link, "EXDEV", "Copy the file, or use a symbolic link");
    const renaming = ring.cmd(op.renameat(file, to));
    await assertRefused(
      renaming,
      "EXDEV",
      "Copy the file, then remove the old",
    );
    assertEquals(names(folder.path), ["file"]);
  },
);

testUnless(
  lacksOpcode("LINKAT"),
  "linkat names a file that was made without a name",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const flags = op.O_TMPFILE | op.O_RDWR;
    using file = new Fd(await ring.cmd(op.openat(folder.path, { flags })));
    await ring.cmd(op.write(file.fd, new TextEncoder().encode("named")));
    const path = `${folder.path}/name`;
    const options = { followLink: true };
    await ring.cmd(op.linkat(`/proc/self/fd/${file.fd}`, path, options));
    assertEquals(Deno.readTextFileSync(path), "named");
  },
);

/** Returns what is missing if find(1) is not that of GNU. */
function lacksFind(): string {
  try {
    const args = ["/dev/null", "-printf", "%f"];
    const { stdout } = new Deno.Command("find", { args }).outputSync();
    return textOf(stdout) === "null" ? "" : "GNU find";
  } catch {
    return "GNU find";
  }
}

testUnless(
  lacksOpcode("UNLINKAT", "MKDIRAT", "SYMLINKAT") || lacksFind(),
  "names of any bytes are kept as they are",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using opened = new Fd(await ring.cmd(op.openat(folder.path)));
    const dirFd = opened.fd;
    const [first, second] = [Uint8Array.of(0xff), Uint8Array.of(0x80, 0x0a)];
    await ring.cmd(op.mkdirat(first, { dirFd }));
    await ring.cmd(op.symlinkat(first, second, { dirFd }));
    const list = new Deno.Command("find", {
      args: [folder.path, "-mindepth", "1", "-printf", "%f:%l;"],
    });
    // find replaces what is no character of the locale only on a terminal.
    const { stdout } = list.outputSync();
    const text = [...stdout].map((byte) => String.fromCharCode(byte)).join("");
    const entries = text.split(";").slice(0, -1).sort();
    assertEquals(entries, ["\x80\n:\xff", "\xff:"]);
    await ring.cmd(op.unlinkat(second, { dirFd }));
    const removeDirectory = true;
    await ring.cmd(op.unlinkat(first, { dirFd, removeDirectory }));
    assertEquals(names(folder.path), []);
    assertEquals(textOf(second), textOf(Uint8Array.of(0x80, 0x0a)));
  },
);

testUnless(
  lacksOpcode("UNLINKAT"),
  "a chain makes, renames and removes in order",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    const [a, b] = [`${folder.path}/a`, `${folder.path}/b`];
    const chain = ring.link([
      op.mkdirat(a),
      op.renameat(a, b),
      op.unlinkat(b, { removeDirectory: true }),
    ]);
    assertEquals(await Promise.all(chain), [0, 0, 0]);
    assertEquals(names(folder.path), []);
  },
);

// If this fails, the kernel was mended: change the documentation of ./op and link().
testUnless(
  lacksLinux(6, 0),
  "a chain goes on after an operation on a path, or an fsync, that failed",
  async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using ends = pipe();
    const missing = `${folder.path}/missing`;
    const commands: readonly [Command<unknown>, string][] = [
      [op.unlinkat(missing), "ENOENT"],
      [op.renameat(missing, `${missing}.new`), "ENOENT"],
      [op.mkdirat(folder.path), "EEXIST"],
      [op.statx(missing), "ENOENT"],
      [op.getxattr(missing, "user.a"), "ENOENT"],
      [op.fsync(ends.left), "EINVAL"],
      [op.fallocate(ends.right, { offset: 0, length: 1 }), "ESPIPE"],
    ];
    for (const [command, code] of commands) {
      const chain = ring.link([command, op.nop()]);
      assertEquals(await outcomes(chain), [code, 0], command.name);
    }
    const opening = ring.link([op.openat(missing), op.nop()]);
    assertEquals(await outcomes(opening), ["ENOENT", "ECANCELED"]);
  },
);

testUnless(
  isRoot ? "another user than root" : "",
  "a directory that may not be written to is named",
  async () => {
    await using ring = Ring.open();
    const refused = ring.cmd(op.mkdirat("/uring-x"));
    await assertRefused(refused, "EACCES", 'MKDIRAT "/uring-x"');
  },
);
