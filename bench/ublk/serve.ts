/** Serves a disk until it is killed: KIND, and how. */

import { serve, serveInWorker } from "../../cmd/ublk/mod.ts";
import type { Kind, Server } from "./plan.ts";
import target from "./target.ts";

const [kind, how] = Deno.args as [Kind, Server["how"]];
const module = new URL("./target.ts", import.meta.url);
const plain = target(kind);

const disk = how === "asleep"
  ? await serveInWorker(module, { data: kind })
  : how === "loop"
  ? await serve(plain)
  : await serve({
    ...plain,
    read: async (request, into) => await plain.read(request, into),
  });
console.log(`served ${disk.path}`);
await disk.closed;
