/** Disks for tests, in guests only. */

import { assert, assertEquals } from "@std/assert";
import { deleteDevice, type Device, devices } from "../../cmd/ublk/mod.ts";
import { probe } from "../../cmd/probe.ts";
import { readText } from "../../sys/file.ts";
import { launchDeno, type Launched, ok, sh } from "../kit/server.ts";
import { lacksGuest } from "../kit/skip.ts";
import { settles, until } from "../kit/wait.ts";

const driver = lacksGuest() === "" ? probe().ublk : null;

/** The reason to skip tests that serve disks. */
export const missing: string = driver === null
  ? lacksGuest()
  : driver.serve.available === "yes"
  ? ""
  : "a kernel with ublk_drv";

/** Returns `"ublk QUIESCE"` where the driver lacks that. */
export function lacks(feature: string): string {
  if (missing) return missing;
  return driver!.features.includes(feature) ? "" : `ublk ${feature}`;
}

/** Starts `server.ts`, and returns it with the path of its disk. */
export async function start(
  kind: string,
  options: Record<string, unknown> = {},
  prefix: readonly string[] = [],
): Promise<Launched & { readonly path: string; readonly id: number }> {
  const script = new URL("server.ts", import.meta.url).pathname;
  const args = ["-A", script, kind, JSON.stringify(options)];
  const server = launchDeno(args, prefix);
  const path = (await server.line("served ")).split(" ")[1];
  return Object.assign(server, { path, id: Number(path.slice(10)) });
}

/** Uses a server, which must not be there afterwards. */
export async function serve(
  kind: string,
  options: Record<string, unknown>,
  use: (server: Awaited<ReturnType<typeof start>>) => Promise<void>,
): Promise<void> {
  const server = await start(kind, options);
  try {
    await use(server);
  } catch (error) {
    console.log(`the server printed:\n${server.lines.join("\n")}`);
    throw error;
  } finally {
    server.kill("SIGKILL");
    assert(await settles(server.status), "the server does not end");
    await sh(`umount -l ${MOUNT}`, 10);
    await removeAll();
  }
}

/** Deletes the devices that servers have left. */
async function removeAll(): Promise<void> {
  for (const { id, state } of await devices()) {
    if (state !== "live") await deleteDevice(id, { force: true });
  }
}

/** Returns a device as the driver knows it. */
export async function device(id: number): Promise<Device | undefined> {
  return (await devices()).find((each) => each.id === id);
}

/** Waits until a device is in a state. */
export async function reaches(
  id: number,
  state: Device["state"],
): Promise<void> {
  let now: string | undefined;
  let asking = false;
  await until(() => {
    if (asking || now === state) return now === state;
    asking = true;
    void device(id).then((found) => {
      now = found?.state;
      asking = false;
    });
    return false;
  });
}

/** Where tests mount. */
export const MOUNT = "/tmp/ublk-mount";

/** Makes a filesystem on a disk, fills it, and looks at it again. */
export async function exercise(path: string): Promise<void> {
  await ok(
    `mkfs.ext4 -q ${path} && mkdir -p ${MOUNT} && mount ${path} ${MOUNT}`,
  );
  await ok(`head -c 9000000 /dev/urandom >${MOUNT}/file; sync`);
  const sum = await ok(`md5sum ${MOUNT}/file`);
  await ok(`umount ${MOUNT} && mount ${path} ${MOUNT}`);
  assertEquals(await ok(`md5sum ${MOUNT}/file`), sum);
  await ok(`rm ${MOUNT}/file && umount ${MOUNT} && fsck.ext4 -fn ${path}`);
}

/** Returns `true` if a device node is there. */
export const isThere = (path: string): boolean =>
  readText(`/sys/block/${path.slice(5)}/size`) !== undefined;

/** Returns why the kernel is tainted: a number that a warning changes. */
export const taint = (): string => readText("/proc/sys/kernel/tainted") ?? "";
