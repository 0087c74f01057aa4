/** Ways in which the kernel writes to memory long after it has the address. */

import { nvmeNamespace } from "../../../cmd/nvme/mod.ts";
import { read, write } from "../../../cmd/nvme/mod.ts";
import { Ring } from "../../../mod.ts";
import type { Command } from "../../../ring/command.ts";
import * as op from "../../../cmd/op.ts";
import { O_DIRECT, O_RDONLY, O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { arenaOf } from "../../../sys/arena.ts";
import { open, readText } from "../../../sys/file.ts";
import * as uapi from "../../../sys/uapi/io_uring.ts";
import { Fd, pipe, tcpPair } from "../../kit/fds.ts";
import { isRoot } from "../../kit/process.ts";
import { unixPair, writeSync } from "../../kit/fds.ts";
import { LoopDevice, missing as missingLoop } from "../../lab/loop_device.ts";
import { missing as missingDrive, pathOf } from "../../lab/nvme_drive.ts";
import { AccessGate, missing as missingGate } from "./access_gate.ts";
import { filling } from "./filling.ts";

/** Bytes of each command, which are all {@linkcode LATE}. */
export const LENGTH = 4096;
/** The byte that the kernel writes. */
export const LATE = 0xd7;

/** Fills the memory of commands at the moment that the test chooses. */
export interface LateWriter extends AsyncDisposable {
  readonly ring: Ring;
  /** A command that fills `bytes`, once. */
  fill(bytes: Uint8Array): Command<number>;
  /** Completes all commands that were not cancelled. */
  fire(): void | Promise<void>;
}

/** A way of writing late. */
export interface Way {
  readonly name: string;
  /** The thing that this machine lacks for it; empty if it lacks none. */
  readonly missing: string;
  /** The kernel can cancel its commands. */
  readonly cancellable: boolean;
  /** No command completes before {@linkcode LateWriter.fire}. */
  readonly patient: boolean;
  make(): LateWriter | Promise<LateWriter>;
}

/** Makes a writer that owns a ring and its files. */
function writer(
  ring: Ring,
  stack: AsyncDisposableStack,
  rest: Pick<LateWriter, "fill" | "fire">,
): LateWriter {
  // The ring is closed first: its commands may need the files to complete.
  stack.use(ring);
  const owned = stack.move();
  const dispose = () => owned.disposeAsync();
  return { ring, ...rest, [Symbol.asyncDispose]: dispose };
}

/** Two commands' worth. */
const DATA = new Uint8Array(2 * LENGTH).fill(LATE);

/** Reads one end of a pair, of which `fire` writes the other. */
function peers(
  name: string,
  make: typeof pipe,
  fill: (fd: number, bytes: Uint8Array) => Command<number>,
  sqpoll = false,
): Way {
  return {
    name,
    missing: "",
    cancellable: true,
    patient: true,
    make() {
      const stack = new AsyncDisposableStack();
      const pair = stack.use(make());
      return writer(Ring.open({ sqpoll }), stack, {
        fill: (bytes) => fill(pair.left, bytes),
        fire: () => void writeSync(pair.right, DATA),
      });
    },
  };
}

/** A read in a worker of the kernel, which waits for permission to read. */
const gated: Way = {
  name: "a worker of the kernel that reads a file",
  missing: missingGate,
  cancellable: false,
  patient: true,
  async make() {
    await using stack = new AsyncDisposableStack();
    const path = await Deno.makeTempFile();
    stack.defer(() => Deno.remove(path));
    await Deno.writeFile(path, DATA);
    const gate = stack.use(new AccessGate(path));
    const { fd } = stack.use(new Fd(open(path)));
    let reads = 0;
    return writer(Ring.open(), stack, {
      fill(bytes) {
        reads++;
        return filling(uapi.IORING_OP_READ, fd, bytes, uapi.IOSQE_ASYNC);
      },
      fire: () => gate.allow(reads),
    });
  },
};

const THROTTLE = "/sys/fs/cgroup/blkio/blkio.throttle.read_iops_device";
const canThrottle = isRoot && readText(THROTTLE) !== undefined;

/** A block device with one read a second, until `fire` lifts the limit. */
const throttled: Way = {
  name: "a block device that is slow",
  missing: missingLoop || (canThrottle ? "" : "blkio cgroup"),
  cancellable: false,
  patient: true,
  async make() {
    await using stack = new AsyncDisposableStack();
    const options = { byteLength: 1 << 20, byte: LATE };
    const device = stack.use(await LoopDevice.make(options));
    const { rdev } = await Deno.stat(device.path);
    const [major, minor] = [rdev! >> 8, rdev! & 0xff];
    const limit = (iops: number) =>
      Deno.writeTextFileSync(THROTTLE, `${major}:${minor} ${iops}`);
    limit(1);
    stack.defer(() => limit(0));
    const { fd } = stack.use(new Fd(open(device.path, O_RDONLY | O_DIRECT)));
    return writer(Ring.open(), stack, {
      fill: (bytes) => op.read(fd, bytes, { offset: 0 }),
      fire: () => limit(0),
    });
  },
};

export const DRIVE: Way = {
  name: "an NVMe drive",
  missing: missingDrive,
  cancellable: false,
  patient: false,
  async make() {
    await using stack = new AsyncDisposableStack();
    const { fd } = stack.use(new Fd(open(pathOf("large"), O_RDWR)));
    const namespace = nvmeNamespace(fd);
    // Not one worker: it would be for the rings of all tests of this thread.
    const ring = Ring.open({ sqe128: true, cqe32: true, maxWorkers: 0 });
    const data = DATA.subarray(0, LENGTH);
    await ring.cmd(write(namespace, { lba: 0, data }));
    return writer(ring, stack, {
      fill: (bytes) => read(namespace, { lba: 0, data: bytes }),
      fire() {},
    });
  },
};

/** The ways of any machine: {@linkcode DRIVE} is one of guests only. */
export const WAYS: readonly Way[] = [
  peers("a pipe", pipe, (fd, bytes) => op.read(fd, bytes)),
  peers("a pipe, for a command of a maker,", pipe, (fd, bytes) => {
    const { buffer, byteOffset, byteLength } = bytes;
    // A maker takes memory of alloc() only.
    if (arenaOf(buffer) === undefined) return op.read(fd, bytes);
    const reads = op.readsOf(fd, new Uint8Array(buffer));
    return reads.at(0, byteOffset, byteLength);
  }),
  peers(
    "a connection",
    tcpPair,
    (fd, bytes) => filling(uapi.IORING_OP_RECV, fd, bytes, 0),
  ),
  peers(
    "a socket that a worker of the kernel reads",
    unixPair,
    (fd, bytes) => filling(uapi.IORING_OP_RECV, fd, bytes, uapi.IOSQE_ASYNC),
  ),
  peers(
    "a socket that a submission thread reads",
    unixPair,
    (fd, bytes) => filling(uapi.IORING_OP_RECV, fd, bytes, 0),
    true,
  ),
  gated,
  throttled,
];
