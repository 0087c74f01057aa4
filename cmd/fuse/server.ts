/** The state that operations share, and the parts of replies that several have. */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/fuse.ts";
import { type BackingDevice, Backings } from "./backing.ts";
import { pruneMessage } from "./notifications.ts";
import type { FuseRequest } from "./request.ts";
import type { Entry, NodeFileSystem } from "./nodes.ts";
import { type Stat, type StatDefaults, writeAttr } from "./stat.ts";
import { NodeTable, type OpenFile, OpenFiles } from "./table.ts";

const { fuse_entry_out: ENTRY, fuse_attr_out: ATTR } = uapi;
const { fuse_open_out: OPEN } = uapi;
/** Bytes of a `struct fuse_entry_out`. */
export const ENTRY_BYTES = 128;
const ATTR_BYTES = 104;
const OPEN_BYTES = 16;

/** Files that the kernel is asked to forget at once. */
const PRUNED = 512;

/** The properties of a mount that all of its files have. */
export interface ServerOptions {
  /** Milliseconds for which the kernel may keep a name. */
  readonly entryTtlMs: number;
  /** Milliseconds for which the kernel may keep attributes. */
  readonly attrTtlMs: number;
  /** Milliseconds for which the kernel may keep that there is no such name. */
  readonly negativeTtlMs: number;
  /** Reads and writes go past the kernel's cache. */
  readonly directIo: boolean;
  /** An open keeps what the cache has of the file. */
  readonly keepCache: boolean;
  readonly defaults: StatDefaults;
}

/** A file of any filesystem. */
export type AnyNode = object;

/** A file that the kernel has forgotten. */
interface Forgotten {
  readonly id: number;
  readonly time: number;
  /** It was named by a reply that came too late. */
  readonly late: boolean;
}

/** The files and the open files of a mount. */
export class Server {
  readonly nodes: NodeTable<AnyNode>;
  readonly files = new OpenFiles<AnyNode>();
  /** The files that the kernel reads and writes itself; `null` if it cannot. */
  backings: Backings | null;
  /** Files that the kernel has forgotten, in that order. */
  readonly #forgotten: Forgotten[] = [];
  /** Handlers in flight that may return a file, in the order of their beginning. */
  readonly #searches = new Set<number>();
  /** Handlers among them that were answered for, and go on. */
  #late = 0;
  /** Files that were forgotten meanwhile: such a handler may return one of them. */
  readonly #gone = new WeakSet<AnyNode>();
  /** The kernel has not taken the last message to forget files, or never will. */
  #pruning = false;
  /** Counts what the two lists have an order of. */
  #time = 0;
  /** Sends a notification to the kernel. The session sets it. */
  notify: (message: Uint8Array) => Promise<number> = () =>
    Promise.resolve(-E.ENOTCONN);

  constructor(
    readonly fs: NodeFileSystem<AnyNode>,
    readonly options: ServerOptions,
    device: BackingDevice | null = null,
  ) {
    this.backings = device && new Backings(device);
    this.nodes = new NodeTable(fs.root);
  }

  /** Returns the error of an operation that writes and is not there. */
  get unwritable(): number {
    return this.fs.write === undefined ? -E.EROFS : -E.ENOSYS;
  }

  /**
   * Writes a `struct fuse_entry_out` into the payload at byte `at`, and counts the
   * lookup. Returns the type and permission bits.
   */
  putEntryAt(
    request: FuseRequest,
    at: number,
    { node, stat, ttlMs }: Entry<AnyNode>,
  ): number {
    const { outView } = request;
    const { options } = this;
    // What may be refused comes first: then nothing is counted.
    const known = this.nodes.find(node);
    const number = known?.id ?? 0;
    const attr = at + ENTRY.attr.offset;
    const mode = writeAttr(outView, attr, stat, number, options.defaults);
    putTtl(
      request,
      at + ENTRY.entry_valid.offset,
      at + ENTRY.entry_valid_nsec.offset,
      ttlMs ?? options.entryTtlMs,
    );
    putTtl(
      request,
      at + ENTRY.attr_valid.offset,
      at + ENTRY.attr_valid_nsec.offset,
      stat.ttlMs ?? options.attrTtlMs,
    );
    const isNew = number === 0 && (stat.ino === undefined || stat.ino === null);
    const id = this.nodes.enter(node, known);
    if (isNew) request.putU64(attr, id);
    request.putU64(at + ENTRY.nodeid.offset, id);
    request.putU64(at + ENTRY.generation.offset, 0);
    const { maxNodes = Infinity } = this.fs;
    if (this.nodes.size > maxNodes && !this.#pruning) void this.#prune();
    return mode;
  }

  /** Asks the kernel to forget files, once more if they were not enough. */
  async #prune(): Promise<void> {
    this.#pruning = true;
    const message = pruneMessage(this.nodes.rotate(PRUNED));
    // An older kernel is asked once.
    this.#pruning = await this.notify(message) === -E.EINVAL;
  }

  /** Writes the reply that names a file. */
  putEntry(request: FuseRequest, entry: Entry<AnyNode>): number {
    this.putEntryAt(request, 0, entry);
    return ENTRY_BYTES;
  }

  /** Writes the reply that there is no such name. */
  putNoEntry(request: FuseRequest): number {
    const { negativeTtlMs } = this.options;
    if (negativeTtlMs <= 0) return -E.ENOENT;
    request.clear(ENTRY_BYTES);
    const { entry_valid, entry_valid_nsec } = ENTRY;
    const [at, nanosecondsAt] = [entry_valid.offset, entry_valid_nsec.offset];
    putTtl(request, at, nanosecondsAt, negativeTtlMs);
    return ENTRY_BYTES;
  }

  /** Writes the reply with the attributes of a file. */
  putAttr(request: FuseRequest, stat: Stat): number {
    const { nodeid, outView } = request;
    const { defaults, attrTtlMs } = this.options;
    writeAttr(outView, ATTR.attr.offset, stat, nodeid, defaults);
    const { attr_valid, attr_valid_nsec, dummy } = ATTR;
    const ttlMs = stat.ttlMs ?? attrTtlMs;
    putTtl(request, attr_valid.offset, attr_valid_nsec.offset, ttlMs);
    outView.setUint32(dummy.offset, 0, true);
    return ATTR_BYTES;
  }

  /** Opens a file, and writes a `struct fuse_open_out` at byte `at`. */
  putOpen(
    request: FuseRequest,
    at: number,
    node: AnyNode,
    handle: unknown,
    directory: boolean,
  ): number {
    const { directIo, keepCache } = this.options;
    const fh = this.files.add(node, handle, directory);
    request.putU64(at + OPEN.fh.offset, fh);
    let [flags, backing] = [0, 0];
    if (!directory) {
      const find = () => this.fs.backing?.(node, handle);
      try {
        backing = this.backings?.open(node, find) ?? 0;
      } catch (error) {
        this.abandon(fh);
        throw error;
      }
      if (backing > 0) flags |= uapi.FOPEN_PASSTHROUGH;
      else {
        if (directIo) flags |= uapi.FOPEN_DIRECT_IO;
        if (keepCache) flags |= uapi.FOPEN_KEEP_CACHE;
      }
      // Saves a request at each close: Linux 5.16.
      if (this.fs.flush === undefined) flags |= uapi.FOPEN_NOFLUSH;
    }
    request.outView.setUint32(at + OPEN.open_flags.offset, flags, true);
    request.outView.setInt32(at + OPEN.backing_id.offset, backing, true);
    return at + OPEN_BYTES;
  }

  /** Removes an open file that is released, and returns it. */
  take(fh: number): OpenFile<AnyNode> {
    const file = this.files.take(fh);
    if (!file.directory) this.backings?.release(file.node);
    return file;
  }

  /** Takes back what a reply of some bytes counted that the kernel did not take. */
  undo(request: FuseRequest, byteLength: number, late = false): void {
    const id = (at: number) => Number(request.outView.getBigUint64(at, true));
    switch (request.opcode) {
      case uapi.FUSE_CREATE:
      case uapi.FUSE_TMPFILE:
        this.undoOpen(request, ENTRY_BYTES);
        this.forget(id(ENTRY.nodeid.offset), 1, late);
        return;
      case uapi.FUSE_OPEN:
      case uapi.FUSE_OPENDIR:
        return this.undoOpen(request, 0);
      case uapi.FUSE_LOOKUP:
      case uapi.FUSE_MKDIR:
      case uapi.FUSE_MKNOD:
      case uapi.FUSE_SYMLINK:
      case uapi.FUSE_LINK:
        return this.forget(id(ENTRY.nodeid.offset), 1, late);
      case uapi.FUSE_READDIRPLUS:
        for (let at = 0; at < byteLength;) {
          const file = id(at + ENTRY.nodeid.offset);
          if (file !== 0) this.forget(file, 1, late);
          const dirent = at + ENTRY_BYTES;
          const { namelen, name } = uapi.fuse_dirent;
          const length = namelen.get(request.outView, dirent);
          at = dirent + name.offset + length + 7 & ~7;
        }
    }
  }

  /** Releases the file of a `struct fuse_open_out` at byte `at`. */
  undoOpen({ outView }: FuseRequest, at: number): void {
    this.abandon(Number(outView.getBigUint64(at + OPEN.fh.offset, true)));
  }

  /** Is called for an open file that the kernel will not release. */
  abandon: (fh: number) => void = () => {};
  /** Is told what `forget` threw. The session sets it. */
  tell: (error: unknown, node: AnyNode) => void = () => {};

  /**
   * Counts lookups as forgotten. A handler in flight may have found the file already,
   * and return it: then it is there until that handler has answered.
   */
  forget(id: number, lookups: number, late = false): void {
    if (!this.nodes.forget(id, lookups)) return;
    this.#forgotten.push({ id, time: this.#time++, late });
    this.#drop();
  }

  /** Counts a handler that may return a file. Returns its ticket. */
  search(): number {
    this.#searches.add(this.#time);
    return this.#time++;
  }

  /** Counts such a handler as answered. */
  found(ticket: number): void {
    this.#searches.delete(ticket);
    this.#drop();
  }

  /** Counts such a handler as answered for: it may never end, and forgets go on. */
  lose(ticket: number): void {
    this.#late++;
    this.found(ticket);
  }

  /** Takes back the answer of a handler that was answered for. */
  foundLate(request: FuseRequest, byteLength: number): void {
    if (byteLength > 0) this.undo(request, byteLength, true);
    this.#late--;
  }

  /** Tells the filesystem of files that no handler in flight can have found. */
  #drop(): void {
    const list = this.#forgotten;
    if (list.length === 0) return;
    const [oldest = Infinity] = this.#searches;
    while (list.length > 0 && list[0].time < oldest) {
      const { id, late } = list.shift()!;
      const node = this.nodes.remove(id);
      if (node === null || late && this.#gone.has(node)) continue;
      if (this.#late > 0) this.#gone.add(node);
      this.#forgetNode(node);
    }
  }

  /** A request waits for its answer meanwhile, so that nothing is thrown. */
  async #forgetNode(node: AnyNode): Promise<void> {
    try {
      await this.fs.forget?.(node);
    } catch (error) {
      this.tell(error, node);
    }
  }
}

/** The longest time that the kernel is told, in seconds: 68 years. */
const FOREVER = 0x7fff_ffff;

/** Writes a duration as seconds and nanoseconds. */
export function putTtl(
  request: FuseRequest,
  at: number,
  nanosecondsAt: number,
  ttlMs: number,
): void {
  const { outView } = request;
  if (!(ttlMs >= 0)) throw new RangeError(`ttlMs is ${ttlMs}. It is from 0 on`);
  const seconds = Math.min(Math.floor(ttlMs / 1000), FOREVER);
  const rest = seconds === FOREVER ? 0 : (ttlMs - seconds * 1000) * 1e6;
  request.putU64(at, seconds);
  outView.setUint32(nanosecondsAt, rest, true);
}
