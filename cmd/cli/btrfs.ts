/** Reads and writes the data of files on btrfs as it is on the disk. */

import { Ring } from "../../ring/ring.ts";
import { encodedRead } from "../btrfs/mod.ts";
import { close, openat } from "../op.ts";
import { writeOutput } from "./device.ts";
import { hexDump } from "./output.ts";
import type { Subcommands } from "./subcommand.ts";

export const btrfs: Subcommands = {
  read: {
    summary: "read an extent, compressed if it is",
    args: ["FILE"],
    flags: {
      offset: { value: "BYTES", help: "in the file; default 0" },
      data: {
        value: "FILE",
        short: "d",
        help: "write the data to a file, or to -",
      },
    },
    async run(input) {
      await using ring = Ring.open({ sqpoll: true });
      const fd = await ring.cmd(openat(input.arg(0)));
      try {
        const options = { offset: input.count("offset", 0) };
        const { data, ...facts } = await ring.cmd(encodedRead(fd, options));
        const file = input.text("data");
        if (file !== undefined) await writeOutput(file, data);
        if (file === "-") return;
        return {
          value: { ...facts, bytes: data.length },
          ...file === undefined ? { text: () => hexDump(data) } : {},
        };
      } finally {
        await ring.cmd(close(fd));
      }
    },
  },
};
