/** Handlers that return promises of their own kind. */

import { assertEquals } from "@std/assert";
import type { FileSystem, StatFs } from "../../cmd/fuse/mod.ts";
import { sleep } from "../kit/wait.ts";
import { FakeKernel } from "./fake.ts";

const STATFS = 17;
type Then = (
  done: (value: StatFs) => void,
  failed: (e: unknown) => void,
) => unknown;

/** Answers a statfs(2) with an object that has a method `then`. */
function answering(then: Then): FakeKernel {
  const statfs = () => ({ then }) as unknown as PromiseLike<StatFs>;
  const fs: FileSystem = { getattr: () => ({ kind: "directory" }), statfs };
  return FakeKernel.ofPaths(fs).kernel;
}

async function blocksOf(kernel: FakeKernel): Promise<number> {
  return (await kernel.ask(STATFS, 1)).view.getUint32(0, true);
}

Deno.test("a `then` may return nothing", async () => {
  const kernel = answering((done) => void setTimeout(done, 1, { blocks: 7 }));
  assertEquals(await blocksOf(kernel), 7);
});

Deno.test("a `then` is called once", async () => {
  let calls = 0;
  const kernel = answering((done) => done({ blocks: ++calls }));
  assertEquals(await blocksOf(kernel), 1);
  await sleep(1);
  assertEquals(calls, 1);
});

Deno.test("a `then` that calls back twice is answered once", async () => {
  const kernel = answering((done, failed) => {
    const call = () => {
      done({ blocks: 7 });
      done({ blocks: 8 });
      failed(new Error("too late"));
    };
    setTimeout(call, 1);
    return { then: () => {} };
  });
  assertEquals(await blocksOf(kernel), 7);
  await sleep(5);
  assertEquals(kernel.session.stats().errors, 0);
});

Deno.test("a `then` that throws is EIO, and is told", async () => {
  const kernel = answering(() => {
    throw new Error("no then");
  });
  assertEquals((await kernel.ask(STATFS, 1)).errno, 5);
  assertEquals(kernel.told, ["STATFS /: no then"]);
});
