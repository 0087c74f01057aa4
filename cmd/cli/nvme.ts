/** Commands to NVMe drives, with the names of nvme-cli. */

import type { Command } from "../../ring/command.ts";
import * as drive from "../nvme/mod.ts";
import { controllerPath, onDevice } from "./device.ts";
import { asText, byteText, hexDump } from "./output.ts";
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

/** Ways to erase, as `--ses` has them. */
const ERASES: Readonly<Record<string, drive.FormatErase>> = {
  none: "none",
  user: "userData",
  crypto: "crypto",
};

const FEATURE: Readonly<Record<string, Flag>> = {
  "feature-id": { value: "ID", short: "f", help: "the feature, such as 2" },
  ...NSID,
};

function featureOf(input: Input): number {
  const id = input.text("feature-id");
  if (id === undefined) throw new UsageError("--feature-id is missing");
  return numberOf(id, "--feature-id");
}

/** Returns a table of namespaces, with the drive of each. */
function drivesText(drives: readonly drive.Drive[]): string {
  const rows = drives.flatMap((each) =>
    each.namespaces.map((namespace) => ({
      drive: each.path,
      namespace: namespace.blockPath ?? namespace.path,
      nsid: namespace.nsid,
      model: each.modelNumber,
      serial: each.serialNumber,
      firmware: each.firmwareRevision,
      size: byteText(namespace.byteLength),
      block: namespace.blockSize,
      open: each.readable,
    }))
  );
  return rows.length === 0 ? "No NVMe drives." : asText(rows);
}

export const nvme: Subcommands = {
  list: {
    summary: "list the drives, and their namespaces",
    run: () => {
      const value = drive.listDrives();
      return { value, text: () => drivesText(value) };
    },
  },
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
  "self-test-log": query(
    "show the results of self-tests",
    (fd) => drive.selfTestLog(fd),
  ),
  "effects-log": query(
    "show what each command does",
    (fd) => drive.effectsLog(fd),
  ),
  "endurance-log": query(
    "show the wear of an endurance group",
    (fd, input) =>
      drive.enduranceGroupLog(fd, { group: input.count("group-id", 1) }),
    { "group-id": { value: "ID", short: "g", help: "default 1" } },
  ),
  "sanitize-log": query(
    "show how far a sanitize is",
    (fd) => drive.sanitizeLog(fd),
  ),
  "ns-descs": query(
    "show the names that a namespace has in the world",
    (fd, input) => drive.namespaceDescriptors(fd, { nsid: nsidOf(input, 1) }),
    NSID,
  ),
  "get-log": {
    summary: "show any log page",
    args: ["DEVICE"],
    flags: {
      "log-id": { value: "ID", short: "i", help: "the page, such as 2" },
      "log-len": { value: "BYTES", short: "l", help: "default 512" },
      offset: { value: "BYTES", help: "default 0" },
      lsp: { value: "NUMBER", help: "the log specific field" },
      ...NSID,
    },
    async run(input) {
      const lid = input.count("log-id");
      if (lid === undefined) throw new UsageError("--log-id is missing");
      const nsid = input.count("namespace-id");
      const options = {
        lid,
        byteLength: input.count("log-len", 512),
        offset: input.count("offset", 0),
        lsp: input.count("lsp", 0),
        ...nsid === undefined ? {} : { nsid },
      };
      const bytes = await onController(
        input,
        (fd) => drive.getLogPage(fd, options),
      );
      return { value: { lid, bytes }, text: () => hexDump(bytes) };
    },
  },
  "device-self-test": {
    summary: "start a self-test, or abort it",
    args: ["DEVICE"],
    flags: { test: { value: "WHICH", help: "short, extended or abort" } },
    async run(input) {
      const test = input.text("test") ?? "short";
      if (!["short", "extended", "abort"].includes(test)) {
        throw new UsageError("--test takes short, extended or abort");
      }
      const options = { test: test as "short" };
      await onController(
        input,
        (fd) => drive.deviceSelfTest(fd, options),
        true,
      );
      const path = controllerPath(input.arg(0));
      return {
        value: { path, test },
        text: () =>
          `${test}: \`uring nvme self-test-log ${path}\` has the result`,
      };
    },
  },
  format: {
    summary: "format a namespace: ALL ITS DATA IS LOST",
    args: ["DEVICE"],
    flags: {
      ...NSID,
      lbaf: { value: "INDEX", short: "l", help: "the format: see id-ns" },
      ses: { value: "WAY", short: "s", help: "none, user or crypto" },
      ...YES,
    },
    async run(input) {
      input.demandYes(`This destroys all data on ${input.arg(0)}.`);
      const nsid = nsidOf(input, 0);
      const format = input.count("lbaf");
      if (nsid === 0) throw new UsageError("--namespace-id is missing");
      if (format === undefined) throw new UsageError("--lbaf is missing");
      const erase = input.text("ses") ?? "none";
      if (!Object.hasOwn(ERASES, erase)) {
        throw new UsageError("--ses takes none, user or crypto");
      }
      const path = controllerPath(input.arg(0));
      await onDevice(path, { writable: true }, async (ring, fd) => {
        await ring.cmd(drive.formatNvm(fd, {
          ...{ nsid, format, erase: ERASES[erase] },
          destroyAllData: true,
        }));
        drive.rescanNamespaces(fd);
      });
      return { value: { path, nsid, format, erase } };
    },
  },
  sanitize: {
    summary: "sanitize a drive: ALL ITS DATA IS LOST",
    args: ["DEVICE"],
    flags: {
      sanact: {
        value: "WAY",
        short: "a",
        help: "blockErase, overwrite or cryptoErase",
      },
      ...YES,
    },
    async run(input) {
      input.demandYes(`This destroys all data on ${input.arg(0)}.`);
      const action = input.text("sanact") ?? "";
      if (!["blockErase", "overwrite", "cryptoErase"].includes(action)) {
        throw new UsageError(
          "--sanact takes blockErase, overwrite or cryptoErase",
        );
      }
      const options: drive.SanitizeOptions = {
        action: action as drive.SanitizeAction,
        destroyAllData: true,
      };
      await onController(input, (fd) => drive.sanitize(fd, options), true);
      const path = controllerPath(input.arg(0));
      return {
        value: { path, action },
        text: () =>
          `begun: \`uring nvme sanitize-log ${path}\` says how far it is`,
      };
    },
  },
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
