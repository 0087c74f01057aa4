/** Mirrors of directories, mounted in a guest. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { setxattr } from "../../cmd/op.ts";
import { Ring } from "../../mod.ts";
import { testUnless } from "../kit/skip.ts";
import { client, missing, NOBODY, ok, serve, sh } from "./guest.ts";
import { type Served, type Way, WAYS } from "./guest.ts";
import { COMMANDS } from "./commands.ts";

/** The ways that differ in what serves, not in how it waits. */
const SOME = WAYS.filter(({ name }) => !name.startsWith("asleep"));

/** Mirrors a new directory on tmpfs while `use` runs, in each way to serve. */
function onEachWay(
  name: string,
  suffix: "" | "-served",
  use: (served: Served, real: string) => Promise<void>,
  { ways = SOME, files = "" }: { ways?: readonly Way[]; files?: string } = {},
): void {
  for (const way of ways) {
    testUnless(way.missing, `${name}${suffix}: ${way.name}`, async () => {
      const real = await Deno.makeTempDir({ prefix: "real-", suffix });
      await Deno.chmod(real, 0o755);
      const options = { ...way.options, allowOther: true };
      try {
        await serve(
          `passthrough:${real}${files}`,
          (served) => use(served, real),
          { options },
        );
      } finally {
        await ok(`rm -rf ${real}`);
      }
    });
  }
}

const told = ({ lines }: Served) =>
  lines.filter((line) => line.startsWith("told"));

/** Unmounts, and returns what the server has counted. */
async function countsOf({ dir, line }: Served) {
  await ok(`umount ${dir}`);
  return JSON.parse((await line("finished")).slice("finished ".length));
}

for (const suffix of ["", "-served"] as const) {
  const ways = suffix === "" ? WAYS : SOME;
  onEachWay("shell commands work on a mirror", suffix, async (served) => {
    await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
    await ok(`sh /tmp/commands ${served.dir}`, 120);
    assertEquals(told(served), []);
    const { handles, backed } = await countsOf(served);
    assertEquals([handles, backed], [0, 0]);
  }, { ways });

  onEachWay(
    "random changes leave tmpfs and its mirror alike",
    suffix,
    async (served) => {
      const seed = Date.now() % 1_000_000;
      const [a, b] = [`${served.dir}/${seed}`, `/tmp/model-pass-${seed}`];
      await ok(`rm -rf ${b}; mkdir ${a} ${b}`);
      const args = [a, b, `${seed}`, "300", "links", "open"];
      await client("random_client.ts", args, 240);
      assertEquals(told(served), []);
    },
  );

  onEachWay(
    "a mirror's reads and writes need no requests, if the kernel can",
    suffix,
    async (served) => {
      const backed = (await served.line("protocol")).includes("PASSTHROUGH");
      await ok(`cd ${served.dir}
        dd if=/dev/zero of=file bs=4096 count=1000 2>/dev/null
        dd if=file of=/dev/null bs=4096 iflag=direct 2>/dev/null`);
      const { requests } = await countsOf(served);
      assertEquals(requests < 100, backed, `${requests}`);
    },
    { ways: WAYS.slice(0, 1) },
  );
}

onEachWay("the kernel forgets the oldest files of many", "", async (served) => {
  await ok(`cd ${served.dir}; for i in $(seq 100); do echo $i >$i; done
    exec 3<7; cat * >/dev/null
    cat $(seq 100) >/tmp/list; seq 100 | cmp - /tmp/list && [ $(cat <&3) = 7 ]`);
  const { nodes } = await countsOf(served);
  const [major] = (await ok("uname -r")).split(".").map(Number);
  if (major >= 7) assert(nodes < 50, `${nodes} are known`);
}, { ways: WAYS.slice(0, 1), files: ":20" });

onEachWay(
  "what a mirror shows is the file itself",
  "",
  async (served, real) => {
    const { dir } = served;
    await ok(`set -e; cd ${dir}
    umask 0; echo text >a; ln a b; [ "$(stat -c %h b)" = 2 ]; [ a -ef b ]
    [ "$(stat -c '%i %h %Y' a)" = "$(stat -c '%i %h %Y' ${real}/b)" ]
    exec 3<>b; rm a b; echo more >&3; [ "$(cat /proc/self/fd/3)" = more ]
    [ "$(stat -L -c %h /proc/self/fd/3)" = 0 ]; exec 3>&-
    mkfifo -m 622 fifo; [ -p fifo ]; mkdir -m 1777 full; echo >full/x
    [ "$(stat -c %a fifo)" = 622 ]; [ "$(stat -c %a ${real}/full)" = 1777 ]
    ! rmdir full; df . >/dev/null; ln -s /etc/passwd out; [ -L ${real}/out ]
    cp /bin/busybox busybox; ./busybox true
    touch -d '2001-02-03 04:05:06' x
    [ "$(stat -c %Y ${real}/x)" = "$(date -d '2001-02-03 04:05:06' +%s)" ]
    echo one >>log; echo two >>log; [ "$(cat ${real}/log | wc -l)" = 2 ]
    /usr/bin/setpriv --reuid 1 --regid 1 --clear-groups touch full/other
    [ "$(stat -c '%u %g' ${real}/full/other)" = '1 1' ]
    truncate -s 1M sparse; [ "$(stat -c %b sparse)" = 0 ]
    /usr/bin/fallocate -l 8192 room; [ "$(stat -c '%s %b' room)" = '8192 16' ]
    /usr/bin/fallocate -p -l 4096 room; [ "$(stat -c '%s %b' ${real}/room)" = '8192 8' ]
    flock log true; rm -r full fifo busybox x log sparse room out; ls -A`);
    assertEquals(told(served), []);
  },
);

onEachWay("who writes clears set-user-ID bits", "", async ({ dir }, real) => {
  await ok(`set -e; cd ${dir}
    echo >f; chown 1:1 f; chmod 6777 f
    /usr/bin/setpriv --reuid 2 --regid 2 --clear-groups sh -c 'echo more >>f'
    [ "$(stat -c %a f)" = 777 ]; [ "$(stat -c %a ${real}/f)" = 777 ]
    chmod 6777 f; /usr/bin/setpriv --reuid 2 --regid 2 --clear-groups truncate -s 1 f
    [ "$(stat -c %a f)" = 777 ]; chmod 6777 f; chown 3 f
    [ "$(stat -c %a f)" = 777 ]`);
});

testUnless(
  missing,
  "a mirror may be mounted within what it mirrors",
  async () => {
    await ok("mkdir -p /tmp/all/inside && echo text >/tmp/all/file");
    await serve("passthrough:/tmp/all", async ({ dir }) => {
      assertEquals(
        await ok(`cd ${dir}; cat file; echo *`),
        "text\nfile inside",
      );
      const { stderr } = await sh(`busybox ls ${dir}/inside`);
      assertMatch(stderr, /cross-device link/);
      await ok(`cd ${dir}; echo more >>file`);
    }, { dir: "/tmp/all/inside" });
    await ok("mkdir -p /tmp/all/inside");
    await serve("passthrough:/tmp/all", async ({ dir }) => {
      const seen = await ok(`cd ${dir}; cat file; ls`);
      assertEquals(seen, "text\nmore\nfile\ninside");
    }, { dir: "/tmp/all" });
  },
);

/** Returns an access control list of tags, permissions and numbers. */
function aclOf(...entries: number[][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, 2, true);
  entries.forEach(([tag, permission, id], i) => {
    view.setUint16(4 + 8 * i, tag, true);
    view.setUint16(6 + 8 * i, permission, true);
    view.setUint32(8 + 8 * i, id >>> 0, true);
  });
  return new Uint8Array(view.buffer);
}

onEachWay(
  "new files permit what the list of their directory says",
  "",
  async ({ dir }, real) => {
    const list = aclOf([1, 7, -1], [4, 5, -1], [32, 0, -1]);
    await using ring = Ring.open();
    await ring.cmd(setxattr(real, "system.posix_acl_default", list));
    for (const place of [real, dir]) {
      await ok(`umask 0; cd ${place}; echo >f; mkdir d; mknod p p
        stat -c %a f d p >/tmp/modes; rm -r f d p`);
      const modes = await ok("cat /tmp/modes");
      assertEquals(modes.split("\n"), ["640", "750", "640"]);
    }
  },
);

onEachWay(
  "an access control list of a file holds in its mirror",
  "",
  async ({ dir }, real) => {
    const other = [...NOBODY.slice(0, -1), "--groups", "1000"].join(" ");
    await ok(
      `umask 077; cd ${real}; chmod 755 .; echo text >own; echo text >group
      chgrp 1000 own group; chmod 640 own group`,
    );
    // All but the user 65534 of the group may read.
    const value = aclOf(
      ...[[1, 6, -1], [2, 0, 65534], [4, 4, -1], [16, 4, -1], [32, 0, -1]],
    );
    await using ring = Ring.open();
    const name = "system.posix_acl_access";
    await ring.cmd(setxattr(`${real}/own`, name, value));
    for (const place of [real, dir]) {
      assertEquals(await ok(`${other} cat ${place}/group`), "text");
      assertMatch((await sh(`${other} cat ${place}/own`)).stderr, /denied/);
    }
    // As through the mirror.
    await ring.cmd(setxattr(`${dir}/group`, name, value));
    for (const place of [real, dir]) {
      assertMatch((await sh(`${other} cat ${place}/group`)).stderr, /denied/);
    }
  },
);
