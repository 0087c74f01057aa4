/**
 * The tool `uring`: commands to drives, disks and file systems from a shell.
 *
 * ```sh
 * deno run --allow-ffi jsr:@uring/cmd/cli --help
 * deno install -gA -n uring jsr:@uring/cmd/cli
 * uring list
 * uring nvme smart-log /dev/nvme0 -o json
 * uring discard /dev/sdb --offset 1G --length 2G --yes
 * ```
 *
 * The names are those of nvme-cli, sg3_utils and blkdiscard. `-o json` prints
 * what a program can read. The exit code is 0, 1 if a command failed, or 2 if the
 * arguments are wrong.
 *
 * Devices take `--allow-ffi` only. `nvme exporter` takes `--allow-net` as well,
 * commands that read or write files `--allow-read` and `--allow-write`, and `mount`
 * `--allow-run=sh,umount,fusermount3`.
 *
 * @module
 */

import { main } from "./main.ts";

export { main };

if (import.meta.main) Deno.exitCode = await main(Deno.args);
