/** What the library may import, hold and do, by the place of a file in it. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { run } from "../kit/run.ts";

const ROOT = new URL("../../", import.meta.url);

/** From the bottom up. A layer imports itself and what is below it. */
const LAYERS = ["sys/", "ring/", "cmd/", "mod.ts"];
/** Files of `cmd/` that every device family may import. */
const BASE = [
  "cmd/address.ts",
  "cmd/code_names.ts",
  "cmd/uring_cmd.ts",
  "cmd/define_command.ts",
  "cmd/op.ts",
  "cmd/sockaddr.ts",
  "cmd/writable.ts",
];
/** Files that may import every device family. */
const isHub = (path: string) =>
  path === "cmd/probe.ts" || path.startsWith("cmd/cli/");

const layer = (path: string) => LAYERS.findIndex((it) => path.startsWith(it));

/** The folder of a family of several files, or the one file of a family. */
const family = (path: string) => path.split("/").slice(0, 2).join("/");

/** Why a file may not import another one, if it may not. */
function objection(from: string, to: string): string | undefined {
  if (to.startsWith("node:")) return undefined;
  if (layer(to) < 0) return "it is outside the library";
  if (layer(to) > layer(from)) return "it is above";
  if (!to.startsWith("cmd/")) return undefined;
  if (isHub(to)) {
    const may = from === "mod.ts" || from.startsWith("cmd/cli/");
    return may ? undefined : "only mod.ts imports a hub";
  }
  if (BASE.includes(to) || from === "mod.ts" || isHub(from)) return undefined;
  return !BASE.includes(from) && family(from) === family(to)
    ? undefined
    : "it is another device family";
}

Deno.test("the rules of import are what they are meant to be", () => {
  for (
    const [from, to, fine] of [
      ["mod.ts", "cmd/block.ts", true],
      ["mod.ts", "ring/ring.ts", true],
      ["mod.ts", "cmd/cli/demo.ts", true],
      ["cmd/cli/demo.ts", "cmd/probe.ts", true],
      ["cmd/probe.ts", "cmd/block.ts", true],
      ["cmd/block.ts", "cmd/uring_cmd.ts", true],
      ["cmd/socket/mod.ts", "cmd/op.ts", true],
      ["cmd/define_command.ts", "cmd/uring_cmd.ts", true],
      ["cmd/cli/demo.ts", "cmd/socket/mod.ts", true],
      ["cmd/block.ts", "ring/command.ts", true],
      ["cmd/socket/mod.ts", "cmd/socket/fd.ts", true],
      ["ring/ring.ts", "sys/libc.ts", true],
      ["ring/ring.ts", "node:net", true],
      ["cmd/block.ts", "cmd/socket/mod.ts", false],
      ["cmd/block.ts", "cmd/socket/fd.ts", false],
      ["cmd/op.ts", "cmd/socket/mod.ts", false],
      ["cmd/uring_cmd.ts", "cmd/block.ts", false],
      ["cmd/block.ts", "cmd/probe.ts", false],
      ["cmd/probe.ts", "cmd/cli/demo.ts", false],
      ["cmd/block.ts", "mod.ts", false],
      ["ring/ring.ts", "cmd/block.ts", false],
      ["sys/libc.ts", "ring/ring.ts", false],
      ["ring/ring.ts", "tests/laws/tally.ts", false],
      ["ring/ring.ts", "npm:left-pad", false],
      ["ring/ring.ts", "jsr:@std/bytes@^1", false],
    ] as const
  ) {
    assertEquals(objection(from, to) === undefined, fine, `${from} -> ${to}`);
  }
});

/** The paths of the library's files, from the root. */
async function libraryFiles(): Promise<string[]> {
  const files = ["mod.ts"];
  for (const folder of LAYERS.filter((it) => it.endsWith("/"))) {
    await collect(folder);
  }
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

/** What a program prints, run at the root. It has to succeed. */
async function output(command: string, args: string[], input = "") {
  const { success, stdout, stderr } = await run(command, args, {
    input,
    cwd: ROOT,
  });
  assert(success, stderr);
  return stdout;
}

interface Dependency {
  readonly specifier: string;
  readonly code?: { readonly specifier: string };
  readonly type?: { readonly specifier: string };
}

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly Dependency[];
}

/** Every import of the library, as Deno itself reads them. */
async function imports(): Promise<[from: string, to: string][]> {
  const files = await libraryFiles();
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  const lines = files.map((file) => `import "${new URL(file, ROOT)}";`);
  await Deno.writeTextFile(entry, lines.join("\n"));
  const graph = await output(Deno.execPath(), ["info", "--json", entry]);
  await Deno.remove(entry);
  const { modules }: { modules: Module[] } = JSON.parse(graph);
  const path = (specifier: string) => specifier.replace(`${ROOT}`, "");
  return modules
    .filter(({ specifier }) => files.includes(path(specifier)))
    .flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map((to): [string, string] => [
        path(specifier),
        path(to.code?.specifier ?? to.type?.specifier ?? to.specifier),
      ])
    );
}

Deno.test("imports go down, and never from one family to another", async () => {
  const all = await imports();
  assert(all.length > 0);
  const bad = all.map(([from, to]) => [from, to, objection(from, to)])
    .filter(([, , why]) => why !== undefined);
  assertEquals(bad, []);
});

/** The text of a file without its comments. */
function code(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*/g, "");
}

/** The files, outside `but`, with a line that has what they must not have. */
async function filesWith(
  pattern: RegExp,
  { but = "", within = code }: {
    but?: string;
    within?: (text: string) => string;
  } = {},
): Promise<string[]> {
  const found: string[] = [];
  for (const file of await libraryFiles()) {
    if (but !== "" && file.startsWith(but)) continue;
    const text = await Deno.readTextFile(new URL(file, ROOT));
    if (pattern.test(within(text))) found.push(file);
  }
  return found;
}

Deno.test("native memory and calls are touched under sys/ only", async () => {
  assertEquals(await filesWith(/Deno\.(dlopen|Unsafe)/, { but: "sys/" }), []);
});

Deno.test("no type is any, and no check is switched off", async () => {
  assertEquals(await filesWith(/(:|\bas|<|,)\s*any\b/), []);
  const marks = /TODO|FIXME|@ts-(ignore|nocheck)|deno-lint-ignore/;
  assertEquals(await filesWith(marks, { within: (text) => text }), []);
});

const config = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", ROOT)),
);
const entryPoints: string[] = Object.values(config.exports);

Deno.test("the documentation of every entry point is checked", () => {
  const { command }: { command: string } = config.tasks.check;
  const linted = command.match(/deno doc --lint ([^&]+)/)![1].trim().split(" ");
  assertEquals(linted.map((path) => `./${path}`).sort(), entryPoints.sort());
});

Deno.test("importing an entry point needs no permission", async (t) => {
  for (const path of entryPoints) {
    await t.step(path, async () => {
      const script = `import "${new URL(path, ROOT)}";`;
      await output(Deno.execPath(), ["run", "--no-prompt", "-"], script);
    });
  }
});

Deno.test({
  name: "the top of the repository holds nothing unexpected (needs git)",
  ignore: await Deno.stat(new URL(".git", ROOT)).then(() => false, () => true),
  async fn() {
    const listed = ["ls-files", "--cached", "--others", "--exclude-standard"];
    const files = (await output("git", listed)).trim().split("\n");
    const expected =
      "README.md LICENSE deno.json deno.lock mod.ts sys ring cmd tests bench"
        .split(" ");
    const top = new Set(files.map((file) => file.split("/")[0]));
    const unexpected = [...top].filter((name) =>
      !name.startsWith(".") && !expected.includes(name)
    );
    assertEquals(unexpected, []);
  },
});
