/** The examples of the documentation, as programs. */

import { assert, assertEquals } from "@std/assert";
import { runDeno } from "../kit/run.ts";

const ROOT = new URL("../../", import.meta.url);

/** Returns the examples of a file that mount something, or call something else. */
export async function examplesOf(
  file: string,
  calls = /\bmount\(/,
): Promise<string[]> {
  const text = await Deno.readTextFile(new URL(file, ROOT));
  const plain = text.replaceAll(/^ \* ?/gm, "");
  return [...plain.matchAll(/^```ts.*\n([^]*?)^```$/gm)]
    .map(([, code]) => code)
    .filter((code) => calls.test(code));
}

/** Writes an example into a folder: what is before `// main.ts` is another file. */
export async function writeExample(
  folder: string,
  code: string,
  replacements: Readonly<Record<string, string>>,
): Promise<void> {
  const entries = /"(?:jsr:)?@uring\/cmd\/(fuse|ublk)"/g;
  let text = code.replaceAll(entries, (_, name) => {
    return JSON.stringify(new URL(`cmd/${name}/mod.ts`, ROOT).href);
  });
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`there is no ${from} in ${code}`);
    text = text.replaceAll(from, to);
  }
  const [first, main] = text.split("// main.ts\n");
  const name = /^\/\/ (\w+\.ts)/.exec(first)?.[1];
  if (main !== undefined) {
    await Deno.writeTextFile(`${folder}/${name}`, first);
  }
  await Deno.writeTextFile(`${folder}/main.ts`, main ?? first);
}

/** Throws if an example of a file has errors of types, or a file has no example. */
export async function assertTypes(
  files: readonly string[],
  calls?: RegExp,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const mains: string[] = [];
    for (const file of files) {
      const found = await examplesOf(file, calls);
      assert(found.length > 0, file);
      for (const code of found) {
        const place = `${folder}/${mains.length}`;
        await Deno.mkdir(place);
        await writeExample(place, code, {});
        mains.push(`${place}/main.ts`);
      }
    }
    const { code, stderr } = await runDeno(["check", "--quiet", ...mains]);
    assertEquals(code, 0, stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
