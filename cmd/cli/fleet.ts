/** The health of all NVMe drives of this machine, in one round. */

import { Ring } from "../../ring/ring.ts";
import { close, openat } from "../op.ts";
import {
  type Drive,
  listDrives,
  type SmartLog,
  smartLog,
} from "../nvme/mod.ts";

/** The health of a controller; an error if there is none. */
export interface Health {
  readonly drive: Drive;
  readonly health: SmartLog | null;
  /** The reason why there is none. */
  readonly error: string;
}

/**
 * Asks drives for their health, again and again. The nodes stay open, and a drive
 * that does not answer does not hold up the others.
 */
export class Fleet {
  readonly #ring: Ring;
  /** The descriptor of each controller's node, by path. */
  readonly #open = new Map<string, number>();
  /** Controllers whose last command has not ended. */
  readonly #hanging = new Set<string>();
  readonly #timeoutMs: number;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#ring = Ring.open({ drive: true });
  }

  /** Asks all controllers of this moment at once. */
  async health(): Promise<Health[]> {
    const found = listDrives();
    const paths = new Set(found.map(({ path }) => path));
    for (const path of [...this.#open.keys()]) {
      if (!paths.has(path)) await this.#forget(path);
    }
    return await Promise.all(found.map((each) => this.#ask(each)));
  }

  async #ask(drive: Drive): Promise<Health> {
    const { path } = drive;
    if (this.#hanging.has(path)) {
      const error = "the drive has not answered the last command yet";
      return { drive, health: null, error };
    }
    try {
      let fd = this.#open.get(path);
      if (fd === undefined) {
        fd = await this.#ring.cmd(openat(path));
        this.#open.set(path, fd);
      }
      // Cancelling does not end what a drive has begun: so the answer is left alone.
      const answer = this.#ring.cmd(smartLog(fd));
      this.#hanging.add(path);
      const settled = () => this.#hanging.delete(path);
      answer.then(settled, settled);
      const health = await this.#inTime(answer);
      if (health !== null) return { drive, health, error: "" };
      const error = `no answer in ${this.#timeoutMs} ms`;
      return { drive, health, error };
    } catch (thrown) {
      await this.#forget(path);
      const error = thrown instanceof Error ? thrown.message : String(thrown);
      return { drive, health: null, error };
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

  async #forget(path: string): Promise<void> {
    const fd = this.#open.get(path);
    if (fd === undefined || this.#hanging.has(path)) return;
    this.#open.delete(path);
    await this.#ring.cmd(close(fd)).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of [...this.#open.keys()]) await this.#forget(path);
    // A drive that hangs keeps its command, which the end of the process ends.
    if (this.#hanging.size > 0) this.#ring.unref();
    else await this.#ring.close();
  }
}
