/** The operations of a `fuse-native` program, as its README has them. */

import { assertEquals } from "@std/assert";
import { fromFuseNative } from "../../cmd/fuse/mod.ts";
import { FakeKernel, names, words } from "./fake.ts";

const ENOENT = -2; // Fuse.ENOENT

Deno.test("a program for fuse-native is served as it stands", async () => {
  const calls: unknown[] = [];
  const { kernel } = FakeKernel.ofPaths(fromFuseNative({
    readdir: (path, cb) => path === "/" ? cb(null, ["test"]) : cb(ENOENT),
    getattr: (path, cb) => {
      const times = { atime: new Date(0), mtime: new Date(0) };
      if (path === "/") return cb(null, { ...times, mode: 16877, size: 4096 });
      if (path === "/test") {
        return cb(null, { ...times, mode: 33188, size: 12 });
      }
      return cb(ENOENT);
    },
    open: (_, flags, cb) => cb(0, 42 + flags),
    read: (_, fd, buffer, length, position, cb) => {
      calls.push(fd, length, position);
      const text = "hello world\n".slice(position, position + length);
      if (!text) return cb(0);
      (buffer as unknown as { write(text: string): void }).write(text);
      return cb(text.length);
    },
    write: (_, _fd, buffer, length, _position, cb) => {
      calls.push(String(buffer), length);
      cb(-28);
    },
    release: (_, fd, cb) => {
      calls.push(fd);
      cb();
    },
    utimens: (_, atime, mtime, cb) => {
      calls.push(atime, mtime);
      cb(0);
    },
  }));
  const lookup = await kernel.ask(1, 1, names("test"));
  assertEquals(lookup.view.getUint32(100, true), 33188);
  assertEquals((await kernel.ask(1, 1, names("no"))).errno, 2);
  const opened = await kernel.ask(14, 2, words(2, 0));
  const fh = opened.view.getBigUint64(0, true);
  const range = (offset: bigint, size: number) =>
    words(fh, offset, size, 0, 0n, 0, 0);
  const text = async (offset: bigint) =>
    new TextDecoder().decode(
      (await kernel.ask(15, 2, range(offset, 100))).bytes,
    );
  assertEquals([await text(0n), await text(6n), await text(12n)], [
    ...["hello world\n", "world\n", ""],
  ]);
  const data = new TextEncoder().encode("data");
  assertEquals((await kernel.ask(16, 2, range(0n, 4), data)).errno, 28);
  // SETATTR of the time of modification: the other stays.
  const times = words(32, 0, 0n, 0n, 0n, 0n, 5n, 0n, 0, 500_000_000);
  await kernel.ask(4, 2, times, new Uint8Array(24));
  await kernel.ask(18, 2, words(fh, 0, 0, 0n));
  assertEquals(calls, [
    ...[44, 100, 0, 44, 100, 6, 44, 100, 12],
    ...["data", 4, 0, 5500, 44],
  ]);
  assertEquals(kernel.told, []);
});
