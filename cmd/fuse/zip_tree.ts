/** The directory of a zip, as a tree. */

import type { Awaitable } from "./awaitable.ts";
import type { FileKind } from "./stat.ts";

/** A zip that is read in parts. */
export interface ZipFile {
  readonly size: number;
  /** Returns the bytes from `start` to before `end`; fewer at the end of the file. */
  read(start: number, end: number): Awaitable<Uint8Array>;
  close(): void;
}

/** A file or a directory. Its fields are its attributes. */
export interface ZipNode {
  kind: FileKind;
  mode?: number;
  size: number;
  mtime?: number;
  readonly ttlMs: number;
  /** `null` for a file. */
  readonly names: Map<string, ZipNode> | null;
  /** The place of its content, for a file. */
  data?: ZipData;
}

interface ZipData {
  /** 0: stored; 8: deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Bytes in the zip. */
  readonly byteLength: number;
  /** Of the header before the content. */
  readonly offset: number;
}

/** Nothing in it changes: the kernel may keep names and attributes for an hour. */
export const TTL_MS = 3_600_000;
const [S_IFMT, S_IFLNK] = [0o170000, 0o120000];
/** Signatures: of a file's header, of an entry, and of the ends of the directory. */
const [HEADER, ENTRY, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [END64, LOCATOR64] = [0x06064b50, 0x07064b50];

/** Returns the error of a zip that is broken. */
export function bad(reason: string): Error {
  return new Error(`bad zip: ${reason}`);
}

/** Returns a directory without names. */
export function zipDirectory(): ZipNode {
  return { kind: "directory", names: new Map(), size: 0, ttlMs: TTL_MS };
}

/** Reads some bytes, which must be there. */
async function part(
  file: ZipFile,
  start: number,
  byteLength: number,
): Promise<DataView> {
  const bytes = start >= 0 && start + byteLength <= file.size
    ? await file.read(start, start + byteLength)
    : new Uint8Array(0);
  if (bytes.length < byteLength) throw bad("a part of it is missing");
  return new DataView(bytes.buffer, bytes.byteOffset, byteLength);
}

const u16 = (view: DataView, at: number) => view.getUint16(at, true);
const u32 = (view: DataView, at: number) => view.getUint32(at, true);
const u64 = (view: DataView, at: number) => Number(view.getBigUint64(at, true));

/** Returns the first byte of a file's content. */
export async function zipContent(
  file: ZipFile,
  { offset, byteLength }: ZipData,
): Promise<number> {
  const head = await part(file, offset, 30);
  if (u32(head, 0) !== HEADER) throw bad("a file is not where it should be");
  const start = offset + 30 + u16(head, 26) + u16(head, 28);
  if (start + byteLength > file.size) throw bad("a file is cut short");
  return start;
}

/** Fills the root with all files. */
export async function zipTree(file: ZipFile, root: ZipNode): Promise<void> {
  const { entries, count, shift } = await findEntries(file);
  const { byteLength } = entries;
  const broken = () => bad("its directory is broken");
  let found = 0;
  for (let at = 0; at < byteLength; found++) {
    const name = at + 46;
    if (name > byteLength || u32(entries, at) !== ENTRY) throw broken();
    const extra = name + u16(entries, at + 28);
    const comment = extra + u16(entries, at + 30);
    const next = comment + u16(entries, at + 32);
    if (next > byteLength) throw broken();
    const text = textOf(entries, name, extra);
    add(root, text, nodeOf(entries, at, extra, comment, shift));
    at = next;
  }
  // The count of 16 bits may have run over.
  if (found % 0x10000 !== count % 0x10000) throw broken();
}

/** Finds the entries of the directory, and by how much all offsets are too low. */
async function findEntries(file: ZipFile) {
  // The record at the end has a comment of up to 65535 bytes.
  const length = Math.min(file.size, 22 + 0xffff);
  const tail = await part(file, file.size - length, length);
  const isEnd = (at: number) =>
    u32(tail, at) === END && at + 22 + u16(tail, at + 20) === length;
  let at = length - 22;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) throw bad("it has no end. It is no zip, or is cut short");
  if (u16(tail, at + 4) % 0xffff > 0) throw bad("it is one part of several");
  let count = u16(tail, at + 10);
  let byteLength = u32(tail, at + 12);
  let offset = u32(tail, at + 16);
  let end = file.size - length + at;
  // With more than 65535 files or 4 GiB, two further records come before.
  const large = await part(file, Math.max(0, end - 76), Math.min(end, 76));
  const is64 = end >= 76 && u32(large, 0) === END64;
  if (is64 && u32(large, 56) === LOCATOR64) {
    count = u64(large, 32);
    byteLength = u64(large, 40);
    offset = u64(large, 48);
    end -= 76;
  }
  // Something may come before the zip, such as a program that unpacks it.
  const shift = end - byteLength - offset;
  const entries = await part(file, shift + offset, byteLength);
  if (shift < 0) throw bad("its directory is not where it says");
  return { entries, count, shift };
}

/** Returns the file of an entry, whose extra fields are at `extra`. */
function nodeOf(
  view: DataView,
  at: number,
  extra: number,
  end: number,
  shift: number,
): ZipNode & { data: ZipData } {
  /** The sizes inflated and in the zip, and the offset. */
  const numbers = [24, 20, 42].map((field) => u32(view, at + field));
  let mtime = dosTime(u16(view, at + 14), u16(view, at + 12));
  for (let field = extra; field + 4 <= end;) {
    const next = field + 4 + u16(view, field + 2);
    if (next > end) break;
    let value = field + 4;
    const kind = u16(view, field);
    for (let i = 0; kind === 1 && i < 3; i++) { // Zip64
      if (numbers[i] < 0xffff_ffff || value + 8 > next) continue;
      numbers[i] = u64(view, value);
      value += 8;
    }
    if (kind === 0x5455 && value + 5 <= next && view.getUint8(value) & 1) {
      mtime = view.getInt32(value + 1, true) * 1000;
    }
    field = next;
  }
  const [size, byteLength, offset] = numbers;
  if (!Number.isSafeInteger(size)) throw bad("a file has an impossible size");
  const isUnix = view.getUint8(at + 5) === 3;
  const mode = isUnix ? u16(view, at + 40) : 0;
  const permissions = mode & 0o777;
  return {
    kind: (mode & S_IFMT) === S_IFLNK ? "symlink" : "file",
    mode: permissions === 0 ? undefined : permissions,
    size,
    mtime,
    ttlMs: TTL_MS,
    names: null,
    data: {
      method: u16(view, at + 10),
      encrypted: (u16(view, at + 8) & 1) !== 0,
      byteLength,
      offset: offset + shift,
    },
  };
}

/** Returns a time of MS-DOS, which is a local one, as milliseconds since 1970. */
function dosTime(date: number, time: number): number {
  const [year, month, day] = [1980 + (date >> 9), date >> 5 & 15, date & 31];
  const [hour, minute] = [time >> 11, time >> 5 & 63];
  return new Date(year, month - 1, day, hour, minute, (time & 31) * 2)
    .getTime();
}

/** Decodes a name: UTF-8, whatever the flag says, or else Windows-1252. */
function textOf(view: DataView, from: number, to: number): string {
  const { buffer, byteOffset } = view;
  const bytes = new Uint8Array(buffer, byteOffset + from, to - from);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Puts a file into the tree, and directories above it. A later one replaces it. */
function add(root: ZipNode, name: string, node: ZipNode): void {
  const refuse = (reason: string) =>
    bad(`the name ${JSON.stringify(name)} ${reason}`);
  const all = name.split("/");
  if (name.startsWith("/")) throw refuse("is absolute");
  if (all.includes("..")) throw refuse("has ..");
  if (name.includes("\0")) throw refuse("has a zero byte");
  const parts = all.filter((part) => part !== "" && part !== ".");
  if (parts.some(({ length }) => length > 255)) throw refuse("is too long");
  const last = name.endsWith("/") ? undefined : parts.pop();
  let at = root;
  for (const part of parts) {
    const found = at.names!.get(part) ?? zipDirectory();
    if (found.names === null) throw refuse("is below a file");
    at.names!.set(part, found);
    at = found;
  }
  const { mode, mtime } = node;
  if (last === undefined) Object.assign(at, { mode, mtime });
  else if (at.names!.get(last)?.names) throw refuse("is a directory as well");
  else at.names!.set(last, node);
}
