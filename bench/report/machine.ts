/** The machine and the versions that the figures are from. */

import { liburingVersion } from "../c/baseline.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly deno: string;
  readonly liburing: string;
  /** The day, as 2026-11-24. */
  readonly date: string;
}

export async function machine(): Promise<Machine> {
  return {
    cpu: await cpu(),
    cores: navigator.hardwareConcurrency,
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
    liburing: await liburingVersion(),
    date: new Date().toISOString().slice(0, 10),
  };
}

/** Returns the processor's name: the kernel reports one on x86 only. */
async function cpu(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo");
  const name = text.match(/^model name\s*:\s*(.*)$/m)?.[1].trim();
  return name ?? Deno.build.arch;
}
