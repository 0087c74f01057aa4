/**
 * What the files under `sys/` claim about the kernel's headers, as plain data.
 *
 * A file whose first line names headers is a mirror of them. Everything that it
 * exports is a claim, so that a new export is checked without being listed.
 */

import {
  type Field,
  isPointer,
  isStruct,
  sizeof,
  type Struct,
} from "../../../sys/struct.ts";

/** What C has to know of a member: a byte array may be of any type there. */
export type Kind = "integer" | "pointer" | "bytes";

export interface Member {
  readonly kind: Kind;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
}

export interface Layout {
  readonly size: number;
  readonly members: Readonly<Record<string, Member>>;
}

export interface Mirror {
  /** What it is called in a report. */
  readonly name: string;
  /** The lines of C which bring the headers in. */
  readonly includes: readonly string[];
  /** The oldest headers that have all of it, as a `LINUX_VERSION_CODE`. */
  readonly version: number;
  /** The only machine whose headers can tell, where it is not any. */
  readonly arch?: typeof Deno.build.arch;
  /** Values by the C expression that has them, most often a name. */
  readonly constants: Readonly<Record<string, number>>;
  readonly structs: Readonly<Record<string, Layout>>;
  /** Exports that are no claim about a header, and so do not belong there. */
  readonly strays: readonly string[];
}

/** A file under `sys/`. */
export interface Source {
  readonly name: string;
  readonly title: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

const SYS = new URL("../../../sys/uapi/", import.meta.url);

/** The files under `sys/`, in the order of their names. */
export async function readSources(): Promise<Source[]> {
  const files = await Array.fromAsync(Deno.readDir(SYS));
  const names = files.map((file) => file.name).sort();
  return await Promise.all(names.map(async (name) => {
    const text = await Deno.readTextFile(new URL(name, SYS));
    const title = text.slice(0, text.indexOf("\n"));
    return { name, title, exports: await import(`${SYS}${name}`) };
  }));
}

/** Whether a file says that it mirrors headers. */
export function isMirror({ title }: Source): boolean {
  return title.startsWith("// <");
}

/** The mirrors under `sys/`. */
export async function readMirrors(): Promise<Mirror[]> {
  const sources = await readSources();
  return sources.filter(isMirror).flatMap(({ name, title, exports }) => {
    const mirror = claims(`sys/uapi/${name}`, title, exports);
    return name === "unistd.ts" ? tables(mirror, exports) : [mirror];
  });
}

/** Makes plain data of the exports of one file. */
export function claims(
  name: string,
  title: string,
  exports: Source["exports"],
): Mirror {
  const version = title.match(/Linux (\d+)\.(\d+)/);
  if (!version) throw new Error(`${name} does not say which Linux it mirrors`);
  const constants: Record<string, number> = {};
  const structs: Record<string, Layout> = {};
  const strays: string[] = [];
  for (const [key, value] of Object.entries(exports)) {
    if (typeof value === "number") constants[key] = value;
    else if (isStruct(value)) structs[key] = layout(value);
    else if (MACROS.includes(key)) Object.assign(constants, calls(key, value));
    else strays.push(key);
  }
  return {
    name,
    includes: title.match(/<[^>]+>/g)!.map((header) => `#include ${header}`),
    version: versionCode(Number(version[1]), Number(version[2])),
    constants,
    structs,
    strays,
  };
}

/** A version as the headers have it, without the third number. */
export function versionCode(major: number, minor: number): number {
  return major << 16 | minor << 8;
}

function layout(fields: Struct<Record<string, Field>>): Layout {
  const members = Object.entries(fields).map(([name, field]) => {
    const { offset, size, signed } = field;
    return [name, { kind: kindOf(field), offset, size, signed }];
  });
  return { size: sizeof(fields), members: Object.fromEntries(members) };
}

function kindOf(field: Field): Kind {
  if (isPointer(field)) return "pointer";
  const view = new DataView(new ArrayBuffer(field.offset + field.size));
  return field.get(view, 0) instanceof Uint8Array ? "bytes" : "integer";
}

/** Macros that are functions here. */
const MACROS = ["_IO", "_IOR", "_IOW", "_IOWR"];

/** What a macro gives over a range of arguments; in C, a size is a type. */
function calls(macro: string, value: unknown): Record<string, number> {
  const call = value as (type: number, nr: number, size: number) => number;
  const results: Record<string, number> = {};
  for (const type of [0, 0x12, 0x4e, 0xff]) {
    for (const nr of [0, 1, 0x7f, 0xff]) {
      for (const size of [1, 8, 16383]) {
        const last = macro === "_IO" ? "" : `, char[${size}]`;
        results[`${macro}(${type}, ${nr}${last})`] = call(type, nr, size);
      }
    }
  }
  return results;
}

/** The tables of system calls are two mirrors, of two machines' headers. */
function tables(mirror: Mirror, exports: Source["exports"]): Mirror[] {
  const table = (arch: string, includes: readonly string[]): Mirror => {
    const numbers = Object.entries(exports[`__NR_${arch}`] as object);
    const constants = numbers.map(([name, nr]) => [`__NR_${name}`, nr]);
    return {
      ...mirror,
      name: `${mirror.name} of ${arch}`,
      includes,
      constants: Object.fromEntries(constants),
      strays: [],
    };
  };
  const known = ["__NR_x86_64", "__NR_aarch64", "syscallNumbers"];
  const strays = mirror.strays.filter((name) => !known.includes(name));
  return [
    { ...table("x86_64", mirror.includes), arch: "x86_64", strays },
    // The generic header has the numbers of aarch64, and is on every machine.
    // It wants to be told what kind of machine it is for.
    table("aarch64", [
      "#define __ARCH_WANT_NEW_STAT",
      "#define __ARCH_WANT_RENAMEAT",
      "#define __ARCH_WANT_SET_GET_RLIMIT",
      "#include <asm-generic/unistd.h>",
    ]),
  ];
}
