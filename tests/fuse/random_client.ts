/**
 * Makes the same random changes to two directories, and compares all that can be seen
 * of them: A, B, SEED, STEPS, and features: `links` if the filesystem has hard links,
 * `open` to use files that are open, `plain` to make no symbolic links.
 */

import { random } from "../kit/random.ts";

const [a, b, seed, steps, ...features] = Deno.args;
const below = random(Number(seed));
/** Returns `true` in so many of a hundred cases. */
const sometimes = (percent: number) => below(100) < percent;
const pick = <T>(list: readonly T[]): T => list[below(list.length)];
const NAMES = ["a", "b", "c", "dir", "ä-long-name-that-is-not-ascii"];

function path(): string {
  let text = "";
  for (let depth = 1 + below(3); depth > 0; depth--) text += `/${pick(NAMES)}`;
  return text;
}

type Step = (root: string) => unknown;
/** Open files, one in each directory. */
const open: { a: Deno.FsFile; b: Deno.FsFile }[] = [];

function bytes(): Uint8Array {
  const data = new Uint8Array(below(sometimes(10) ? 300_000 : 5000));
  for (let i = 0; i < data.length; i += 7) data[i] = below(256);
  return data;
}

function step(): [name: string, run: Step] {
  const [from, to] = [path(), path()];
  const size = below(20_000);
  const data = bytes();
  const at = below(30_000);
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
      return [`write ${from}`, (root) => Deno.writeFileSync(root + from, data)];
    case 3:
      return [
        `append ${from}`,
        (root) => Deno.writeFileSync(root + from, data, { append: true }),
      ];
    case 4:
    case 5:
      return [`mkdir ${from}`, (root) => Deno.mkdirSync(root + from)];
    case 6:
      return [`remove ${from}`, (root) => Deno.removeSync(root + from)];
    case 7:
      return [
        `remove all of ${from}`,
        (root) => Deno.removeSync(root + from, { recursive: true }),
      ];
    case 8:
    case 9:
      return [
        `rename ${from} ${to}`,
        (root) => Deno.renameSync(root + from, root + to),
      ];
    case 10:
      return [
        `truncate ${from} ${size}`,
        (root) => Deno.truncateSync(root + from, size),
      ];
    case 11:
      if (features.includes("plain")) return step();
      return [
        `symlink ${to}`,
        (root) => Deno.symlinkSync(from.slice(1), root + to),
      ];
    case 12:
      return [
        `chmod ${from}`,
        (root) => Deno.chmodSync(root + from, 0o600 | size & 0o177),
      ];
    case 13:
      return [
        `utime ${from}`,
        (root) => Deno.utimeSync(root + from, size, size + 0.5),
      ];
    case 14:
      if (!features.includes("links")) return step();
      return [
        `link ${from} ${to}`,
        (root) => Deno.linkSync(root + from, root + to),
      ];
    default:
      return [`write in the middle of ${from}`, (root) => {
        using file = Deno.openSync(root + from, { write: true });
        file.seekSync(at, Deno.SeekMode.Start);
        file.writeSync(data.subarray(0, 3000));
      }];
  }
}

/** Returns the result of a step: the error, without the path. */
function outcome(run: Step, root: string): string {
  try {
    run(root);
    return "ok";
  } catch (error) {
    const { code, name } = error as Error & { code?: string };
    return code ?? name;
  }
}

/** Describes all that is below a directory. */
function look(root: string, at = ""): string[] {
  const lines: string[] = [];
  const entries = [...Deno.readDirSync(root + at)];
  for (const { name } of entries.sort((x, y) => x.name < y.name ? -1 : 1)) {
    const child = `${at}/${name}`;
    const info = Deno.lstatSync(root + child);
    const mode = (info.mode ?? 0).toString(8);
    const nlink = info.isFile && features.includes("links") ? info.nlink : "";
    if (info.isDirectory) {
      lines.push(`${child} ${mode}`, ...look(root, child));
    } else if (info.isSymlink) {
      lines.push(`${child} ${mode} -> ${Deno.readLinkSync(root + child)}`);
    } else {
      const hash = fnv(Deno.readFileSync(root + child));
      lines.push(`${child} ${mode} ${nlink} ${info.size} ${hash}`);
    }
  }
  return lines;
}

function fnv(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function compare(when: string): void {
  const [one, other] = [look(a), look(b)];
  if (one.join("\n") === other.join("\n")) return;
  console.log(`seed ${seed}, ${when}: the directories differ`);
  console.log([...one.map((line) => `A ${line}`)].join("\n"));
  console.log([...other.map((line) => `B ${line}`)].join("\n"));
  Deno.exit(1);
}

/** Uses files that are open, and perhaps unlinked since. */
function useOpen(): void {
  const kind = below(3);
  if (kind === 0 && open.length < 4) {
    const at = path();
    const options = { read: true, write: true, create: true };
    const opened = [a, b].map((root) => {
      try {
        return Deno.openSync(root + at, options);
      } catch {
        return null;
      }
    });
    if ((opened[0] === null) !== (opened[1] === null)) {
      console.log(`seed ${seed}: open ${at} differs`);
      Deno.exit(1);
    }
    if (opened[0] !== null) open.push({ a: opened[0], b: opened[1]! });
    return;
  }
  if (open.length === 0) return;
  const files = pick(open);
  if (kind === 1) {
    for (const file of [files.a, files.b]) file.close();
    open.splice(open.indexOf(files), 1);
    return;
  }
  const data = bytes().subarray(0, 4000);
  const offset = below(10_000);
  const seen = [files.a, files.b].map((file) => {
    file.seekSync(offset, Deno.SeekMode.Start);
    if (data.length > 0) file.writeSync(data);
    file.seekSync(0, Deno.SeekMode.Start);
    const into = new Uint8Array(40_000);
    let length = 0;
    for (let n; (n = file.readSync(into.subarray(length))) !== null && n > 0;) {
      length += n;
    }
    return `${length} ${fnv(into.subarray(0, length))}`;
  });
  if (seen[0] !== seen[1]) {
    console.log(`seed ${seed}: an open file differs: ${seen.join(" and ")}`);
    Deno.exit(1);
  }
}

const counts: Record<string, number> = {};
for (let i = 0; i < Number(steps); i++) {
  if (features.includes("open") && sometimes(30)) useOpen();
  const [name, run] = step();
  const [one, other] = [outcome(run, a), outcome(run, b)];
  counts[one] = (counts[one] ?? 0) + 1;
  if (one !== other) {
    console.log(`seed ${seed}, step ${i}: ${name} is ${one} and ${other}`);
    Deno.exit(1);
  }
  if (i % 50 === 49) compare(`step ${i}, ${name}`);
}
for (const { a, b } of open) for (const file of [a, b]) file.close();
compare("the end");
console.log(JSON.stringify(counts));
