import { scratch, scratchCopy } from "./scratch.ts";
import { syscall } from "./libc.ts";

/** Bytes of each of the six strings in `struct new_utsname`. */
const LENGTH = 65;

/** Returns the release of the running kernel, such as `"6.18.44"`. */
export function release(): string {
  const { bytes, at } = scratch();
  syscall("uname", at);
  const start = 2 * LENGTH;
  const text = scratchCopy(start, bytes.indexOf(0, start));
  return new TextDecoder().decode(text);
}

/** Returns major and minor number of a release as one number: 6.18 is 6018. */
export function version(text = release()): number {
  const [major, minor] = text.split(".").map((part) => parseInt(part));
  return major * 1000 + minor;
}
