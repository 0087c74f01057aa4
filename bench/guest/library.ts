/** Measures this library in the guest. */

import type { Command } from "../../mod.ts";
import { Ring } from "../../mod.ts";
import { blockDevice, discard, discardsOf } from "../../cmd/block.ts";
import { nvmeNamespace, read as readNvme } from "../../cmd/nvme/mod.ts";
import { readsOf as nvmeReadsOf } from "../../cmd/nvme/mod.ts";
import { read, readsOf } from "../../cmd/op.ts";
import { read as readScsi } from "../../cmd/scsi/mod.ts";
import { O_DIRECT, O_RDWR } from "../../sys/uapi/fcntl.ts";
import { open } from "../../sys/file.ts";
import { Fd } from "../../tests/kit/fds.ts";
import { pathOf } from "../../tests/lab/nvme_drive.ts";
import { node as scsiDisk } from "../../tests/lab/scsi_disk.ts";
import { cpuTimeNs } from "./cpu_time.ts";
import { BLOCK, type Depth, DEPTHS, type Way, type Workload } from "./plan.ts";

/**
 * A ring, and functions that make its operations, each at a random place, as fio's
 * are. Each lane has memory of its own.
 */
interface Target {
  readonly ring: Ring;
  /** `null` where there is no maker of such operations. */
  readonly maker: ((lane: number) => Command<unknown>) | null;
  readonly function: (lane: number) => Command<unknown>;
  /** For each lane, commands that are used in turn. */
  readonly made: readonly Command<unknown>[][];
}

/** Opens a device, which stays open until the guest is off. */
function openDevice(path: string, flags: number): number {
  return new Fd(open(path, flags)).fd;
}

/** Lanes of a target. A lower depth takes the first of them. */
const LANES = Math.max(...DEPTHS);

/** Returns the memory of all lanes, and of each. */
function memory(ring: Ring): [Uint8Array, Uint8Array[]] {
  const all = ring.alloc(LANES * BLOCK);
  const lanes: Uint8Array[] = [];
  for (let i = 0; i < LANES; i++) {
    lanes.push(all.subarray(i * BLOCK, (i + 1) * BLOCK));
  }
  return [all, lanes];
}

/** Blocks of a disk: tests/lab/vm makes each 64 MiB large. */
const BLOCKS = 64 * 2 ** 20 / BLOCK;
const anyBlock = () => Math.floor(Math.random() * BLOCKS);

/** Commands of a lane that are made before: enough for places of all kinds. */
const MADE = 64;

type Makers = Omit<Target, "made">;

const OPEN: Readonly<Record<Workload, () => Makers>> = {
  ng: () => {
    const ring = Ring.open({ sqe128: true, cqe32: true });
    const namespace = nvmeNamespace(openDevice(pathOf("large"), O_RDWR));
    const [all, data] = memory(ring);
    const reads = nvmeReadsOf(namespace, all);
    return {
      ring,
      maker: (lane) => reads.at(anyBlock(), lane * BLOCK, 1),
      function: (lane) =>
        readNvme(namespace, { lba: anyBlock(), data: data[lane] }),
    };
  },
  block: () => {
    const ring = Ring.open();
    const fd = openDevice(pathOf("large", "nvme"), O_RDWR | O_DIRECT);
    const [all, data] = memory(ring);
    const reads = readsOf(fd, all);
    return {
      ring,
      maker: (lane) => reads.at(anyBlock() * BLOCK, lane * BLOCK, BLOCK),
      function: (lane) => read(fd, data[lane], { offset: anyBlock() * BLOCK }),
    };
  },
  discard: () => {
    const ring = Ring.open();
    const device = blockDevice(openDevice("/dev/nullb0", O_RDWR));
    const discards = discardsOf(device);
    return {
      ring,
      maker: () => discards.at(anyBlock() * BLOCK, BLOCK),
      function: () =>
        discard(device, { offset: anyBlock() * BLOCK, length: BLOCK }),
    };
  },
  scsi: () => {
    const ring = Ring.open({ sqe128: true, cqe32: true });
    const fd = openDevice(`/dev/bsg/${scsiDisk}`, O_RDWR);
    const [, data] = memory(ring);
    const blockSize = 512;
    const lba = () => anyBlock() * (BLOCK / blockSize);
    return {
      ring,
      maker: null,
      function: (lane) => readScsi(fd, data[lane], { lba: lba(), blockSize }),
    };
  },
};

function openTarget(workload: Workload): Target {
  const makers = OPEN[workload]();
  const made: Command<unknown>[][] = [];
  for (let lane = 0; lane < LANES; lane++) {
    made.push([]);
    for (let i = 0; i < MADE; i++) made[lane].push(makers.function(lane));
  }
  return { ...makers, made };
}

/** Runs `depth` loops at once. Each awaits one command at a time. */
async function awaited(
  ring: Ring,
  depth: number,
  next: (lane: number) => Command<unknown>,
  count: number,
): Promise<void> {
  let left = count;
  const loop = async (lane: number) => {
    while (left-- > 0) await ring.cmd(next(lane));
  };
  const loops: Promise<void>[] = [];
  for (let lane = 0; lane < depth; lane++) loops.push(loop(lane));
  await Promise.all(loops);
}

/** Runs batches of `depth` commands. */
function blocking(
  ring: Ring,
  depth: number,
  next: (lane: number) => Command<unknown>,
  count: number,
): void {
  for (let done = 0; done < count; done += depth) {
    const batch = new Array<Command<unknown>>(depth);
    for (let lane = 0; lane < depth; lane++) batch[lane] = next(lane);
    ring.cmdAllSync(batch);
  }
}

const opened = new Map<Workload, Target>();

/** Measures the CPU time of this process for an operation, in nanoseconds. */
export async function libraryNs(
  workload: Workload,
  depth: Depth,
  way: Way,
  operations: number,
): Promise<number> {
  const target = opened.get(workload) ?? openTarget(workload);
  opened.set(workload, target);
  const { ring, made } = target;
  let turn = 0;
  const next = way.source === "made"
    ? (lane: number) => made[lane][turn++ % MADE]
    : target[way.source]!;
  const before = cpuTimeNs("self");
  if (way.awaited) await awaited(ring, depth, next, operations);
  else blocking(ring, depth, next, operations);
  return (cpuTimeNs("self") - before) / operations;
}
