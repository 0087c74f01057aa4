/** Commands to SCSI disks, with names after sg3_utils. */

import type { Command } from "../../ring/command.ts";
import * as disk from "../scsi/mod.ts";
import { onDevice, readInput, writeOutput } from "./device.ts";
import { hexDump } from "./output.ts";
import {
  type Input,
  type Subcommand,
  type Subcommands,
  UsageError,
  YES,
} from "./subcommand.ts";

/** Returns the node for commands: of /dev/sda, that in /dev/bsg. */
function nodeOf(path: string): string {
  return /^\/dev\/(sd|sr|st)/.test(path) ? disk.bsgNode(path) : path;
}

/** The pages of product data that are decoded. */
const PAGES: Readonly<Record<number, (fd: number) => Command<unknown>>> = {
  0x80: disk.serialNumber,
  0x83: disk.deviceIdentifiers,
  0xb0: disk.blockLimits,
  0xb1: disk.blockCharacteristics,
  0xb2: disk.blockProvisioning,
};

function on<T>(
  input: Input,
  make: (fd: number) => Command<T>,
  writable = false,
): Promise<T> {
  return onDevice(
    nodeOf(input.arg(0)),
    { writable },
    (ring, fd) => ring.cmd(make(fd)),
  );
}

export const scsi: Subcommands = {
  inq: {
    summary: "show the identity of a disk",
    args: ["DEVICE"],
    run: async (input) => ({
      value: await on(input, (fd) => disk.inquiry(fd)),
    }),
  },
  vpd: {
    summary: "show a page of product data",
    args: ["DEVICE"],
    flags: {
      page: { value: "NUMBER", short: "p", help: "default 0: the list" },
    },
    async run(input) {
      const page = input.count("page", 0);
      if (page in PAGES && !input.is("raw")) {
        return { value: await on(input, (fd) => PAGES[page](fd)) };
      }
      const bytes = await on(input, (fd) => disk.vpdPage(fd, { page }));
      return { value: { page, bytes }, text: () => hexDump(bytes) };
    },
  },
  readcap: {
    summary: "show the capacity of a disk",
    args: ["DEVICE"],
    run: async (input) => ({
      value: await on(input, (fd) => disk.readCapacity(fd)),
    }),
  },
  luns: {
    summary: "list the logical units of a target",
    args: ["DEVICE"],
    run: async (input) => ({
      value: await on(input, (fd) => disk.reportLuns(fd)),
    }),
  },
  turs: {
    summary: "ask whether a disk is ready",
    args: ["DEVICE"],
    async run(input) {
      await on(input, (fd) => disk.testUnitReady(fd));
      return { value: { ready: true }, text: () => "ready" };
    },
  },
  sync: {
    summary: "write the disk's cache to its medium",
    args: ["DEVICE"],
    async run(input) {
      await on(input, (fd) => disk.synchronizeCache(fd), true);
      return { value: { synchronized: true }, text: () => "synchronized" };
    },
  },
  unmap: {
    summary: "unmap blocks (TRIM)",
    args: ["DEVICE"],
    flags: {
      lba: { value: "LBA", short: "l", help: "first block" },
      num: { value: "COUNT", short: "n", help: "blocks" },
      ...YES,
    },
    async run(input) {
      input.demandYes(`This destroys data on ${input.arg(0)}.`);
      const [lba, blocks] = [input.count("lba"), input.count("num")];
      if (lba === undefined || blocks === undefined) {
        throw new UsageError("--lba and --num are missing");
      }
      await on(input, (fd) => disk.unmap(fd, [{ lba, blocks }]), true);
      return { value: { lba, blocks } };
    },
  },
  raw: raw(),
};

function raw(): Subcommand {
  return {
    summary: "send any command",
    args: ["DEVICE", "BYTE..."],
    flags: {
      request: {
        value: "BYTES",
        short: "r",
        help: "bytes that the disk returns",
      },
      infile: { value: "FILE", short: "i", help: "data for the disk" },
      outfile: {
        value: "FILE",
        help: "write what it returns to a file, or to -",
      },
      ...YES,
    },
    details:
      "The bytes of the command are hexadecimal: raw /dev/sda 12 00 00 00 " +
      "24 00 -r 36.\nIt takes --yes, since the disk obeys; INQUIRY, TEST UNIT " +
      "READY and READ CAPACITY\ndo not.",
    async run(input) {
      const cdb = Uint8Array.from(input.rest(1), (text) => {
        if (!/^(0x)?[0-9a-f]{1,2}$/i.test(text)) {
          throw new UsageError(`${text} is no hexadecimal byte`);
        }
        return parseInt(text, 16);
      });
      if (![0x00, 0x12, 0x25].includes(cdb[0])) {
        input.demandYes("This may destroy data.");
      }
      const file = input.text("infile");
      const dataOut = file === undefined ? undefined : await readInput(file);
      const length = input.count("request", 0);
      const path = nodeOf(input.arg(0));
      const writable = input.is("yes");
      return await onDevice(path, { writable }, async (ring, fd) => {
        const dataIn = length > 0 ? ring.alloc(length) : undefined;
        const request = {
          cdb,
          ...dataIn ? { dataIn } : {},
          ...dataOut ? { dataOut } : {},
        };
        const result = await ring.cmd(disk.scsi(fd, request));
        const bytes = dataIn?.slice(0, result.transferred);
        const out = input.text("outfile");
        if (bytes !== undefined && out !== undefined) {
          await writeOutput(out, bytes);
          return;
        }
        return {
          value: { ...result, ...bytes ? { bytes } : {} },
          text: () =>
            bytes ? hexDump(bytes) : `${result.transferred} bytes transferred`,
        };
      });
    },
  };
}
