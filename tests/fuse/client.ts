/** A program that uses a filesystem by paths, on a fake kernel without a cache. */

import { assertEquals } from "@std/assert";
import type { NodeFileSystem } from "../../cmd/fuse/mod.ts";
import type { AnyNode } from "../../cmd/fuse/server.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { FakeKernel, names, type Reply, words } from "./fake.ts";

const [LOOKUP, SETATTR, READLINK, MKDIR, UNLINK] = [1, 4, 5, 9, 10];
const [RMDIR, RENAME, OPEN, READ, WRITE] = [11, 12, 14, 15, 16];
const [RELEASE, FSYNC, FLUSH, OPENDIR, READDIR] = [18, 20, 25, 27, 28];
const [RELEASEDIR, CREATE] = [29, 35];
const CHUNK = 65_536;

/** The attributes that tests look at. */
export interface Attributes {
  readonly mode: string;
  readonly size: number;
  readonly mtime: number;
}

/** An open file: its node, and its handle. */
export interface Open {
  readonly node: number;
  readonly fh: number;
}

const encoder = new TextEncoder();
const low = (value: number) => words(BigInt(value), 0n, 0, 0, 0n, 0, 0);
const range = (fh: number, offset: number, size: number) =>
  words(BigInt(fh), BigInt(offset), size, 0, 0n, 0, 0);

/** Makes requests as the kernel does. A refusal is an error with the errno's name. */
export class Client {
  readonly kernel: FakeKernel;

  constructor(readonly fs: NodeFileSystem<AnyNode>) {
    this.kernel = new FakeKernel(fs);
  }

  /** Gets the filesystem ready as `mount` does. */
  static async of(fs: NodeFileSystem<object>): Promise<Client> {
    await fs.init?.();
    return new Client(fs as NodeFileSystem<AnyNode>);
  }

  async #ask(...args: Parameters<FakeKernel["ask"]>): Promise<Reply> {
    const reply = await this.kernel.ask(...args);
    if (reply.errno === 0) return reply;
    throw new Error(errnoName(reply.errno));
  }

  /** Finds a file, as the kernel does that has forgotten all names. */
  async #find(path: string): Promise<{ node: number; view: DataView }> {
    let node = 1;
    let view: DataView = new DataView(new ArrayBuffer(0));
    for (const name of path.split("/").filter((part) => part !== "")) {
      ({ view } = await this.#ask(LOOKUP, node, names(name)));
      node = Number(view.getBigUint64(0, true));
    }
    return { node, view };
  }

  async #parent(path: string): Promise<[number, string]> {
    const slash = path.lastIndexOf("/");
    const { node } = await this.#find(path.slice(0, Math.max(slash, 0)));
    return [node, path.slice(slash + 1)];
  }

  async stat(path: string): Promise<Attributes> {
    const { view } = await this.#find(path);
    return {
      size: Number(view.getBigUint64(48, true)),
      mtime: Number(view.getBigUint64(80, true)),
      mode: view.getUint32(100, true).toString(8),
    };
  }

  async list(path: string): Promise<string[]> {
    const { node } = await this.#find(path);
    const { view } = await this.#ask(OPENDIR, node, words(0, 0));
    const fh = Number(view.getBigUint64(0, true));
    const found: string[] = [];
    for (let offset = 0;;) {
      const reply = await this.#ask(READDIR, node, range(fh, offset, 4096));
      const { bytes, view } = reply;
      if (bytes.length === 0) break;
      for (let at = 0; at < bytes.length;) {
        offset = Number(view.getBigUint64(at + 8, true));
        const length = view.getUint32(at + 16, true);
        const name = bytes.subarray(at + 24, at + 24 + length);
        found.push(new TextDecoder().decode(name));
        at += 24 + length + 7 & ~7;
      }
    }
    await this.#ask(RELEASEDIR, node, low(fh));
    return found.filter((name) => name !== "." && name !== "..").sort();
  }

  async open(path: string, flags = 0): Promise<Open> {
    const { node } = await this.#find(path);
    const { view } = await this.#ask(OPEN, node, words(flags, 0));
    return { node, fh: Number(view.getBigUint64(0, true)) };
  }

  async create(path: string): Promise<Open> {
    const [parent, name] = await this.#parent(path);
    const args = words(2, 0o644, 0, 0);
    const { view } = await this.#ask(CREATE, parent, args, names(name));
    const node = Number(view.getBigUint64(0, true));
    return { node, fh: Number(view.getBigUint64(128, true)) };
  }

  async read({ node, fh }: Open, at: number, length: number) {
    return (await this.#ask(READ, node, range(fh, at, length))).bytes;
  }

  async write({ node, fh }: Open, at: number, text: string): Promise<void> {
    const bytes = encoder.encode(text);
    const { view } = await this.#ask(
      WRITE,
      node,
      range(fh, at, bytes.length),
      bytes,
    );
    assertEquals(view.getUint32(0, true), bytes.length);
  }

  async flush({ node, fh }: Open): Promise<void> {
    await this.#ask(FLUSH, node, low(fh));
  }

  async fsync({ node, fh }: Open): Promise<void> {
    await this.#ask(FSYNC, node, words(BigInt(fh), 0, 0));
  }

  async release({ node, fh }: Open): Promise<void> {
    await this.#ask(RELEASE, node, words(BigInt(fh), 0, 0, 0n));
  }

  async close(file: Open): Promise<void> {
    await this.flush(file);
    await this.release(file);
  }

  /** Reads a file from its start to its end. */
  async bytesOf(path: string): Promise<Uint8Array> {
    const file = await this.open(path);
    try {
      const parts: Uint8Array[] = [];
      for (let at = 0;;) {
        const bytes = await this.read(file, at, CHUNK);
        parts.push(bytes);
        at += bytes.length;
        if (bytes.length < CHUNK) break;
      }
      return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
    } finally {
      await this.release(file);
    }
  }

  async textOf(path: string): Promise<string> {
    return new TextDecoder().decode(await this.bytesOf(path));
  }

  async linkOf(path: string): Promise<string> {
    const { node } = await this.#find(path);
    return new TextDecoder().decode((await this.#ask(READLINK, node)).bytes);
  }

  /** Writes a file as `cp` does. */
  async put(path: string, text: string): Promise<void> {
    const there = await this.stat(path).catch(() => null);
    if (there !== null) await this.truncate(path, 0);
    const file = there === null
      ? await this.create(path)
      : await this.open(path, 2);
    await this.write(file, 0, text);
    await this.close(file);
  }

  async truncate(path: string, size: number): Promise<void> {
    await this.resize((await this.#find(path)).node, size);
  }

  /** Sets the size of a node, whose name is not looked up. */
  async resize(node: number, size: number): Promise<void> {
    const FATTR_SIZE = 8;
    const args = new DataView(new ArrayBuffer(88));
    args.setUint32(0, FATTR_SIZE, true);
    args.setBigUint64(16, BigInt(size), true);
    await this.#ask(SETATTR, node, new Uint8Array(args.buffer));
  }

  async #name(opcode: number, path: string, ...parts: Uint8Array[]) {
    const [parent, name] = await this.#parent(path);
    await this.#ask(opcode, parent, ...parts, names(name));
  }

  mkdir = (path: string) => this.#name(MKDIR, path, words(0o755, 0));
  rmdir = (path: string) => this.#name(RMDIR, path);

  async unlink(path: string): Promise<void> {
    await this.#find(path);
    await this.#name(UNLINK, path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#find(from);
    const [parent, name] = await this.#parent(from);
    const [newParent, newName] = await this.#parent(to);
    const args = words(BigInt(newParent));
    await this.#ask(RENAME, parent, args, names(name, newName));
  }
}
