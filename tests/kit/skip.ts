/** Tests that say what is missing where they cannot run. */

/** Registers a test, or a skip that names what is not there to test with. */
export function testUnless(
  missing: string,
  name: string,
  fn: () => void | Promise<void>,
): void {
  const ignore = missing !== "";
  Deno.test({
    name: ignore ? `${name} (no ${missing} here)` : name,
    ignore,
    fn,
  });
}
