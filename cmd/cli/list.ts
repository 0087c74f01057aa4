/** Lists the disks of this machine, as the kernel describes them in /sys. */

import { close, listDirectory, open, readText } from "../../sys/file.ts";
import { byteText } from "./output.ts";
import type { Report, Subcommand } from "./subcommand.ts";

/** A disk. What the kernel does not say is `null`. */
export interface Disk {
  /** The node of the block device. */
  readonly path: string;
  readonly kind: "nvme" | "scsi" | "other";
  readonly model: string | null;
  readonly serial: string | null;
  readonly firmware: string | null;
  readonly byteLength: number;
  readonly logicalBlockSize: number;
  readonly readOnly: boolean;
  /** The node for commands, and the controller's: `null` if there is none. */
  readonly commands: string | null;
  readonly controller: string | null;
  /** `true` if this process may open that node, or the disk's, for reading. */
  readonly mayOpen: boolean;
}

export const list: Subcommand = {
  summary: "list the disks, and the nodes that take commands",
  flags: {
    all: { short: "a", help: "also loop devices, RAM disks and the like" },
  },
  run(input): Report {
    const value = disks(input.is("all"));
    return { value, text: () => tableOf(value) };
  },
};

/** Finds the disks, sorted by name. */
export function disks(all: boolean): Disk[] {
  const isDisk = (name: string) =>
    all || !/^(loop|ram|zram|dm-|md|sr|fd|nbd)\d*/.test(name);
  const names = listDirectory("/sys/block", isDisk);
  if (typeof names === "number") return [];
  return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map(disk);
}

function disk(name: string): Disk {
  const folder = `/sys/block/${name}`;
  const fact = (file: string) => readText(`${folder}/${file}`) || null;
  const [, nvme, namespace] = /^nvme(\d+)n(\d+)$/.exec(name) ?? [];
  const bsg = listDirectory(`${folder}/device/bsg`, () => true);
  const scsi = typeof bsg === "number" ? undefined : bsg[0];
  const commands = nvme !== undefined
    ? `/dev/ng${nvme}n${namespace}`
    : scsi === undefined
    ? null
    : `/dev/bsg/${scsi}`;
  const path = `/dev/${name.replaceAll("!", "/")}`;
  return {
    path,
    kind: nvme !== undefined ? "nvme" : scsi === undefined ? "other" : "scsi",
    model: fact("device/model"),
    serial: fact("device/serial") ?? fact("serial"),
    firmware: fact("device/firmware_rev") ?? fact("device/rev"),
    // In units of 512 bytes, whatever the block.
    byteLength: Number(fact("size") ?? 0) * 512,
    logicalBlockSize: Number(fact("queue/logical_block_size") ?? 512),
    readOnly: fact("ro") === "1",
    commands,
    controller: nvme === undefined ? null : `/dev/nvme${nvme}`,
    mayOpen: mayOpen(commands ?? path),
  };
}

function mayOpen(path: string): boolean {
  const fd = open(path);
  if (fd < 0) return false;
  close(fd);
  return true;
}

/** Returns a table for people. */
function tableOf(found: readonly Disk[]): string {
  if (found.length === 0) {
    return "No disks. `uring list --all` lists loop devices.";
  }
  const rows = [
    [
      "DISK",
      "COMMANDS",
      "MODEL",
      "SERIAL",
      "FIRMWARE",
      "SIZE",
      "BLOCK",
      "OPEN",
    ],
    ...found.map((each) => [
      each.path,
      each.commands ?? "-",
      each.model ?? "-",
      each.serial ?? "-",
      each.firmware ?? "-",
      byteText(each.byteLength),
      String(each.logicalBlockSize),
      each.mayOpen ? "yes" : "no",
    ]),
  ];
  const widths = rows[0].map((_, i) =>
    Math.max(...rows.map((row) => row[i].length))
  );
  return rows.map((row) =>
    row.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd()
  ).join("\n");
}
