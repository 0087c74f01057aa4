/** keyValue() on a fake kernel: what the store is asked for, and what it gets. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { FuseError, keyValue, type KeyValueStore } from "../../cmd/fuse/mod.ts";
import type { KeyValueOptions } from "../../cmd/fuse/mod.ts";
import { random } from "../kit/random.ts";
import { sleep } from "../kit/wait.ts";
import { Client } from "./client.ts";
import { names, words } from "./fake.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value?: Uint8Array) => new TextDecoder().decode(value);

/** A filesystem over a `Map` with some values. */
async function over(
  values: Record<string, string> = {},
  options: KeyValueOptions = { ttlMs: 0 },
) {
  const map = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(values)) map.set(key, bytes(value));
  const client = await Client.of(keyValue(map, options));
  const contents = () =>
    Object.fromEntries([...map].map(([key, value]) => [key, text(value)]));
  return { map, client, contents };
}

/** A store whose methods take their time and are counted. */
function remote(values: Record<string, string>) {
  const map = new Map(
    Object.entries(values).map(([key, value]) => [key, bytes(value)]),
  );
  const log: string[] = [];
  const say = async (line: string) => {
    log.push(line);
    await sleep(1);
  };
  const store: Required<KeyValueStore> = {
    async keys() {
      await say("keys");
      return (async function* () {
        for (const key of map.keys()) {
          await sleep(0);
          yield key;
        }
      })();
    },
    async get(key) {
      await say(`get ${key}`);
      return map.get(key) ?? null;
    },
    async set(key, value) {
      await say(`set ${key} ${text(value)}`);
      map.set(key, value);
    },
    async delete(key) {
      await say(`delete ${key}`);
      map.delete(key);
    },
    async stat(key) {
      await say(`stat ${key}`);
      const value = map.get(key);
      return value && { size: value.length, mtime: 5000 };
    },
    async getPart(key, offset, length) {
      await say(`part ${key} ${offset} ${length}`);
      return map.get(key)!.subarray(offset, offset + length);
    },
  };
  /** Returns what was called since. */
  const since = () => log.splice(0);
  return { map, store, since };
}

Deno.test("a Map is a tree of files by its slashes", async () => {
  const { client, map } = await over({
    "a": "1",
    "dir/b": "22",
    "dir/sub/c": "",
  });
  assertEquals(await client.list("/"), ["a", "dir"]);
  assertEquals(await client.list("/dir"), ["b", "sub"]);
  assertEquals(await client.textOf("/dir/b"), "22");
  assertEquals(await client.textOf("/dir/sub/c"), "");
  assertEquals((await client.stat("/dir/b")).mode, "100644");
  assertEquals((await client.stat("/dir")).mode, "40755");
  await assertRejects(() => client.stat("/dir/none"), Error, "ENOENT");
  await assertRejects(() => client.stat("/a/b"), Error, "E");
  // The program changes it.
  map.set("new/x", bytes("333"));
  map.delete("dir/sub/c");
  map.set("a", bytes("longer"));
  assertEquals(await client.list("/"), ["a", "dir", "new"]);
  assertEquals(await client.list("/dir"), ["b"]);
  assertEquals(await client.textOf("/a"), "longer");
});

Deno.test("keys that are no paths are not shown", async () => {
  const { client } = await over({
    ...{ "/absolute": "", "a//b": "", "c/": "", "./d": "", "e/../f": "" },
    ...{ "": "", "zero\0": "", ["x".repeat(256)]: "", "good": "", "..": "" },
    ...{ "both": "", "both/file": "1", "other/file": "1", "other": "" },
  });
  assertEquals(await client.list("/both"), ["file"]);
  assertEquals(await client.list("/other"), ["file"]);
  const found = await client.list("/");
  assertEquals(found, ["both", "good", "other"]);
});

Deno.test("keys that no path reaches are not shown", async () => {
  const { client } = await over({
    [`${"a/".repeat(20_000)}b`]: "",
    "\ud800": "",
    "good": "",
  });
  assertEquals(await client.list("/"), ["good"]);
});

Deno.test("a file that is made in a directory which is gone takes no other key", async () => {
  const { client, contents, map } = await over({ "dir/a": "", "b": "kept" });
  const reply = await client.kernel.ask(1, 1, names("dir"));
  const id = Number(reply.view.getBigUint64(0, true));
  map.delete("dir/a"); // By another program.
  assertEquals(await client.list("/"), ["b"]);
  const [ENOENT, MKDIR, CREATE] = [2, 9, 35];
  const args = words(2, 0o644, 0, 0);
  const made = [
    await client.kernel.ask(CREATE, id, args, names("b")),
    await client.kernel.ask(MKDIR, id, words(0o755, 0), names("b")),
    await client.kernel.ask(12, 1, words(BigInt(id)), names("b", "c")),
  ];
  for (const { errno } of made) assertEquals(errno, ENOENT);
  assertEquals(contents(), { b: "kept" });
});

Deno.test("a value that is no Uint8Array is no empty file", async () => {
  for (const value of [new ArrayBuffer(3), "abc", [1, 2]]) {
    const set = () => assert(false, "nothing is stored");
    const client = await Client.of(keyValue({
      keys: () => ["a"],
      get: () => value as unknown as Uint8Array,
      set,
      delete: set,
    }));
    await assertRejects(() => client.bytesOf("/a"), Error, "EIO");
    await assertRejects(() => client.truncate("/a", 1), Error, "EIO");
    assertMatch(client.kernel.told[0], /get\(\) returns must be a Uint8Array/);
  }
});

Deno.test("files are written, and stored when they are closed", async () => {
  const { client, contents, map } = await over({ old: "old text" });
  const file = await client.create("/new");
  await client.write(file, 0, "hello");
  await client.write(file, 7, "world");
  assertEquals(contents(), { old: "old text" });
  // Others see it before.
  assertEquals(await client.textOf("/new"), "hello\0\0world");
  assertEquals(await client.list("/"), ["new", "old"]);
  await client.fsync(file);
  assertEquals(contents().new, "hello\0\0world");
  await client.write(file, 5, ", ");
  await client.close(file);
  assertEquals(contents().new, "hello, world");
  const kept = map.get("new")!;
  await client.put("/new", "shorter");
  assertEquals(contents().new, "shorter");
  assertEquals(text(kept), "hello, world", "what was stored is not changed");
  const before = map.get("old")!;
  const again = await client.open("/old", 2);
  await client.write(again, 0, "NEW");
  await client.flush(again);
  assertEquals(contents().old, "NEW text");
  assertEquals(text(before), "old text");
  await client.release(again);
});

Deno.test("truncate shortens and lengthens, also what is not open", async () => {
  const { client, contents } = await over({ f: "0123456789" });
  await client.truncate("/f", 3);
  assertEquals(contents(), { f: "012" });
  await client.truncate("/f", 5);
  assertEquals(contents(), { f: "012\0\0" });
  const O_TRUNC = 0o1000;
  const file = await client.open("/f", 1 | O_TRUNC);
  assertEquals((await client.stat("/f")).size, 0);
  await client.write(file, 0, "x");
  await client.close(file);
  assertEquals(contents(), { f: "x" });
});

Deno.test("a truncate while others look at the file keeps its content", async () => {
  const { store, map } = remote({ f: "0123456789" });
  const { get, set, keys, delete: remove } = store;
  const simple = { get, set, keys, delete: remove };
  const options = { ttlMs: 0, cacheBytes: 0 };
  const client = await Client.of(keyValue(simple, options));
  await client.stat("/f");
  const asked = Promise.withResolvers<void>();
  simple.get = (key) => {
    asked.resolve();
    return get(key);
  };
  const looking = client.stat("/f");
  await asked.promise;
  // The one waits for the value to count its bytes, the other to change it.
  await Promise.all([looking, client.resize(2, 4)]);
  assertEquals(text(map.get("f")), "0123");
});

Deno.test("directories without keys are there until they are removed", async () => {
  const { client, contents } = await over({ "dir/only": "" });
  await client.mkdir("/empty");
  await client.mkdir("/empty/sub");
  await client.unlink("/dir/only");
  assertEquals(await client.list("/"), ["dir", "empty"]);
  await assertRejects(() => client.rmdir("/empty"), Error, "ENOTEMPTY");
  await client.rmdir("/empty/sub");
  await client.put("/empty/file", "1");
  assertEquals(contents(), { "empty/file": "1" });
  await client.rmdir("/dir");
  assertEquals(await client.list("/"), ["empty"]);
});

Deno.test("a rename moves all that is below, and replaces what is there", async () => {
  const { client, contents } = await over({
    ...{ "a/1": "one", "a/b/2": "two", "c": "three", "d": "four" },
  });
  await client.rename("/a", "/moved");
  await client.rename("/c", "/moved/b/c");
  await client.rename("/d", "/moved/1");
  assertEquals(contents(), {
    ...{ "moved/1": "four", "moved/b/2": "two", "moved/b/c": "three" },
  });
  await client.mkdir("/full");
  await client.put("/full/x", "");
  const full = () => client.rename("/moved", "/full");
  await assertRejects(full, Error, "ENOTEMPTY");
  await client.unlink("/full/x");
  await full();
  assertEquals(await client.textOf("/full/1"), "four");
  assertEquals(await client.list("/"), ["full"]);
});

Deno.test("an open file survives its unlink, its rename and its replacement", async () => {
  const { client, contents } = await over({ a: "aa", b: "bb", c: "cc" });
  const [a, b, c] = await Promise.all(
    ["/a", "/b", "/c"].map((path) => client.open(path, 2)),
  );
  await client.unlink("/a");
  await client.rename("/b", "/dir-b");
  await client.rename("/dir-b", "/c");
  assertEquals(text(await client.read(a, 0, 9)), "aa");
  await client.write(a, 2, "!");
  assertEquals(text(await client.read(a, 0, 9)), "aa!");
  await client.write(b, 0, "B");
  assertEquals(text(await client.read(c, 0, 9)), "cc");
  await client.write(c, 0, "C");
  for (const file of [a, c, b]) await client.close(file);
  assertEquals(contents(), { c: "Bb" });
});

Deno.test("a store is asked for parts and sizes, once while they are fresh", async () => {
  const { store, since } = remote({ "dir/big": "0123456789" });
  const options = { ttlMs: 60_000 };
  const client = await Client.of(keyValue(store, options));
  const file = await client.open("/dir/big");
  assertEquals(since(), ["keys", "stat dir/big"]);
  assertEquals((await client.stat("/dir/big")).mtime, 5);
  assertEquals(text(await client.read(file, 2, 3)), "234");
  assertEquals(text(await client.read(file, 8, 4096)), "89");
  assertEquals((await client.read(file, 10, 4096)).length, 0);
  assertEquals(since(), ["part dir/big 2 3", "part dir/big 8 2"]);
  // Of what is written to, all is needed.
  await client.write(file, 0, "X");
  assertEquals(text(await client.read(file, 0, 3)), "X12");
  await client.close(file);
  assertEquals(since(), ["get dir/big", "set dir/big X123456789"]);
  assertEquals((await client.stat("/dir/big")).size, 10);
  assertEquals(since(), []);
});

Deno.test("sizes that come with the keys are not asked for, and tell what is old", async () => {
  const { store, since, map } = remote({ a: "0123", "d/b": "456" });
  let mtime = 1000;
  const sized: KeyValueStore = {
    ...{ get: store.get, set: store.set, delete: store.delete },
    keys: () =>
      Array.from(map, ([key, { length: size }]) => ({ key, size, mtime })),
  };
  const options = { ttlMs: 30, cacheBytes: 100 };
  const client = await Client.of(keyValue(sized, options));
  assertEquals((await client.stat("/d/b")).size, 3);
  assertEquals(since(), []);
  /** Returns what is in the file, and what the store was asked for. */
  const read = async () => {
    await sleep(40);
    return [await client.textOf("/a"), since().join()];
  };
  assertEquals(await read(), ["0123", "get a"]);
  assertEquals(await read(), ["0123", ""]);
  mtime = 2000;
  assertEquals(await read(), ["0123", "get a"]);
  map.set("a", bytes("longer"));
  assertEquals(await read(), ["longer", "get a"]);
  await client.put("/a", "written");
  assertEquals(since().at(-1), "set a written");
  assertEquals(await read(), ["written", "get a"]);
});

Deno.test("values of closed files are cached, as far as there is room", async () => {
  const { store, since } = remote({
    a: "1234",
    b: "5678",
    c: "too long for it",
  });
  const { getPart: _, stat: __, ...simple } = store;
  const options = { ttlMs: 60_000, cacheBytes: 10 };
  const client = await Client.of(keyValue(simple, options));
  const read = async (...names: string[]) => {
    since();
    for (const name of names) await client.bytesOf(`/${name}`);
    return since().filter((line) => line.startsWith("get"));
  };
  assertEquals(await read("a", "b", "a", "b"), ["get a", "get b"]);
  // Once for its size, and once for its content, which is not kept.
  assertEquals(await read("c", "c"), ["get c", "get c", "get c"]);
  assertEquals(await read("a", "b"), ["get a", "get b"]);
  await client.put("/a", "12345678");
  // For `a`, something had to go.
  assertEquals(await read("a", "b"), ["get b"]);
});

Deno.test("what is cached is asked for again when its time is over", async () => {
  const { store, since, map } = remote({ a: "1" });
  const { getPart: _, ...simple } = store;
  const options = { ttlMs: 50, cacheBytes: 100 };
  const client = await Client.of(keyValue(simple, options));
  assertEquals(await client.textOf("/a"), "1");
  map.set("a", bytes("22"));
  assertEquals(await client.textOf("/a"), "1");
  await sleep(60);
  since();
  assertEquals(await client.textOf("/a"), "22");
  assertEquals(since(), ["keys", "stat a", "get a"]);
});

Deno.test("without set and delete, nothing can be written", async () => {
  const { store } = remote({ a: "1" });
  const { set: _, ...readOnly } = store;
  const client = await Client.of(keyValue(readOnly));
  assertEquals(await client.textOf("/a"), "1");
  for (
    const call of [
      () => client.open("/a", 1),
      () => client.create("/b"),
      () => client.unlink("/a"),
      () => client.mkdir("/c"),
      () => client.truncate("/a", 0),
    ]
  ) await assertRejects(call, Error, "EROFS");
});

Deno.test("errors of the store reach the caller, and lose nothing", async () => {
  const { store, map } = remote({ a: "1" });
  let failure: unknown = null;
  const { set } = store;
  store.set = async (key, value) => {
    if (failure !== null) throw failure;
    await set(key, value);
  };
  const client = await Client.of(keyValue(store, { ttlMs: 0 }));
  const file = await client.open("/a", 2);
  await client.write(file, 0, "2");
  failure = new FuseError("ENOSPC");
  await assertRejects(() => client.flush(file), Error, "ENOSPC");
  await assertRejects(() => client.release(file), Error, "ENOSPC");
  const again = await client.open("/a");
  assertEquals(text(await client.read(again, 0, 9)), "2");
  await assertRejects(() => client.rename("/a", "/b"), Error, "ENOSPC");
  failure = null;
  assertEquals(text(map.get("a")), "1");
  // The next close(2) stores it.
  await client.close(again);
  assertEquals(text(map.get("a")), "2");
  // A value that is gone, and one that became shorter.
  map.set("short", bytes("1234"));
  const short = await client.open("/short");
  map.set("short", bytes("12"));
  store.stat = () => Promise.resolve({ size: 4 });
  await assertRejects(() => client.read(short, 0, 4), Error, "EIO");
  assertEquals(client.kernel.told, [
    "READ null: getPart returned 2 bytes, not 4",
  ]);
  store.stat = () => undefined;
  await assertRejects(() => client.stat("/a"), Error, "ENOENT");
});

Deno.test("a list that comes during changes undoes none of them", async () => {
  const { store, map } = remote({ a: "1", b: "2" });
  const client = await Client.of(keyValue(store, { ttlMs: 0 }));
  await Promise.all([
    client.list("/"),
    client.put("/new", "3"),
    client.unlink("/a"),
    client.list("/"),
    client.rename("/b", "/c"),
    client.list("/"),
  ]);
  assertEquals(await client.list("/"), ["c", "new"]);
  assertEquals([...map.keys()].sort(), ["c", "new"]);
});

Deno.test("random changes leave the store as a Map would be", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const below = random(seed);
    const { store, map } = remote({});
    if (below(2)) delete (store as Partial<KeyValueStore>).getPart;
    const ttlMs = below(2) * 1000;
    const client = await Client.of(keyValue(store, { ttlMs, cacheBytes: 8 }));
    const model = new Map<string, string>();
    const names = ["a", "b", "d/a", "d/b"];
    await client.mkdir("/d");
    for (let i = 0; i < 40; i++) {
      const name = names[below(names.length)];
      const other = names[below(names.length)];
      const there = model.get(name);
      switch (below(5)) {
        case 0:
          await client.put(`/${name}`, `${i}`);
          model.set(name, `${i}`);
          break;
        case 1:
          if (there === undefined) break;
          await client.unlink(`/${name}`);
          model.delete(name);
          break;
        case 2: {
          if (there === undefined || name === other) break;
          await client.rename(`/${name}`, `/${other}`);
          model.delete(name);
          model.set(other, there);
          break;
        }
        case 3: {
          if (there === undefined) break;
          const file = await client.open(`/${name}`, 2);
          await client.write(file, there.length, "+");
          await client.close(file);
          model.set(name, `${there}+`);
          break;
        }
        default:
          if (there === undefined) break;
          assertEquals(await client.textOf(`/${name}`), there, `seed ${seed}`);
      }
    }
    const sorted = (it: Iterable<readonly [string, string]>) => [...it].sort();
    const stored = [...map].map(([key, value]) => [key, text(value)] as const);
    assertEquals(sorted(stored), sorted(model), `seed ${seed}`);
    assertEquals(client.kernel.told, []);
    assert(client.kernel.unanswered === 0);
  }
});
