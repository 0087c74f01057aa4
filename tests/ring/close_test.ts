/** Closing a ring while a driver holds one of its commands. */

import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import "../kit/no_watchdogs.ts";
import { isRoot } from "../kit/process.ts";
import { turn, until } from "../kit/wait.ts";
import { run } from "../kit/run.ts";

async function sh(script: string): Promise<string> {
  const { success, stdout, stderr } = await run("sh", ["-ec", script]);
  if (!success) throw new Error(stderr);
  return stdout.trim();
}

/**
 * Undoes what a {@linkcode FrozenDisk} has made, when its standard input ends: so
 * it does when the process of the test is killed. The kernel then takes a moment to
 * close the ring's files.
 */
const JANITOR = `
  cat >/dev/null
  cd "$1"
  fsfreeze -u mnt 2>/dev/null
  losetup -n -O NAME -j mnt/disk | xargs -r losetup -d
  for try in $(seq 100); do
    mountpoint -q mnt || break
    umount mnt 2>/dev/null || sleep 0.1
  done
  cd / && rm -r "$1"
`;

/** A loop device whose file lies on a filesystem that can be frozen. */
class FrozenDisk implements AsyncDisposable {
  readonly #directory: string;
  readonly #janitor: Deno.ChildProcess;
  readonly device: string;

  private constructor(
    directory: string,
    janitor: Deno.ChildProcess,
    device: string,
  ) {
    this.#directory = directory;
    this.#janitor = janitor;
    this.device = device;
  }

  static async make(): Promise<FrozenDisk> {
    const directory = await Deno.makeTempDir();
    // In a session of its own: who kills the test may kill its process group.
    const janitor = new Deno.Command("setsid", {
      args: ["sh", "-c", JANITOR, "janitor", directory],
      stdin: "piped",
    }).spawn();
    const device = await sh(`cd ${directory}
      truncate -s 64M image && mkfs.ext4 -q image && mkdir mnt
      mount -o loop image mnt
      dd if=/dev/urandom of=mnt/disk bs=1M count=8 status=none
      sync -f mnt
      losetup --find --show mnt/disk`);
    return new FrozenDisk(directory, janitor, device);
  }

  /** Holds up every write to the disk until {@linkcode thaw}. */
  async freeze(): Promise<void> {
    await sh(`fsfreeze -f ${this.#directory}/mnt`);
  }

  async thaw(): Promise<void> {
    await sh(`fsfreeze -u ${this.#directory}/mnt`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#janitor.stdin.close();
    const { success } = await this.#janitor.status;
    if (!success) throw new Error(`${this.#directory} is left`);
  }
}

const missing = isRoot ? "" : " (needs root)";

Deno.test({
  name:
    "the promise of a command that a driver holds waits for it, and so does close()" +
    missing,
  ignore: missing !== "",
  async fn() {
    await using disk = await FrozenDisk.make();
    const ring = Ring.open();
    const flags = op.O_RDWR | op.O_DIRECT;
    const fd = await ring.cmd(op.openat(disk.device, { flags }));
    await disk.freeze();

    const abort = new AbortController();
    const warnings: string[] = [];
    using _warn = stub(
      console,
      "warn",
      (text: string) => void warnings.push(text),
    );
    let outcome: unknown = "pending";
    const data = ring.alloc(65536);
    const held = ring.cmd(op.write(fd, data, { offset: 0 }), abort)
      .then((value) => outcome = value, (error) => outcome = error);
    await turn();
    abort.abort();
    const nop = await ring.cmd(op.timeout(50));
    assertEquals(nop, undefined);
    assertEquals(outcome, "pending", "a driver's command cannot be cancelled");

    let closed = false;
    const start = performance.now();
    const closing = ring.close().then(() => closed = true);
    await until(() => warnings.length > 0);
    assertLess(4500, performance.now() - start);
    assertStringIncludes(warnings[0], `WRITE on fd ${fd}`);
    assertEquals([closed, outcome], [false, "pending"]);

    await disk.thaw();
    await held;
    await closing;
    // The abort had no effect: the command has its own result.
    assertEquals(outcome, 65536);
    const last = Ring.open();
    await last.cmd(op.close(fd));
    await last.close();
  },
});
