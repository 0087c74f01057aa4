/** The host: Deno, and not an old one. */

/** Deno 2.7.12 is the first whose `node:net` watches a descriptor given to it. */
const LEAST_DENO = [2, 7, 12];

// Importing fails on other hosts, where nothing of this library can run.
if (!("Deno" in globalThis)) {
  throw new Error(
    `@uring/cmd needs Deno ${LEAST_DENO.join(".")} or later, with which it ` +
      "calls libc. Node and Bun cannot run it: use `deno run --allow-ffi`.",
  );
}

/**
 * Refuses a Deno that is too old, because it would fail only later, at the first
 * completion that the event loop waits for.
 *
 * @throws {Error} naming the version needed.
 */
export function checkDeno(version: string): void {
  if (!isOlder(version, LEAST_DENO)) return;
  throw new Error(
    `Deno ${version} is too old: ${LEAST_DENO.join(".")} or later is needed. ` +
      "`deno upgrade` brings the latest.",
  );
}

/** Returns `true` if a version of Deno came before another. */
export function isOlder(version: string, least: readonly number[]): boolean {
  const parts = version.split(/[.+-]/).map(Number);
  const place = least.findIndex((each, i) => parts[i] !== each);
  return place >= 0 && parts[place] < least[place];
}
