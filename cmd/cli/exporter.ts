/** Serves the health of all NVMe drives to Prometheus. */

import { type DriveNamespace, listDrives } from "../nvme/mod.ts";
import { Fleet, type Health } from "./fleet.ts";
import { type Subcommand, UsageError } from "./subcommand.ts";

/** A metric: its name, kind and help, and the value of a drive. */
interface Metric {
  readonly name: string;
  readonly kind: "gauge" | "counter";
  readonly help: string;
  value(health: NonNullable<Health["health"]>): number | bigint | null;
}

/**
 * The metrics of each namespace, with the names and the label of the textfile
 * collector nvme_metrics.py, so that its dashboards work.
 */
const METRICS: readonly Metric[] = [
  {
    name: "nvme_available_spare_ratio",
    kind: "gauge",
    help: "Spare capacity that remains",
    value: (log) => log.availableSparePercent / 100,
  },
  {
    name: "nvme_available_spare_threshold_ratio",
    kind: "gauge",
    help: "Spare capacity below which the drive warns",
    value: (log) => log.spareThresholdPercent / 100,
  },
  {
    name: "nvme_percentage_used_ratio",
    kind: "gauge",
    help: "Estimated part of the drive's life that is used; may be above 1",
    value: (log) => log.usedPercent / 100,
  },
  {
    name: "nvme_critical_warning",
    kind: "gauge",
    help: "Bits of the critical warnings; 0 for none",
    value: (log) => log.criticalWarning,
  },
  {
    name: "nvme_temperature_celsius",
    kind: "gauge",
    help: "Composite temperature",
    value: ({ temperatureKelvin: kelvin }) =>
      kelvin === 0 ? null : kelvin - 273,
  },
  {
    name: "nvme_controller_busy_time_seconds_total",
    kind: "counter",
    help: "Time with I/O commands in flight",
    value: (log) => log.controllerBusyMinutes * 60n,
  },
  {
    name: "nvme_data_units_read_total",
    kind: "counter",
    help: "Units of 512,000 bytes that the host read",
    value: (log) => log.dataUnitsRead,
  },
  {
    name: "nvme_data_units_written_total",
    kind: "counter",
    help: "Units of 512,000 bytes that the host wrote",
    value: (log) => log.dataUnitsWritten,
  },
  {
    name: "nvme_host_read_commands_total",
    kind: "counter",
    help: "Read commands of the host",
    value: (log) => log.hostReadCommands,
  },
  {
    name: "nvme_host_write_commands_total",
    kind: "counter",
    help: "Write commands of the host",
    value: (log) => log.hostWriteCommands,
  },
  {
    name: "nvme_media_errors_total",
    kind: "counter",
    help: "Errors of data that the drive did not recover",
    value: (log) => log.mediaErrors,
  },
  {
    name: "nvme_num_err_log_entries_total",
    kind: "counter",
    help: "Entries of the error log over the drive's life",
    value: (log) => log.errorLogEntryCount,
  },
  {
    name: "nvme_power_cycles_total",
    kind: "counter",
    help: "Times that the drive was powered on",
    value: (log) => log.powerCycles,
  },
  {
    name: "nvme_power_on_seconds_total",
    kind: "counter",
    help: "Time with power, in whole hours",
    value: (log) => log.powerOnHours * 3600n,
  },
  {
    name: "nvme_unsafe_shutdowns_total",
    kind: "counter",
    help: "Power losses without a shutdown notification",
    value: (log) => log.unsafeShutdowns,
  },
];

/** The one name of nvme_metrics.py that promtool warns of: it wants seconds. */
const HOURS: Metric = {
  name: "nvme_power_on_hours_total",
  kind: "counter",
  help: "Hours with power",
  value: (log) => log.powerOnHours,
};

/** Returns a scrape in the text format of Prometheus. */
export function metricsText(found: readonly Health[], hours = false): string {
  const lines: string[] = [];
  const metric = (
    name: string,
    kind: string,
    help: string,
    samples: readonly (readonly [string, number | bigint | null])[],
  ) => {
    const given = samples.filter(([, value]) => value !== null);
    if (given.length === 0) return;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
    for (const [labels, value] of given) {
      lines.push(`${name}{${labels}} ${value}`);
    }
  };
  const perController = (value: (each: Health) => number) =>
    found.map((each) =>
      [labelsOf({ controller: nameOf(each.drive.path) }), value(each)] as const
    );
  metric(
    "nvme_controller_info",
    "gauge",
    "The controller; always 1",
    found.map(({ drive }) => [
      labelsOf({
        controller: nameOf(drive.path),
        model: drive.modelNumber,
        firmware: drive.firmwareRevision,
        serial: drive.serialNumber,
        transport: drive.transport,
      }),
      1,
    ]),
  );
  metric(
    "nvme_up",
    "gauge",
    "Whether the controller has answered this time",
    perController(({ health }) => health === null ? 0 : 1),
  );
  const namespaces = found.flatMap(({ drive }) => drive.namespaces);
  const device = (namespace: DriveNamespace) =>
    labelsOf({ device: nameOf(namespace.blockPath ?? namespace.path ?? "") });
  metric(
    "nvme_physical_size_bytes",
    "gauge",
    "Size of the namespace",
    namespaces.map((each) => [device(each), each.byteLength]),
  );
  metric(
    "nvme_sector_size_bytes",
    "gauge",
    "Size of a block",
    namespaces.map((each) => [device(each), each.blockSize]),
  );
  for (
    const { name, kind, help, value } of hours ? [...METRICS, HOURS] : METRICS
  ) {
    metric(
      name,
      kind,
      help,
      found.flatMap(({ drive, health }) =>
        health === null
          ? []
          : drive.namespaces.map((each) =>
            [device(each), value(health)] as const
          )
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Returns the name that the collector has for a node. */
function nameOf(path: string): string {
  return path.replace("/dev/", "");
}

function labelsOf(labels: Record<string, string>): string {
  return Object.entries(labels).map(([name, value]) =>
    `${name}="${
      value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')
        .replaceAll("\n", "\\n")
    }"`
  ).join(",");
}

export const exporter: Subcommand = {
  summary: "serve the health of all drives to Prometheus",
  flags: {
    listen: {
      value: "ADDRESS",
      help: "default 127.0.0.1:9998; also [::1]:9998",
    },
    timeout: { value: "MS", help: "for a drive to answer; default 5000" },
    hours: { help: "also nvme_power_on_hours_total, for older dashboards" },
  },
  details:
    `GET /metrics has the metrics of nvme_metrics.py, a collector for the node
exporter, with the time of power in seconds. The drives are asked at each request,
all at once. It needs root, and --allow-net beside --allow-ffi.`,
  async run(input) {
    const address = input.text("listen") ?? "127.0.0.1:9998";
    const [, host, digits] = /^(.*):(\d+)$/.exec(address) ?? [];
    if (host === undefined) {
      throw new UsageError(
        "--listen takes a host and a port, as 127.0.0.1:9998",
      );
    }
    const hostname = host.replace(/^\[(.*)\]$/, "$1") || "0.0.0.0";
    await using fleet = new Fleet(input.count("timeout", 5000));
    const server = Deno.serve({
      hostname,
      port: Number(digits),
      onListen: ({ hostname, port }) => {
        const at = hostname.includes(":") ? `[${hostname}]` : hostname;
        const count = listDrives().length;
        console.error(`http://${at}:${port}/metrics, of ${count} controllers`);
      },
    }, (request) => answer(request, fleet, input.is("hours")));
    const stop = () => void server.shutdown();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, stop);
    }
    await server.finished;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.removeSignalListener(signal, stop);
    }
  },
};

async function answer(
  request: Request,
  fleet: Fleet,
  hours: boolean,
): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/") {
    return new Response("The metrics are at /metrics.\n");
  }
  if (pathname !== "/metrics") {
    return new Response("Not found\n", { status: 404 });
  }
  const found = await fleet.health();
  for (const { drive, error } of found) {
    if (error !== "") console.error(`${drive.path}: ${error}`);
  }
  return new Response(metricsText(found, hours), {
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
  });
}
