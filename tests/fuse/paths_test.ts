/** The path layer on a fake kernel, with handlers that take their time. */

import { assert, assertEquals } from "@std/assert";
import { type FileSystem, FuseError } from "../../cmd/fuse/mod.ts";
import { settles, sleep, turn } from "../kit/wait.ts";
import { random } from "../kit/random.ts";
import { FakeKernel, names, type Reply, words } from "./fake.ts";

const [LOOKUP, FORGET, GETATTR, MKDIR, UNLINK, RMDIR] = [1, 2, 3, 9, 10, 11];
const [RENAME, OPEN, READ, WRITE, RELEASE, CREATE] = [12, 14, 15, 16, 18, 35];
const [OPENDIR, READDIR, RENAME2] = [27, 28, 45];

const id = (reply: Reply) => Number(reply.view.getBigUint64(0, true));
const handle = (reply: Reply) => Number(reply.view.getBigUint64(128, true));
const range = (fh: number, offset: number, size: number) =>
  words(BigInt(fh), BigInt(offset), size, 0, 0n, 0, 0);
const released = (fh: number) => words(BigInt(fh), 0, 0, 0n);

/** A log of calls, and a file or directory for each path that was made. */
function logged(extra: Partial<FileSystem> = {}) {
  const log: string[] = [];
  const files = new Map<string, "file" | "directory">([["/", "directory"]]);
  const note = (line: string) => void log.push(line);
  const fs: FileSystem = {
    getattr: (path) => {
      const kind = files.get(path);
      return kind === undefined ? null : { kind };
    },
    mkdir: (path) => void files.set(path, "directory"),
    create: (path) => void files.set(path, "file"),
    readdir: (path) =>
      [...files.keys()].filter((it) =>
        it !== "/" && (it.slice(0, it.lastIndexOf("/")) || "/") === path
      ).map((it) => it.slice(it.lastIndexOf("/") + 1)),
    unlink: (path) => {
      note(`unlink ${path}`);
      files.delete(path);
    },
    rmdir: (path) => void files.delete(path),
    rename: (from, to) => {
      note(`rename ${from} ${to}`);
      for (const [path, kind] of [...files]) {
        if (path !== from && !path.startsWith(`${from}/`)) continue;
        files.delete(path);
        files.set(to + path.slice(from.length), kind);
      }
    },
    read: (path) => (note(`read ${path}`), 0),
    write: () => {},
    release: (path) => note(`release ${path}`),
    ...extra,
  };
  return { log, files, ...FakeKernel.ofPaths(fs) };
}

const make = (
  kernel: FakeKernel,
  opcode: number,
  parent: number,
  name: string,
) =>
  opcode === MKDIR
    ? kernel.now(MKDIR, parent, words(0o755, 0), names(name))
    : kernel.now(CREATE, parent, words(2, 0o644, 0, 0), names(name));

Deno.test("a rename of a directory moves all paths below", () => {
  const { kernel, log } = logged();
  const dir = id(make(kernel, MKDIR, 1, "dir"));
  const sub = id(make(kernel, MKDIR, dir, "sub"));
  const file = make(kernel, CREATE, sub, "file");
  const read = () => kernel.now(READ, id(file), range(handle(file), 0, 1));
  read();
  kernel.now(RENAME, 1, words(1n), names("dir", "other"));
  read();
  kernel.now(RENAME, dir, words(1n), names("sub", "top"));
  read();
  assertEquals(log, [
    "read /dir/sub/file",
    "rename /dir /other",
    "read /other/sub/file",
    "rename /other/sub /top",
    "read /top/file",
  ]);
});

Deno.test("a rename waits for what is below, and what is below for the rename", async () => {
  const first = Promise.withResolvers<number>();
  const renamed = Promise.withResolvers<void>();
  const log: string[] = [];
  const { kernel } = logged({
    read: (path) => {
      log.push(`read ${path}`);
      return log.length === 1 ? first.promise : 0;
    },
    rename: async (from, to) => {
      log.push(`rename ${from} ${to}`);
      await renamed.promise;
    },
  });
  const dir = id(make(kernel, MKDIR, 1, "dir"));
  const file = make(kernel, CREATE, dir, "file");
  const other = make(kernel, CREATE, 1, "elsewhere");
  const read = (it: Reply) => kernel.ask(READ, id(it), range(handle(it), 0, 1));
  const replies = [read(file)];
  replies.push(kernel.ask(RENAME, 1, words(1n), names("dir", "new")));
  replies.push(read(file), read(other));
  await sleep(2);
  assertEquals(log, ["read /dir/file", "read /elsewhere"]);
  first.resolve(0);
  await sleep(2);
  assertEquals(log.slice(2), ["rename /dir /new"]);
  renamed.resolve();
  await Promise.all(replies);
  assertEquals(log.slice(3), ["read /new/file"]);
});

Deno.test("a rename that failed moves nothing, and lets the others go on", async () => {
  const { kernel, log } = logged({
    rename: () => Promise.reject(new FuseError("EXDEV")),
  });
  const file = make(kernel, CREATE, 1, "file");
  const renaming = kernel.ask(RENAME, 1, words(1n), names("file", "new"));
  const reading = kernel.ask(READ, id(file), range(handle(file), 0, 1));
  assertEquals((await renaming).errno, 18);
  assertEquals((await reading).errno, 0);
  assertEquals(log, ["read /file"]);
});

Deno.test("an open file that is unlinked has its handle, and no path", () => {
  const { kernel, log } = logged({ open: () => "h", create: () => "h2" });
  const found: [string, unknown][] = [];
  const { kernel: handles, files } = logged({
    create: (path) => {
      files.set(path, "file");
      return "my handle";
    },
    getattr: (path, ctx) => {
      found.push([path, ctx.handle]);
      if (ctx.handle === "my handle") return { size: 3 };
      return { kind: path === "/" ? "directory" : "file" };
    },
  });
  const file = make(handles, CREATE, 1, "file");
  handles.now(UNLINK, 1, names("file"));
  handles.now(GETATTR, id(file), words(0, 0, 0n));
  assertEquals(found.at(-1), ["", "my handle"]);
  assertEquals(kernel.session.stats().handles + log.length, 0);
});

Deno.test("without a handle, an unlinked file is hidden until its last close", () => {
  const { kernel, log, files } = logged();
  const file = make(kernel, CREATE, 1, "file");
  const again = kernel.now(OPEN, id(file), words(2, 0));
  assertEquals(kernel.now(UNLINK, 1, names("file")).errno, 0);
  kernel.now(READ, id(file), range(handle(file), 0, 1));
  assertEquals(kernel.now(LOOKUP, 1, names("file")).errno, 2);
  const dir = kernel.now(OPENDIR, 1, words(0, 0));
  const list = kernel.now(READDIR, 1, range(id(dir), 0, 4096));
  assertEquals(list.bytes.length, 64); // Nothing but . and ..
  make(kernel, CREATE, 1, "file");
  kernel.now(RELEASE, id(file), released(handle(file)));
  assertEquals(files.size, 3);
  kernel.now(RELEASE, id(file), released(id(again)));
  const hidden = "/.fuse_hidden00000001";
  assertEquals(log, [
    `rename /file ${hidden}`,
    `read ${hidden}`,
    `release ${hidden}`,
    `release ${hidden}`,
    `unlink ${hidden}`,
  ]);
  assertEquals([...files.keys()], ["/", "/file"]);
});

Deno.test("a file that a rename replaces is hidden as well while it is open", () => {
  const { kernel, log, files } = logged();
  const [a, b] = ["a", "b"].map((name) => make(kernel, CREATE, 1, name));
  kernel.now(RELEASE, id(a), released(handle(a)));
  kernel.now(RENAME, 1, words(1n), names("a", "b"));
  kernel.now(READ, id(b), range(handle(b), 0, 1));
  kernel.now(RELEASE, id(b), released(handle(b)));
  assertEquals(log.slice(1, 4), [
    "rename /b /.fuse_hidden00000001",
    "rename /a /b",
    "read /.fuse_hidden00000001",
  ]);
  assertEquals([...files.keys()], ["/", "/b"]);
});

Deno.test("an exchange needs a method that takes flags", () => {
  const simple = logged();
  make(simple.kernel, CREATE, 1, "a");
  make(simple.kernel, CREATE, 1, "b");
  const swap = (kernel: FakeKernel) =>
    kernel.now(RENAME2, 1, words(1n, 2, 0), names("a", "b")).errno;
  assertEquals(swap(simple.kernel), 22);
  const { kernel, log } = logged({
    rename: (_from, _to, flags, _ctx) => assertEquals(flags, 2),
  });
  const [a, b] = ["a", "b"].map((name) => make(kernel, CREATE, 1, name));
  assertEquals(swap(kernel), 0);
  for (const it of [a, b]) kernel.now(READ, id(it), range(handle(it), 0, 1));
  assertEquals(log, ["read /b", "read /a"]);
});

Deno.test("a handler that never answers holds up what concerns its file only", async () => {
  const { kernel } = logged({
    read: () => new Promise<number>(() => {}),
    unlink: () => {},
  });
  const [a, b, c] = ["a", "b", "c"].map((name) =>
    make(kernel, CREATE, 1, name)
  );
  void kernel.ask(READ, id(a), range(handle(a), 0, 1));
  const stuck = kernel.ask(UNLINK, 1, names("a"));
  assertEquals((await kernel.ask(UNLINK, 1, names("b"))).errno, 0);
  const args = words(1n);
  assertEquals((await kernel.ask(RENAME, 1, args, names("c", "d"))).errno, 0);
  for (const it of [b, c]) await kernel.ask(GETATTR, id(it), words(0, 0, 0n));
  assert(!await settles(stuck, 5));
});

Deno.test("a change waits for those in directories that it moves", async () => {
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const { kernel } = logged({
    rename: (from, to) => {
      log.push(`${from} ${to}`);
      return from === "/d/a" ? gate.promise : undefined;
    },
    rmdir: (path) => void log.push(`rmdir ${path}`),
  });
  const d = make(kernel, MKDIR, 1, "d");
  make(kernel, CREATE, id(d), "a");
  const sub = make(kernel, MKDIR, id(d), "sub");
  const to = words(BigInt(id(sub)));
  const inside = kernel.ask(RENAME, id(d), to, names("a", "b"));
  const around = kernel.ask(RENAME, 1, words(1n), names("d", "e"));
  const below = kernel.ask(RMDIR, id(sub), names("unknown"));
  await sleep(1);
  assertEquals(log, ["/d/a /d/sub/b"]);
  gate.resolve();
  await Promise.all([inside, around, below]);
  assertEquals(log, ["/d/a /d/sub/b", "/d /e", "rmdir /e/sub/unknown"]);
});

/** What a handler is told to do its work on. */
interface File {
  readonly number: number;
  names: Map<string, File> | null;
}

Deno.test("random operations at once: each has its file, from first to last", async () => {
  for (let seed = 1; seed <= 40; seed++) await storm(seed);
});

/**
 * Many callers at once, with handlers that take random times. The model knows which
 * file each request is about; the handler looks for it by its path, when it is called
 * and when it is done.
 */
async function storm(seed: number): Promise<void> {
  const below = random(seed);
  let numbers = 0;
  const root: File = { number: 0, names: new Map() };
  const find = (path: string): File => {
    let at: File | undefined = root;
    for (const name of path.split("/")) {
      if (name !== "") at = at?.names?.get(name);
    }
    if (at === undefined) throw new FuseError("ENOENT");
    return at;
  };
  const split = (path: string) => {
    const slash = path.lastIndexOf("/");
    return [find(path.slice(0, slash)).names!, path.slice(slash + 1)] as const;
  };
  const pause = async () => {
    for (let left = below(4); left > 0; left--) await turn();
  };
  const moved: string[] = [];
  const fs: FileSystem<number> = {
    getattr: async (path) => {
      await pause();
      const file = find(path);
      return { ino: file.number, kind: file.names ? "directory" : "file" };
    },
    mkdir: async (path) => {
      await pause();
      const [names, name] = split(path);
      names.set(name, { number: ++numbers, names: new Map() });
    },
    create: async (path) => {
      await pause();
      const [names, name] = split(path);
      names.set(name, { number: ++numbers, names: null });
      return numbers;
    },
    unlink: async (path) => {
      await pause();
      const [names, name] = split(path);
      names.delete(name);
    },
    rmdir: async (path) => {
      await pause();
      const [names, name] = split(path);
      if (names.get(name)!.names!.size > 0) throw new FuseError("ENOTEMPTY");
      names.delete(name);
    },
    rename: async (from, to) => {
      await pause();
      const [names, name] = split(from);
      const [newNames, newName] = split(to);
      const file = names.get(name)!;
      if (newNames.get(newName)?.names?.size) throw new FuseError("ENOTEMPTY");
      names.delete(name);
      await pause();
      await pause();
      newNames.set(newName, file);
      await pause();
    },
    read: async (path, into, { handle }) => {
      const look = () => path === "" ? handle : find(path).number;
      const before = look();
      await pause();
      if (look() !== before || before !== handle) {
        moved.push(`seed ${seed}: ${path} is ${before}, then ${look()}`);
      }
      into[0] = before;
      return 1;
    },
    write: () => {},
  };
  const { kernel } = FakeKernel.ofPaths(fs);
  /** Directories that the kernel knows, with the locks that it takes for names. */
  const directories = [{ id: 1, lock: Promise.resolve() as Promise<unknown> }];
  const open: { id: number; fh: number }[] = [];
  const locked = <T>(
    list: { lock: Promise<unknown> }[],
    call: () => Promise<T>,
  ): Promise<T> => {
    const before = Promise.all(list.map(({ lock }) => lock));
    const done = before.then(call);
    for (const each of list) each.lock = done.catch(() => {});
    return done;
  };
  const pick = <T>(list: T[]): T => list[below(list.length)];
  const NAMES = ["a", "b", "c"];
  const one = async (): Promise<void> => {
    const [dir, other] = [pick(directories), pick(directories)];
    const [name, newName] = [pick(NAMES), pick(NAMES)];
    switch (below(8)) {
      case 0:
        return await locked([dir], async () => {
          if ((await kernel.ask(LOOKUP, dir.id, names(name))).errno === 0) {
            return;
          }
          const made = await kernel.ask(
            MKDIR,
            dir.id,
            words(0, 0),
            names(name),
          );
          if (made.errno !== 0) return;
          directories.push({ id: id(made), lock: Promise.resolve() });
        });
      case 1:
        return await locked([dir], async () => {
          if ((await kernel.ask(LOOKUP, dir.id, names(name))).errno === 0) {
            return;
          }
          const args = words(2, 0, 0, 0);
          const made = await kernel.ask(CREATE, dir.id, args, names(name));
          if (made.errno === 0) open.push({ id: id(made), fh: handle(made) });
        });
      case 2:
        return await locked([dir], async () => {
          const found = await kernel.ask(LOOKUP, dir.id, names(name));
          if (found.errno !== 0) return;
          const directory =
            (found.view.getUint32(100, true) & 0o170000) === 0o40000;
          const opcode = directory ? RMDIR : UNLINK;
          await kernel.ask(opcode, dir.id, names(name));
        });
      case 3:
        // The kernel renames one directory at a time (s_vfs_rename_mutex).
        return await locked([renames, dir, other], async () => {
          const found = await kernel.ask(LOOKUP, dir.id, names(name));
          const target = await kernel.ask(LOOKUP, other.id, names(newName));
          if (found.errno !== 0 || target.errno === 0) return;
          if (isAbove(id(found), other.id)) return;
          const to = words(BigInt(other.id));
          await kernel.ask(RENAME, dir.id, to, names(name, newName));
        });
      default: {
        if (open.length === 0) return;
        const file = pick(open);
        const reply = await kernel.ask(READ, file.id, range(file.fh, 0, 9));
        assertEquals(reply.errno, 0, kernel.told.join());
        return;
      }
    }
  };
  const renames = { lock: Promise.resolve() as Promise<unknown> };
  /** Would the rename put a directory into itself? */
  const isAbove = (above: number, below: number): boolean => {
    const { nodes } = kernel.server;
    let at = nodes.get(below) as { parent: object | null } | null;
    for (; at !== null; at = at.parent as typeof at) {
      if (nodes.idOf(at) === above) return true;
    }
    return false;
  };
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 40 }, one));
  }
  assertEquals(moved, []);
  assertEquals(kernel.told, []);
  assertEquals(kernel.unanswered, 0);
  for (const { id, fh } of open) {
    await kernel.ask(RELEASE, id, released(fh));
    kernel.tell(FORGET, id, words(1_000_000n));
  }
  for (const { id } of directories) {
    kernel.tell(FORGET, id, words(1_000_000n));
  }
  assert(kernel.session.stats().handles === 0);
  assert(numbers > 10);
  void WRITE;
}
