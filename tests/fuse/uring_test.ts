/** FUSE over io_uring, and mounts that a Worker serves, in guests: what is special. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { testUnless } from "../kit/skip.ts";
import { sleep, until } from "../kit/wait.ts";
import { ENABLE, isMounted, missing, missingUring, ok } from "./guest.ts";
import { serve, sh, start } from "./guest.ts";

const uring = { transport: "io_uring" };

testUnless(
  missingUring,
  "if the kernel refuses the entries, requests are read from /dev/fuse",
  () =>
    serve("memory", async ({ dir, line, status }) => {
      assertMatch(
        await line("mounted"),
        /by read\(2\), .*: the kernel refused io_uring with EINVAL/,
      );
      await ok(`cd ${dir}; cp /bin/busybox x; cmp x /bin/busybox; rm x`);
      await ok(`umount ${dir}`);
      await line("finished");
      assertEquals((await status).code, 0);
    }, { options: { ...uring, refused: true } }),
);

testUnless(
  missing,
  "where FUSE over io_uring is off, how says so",
  async () => {
    await sh(`echo N >${ENABLE}`);
    try {
      await serve("hello", async ({ dir, line }) => {
        assertMatch(
          await line("mounted"),
          /requests by read\(2\), .*: FUSE over io_uring (is off|needs Linux)/,
        );
        assertEquals(await ok(`cat ${dir}/hello.txt`), "hello, world");
      }, { options: uring });
    } finally {
      await sh(`echo Y >${ENABLE}`);
    }
  },
);

testUnless(
  missingUring,
  "without a ring of its own, the transport is classic",
  async () => {
    try {
      await serve("hello", async ({ dir, line }) => {
        assertMatch(await line("mounted"), /ppoll.*: io_uring is not there/);
        assertEquals(await ok(`cat ${dir}/hello.txt`), "hello, world");
      }, { options: { ...uring, withoutRing: true } });
    } finally {
      await ok("echo 0 >/proc/sys/kernel/io_uring_disabled");
    }
  },
);

testUnless(
  missing,
  "the main thread may wait for a mount that a Worker serves",
  () =>
    serve("memory", async ({ dir, line, status }) => {
      assertEquals(await line("read:"), "read: export default 7;");
      assertEquals(
        await line("blocking:"),
        "blocking: 7 from the mount busybox,module.ts 17",
      );
      assertEquals(await line("told:"), "told: false");
      assertEquals(await line("requests:"), "requests: true");
      await ok(`umount ${dir}`);
      assertMatch(await line("finished"), /"inFlight":0/);
      assertEquals((await status).code, 0);
    }, { options: { worker: true, blocking: true, told: true } }),
);

testUnless(
  missing,
  "a program that lets go of its mount ends, and nothing is left",
  () =>
    serve("memory", async ({ dir, status }) => {
      assertEquals((await status).code, 0);
      await until(() => !isMounted(dir));
    }, { options: { worker: true, unref: true } }),
);

testUnless(
  missing,
  "the end of a Worker by an error ends its mount, and all who wait",
  () =>
    serve("crash", async ({ dir, line, status }) => {
      const reading = sh(`busybox cat ${dir}/throw`, 20);
      assertMatch(
        await line("failed:"),
        /the Worker of the mount is gone: uncaught/,
      );
      // The kernel ends what an entry had with EIO (fuse_uring_entry_teardown()).
      assertMatch((await reading).stderr, /abort|not connected|output error/i);
      assertEquals((await status).code, 0);
      assert(!isMounted(dir));
      await ok("sync", 20);
    }, { options: { worker: true } }),
);

for (
  const [name, options] of [["io_uring", uring], ["in a Worker", {
    worker: true,
  }]] as const
) {
  testUnless(
    missingUring,
    `\`await using\` ends although a handler does not answer: ${name}`,
    () =>
      serve("slow", async ({ dir, line, status }) => {
        const reading = sh(`busybox cat ${dir}/never`, 30);
        await sleep(1000);
        await ok(`touch ${dir}.dispose`);
        await line("disposed");
        assertMatch((await reading).stderr, /abort|not connected/i);
        assert(!isMounted(dir));
        assertEquals((await status).code, 0);
        await ok("sync", 20);
      }, { options: { ...options, dispose: true } }),
  );
}

testUnless(
  missing,
  "`await using` ends although the Worker is in an endless loop",
  () =>
    serve("crash", async ({ dir, line, status }) => {
      const reading = sh(`busybox cat ${dir}/loop`);
      await sleep(1000);
      await ok(`touch ${dir}.dispose`);
      await line("disposed");
      assertMatch((await reading).stderr, /abort|not connected/i);
      assert(!isMounted(dir));
      assertEquals((await status).code, 0);
      await ok("sync", 20);
    }, { options: { worker: true, dispose: true } }),
);

testUnless(
  missingUring,
  "a server that is killed under load leaves nothing",
  async () => {
    for (let round = 0; round < 5; round++) {
      const dir = await Deno.makeTempDir({ prefix: "fuse-" });
      const served = start("paths", dir, { ...uring });
      await served.line("mounted");
      const load = [1, 2, 3].map((i) =>
        sh(
          `cd ${dir}; while mkdir d${i} && cp /bin/busybox d${i}/x && cat d${i}/x >/dev/null && ls -l . >/dev/null && rm -r d${i}; do :; done`,
          30,
        )
      );
      await sleep(200 + 300 * round);
      served.kill("SIGKILL");
      await until(() => !isMounted(dir));
      for (const { code } of await Promise.all(load)) assert(code !== 137);
      await ok("sync", 20);
      await Deno.remove(dir);
    }
  },
);
