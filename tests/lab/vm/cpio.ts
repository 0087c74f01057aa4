/**
 * Writes an archive that the kernel unpacks as its first root file system: cpio,
 * in the format "newc".
 *
 * @module
 */

const encoder = new TextEncoder();

const DIRECTORY = 0o040755;
const LINK = 0o120777;
const REGULAR = 0o100000;

/** An archive that is being written. */
export class Archive implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #directories = new Set<string>();
  #inode = 0;

  constructor(path: string) {
    this.#file = Deno.openSync(path, {
      write: true,
      create: true,
      truncate: true,
    });
  }

  /** Adds a file, and its folders. */
  file(path: string, data: Uint8Array | string, mode = 0o644): void {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    this.#parents(path);
    this.#entry(path, REGULAR | mode, bytes);
  }

  /** Adds a symbolic link, and its folders. */
  link(path: string, target: string): void {
    this.#parents(path);
    this.#entry(path, LINK, encoder.encode(target));
  }

  /** Adds a folder, and its parents. */
  directory(path: string): void {
    if (path === "" || this.#directories.has(path)) return;
    this.#parents(path);
    this.#directories.add(path);
    this.#entry(path, DIRECTORY, new Uint8Array());
  }

  /** Adds all files under `from`, except paths in the archive that `leaveOut` matches. */
  tree(from: string, to: string, leaveOut = /^$/): void {
    for (const { name, isSymlink, isDirectory } of Deno.readDirSync(from)) {
      const source = `${from}/${name}`;
      const path = to === "" ? name : `${to}/${name}`;
      if (leaveOut.test(path)) continue;
      if (isSymlink) this.link(path, Deno.readLinkSync(source));
      else if (isDirectory) this.tree(source, path, leaveOut);
      else this.copy(source, path);
    }
  }

  /** Adds a file of the host, with its mode. */
  copy(source: string, path: string): void {
    const mode = Deno.statSync(source).mode ?? 0o644;
    this.file(path, Deno.readFileSync(source), mode & 0o777);
  }

  [Symbol.dispose](): void {
    this.#entry("TRAILER!!!", 0, new Uint8Array());
    this.#file.close();
  }

  /** Adds the folders of a path, since the kernel makes none by itself. */
  #parents(path: string): void {
    this.directory(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
  }

  #entry(path: string, mode: number, data: Uint8Array): void {
    const name = encoder.encode(`${path}\0`);
    const header = [
      ++this.#inode,
      mode,
      ...[0, 0], // uid, gid
      1, // nlink
      0, // mtime
      data.length,
      ...[0, 0, 0, 0], // dev and rdev, each major and minor
      name.length,
      0, // check
    ];
    const hex = header.map((word) => word.toString(16).padStart(8, "0"));
    const head = encoder.encode(`070701${hex.join("")}`);
    this.#write(head, name);
    this.#write(data);
  }

  /** Writes parts, and pads them to a multiple of four bytes. */
  #write(...parts: Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    for (const part of [...parts, new Uint8Array(-length & 3)]) {
      for (let at = 0; at < part.length;) {
        at += this.#file.writeSync(part.subarray(at));
      }
    }
  }
}
