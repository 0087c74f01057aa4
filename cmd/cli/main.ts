/** Finds the subcommand, carries it out, and prints what it returns. */

import { probe } from "../probe.ts";
import { btrfs } from "./btrfs.ts";
import { discard } from "./discard.ts";
import { list } from "./list.ts";
import { mountFolder, mountZip } from "./mount.ts";
import { nvme } from "./nvme.ts";
import { asJson, asText } from "./output.ts";
import { probeText } from "./probe_text.ts";
import { scsi } from "./scsi.ts";
import { ublk } from "./ublk.ts";
import {
  COMMON,
  type Flag,
  Input,
  type Report,
  type Subcommand,
  type Subcommands,
  UsageError,
} from "./subcommand.ts";

const PROBE: Subcommand = {
  summary: "show what this kernel can do, and why not",
  run: () => {
    const value = probe();
    return { value, text: () => probeText(value) };
  },
};

/** A group, or a subcommand by itself. */
const TOP: Readonly<Record<string, Subcommand | Subcommands>> = {
  probe: PROBE,
  list,
  nvme,
  scsi,
  discard,
  btrfs,
  mount: { zip: mountZip, folder: mountFolder },
  ublk,
};

const SUMMARIES: Readonly<Record<string, string>> = {
  nvme: "commands to NVMe drives",
  scsi: "commands to SCSI disks (Linux 7.1)",
  btrfs: "compressed data of files on btrfs, as it is (Linux 6.13)",
  mount: "file systems that this tool serves",
  ublk: "disks that this tool serves (Linux 6.9)",
};

/** Runs the tool with arguments. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h") {
    console.log(overview());
    return name === undefined ? 2 : 0;
  }
  if (!Object.hasOwn(TOP, name)) return wrong(`there is no ${name}`, "");
  const entry = TOP[name];
  if (isSubcommand(entry)) return await call(name, entry, rest);
  const [inner, ...words] = rest;
  if (inner === undefined || inner === "--help" || inner === "-h") {
    console.log(groupHelp(name, entry));
    return inner === undefined ? 2 : 0;
  }
  if (!Object.hasOwn(entry, inner)) {
    return wrong(`${name} has no ${inner}`, name);
  }
  return await call(`${name} ${inner}`, entry[inner], words);
}

function isSubcommand(entry: Subcommand | Subcommands): entry is Subcommand {
  return typeof entry.summary === "string";
}

async function call(
  name: string,
  subcommand: Subcommand,
  words: readonly string[],
): Promise<number> {
  try {
    const input = new Input(subcommand, words);
    if (input.is("help")) {
      console.log(help(name, subcommand));
      return 0;
    }
    const report = await subcommand.run(input);
    if (report !== undefined) print(report, input.text("output") === "json");
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return wrong(error.message, name);
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

function print({ value, text }: Report, json: boolean): void {
  if (json) return console.log(asJson(value));
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  console.log(text === undefined ? asText(value, color) : text());
}

function wrong(message: string, name: string): number {
  console.error(
    `${message}. Try: uring ${name === "" ? "" : `${name} `}--help`,
  );
  return 2;
}

// ---- Help --------------------------------------------------------------------------

function overview(): string {
  const rows = Object.entries(TOP).map(([name, entry]): [string, string] => [
    name,
    isSubcommand(entry) ? entry.summary : SUMMARIES[name],
  ]);
  return [
    "Commands to drives, disks and file systems, over io_uring.",
    "",
    "Usage: uring COMMAND [ARGUMENTS]",
    "",
    columns(rows),
    "",
    "`uring COMMAND --help` says more. `-o json` prints JSON.",
  ].join("\n");
}

function groupHelp(name: string, group: Subcommands): string {
  const rows = Object.entries(group).map(([inner, { summary }]) =>
    [inner, summary] as const
  );
  return [
    `Usage: uring ${name} COMMAND [ARGUMENTS]`,
    "",
    columns(rows),
    "",
    `\`uring ${name} COMMAND --help\` says more.`,
  ].join("\n");
}

function help(name: string, subcommand: Subcommand): string {
  const { summary, args = [], flags = {}, details } = subcommand;
  const usage = ["Usage: uring", name, ...args, "[FLAGS]"].join(" ");
  const rows = Object.entries({ ...flags, ...COMMON }).map(flagRow);
  return [
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    "",
    usage,
    "",
    columns(rows),
    ...details === undefined ? [] : ["", details],
  ].join("\n");
}

function flagRow([name, { value, short, help }]: [string, Flag]) {
  const letter = short === undefined ? "    " : `-${short}, `;
  return [
    `${letter}--${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  ] as const;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
    .join("\n");
}
