/** The tests that should notice a mutant, by the place of its file. */

import { readdirSync } from "node:fs";

const ROOT = new URL("../../", import.meta.url);

/**
 * Tests for the files below a path; the longest path that fits counts. The
 * quickest come first, because a run ends at the first failure.
 */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  "sys/": ["sys/", "ring/raw_test.ts", "ring/address_test.ts"],
  "sys/arena.ts": [
    "ring/address_test.ts",
    "ring/memory_test.ts",
    "ring/service_test.ts",
  ],
  "sys/file.ts": ["cmd/nodes_test.ts", "cmd/socket_fd_test.ts"],
  "sys/libc.ts": [
    "ring/raw_test.ts",
    "ring/process_test.ts",
    "ring/deno_test.ts",
  ],
  "sys/mapping.ts": ["ring/raw_test.ts", "ring/memory_test.ts"],
  "ring/": [
    ...["ring/command_test.ts", "ring/errors_test.ts", "ring/raw_test.ts"],
    ...["ring/traps_test.ts", "cmd/op_test.ts", "cmd/uring_cmd_test.ts"],
    ...["attack/fuzz/holes_test.ts", "ring/memory_test.ts"],
    ...["ring/address_test.ts", "ring/restrict_test.ts", "ring/ring_test.ts"],
  ],
  "ring/bare/": [
    ...["ring/squeue_test.ts", "ring/cqueue_test.ts", "ring/errors_test.ts"],
    "ring/raw_test.ts",
    ...["ring/hold_test.ts", "fake/failure_test.ts", "fake/order_test.ts"],
    ...["ring/restrict_test.ts", "ring/ring_test.ts"],
  ],
  "ring/flight/": [
    ...["fake/", "ring/command_test.ts", "ring/batch_test.ts"],
    ...["ring/cmd_all_test.ts", "ring/engine_test.ts", "ring/memory_test.ts"],
    ...["attack/fuzz/holes_test.ts", "ring/restrict_test.ts"],
    ...["ring/ring_test.ts", "attack/storm_test.ts"],
  ],
  "ring/flight/pool.ts": ["ring/memory_test.ts", "ring/address_test.ts"],
  "ring/service/": [
    ...["ring/service_test.ts", "cmd/serve_test.ts"],
    "attack/service_test.ts",
  ],
  "ring/loop/": [
    ...["ring/wake_test.ts", "ring/wake_process_test.ts"],
    "attack/numbers_test.ts",
    "attack/many_rings_test.ts",
  ],
  "ring/loop/engine.ts": [
    ...["fake/", "ring/batch_test.ts", "ring/engine_test.ts"],
    ...["ring/close_test.ts", "ring/ring_test.ts", "ring/wake_test.ts"],
    "ring/wake_process_test.ts",
    "ring/process_test.ts",
    "ring/deno_test.ts",
  ],
  "ring/loop/unload.ts": ["ring/unload_test.ts"],
  "ring/loop/pace.ts": ["fake/", "ring/wake_test.ts", "ring/ring_test.ts"],
  "cmd/": ["cmd/uring_cmd_test.ts"],
  "cmd/cli/": [
    ...["cmd/cli_test.ts", "ring/process_test.ts", "ring/deno_test.ts"],
  ],
  "cmd/fuse/": ["fuse/"],
  "cmd/device_node.ts": ["cmd/scsi_pages_test.ts", "cmd/nvme_pages_test.ts"],
  "cmd/ublk/": ["ublk/unit_test.ts"],
  "cmd/file_advice.ts": [
    ...["cmd/entries_test.ts", "cmd/extents_test.ts", "cmd/xattr_test.ts"],
  ],
  "cmd/op.ts": ["ring/ring_test.ts"],
  "cmd/path.ts": ["cmd/statx_test.ts", "cmd/entries_test.ts"],
  "cmd/probe.ts": [
    "ring/process_test.ts",
    "ring/deno_test.ts",
    "cmd/nodes_test.ts",
  ],
  "cmd/serve.ts": ["cmd/serve_test.ts"],
  "cmd/sockaddr.ts": ["cmd/socket_test.ts", "cmd/op_test.ts"],
  "cmd/writable.ts": ["cmd/block_test.ts", "cmd/scsi_test.ts"],
};

/** Files of `sys/` with more than constants in them. */
const SYS = ["struct", "arena", "mapping", "libc", "file"];

/** Returns the files that mutants are made of. */
export function files(): string[] {
  return [
    ...SYS.map((name) => `sys/${name}.ts`),
    ...["ring", "cmd"].flatMap(sourcesIn),
  ];
}

/**
 * Returns the tests for a file: those that have its name, or the name of its
 * folder in `cmd/`, and those that files of its folder share.
 */
export function testsFor(file: string): string[] {
  const [floor] = file.split("/");
  const [, name] = /^cmd\/(\w+)\//.exec(file) ?? /(\w+)\.ts$/.exec(file)!;
  const own = testsIn(`tests/${floor}`)
    .filter((path) => path.startsWith(`tests/${floor}/${name}`));
  const [shared] = Object.keys(SHARED)
    .filter((path) => file.startsWith(path))
    .sort((a, b) => b.length - a.length);
  // Deno would run the files of a folder after all others.
  const others = SHARED[shared].flatMap((it) =>
    it.endsWith("/") ? testsIn(`tests/${it.slice(0, -1)}`) : `tests/${it}`
  );
  return [...new Set([...own, ...others])];
}

function testsIn(folder: string): string[] {
  return sourcesIn(folder).filter((path) => path.endsWith("_test.ts"));
}

function sourcesIn(folder: string): string[] {
  return readdirSync(new URL(folder, ROOT), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".ts"))
    .sort();
}
