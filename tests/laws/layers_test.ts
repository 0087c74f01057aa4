/** The laws of the house: what a file may import, contain and measure. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { output } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import { circlesOf, importsOf } from "./imports.ts";

const ROOT = new URL("../../", import.meta.url);

/** Some files of the library, and the rooms that they may import. */
interface Room {
  /** Files and folders. A file is in the first room that names it. */
  readonly files: readonly string[];
  /** Rooms, in addition to the room itself. */
  readonly imports: readonly string[];
}

const SYS = ["uapi", "struct", "sys"];
/** The ring as families see it: commands as values, and nothing that runs them. */
const WORDS = [...SYS, "checks", "vocabulary"];
const RING = [...WORDS, "bare", "flight", "loop", "raw", "face"];
/** The parts of the FUSE server, each of which imports those above it. */
const FUSE = ["fuseWire", "fuseFace", "fusePaths", "fuseServer", "fuseReady"];

const ROOMS: Readonly<Record<string, Room>> = {
  // The kernel.
  uapi: { files: ["sys/uapi/"], imports: ["struct"] },
  struct: { files: ["sys/struct.ts", "sys/bytes.ts"], imports: [] },
  sys: { files: ["sys/"], imports: SYS },
  // The ring: its words, its three wings, and its face.
  checks: {
    files: [
      "ring/errors.ts",
      "ring/check.ts",
      "ring/intrinsics.ts",
      "ring/stack.ts",
    ],
    imports: SYS,
  },
  bare: { files: ["ring/bare/"], imports: [...SYS, "checks"] },
  vocabulary: {
    files: [
      "ring/command.ts",
      "ring/spec.ts",
      "ring/kind.ts",
      "ring/draft.ts",
      "ring/operand.ts",
      "ring/completion.ts",
      "ring/buffer_ring.ts",
      "ring/registered.ts",
    ],
    imports: [...WORDS, "bare"],
  },
  flight: { files: ["ring/flight/"], imports: [...WORDS, "bare"] },
  loop: { files: ["ring/loop/"], imports: [...WORDS, "bare", "flight"] },
  service: {
    files: ["ring/service/"],
    imports: [...WORDS, "bare", "loop"],
  },
  raw: { files: ["ring/raw.ts", "ring/alloc.ts"], imports: [...WORDS, "bare"] },
  face: { files: ["ring/"], imports: RING },
  // The commands: base files, families, and hubs that know every family.
  base: {
    files: [
      "cmd/address.ts",
      "cmd/uring_cmd.ts",
      "cmd/define_command.ts",
      "cmd/layout.ts",
      "cmd/op.ts",
      "cmd/path.ts",
      "cmd/open.ts",
      "cmd/entries.ts",
      "cmd/extents.ts",
      "cmd/statx.ts",
      "cmd/xattr.ts",
      "cmd/file_advice.ts",
      "cmd/transfer.ts",
      "cmd/op_advice.ts",
      "cmd/sockaddr.ts",
      "cmd/writable.ts",
      "cmd/code_names.ts",
      "cmd/json.ts",
      "cmd/device_node.ts",
    ],
    imports: WORDS,
  },
  serve: { files: ["cmd/serve.ts"], imports: [...WORDS, "service"] },
  // The probe asks for FUSE, and does not load the server.
  fuseSupport: { files: ["cmd/fuse/support.ts"], imports: SYS },
  // Servers run a ring of their own, and have more files than a family.
  fuseWire: {
    files: [
      "cmd/fuse/awaitable.ts",
      "cmd/fuse/errors.ts",
      "cmd/fuse/stat.ts",
      "cmd/fuse/names.ts",
      "cmd/fuse/request.ts",
      "cmd/fuse/notifications.ts",
      "cmd/fuse/init.ts",
    ],
    imports: [...SYS, "checks"],
  },
  fuseFace: {
    files: [
      "cmd/fuse/context.ts",
      "cmd/fuse/nodes.ts",
      "cmd/fuse/file_system.ts",
    ],
    imports: ["fuseWire"],
  },
  fusePaths: {
    files: ["cmd/fuse/tree.ts", "cmd/fuse/layer.ts", "cmd/fuse/paths.ts"],
    imports: [...SYS, "fuseWire", "fuseFace"],
  },
  fuseServer: {
    files: [
      "cmd/fuse/table.ts",
      "cmd/fuse/backing.ts",
      "cmd/fuse/server.ts",
      "cmd/fuse/operations/",
      "cmd/fuse/inbox.ts",
      "cmd/fuse/transport.ts",
      "cmd/fuse/session.ts",
    ],
    imports: [...SYS, "checks", "fuseWire", "fuseFace"],
  },
  fuseReady: {
    files: [
      "cmd/fuse/memory.ts",
      "cmd/fuse/from_fuse_native.ts",
      "cmd/fuse/key_value.ts",
      "cmd/fuse/key_store.ts",
      "cmd/fuse/key_node.ts",
      "cmd/fuse/zip.ts",
      "cmd/fuse/zip_content.ts",
      "cmd/fuse/zip_tree.ts",
    ],
    imports: ["checks", "fuseWire", "fuseFace"],
  },
  fuse: {
    files: ["cmd/fuse/"],
    imports: [...RING, "service", "base", "fuseSupport", ...FUSE],
  },
  ublkControl: {
    files: [
      "cmd/ublk/support.ts",
      "cmd/ublk/control.ts",
      "cmd/ublk/probe.ts",
    ],
    imports: RING,
  },
  ublk: {
    files: ["cmd/ublk/"],
    imports: [...RING, "service", "base", "serve", "ublkControl"],
  },
  probe: {
    files: ["cmd/probe.ts"],
    imports: [...RING, "base", "family", "fuseSupport", "ublkControl"],
  },
  cli: {
    files: ["cmd/cli/"],
    imports: [...RING, "base", "family", "fuse", "ublk", "probe"],
  },
  family: { files: ["cmd/"], imports: [...WORDS, "base"] },
  entry: {
    files: ["mod.ts"],
    imports: [...RING, "base", "family", "probe", "cli"],
  },
};

/** Returns the name of the room that a file is in. */
function roomOf(path: string): string | undefined {
  return Object.keys(ROOMS).find((name) =>
    ROOMS[name].files.some((place) =>
      place.endsWith("/") ? path.startsWith(place) : path === place
    )
  );
}

/** Returns the folder of a family of several files, or the one file of a family. */
const family = (path: string) => path.split("/").slice(0, 2).join("/");

/** Returns why a file may not import another, or `undefined` if it may. */
function objection(from: string, to: string): string | undefined {
  if (to.startsWith("node:")) return undefined;
  const [here, there] = [roomOf(from), roomOf(to)];
  if (here === undefined || there === undefined) {
    return `${from} imports ${to}, which is outside the library`;
  }
  if (here === "family" && there === "family") {
    return family(from) === family(to)
      ? undefined
      : `${from} imports ${to}, which is another family`;
  }
  return here === there || ROOMS[here].imports.includes(there)
    ? undefined
    : `${from} imports ${to}: "${here}" may not import "${there}"`;
}

Deno.test("the rules of import allow and forbid what they should", () => {
  for (
    const [from, to, allowed] of [
      ["mod.ts", "cmd/block.ts", true],
      ["mod.ts", "ring/ring.ts", true],
      ["mod.ts", "cmd/cli/demo.ts", true],
      ["cmd/cli/demo.ts", "cmd/probe.ts", true],
      ["cmd/cli/demo.ts", "cmd/socket/mod.ts", true],
      ["cmd/probe.ts", "cmd/block.ts", true],
      ["cmd/probe.ts", "cmd/fuse/support.ts", true],
      ["cmd/probe.ts", "ring/bare/register.ts", true],
      ["cmd/block.ts", "cmd/uring_cmd.ts", true],
      ["cmd/block.ts", "ring/command.ts", true],
      ["cmd/socket/mod.ts", "cmd/op.ts", true],
      ["cmd/socket/mod.ts", "cmd/socket/fd.ts", true],
      ["cmd/define_command.ts", "cmd/uring_cmd.ts", true],
      ["cmd/fuse/mount.ts", "cmd/fuse/session.ts", true],
      ["cmd/fuse/waiting.ts", "ring/ring.ts", true],
      ["cmd/fuse/operations/files.ts", "cmd/fuse/nodes.ts", true],
      ["cmd/cli/demo.ts", "cmd/fuse/mod.ts", true],
      ["ring/ring.ts", "ring/loop/engine.ts", true],
      ["ring/ring.ts", "sys/libc.ts", true],
      ["ring/loop/pipe.ts", "node:net", true],
      ["ring/loop/engine.ts", "ring/flight/queues.ts", true],
      ["ring/service/service.ts", "ring/loop/bell.ts", true],
      ["cmd/serve.ts", "ring/service/service.ts", true],
      ["cmd/ublk/queue.ts", "cmd/serve.ts", true],
      ["cmd/probe.ts", "cmd/ublk/probe.ts", true],
      ["cmd/probe.ts", "cmd/ublk/mod.ts", false],
      ["cmd/ublk/control.ts", "cmd/ublk/queue.ts", false],
      ["cmd/ublk/serve.ts", "cmd/fuse/worker.ts", false],
      ["ring/flight/queues.ts", "ring/bare/squeue.ts", true],
      ["ring/bare/setup.ts", "ring/errors.ts", true],
      ["sys/uapi/fs.ts", "sys/uapi/ioctl.ts", true],
      ["sys/uapi/fs.ts", "sys/struct.ts", true],
      ["cmd/block.ts", "cmd/socket/mod.ts", false],
      ["cmd/block.ts", "cmd/socket/fd.ts", false],
      ["cmd/block.ts", "cmd/probe.ts", false],
      ["cmd/block.ts", "cmd/fuse/mod.ts", false],
      ["cmd/fuse/uring.ts", "ring/service/service.ts", true],
      ["cmd/fuse/uring.ts", "cmd/serve.ts", false],
      ["cmd/fuse/session.ts", "cmd/fuse/classic.ts", false],
      ["cmd/fuse/session.ts", "ring/ring.ts", false],
      ["cmd/fuse/nodes.ts", "cmd/fuse/table.ts", false],
      ["cmd/fuse/tree.ts", "cmd/fuse/session.ts", false],
      ["cmd/fuse/memory.ts", "cmd/fuse/mount.ts", false],
      ["cmd/fuse/mount.ts", "cmd/block.ts", false],
      ["cmd/block.ts", "mod.ts", false],
      ["cmd/block.ts", "ring/ring.ts", false],
      ["cmd/block.ts", "ring/flight/queues.ts", false],
      ["cmd/op.ts", "cmd/socket/mod.ts", false],
      ["cmd/uring_cmd.ts", "cmd/block.ts", false],
      ["cmd/probe.ts", "cmd/cli/demo.ts", false],
      ["cmd/probe.ts", "cmd/fuse/mod.ts", false],
      ["ring/ring.ts", "cmd/block.ts", false],
      ["ring/raw.ts", "ring/flight/pool.ts", false],
      ["ring/service/service.ts", "ring/flight/queues.ts", false],
      ["ring/loop/engine.ts", "ring/service/service.ts", false],
      ["cmd/block.ts", "cmd/serve.ts", false],
      ["ring/flight/queues.ts", "ring/loop/engine.ts", false],
      ["ring/flight/queues.ts", "ring/ring.ts", false],
      ["ring/command.ts", "ring/flight/slot.ts", false],
      ["ring/command.ts", "ring/loop/bell.ts", false],
      ["ring/bare/setup.ts", "ring/command.ts", false],
      ["ring/bare/squeue.ts", "ring/flight/queues.ts", false],
      ["ring/errors.ts", "ring/bare/setup.ts", false],
      ["sys/libc.ts", "ring/ring.ts", false],
      ["sys/uapi/fs.ts", "sys/libc.ts", false],
      ["sys/struct.ts", "sys/libc.ts", false],
      ["ring/ring.ts", "tests/laws/tally.ts", false],
      ["ring/ring.ts", "npm:left-pad", false],
      ["ring/ring.ts", "jsr:@std/bytes@^1", false],
    ] as const
  ) {
    const found = objection(from, to) === undefined;
    assertEquals(found, allowed, `${from} -> ${to}`);
  }
});

/** Returns the paths of the library's files, from the root. */
async function libraryFiles(): Promise<string[]> {
  const files = ["mod.ts"];
  for (const folder of ["sys/", "ring/", "cmd/"]) await collect(folder);
  return files.sort();

  async function collect(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      const path = folder + entry.name;
      if (entry.isDirectory) {
        await collect(`${path}/`);
      } else {
        assertMatch(path, /\.ts$/, `${path} is no source file`);
        files.push(path);
      }
    }
  }
}

const files = await libraryFiles();
const imports = await importsOf(ROOT, files);

Deno.test("every import of the library follows the rules", () => {
  assert(imports.length > files.length);
  const objections = imports.map(([from, to]) => objection(from, to));
  assertEquals(objections.filter((it) => it !== undefined), []);
});

Deno.test("a circle of imports is found once, in its shortest form", () => {
  const arrows = (text: string) =>
    text.split(" ").map((it): [string, string] => [it[0], it[1]]);
  assertEquals(circlesOf(arrows("ab bc ac")), []);
  assertEquals(circlesOf(arrows("aa")), ["a -> a"]);
  assertEquals(circlesOf(arrows("ab bc cd da bd")), [
    "a -> b -> d -> a",
    "c -> d -> a -> b -> c",
  ]);
  assertEquals(circlesOf(arrows("xa ab ba by yz zy")), [
    "a -> b -> a",
    "y -> z -> y",
  ]);
});

Deno.test("imports of types count, and dynamic imports", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const types = `import type { B } from "./b.ts"; export type A = B;`;
    const dynamic = `export type B = 1; await import("./a.ts");`;
    await Deno.writeTextFile(`${folder}/a.ts`, types);
    await Deno.writeTextFile(`${folder}/b.ts`, dynamic);
    const root = new URL(`file://${folder}/`);
    const found = await importsOf(root, ["a.ts", "b.ts"]);
    assertEquals(circlesOf(found), ["a.ts -> b.ts -> a.ts"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("no files of the library import each other in a circle", () => {
  assertEquals(circlesOf(imports), []);
});

/** Lines of a file with one concept. */
const MAX_LINES = 350;

/** Files and folders with longer files, and the reason for each. */
const LONGER: Readonly<Record<string, string>> = {
  "sys/uapi/fuse.ts": "the mirror of one header",
  "sys/uapi/io_uring.ts": "the mirror of one header",
  "ring/bare/squeue.ts": "one queue, and the layouts that it has",
  "ring/command.ts": "the parts of a command, each with its documentation",
  "ring/ring.ts": "the public methods, each with its documentation",
  "ring/flight/queues.ts": "submission and reaping share all of their state",
  "cmd/block.ts": "the facts of a device, and a function for each command",
  "cmd/op.ts": "a function for each operation, with its documentation",
  "cmd/nvme/blocks.ts": "a function for each command, with its documentation",
  "cmd/scsi/sense_codes.ts": "a table of names",
};

Deno.test(`a file has at most ${MAX_LINES} lines, or a reason to have more`, async () => {
  const long: string[] = [];
  for (const file of files) {
    const text = await Deno.readTextFile(new URL(file, ROOT));
    if (text.split("\n").length - 1 > MAX_LINES) long.push(file);
  }
  const reasons = Object.keys(LONGER);
  const excused = (file: string) => reasons.some((it) => file.startsWith(it));
  assertEquals(long.filter((file) => !excused(file)), [], "too long");
  const unused = reasons.filter((it) =>
    !long.some((file) => file.startsWith(it))
  );
  assertEquals(unused, [], "short enough: take these off the list");
});

/** Returns the text of a file without its comments. */
function code(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*/g, "");
}

/** Returns the files outside the folder `but` whose text matches a pattern. */
async function filesWith(
  pattern: RegExp,
  { but = "", within = code }: {
    but?: string;
    within?: (text: string) => string;
  } = {},
): Promise<string[]> {
  const found: string[] = [];
  for (const file of files) {
    if (but !== "" && file.startsWith(but)) continue;
    const text = await Deno.readTextFile(new URL(file, ROOT));
    if (pattern.test(within(text))) found.push(file);
  }
  return found;
}

Deno.test("only files under sys/ use Deno.dlopen and Deno.Unsafe*", async () => {
  assertEquals(await filesWith(/Deno\.(dlopen|Unsafe)/, { but: "sys/" }), []);
});

Deno.test("no file uses any, or switches a check off", async () => {
  assertEquals(await filesWith(/(:|\bas|<|,)\s*any\b/), []);
  const marks = /TODO|FIXME|@ts-(ignore|nocheck)|deno-lint-ignore/;
  assertEquals(await filesWith(marks, { within: (text) => text }), []);
});

Deno.test("no list under ring/ grows by push() or fill(), which call setters of a program's", async () => {
  // The queue of submissions and the tags of a service have a method of the name.
  const found = await filesWith(
    /(?<!\bsq|\bthis|[tT]ags)\.push\(|\bArray\b.*\.fill\(/,
  );
  assertEquals(found.filter((file) => file.startsWith("ring/")), []);
});

const config = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", ROOT)),
);
const entryPoints: string[] = Object.values(config.exports);

Deno.test("deno task check lints the documentation of every entry point", () => {
  const { command }: { command: string } = config.tasks.check;
  const linted = command.match(/deno doc --lint ([^&]+)/)![1].trim().split(" ");
  assertEquals(linted.map((path) => `./${path}`).sort(), entryPoints.sort());
});

Deno.test("importing an entry point needs no permission", async (t) => {
  for (const path of entryPoints) {
    await t.step(path, async () => {
      const script = `import "${new URL(path, ROOT)}";`;
      const args = ["run", "--no-prompt", "-"];
      await output(Deno.execPath(), args, { input: script, cwd: ROOT });
    });
  }
});

const isClone = await Deno.stat(new URL(".git", ROOT)).then(
  () => true,
  () => false,
);

testUnless(
  isClone ? "" : "a clone of the repository",
  "the top of the repository holds nothing unexpected",
  async () => {
    const listed = ["ls-files", "--cached", "--others", "--exclude-standard"];
    const text = await output("git", listed, { cwd: ROOT });
    const paths = text.trim().split("\n");
    const expected =
      "README.md LICENSE deno.json deno.lock mod.ts sys ring cmd tests bench"
        .split(" ");
    const top = new Set(paths.map((path) => path.split("/")[0]));
    const unexpected = [...top].filter((name) =>
      !name.startsWith(".") && !expected.includes(name)
    );
    assertEquals(unexpected, []);
  },
);
