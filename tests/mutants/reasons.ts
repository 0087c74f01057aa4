/**
 * Mutants with a reason: each breaks one promise that the library makes to the
 * kernel or to the caller, in a way that the operators of ./generate.ts seldom or
 * never do. They are listed in ./reasons.txt, below the name of their file:
 *
 *     the effect, as a sentence
 *     - the text, which stands in the file once, with any white space
 *     + what replaces it; without this line, nothing does
 *     @ the tests that notice, where they are not those of ./tests.ts
 *
 * @module
 */

import { broken, type Mutant, placeOf } from "./mutant.ts";
import { testsFor } from "./tests.ts";

const LIST = new URL("./reasons.txt", import.meta.url);
const ENTRY = /^ {2}(\w.*)\n {2}- (.*)\n(?: {2}\+ (.*)\n)?(?: {2}@ (.*)\n)?/gm;

/** Returns the mutants with a reason; throws if one does not fit its file. */
export async function reasoned(
  textOf: (file: string) => Promise<string>,
): Promise<Mutant[]> {
  const mutants: Mutant[] = [];
  const list = await Deno.readTextFile(LIST);
  for (const [, file, entries] of list.matchAll(/^(\w.*)\n((?: .*\n)+)/gm)) {
    const text = await textOf(file);
    for (const [, what, quote, to = "", test] of entries.matchAll(ENTRY)) {
      const found = [...text.matchAll(patternOf(quote))];
      if (found.length !== 1) {
        throw new Error(`${file} has ${found.length} places for "${what}"`);
      }
      const [{ 0: from, index: at }] = found;
      const tests = test === undefined ? testsFor(file) : [test];
      const mutant = { file, ...placeOf(text, at), what, from, at, to, tests };
      broken(text, mutant);
      mutants.push(mutant);
    }
  }
  return mutants;
}

function patternOf(quote: string): RegExp {
  const escaped = quote.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(escaped.replaceAll(/\s+/g, "\\s+"), "g");
}
