/** Commands to the blocks and zones of an NVMe namespace. */

import type { Command } from "../../ring/command.ts";
import * as drive from "../nvme/mod.ts";
import { namespacePath, onDevice, readInput, writeOutput } from "./device.ts";
import { hexDump } from "./output.ts";
import {
  type Flag,
  type Input,
  type Report,
  type Subcommand,
  type Subcommands,
  UsageError,
  YES,
} from "./subcommand.ts";

const RANGE: Readonly<Record<string, Flag>> = {
  "start-block": { value: "LBA", short: "s", help: "first block; default 0" },
  blocks: { value: "COUNT", short: "c", help: "blocks; default 1" },
};
const DATA: Readonly<Record<string, Flag>> = {
  data: {
    value: "FILE",
    short: "d",
    help: "the file; - is the standard input",
  },
};

/** Runs a command on a namespace. */
function onNamespace<T>(
  input: Input,
  make: (namespace: drive.NvmeNamespace) => Command<T>,
  writable = false,
): Promise<T> {
  const path = namespacePath(input.arg(0));
  return onDevice(
    path,
    { writable },
    (ring, fd) => ring.cmd(make(drive.nvmeNamespace(fd))),
  );
}

/** Returns the range that was asked for. */
function rangeOf(input: Input): { lba: number; blocks: number } {
  return {
    lba: input.count("start-block", 0),
    blocks: input.count("blocks", 1),
  };
}

/** Reports how many blocks a command was for. */
function done(input: Input, what: string): Report {
  const value = { path: namespacePath(input.arg(0)), ...rangeOf(input) };
  const text = () =>
    `${what} ${value.blocks} blocks from block ${value.lba} on of ${value.path}`;
  return { value, text };
}

const read: Subcommand = {
  summary: "read blocks",
  args: ["DEVICE"],
  flags: {
    ...RANGE,
    data: { value: "FILE", short: "d", help: "write them to a file, or to -" },
  },
  async run(input) {
    const { lba, blocks } = rangeOf(input);
    const path = namespacePath(input.arg(0));
    const bytes = await onDevice(path, {}, async (ring, fd) => {
      const namespace = drive.nvmeNamespace(fd);
      const data = ring.alloc(blocks * bytesOf(namespace));
      await ring.cmd(drive.read(namespace, { lba, data }));
      return data.slice();
    });
    const file = input.text("data");
    if (file !== undefined) return await writeOutput(file, bytes);
    return { value: { lba, blocks, bytes }, text: () => hexDump(bytes) };
  },
};

/** Returns the bytes of a block as commands transfer them. */
function bytesOf(namespace: drive.NvmeNamespace): number {
  const { blockSize, metadataSize, metadataInline } = namespace;
  return blockSize + (metadataInline ? metadataSize : 0);
}

/** A subcommand that sends the data of a file. */
function sending(
  summary: string,
  make: (
    namespace: drive.NvmeNamespace,
    transfer: drive.BlockTransfer,
  ) => Command<number>,
  what: string,
  destroys: boolean,
): Subcommand {
  return {
    summary,
    args: ["DEVICE"],
    flags: {
      "start-block": RANGE["start-block"],
      ...DATA,
      ...destroys ? YES : {},
    },
    async run(input) {
      if (destroys) input.demandYes(`This destroys data on ${input.arg(0)}.`);
      const file = input.text("data");
      if (file === undefined) throw new UsageError("--data is missing");
      const bytes = await readInput(file);
      const lba = input.count("start-block", 0);
      const path = namespacePath(input.arg(0));
      const blocks = await onDevice(
        path,
        { writable: true },
        async (ring, fd) => {
          const namespace = drive.nvmeNamespace(fd);
          await ring.cmd(make(namespace, { lba, data: bytes }));
          return bytes.length / bytesOf(namespace);
        },
      );
      return {
        value: { path, lba, blocks },
        text: () => `${what} ${blocks} blocks from block ${lba} on of ${path}`,
      };
    },
  };
}

/** A subcommand for blocks without data. */
function onBlocks(
  summary: string,
  make: (
    namespace: drive.NvmeNamespace,
    range: { lba: number; blocks: number },
    input: Input,
  ) => Command<number>,
  what: string,
  { destroys = false, flags = {} }: {
    destroys?: boolean;
    flags?: Readonly<Record<string, Flag>>;
  } = {},
): Subcommand {
  return {
    summary,
    args: ["DEVICE"],
    flags: { ...RANGE, ...flags, ...destroys ? YES : {} },
    async run(input) {
      if (destroys) input.demandYes(`This destroys data on ${input.arg(0)}.`);
      const range = rangeOf(input);
      await onNamespace(input, (each) => make(each, range, input), destroys);
      return done(input, what);
    },
  };
}

/** A subcommand for a zone, or for all of them. */
function onZone(action: drive.ZoneAction, destroys: boolean): Subcommand {
  return {
    summary: `${action} a zone`,
    args: ["DEVICE"],
    flags: {
      "start-lba": {
        value: "LBA",
        short: "s",
        help: "first block of the zone",
      },
      "select-all": { short: "a", help: "all zones" },
      ...destroys ? YES : {},
    },
    async run(input) {
      if (destroys) input.demandYes(`This destroys data on ${input.arg(0)}.`);
      const all = input.is("select-all");
      const start = input.count("start-lba");
      if (!all && start === undefined) {
        throw new UsageError("--start-lba or --select-all is missing");
      }
      const lba = all ? "all" : start!;
      await onNamespace(
        input,
        (each) => drive.zoneManagementSend(each, { lba, action }),
        true,
      );
      return { value: { path: namespacePath(input.arg(0)), lba, action } };
    },
  };
}

export const blocks: Subcommands = {
  read,
  write: sending("write blocks", drive.write, "Wrote", true),
  compare: sending(
    "compare blocks with a file",
    drive.compare,
    "Equal:",
    false,
  ),
  verify: onBlocks(
    "let the drive check blocks",
    (namespace, range) => drive.verify(namespace, range),
    "Checked",
  ),
  "write-zeroes": onBlocks(
    "fill blocks with zeros",
    (namespace, range, input) =>
      drive.writeZeroes(namespace, { ...range, deallocate: input.is("deac") }),
    "Zeroed",
    {
      destroys: true,
      flags: { deac: { help: "the drive may deallocate them" } },
    },
  ),
  dsm: onBlocks(
    "deallocate blocks (TRIM)",
    (namespace, range) =>
      drive.datasetManagement(namespace, { ranges: [range], deallocate: true }),
    "Deallocated",
    { destroys: true },
  ),
  flush: {
    summary: "write the drive's cache to its medium",
    args: ["DEVICE"],
    async run(input) {
      await onNamespace(input, (each) => drive.flush(each), true);
      return { value: { path: namespacePath(input.arg(0)) } };
    },
  },
  "zns-report": {
    summary: "list the zones of a namespace",
    args: ["DEVICE"],
    flags: {
      "start-lba": { value: "LBA", short: "s", help: "default 0" },
      descs: { value: "COUNT", short: "d", help: "most zones; default 63" },
    },
    run: async (input) => {
      const value = await onNamespace(
        input,
        (namespace) =>
          drive.zoneManagementReceive(namespace, {
            lba: input.count("start-lba", 0),
            maxZones: input.count("descs", 63),
          }),
      );
      return { value };
    },
  },
  "zns-reset": onZone("reset", true),
  "zns-open": onZone("open", false),
  "zns-close": onZone("close", false),
  "zns-finish": onZone("finish", true),
};
