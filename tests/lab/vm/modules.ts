/**
 * The modules that a guest loads, each after those that it depends on. Packages
 * hold no list of dependencies, since depmod makes it where a kernel is installed:
 * they are read from the modules themselves.
 *
 * @module
 */

/** An uncompressed module, as insmod needs it. */
export interface Module {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Commands that unpack a file to their standard output, by its extension. */
const UNPACK: Readonly<Record<string, readonly string[]>> = {
  ".ko": ["cat"],
  ".ko.gz": ["gzip", "-dc"],
  ".ko.xz": ["xz", "-dc"],
  ".ko.zst": ["zstd", "-dc"],
};

/**
 * Finds the modules among `files` that `wanted` names, each after those that it
 * depends on. Skips those that have no file, because they are part of the kernel
 * or unknown to it.
 */
export async function findModules(
  files: readonly string[],
  wanted: readonly string[],
): Promise<Module[]> {
  const paths = new Map(
    files.filter((path) => /\.ko(\.[a-z]+)?$/.test(path))
      .map((path) => [moduleName(path), path]),
  );
  const found = new Map<string, Module>();
  const seen = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || seen.has(name)) return;
    seen.add(name);
    const bytes = await unpack(path);
    for (const needed of dependencies(bytes)) await visit(needed);
    found.set(name, { name, bytes });
  };
  for (const name of wanted) await visit(name);
  return [...found.values()];
}

/** Reads the names after `depends=` in the section .modinfo of a module. */
export function dependencies(module: Uint8Array): string[] {
  const text = new TextDecoder("latin1").decode(module);
  const [, names = ""] = /\0depends=([^\0]*)\0/.exec(text) ?? [];
  return names.split(",").filter((name) => name !== "").map(underscored);
}

/** Returns the paths of all files under a folder. */
export function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesUnder(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}

function moduleName(path: string): string {
  return underscored(path.replace(/^.*\//, "").replace(/\.ko(\..*)?$/, ""));
}

/** Returns a module's name: its file may have hyphens for the underscores. */
function underscored(name: string): string {
  return name.replaceAll("-", "_");
}

async function unpack(path: string): Promise<Uint8Array> {
  const [program, ...args] = UNPACK[path.slice(path.lastIndexOf(".ko"))];
  const { success, stdout } = await new Deno.Command(program, {
    args: [...args, path],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${program} cannot unpack ${path}`);
  return stdout;
}
