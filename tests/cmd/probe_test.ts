/** The probe: what it leaves behind, and what it says of this machine. */

import {
  assertArrayIncludes,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import { probe } from "../../mod.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import * as unistd from "../../sys/uapi/unistd.ts";
import { refuse } from "../kit/refuse.ts";
import { scriptValue, withMounts } from "../kit/run.ts";
import { lacksMounts, testUnless } from "../kit/skip.ts";

/** Runs `probe()` five times, and prints how many descriptors are open then. */
const COUNTS = `
  import { probe } from "@uring/mod.ts";
  import { openDescriptors } from "@uring/sys/file.ts";
  const counts = [];
  const named = Object.keys(probe().families).length; // Also opens libc.
  for (let i = 0; i < 5; i++) {
    probe();
    await new Promise((resolve) => setTimeout(resolve)); // Rings close.
    counts.push(openDescriptors().length);
  }
  console.log(JSON.stringify({ counts, named }));
`;

interface Counts {
  counts: number[];
  named: number;
}

/** Runs the script, perhaps through a program. */
function count(prefix?: string[]): Promise<Counts> {
  return scriptValue(COUNTS, ["--allow-ffi", "--allow-read"], prefix);
}

/** Deno may open two of its own meanwhile. A leak would be of one for each probe. */
function assertLeavesNone(counts: number[]): void {
  assertLess(counts[4] - counts[0], 4);
}

Deno.test("the probe leaves no descriptor open", async () => {
  const { counts, named } = await count();
  assertGreater(named, 5);
  assertLeavesNone(counts);
});

testUnless(
  lacksMounts(),
  "the probe closes the nodes of devices that it has asked",
  async () => {
    const { counts, named } = await count(withMounts(`
      mount -t tmpfs tmpfs /dev
      mknod /dev/null c 1 3; mknod /dev/sda c 1 8; mkdir /dev/bsg
      for node in ng0n1 ng1n1 bsg/0:0:0:0; do mknod /dev/$node c 1 3; done
    `));
    assertGreater(named, 8);
    assertLeavesNone(counts);
  },
);

Deno.test("each answer of the probe has a reason, unless it is yes", () => {
  const { families, fuse, refused } = probe();
  assertEquals(refused, null);
  const answers = [...Object.entries(families), ...Object.entries(fuse)];
  for (const [name, answer] of answers) {
    const { available, reason } = answer!;
    if (available !== "yes") assertNotEquals(reason, "", name);
  }
});

testUnless(
  lacksMounts(),
  "the probe says why nothing can be mounted, and what to do",
  async () => {
    /** Returns the reasons after each of some steps. */
    const reasons = (setup: string, ...steps: string[]) => {
      const script = `
        import { probe } from "@uring/mod.ts";
        import * as hostile from "@uring/tests/attack/hostile/surroundings.ts";
        const found = [];
        probe(); // Whatever it loads, it loads as root.
        ${
        steps.map((step) => `${step}\nfound.push(probe().fuse.mount.reason)`)
          .join("\n")
      }
        console.log(JSON.stringify(found));
      `;
      const dev = "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3";
      const prefix = withMounts(`${dev}; mount -t tmpfs tmpfs /run; ${setup}`);
      return scriptValue<string[]>(script, undefined, prefix);
    };
    const node = (mode: number, minor: number) =>
      `mknod -m ${mode} /dev/fuse c 10 ${minor}; mkdir -p /run/wrappers/bin; ` +
      "touch /run/wrappers/bin/fusermount3";
    const nobody = "hostile.becomeNobody();";
    const [missing] = await reasons(":", "");
    assertMatch(missing, /no \/dev\/fuse. In a container, start/);
    const [closed] = await reasons(node(600, 229), nobody);
    assertMatch(closed, /may not open \/dev\/fuse. As root: `chmod/);
    assertMatch((await reasons(node(666, 250), ""))[0], /no FUSE: `modprobe/);
    assertEquals(await reasons(node(666, 229), "", nobody), [
      ...["by this process, as root", "with fusermount3"],
    ]);
    const { __NR_x86_64, __NR_aarch64 } = unistd;
    const { fsopen } = Deno.build.arch === "x86_64"
      ? __NR_x86_64
      : __NR_aarch64;
    const forbid = (errno: number) => `hostile.forbid(${fsopen}, ${errno});`;
    const [eperm, enodev, enosys, bound] = await reasons(
      node(666, 229),
      ...[forbid(E.EPERM), forbid(E.ENODEV), forbid(E.ENOSYS), nobody],
    );
    assertMatch(eperm, /may not mount. In a container, start/);
    assertMatch(enodev, /kernel has no FUSE/);
    assertEquals(enosys, "fsopen: ENOSYS");
    assertMatch(bound, /no privilege here \(no_new_privs\)/);
  },
);

Deno.test("where the kernel lists no setup flags, the probe finds them by trying each", () => {
  const listed = probe().setupFlags;
  using _older = refuse(
    ["io_uring_register"],
    E.EINVAL,
    uapi.IORING_REGISTER_QUERY,
  );
  const { setupFlags } = probe();
  // What needs memory or another ring is not tried, nor what kernels without the
  // list never have.
  const untried = [
    ...["NO_MMAP", "ATTACH_WQ", "REGISTERED_FD_ONLY"],
    "SQ_REWIND",
  ];
  assertEquals(setupFlags, listed.filter((flag) => !untried.includes(flag)));
  for (const flag of ["CQSIZE", "SUBMIT_ALL", "COOP_TASKRUN"]) {
    assertArrayIncludes(setupFlags, [flag]);
  }
});
