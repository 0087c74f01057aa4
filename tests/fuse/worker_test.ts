/** Filesystems of modules, in Workers that are not served: nothing is mounted. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readyInWorker } from "../../cmd/fuse/remote.ts";
import { close } from "../../sys/file.ts";
import { sleep } from "../kit/wait.ts";
import { fakeDevice } from "./fake_device.ts";

const module = (text: string) =>
  new URL(`data:text/javascript,${encodeURIComponent(text)}`);

Deno.test("a Worker loads a filesystem, or what a function returns", async () => {
  for (
    const text of [
      `export default { getattr: () => null }`,
      `export default async (data) => {
        if (data.list[0] !== 1) throw new Error("no data");
        return { getattr: () => null };
      }`,
    ]
  ) {
    const ready = await readyInWorker(module(text), { data: { list: [1] } });
    ready.drop();
  }
});

Deno.test("what is wrong with a module is told before anything is mounted", async () => {
  for (
    const [text, reason] of [
      [`export default 7`, "must export a filesystem by default"],
      [`export const fs = {}`, "must export a filesystem by default"],
      [`export default {}`, "getattr"],
      [
        `export default () => { throw new Error("no database") }`,
        "no database",
      ],
      [`throw new Error("at load")`, "at load"],
      [
        `export default { getattr() {}, init() { throw new Error("in init") } }`,
        "in init",
      ],
      [`import "node:nothing"; export default {}`, "nothing"],
      [
        `export default () => {
          throw Object.assign(Object.create(null), { f() {} });
        }`,
        "{...}",
      ],
      [
        `import { exit } from 'node:process'; exit(0); export default {}`,
        "ended by itself",
      ],
    ]
  ) {
    const error = await assertRejects(
      () => readyInWorker(module(text), {}),
      Error,
    );
    assertEquals(
      error.message.includes(reason),
      true,
      `${text}: ${error.message}`,
    );
  }
});

Deno.test("a signal ends the wait for a module that is never loaded", async () => {
  for (
    const text of [
      `await new Promise(() => setTimeout(() => {}, 1e6)); export default {}`,
      `for (;;); export default {}`,
    ]
  ) {
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error("too slow")), 200);
    const { signal } = abort;
    await assertRejects(
      () => readyInWorker(module(text), { signal }),
      Error,
      "too slow",
    );
  }
});

Deno.test("an option that no message carries is refused", async () => {
  const data = () => {};
  await assertRejects(
    () => readyInWorker(module("export default 1"), { data }),
    Error,
    "could not be cloned",
  );
});

const INIT = 26;
const GETATTR = 3;
const STATFS = 17;
const COUNTS = `let count = 0;
export default {
  getattr: (path) => path === "/" ? { kind: "directory" } : null,
  statfs: async () => {
    if (++count > 2) for (;;);
    await new Promise((resolve) => setTimeout(resolve, 5));
    throw Object.assign(new Error("statfs"), { code: "EDOM" });
  },
}`;

for (const asleep of [false, true]) {
  Deno.test(
    `a Worker answers requests and questions${
      asleep ? ", asleep in between" : ""
    }`,
    async () => {
      const { fd, kernel, send, reply } = fakeDevice();
      const ready = await readyInWorker(module(COUNTS), {
        sleep: asleep,
        transport: "classic",
      });
      const serving = ready.serve(fd);
      send(INIT, 7, 45, 0, 0, 0);
      assertEquals(await reply(), [80, 0]);
      const served = await serving;
      assertMatch(
        served.how,
        asleep ? /asleep in poll.*: as asked/ : /a poll with/,
      );
      for (let i = 0; i < 50; i++) {
        send(GETATTR, 0, 0, 0, 0);
        assertEquals(await reply(), [120, 0]);
      }
      send(STATFS);
      assertEquals(await reply(), [16, 33]);
      send(STATFS);
      assertEquals(await reply(), [16, 33]);
      assertEquals((await served.stats()).requests, 53);
      assertEquals(await served.invalidate("/", {}), true);
      assertEquals((await reply())![0], 40); // The notification.
      send(GETATTR, 0, 0, 0, 0);
      assertEquals(await reply(), [120, 0]);
      served.abort();
      assertEquals(await served.ended, 103);
      assertEquals(await reply(), null); // It is closed.
      assertEquals((await served.stats()).requests, 54);
      assertEquals(await served.invalidate("/", {}), false);
      close(kernel);
    },
  );
}

Deno.test("a Worker in an endless loop is ended", async () => {
  const { fd, kernel, send, reply } = fakeDevice();
  const ready = await readyInWorker(module(COUNTS), { transport: "classic" });
  const serving = ready.serve(fd);
  send(INIT, 7, 45, 0, 0, 0);
  await reply();
  const served = await serving;
  for (let i = 0; i < 2; i++) {
    send(STATFS);
    await reply();
  }
  send(STATFS);
  await sleep(100);
  served.abort();
  assertEquals(await served.ended, 103);
  assertEquals(await reply(), null);
  await assertRejects(() => served.stats(), Error, "it was ended");
  close(kernel);
});

Deno.test("the error that ends a Worker is told, and its descriptor is closed", async () => {
  for (
    const thrown of [
      `setTimeout(() => { throw new Error("the reason") })`,
      `Promise.reject(new Error("the reason"))`,
    ]
  ) {
    const { fd, kernel, send, reply } = fakeDevice();
    const text = `export default { getattr() { ${thrown}; return null } }`;
    const ready = await readyInWorker(module(text), { transport: "classic" });
    const serving = ready.serve(fd);
    send(INIT, 7, 45, 0, 0, 0);
    await reply();
    const served = await serving;
    send(GETATTR, 0, 0, 0, 0);
    await assertRejects(
      () => served.ended,
      Error,
      "the Worker of the mount is gone: the reason",
    );
    while (await reply() !== null);
    close(kernel);
  }
});
