/** One way to break the library. */
export interface Mutant {
  /** What is no longer true, as a sentence. */
  readonly what: string;
  readonly file: string;
  /** A text that is in the file once, */
  readonly from: string;
  /** and what stands there instead. */
  readonly to: string;
  /** The few files of tests that should notice. */
  readonly tests: readonly string[];
}

/** A list of what can be wrong in one file, which the same tests should notice. */
export function mutantsOf(
  file: string,
  tests: readonly string[],
  list: readonly (readonly [what: string, from: string, to: string])[],
): Mutant[] {
  return list.map(([what, from, to]) => ({ what, file, from, to, tests }));
}
