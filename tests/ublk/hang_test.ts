/**
 * The ways to a process that nothing ends, each closed. Were one open, the guest would
 * be lost: so each is a process of its own, with a deadline, and they come last.
 */

import { assert, assertEquals } from "@std/assert";
import { ok, sh } from "../kit/server.ts";
import { testUnless } from "../kit/skip.ts";
import { settles, sleep } from "../kit/wait.ts";
import { device, missing, serve, start } from "./guest.ts";

const write = (path: string) =>
  sh(`dd if=/dev/zero of=${path} bs=4096 count=1 oflag=direct`, 30);

testUnless(
  missing,
  "a disk starts on a file whose reads need workers of the kernel",
  async () => {
    // The root file system of a guest has no reads that do not wait.
    await ok("truncate -s 32M /image");
    await serve("/image", {}, async ({ path, kill, line }) => {
      await ok(`mkfs.ext4 -q ${path}`);
      kill("SIGTERM");
      await line("closed stopped");
    });
  },
);

testUnless(
  missing,
  "SIGKILL ends a process whose disk stops with a request unanswered",
  async () => {
    for (const ms of [0, 100, 210, 300]) {
      await serve("stuck", {}, async ({ path, kill, status }) => {
        const writing = write(path);
        await sleep(500);
        kill("SIGINT"); // Stops by force, with 200 ms for handlers.
        await sleep(ms);
        kill("SIGKILL");
        assert(await settles(status), `after ${ms} ms`);
        assert(await settles(writing));
      });
    }
  },
);

testUnless(
  missing,
  "a disk that is given up with a request unanswered is deleted",
  async () => {
    await serve("stuck", {}, async ({ id, path, kill, line, status }) => {
      const writing = write(path);
      await sleep(500);
      kill("SIGUSR2");
      assertEquals(await line("closed"), "closed aborted");
      assertEquals((await writing).code, 1);
      assertEquals((await status).code, 0);
      assertEquals(await device(id), undefined);
    });
  },
);

for (
  const [kind, what] of [["throws", "throws outside of a handler"], [
    "leaves",
    "ends itself",
  ]]
) {
  testUnless(
    missing,
    `the disk of a Worker that ${what} goes away`,
    async () => {
      const server = await start(kind, { worker: true });
      const writing = write(server.path);
      try {
        assertEquals(await server.line("closed"), "closed aborted");
        assertEquals((await writing).code, 1);
      } finally {
        server.kill("SIGKILL");
      }
      assert(await settles(server.status), "the process does not end");
    },
  );
}

testUnless(
  missing,
  "SIGKILL ends a process with a disk in Workers",
  async () => {
    await serve(
      "memory",
      { worker: true, queues: 2 },
      async ({ path, kill, status }) => {
        const writing = sh(
          `dd if=/dev/zero of=${path} bs=4096 count=5000 oflag=direct`,
          30,
        );
        await sleep(300);
        kill("SIGKILL");
        assert(await settles(status));
        assert(await settles(writing));
      },
    );
  },
);
