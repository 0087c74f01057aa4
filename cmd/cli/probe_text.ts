/** The abilities of the kernel, as text. */

import type { FamilyProbe, Probe } from "../probe.ts";

/** Returns what a probe found, for people. */
export function probeText(found: Probe): string {
  const lines = [`Linux ${found.kernel} on ${found.arch}`];
  if (!found.refused) {
    lines.push(
      `setup flags: ${wrap(found.setupFlags)}`,
      `features: ${wrap(found.features)}`,
      `opcodes: ${wrap(found.opcodes)}`,
      answers("commands", found.families),
    );
  }
  lines.push(
    answers("FUSE", found.fuse),
    answers("ublk", { serve: found.ublk.serve }),
    `features of ublk: ${wrap(found.ublk.features)}`,
  );
  return lines.join("\n");
}

function answers(
  title: string,
  found: Readonly<Record<string, FamilyProbe | undefined>>,
): string {
  const lines = Object.entries(found).map(([name, answer]) => {
    const { available, reason } = answer!;
    return `  ${name.padEnd(20)} ${available.padEnd(8)} ${reason}`;
  });
  return [`${title}:`, ...lines].join("\n");
}

function wrap(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const lines = names.join(" ").replace(/(.{60,76}) /g, "$1\n  ");
  return `${names.length}\n  ${lines}`;
}
