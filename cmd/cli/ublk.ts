/** Disks that the tool serves, and those of other servers. */

import {
  deleteDevice,
  devices,
  type Disk,
  fileTarget,
  memoryTarget,
  overlay,
  recover,
  serve,
  type ServeOptions,
  type Target,
} from "../ublk/mod.ts";
import {
  type Flag,
  type Input,
  numberOf,
  type Subcommands,
  UsageError,
  YES,
} from "./subcommand.ts";

const TARGET: Readonly<Record<string, Flag>> = {
  "read-only": { short: "r", help: "refuse writes" },
  direct: { help: "past the kernel's cache of the file" },
};
const RECOVERY: Readonly<Record<string, Flag>> = {
  recovery: {
    value: "HOW",
    help: "requeue, fail-in-flight or fail: outlive this process",
  },
};

/** Makes what a disk holds. */
async function targetOf(input: Input, kind: string): Promise<Target> {
  const what = input.arg(1);
  const file = () =>
    fileTarget(what, {
      readOnly: input.is("read-only"),
      direct: input.is("direct"),
    });
  switch (kind) {
    case "file":
      return await file();
    case "overlay":
      return overlay(await fileTarget(what, { readOnly: true }));
    case "memory":
      return memoryTarget(numberOf(what, "memory"));
    default:
      throw new UsageError(`a disk is of file, overlay or memory, not ${kind}`);
  }
}

/** Serves a disk until a signal stops it. One that is mounted goes on. */
async function until(disk: Disk): Promise<void> {
  console.error(`${disk.path} is served. Ctrl-C ends it.`);
  const stop = () =>
    disk.stop().catch((error) => console.error(String(error.message ?? error)));
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    await disk.closed;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}

function idOf(text: string): number {
  const [, digits = text] = /^\/dev\/ublk[bc](\d+)$/.exec(text) ?? [];
  return numberOf(digits, "ID");
}

export const ublk: Subcommands = {
  list: {
    summary: "list the disks, with their state and server",
    run: async () => {
      const value = await devices();
      return value.length > 0 ? { value } : { value, text: () => "No disks." };
    },
  },
  add: {
    summary: "serve a file, changes over a file, or memory as a disk",
    args: ["KIND", "FILE"],
    flags: { ...TARGET, ...RECOVERY },
    details:
      "add file disk.img, add overlay disk.img (its changes are lost at the " +
      "end),\nadd memory 1G.",
    async run(input) {
      const recovery = input.text("recovery");
      if (
        recovery !== undefined &&
        !["requeue", "fail-in-flight", "fail"].includes(recovery)
      ) {
        throw new UsageError(
          `--recovery takes requeue, fail-in-flight or fail, not ${recovery}`,
        );
      }
      const options = recovery === undefined
        ? {}
        : { recovery: recovery as ServeOptions["recovery"] };
      const target = await targetOf(input, input.arg(0));
      await until(await serve(target, options));
    },
  },
  recover: {
    summary: "serve a disk again whose server died",
    args: ["ID", "FILE"],
    flags: TARGET,
    async run(input) {
      const id = idOf(input.arg(0));
      await until(await recover(id, await targetOf(input, "file")));
    },
  },
  del: {
    summary: "delete a disk whose server died",
    args: ["ID"],
    flags: {
      force: {
        short: "f",
        help: "also one that is served: its data may be lost",
      },
      ...YES,
    },
    async run(input) {
      const id = idOf(input.arg(0));
      const force = input.is("force");
      if (force) input.demandYes("Programs that use the disk get errors.");
      await deleteDevice(id, { force });
      return { value: { id }, text: () => `deleted /dev/ublkb${id}` };
    },
  },
};
