/** Mirrors of directories, mounted in a guest. */

import { assertEquals, assertMatch } from "@std/assert";
import { testUnless } from "../kit/skip.ts";
import { client, ok, serve, type Served, WAYS } from "./guest.ts";
import { COMMANDS } from "./commands.ts";

/** Tests with a mirror of a new directory on tmpfs, in each way to serve. */
function onEachWay(
  name: string,
  suffix: "" | "-served",
  use: (served: Served, real: string) => Promise<void>,
): void {
  for (const way of WAYS) {
    testUnless(way.missing, `${name}${suffix}: ${way.name}`, async () => {
      const real = await Deno.makeTempDir({ prefix: "real-", suffix });
      const options = { ...way.options, allowOther: true };
      try {
        await serve(
          `passthrough:${real}`,
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

for (const suffix of ["", "-served"] as const) {
  onEachWay("shell commands work on a mirror", suffix, async (served) => {
    await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
    await ok(`sh /tmp/commands ${served.dir}`, 120);
    assertEquals(told(served), []);
    await ok(`umount ${served.dir}`);
    assertMatch(await served.line("finished"), /"handles":0,"backed":0/);
  });

  onEachWay(
    "random changes leave tmpfs and its mirror alike",
    suffix,
    async (served) => {
      for (const seed of [1, Date.now() % 1_000_000]) {
        const [a, b] = [`${served.dir}/${seed}`, `/tmp/model-pass-${seed}`];
        await ok(`rm -rf ${b}; mkdir ${a} ${b}`);
        const args = [a, b, `${seed}`, "300", "links", "open"];
        await client("random_client.ts", args, 240);
      }
      assertEquals(told(served), []);
    },
  );
}

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
    touch -d '2001-02-03 04:05:06.123456789' x
    [ "$(stat -c %y ${real}/x | cut -c 1-29)" = '2001-02-03 04:05:06.123456789' ]
    echo one >>log; echo two >>log; [ "$(cat ${real}/log | wc -l)" = 2 ]
    setpriv --reuid 1 --regid 1 --clear-groups touch full/other
    [ "$(stat -c '%u %g' ${real}/full/other)" = '1 1' ]
    truncate -s 1M sparse; [ "$(stat -c %b sparse)" = 0 ]
    fallocate -l 8192 room; [ "$(stat -c '%s %b' room)" = '8192 16' ]
    fallocate -p -l 4096 room; [ "$(stat -c '%s %b' ${real}/room)" = '8192 8' ]
    flock log true; rm -r full fifo busybox x log sparse room out; ls -A`);
    assertEquals(told(served), []);
  },
);

onEachWay("who writes clears set-user-ID bits", "", async ({ dir }, real) => {
  await ok(`set -e; cd ${dir}
    echo >f; chown 1:1 f; chmod 6777 f
    setpriv --reuid 2 --regid 2 --clear-groups sh -c 'echo more >>f'
    [ "$(stat -c %a f)" = 777 ]; [ "$(stat -c %a ${real}/f)" = 777 ]
    chmod 6777 f; setpriv --reuid 2 --regid 2 --clear-groups truncate -s 1 f
    [ "$(stat -c %a f)" = 777 ]; chmod 6777 f; chown 3 f
    [ "$(stat -c %a f)" = 777 ]`);
});
