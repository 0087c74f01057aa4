/**
 * Mutants that change nothing a caller can see, so that no test can notice them:
 * they are not drawn.
 */
export const EQUIVALENT: readonly {
  readonly file: string;
  readonly what: string;
  readonly reason: string;
}[] = [];
