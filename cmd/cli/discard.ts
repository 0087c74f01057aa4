/** Discards ranges of disks, as blkdiscard does. */

import { Ring } from "../../ring/ring.ts";
import type { Command } from "../../ring/command.ts";
import { type BlockDevice, blockDevice, discard, openDisk } from "../block.ts";
import { close, fallocate, read } from "../op.ts";
import { byteText } from "./output.ts";
import { formatOf, SIGNATURE_BYTES } from "./signature.ts";
import {
  type Input,
  type Report,
  type Subcommand,
  UsageError,
  YES,
} from "./subcommand.ts";

/** Commands in flight at a time. */
const IN_FLIGHT = 8;

export { subcommand as discard };

const subcommand: Subcommand = {
  summary: "discard a range of a disk (TRIM), or fill it with zeros",
  args: ["DEVICE"],
  flags: {
    offset: { value: "BYTES", help: "first byte; default 0" },
    length: { value: "BYTES", help: "default: up to the end" },
    step: { value: "BYTES", help: "bytes at once; default: all" },
    zeroout: { short: "z", help: "fill the range with zeros instead" },
    force: { short: "f", help: "also a disk that has something on it" },
    progress: { help: "show how far it is; default on a terminal" },
    ...YES,
  },
  details:
    "It destroys the data in the range. A disk that is mounted, or used " +
    "otherwise,\nis refused: nothing can force that. One that has a file system " +
    "or a partition\ntable is refused without --force.\n" +
    "Numbers may end with K, M, G or T, of 1024; KB and so on are of 1000.",
  async run(input): Promise<Report> {
    const path = input.arg(0);
    input.demandYes(`This destroys data on ${path}.`);
    await using ring = Ring.open();
    const fd = await ring.cmd(openDisk(path));
    try {
      return await discardOn(ring, fd, input);
    } finally {
      await ring.cmd(close(fd));
    }
  },
};

async function discardOn(
  ring: Ring,
  fd: number,
  input: Input,
): Promise<Report> {
  const path = input.arg(0);
  const device = blockDevice(fd);
  const size = Number(device.byteLength);
  const offset = input.count("offset", 0);
  const length = input.count("length", size - offset);
  const step = input.count("step") || length;
  for (const [name, value] of Object.entries({ offset, length, step })) {
    if (value % device.logicalBlockSize !== 0) {
      const block = device.logicalBlockSize;
      throw new UsageError(
        `--${name} is no multiple of the ${block}-byte block`,
      );
    }
  }
  if (length <= 0 || offset + length > size) {
    throw new UsageError(`the range does not fit the ${size} bytes of ${path}`);
  }
  await refuseUsed(ring, fd, size, input);
  const zero = input.is("zeroout");
  await inSteps(ring, device, { offset, length, step, zero }, progress(input));
  const value = { path, offset, length, zeroed: zero };
  const done = zero ? "Filled with zeros" : "Discarded";
  return {
    value,
    text: () =>
      `${done}: ${byteText(length)} of ${path}, from byte ${offset} on`,
  };
}

/** Refuses a disk that has something on it, unless that is forced. */
async function refuseUsed(
  ring: Ring,
  fd: number,
  size: number,
  input: Input,
): Promise<void> {
  if (input.is("force")) return;
  const start = new Uint8Array(Math.min(size, SIGNATURE_BYTES));
  await ring.cmd(read(fd, start, { offset: 0 }));
  const found = formatOf(start);
  if (found === undefined) return;
  throw new UsageError(
    `${input.arg(0)} has ${found}. Add --force to destroy that`,
  );
}

interface Work {
  readonly offset: number;
  readonly length: number;
  readonly step: number;
  readonly zero: boolean;
}

/** Runs the commands for the parts of a range, some at a time. */
async function inSteps(
  ring: Ring,
  device: BlockDevice,
  { offset, length, step, zero }: Work,
  tell: (done: number) => void,
): Promise<void> {
  const make = (at: number, bytes: number): Command<number> =>
    zero
      ? fallocate(device.file, {
        offset: at,
        length: bytes,
        mode: "zeroRangeKeepSize",
      })
      : discard(device, { offset: at, length: bytes });
  for (let done = 0; done < length;) {
    const commands: Command<number>[] = [];
    for (let i = 0; i < IN_FLIGHT && done < length; i++) {
      const bytes = Math.min(step, length - done);
      commands.push(make(offset + done, bytes));
      done += bytes;
    }
    await ring.cmdAll(commands);
    tell(done / length);
  }
}

/** Returns a function that shows how far the work is, on the terminal. */
function progress(input: Input): (done: number) => void {
  const terminal = Deno.stderr.isTerminal();
  if (!input.is("progress") && !terminal) return () => {};
  const encoder = new TextEncoder();
  const start = terminal ? "\r" : "";
  let last = -1;
  return (done) => {
    const percent = Math.floor(done * 100);
    if (percent === last) return;
    last = percent;
    const bar = "#".repeat(percent / 4).padEnd(25, ".");
    const end = terminal && percent < 100 ? "" : "\n";
    const line = `${start}[${bar}] ${String(percent).padStart(3)} %${end}`;
    Deno.stderr.writeSync(encoder.encode(line));
  };
}
