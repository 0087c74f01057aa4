/** The program that serves a filesystem for a test: KIND, DIRECTORY, OPTIONS. */

import { memory, type Mount, mount } from "../../cmd/fuse/mod.ts";
import type { MountOptions } from "../../cmd/fuse/mod.ts";
import { Service } from "../../ring/service/service.ts";
import { readText } from "../../sys/file.ts";
import make, { change } from "./filesystems.ts";

const [kind, dir, json] = Deno.args;
const options = JSON.parse(json);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let live: Mount;
const abort = new AbortController();
if (options.aborts) {
  const timer = setInterval(() => {
    if (!readText("/proc/mounts")!.includes(` ${dir} `)) return;
    clearInterval(timer);
    abort.abort(new Error("aborted meanwhile"));
  }, 1);
}
if (options.withoutRing) {
  // As a seccomp filter does.
  Deno.writeTextFileSync("/proc/sys/kernel/io_uring_disabled", "2");
}
if (options.refused) {
  // As if there were one vector: the kernel wants two.
  const { prepare } = Service.prototype;
  Service.prototype.prepare = function (tag, command, receive) {
    const words = prepare.call(this, tag, command, receive);
    if (command.name.includes("REGISTER")) words[6] = 1;
    return words;
  };
}
try {
  const all: MountOptions = {
    ...options,
    signal: abort.signal,
    onError: (error, op, path) =>
      console.log(`told ${op} ${path}: ${(error as Error)?.message ?? error}`),
  };
  const module = new URL("./filesystems.ts", import.meta.url);
  const fs = make(kind);
  live = options.worker
    ? await mount(dir, module, { ...all, data: kind })
    : "root" in fs
    ? await mount(dir, fs, all)
    : await mount(dir, fs, all);
} catch (error) {
  console.log(`refused ${(error as Error).message}`);
  Deno.exit(1);
}
console.log(`mounted: ${live.how}`);
console.log(`protocol ${JSON.stringify(live.protocol)}`);
if (kind === "changing") {
  // A client asks for a change by making a file elsewhere.
  for (const what of ["invalidate", "store"]) {
    while (readText(`${dir}.${what}`) === undefined) await sleep(20);
    change();
    const data = new TextEncoder().encode("S");
    const known = what === "store"
      ? await live.store("/file", 0, data)
      : await live.invalidate("/file");
    console.log(`${what}: ${known}, ${await live.invalidate("/nothing")}`);
  }
}
if (kind === "hello" && options.self) {
  console.log(`self: ${await Deno.readTextFile(`${dir}/hello.txt`)}`);
}
if (options.told) {
  console.log(`told: ${await live.invalidate("/file")}`);
  const { requests } = await live.stats();
  console.log(`requests: ${requests > 0}`);
}
if (options.unref) live.unref();
if (options.blocking) {
  // What waits for an answer while this thread can give none.
  Deno.writeTextFileSync(`${dir}/module.ts`, "export default 7;");
  console.log(`read: ${Deno.readTextFileSync(`${dir}/module.ts`)}`);
  const { default: seven } = await import(`file://${dir}/module.ts`);
  Deno.copyFileSync("/bin/busybox", `${dir}/busybox`);
  const args = ["echo", "from the mount"];
  const program = new Deno.Command(`${dir}/busybox`, { args, cwd: dir });
  const said = new TextDecoder().decode(program.outputSync().stdout).trim();
  Deno.chdir(dir);
  const names = [...Deno.readDirSync(".")].map(({ name }) => name).sort();
  Deno.chdir("/");
  using file = await Deno.open(`${dir}/module.ts`);
  console.log(`blocking: ${seven} ${said} ${names} ${file.statSync().size}`);
}
if (options.stacked) {
  const over = await mount(dir, memory(), { name: "over" });
  const refused = await live.unmount().catch(({ message }) => message);
  console.log(`below: ${refused}`);
  await over.unmount();
  await live.unmount();
}
if (options.end) {
  while (readText(`${dir}.end`) === undefined) await sleep(20);
  if (options.end === "exit") Deno.exit(3);
  throw new Error("the end");
}
if (options.dispose) {
  while (readText(`${dir}.dispose`) === undefined) await sleep(20);
  if (options.invalidates) {
    void live.invalidate(options.invalidates);
    await sleep(500);
  }
  await live[Symbol.asyncDispose]();
  console.log("disposed");
}

async function tellEnd(): Promise<void> {
  const failure = await live.finished.then(
    () => null,
    ({ message }) => message,
  );
  if (failure !== null) console.log(`failed: ${failure}`);
  else {
    // Of a Worker that had to be ended, there are none.
    const stats = await live.stats().catch(({ message }) => message);
    console.log(`finished ${JSON.stringify(stats)}`);
  }
}

// Not awaited here: with a Worker that is let go of, Deno waits for a module for ever.
void tellEnd();
