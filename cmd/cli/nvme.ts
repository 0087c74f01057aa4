/** Commands to NVMe drives, with the names of nvme-cli. */

import type { Command } from "../../ring/command.ts";
import * as drive from "../nvme/mod.ts";
import { controllerPath, onDevice } from "./device.ts";
import { exporter } from "./exporter.ts";
import { monitor } from "./monitor.ts";
import { blocks } from "./nvme_blocks.ts";
import { passthrough } from "./nvme_passthru.ts";
import {
  type Flag,
  type Input,
  numberOf,
  type Subcommand,
  type Subcommands,
  UsageError,
  YES,
} from "./subcommand.ts";

const NSID: Readonly<Record<string, Flag>> = {
  "namespace-id": { value: "ID", short: "n", help: "the namespace" },
};
/** Runs a command on a controller. */
function onController<T>(
  input: Input,
  make: (fd: number) => Command<T>,
  writable = false,
): Promise<T> {
  const path = controllerPath(input.arg(0));
  return onDevice(path, { writable }, (ring, fd) => ring.cmd(make(fd)));
}

/** Returns the namespace that was asked for: by the flag, or by the path. */
function nsidOf(input: Input, otherwise: number): number {
  const [, id] = /n(\d+)$/.exec(input.arg(0)) ?? [];
  const named = /\dn\d+$/.test(input.arg(0)) ? Number(id) : otherwise;
  return input.count("namespace-id", named);
}

/** A subcommand that reads something from a controller. */
function query(
  summary: string,
  make: (fd: number, input: Input) => Command<unknown>,
  flags: Readonly<Record<string, Flag>> = {},
): Subcommand {
  return {
    summary,
    args: ["DEVICE"],
    flags,
    run: async (input) => ({
      value: await onController(input, (fd) => make(fd, input)),
    }),
  };
}

const FEATURE: Readonly<Record<string, Flag>> = {
  "feature-id": { value: "ID", short: "f", help: "the feature, such as 2" },
  ...NSID,
};

function featureOf(input: Input): number {
  const id = input.text("feature-id");
  if (id === undefined) throw new UsageError("--feature-id is missing");
  return numberOf(id, "--feature-id");
}

export const nvme: Subcommands = {
  "id-ctrl": query(
    "show the identity of a controller",
    (fd) => drive.identifyController(fd),
  ),
  "id-ns": query(
    "show the identity of a namespace",
    (fd, input) => drive.identifyNamespace(fd, { nsid: nsidOf(input, 1) }),
    NSID,
  ),
  "list-ns": query(
    "list the active namespaces of a controller",
    (fd) => drive.activeNamespaces(fd),
  ),
  "smart-log": query("show the health of a drive", (fd) => drive.smartLog(fd)),
  "error-log": query(
    "show the last errors of a drive",
    (fd, input) =>
      drive.errorLog(fd, { maxEntries: input.count("log-entries", 64) }),
    { "log-entries": { value: "COUNT", short: "e", help: "default 64" } },
  ),
  "fw-log": query("show the firmware slots", (fd) => drive.firmwareLog(fd)),
  "get-feature": query(
    "show a feature",
    (fd, input) => {
      const nsid = input.count("namespace-id");
      const select = input.text("sel") ?? "current";
      if (!["current", "default", "saved", "supported"].includes(select)) {
        throw new UsageError(
          "--sel takes current, default, saved or supported",
        );
      }
      return drive.getFeatures(fd, {
        feature: featureOf(input),
        select: select as drive.FeatureSelect,
        ...nsid === undefined ? {} : { nsid },
      });
    },
    {
      ...FEATURE,
      sel: { value: "WHICH", help: "current, default, saved or supported" },
    },
  ),
  "set-feature": {
    summary: "set a feature",
    args: ["DEVICE"],
    flags: {
      ...FEATURE,
      value: { value: "NUMBER", help: "command dword 11" },
      save: { help: "keep it over a reset" },
      ...YES,
    },
    async run(input) {
      input.demandYes("This changes how the drive works.");
      const value = input.count("value");
      if (value === undefined) throw new UsageError("--value is missing");
      const nsid = input.count("namespace-id");
      const options = {
        feature: featureOf(input),
        value,
        save: input.is("save"),
        ...nsid === undefined ? {} : { nsid },
      };
      await onController(input, (fd) => drive.setFeatures(fd, options), true);
      return { value: { path: controllerPath(input.arg(0)), ...options } };
    },
  },
  ...blocks,
  "admin-passthru": passthrough(true),
  "io-passthru": passthrough(false),
  monitor,
  exporter,
};
