/** What a disk can do, and what judges who know nothing of it say. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import * as ublk from "../../cmd/ublk/mod.ts";
import { examplesOf, writeExample } from "../fuse/examples.ts";
import { exists } from "../kit/exists.ts";
import { launchDeno, ok, sh } from "../kit/server.ts";
import { testUnless } from "../kit/skip.ts";
import { sleep } from "../kit/wait.ts";
import { device, exercise, isThere, lacks, missing, MOUNT } from "./guest.ts";
import { reaches, serve, start, taint } from "./guest.ts";

const MiB = 1 << 20;

/** A disk with all that a target can have. */
const whole = (size: number): ublk.Target => ({
  ...ublk.memoryTarget(size),
  fua: true,
  flush() {},
});

/** Serves in this process while `use` runs. Nothing is left of it. */
async function disk(
  target: ublk.Target,
  use: (disk: ublk.Disk) => Promise<void>,
  options?: ublk.ServeOptions,
): Promise<void> {
  const before = taint();
  const disk = await ublk.serve(target, options);
  try {
    await use(disk);
  } finally {
    await disk.stop({ force: true, graceMs: 100 });
  }
  assertEquals(await device(disk.id), undefined);
  assertEquals(taint(), before, "the kernel has a warning");
}

/** Returns the package of a program that is not there. */
const without = (program: string, name: string) =>
  missing ||
  (exists(`/usr/sbin/${program}`) || exists(`/usr/bin/${program}`)
    ? ""
    : `the package ${name}`);

const JUDGES:
  readonly (readonly [name: string, missing: string, run: string])[] = [
    [
      "btrfs",
      missing,
      `
    mkfs.btrfs -q $D && mount $D $M && head -c 30000000 /dev/urandom >$M/file
    btrfs scrub start -B $M | grep -q 'no errors found'
    umount $M && btrfs check $D`,
    ],
    [
      "badblocks",
      missing,
      `
    [ -z "$(badblocks -w -b 4096 $D 2048 2>&1 | grep -v Testing)" ]`,
    ],
    [
      "discard",
      missing,
      `
    mkfs.ext4 -q -E nodiscard $D && mount $D $M && head -c 9000000 /dev/urandom >$M/file
    rm $M/file && fstrim -v $M && umount $M && fsck.ext4 -fn $D
    blkdiscard -f $D
    [ "$(head -c 100000 $D | tr -d '\\0' | wc -c)" = 0 ]`,
    ],
    ["swap", missing, `mkswap $D && swapon $D && swapoff $D`],
    [
      "xfs",
      without("mkfs.xfs", "xfsprogs"),
      `
    mkfs.xfs -q $D && mount $D $M && head -c 30000000 /dev/urandom >$M/file
    umount $M && xfs_repair -n $D`,
    ],
    [
      "dm-linear",
      without("dmsetup", "dmsetup"),
      `
    dmsetup create --noudevsync t --table \\
      "0 $(blockdev --getsz $D) linear $D 0" && dmsetup mknodes
    mkfs.ext4 -q /dev/mapper/t && fsck.ext4 -fn /dev/mapper/t
    dmsetup remove --noudevsync t`,
    ],
    ...["randwrite", "write", "randtrimwrite", "randrw"].map((pattern) =>
      [
        `fio ${pattern}`,
        without("fio", "fio"),
        `
      fio --name=t --filename=$D --rw=${pattern} --bsrange=4k-64k --size=32M \\
        --direct=1 --ioengine=io_uring --iodepth=16 --verify=crc32c \\
        --do_verify=1 --fsync=64 --thread=1`,
      ] as const
    ),
  ];

for (const [name, missing, commands] of JUDGES) {
  testUnless(
    missing,
    `${name} is content`,
    () =>
      disk(whole(320 * MiB), async ({ path }) => {
        await ok(
          `mkdir -p ${MOUNT}; D=${path} M=${MOUNT}; set -e; ${commands}`,
          240,
        );
      }),
  );
}

testUnless(
  missing,
  "the first example works, with the permission that the text names",
  async () => {
    const [code] = await examplesOf("README.md", /\bserve\(/);
    const folder = await Deno.makeTempDir();
    await writeExample(folder, code, {});
    const args = ["--allow-ffi", "--no-prompt", `${folder}/main.ts`];
    const server = launchDeno(args);
    try {
      const [, path] = (await server.line("mkfs.ext4")).split(" ");
      await exercise(path);
      server.kill("SIGINT");
      assertEquals((await server.status).code, 0);
    } finally {
      server.kill("SIGKILL");
    }
  },
);

testUnless(missing, "files and disks are disks", async () => {
  await ok("truncate -s 64M /tmp/image");
  const targets = [
    () => ublk.fileTarget("/tmp/image"),
    () => ublk.fileTarget("/tmp/image", { sync: true }),
    () => ublk.fileTarget("/dev/nullb0", { direct: true }),
  ];
  for (const make of targets.slice(0, exists("/dev/nullb0") ? 3 : 2)) {
    const target = await make();
    await disk(target, async ({ path, blockSize }) => {
      if (target.size < 2 ** 30) return await exercise(path);
      assertEquals(await ok(`blockdev --getss ${path}`), `${blockSize}`);
      await ok(`dd if=/dev/zero of=${path} bs=64k count=64 oflag=direct`);
    });
  }
  await assertRejects(() => ublk.fileTarget("/tmp"), Error);
  await assertRejects(() => ublk.fileTarget("/dev/null"), TypeError, "regular");
});

testUnless(missing, "what was flushed survives a loss of power", async () => {
  const bytes = new Uint8Array(64 * MiB);
  const faulty = ublk.faultyTarget(ublk.memoryTarget(bytes));
  await ok("head -c 3000000 /dev/urandom >/tmp/source");
  await disk(faulty, async (disk) => {
    const { path } = disk;
    await ok(
      `mkfs.ext4 -q ${path} && mkdir -p ${MOUNT} && mount ${path} ${MOUNT}`,
    );
    await ok(
      `dd if=/tmp/source of=${MOUNT}/kept conv=fsync; cp /tmp/source ${MOUNT}/lost`,
    );
    assert(faulty.unflushed >= 0);
    faulty.loseCache();
    await disk.stop({ force: true });
    await ok(`umount ${MOUNT}`);
  });
  await disk(ublk.memoryTarget(bytes), async ({ path }) => {
    await ok(
      `mount ${path} ${MOUNT} && cmp /tmp/source ${MOUNT}/kept; umount ${MOUNT}`,
    );
    await ok(`fsck.ext4 -fn ${path}`);
  });
});

testUnless(missing, "a disk without write is read-only", async () => {
  const { write: _, ...target } = whole(MiB);
  await disk(target, async ({ path }) => {
    assertEquals(await ok(`blockdev --getro ${path}`), "1");
    assertMatch(
      (await sh(`dd if=/dev/zero of=${path} count=1`)).stderr,
      /not permitted/,
    );
  });
});

testUnless(
  lacks("UPDATE_SIZE"),
  "a disk changes its size while it is used",
  async () => {
    await disk({ ...whole(64 * MiB), size: 32 * MiB }, async (disk) => {
      const { path } = disk;
      await ok(
        `mkfs.ext4 -q ${path} && mkdir -p ${MOUNT} && mount ${path} ${MOUNT}`,
      );
      await disk.resize(64 * MiB);
      assertEquals(disk.size, 64 * MiB);
      assertEquals(await ok(`blockdev --getsize64 ${path}`), `${64 * MiB}`);
      await ok(`umount ${MOUNT}; fsck.ext4 -fn ${path}`);
      await assertRejects(
        () => disk.resize(5000),
        RangeError,
        "multiple of 4096",
      );
    });
  },
);

testUnless(
  missing,
  "two disks of one thread do not wait for each other",
  async () => {
    await disk(
      whole(64 * MiB),
      (one) =>
        disk(whole(64 * MiB), async (other) => {
          await Promise.all([
            ok(`mkfs.ext4 -q ${one.path} && fsck.ext4 -fn ${one.path}`),
            ok(`mkfs.ext4 -q ${other.path} && fsck.ext4 -fn ${other.path}`),
          ]);
          assert(one.id !== other.id);
        }),
    );
  },
);

testUnless(
  missing,
  "a signal ends a program that stops its disk for it",
  async () => {
    await serve("memory", {}, async ({ path, id, kill, line, status }) => {
      kill("SIGTERM");
      assertEquals(await line("closed"), "closed stopped");
      assertEquals((await status).code, 0);
      assertEquals(await device(id), undefined);
      assert(!isThere(path));
    });
  },
);

testUnless(
  missing,
  "a live disk is not recovered, and no other kind of target",
  async () => {
    await ok("truncate -s 32M /tmp/image");
    const options = { recovery: "fail-in-flight" };
    await serve("/tmp/image", options, async ({ id, kill, status }) => {
      const small = ublk.memoryTarget(MiB);
      await assertRejects(
        () => ublk.recover(id, small),
        TypeError,
        "a size of",
      );
      const lesser = ublk.memoryTarget(32 * MiB);
      await assertRejects(() => ublk.recover(id, lesser), TypeError, "lacks");
      const same = await ublk.fileTarget("/tmp/image");
      await assertRejects(() => ublk.recover(id, same), Error, "EBUSY");
      kill("SIGKILL");
      await status;
      await reaches(id, "quiesced");
      const disk = await ublk.recover(id, await ublk.fileTarget("/tmp/image"));
      await ok(`dd if=${disk.path} of=/dev/null bs=1M count=4 iflag=direct`);
      await disk.stop();
      assertEquals(await disk.closed, "stopped");
    });
  },
);

testUnless(
  lacks("QUIESCE"),
  "a disk is handed over without an error",
  async () => {
    await ok("truncate -s 64M /tmp/image");
    const options = { recovery: "requeue" };
    await serve(
      "/tmp/image",
      options,
      async ({ id, path, kill, line, status }) => {
        const writing = sh(
          `dd if=/dev/zero of=${path} bs=4096 count=1500 oflag=direct`,
        );
        await sleep(500);
        kill("SIGHUP");
        assertEquals(await line("closed"), "closed quiesced");
        assertEquals((await status).code, 0);
        const next = await start("/tmp/image", { recovers: id });
        assertEquals((await writing).code, 0);
        next.kill("SIGTERM");
        assertEquals(await next.line("closed"), "closed stopped");
        await next.status;
      },
    );
  },
);

testUnless(
  lacks("USER_RECOVERY_FAIL_IO"),
  "requests fail while there is no server",
  async () => {
    await serve(
      "memory",
      { recovery: "fail" },
      async ({ id, path, kill, status }) => {
        kill("SIGKILL");
        await status;
        await reaches(id, "failing");
        const { stderr } = await sh(
          `dd if=${path} of=/dev/null bs=4096 count=1 iflag=direct`,
        );
        assertMatch(stderr, /Remote I\/O error|Input\/output/);
      },
    );
  },
);

testUnless(missing, "handlers of a Worker may return promises", async () => {
  const module = new URL("./module.ts", import.meta.url);
  const data = { kind: "async", size: 32 * MiB };
  const disk = await ublk.serveInWorker(module, { data });
  await exercise(disk.path);
  await disk.stop();
});

testUnless(missing, "a module that is no disk is refused", async () => {
  for (
    const [text, reason] of [
      ["export default 7", "must export a function"],
      [
        "export default () => ({})",
        "must be an integer|must have the method read",
      ],
      ["throw new Error('at load')", "at load"],
    ]
  ) {
    const module = new URL(`data:text/javascript,${encodeURIComponent(text)}`);
    const error = await ublk.serveInWorker(module).catch((error) => error);
    assertMatch(String(error), new RegExp(reason));
  }
  assertEquals(await ublk.devices(), []);
});

testUnless(
  missing,
  "another user serves a disk whose nodes root gives",
  async () => {
    await ok(
      "chmod 666 /dev/ublk-control; mkdir -p /tmp/nobody; chmod 777 /tmp/nobody",
    );
    const user = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534"];
    const prefix = [...user, "--clear-groups", "env", "DENO_DIR=/tmp/nobody"];
    // In place of udev.
    const giving = sh(
      "for i in $(seq 400); do chown 65534 /dev/ublkc0 2>/dev/null; sleep 0.05; done",
      60,
    );
    const server = await start("memory", { unprivileged: true }, prefix);
    assertEquals((await device(server.id))?.uid, 65534);
    await ok(`mkfs.ext4 -q ${server.path}`);
    server.kill("SIGTERM");
    assertEquals(await server.line("closed"), "closed stopped");
    await server.status;
    await giving;
    assertEquals(await ublk.devices(), []);
  },
);
