/** The stack: whether there is room for what may not be cut short. */

/** Throws the RangeError of a full stack unless so many calls still fit. */
export function reserveStack(calls: number): number {
  return calls === 0 ? 0 : 1 + reserveStack(calls - 1);
}
