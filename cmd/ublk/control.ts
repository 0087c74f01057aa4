/**
 * The control commands of the ublk driver: /dev/ublk-control.
 *
 * Most of them sleep, and run in workers of the kernel: START_DEV until all requests
 * of the new disk's partition scan are answered (before Linux 7.0), STOP_DEV until all
 * requests are. The limit of workers is of the thread, so that with the usual one
 * START_DEV would keep a file's read from the only worker that could answer it.
 */

import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { io_uring_sqe, IORING_OP_URING_CMD } from "../../sys/uapi/io_uring.ts";
import { close } from "../../sys/file.ts";
import { sizeof } from "../../sys/struct.ts";
import { Command } from "../../ring/command.ts";
import { adviceFrom, type AdviceTable, UringError } from "../../ring/errors.ts";
import { generalAdvice } from "../../ring/errors.ts";
import { operand } from "../../ring/operand.ts";
import { Ring } from "../../ring/ring.ts";
import { openControl } from "./support.ts";

const { ublksrv_ctrl_cmd: cmd, ublksrv_ctrl_dev_info: info } = uapi;

/** Most kernel workers of a thread that has a disk. */
const WORKERS = 16;
/** The id in ADD_DEV for a device with any id. */
export const ANY_ID = 0xffff_ffff;

/** The facts that the driver knows of a device. */
export interface DevInfo {
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  /** One of `UBLK_S_DEV_`. */
  readonly state: number;
  /** Bytes of the largest request. */
  readonly maxTransfer: number;
  /** The process that serves it, or did; -1 for none. */
  readonly pid: number;
  /** `UBLK_F_` bits. */
  readonly flags: number;
  readonly uid: number;
}

/** Writes the struct of a device that is to be made. */
export function encodeInfo(
  { id, queues, depth, maxTransfer, flags }: Omit<
    DevInfo,
    "state" | "pid" | "uid"
  >,
): Uint8Array {
  const bytes = new Uint8Array(sizeof(info));
  const view = new DataView(bytes.buffer);
  info.dev_id.set(view, 0, id);
  info.nr_hw_queues.set(view, 0, queues);
  info.queue_depth.set(view, 0, depth);
  info.max_io_buf_bytes.set(view, 0, maxTransfer);
  info.flags.set(view, 0, flags);
  return bytes;
}

/** Reads the struct of a device. */
export function decodeInfo(bytes: Uint8Array): DevInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    id: info.dev_id.get(view, 0),
    queues: info.nr_hw_queues.get(view, 0),
    depth: info.queue_depth.get(view, 0),
    state: info.state.get(view, 0),
    maxTransfer: info.max_io_buf_bytes.get(view, 0),
    pid: info.ublksrv_pid.get(view, 0),
    flags: Number(info.flags.get(view, 0)),
    uid: info.owner_uid.get(view, 0),
  };
}

const OLD = "This kernel is too old for it. `probe().ublk` lists what it has.";

/** Errnos of any control command. */
const ANY: AdviceTable = {
  ENODEV: "There is no such device: it was deleted. `devices()` lists those " +
    "that are.",
  EPERM: "Only root may do this, or the owner of an unprivileged device.",
  EACCES: "The owner of an unprivileged device needs access to its " +
    "/dev/ublkcN, which udev gives.",
  ENOENT: "The device is unprivileged, and its /dev/ublkcN is not there.",
  EOPNOTSUPP: OLD,
  EINTR: "The process got a signal meanwhile.",
};

const explain = (table: AdviceTable) =>
  adviceFrom({ ...ANY, ...table }, generalAdvice);

const NO_SERVER =
  "The old server still has /dev/ublkcN, or the device was not " +
  "started. Wait until the process has ended.";

/** The commands: number, and the causes of errnos. */
const COMMANDS = {
  GET_FEATURES: explain({
    EOPNOTSUPP: "The driver has no GET_FEATURES, which came with Linux 6.5.",
    EINVAL: "The driver has no GET_FEATURES, which came with Linux 6.5.",
  }),
  ADD_DEV: explain({
    EINVAL: "The kernel does not take these options together: queueDepth is " +
      "from 1 to 4096, and a kernel before 6.4 has no such commands.",
    EEXIST: "The id is taken, maybe by a device whose server has died. " +
      "`deleteDevice(id)` removes that.",
    EPERM: "Only root makes devices. Others pass `unprivileged: true`.",
    ENOSPC:
      "The machine has as many devices as ublks_max of the module allows.",
    EACCES:
      "The machine has as many unprivileged devices as ublks_max of the " +
      "module allows.",
    ENOMEM: "The kernel has no memory for so many queues of this depth.",
  }),
  SET_PARAMS: explain({
    EINVAL:
      "The kernel does not take these sizes: blockSize is from 512 to a " +
      "page, and maxTransfer at least a page.",
    EACCES: "The disk was started before.",
  }),
  GET_PARAMS: explain({}),
  GET_DEV_INFO2: explain({
    EINVAL: "There is no /dev/ublkcN, by which the driver finds the device.",
  }),
  START_DEV: explain({
    EINVAL:
      "The pid is not that of the process that has opened /dev/ublkcN, as " +
      "in a container with pids of its own.",
    EEXIST: "The disk was started before.",
    EINTR: "The process got a signal while it waited for its queues.",
  }),
  STOP_DEV: explain({}),
  TRY_STOP_DEV: explain({
    EBUSY: "The disk is open or mounted. Unmount it, or pass `force: true`.",
  }),
  DEL_DEV: explain({}),
  DEL_DEV_ASYNC: explain({}),
  UPDATE_SIZE: explain({
    EOPNOTSUPP: "A disk changes its size from Linux 6.16 on.",
    ENODEV: "The disk is not started, or gone.",
    EINVAL: "A disk changes its size from Linux 6.16 on.",
  }),
  QUIESCE_DEV: explain({
    EOPNOTSUPP: "A disk is handed over from Linux 6.16 on.",
    EINVAL:
      'Only a disk with `recovery: "requeue"` or "fail-in-flight" can be ' +
      "handed over, and it must be started.",
    EBUSY: "All requests of a queue are with handlers, which took too long.",
  }),
  START_USER_RECOVERY: explain({
    EBUSY: NO_SERVER,
    EINVAL: "The disk was not served with `recovery`.",
  }),
  END_USER_RECOVERY: explain({
    EBUSY: NO_SERVER,
    EINVAL:
      "START_USER_RECOVERY did not go before, or the pid is not that of " +
      "this process.",
  }),
} as const;

/** The name of a control command. */
export type ControlName = keyof typeof COMMANDS;

/** The device of a command, and its purpose. */
interface Ask {
  readonly id?: number;
  /** Memory that the kernel reads, writes, or both. */
  readonly bytes?: Uint8Array;
  /** The number in the command itself. */
  readonly data?: number;
  /** The node, for an unprivileged device. */
  readonly path?: string;
}

/** Makes a control command. With `path`, the memory comes after it. */
export function control(
  fd: number,
  name: ControlName,
  { id = ANY_ID, bytes, data = 0, path }: Ask,
): Command<number> {
  const payload = new Uint8Array(sizeof(cmd));
  const view = new DataView(payload.buffer);
  const pathLength = path === undefined ? 0 : path.length + 1;
  cmd.dev_id.set(view, 0, id);
  cmd.queue_id.set(view, 0, 0xffff);
  cmd.len.set(view, 0, bytes?.length ?? 0);
  view.setBigUint64(cmd.data.offset, BigInt(data), true);
  cmd.dev_path_len.set(view, 0, pathLength);
  const at = io_uring_sqe.cmd.offset + cmd.addr.offset;
  return new Command<number>({
    name: `ublk ${name}${id === ANY_ID ? "" : ` ${id}`}`,
    opcode: IORING_OP_URING_CMD,
    file: fd,
    off: uapi[`UBLK_U_CMD_${name}`],
    payload,
    operands: bytes === undefined
      ? []
      : [operand(at, { bytes, kernel: "both" })],
    advice: COMMANDS[name],
  });
}

/** The control device, for the commands of one thread. */
export class Control implements Disposable {
  /** Send the path of the node in each command: the device is unprivileged. */
  unprivileged = false;
  readonly #fd: number;
  readonly #ring: Ring;

  /** @throws {UringError} where there is no driver, or no access to it. */
  constructor() {
    this.#fd = openControl();
    try {
      this.#ring = Ring.open({
        entries: 8,
        sqe128: true,
        maxWorkers: WORKERS,
      });
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /** Runs a command for a device. */
  async run(
    name: ControlName,
    id: number,
    { bytes = new Uint8Array(0), data = 0, path = this.unprivileged }: {
      bytes?: Uint8Array;
      data?: number;
      path?: boolean;
    } = {},
  ): Promise<number> {
    if (!path) {
      const memory = bytes.length > 0 ? bytes : undefined;
      const ask = control(this.#fd, name, { id, bytes: memory, data });
      return await this.#ring.cmd(ask);
    }
    const node = nodePath(id);
    const head = new TextEncoder().encode(`${node}\0`);
    const all = new Uint8Array(head.length + bytes.length);
    all.set(head);
    all.set(bytes, head.length);
    const ask = control(this.#fd, name, { id, bytes: all, data, path: node });
    const res = await this.#ring.cmd(ask);
    bytes.set(all.subarray(head.length));
    return res;
  }

  /** Returns the features of the driver: `UBLK_F_` bits. */
  async features(): Promise<number> {
    const bytes = new Uint8Array(uapi.UBLK_FEATURES_LEN);
    await this.run("GET_FEATURES", ANY_ID, { bytes, path: false });
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  /** Returns what the driver knows of a device. */
  async info(id: number): Promise<DevInfo> {
    const bytes = new Uint8Array(sizeof(info));
    await this.run("GET_DEV_INFO2", id, { bytes, path: true });
    return decodeInfo(bytes);
  }

  /** Returns the state of a device; -1 if there is none. */
  async state(id: number): Promise<number> {
    try {
      return (await this.info(id)).state;
    } catch (error) {
      if (isErrno(error, E.ENODEV, E.ENOENT)) return -1;
      throw error;
    }
  }

  /**
   * Deletes a device. With DEL_DEV_ASYNC it does not wait for those who have the disk
   * open; an unprivileged device has only DEL_DEV, which does.
   */
  async delete(id: number): Promise<void> {
    const name = this.unprivileged ? "DEL_DEV" : "DEL_DEV_ASYNC";
    try {
      await this.run(name, id);
    } catch (error) {
      if (!isErrno(error, E.ENODEV, E.ENOENT)) throw error; // Somebody else did.
    }
  }

  /** Lets commands in flight keep the process alive, or not. */
  set referenced(on: boolean) {
    if (on) this.#ring.ref();
    else this.#ring.unref();
  }

  /** Closes the device after the commands in flight. */
  [Symbol.dispose](): void {
    void this.#ring.close().then(() => close(this.#fd));
  }
}

/** Returns the path of the node through which a device is served. */
export function nodePath(id: number): string {
  return `/dev/ublkc${id}`;
}

/** Returns `true` for the error of one of these errnos. */
export function isErrno(error: unknown, ...errnos: number[]): boolean {
  return error instanceof UringError && errnos.includes(error.errno);
}
