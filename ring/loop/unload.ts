/**
 * Releases open rings when the page ends. `deno run --watch` and `deno test` end an
 * isolate with an `unload` event and go on as the same process, which would keep
 * the descriptors, and the kernel the commands.
 *
 * @module
 */

/** An object that can be released at once, without waiting for the kernel. */
export interface Open {
  tearDown(): void;
}

const open = new Set<Open>();
// A program that redefines it would get the engines of rings.
const { add } = Set.prototype;

/** Releases `it` at the global `unload` event, until it is closed. */
export function opened(it: Open): void {
  if (open.size === 0) addEventListener("unload", tearDownAll);
  add.call(open, it);
}

/** Undoes {@linkcode opened}. */
export function closed(it: Open): void {
  open.delete(it);
  if (open.size === 0) removeEventListener("unload", tearDownAll);
}

function tearDownAll(): void {
  for (const it of open) {
    try {
      it.tearDown();
    } catch (error) {
      reportError(error); // The error of one must not keep the next open.
    }
  }
}
