/** The kernel's side of a mount, played by a test: requests as bytes, and replies. */

import { assert, assertEquals } from "@std/assert";
import type { BackingDevice } from "../../cmd/fuse/backing.ts";
import { FuseRequest } from "../../cmd/fuse/request.ts";
import { type AnyNode, Server } from "../../cmd/fuse/server.ts";
import { Session, type SessionOptions } from "../../cmd/fuse/session.ts";
import type { FileSystem, NodeFileSystem } from "../../cmd/fuse/mod.ts";
import { type Paths, pathsOf } from "../../cmd/fuse/paths.ts";
import type { Transport } from "../../cmd/fuse/transport.ts";

const MEMORY = 140_000;
const encoder = new TextEncoder();

/** A reply: the errno, and the payload. */
export interface Reply {
  readonly errno: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Returns little-endian words: a number is 32 bits, a bigint is 64. */
export function words(...values: (number | bigint)[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * values.length));
  let at = 0;
  for (const value of values) {
    if (typeof value === "bigint") {
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
    } else view.setUint32(at, value, true);
    at += typeof value === "bigint" ? 8 : 4;
  }
  return new Uint8Array(view.buffer, 0, at);
}

/** Returns names, each with a zero byte behind it. */
export function names(...texts: string[]): Uint8Array {
  return encoder.encode(texts.map((text) => `${text}\0`).join(""));
}

/** A session whose kernel is the test. */
export class FakeKernel implements Transport {
  readonly name = "classic";
  readonly how = "by a test";
  readonly server: Server;
  readonly session: Session;
  /** What `onError` was told: operation, path and message. */
  readonly told: string[] = [];
  readonly notified: Uint8Array[] = [];
  /** Replies that the kernel no longer wants, by unique. */
  readonly unwanted = new Set<number>();
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #unique = 0;
  readonly #used = new Map<FuseRequest, Uint8Array>();
  readonly #free: FuseRequest[] = [];

  constructor(
    fs: NodeFileSystem<AnyNode>,
    { timeoutMs = 0, negativeTtlMs = 0, flags = [], device, onError }: Partial<
      SessionOptions["wishes"] & {
        timeoutMs: number;
        onError: SessionOptions["onError"];
        negativeTtlMs: number;
        device: BackingDevice;
      }
    > = {},
  ) {
    this.server = new Server(fs, {
      entryTtlMs: 1500,
      attrTtlMs: 250,
      negativeTtlMs,
      directIo: false,
      keepCache: false,
      defaults: { uid: 7, gid: 8, time: 1_000 },
    }, device);
    this.session = new Session(this.server, this, {
      wishes: { flags, maxWrite: 131_072, pageSize: 4096 },
      timeoutMs,
      onError: onError ??
        ((error, op, path) =>
          void this.told.push(`${op} ${path}: ${(error as Error)?.message}`)),
    });
  }

  /** Makes the kernel's side of a path-based filesystem. */
  static ofPaths<H>(
    user: FileSystem<H>,
    options?: ConstructorParameters<typeof FakeKernel>[1],
  ): { kernel: FakeKernel; paths: Paths<H> } {
    const paths = pathsOf(user);
    const kernel = new FakeKernel(
      paths.fs as NodeFileSystem<AnyNode>,
      options,
    );
    paths.known = (node) => kernel.server.nodes.idOf(node) !== 0;
    return { kernel, paths };
  }

  /** The number that the next request gets. */
  get next(): number {
    return this.#unique + 2;
  }

  /** Requests without a reply. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  /** Sends a request. The promise resolves to its one reply. */
  ask(
    opcode: number,
    nodeid: number | bigint,
    ...parts: Uint8Array[]
  ): Promise<Reply> {
    const unique = this.#unique += 2;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#waiting.set(unique, resolve);
    this.#deliver(opcode, unique, nodeid, parts);
    return promise;
  }

  /** Sends a request whose reply is there when this returns. */
  now(
    opcode: number,
    nodeid: number | bigint,
    ...parts: Uint8Array[]
  ): Reply {
    let found: Reply | null = null;
    const unique = this.#unique += 2;
    this.#waiting.set(unique, (reply) => found = reply);
    this.#deliver(opcode, unique, nodeid, parts);
    assert(found !== null, `request ${opcode} was not answered at once`);
    return found;
  }

  /** Sends a request that has no reply. */
  tell(opcode: number, nodeid: number, ...parts: Uint8Array[]): void {
    this.#deliver(opcode, this.#unique += 2, nodeid, parts);
  }

  #deliver(
    opcode: number,
    unique: number,
    nodeid: number | bigint,
    parts: Uint8Array[],
  ): void {
    const request = this.#free.pop() ?? this.#make();
    const memory = this.#used.get(request)!;
    const length = 40 + parts.reduce((sum, part) => sum + part.length, 0);
    // What was there before must not matter.
    memory.fill(0xaa);
    const head = words(length, opcode, BigInt(unique), BigInt(nodeid));
    memory.set(head);
    memory.set(words(1000, 1001, 1002, 0), 24);
    let at = 40;
    for (const part of parts) {
      memory.set(part, at);
      at += part.length;
    }
    request.begin(length);
    if (this.session.receive(request)) this.#free.push(request);
  }

  #make(): FuseRequest {
    const memory = new Uint8Array(MEMORY);
    const request = new FuseRequest({
      head: new DataView(memory.buffer),
      argument: 40,
      input: memory,
      joined: true,
      output: memory.subarray(16),
    });
    this.#used.set(request, memory);
    return request;
  }

  start(): void {}

  agreed(): Promise<void> {
    return Promise.resolve();
  }

  reply(request: FuseRequest, errno: number, byteLength: number): boolean {
    const unique = Number(request.unique);
    const waiting = this.#waiting.get(unique);
    assert(waiting !== undefined, `${unique} is answered twice, or wrongly`);
    assert(errno >= 0 && errno < 512 && byteLength <= MEMORY - 16);
    this.#waiting.delete(unique);
    const bytes = this.#used.get(request)!.slice(16, 16 + byteLength);
    waiting({ errno, bytes, view: new DataView(bytes.buffer) });
    return !this.unwanted.delete(unique);
  }

  free(request: FuseRequest): void {
    assertEquals(this.#free.includes(request), false);
    this.#free.push(request);
  }

  notify(message: Uint8Array): Promise<number> {
    this.notified.push(message);
    return Promise.resolve(0);
  }

  abort(): void {}
  ref(): void {}
  unref(): void {}
}
