/** Mounts in a guest: what other processes see, and how a mount ends. Takes minutes. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { COMMANDS } from "./commands.ts";
import { hasLinux, testUnless } from "../kit/skip.ts";
import { settles, until } from "../kit/wait.ts";
import { client, isMounted, missing, NOBODY, ok, serve } from "./guest.ts";
import { sh, start, watched, WAYS } from "./guest.ts";
import { killedServersOn, onWays } from "./ways.ts";

for (
  const [kind, ways] of [
    ["memory", ["in a Worker"]],
    ["paths", ["in a Worker", "asleep in poll"]],
    ["async", ["classic", "io_uring", "asleep"]],
  ] as const
) {
  onWays(
    ways,
    `shell commands work on a filesystem: ${kind}`,
    kind,
    async ({ dir, lines }) => {
      await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
      await ok(`sh /tmp/commands ${dir}`, 120);
      assertEquals(lines.filter((line) => line.startsWith("told")), []);
      await ok(`umount ${dir}`);
    },
  );
}

onWays(
  ["io_uring", "asleep"],
  "memory() has hard links, attributes and unlinked files",
  "memory",
  async ({ dir }) => {
    await ok(`set -e; cd ${dir}
      echo text >a; ln a b; [ "$(stat -c %h b)" = 2 ]; [ a -ef b ]
      exec 3<>b; rm a b; echo more >&3; [ "$(cat /proc/self/fd/3)" = more ]
      [ "$(stat -L -c %h /proc/self/fd/3)" = 0 ]; exec 3>&-
      mkfifo fifo; [ -p fifo ]; mkdir full; echo >full/x; ! rmdir full
      [ "$(stat -c %h .)" = 3 ]; df . | grep -q deno; sync -f . || sync
      cp /bin/busybox busybox; ./busybox true; rm -r full fifo busybox; ls -A`);
  },
);

for (
  const [kind, features, steps, ways] of [
    ["memory", ["links", "open"], 500, ["classic", "asleep"]],
    ["paths", [], 300, ["io_uring", "in a Worker"]],
    ["async", [], 150, ["classic", "asleep in poll"]],
  ] as const
) {
  onWays(
    ways,
    `random changes leave tmpfs and ${kind} alike`,
    kind,
    async ({ dir, lines }) => {
      for (const seed of [1, Date.now() % 1_000_000]) {
        const [a, b] = [`${dir}/${seed}`, `/tmp/model-${kind}-${seed}`];
        await ok(`rm -rf ${b}; mkdir ${a} ${b}`);
        const args = [a, b, `${seed}`, `${steps}`, ...features];
        await client("random_client.ts", args, 240);
      }
      assertEquals(lines.filter((line) => line.startsWith("told")), []);
    },
  );
}

onWays(
  ["classic", "asleep"],
  "each error of a handler reaches the caller, and no other",
  "errors",
  async ({ dir, line, lines }) => {
    for (
      const [name, message] of [
        ["ENOTEMPTY", "Directory not empty"],
        ["code", "Invalid cross-device link"],
        ["NotFound", "No such file"],
        ["unknown", "Input/output error"],
        ["number", "Input/output error"],
        ["null", "Input/output error"],
      ]
    ) {
      const { stderr } = await sh(`busybox cat ${dir}/${name}`);
      assert(stderr.includes(message), `${name}: ${stderr}`);
    }
    // A Worker tells it by a message.
    await line("told OPEN /null");
    assertEquals(lines.filter((line) => line.startsWith("told")), [
      "told OPEN /unknown: the reason",
      "told OPEN /number: 17",
      "told OPEN /null: null",
    ]);
  },
);

onWays(
  ["io_uring"],
  "a wrong number of bytes is no longer than what was asked for",
  "slow",
  async ({ dir, line }) => {
    assertEquals(await ok(`cat ${dir}/many`), "A".repeat(13));
    assertMatch(
      (await sh(`busybox cat ${dir}/negative`)).stderr,
      /Input\/output error/,
    );
    assertMatch(await line("told"), /told READ \/negative: .* returned -1/);
  },
);

onWays(
  ["classic", "io_uring", "asleep", "asleep in poll"],
  "a signal to the caller aborts the handler's signal",
  "slow",
  async ({ dir, line }) => {
    const reading = sh(
      `timeout -s TERM 2 busybox cat ${dir}/interrupted`,
      20,
    );
    assertMatch(await line("interrupted by"), /got a signal/);
    assertEquals((await reading).code === 137, false);
  },
);

onWays(
  ["classic", "io_uring", "asleep", "asleep in poll"],
  "a handler that never answers is answered for",
  "slow",
  async ({ dir, line }) => {
    const { stderr } = await sh(`busybox cat ${dir}/never`, 20);
    assertMatch(stderr, /Input\/output error/);
    assertMatch(await line("told"), /READ \/never: No answer after 500 ms/);
  },
  { timeoutMs: 500 },
);

testUnless(missing, "every refusal is explained", async (t) => {
  const refused = async (
    dir: string,
    reason: RegExp,
    { options = {}, prefix = [] as string[], setup = "", undo = "" } = {},
  ) => {
    await t.step(`${reason}`, async () => {
      await ok(setup || ":");
      try {
        const served = start("hello", dir, options, prefix);
        assert(await settles(served.status, 60_000));
        const line = await served.line("refused").catch(String);
        assertMatch(line, reason);
      } finally {
        await ok(undo || ":");
      }
    });
  };
  const user = { prefix: [...NOBODY, "env", "DENO_DIR=/tmp/nobody"] };
  await refused("/tmp/nothing", /ENOENT: .* no such directory/);
  await refused("/etc/passwd", /ENOTDIR: .* is no directory/);
  await refused("/tmp", /There is no \/dev\/fuse. In a container/, {
    setup: "mv /dev/fuse /dev/away",
    undo: "mv /dev/away /dev/fuse",
  });
  const own = { setup: "mkdir -p /tmp/own && chown 65534 /tmp/own" };
  await refused("/tmp/own", /EPERM: .*\/dev\/fuse.*chmod 666/, {
    ...user,
    setup: `${own.setup} && chmod 600 /dev/fuse`,
    undo: "chmod 666 /dev/fuse",
  });
  await refused("/tmp/own", /user_allow_other.*leave out/, {
    ...user,
    options: { allowOther: true },
  });
  await refused("/run", /not owned by user.*of this user's own/, user);
  await refused("/tmp/own", /fusermount3 is missing/, {
    ...user,
    setup: "mv /usr/bin/fusermount3 /usr/bin/away",
    undo: "mv /usr/bin/away /usr/bin/fusermount3",
  });
  await refused("/tmp/own", /may not mount. In a container/, {
    prefix: [
      "/usr/bin/setpriv",
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
    ],
  });
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  testUnless(
    missing,
    `${signal} unmounts`,
    () =>
      serve("hello", async ({ dir, kill, line, status }) => {
        kill(signal);
        await line("finished");
        assertEquals((await status).code, 0);
        assert(!isMounted(dir));
      }),
  );
}

for (const { name, options, missing } of WAYS) {
  testUnless(
    missing,
    `a signal that aborts meanwhile unmounts: ${name}`,
    async () => {
      const dir = await Deno.makeTempDir({ prefix: "fuse-" });
      const served = start("hello", dir, { ...options, aborts: true });
      await watched(served, async ({ status }) => {
        assert(await settles(status, 60_000));
        assertMatch(served.lines.join(), /refused aborted meanwhile|finished/);
        assert(!isMounted(dir));
      });
    },
  );
}

killedServersOn(["asleep", "asleep in poll"]);

for (
  const [end, ways] of [
    ["exit", ["classic", "in a Worker"]],
    ["uncaught error", ["io_uring", "asleep in poll"]],
  ] as const
) {
  onWays(
    ways,
    `the mount of a server that ends by ${end} goes away by itself`,
    "hello",
    async ({ dir, status }) => {
      await ok(`cat ${dir}/hello.txt; touch ${dir}.end`);
      assert((await status).code !== 0);
      await until(() => !isMounted(dir));
    },
    { end },
  );
}

for (
  const [how, command, ways] of [
    ["umount -l", "umount -l $0", ["classic", "asleep"]],
    ["umount -f", "umount -f $0", ["io_uring", "asleep in poll"]],
    [
      "an abort",
      "for i in /sys/fs/fuse/connections/*; do echo 1 >$i/abort; done",
      ["classic", "io_uring", "in a Worker"],
    ],
  ] as const
) {
  onWays(
    ways,
    `${how} ends the server, and nothing is left`,
    "hello",
    async ({ dir, line, status }) => {
      await ok(`cat ${dir}/hello.txt`);
      await ok(command.replaceAll("$0", dir));
      await line("finished");
      assertEquals((await status).code, 0);
      assert(!isMounted(dir));
    },
  );
}

onWays(
  ["classic", "io_uring", "asleep"],
  "`await using` ends although a file is open",
  "memory",
  async ({ dir, line, status }) => {
    await ok(`echo text >${dir}/file`);
    const reading = sh(`exec 3<${dir}/file; touch ${dir}.open; sleep 8`, 30);
    await until(() =>
      Deno.readDirSync("/tmp").some(({ name }) =>
        `/tmp/${name}` === `${dir}.open`
      )
    );
    await ok(`touch ${dir}.dispose`);
    await line("disposed");
    assert(!isMounted(dir));
    assertEquals((await status).code, 0);
    await reading;
  },
  { dispose: true },
);

onWays(
  ["classic", "io_uring", "in a Worker"],
  "`await using` ends although an invalidation waits for a request",
  "stuck",
  async ({ dir, line, status }) => {
    const making = sh(`touch ${dir}/new`, 60); // It has a lock of the directory.
    await line("creating");
    await ok(`touch ${dir}.dispose`);
    await line("disposed");
    assertMatch((await making).stderr, /abort|not connected/);
    assertEquals((await status).code, 0);
    assert(!isMounted(dir));
  },
  { dispose: true, invalidates: "/other" },
);

onWays(
  ["classic"],
  "a mount takes no other away that lies over it",
  "hello",
  async ({ dir, line, status }) => {
    assertMatch(await line("below: "), /another mount lies over it/);
    await line("finished");
    assertEquals((await status).code, 0);
    assert(!isMounted(dir));
  },
  { stacked: true },
);

for (const way of WAYS.filter(({ options }) => !options.worker)) {
  testUnless(
    way.missing,
    `the kernel drops and takes what it is told to: ${way.name}`,
    () =>
      serve("changing", async ({ dir, line }) => {
        assertEquals(await ok(`cat ${dir}/file; cat ${dir}/file`), "11");
        await ok(`touch ${dir}.invalidate`);
        assertEquals(await line("invalidate:"), "invalidate: true, false");
        assertEquals(await ok(`cat ${dir}/file; stat -c %Y ${dir}/file`), "22");
        await ok(`touch ${dir}.store`);
        assertEquals(await line("store:"), "store: true, false");
        assertEquals(await ok(`cat ${dir}/file`), "S");
      }, { options: { ...way.options, keepCache: true, entryTtlMs: 1e9 } }),
  );
}

onWays(
  ["classic", "io_uring"],
  "the process itself may read by Deno.readFile",
  "hello",
  async ({ line }) => {
    assertEquals(await line("self:"), "self: hello, world");
  },
  { self: true },
);

testUnless(
  missing || (hasLinux(6, 6) ? "" : "Linux 6.6 or later"),
  "without io_uring, a thread of the pool waits",
  async () => {
    try {
      await serve("memory", async ({ dir, line, status }) => {
        assertMatch(await line("mounted"), /waiting by ppoll/);
        await ok(`cd ${dir} && cp /bin/busybox x && cmp x /bin/busybox; rm x`);
        await ok(`umount ${dir}`);
        await line("finished");
        assertEquals((await status).code, 0);
      }, { options: { withoutRing: true } });
    } finally {
      await ok("echo 0 >/proc/sys/kernel/io_uring_disabled");
    }
  },
);

testUnless(
  missing || (await hasGit() ? "" : "git"),
  "git clones into a mount, and finds nothing wrong",
  () =>
    serve("memory", async ({ dir }) => {
      await ok(
        `set -e; export HOME=/tmp; cd /tmp; rm -rf origin; mkdir origin
        cd origin; git init -q .; git config --global user.email a@b; git config --global user.name n
        for i in $(seq 50); do echo $i >f$i; done; git add .; git commit -qm one
        git clone -q /tmp/origin ${dir}/clone; cd ${dir}/clone; git fsck
        echo more >>f1; git commit -qam two; git gc -q; git status --short
        [ "$(git diff --name-only HEAD~1)" = f1 ]; cmp f2 /tmp/origin/f2; git fsck`,
        240,
      );
    }),
);

async function hasGit(): Promise<boolean> {
  return (await sh("git --version")).code === 0;
}
