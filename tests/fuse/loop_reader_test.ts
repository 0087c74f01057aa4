/** Requests that the event loop reads by itself: nothing is mounted. */

import { assertEquals, assertMatch } from "@std/assert";
import { readyHere } from "../../cmd/fuse/here.ts";
import type { FileSystem } from "../../cmd/fuse/mod.ts";
import { close } from "../../sys/file.ts";
import { until } from "../kit/wait.ts";
import { fakeDevice } from "./fake_device.ts";

const [GETATTR, STATFS, INIT] = [3, 17, 26];

/** Serves a filesystem whose `statfs` waits until it is told. */
async function serve() {
  const waiting: (() => void)[] = [];
  const device = fakeDevice();
  const fs: FileSystem = {
    getattr: (path) => path === "/" ? { kind: "directory" } : null,
    statfs: async () => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { blocks: waiting.length };
    },
  };
  const ready = await readyHere(fs, { transport: "classic" });
  const serving = ready.serve(device.fd);
  device.send(INIT, 7, 45, 0, 0, 0);
  assertEquals(await device.reply(), [80, 0]);
  return { ...device, waiting, served: await serving };
}

Deno.test("the event loop reads requests, alone and many at a time", async () => {
  const { kernel, send, reply, served } = await serve();
  assertMatch(served.how, /by read\(2\), waiting in the event loop: as asked/);
  for (let i = 0; i < 200; i++) {
    const many = i % 7 === 0 ? 5 : 1;
    for (let j = 0; j < many; j++) send(GETATTR, 0, 0, 0, 0);
    for (let j = 0; j < many; j++) assertEquals(await reply(), [120, 0]);
  }
  served.abort();
  assertEquals(await served.ended, 103);
  assertEquals(await reply(), null); // It is closed.
  close(kernel);
});

Deno.test("a request whose handler waits keeps its memory", async () => {
  const { kernel, send, reply, waiting, served } = await serve();
  for (let i = 1; i <= 20; i++) {
    send(STATFS);
    await until(() => waiting.length === i);
    send(GETATTR, 0, 0, 0, 0);
    assertEquals(await reply(), [120, 0]);
  }
  assertEquals((await served.stats()).inFlight, 20);
  for (const go of waiting) go();
  for (const _ of waiting) assertEquals(await reply(), [96, 0]);
  send(GETATTR, 0, 0, 0, 0);
  assertEquals(await reply(), [120, 0]);
  served.abort();
  assertEquals(await served.ended, 103);
  assertEquals(await reply(), null);
  close(kernel);
});
