/** What becomes of a command that its driver has taken up and does not finish. */

import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { isRoot } from "../kit/process.ts";
import { turn, until } from "../kit/wait.ts";
import { run } from "../kit/run.ts";

async function sh(script: string): Promise<string> {
  const { success, stdout, stderr } = await run("sh", ["-ec", script]);
  if (!success) throw new Error(stderr);
  return stdout.trim();
}

/** A loop device whose file lies on a filesystem that can be frozen. */
class FrozenDisk implements AsyncDisposable {
  readonly #directory: string;
  readonly device: string;
  #frozen = false;

  private constructor(directory: string, device: string) {
    this.#directory = directory;
    this.device = device;
  }

  static async make(): Promise<FrozenDisk> {
    const directory = await Deno.makeTempDir();
    const device = await sh(`cd ${directory}
      truncate -s 64M image && mkfs.ext4 -q image && mkdir mnt
      mount -o loop image mnt
      dd if=/dev/urandom of=mnt/disk bs=1M count=8 status=none
      sync -f mnt
      losetup --find --show mnt/disk`);
    return new FrozenDisk(directory, device);
  }

  /** Nothing that writes to the disk completes from now on. */
  async freeze(): Promise<void> {
    await sh(`fsfreeze -f ${this.#directory}/mnt`);
    this.#frozen = true;
  }

  async thaw(): Promise<void> {
    if (this.#frozen) await sh(`fsfreeze -u ${this.#directory}/mnt`);
    this.#frozen = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.thaw();
    await sh(`losetup -d ${this.device} || true
      umount ${this.#directory}/mnt && rm -r ${this.#directory}`);
  }
}

const missing = isRoot ? "" : " (needs root)";

Deno.test({
  name:
    "a command that a driver holds is waited for: by its promise and by close()" +
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
    // It was aborted in vain, and has its own result.
    assertEquals(outcome, 65536);
    const last = Ring.open();
    await last.cmd(op.close(fd));
    await last.close();
  },
});
