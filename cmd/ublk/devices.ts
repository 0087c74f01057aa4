/** The devices of the ublk driver, whoever serves them. */

import * as uapi from "../../sys/uapi/ublk.ts";
import { listDirectory } from "../../sys/file.ts";
import { checkBoolean, checkInteger, checkObject } from "../../ring/check.ts";
import { E } from "../../sys/uapi/errno.ts";
import { Control, type DevInfo, isErrno } from "./control.ts";
import { featureNames } from "./support.ts";

/**
 * The state of a device: `"live"`, it is served; `"dead"`, its server has ended, or has
 * not begun; `"quiesced"` and `"failing"`, it waits for `recover()`, and requests wait
 * with it or fail.
 */
export type DeviceState = "dead" | "live" | "quiesced" | "failing";

const STATES: readonly DeviceState[] = ["dead", "live", "quiesced", "failing"];

/** A device of the driver. */
export interface Device {
  /** The number of the device: 0 for /dev/ublkb0. */
  readonly id: number;
  /** The block device, which is there unless the device is `"dead"`. */
  readonly path: string;
  /** Its state. */
  readonly state: DeviceState;
  /** The process that serves it, or did; -1 for none. */
  readonly pid: number;
  /** The user who made it. */
  readonly uid: number;
  /** The features that it uses, such as `"USER_RECOVERY"`. */
  readonly features: readonly string[];
}

/**
 * Lists the devices of the driver, also those whose servers have died: the driver keeps
 * them until {@linkcode deleteDevice}.
 *
 * @throws {UringError} where there is no driver, or no access to it.
 */
export async function devices(): Promise<Device[]> {
  using control = new Control();
  const form = /^ublkc\d+$/;
  const names = listDirectory("/sys/class/ublk-char", (it) => form.test(it));
  if (typeof names === "number") return []; // ENOENT: there was none so far.
  const found: Device[] = [];
  for (const id of names.map((name) => Number(name.slice(5)))) {
    try {
      found.push(describe(await control.info(id)));
    } catch (error) {
      if (!isErrno(error, E.ENODEV, E.ENOENT)) throw error; // It went meanwhile.
    }
  }
  return found.sort((a, b) => a.id - b.id);
}

function describe({ id, state, pid, uid, flags }: DevInfo): Device {
  return {
    id,
    path: `/dev/ublkb${id}`,
    state: STATES[state],
    pid,
    uid,
    features: featureNames(flags),
  };
}

/**
 * Deletes a device whose server is gone. With `force`, one that waits for `recover()`,
 * too: programs that wait for it get EIO.
 *
 * @throws {Deno.errors.Busy} if it is served: the driver would wait for its server, and
 * nothing could end the process that waits, if the server does not answer. End the
 * server first, by `kill -9` if it hangs.
 */
export async function deleteDevice(
  id: number,
  options: { force?: boolean } = {},
): Promise<void> {
  const { force = false } = checkObject("options", options);
  checkInteger("id", id, 0, 0x7fff_ffff);
  checkBoolean("force", force);
  using control = new Control();
  const { state, pid, flags } = await control.info(id);
  if (state === uapi.UBLK_S_DEV_LIVE) {
    throw new Deno.errors.Busy(
      pid === Deno.pid
        ? `this process serves ublk device ${id}. Use disk.stop() or disk.abort()`
        : `process ${pid} serves ublk device ${id}. End that first`,
    );
  }
  if (state !== uapi.UBLK_S_DEV_DEAD && !force) {
    throw new Deno.errors.Busy(
      `ublk device ${id} waits for recover(). Its programs get EIO with ` +
        "`force: true`",
    );
  }
  control.unprivileged = (flags & uapi.UBLK_F_UNPRIVILEGED_DEV) !== 0;
  await control.delete(id);
}
