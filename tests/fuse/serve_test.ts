/**
 * The mounts that every guest makes: they show that FUSE works on its kernel. The other
 * files of this folder that mount take a guest many minutes.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { testUnless } from "../kit/skip.ts";
import { COMMANDS } from "./commands.ts";
import { isMounted, missing, NOBODY, ok, serve, sh } from "./guest.ts";
import { EACH, killedServersOn, onWays } from "./ways.ts";

onWays(
  EACH,
  "the hello world is read, and ends with umount",
  "hello",
  async ({ dir, line, status }, way) => {
    assertMatch(await line("mounted"), /by fsopen; /);
    assertMatch(await line("mounted"), way.how);
    assertEquals(
      await ok(`cat ${dir}/hello.txt; ls ${dir}`),
      [
        "hello, world",
        "hello.txt",
      ].join("\n"),
    );
    assertMatch(
      await ok(`stat -c '%a %F %s %u %g' ${dir}/hello.txt`),
      /^644/,
    );
    const { stderr } = await sh(`cat ${dir}/nothing; echo >${dir}/new`);
    assertMatch(stderr, /nothing.*No such file/);
    assertMatch(stderr, /new.*Read-only file system/);
    await ok(`umount ${dir}`);
    assertMatch(
      await line("finished"),
      /"inFlight":0,"nodes":\d,"handles":0/,
    );
    assertEquals((await status).code, 0);
  },
);

onWays(
  ["classic", "io_uring"],
  "shell commands work on files in memory",
  "memory",
  async ({ dir, lines }) => {
    await Deno.writeTextFile("/tmp/commands", `set -ex\n${COMMANDS}`);
    await ok(`sh /tmp/commands ${dir}`, 120);
    assertEquals(lines.filter((line) => line.startsWith("told")), []);
    await ok(`umount ${dir}`);
  },
);

testUnless(missing, "an ordinary user mounts with fusermount3", async () => {
  await ok("mkdir -p /tmp/user && chown 65534 /tmp/user && chmod 755 /uring");
  await serve("memory", async ({ dir, line, lines, status, kill }) => {
    assertMatch(await line("mounted"), /by fusermount3/);
    const user = NOBODY.join(" ");
    await ok(`cd /; ${user} sh -c 'echo text >${dir}/file && cat ${dir}/file'`);
    assertMatch(await ok(`${user} stat -c '%u %a' ${dir}`), /^65534 755$/);
    // Root is another user, too.
    assertMatch((await sh(`ls ${dir}`)).stderr, /Permission denied/);
    kill("SIGTERM");
    await line("finished");
    assertEquals((await status).code, 0, lines.join("\n"));
    assert(!isMounted(dir));
  }, { dir: "/tmp/user", prefix: [...NOBODY, "env", "DENO_DIR=/tmp/nobody"] });
});

killedServersOn(["classic", "io_uring"]);
