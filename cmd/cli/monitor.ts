/** Shows the health of all NVMe drives, again and again. */

import { Fleet, type Health } from "./fleet.ts";
import { asText, byteText } from "./output.ts";
import type { Subcommand } from "./subcommand.ts";

const CLEAR = "\x1b[H\x1b[2J";
const UNIT_BYTES = 512_000;

export const monitor: Subcommand = {
  summary: "show the health of all drives, like top",
  flags: {
    interval: {
      value: "SECONDS",
      short: "i",
      help: "between rounds; default 2",
    },
    count: { value: "ROUNDS", short: "c", help: "default: until Ctrl-C" },
  },
  async run(input) {
    const json = input.text("output") === "json";
    const rounds = input.count("count", Infinity);
    const intervalMs = input.count("interval", 2) * 1000;
    const clear = Deno.stdout.isTerminal() && !json ? CLEAR : "";
    await using fleet = new Fleet(Math.max(1000, intervalMs));
    for (let round = 1;; round++) {
      const rows = (await fleet.health()).map(rowOf);
      console.log(json ? JSON.stringify(rows) : `${clear}${asText(rows)}`);
      if (round >= rounds) return;
      await new Promise((resolve) => setTimeout(resolve, intervalMs));
    }
  },
};

/** Returns a line of the table. */
function rowOf({ drive: { path, modelNumber: model }, health, error }: Health) {
  if (health === null) return { drive: path, model, state: error };
  const celsius = health.temperatureKelvin - 273;
  return {
    drive: path,
    model,
    state: health.criticalWarning === 0 ? "ok" : "warning",
    celsius: health.temperatureKelvin === 0 ? null : celsius,
    "used %": health.usedPercent,
    "spare %": health.availableSparePercent,
    read: byteText(Number(health.dataUnitsRead) * UNIT_BYTES),
    written: byteText(Number(health.dataUnitsWritten) * UNIT_BYTES),
    hours: Number(health.powerOnHours),
    errors: Number(health.mediaErrors),
  };
}
