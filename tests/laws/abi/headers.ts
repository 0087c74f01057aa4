/**
 * Asks the C compiler for the values of expressions.
 *
 * An enumerator has no `#ifdef`, so a name that the headers lack is found by
 * compiling: a line with an error is dropped, and the rest compiled again.
 */

import { type Run, run } from "../../kit/run.ts";
import { type Answers, SIGN } from "./compare.ts";

// Some headers need these and do not include them.
const BEFORE = `
#define _GNU_SOURCE
#include <stddef.h>
#include <linux/version.h>
#include <asm/ioctls.h>
`.trim().split("\n");

// printf is declared here because <stdio.h> disagrees with some headers.
const AFTER = `
int printf(const char *, ...);
#define V(nr, x) printf("%d %s%llu\\n", nr, (x) < 0 ? "-" : "", \\
  (x) < 0 ? -(unsigned long long)(x) : (unsigned long long)(x));
#define BOTH(type) unsigned type: ${SIGN.unsigned}, signed type: ${SIGN.signed}
#define SIGN(x) _Generic((x), BOTH(char), BOTH(short), BOTH(int), \\
  BOTH(long), BOTH(long long), char: (char)-1 < 0, default: ${SIGN.none})
`.trim().split("\n");

/** Returns the values of those `questions` that compile after `includes`. */
export async function ask(
  includes: readonly string[],
  questions: readonly string[],
): Promise<Answers> {
  const lines = [
    ...BEFORE,
    ...includes,
    ...AFTER,
    "int main(void) {",
    ...questions.map((question, i) => `V(${i}, ${question})`),
    "}",
    "",
  ];
  const folder = await Deno.makeTempDir();
  try {
    await compile(lines, `${folder}/ask`);
    const { stdout } = await run(`${folder}/ask`, []);
    const answers = [...stdout.matchAll(/^(\d+) (.+)$/gm)].map(
      ([, nr, value]) => [questions[Number(nr)], BigInt(value)] as const,
    );
    return new Map(answers);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Compiles the lines, without those that do not compile. */
async function compile(lines: readonly string[], path: string): Promise<void> {
  const left = lines.slice();
  const flags = ["-std=gnu11", "-Werror=implicit-function-declaration"];
  const args = [...await headerFlags(), ...flags, "-x", "c", "-", "-o", path];
  while (true) {
    const { success, stderr } = await cc(args, left.join("\n"));
    if (success) return;
    const errors = stderr.matchAll(/^<stdin>:(\d+):.* error: (.*)$/gm);
    const absent = [...errors]
      .map(([, line, message]) => ({ at: Number(line) - 1, message }))
      .filter(({ at, message }) => saysAbsent(left[at], message));
    if (absent.length === 0) throw new Error(`cc does not work:\n${stderr}`);
    if (absent.some(({ at }) => at < BEFORE.length)) {
      throw new Error("There are no headers. Install linux-libc-dev.");
    }
    for (const { at } of absent) left[at] = "";
  }
}

/** Returns `true` if an error is about the line, not about a header. */
function saysAbsent(line: string, message: string): boolean {
  if (line.startsWith("#include")) return true;
  const quoted = message.match(/(?<=')[^']+(?=')/g) ?? [];
  const words = quoted.flatMap((text) => text.match(/\w+/g) ?? []);
  return line.startsWith("V(") &&
    words.some((word) => new RegExp(`\\b${word}\\b`).test(line));
}

/** Returns the flags for the headers in the folder LINUX_HEADERS, if it is set. */
async function headerFlags(): Promise<string[]> {
  const folder = Deno.env.get("LINUX_HEADERS");
  if (!folder) return [];
  try {
    await Deno.stat(`${folder}/linux/io_uring.h`);
  } catch (cause) {
    const message = `LINUX_HEADERS has no linux/io_uring.h: ${folder}`;
    throw new Error(message, { cause });
  }
  const machine = `${folder}/${Deno.build.arch}-linux-gnu`;
  return ["-isystem", folder, "-isystem", machine];
}

/** Runs the compiler with its messages in English. */
async function cc(args: readonly string[], input: string): Promise<Run> {
  try {
    return await run("cc", args, { input, env: { LC_ALL: "C" } });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    const message =
      "There is no C compiler. Install gcc, libc6-dev and linux-libc-dev.";
    throw new Error(message, { cause });
  }
}
