/** Filesystems of modules, in Workers that are not served: nothing is mounted. */

import { assertEquals, assertRejects } from "@std/assert";
import { readyInWorker } from "../../cmd/fuse/remote.ts";

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

Deno.test("an option that no message carries is refused", async () => {
  const data = () => {};
  await assertRejects(
    () => readyInWorker(module("export default 1"), { data }),
    Error,
    "could not be cloned",
  );
});
