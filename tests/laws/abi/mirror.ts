/**
 * The claims of the files under `sys/uapi/` about the kernel's headers, as data.
 *
 * Each file there is a mirror of the headers that its first line names. Each of
 * its exports is a claim, so that a new export is checked without being listed.
 */

import {
  type Field,
  isPointer,
  isStruct,
  sizeof,
  type Struct,
} from "../../../sys/struct.ts";

/** The kind of a member. A byte array may have any type in C. */
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
  /** The name in a report. */
  readonly name: string;
  /** The lines of C that include the headers. */
  readonly includes: readonly string[];
  /** The version of the oldest headers that have all claims. */
  readonly version: number;
  /** The machine whose headers are needed, if not any. */
  readonly arch?: typeof Deno.build.arch;
  /** Values by their C expression, most often a name. */
  readonly constants: Readonly<Record<string, number>>;
  readonly structs: Readonly<Record<string, Layout>>;
  /** Exports that are not a number, a table of numbers or a struct. */
  readonly strays: readonly string[];
}

/** A file under `sys/`. */
export interface Source {
  readonly name: string;
  readonly title: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

const SYS = new URL("../../../sys/", import.meta.url);

/** Reads the files of `sys/` itself or of `sys/uapi/`, in the order of names. */
export async function readSources(folder: "" | "uapi/"): Promise<Source[]> {
  const files = await Array.fromAsync(Deno.readDir(new URL(folder, SYS)));
  const names = files.filter((it) => it.isFile).map((it) => folder + it.name)
    .sort();
  return await Promise.all(names.map(async (name) => {
    const text = await Deno.readTextFile(new URL(name, SYS));
    const title = text.slice(0, text.indexOf("\n"));
    return { name, title, exports: await import(`${SYS}${name}`) };
  }));
}

/** Reads the mirrors: all files of `sys/uapi/`. */
export async function readMirrors(): Promise<Mirror[]> {
  const sources = await readSources("uapi/");
  return sources.flatMap(({ name, title, exports }) => {
    const mirror = claims(`sys/${name}`, title, exports);
    return name === "uapi/unistd.ts" ? tables(mirror, exports) : [mirror];
  });
}

/** Makes plain data of the exports of one file. */
export function claims(
  name: string,
  title: string,
  exports: Source["exports"],
): Mirror {
  const version = title.match(/Linux (\d+)\.(\d+)/);
  const headers = title.match(/<[^>]+>/g);
  if (!version || !headers) {
    throw new Error(`${name} does not name its headers and their Linux`);
  }
  const constants: Record<string, number> = {};
  const structs: Record<string, Layout> = {};
  const strays: string[] = [];
  for (const [key, value] of Object.entries(exports)) {
    if (typeof value === "number") constants[key] = value;
    else if (isStruct(value)) structs[key] = layout(value);
    else if (isTable(value)) Object.assign(constants, value);
    else if (MACROS.includes(key)) Object.assign(constants, calls(key, value));
    else strays.push(key);
  }
  return {
    name,
    includes: headers.map((header) => `#include ${header}`),
    version: versionCode(Number(version[1]), Number(version[2])),
    constants,
    structs,
    strays,
  };
}

/** Returns `true` for numbers by name. */
function isTable(value: unknown): value is Record<string, number> {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((number) => typeof number === "number");
}

/** Returns a version as a `LINUX_VERSION_CODE`, without the third number. */
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

/** Macros that are functions in TypeScript. */
const MACROS = ["_IO", "_IOR", "_IOW", "_IOWR"];

/** Returns the values of a macro for many arguments. In C, a size is a type. */
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

/** Splits the tables of system calls into two mirrors, one for each machine. */
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
  const strays = mirror.strays.filter((name) => name !== "syscallNumbers");
  return [
    { ...table("x86_64", mirror.includes), arch: "x86_64", strays },
    // The generic header has the numbers of aarch64, and is on every machine. It
    // needs the options that aarch64 defines.
    table("aarch64", [
      "#define __ARCH_WANT_NEW_STAT",
      "#define __ARCH_WANT_RENAMEAT",
      "#define __ARCH_WANT_SET_GET_RLIMIT",
      "#include <asm-generic/unistd.h>",
    ]),
  ];
}
