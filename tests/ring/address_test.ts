/** Lifetimes of the addresses that the kernel gets. */

import {
  assertEquals,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { abandon, give, take } from "../../ring/flight/pool.ts";
import * as raw from "../../ring/raw.ts";
import { E } from "../../sys/uapi/errno.ts";
import { libc } from "../../sys/libc.ts";
import { arenaOf, enterUse, leaveUse } from "../../sys/arena.ts";
import { devNull, pipe, writeSync } from "../kit/fds.ts";
import { mappingCount } from "../kit/process.ts";
import { turn } from "../kit/wait.ts";
import { Page } from "../attack/late/pages.ts";

const { ENOMEM } = E;

/** Returns the address that the kernel gets for memory of alloc(). */
const addressOf = ({ buffer }: Uint8Array) => arenaOf(buffer)!.address;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Returns the mappings of arenas, at their homes and their aliases. */
function shared(): { from: number; to: number }[] {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return [...maps.matchAll(/^(\w+)-(\w+) rw-s/gm)].map(([, from, to]) => ({
    from: parseInt(from, 16),
    to: parseInt(to, 16),
  }));
}

const isShared = (address: number) =>
  shared().some(({ from, to }) => from <= address && address < to);

const sharedBytes = () =>
  shared().reduce((sum, { from, to }) => sum + to - from, 0);

/** Gives addresses to so much memory that idle addresses are released. */
function makeIdle(ring: Ring): void {
  const idle = Array.from({ length: 5000 }, () => ring.alloc(1));
  for (const bytes of idle) addressOf(bytes);
}

Deno.test("idle addresses are released repeatedly", async () => {
  await using ring = Ring.open();
  const idle = Array.from({ length: 16_000 }, () => ring.alloc(1));
  const before = sharedBytes();
  for (const bytes of idle) addressOf(bytes);
  assertLess(sharedBytes() - before, 300 << 20);
});

Deno.test("a lasting address stays, and so do those of blocks while a ring is open", async () => {
  await using last = Ring.open();
  using pair = pipe();
  const ring = Ring.open();
  const memory = ring.alloc(8);
  const block = take(8);
  const left = take(8192);
  const now = () => [raw.addressOf(memory), left.address, block.address];
  const addresses = now();
  abandon(left);
  const [buffer] = ring.registerBuffers([ring.alloc(8)]);
  makeIdle(last);
  assertEquals(now(), addresses);
  writeSync(pair.right, "as ever");
  assertEquals(await ring.cmd(op.read(pair.left, buffer.bytes, { buffer })), 7);
  assertEquals(text(buffer.bytes), "as ever\0");
  await ring.close();
  assertEquals(now(), addresses);
  await last.close();
  assertEquals(addresses.map(isShared), [true, true, false]);
  give(block);
});

Deno.test("closing a ring releases no address that another ring uses", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const bytes = ring.alloc(8);
  const address = addressOf(bytes);
  const read = ring.cmd(op.read(pair.left, bytes));
  await turn();
  await Ring.open().close();
  assertEquals(Page.at(address), null);
  writeSync(pair.right, "it lives");
  assertEquals([await read, text(bytes)], [8, "it lives"]);
});

Deno.test("memory that cannot be mapped is refused, and mapped once that is possible", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const bytes = ring.alloc(8);
  const { submitted } = ring.stats();
  const { symbols, errno } = libc();
  const before = mappingCount();
  const fail = () => {
    errno[0] = ENOMEM;
    return 2n ** 64n - 1n;
  };
  {
    using _full = stub(symbols, "mremap", fail);
    for (let i = 0; i < 100; i++) {
      await assertRejects(
        () => ring.cmd(op.write(file.fd, bytes)),
        RangeError,
        "cannot be mapped: ENOMEM",
      );
    }
  }
  {
    using _full = stub(symbols, "mmap", fail);
    assertThrows(() => ring.alloc(8), RangeError, "cannot be mapped: ENOMEM");
  }
  assertEquals(ring.stats().submitted, submitted);
  assertLess(mappingCount() - before, 50);
  assertEquals(await ring.cmd(op.write(file.fd, bytes)), 8);
});

Deno.test("arenas that are all in use are not scanned at each new one", () => {
  let looks = 0;
  const used = () => (looks++, []);
  enterUse(used);
  const all = Array.from({ length: 6000 }, () => raw.alloc(1));
  for (const bytes of all) raw.addressOf(bytes);
  leaveUse(used);
  assertLess(looks, 4);
});
