/**
 * Nodes of devices that this machine does not have. /dev/null takes their names, in
 * a /sys of the script's own, and the kernel answers as it does for /dev/null.
 */

import {
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { nvmeNamespace } from "../../cmd/nvme/mod.ts";
import { type Probe, UringError } from "../../mod.ts";
import { devNull, pipe } from "../kit/fds.ts";
import { scriptValue, withMounts } from "../kit/run.ts";
import { lacksMounts, testUnless } from "../kit/skip.ts";

/** Runs a script with an empty /sys, where `call` gives /dev/null another name. */
function withOwnSys<T>(script: string): Promise<T> {
  return scriptValue(
    `
    import { Ring } from "@uring/mod.ts";
    import * as nvme from "@uring/cmd/nvme/mod.ts";
    import * as scsi from "@uring/cmd/scsi/mod.ts";
    import { open } from "@uring/sys/file.ts";
    import { objection } from "@uring/tests/attack/hostile/surroundings.ts";
    const FOLDER = "/sys/dev/char/1:3";
    const call = (name) => {
      Deno.mkdirSync(FOLDER, { recursive: true });
      Deno.writeTextFileSync(FOLDER + "/uevent", "MAJOR=1\\nDEVNAME=" + name);
    };
    ${script}`,
    ["-A"],
    withMounts("mount -t tmpfs tmpfs /sys"),
  );
}

/** Probes with a /dev that holds only what the shell commands of `setup` make. */
function probeOf(setup: string): Promise<Probe> {
  return scriptValue(
    `
    import { probe } from "@uring/mod.ts";
    console.log(JSON.stringify(probe()));
  `,
    ["--allow-ffi"],
    withMounts(`mount -t tmpfs tmpfs /dev; mknod /dev/null c 1 3; ${setup}`),
  );
}

const test = (name: string, fn: () => Promise<void>) =>
  testUnless(lacksMounts(), name, fn);

test("a node that is no NVMe namespace is refused, with the one that is", async () => {
  const [none, disk, part, controller, odd] = await withOwnSys<string[]>(`
    const fd = open("/dev/null");
    const answers = [objection(() => nvme.nvmeNamespace(fd))];
    for (const name of ["nvme0n1", "nvme10n2p3", "nvme1", "ng0"]) {
      call(name);
      answers.push(objection(() => nvme.nvmeNamespace(fd)));
    }
    console.log(JSON.stringify(answers));
  `);
  assertMatch(
    none,
    /^TypeError: fd \d+ is no device\. Open the node of an NVMe/,
  );
  assertMatch(disk, /is \/dev\/nvme0n1\. .* beside it, \/dev\/ng0n1\.$/);
  assertMatch(part, /is \/dev\/nvme10n2p3\. .* beside it, \/dev\/ng10n2\.$/);
  assertMatch(
    controller,
    /is \/dev\/nvme1\. That is the controller: .*ng1n1\.$/,
  );
  assertMatch(odd, /is \/dev\/ng0\. Open the node of an NVMe namespace/);
});

test("a namespace that does not answer is refused", async () => {
  const message = await withOwnSys<string>(`
    call("ng0n1");
    const answer = objection(() => nvme.nvmeNamespace(open("/dev/null")));
    console.log(JSON.stringify(answer));
  `);
  assertMatch(message, /^UringError: ioctl ID on fd \d+: ENOTTY/);
});

Deno.test("a file that is no device, or not open, is no NVMe namespace", () => {
  using none = devNull();
  using ends = pipe();
  for (const [fd, what] of [[none.fd, "/dev/null"], [ends.left, "no device"]]) {
    const { message } = assertThrows(
      () => nvmeNamespace(fd as number),
      TypeError,
    );
    assertStringIncludes(message, `is ${what}. Open the node of an NVMe`);
  }
  none.close();
  const error = assertThrows(() => nvmeNamespace(none.fd), UringError);
  assertEquals([error.op, error.code], ["fstat", "EBADF"]);
});

test("SCSI commands go to a bsg node, and a descriptor for reading sends only those that read", async () => {
  const answers = await withOwnSys<Record<string, string>>(`
    const ring = Ring.open({ sqe128: true, cqe32: true });
    const reading = open("/dev/null");
    const writing = open("/dev/null", 2);
    const ask = (fd, command = scsi.testUnitReady(fd)) =>
      objection(() => ring.cmdSync(command));
    // The major number of bsg devices is not known yet.
    const unknown = ask(reading);
    call("sda");
    const disk = ask(reading);
    Deno.mkdirSync(FOLDER + "/device");
    Deno.writeTextFileSync(FOLDER + "/device/scsi_level", "7");
    const scsiDisk = ask(reading);
    call("bsg/0:0:0:0");
    const changing = ask(reading, scsi.synchronizeCache(reading));
    const changed = ask(writing, scsi.synchronizeCache(writing));
    call("null");
    const known = ask(reading); // Its major number was seen.
    console.log(JSON.stringify({ unknown, disk, scsiDisk, changing, changed, known }));
  `);
  // /dev/null answers 0 to any command, which is GOOD from a device.
  assertEquals([answers.unknown, answers.changed, answers.known], [
    "none",
    "none",
    "none",
  ]);
  assertMatch(answers.disk, /but \/dev\/sda\. Open one such as \/dev\/bsg/);
  assertMatch(answers.scsiDisk, /but \/dev\/sda\. .* `ls .*1:3\/device\/bsg`/);
  assertMatch(answers.changing, /open for reading only, and SCSI SYNCHRONIZE/);
});

test("the probe asks every node whose name is that of a device, and no other", async () => {
  const { families } = await probeOf(`
    mkdir /dev/bsg
    mknod /dev/ng1n1 c 1 3
    ln -s /nowhere /dev/nvme1
    mknod /dev/nvme1n1 c 1 3
    mknod /dev/bsg/1:0:0:0 c 1 3
  `);
  const names = Object.keys(families).filter((name) =>
    /^(NVMe|SCSI) /.test(name)
  );
  assertEquals(names, [
    "NVMe /dev/ng1n1",
    "NVMe /dev/nvme1",
    "SCSI /dev/bsg/1:0:0:0",
  ]);
  const { available, reason } = families["NVMe /dev/nvme1"]!;
  assertEquals(available, "unknown");
  assertMatch(reason, /^there is no file to try: ENOENT$/);
  assertEquals(families["block DISCARD"], {
    available: "unknown",
    reason: "no block device was found",
  });
});

test("the probe reports block devices that may not be opened, or have no commands", async () => {
  // A device of another kind with the name of a disk has no such handler.
  const { families: other } = await probeOf("mknod /dev/sda c 1 8");
  assertEquals(other["block DISCARD"]?.available, "no");
  const { families: denied } = await probeOf(
    "mknod /dev/sda c 1 8; mount -o remount,nodev /dev",
  );
  assertEquals(denied["block DISCARD"], {
    available: "unknown",
    reason: "/dev/sda cannot be opened by this user",
  });
  assertEquals(denied["/dev/null"]?.available, "unknown");
});
