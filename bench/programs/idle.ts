/** Measures the CPU time of a process that awaits a command without end. */

import process from "node:process";
import { Ring } from "../../mod.ts";
import { read } from "../../cmd/op.ts";
import { pipe } from "../../tests/kit/fds.ts";

const SECONDS = 3;

const ring = Ring.open();
const nothing = ring.cmd(read(pipe().left, ring.alloc(1)));
nothing.catch(() => {}); // It is in flight until the process exits.
// Work left over from the start is no part of waiting.
await new Promise((resolve) => setTimeout(resolve, 200));
const before = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
const { user, system } = process.cpuUsage(before);
const cpuPercent = (user + system) / 1e6 / SECONDS * 100;
console.log(JSON.stringify({ cpuPercent }));
Deno.exit(0);
