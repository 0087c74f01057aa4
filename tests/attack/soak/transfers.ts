/** Data that has to arrive as it was sent. */

import { equals } from "@std/bytes";
import type { FixedBuffer, Ring } from "../../../mod.ts";
import type { FileRef } from "../../../ring/command.ts";
import * as op from "../../../cmd/op.ts";
import { O_CREAT, O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { type FdPair, pipe, tcpPair, unixPair } from "../../kit/fds.ts";
import type { Act, Actor } from "./actor.ts";
import { gives, refused, upTo } from "./ledger.ts";

const SIZES = [1, 63, 4096, 65_537, 1 << 20];
/** The byte that memory is filled with before data arrives. */
const NOTHING = 0xaa;

/** Bytes that tell which they are. */
function pattern(seed: number, length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array((length >> 2) + 1);
  let word = seed;
  for (let i = 0; i < words.length; i++) {
    word = Math.imul(word, 1_664_525) + 1_013_904_223 | 0;
    words[i] = word;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** Memory of either kind. */
function memory(self: Actor, ring: Ring, length: number): Uint8Array {
  const bytes = self.random(2) === 0
    ? ring.alloc(length)
    : new Uint8Array(length);
  return bytes.fill(NOTHING);
}

async function writeAll(
  self: Actor,
  ring: Ring,
  fd: FileRef,
  data: Uint8Array,
) {
  for (let at = 0; at < data.length;) {
    const rest = data.subarray(at);
    const count = await self.see(
      ring.cmd(op.write(fd, rest)),
      upTo(rest.length),
    );
    if (count === undefined) return;
    at += count;
  }
}

async function readAll(self: Actor, ring: Ring, fd: FileRef, into: Uint8Array) {
  for (let at = 0; at < into.length;) {
    const rest = into.subarray(at);
    const count = await self.see(
      ring.cmd(op.read(fd, rest)),
      upTo(rest.length),
    );
    if (count === undefined) return;
    at += count;
    if (at < into.length && into[into.length - 1] !== NOTHING) {
      return self.wrong("bytes were written after those that were read");
    }
  }
}

function check(self: Actor, found: Uint8Array, expected: Uint8Array): void {
  if (equals(found, expected)) return;
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  self.wrong(`byte ${at} of ${found.length} is ${found[at]}`);
}

/** Makes a message whose last byte is not NOTHING, so that its end can be found. */
function message(self: Actor): Uint8Array {
  const data = pattern(self.random(1 << 30), self.pick(SIZES));
  data[data.length - 1] = 0x55;
  return data;
}

/** Through a pipe, or a socket. */
export const streamed: Act = async (self, { ring }) => {
  using pair = self.pick<() => FdPair>([pipe, unixPair, tcpPair])();
  const data = message(self);
  const out = memory(self, ring, data.length);
  out.set(data);
  const into = memory(self, ring, data.length);
  await Promise.all([
    writeAll(self, ring, pair.right, out),
    readAll(self, ring, pair.left, into),
  ]);
  check(self, into, data);
};

/** Into a file, and out of it. */
export const filed: Act = async (self, { ring }) => {
  const path = await Deno.makeTempFile();
  try {
    const opening = ring.cmd(op.openat(path, { flags: O_RDWR | O_CREAT }));
    const fd = await self.see(opening, upTo(1 << 20));
    if (fd === undefined) return;
    const data = message(self);
    const { length } = data;
    const out = memory(self, ring, length);
    out.set(data);
    const into = memory(self, ring, length);
    const offset = self.random(1 << 20);
    const at = { offset };
    await self.see(ring.cmd(op.write(fd, out, at)), gives(length));
    if (self.random(8) === 0) await self.see(ring.cmd(op.fsync(fd)), gives(0));
    await self.see(ring.cmd(op.read(fd, into, at)), gives(length));
    await self.see(ring.cmd(op.close(fd)), gives(0));
    check(self, into, data);
  } finally {
    await Deno.remove(path);
  }
};

/** With files and buffers that are registered, and then are not. */
export const registered: Act = async (self, { ring }) => {
  using pair = pipe();
  const memory = ring.alloc(65536);
  const [left, right] = ring.registerFiles([pair.left, pair.right]);
  const [buffer] = ring.registerBuffers([memory]);
  const half = memory.length / 2;
  const from = memory.subarray(0, 1 + self.random(half));
  const into = memory.subarray(half, half + from.length);
  const data = pattern(self.random(1 << 30), from.length);
  from.set(data);
  const options: { buffer?: FixedBuffer } = self.random(4) ? { buffer } : {};
  const reading = self.see(
    ring.cmd(op.read(left, into, options)),
    gives(from.length),
  );
  underWay(self, () => ring.unregisterFiles());
  if (options.buffer) underWay(self, () => ring.unregisterBuffers());
  const writing = ring.cmd(op.write(right, from, options));
  await self.see(writing, gives(from.length));
  await reading;
  check(self, into, data);
  ring.unregisterFiles();
  ring.unregisterBuffers();
  await self.see(
    ring.cmd(op.write(right, from)),
    refused("not in this ring's table of files"),
  );
};

/** Tables that are in use stay. */
function underWay(self: Actor, unregister: () => void): void {
  try {
    unregister();
    self.wrong("a table was unregistered with a command in flight");
  } catch (error) {
    if (!String(error).includes("uses the table")) self.wrong(error);
  }
}
