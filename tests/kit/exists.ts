/** Returns `true` if a path exists. `node:fs` would load for seconds in a guest. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
