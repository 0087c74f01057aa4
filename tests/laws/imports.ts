/** The imports of source files, as Deno reads them, and the circles in them. */

import { output } from "../kit/run.ts";

/** One file imports another: both as paths from the root, or as specifiers. */
export type Import = readonly [from: string, to: string];

interface Target {
  readonly specifier: string;
}

interface Module extends Target {
  readonly dependencies?: readonly (Target & {
    readonly code?: Target;
    readonly type?: Target;
  })[];
}

/**
 * Returns every import of some files under `root`: static, dynamic and of types
 * only. Paths are relative to `root`.
 */
export async function importsOf(
  root: URL,
  files: readonly string[],
): Promise<Import[]> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  const lines = files.map((file) => `import "${new URL(file, root)}";`);
  await Deno.writeTextFile(entry, lines.join("\n"));
  const args = ["info", "--json", entry];
  const graph = await output(Deno.execPath(), args, { cwd: root })
    .finally(() => Deno.remove(entry));
  const { modules }: { modules: Module[] } = JSON.parse(graph);
  const path = (specifier: string) => specifier.replace(`${root}`, "");
  return modules
    .filter(({ specifier }) => files.includes(path(specifier)))
    .flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map(({ code, type, specifier: written }): Import => [
        path(specifier),
        path((code ?? type)?.specifier ?? written),
      ])
    );
}

/** Returns the circles among imports, each once and as short as it can be. */
export function circlesOf(imports: readonly Import[]): string[] {
  const targets = Map.groupBy(imports, ([from]) => from);
  const circles = new Map<string, string>();
  for (const file of targets.keys()) {
    const circle = shortestWay(file, file);
    if (circle === null) continue;
    const members = circle.slice(1).toSorted().join();
    circles.set(members, circles.get(members) ?? circle.join(" -> "));
  }
  return [...circles.values()];

  /** Searches in breadth, so that the first way found is the shortest. */
  function shortestWay(from: string, to: string): string[] | null {
    const ways = [[from]];
    const seen = new Set<string>();
    for (const way of ways) {
      for (const [, next] of targets.get(way.at(-1)!) ?? []) {
        if (next === to) return [...way, next];
        if (seen.has(next)) continue;
        seen.add(next);
        ways.push([...way, next]);
      }
    }
    return null;
  }
}
