/** Tests that need something which this kernel, machine or user may lack. */

import { type FamilyName, probe } from "../../cmd/probe.ts";
import { readText } from "../../sys/file.ts";
import { version } from "../../sys/uname.ts";
import { exists } from "./exists.ts";
import { isRoot } from "./process.ts";

/**
 * Registers a test. Where something is missing, registers a skipped test, whose
 * name says what it needs.
 *
 * @param missing Names what is missing, for which there are functions below; ""
 * if nothing is.
 */
export function testUnless(
  missing: string,
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const ignore = missing !== "";
  Deno.test({ name: ignore ? `${name} (needs ${missing})` : name, ignore, fn });
}

let found: ReturnType<typeof probe> | undefined;
/** Asks the kernel once for a whole test file. */
const kernel = () => found ??= probe();

/** Returns those names that `there` does not hold, as one name. */
function absent(names: string[], there: (name: string) => boolean): string {
  return names.filter((name) => !there(name)).join(" and ");
}

/** Returns the setup flags that the kernel lacks, such as `"SQPOLL"`. */
export function lacksFlag(...flags: string[]): string {
  return absent(flags, (flag) => kernel().setupFlags.includes(flag));
}

/** Returns the operations that the kernel lacks, such as `"SEND_ZC"`. */
export function lacksOpcode(...opcodes: string[]): string {
  return absent(opcodes, (opcode) => kernel().opcodes.includes(opcode));
}

/** Returns the commands that the kernel lacks, such as `"socket SETSOCKOPT"`. */
export function lacksCommand(...commands: FamilyName[]): string {
  const { families } = kernel();
  const there = (name: string) =>
    families[name as FamilyName]?.available === "yes";
  return absent(commands, there);
}

/** Returns the version if the kernel is older. */
export function lacksLinux(major: number, minor: number): string {
  return hasLinux(major, minor) ? "" : `Linux ${major}.${minor} or later`;
}

/** Returns `true` if the kernel has this version, or a later one. */
export function hasLinux(major: number, minor: number): boolean {
  return version() >= major * 1000 + minor;
}

/** Returns `"root"` if this process runs as another user. */
export function lacksRoot(): string {
  return isRoot ? "" : "root";
}

/** Returns what a program in mounts of its own needs, if that is missing. */
export function lacksMounts(): string {
  return isRoot && exists("/usr/bin/unshare") ? "" : "root with unshare(1)";
}

/**
 * Returns `"a guest of the laboratory"` on any other machine. Tests that can hang the
 * kernel run only there.
 */
export function lacksGuest(): string {
  const words = (readText("/proc/cmdline") ?? "").split(" ");
  return words.includes("uring.guest") ? "" : "a guest of the laboratory";
}

/** Returns an address, such as `"::1"`, if this machine does not have it. */
export function lacksAddress(hostname: string): string {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return "";
  } catch {
    return hostname;
  }
}
