/** One way to break one file of the library. */
export interface Mutant {
  readonly file: string;
  /** The number of the line in which the broken text begins, from 1. */
  readonly line: number;
  /** The number of the column in which it begins, from 1. */
  readonly column: number;
  /** That line, without the white space around it. */
  readonly code: string;
  /** The effect as a sentence, or the text before and after. */
  readonly what: string;
  /** The text that is replaced, and the offset of its first character. */
  readonly from: string;
  readonly at: number;
  readonly to: string;
  /** The files and folders of tests of which one has to fail. */
  readonly tests: readonly string[];
}

/** Returns the name of a mutant. `--only` with the same name replays it. */
export function nameOf({ file, line, column, what }: Mutant): string {
  return `${file}:${line}:${column}: ${what}`;
}

/** Returns the text of a mutant's file with the mutant in it. */
export function broken(text: string, mutant: Mutant): string {
  const { from, at, to } = mutant;
  if (!text.startsWith(from, at) || from === to) {
    throw new Error(`${nameOf(mutant)} does not fit its file`);
  }
  return text.slice(0, at) + to + text.slice(at + from.length);
}

/** Returns the place of an offset in a text. */
export function placeOf(
  text: string,
  at: number,
): Pick<Mutant, "line" | "column" | "code"> {
  const before = text.slice(0, at).split("\n");
  const line = before.length;
  const code = text.split("\n")[line - 1].trim();
  return { line, column: before.at(-1)!.length + 1, code };
}
