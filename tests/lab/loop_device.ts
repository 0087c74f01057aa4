/** Loop devices: block devices over files, attached and detached by losetup. */

import { readText } from "../../sys/file.ts";
import { isRoot } from "../kit/process.ts";
import { until } from "../kit/wait.ts";
import { output } from "../kit/run.ts";

/** The options of a {@linkcode LoopDevice}. */
export interface LoopOptions {
  /** Bytes of the device. */
  byteLength: number;
  /** The byte that fills its file. Default: the file is one hole. */
  byte?: number;
  /** Bytes of a logical block. Default 512, at most 4096. */
  sectorSize?: number;
  /** Refuse writes. */
  readOnly?: boolean;
  /** The folder for its file. Default: the folder of temporary files. */
  dir?: string;
}

/** A loop device, which is detached when it goes out of scope. */
export class LoopDevice implements AsyncDisposable {
  /** The device, such as `/dev/loop0`. */
  readonly path: string;
  /** The file that holds its bytes. */
  readonly file: string;
  readonly #folder: string;
  /** The name of that file in /sys while the device is attached. */
  readonly #backing: string | undefined;

  private constructor(path: string, file: string, folder: string) {
    this.path = path;
    this.file = file;
    this.#folder = folder;
    this.#backing = this.#backingNow();
  }

  /** Makes a file, and attaches a loop device to it. */
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

  /** Returns the bytes of the file that are allocated on disk. */
  async allocatedBytes(): Promise<number> {
    using file = await Deno.open(this.file, { write: true });
    await file.sync();
    return (await file.stat()).blocks! * 512;
  }

  /** `true` if the device can discard: its file system has to punch holes. */
  get discards(): boolean {
    const path = `${this.#sys}/queue/discard_max_bytes`;
    return Number(Deno.readTextFileSync(path)) > 0;
  }

  get #sys(): string {
    return `/sys/block/${this.path.replace("/dev/", "")}`;
  }

  #backingNow(): string | undefined {
    return readText(`${this.#sys}/loop/backing_file`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tool("losetup", "--detach", this.path);
    // The device stays attached until its last opener, such as udev, closes it.
    // Then another test may attach the same number to a file of its own.
    await until(() => this.#backingNow() !== this.#backing);
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Runs a program of util-linux, and returns its output. Throws if it fails. */
export async function tool(name: string, ...args: string[]): Promise<string> {
  return (await output(name, args)).trim();
}

/** The missing requirement of a loop device that can discard; empty if none. */
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
