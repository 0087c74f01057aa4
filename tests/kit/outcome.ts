/** The ends of commands, as values that tests compare. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UringError } from "../../ring/errors.ts";

/** Returns the error that the kernel refuses a command with. */
export function refusal(running: Promise<unknown>): Promise<UringError> {
  return assertRejects(() => running, UringError);
}

/**
 * Expects the kernel to refuse a command with a code such as `"EINVAL"`, and the
 * message to have these parts. Returns the error.
 */
export async function assertRefused(
  running: Promise<unknown>,
  code: string,
  ...parts: string[]
): Promise<UringError> {
  const error = await refusal(running);
  assertEquals(error.code, code, error.message);
  for (const part of parts) assertStringIncludes(error.message, part);
  return error;
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
