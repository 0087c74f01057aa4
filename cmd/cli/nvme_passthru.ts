/** Any command to an NVMe drive. */

import * as drive from "../nvme/mod.ts";
import {
  controllerPath,
  namespacePath,
  onDevice,
  readInput,
} from "./device.ts";
import { hexDump } from "./output.ts";
import {
  type Flag,
  type Input,
  type Subcommand,
  UsageError,
  YES,
} from "./subcommand.ts";

const PASSTHRU: Readonly<Record<string, Flag>> = {
  opcode: { value: "NUMBER", short: "O", help: "the operation" },
  "namespace-id": { value: "ID", short: "n", help: "default 0: none" },
  ...Object.fromEntries(
    [2, 3, 10, 11, 12, 13, 14, 15].map((n) => [
      `cdw${n}`,
      { value: "NUMBER", help: `command dword ${n}` },
    ]),
  ),
  "data-len": {
    value: "BYTES",
    short: "l",
    help: "bytes that the drive returns",
  },
  "input-file": { value: "FILE", short: "i", help: "data for the drive" },
  timeout: {
    value: "MS",
    short: "t",
    help: "milliseconds until it is aborted",
  },
  ...YES,
};

/** Returns the subcommand for admin or for I/O commands. */
export function passthrough(admin: boolean): Subcommand {
  return {
    summary: `send any ${admin ? "admin" : "I/O"} command`,
    args: ["DEVICE"],
    flags: PASSTHRU,
    details:
      "The drive obeys. Identify, Get Log Page, Get Features and Read need " +
      "no --yes.",
    async run(input) {
      const opcode = input.count("opcode");
      if (opcode === undefined) throw new UsageError("--opcode is missing");
      const harmless = admin ? [2, 6, 10].includes(opcode) : opcode === 2;
      if (!harmless) input.demandYes("This may destroy data.");
      const file = input.text("input-file");
      const sent = file === undefined ? undefined : await readInput(file);
      const length = input.count("data-len", 0);
      const path = admin
        ? controllerPath(input.arg(0))
        : namespacePath(input.arg(0));
      return await onDevice(path, { writable: true }, async (ring, fd) => {
        const into = length > 0 ? ring.alloc(length) : undefined;
        const target = admin ? fd : drive.nvmeNamespace(fd);
        const result = await ring.cmd(drive.passthru(target, {
          ...fieldsOf(input, admin),
          opcode,
          ...sent ?? into ? { data: sent ?? into } : {},
        }));
        const data = into?.slice();
        return {
          value: { result, ...data ? { data } : {} },
          text: () =>
            data ? `${hexDump(data)}\nresult ${result}` : `result ${result}`,
        };
      });
    },
  };
}

/** Returns the fields of a command that were asked for. */
function fieldsOf(input: Input, admin: boolean): Partial<drive.NvmeFields> {
  const fields: Record<string, number> = {};
  const set = (name: string, flag: string) => {
    const value = input.count(flag);
    if (value !== undefined) fields[name] = value;
  };
  for (const n of [2, 3, 10, 11, 12, 13, 14, 15]) set(`cdw${n}`, `cdw${n}`);
  if (admin) fields.nsid = input.count("namespace-id", 0);
  set("timeoutMs", "timeout");
  return fields;
}
