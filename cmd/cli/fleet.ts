/** The health of all NVMe drives of this machine, in one round. */

import type { Ring } from "../../ring/ring.ts";
import { close, openat } from "../op.ts";
import { listDirectory, readText } from "../../sys/file.ts";
import { type SmartLog, smartLog } from "../nvme/mod.ts";
import { driveRing } from "./device.ts";

/** A controller, as the kernel describes it in /sys. */
export interface Controller {
  /** The name, such as `nvme0`. */
  readonly name: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  readonly transport: string;
  readonly namespaces: readonly Namespace[];
}

/** A namespace, as the kernel describes it. */
export interface Namespace {
  /** The name, such as `nvme0n1`. */
  readonly name: string;
  readonly byteLength: number;
  readonly blockSize: number;
}

/** The health of a controller; an error if there is none. */
export interface Health {
  readonly controller: Controller;
  readonly health: SmartLog | null;
  /** Why there is none. */
  readonly error: string;
}

/** Finds the controllers, sorted by number. */
export function controllers(): Controller[] {
  const names = listDirectory(
    "/sys/class/nvme",
    (name) => /^nvme\d+$/.test(name),
  );
  if (typeof names === "number") return [];
  return names.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)))
    .map((name) => {
      const fact = (file: string) =>
        readText(`/sys/class/nvme/${name}/${file}`) ?? "";
      return {
        name,
        model: fact("model"),
        serial: fact("serial"),
        firmware: fact("firmware_rev"),
        transport: fact("transport"),
        namespaces: namespacesOf(name),
      };
    });
}

function namespacesOf(controller: string): Namespace[] {
  // With multipath, the folder of a controller has nvme0c0n1 for nvme0n1.
  const found = listDirectory(
    `/sys/class/nvme/${controller}`,
    (name) => /^nvme\d+(c\d+)?n\d+$/.test(name),
  );
  if (typeof found === "number") return [];
  const names = new Set(found.map((name) => name.replace(/c\d+n/, "n")));
  return [...names]
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map((name) => ({
      name,
      byteLength: Number(readText(`/sys/block/${name}/size`) ?? 0) * 512,
      blockSize: Number(
        readText(`/sys/block/${name}/queue/logical_block_size`) ?? 512,
      ),
    }));
}

/**
 * Asks drives for their health, again and again. The nodes stay open, and a drive
 * that does not answer does not hold up the others.
 */
export class Fleet {
  readonly #ring: Ring;
  /** The descriptor of each controller's node, by name. */
  readonly #open = new Map<string, number>();
  /** Controllers whose last command has not ended. */
  readonly #hanging = new Set<string>();
  readonly #timeoutMs: number;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#ring = driveRing();
  }

  /** Asks all controllers of this moment at once. */
  async health(): Promise<Health[]> {
    const found = controllers();
    const names = new Set(found.map(({ name }) => name));
    for (const name of [...this.#open.keys()]) {
      if (!names.has(name)) await this.#forget(name);
    }
    return await Promise.all(found.map((each) => this.#ask(each)));
  }

  async #ask(controller: Controller): Promise<Health> {
    const { name } = controller;
    if (this.#hanging.has(name)) {
      const error = "the drive has not answered the last command yet";
      return { controller, health: null, error };
    }
    try {
      let fd = this.#open.get(name);
      if (fd === undefined) {
        fd = await this.#ring.cmd(openat(`/dev/${name}`));
        this.#open.set(name, fd);
      }
      // Cancelling does not end what a drive has begun: so the answer is left alone.
      const answer = this.#ring.cmd(smartLog(fd));
      this.#hanging.add(name);
      const settled = () => this.#hanging.delete(name);
      answer.then(settled, settled);
      const health = await this.#inTime(answer);
      if (health !== null) return { controller, health, error: "" };
      const error = `no answer in ${this.#timeoutMs} ms`;
      return { controller, health, error };
    } catch (thrown) {
      await this.#forget(name);
      const error = thrown instanceof Error ? thrown.message : String(thrown);
      return { controller, health: null, error };
    }
  }

  async #inTime(answer: Promise<SmartLog>): Promise<SmartLog | null> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.#timeoutMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #forget(name: string): Promise<void> {
    const fd = this.#open.get(name);
    if (fd === undefined || this.#hanging.has(name)) return;
    this.#open.delete(name);
    await this.#ring.cmd(close(fd)).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.#open.keys()]) await this.#forget(name);
    // A drive that hangs keeps its command, which the end of the process ends.
    if (this.#hanging.size > 0) this.#ring.unref();
    else await this.#ring.close();
  }
}
