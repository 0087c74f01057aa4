/** zip() on a fake kernel: what it shows, what it refuses, and what reads cost. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type NodeFileSystem, zip } from "../../cmd/fuse/mod.ts";
import type { ZipSource } from "../../cmd/fuse/mod.ts";
import { readyHere } from "../../cmd/fuse/here.ts";
import type { AnyNode } from "../../cmd/fuse/server.ts";
import { openDescriptors } from "../../sys/file.ts";
import { random } from "../kit/random.ts";
import { turn } from "../kit/wait.ts";
import { Client } from "./client.ts";
import { INFO_ZIP, type Item, makeZip, PYTHON } from "./zips.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const lines = Array.from({ length: 200 }, (_, i) => `line ${i + 1}\n`).join("");
const open = (source: ZipSource) => Client.of(zip(source));
const made = async (...items: Item[]) => await open(await makeZip(items));

/** Returns bytes that deflate badly. */
function noise(byteLength: number): Uint8Array {
  let state = 1;
  return new Uint8Array(byteLength).map(() => {
    state = Math.imul(state, 1_664_525) + 1_013_904_223 | 0;
    return state >>> 24;
  });
}

/** Reads the one deflated file of a zip, and counts the bytes read of the zip. */
async function counted(data: Uint8Array) {
  const zipped = await makeZip([{ name: "f", data }]);
  let read = 0;
  const client = await open({
    size: zipped.length,
    slice: (start: number, end: number) => {
      read += end - start;
      return Promise.resolve(new Blob([zipped.slice(start, end)]));
    },
  });
  const file = await client.open("/f");
  read = 0;
  return {
    cost: () => read,
    packed: zipped.length,
    check: async (at: number, length: number) =>
      assertEquals(
        await client.read(file, at, length),
        data.slice(at, at + length),
        `${length} from ${at}`,
      ),
  };
}

Deno.test("a zip by Info-ZIP", async () => {
  const client = await open(INFO_ZIP);
  assertEquals(await client.list("/"), ["dir", "empty"]);
  assertEquals(await client.list("/dir"), [
    "hello.txt",
    "link",
    "sub",
    "ü.txt",
  ]);
  assertEquals(await client.list("/empty"), []);
  assertEquals(await client.textOf("/dir/hello.txt"), "hello, zip\n");
  assertEquals(await client.textOf("/dir/sub/lines.txt"), lines);
  assertEquals(await client.textOf("/dir/ü.txt"), "grün");
  assertEquals(await client.linkOf("/dir/link"), "hello.txt");
  assertEquals((await client.stat("/dir/link")).mode, "120777");
  // 2001-02-03 04:05:06 UTC
  const mtime = 981_173_106;
  assertEquals(await client.stat("/dir/sub/lines.txt"), {
    ...{ mode: "100755", size: lines.length, mtime },
  });
  assertEquals(await client.stat("/empty"), { mode: "40755", size: 0, mtime });
  await assertRejects(() => client.stat("/nothing"), Error, "ENOENT");
  await assertRejects(() => client.open("/dir/hello.txt", 1), Error, "EROFS");
  await assertRejects(() => client.create("/new"), Error, "EROFS");
});

Deno.test("a zip by Python, with zip64 and a comment that looks like an end", async () => {
  const client = await open(PYTHON);
  assertEquals(await client.list("/"), ["a.txt", "big"]);
  assertEquals(await client.textOf("/a.txt"), "aaaa".repeat(50));
  assertEquals(await client.textOf("/big"), "x".repeat(100));
  assertEquals((await client.stat("/big")).mode, "100600");
});

Deno.test("a zip in memory, in a file and in a Blob", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, INFO_ZIP);
    const blob = new Blob([INFO_ZIP]);
    const url = new URL(`file://${path}`);
    for (const source of [INFO_ZIP, path, url, blob]) {
      const fs = zip(source);
      const client = await Client.of(fs);
      assertEquals(await client.textOf("/dir/sub/lines.txt"), lines);
      assertEquals(await client.textOf("/dir/hello.txt"), "hello, zip\n");
      await fs.destroy!();
    }
    await Deno.writeFile(path, INFO_ZIP.subarray(0, 99));
    await assertRejects(() => open(path), Error, "bad zip: it has no end");
  } finally {
    await Deno.remove(path);
  }
  await assertRejects(() => open(path), Deno.errors.NotFound);
});

Deno.test("a mount that fails closes the file of its zip", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, INFO_ZIP);
    const count = () => (openDescriptors() as number[]).length;
    const before = count();
    const ready = await readyHere(zip(path) as NodeFileSystem<AnyNode>, {});
    assertEquals(count(), before + 1);
    ready.drop();
    await turn();
    assertEquals(count(), before);
    await Deno.writeFile(path, INFO_ZIP.subarray(0, 99));
    await assertRejects(() =>
      readyHere(zip(path) as NodeFileSystem<AnyNode>, {})
    );
    assertEquals(count(), before);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a zip with fields of 64 bits, behind another program, and with a comment", async () => {
  const data = bytes(lines);
  const items = [
    { name: "a", data, large: true },
    { name: "b", data, method: 0, large: true },
    { name: "c", data },
  ];
  const comment = bytes("PK\x05\x06".padEnd(0xffff, "."));
  for (const large of [false, true]) {
    for (const before of [noise(10_000), new Uint8Array(0)]) {
      const zipped = await makeZip(items, { large, before, comment });
      const client = await open(zipped);
      for (const name of ["a", "b", "c"]) {
        assertEquals(await client.textOf(`/${name}`), lines);
      }
    }
  }
});

Deno.test("directories are there with and without an entry of their own", async () => {
  const client = await made(
    { name: "x/y/file", data: bytes("1") },
    { name: "x/", mode: 0o40700 },
    { name: "./x//other", data: bytes("2") },
    { name: "x/y/file", data: bytes("3"), mode: 0o100400 },
    { name: "./" },
  );
  assertEquals(await client.list("/"), ["x"]);
  assertEquals(await client.list("/x"), ["other", "y"]);
  assertEquals((await client.stat("/x")).mode, "40700");
  assertEquals((await client.stat("/x/y")).mode, "40755");
  assertEquals(await client.textOf("/x/other"), "2");
  // The later one of two.
  assertEquals(await client.textOf("/x/y/file"), "3");
  assertEquals((await client.stat("/x/y/file")).mode, "100400");
  const noon = new Date(2020, 1, 29, 12, 34, 56).getTime() / 1000;
  assertEquals((await client.stat("/x/other")).mtime, noon);
});

Deno.test("an empty zip, and names that are not UTF-8", async () => {
  assertEquals(await (await made()).list("/"), []);
  const name = new Uint8Array([0x67, 0x72, 0xfc, 0x6e]);
  assertEquals(await (await made({ name })).list("/"), ["grün"]);
});

Deno.test("every zip that is bad is refused, and says why", async (t) => {
  const good = await makeZip([{ name: "f", data: bytes(lines) }]);
  const at = good.length - 22;
  const changed = (place: number, ...values: number[]) => {
    const copy = good.slice();
    copy.set(values, place);
    return copy;
  };
  const entry = new DataView(good.buffer).getUint32(at + 16, true);
  for (
    const [what, source, reason] of [
      ["nothing", new Uint8Array(0), "no end. It is no zip"],
      ["text", bytes(lines), "no end. It is no zip"],
      ["its first half", good.subarray(0, 500), "no end"],
      ["no last byte", good.subarray(0, -1), "no end"],
      ["no first byte", good.subarray(1), "not where it says"],
      ["a part of several", changed(at + 4, 1), "one part of several"],
      ["a wrong offset", changed(at + 16, 255, 255, 255, 255), "missing|where"],
      ["a wrong length", changed(at + 12, 255, 255, 255, 255), "missing|where"],
      ["a shorter length", changed(at + 12, 40), "directory is broken"],
      ["a wrong count", changed(at + 10, 2), "directory is broken"],
      ["a wrong entry", changed(entry, 0), "directory is broken"],
      ["a longer name", changed(entry + 28, 99), "directory is broken"],
      ["a longer comment", changed(entry + 32, 99), "directory is broken"],
      ...[
        ["/etc/passwd", "is absolute"],
        ["../up", "has .."],
        ["a/../../up", "has .."],
        ["a/..", "has .."],
        ["a\0b", "zero byte"],
        ["x".repeat(256), "too long"],
      ].map(([name, reason]) => [name, makeZip([{ name }]), reason] as const),
      [
        "a file and below it",
        makeZip([{ name: "a" }, { name: "a/b" }]),
        "is below a file",
      ],
      [
        "a directory and a file",
        makeZip([{ name: "a/b" }, { name: "a" }]),
        "is a directory as well",
      ],
      [
        "an impossible size",
        makeZip([{ name: "a", size: 2 ** 60, large: true }]),
        "impossible size",
      ],
    ] as const
  ) {
    await t.step(what.slice(0, 40), async () => {
      const zipped = await source;
      const error = await assertRejects(() => open(zipped), Error, "bad zip: ");
      const matches = new RegExp(reason).test(error.message);
      assert(matches, `${error.message}, not ${reason}`);
    });
  }
});

Deno.test("a zip with changed bytes is refused as bad, or is a tree of files", async () => {
  const items = [
    { name: "a/b", data: bytes("1234") },
    { name: "c", data: bytes(lines), large: true },
    { name: "d/", mode: 0o40700 },
    { name: "e", data: bytes("b"), method: 0, mode: 0o120777 },
  ];
  const sources = [
    await makeZip(items, { large: true }),
    await makeZip(items, { before: noise(100) }),
    INFO_ZIP,
  ];
  let refused = 0;
  for (let seed = 1; seed <= 600; seed++) {
    const below = random(seed);
    const zipped = sources[seed % sources.length].slice();
    // The directory is in the second half.
    for (let n = 1 + below(3); n > 0; n--) {
      const at = Math.floor(zipped.length / 2 * (1 + below(1000) / 1000));
      zipped[at] = [0, 255, zipped[at] ^ 1 << below(8)][below(3)];
    }
    try {
      const client = await open(zipped);
      await everyFile(client, "");
    } catch (error) {
      const { message } = error as Error;
      if (!message.startsWith("bad zip: ")) throw error;
      refused++;
    }
  }
  assert(refused > 100 && refused < 500, `${refused}`);
});

/** Reads all files below a directory, which may fail, but only with an errno. */
async function everyFile(client: Client, path: string): Promise<void> {
  for (const name of await client.list(path)) {
    const child = `${path}/${name}`;
    const { mode } = await client.stat(child);
    if (mode.startsWith("4")) {
      await everyFile(client, child);
      continue;
    }
    const read = mode.startsWith("12")
      ? client.linkOf(child)
      : client.textOf(child);
    const error = await read.then(() => null, (error) => error);
    assert(!error || /^(EIO|EOPNOTSUPP)$/.test(error.message), `${error}`);
  }
}

Deno.test("what cannot be read is listed, and fails alone", async () => {
  const data = bytes(lines);
  const zipped = await makeZip([
    { name: "good", data },
    { name: "secret", data, flags: 1 },
    { name: "bzip2", data, method: 12 },
    { name: "spoiled", data, spoil: (it) => it.fill(0xff, 20, 40) },
    { name: "short", data, size: lines.length + 1 },
    { name: "stored short", data, method: 0, size: lines.length + 1 },
    { name: "far", data, large: true },
  ]);
  // The offset in the zip64 field of the last entry, and behind it the end.
  zipped.set([0xff, 0xff, 0xff], zipped.length - 22 - 8);
  const client = await open(zipped);
  const { told } = client.kernel;
  const fails = async (name: string, code: string, reason?: string) => {
    await assertRejects(() => client.textOf(`/${name}`), Error, code);
    assertEquals(told.splice(0).join().includes(reason ?? ""), true, name);
  };
  assertEquals((await client.list("/")).length, 7);
  await fails("secret", "EOPNOTSUPP");
  await fails("bzip2", "EOPNOTSUPP");
  assertEquals(told, []);
  await fails("spoiled", "EIO", "READ null: ");
  await fails("short", "EIO", "bad zip: a file ends early");
  await fails("stored short", "EIO", "bad zip: a file ends early");
  await fails("far", "EIO", "bad zip: a part of it is missing");
  assertEquals(await client.textOf("/good"), lines);
  // Less of it is there.
  const file = await client.open("/short");
  assertEquals(await client.read(file, 5, 10), data.slice(5, 15));
  await assertRejects(() => client.read(file, 0, 4096), Error, "EIO");
  assertEquals(await client.read(file, 5, 10), data.slice(5, 15));
});

Deno.test("reads in order inflate each byte once, whichever of them comes first", async () => {
  const { check, cost, packed } = await counted(noise(3_000_000));
  for (let at = 0; at < 3_000_000; at += 131_072) {
    // As when the kernel reads ahead.
    await Promise.all([
      check(at + 65_536, 65_536),
      check(at, 65_536),
    ]);
  }
  assert(cost() < packed + 1, `${cost()} of ${packed}`);
  await check(2_999_990, 100);
  await check(3_000_000, 100);
  await check(5_000_000, 100);
  assert(cost() < packed + 1);
});

Deno.test("a read from far before starts again, and one from near before does not", async () => {
  const { check, cost, packed } = await counted(noise(9_000_000));
  await check(8_900_000, 65_536);
  const once = cost();
  await check(5_000_000, 65_536);
  assertEquals(cost(), once);
  await check(10, 65_536);
  assert(cost() - once < packed / 10, "only its start is inflated again");
  await check(8_900_000, 65_536);
});

Deno.test("random reads of a file return what is there", async () => {
  const text = lines.repeat(3_000);
  const { check } = await counted(bytes(text));
  const below = random(7);
  for (let i = 0; i < 40; i++) {
    await check(below(text.length), 1 + below(100_000));
  }
});
