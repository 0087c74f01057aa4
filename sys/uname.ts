import { scratch } from "./scratch.ts";
import { syscall } from "./libc.ts";

/** `struct new_utsname`: six strings of 65 bytes. */
const LENGTH = 65;

/** The release of the running kernel, such as `"6.18.44"`. */
export function release(): string {
  const { bytes, at } = scratch();
  syscall("uname", at);
  const text = bytes.slice(2 * LENGTH, 3 * LENGTH);
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

/** Major and minor number of a kernel release as one number: 6.18 is 6018. */
export function version(text = release()): number {
  const [major, minor] = text.split(".").map((part) => parseInt(part));
  return major * 1000 + minor;
}
