/** The program that serves a disk for a test: KIND, OPTIONS. */

import * as ublk from "../../cmd/ublk/mod.ts";
import type { Target } from "../../cmd/ublk/mod.ts";

const [kind, json] = Deno.args;
const { size = 32 << 20, recovers, worker, ...options } = JSON.parse(json);

/** Reads zeros, and never answers a write. */
const stuck: Target = {
  size,
  read: (_, into) => void into.fill(0),
  write: () => new Promise(() => {}),
};

async function target(): Promise<Target> {
  switch (kind) {
    case "memory":
      return ublk.memoryTarget(size);
    case "stuck":
      return stuck;
    default:
      return await ublk.fileTarget(kind);
  }
}

const disk = worker
  ? await ublk.serveInWorker(new URL("./module.ts", import.meta.url), {
    ...options,
    data: { kind, size },
  })
  : recovers === undefined
  ? await ublk.serve(await target(), options)
  : await ublk.recover(recovers, await target(), options);

// Before the line that says that signals may come.
Deno.addSignalListener("SIGTERM", () => attempt(() => disk.stop()));
Deno.addSignalListener(
  "SIGINT",
  () => attempt(() => disk.stop({ force: true, graceMs: 200 })),
);
Deno.addSignalListener("SIGHUP", () => attempt(() => disk.handOver()));
Deno.addSignalListener("SIGUSR2", () => attempt(() => disk.abort()));

console.log(`served ${disk.path} ${disk.features.join()}`);
console.log(`closed ${await disk.closed}`);
Deno.exit(0);

async function attempt(call: () => unknown): Promise<void> {
  try {
    await call();
  } catch (error) {
    console.log(`refused ${error}`);
  }
}
