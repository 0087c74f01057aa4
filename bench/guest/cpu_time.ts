/** What the kernel has charged a process with, as getrusage(2) says it. */

const libc = Deno.dlopen("libc.so.6", {
  getrusage: { parameters: ["i32", "buffer"], result: "i32" },
});

/** `RUSAGE_` of <linux/resource.h>. */
const WHO = { self: 0, children: -1 } as const;

/** More than a `struct rusage`, which starts with two times of two words. */
const words = new BigInt64Array(32);

/**
 * Nanoseconds that this process has run so far with all its threads, in user
 * and kernel mode, or the children that it has waited for.
 */
export function cpuTimeNs(who: keyof typeof WHO): number {
  const rc = libc.symbols.getrusage(WHO[who], words);
  if (rc !== 0) throw new Error("getrusage failed");
  const [userSeconds, userMicros, systemSeconds, systemMicros] = words;
  return Number(userSeconds + systemSeconds) * 1e9 +
    Number(userMicros + systemMicros) * 1e3;
}
