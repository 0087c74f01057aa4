/** The filesystems that are ready, and the examples of the documentation, in guests. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { run } from "../kit/run.ts";
import { testUnless } from "../kit/skip.ts";
import { settles, until } from "../kit/wait.ts";
import { commandsFor } from "./commands.ts";
import { examplesOf, writeExample } from "./examples.ts";
import { ZIP } from "./filesystems.ts";
import {
  client,
  isMounted,
  launch,
  missing,
  ok,
  PERMISSIONS,
} from "./guest.ts";
import { serve, type Served, sh, watched, WAYS } from "./guest.ts";
import { INFO_ZIP, makeZip } from "./zips.ts";

const lines = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("");

for (const way of WAYS.slice(0, 3)) {
  testUnless(
    way.missing,
    `the files of a zip are those that busybox unpacks: ${way.name}`,
    async () => {
      const data = new TextEncoder().encode(lines);
      await Deno.writeFile(
        ZIP,
        await makeZip([
          { name: "deflated", data, mode: 0o100644 },
          { name: "deep/er/stored", data, method: 0, mode: 0o100600 },
          { name: "deep/ö", data: data.subarray(0, 9), mode: 0o100755 },
        ]),
      );
      const options = { ...way.options, read: true, keepCache: true };
      await serve("zip", async ({ dir, lines, status }) => {
        await ok(
          `rm -rf /tmp/x; mkdir /tmp/x; cd /tmp/x; busybox unzip -q ${ZIP}
          chmod 600 deep/er/stored; chmod 755 deep/ö; diff -r /tmp/x ${dir}
          [ "$(stat -c %a ${dir}/deep/er/stored ${dir}/deep/ö | tr '\\n' ' ')" = "600 755 " ]`,
        );
        await ok(`cd ${dir}; seq 200000 | cmp - deflated
          [ "$(tail -c 7 deflated)" = 200000 ]; [ "$(head -c 4 deflated)" = "$(seq 2)" ]`);
        // Reads in any order, and several at a time.
        await ok(`cd ${dir}
          for i in 9 3 7 1 5; do
            dd if=deflated bs=100000 skip=$i count=1 2>/dev/null | cksum
            dd if=/tmp/x/deflated bs=100000 skip=$i count=1 2>/dev/null | cksum
          done | uniq -c | while read n rest; do [ $n = 2 ]; done
          for i in 1 2 3 4; do cmp deflated /tmp/x/deflated & done; wait`);
        const { stderr } = await sh(`echo >${dir}/new; rm ${dir}/deflated`);
        assertMatch(stderr, /Read-only file system[^]*Read-only file system/);
        assertEquals(lines.filter((line) => line.startsWith("told")), []);
        await ok(`umount ${dir}`);
        assertEquals((await status).code, 0);
      }, { options });
    },
  );
}

testUnless(
  missing,
  "a zip by Info-ZIP has its link, and a bad one is refused",
  async () => {
    await Deno.writeFile(ZIP, INFO_ZIP);
    await serve("zip", async ({ dir }) => {
      assertEquals(
        await ok(`cd ${dir}/dir; cat link ü.txt; readlink link; find . | sort`),
        "hello, zip\ngrünhello.txt\n.\n./hello.txt\n./link\n./sub\n" +
          "./sub/lines.txt\n./ü.txt",
      );
    }, { options: { read: true } });
    await Deno.writeFile(ZIP, INFO_ZIP.subarray(0, 500));
    const dir = await Deno.makeTempDir();
    const server = new URL("server.ts", import.meta.url).pathname;
    const args = [...PERMISSIONS, "--allow-read", server, "zip", dir, "{}"];
    await watched(launch(dir, args), async (served) => {
      assertMatch(await served.line("refused"), /bad zip: it has no end/);
      assert(!isMounted(dir));
    });
  },
);

const COMMANDS = commandsFor({
  byteLength: 300_000,
  files: 50,
  more: "exec 3<>held; echo text >&3; rm held; " +
    '[ "$(cat /proc/self/fd/3)" = text ]; exec 3>&-',
});

// In a guest, each of these takes most of a minute.
for (
  const [way, kind, steps] of [
    [WAYS[0], "map", 200],
    [WAYS[1], "store", 100],
    [WAYS[2], "map", 200],
  ] as const
) {
  testUnless(
    way.missing,
    `keyValue() is as good as tmpfs for shell and random changes: ${kind}, ${way.name}`,
    () =>
      serve(kind, async ({ dir, lines }) => {
        await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
        await ok(`sh /tmp/commands ${dir}`, 120);
        for (const seed of [1, Date.now() % 1_000_000]) {
          const [a, b] = [`${dir}/${seed}`, `/tmp/model-${kind}-${seed}`];
          await ok(`rm -rf ${b}; mkdir ${a} ${b}`);
          const args = [a, b, `${seed}`, `${steps}`, "plain", "open"];
          await client("random_client.ts", args, 240);
        }
        assertEquals(lines.filter((line) => line.startsWith("told")), []);
        await ok(`umount ${dir}`);
      }, { options: way.options }),
  );
}

// ---- The examples ------------------------------------------------------------

/** Runs an example whose directory is `/mnt...` in the text. */
async function runExample(
  code: string,
  use: (served: Served, folder: string) => Promise<void>,
  { place = "/mnt", flags = [] as string[], change = {} } = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "example-" });
  const dir = await Deno.makeTempDir({ prefix: "fuse-" });
  await writeExample(folder, code, { [place]: dir, ...change });
  const args = [...PERMISSIONS, ...flags, `${folder}/main.ts`];
  await watched(launch(dir, args), async (served) => {
    await until(() => isMounted(dir) || served.lines.length > 0);
    await use(served, folder);
    assert(await settles(served.status, 30_000), "the example does not end");
    assertEquals((await served.status).code, 0, served.lines.join("\n"));
  });
}

/** Finds the one example of a file that has a text. */
async function example(file: string, text: string): Promise<string> {
  const found = (await examplesOf(file)).filter((code) => code.includes(text));
  assertEquals(found.length, 1, `${text} in ${file}`);
  return found[0];
}

for (const file of ["README.md", "cmd/fuse/mod.ts"]) {
  testUnless(
    missing,
    `the first example of ${file} runs as it stands`,
    async () =>
      await runExample(
        await example(file, "hello, world"),
        async ({ dir }) => {
          assertEquals(
            await ok(`cat ${dir}/hello.txt; ls ${dir}`),
            "hello, world\nhello.txt",
          );
          const { stderr } = await sh(`cat ${dir}/x; rm ${dir}/hello.txt`);
          assertMatch(stderr, /No such file[^]*Read-only/);
          await ok(`umount ${dir}`);
        },
        { place: "/mnt/hello" },
      ),
  );
}

testUnless(
  missing,
  "the example of files in memory does what files do",
  async () =>
    await runExample(
      await example(
        "cmd/fuse/mod.ts",
        "resize",
      ),
      async ({ dir }) => {
        await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
        await ok(`sh /tmp/commands ${dir}`, 120);
        await ok(`umount ${dir}`);
      },
      { place: "/mnt/memory" },
    ),
);

testUnless(
  missing,
  "the examples of Workers use their own mounts",
  async () => {
    const read = ["--allow-read", "--allow-write"];
    await runExample(
      await example("cmd/fuse/mod.ts", "greeting.ts"),
      async ({ line }) => assertMatch(await line("hello"), /hello mounted by/),
      { flags: read },
    );
    await runExample(
      await example("cmd/fuse/mount.ts", "memory()"),
      async () => {},
      { flags: read },
    );
  },
);

testUnless(missing, "the example of a zip serves its files", async () => {
  await Deno.writeFile(ZIP, INFO_ZIP);
  await runExample(
    await example("cmd/fuse/zip.ts", "photos.zip"),
    async ({ dir }) => {
      assertEquals(await ok(`cat ${dir}/dir/hello.txt`), "hello, zip");
      await ok(`umount ${dir}`);
    },
    { flags: ["--allow-read"], change: { "photos.zip": ZIP } },
  );
});

testUnless(
  missing,
  "the example of an HTTP server shows its files",
  async () => {
    const files = new Map([["a/b.txt", lines], ["c d", "short"]]);
    const asked: string[] = [];
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      ({ url, headers }) => {
        const key = decodeURI(new URL(url).pathname.slice(1));
        const range = /bytes=(\d+)-(\d+)/.exec(headers.get("range") ?? "");
        asked.push(key);
        if (key === "keys.json") {
          return Response.json(
            Array.from(files, ([key, { length: size }]) => ({ key, size })),
          );
        }
        const text = files.get(key);
        if (text === undefined) return new Response(null, { status: 404 });
        if (range === null) return new Response(text);
        const [from, to] = [Number(range[1]), Number(range[2])];
        return new Response(text.slice(from, to + 1), { status: 206 });
      },
    );
    await runExample(
      await example("cmd/fuse/key_value.ts", "example.com"),
      async ({ dir }) => {
        assertEquals(await ok(`cat "${dir}/c d"; ls ${dir}/a`), "shortb.txt");
        await ok(`seq 200000 | cmp - ${dir}/a/b.txt`);
        const once = asked.length;
        await ok(`seq 200000 | cmp - ${dir}/a/b.txt; cat "${dir}/c d"`);
        // The kernel has it all, and the list is fresh.
        assertEquals(asked.slice(once), []);
        await ok(`umount ${dir}`);
      },
      {
        flags: ["--allow-net"],
        change: {
          "https://example.com/": `http://127.0.0.1:${server.addr.port}/`,
        },
      },
    );
  },
);

testUnless(missing, "the demo mounts, and leaves nothing", async () => {
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--cached-only"];
  const { code, stdout, stderr } = await run(
    "timeout",
    ["-s", "KILL", "120", ...deno, main],
  );
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /FUSE:\n {2}mount +yes +by this process, as root/);
  assertMatch(stdout, /A filesystem of this program, mounted by .* read\(2\)/);
  const [, dir] = /(\/\S+)\/hello.txt +\d+ us {2}hello from TypeScript$/m
    .exec(stdout)!;
  assert(!isMounted(dir));
  assertEquals((await sh(`ls -d ${dir}`)).code === 0, false);
});
