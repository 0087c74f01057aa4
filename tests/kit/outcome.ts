/** How commands end, as values that tests compare. */

import { assertRejects } from "@std/assert";
import { UringError } from "../../ring/errors.ts";

/** Returns the error that the kernel refuses a command with. */
export function refusal(running: Promise<unknown>): Promise<UringError> {
  return assertRejects(() => running, UringError);
}

/**
 * Returns the result of a command, or the name of its end: the code of a
 * UringError such as `"EINVAL"`, or `"AbortError"`. Throws any other error.
 */
export async function outcome(running: Promise<unknown>): Promise<unknown> {
  try {
    return await running;
  } catch (error) {
    if (error instanceof UringError) return error.code;
    if (error instanceof DOMException) return error.name;
    throw error;
  }
}

/** Returns the {@linkcode outcome} of each command. */
export function outcomes(running: Promise<unknown>[]): Promise<unknown[]> {
  return Promise.all(running.map(outcome));
}
