/**
 * The disks that every guest serves: they show that ublk works on its kernel. The other
 * files of this folder that serve take a guest many minutes.
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  BlockError,
  type BlockErrorCode,
  deleteDevice,
  type Disk,
  memoryTarget,
  serve as serveHere,
  serveInWorker,
  type ServeOptions,
  type Target,
} from "../../cmd/ublk/mod.ts";
import { ok, sh } from "../kit/server.ts";
import { testUnless } from "../kit/skip.ts";
import { sleep } from "../kit/wait.ts";
import { device, exercise, isThere, missing } from "./guest.ts";
import { MOUNT, reaches, serve, start, taint } from "./guest.ts";

const MiB = 1 << 20;

/** Serves in this process while `use` runs. Nothing is left of it. */
async function disk(
  target: Target,
  use: (disk: Disk) => Promise<void>,
  options?: ServeOptions,
): Promise<void> {
  const before = taint();
  const disk = await serveHere(target, options);
  try {
    await use(disk);
  } finally {
    await disk.stop({ force: true, graceMs: 100 });
  }
  assertEquals(await device(disk.id), undefined);
  assertEquals(taint(), before, "the kernel has a warning");
}

const direct = (
  path: string,
  what: "read" | "write",
  block: number,
  count = 1,
) =>
  what === "read"
    ? sh(
      `dd if=${path} of=/tmp/out iflag=direct bs=4096 skip=${block} count=${count}`,
    )
    : sh(
      `dd if=/dev/zero of=${path} oflag=direct bs=4096 seek=${block} count=${count}`,
    );

testUnless(
  missing,
  "mkfs, mount and fsck are content with ten lines",
  async () => {
    const bytes = new Uint8Array(64 * MiB);
    await disk({
      size: bytes.length,
      read({ offset, length }, into) {
        into.set(bytes.subarray(offset, offset + length));
      },
      write: ({ offset }, data) => bytes.set(data, offset),
    }, async (disk) => {
      await exercise(disk.path);
      assert((await disk.stats()).requests > 100);
      await disk.stop();
      assertEquals(await disk.closed, "stopped");
      assert(!isThere(disk.path));
    });
  },
);

testUnless(
  missing,
  "a program gets the errors of handlers, and short answers whole",
  async () => {
    const told: unknown[] = [];
    const codes = ["EIO", "ENOSPC", "EOPNOTSUPP", "ETIMEDOUT", "ENODATA"];
    const memory = memoryTarget(MiB);
    const before = new Uint8Array(8192).map((_, i) => i / 512 + 1);
    await disk({
      ...memory,
      blockSize: 512,
      async read(request, into) {
        const block = Math.floor(request.offset / 4096);
        if (block < 100) return memory.read(request, into);
        if (block < 105) {
          throw new BlockError(codes[block - 100] as BlockErrorCode);
        }
        await sleep(1);
        if (block === 105) throw new Error("odd");
        if (block === 106) return -1;
        if (block === 107) return 512 * 2 ** 40; // More than was asked for.
        into.set(before.subarray(0, 512));
        return 700; // Of which 512 are whole.
      },
    }, async ({ path }) => {
      for (let block = 100; block < 107; block++) {
        const { code, stderr } = await direct(path, "read", block);
        assertEquals(code, 1);
        assertMatch(
          stderr,
          [
            /Input\/output/,
            /No space/,
            /not supported/,
            /timed out/,
            /No data/,
            /Input\/output/,
            /Input\/output/,
          ][block - 100],
        );
      }
      await ok(
        `dd if=${path} of=/tmp/out iflag=direct bs=4096 skip=107 count=1`,
      );
      await ok(
        `dd if=${path} of=/tmp/out iflag=direct bs=4096 skip=108 count=1`,
      );
      const read = await Deno.readFile("/tmp/out");
      assertEquals(read.filter((byte) => byte === 1).length, 4096);
    }, {
      onError: (error, op) => told.push(`${op}: ${error}`),
      partitionScan: undefined,
    });
    assertEquals(told[0], "read: Error: odd");
    assertMatch(
      String(told[1]),
      /must return nothing, or how many of 4096 bytes/,
    );
    assertEquals(told.length, 2);
  },
);

testUnless(
  missing,
  "what takes too long is answered, and its handler aborted",
  async () => {
    const aborted: string[] = [];
    const late: Uint8Array[] = [];
    const memory = memoryTarget(MiB);
    await disk({
      ...memory,
      read(request, into) {
        if (request.offset < MiB / 2) return memory.read(request, into);
        const { signal } = request;
        late.push(into);
        return new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            aborted.push(String(signal.reason));
            // It is late, and its memory is not that of the next request.
            setTimeout(() => resolve(void into.fill(255)), 300);
          })
        );
      },
    }, async ({ path }) => {
      const { stderr } = await direct(path, "read", 200);
      assertMatch(stderr, /timed out/);
      assertMatch(aborted[0], /TimeoutError/);
      for (let i = 0; i < 80; i++) {
        await ok(`dd if=${path} of=/tmp/out iflag=direct bs=4096 count=1`);
        assert((await Deno.readFile("/tmp/out")).every((byte) => byte === 0));
        if (late[0][0] === 255) break;
      }
      assertEquals(late[0][0], 255);
    }, { timeoutMs: 200 });
  },
);

testUnless(missing, "a mounted disk is not stopped but by force", async () => {
  await disk(memoryTarget(32 * MiB), async (disk) => {
    await ok(`mkfs.ext4 -q ${disk.path} && mkdir -p ${MOUNT}`);
    await ok(`mount ${disk.path} ${MOUNT} && echo text >${MOUNT}/file`);
    await assertRejects(() => disk.stop(), Deno.errors.Busy, "open or mounted");
    await ok(`sync; cat ${MOUNT}/file`);
    await disk.stop({ force: true });
    assertEquals(await disk.closed, "stopped");
    await ok(`umount ${MOUNT}`);
  });
});

for (const way of ["stop", "abort"] as const) {
  testUnless(
    missing,
    `with ${way}, a program whose handler never answers gets EIO`,
    async () => {
      const memory = memoryTarget(MiB);
      const asked = Promise.withResolvers<AbortSignal>();
      await disk({
        ...memory,
        write({ signal }) {
          asked.resolve(signal);
          return new Promise(() => {});
        },
      }, async (disk) => {
        const writing = direct(disk.path, "write", 3);
        const signal = await asked.promise;
        if (way === "abort") disk.abort();
        else await disk.stop({ force: true, graceMs: 100 });
        assertMatch(
          (await writing).stderr,
          /Input\/output error|No such device/,
        );
        assertEquals(await disk.closed, way === "stop" ? "stopped" : "aborted");
        assertEquals(signal.aborted, way === "stop");
        assert(!isThere(disk.path));
      });
    },
  );
}

testUnless(
  missing,
  "the thread that serves may use its disk through open()",
  async () => {
    await disk(memoryTarget(MiB), async (disk) => {
      const data = new Uint8Array(10_000).fill(7);
      {
        await using file = await disk.open();
        assertEquals(await file.write(data, 5000), data.length);
      }
      await using file = await disk.open();
      const into = new Uint8Array(data.length);
      await file.read(into, 5000);
      assertEquals(into, data);
    });
  },
);

testUnless(
  missing,
  "queues in Workers serve a program that waits for its own disk",
  async () => {
    const before = taint();
    const shared = new SharedArrayBuffer(64 * MiB);
    const module = new URL("./module.ts", import.meta.url);
    const disk = await serveInWorker(module, {
      data: { shared, kind: "memory" },
      queues: 2,
    });
    await exercise(disk.path);
    new Uint8Array(shared).fill(7, 0, 4096);
    {
      using file = Deno.openSync(disk.path, { read: true, write: true });
      const into = new Uint8Array(4096);
      file.readSync(into);
      assertEquals(into[4095], 7);
      file.writeSync(new Uint8Array(8192).fill(9));
      // It is closed here with dirty pages.
    }
    assertEquals(new Uint8Array(shared)[4096], 9);
    assert((await disk.stats()).requests > 100);
    await disk.stop();
    assertEquals(await device(disk.id), undefined);
    assertEquals(taint(), before);
  },
);

testUnless(
  missing,
  "a killed server leaves a dead device, which can be deleted",
  async () => {
    await serve("stuck", {}, async ({ id, path, pid, kill }) => {
      const live = await device(id);
      assertEquals([live!.state, live!.pid, live!.path], ["live", pid, path]);
      await assertRejects(
        () => deleteDevice(id),
        Deno.errors.Busy,
        `process ${pid}`,
      );
      const writing = direct(path, "write", 3);
      await sleep(500);
      kill("SIGKILL");
      assertMatch((await writing).stderr, /Input\/output error|No such device/);
      await reaches(id, "dead");
      await deleteDevice(id);
      assertEquals(await device(id), undefined);
    });
  },
);

testUnless(
  missing,
  "a disk with recovery outlives its server: no write fails",
  async () => {
    await ok("truncate -s 64M /tmp/image");
    const options = { recovery: "requeue" };
    await serve("/tmp/image", options, async ({ id, path, kill, status }) => {
      await ok(
        `mkfs.ext4 -q ${path} && mkdir -p ${MOUNT} && mount ${path} ${MOUNT}`,
      );
      await ok(`head -c 2457600 /dev/urandom >/tmp/source`);
      const writing = sh(
        `dd if=/tmp/source of=${MOUNT}/file bs=4096 oflag=direct`,
      );
      await sleep(1000);
      kill("SIGKILL");
      await status;
      await reaches(id, "quiesced");
      await assertRejects(
        () => deleteDevice(id),
        Deno.errors.Busy,
        "recover()",
      );
      const next = await start("/tmp/image", { recovers: id });
      const { code, stderr } = await writing;
      assertEquals(code, 0, stderr);
      await ok(
        `cmp /tmp/source ${MOUNT}/file; umount ${MOUNT}; fsck.ext4 -fn ${path}`,
      );
      next.kill("SIGTERM");
      assertEquals(await next.line("closed"), "closed stopped");
      assertEquals((await next.status).code, 0);
    });
  },
);
