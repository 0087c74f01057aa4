/** Loop devices: block devices over files, made and removed with losetup. */

import { isRoot } from "../kit/process.ts";
import { until } from "../kit/wait.ts";
import { run } from "../kit/run.ts";

/** What a {@linkcode LoopDevice} is made with. */
export interface LoopOptions {
  /** Bytes of the device. */
  byteLength: number;
  /** What its file is filled with; without it, the file is one hole. */
  byte?: number;
  /** Bytes of a logical block: 512, or more. */
  sectorSize?: number;
  /** Refuse writes. */
  readOnly?: boolean;
  /** Where its file is made. Default: where temporary files are. */
  dir?: string;
}

/** A loop device, which is removed when it goes out of scope. */
export class LoopDevice implements AsyncDisposable {
  /** The device, such as `/dev/loop0`. */
  readonly path: string;
  /** The file behind it. */
  readonly file: string;
  readonly #folder: string;

  private constructor(path: string, file: string, folder: string) {
    this.path = path;
    this.file = file;
    this.#folder = folder;
  }

  static async make(options: LoopOptions): Promise<LoopDevice> {
    const { byteLength, byte, sectorSize, readOnly, dir } = options;
    const folder = await Deno.makeTempDir({ dir });
    try {
      const path = `${folder}/disk`;
      using file = await Deno.open(path, { write: true, createNew: true });
      await file.truncate(byteLength);
      if (byte !== undefined) {
        const chunk = new Uint8Array(Math.min(byteLength, 1 << 20)).fill(byte);
        for (let at = 0; at < byteLength; at += chunk.length) {
          await file.write(chunk.subarray(0, byteLength - at));
        }
        await file.sync();
      }
      const args = ["--find", "--show"];
      if (sectorSize) args.push("--sector-size", String(sectorSize));
      if (readOnly) args.push("--read-only");
      const device = await tool("losetup", ...args, path);
      return new LoopDevice(device, path, folder);
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }

  /** Bytes of the file that are not a hole. */
  async allocatedBytes(): Promise<number> {
    using file = await Deno.open(this.file, { write: true });
    await file.sync();
    return (await file.stat()).blocks! * 512;
  }

  /** Whether the device can discard, which its file system has to help with. */
  get discards(): boolean {
    const path = `${this.#sys}/queue/discard_max_bytes`;
    return Number(Deno.readTextFileSync(path)) > 0;
  }

  get #sys(): string {
    return `/sys/block/${this.path.replace("/dev/", "")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tool("losetup", "--detach", this.path);
    // Whoever has it open still, such as udev, keeps it until then.
    await until(() => !exists(`${this.#sys}/loop/backing_file`));
    await Deno.remove(this.#folder, { recursive: true });
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** What a program of util-linux prints. It has to succeed. */
export async function tool(name: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await run(name, args);
  if (!success) throw new Error(`${name} ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

/** What is missing for a loop device that can discard; empty if nothing is. */
export const missing: string = await missingHere();

async function missingHere(): Promise<string> {
  if (!isRoot) return "root";
  try {
    await using device = await LoopDevice.make({ byteLength: 1 << 20 });
    if (device.discards) return "";
    return "file system that punches holes";
  } catch {
    return "loop devices";
  }
}
