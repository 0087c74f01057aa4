/** Serves a filesystem until it is killed: DIRECTORY, and a `Server` as JSON. */

import { type Mount, mount } from "../../cmd/fuse/mod.ts";
import filesystem from "./filesystems.ts";
import type { Server } from "./plan.ts";

const [dir, json] = Deno.args;
const { kind, transport, thread }: Server = JSON.parse(json);
const options = { transport, allowOther: true, autoUnmount: false };
const module = new URL("./filesystems.ts", import.meta.url);

let live: Mount;
if (thread === "main") {
  const fs = filesystem(kind);
  live = "root" in fs
    ? await mount(dir, fs, options)
    : await mount(dir, fs, options);
} else {
  const sleep = thread === "asleep";
  live = await mount(dir, module, { ...options, sleep, data: kind });
}
if (live.transport !== transport) throw new Error(live.how);
console.log(`mounted: ${live.how}`);
