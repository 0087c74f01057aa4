/** Measures this library in the guest. */

import type { Command } from "../../mod.ts";
import { Ring } from "../../mod.ts";
import { blockDevice, discard } from "../../cmd/block.ts";
import { nvmeNamespace, read as readNvme } from "../../cmd/nvme/mod.ts";
import { read } from "../../cmd/op.ts";
import { O_DIRECT, O_RDWR } from "../../sys/uapi/fcntl.ts";
import { open } from "../../sys/file.ts";
import { Fd } from "../../tests/kit/fds.ts";
import { pathOf } from "../../tests/lab/nvme_drive.ts";
import { cpuTimeNs } from "./cpu_time.ts";
import { BLOCK, DEPTH, type Workload } from "./plan.ts";

/** A ring and its operations, each at a random place, as fio's are. */
interface Source {
  readonly ring: Ring;
  /** Makes an operation for a lane: each lane has memory of its own. */
  readonly next: (lane: number) => Command<number>;
}

/** Opens a device, which stays open until the guest is off. */
function openDevice(path: string, flags: number): number {
  return new Fd(open(path, flags)).fd;
}

function memory(ring: Ring): Uint8Array[] {
  const all = ring.alloc(DEPTH * BLOCK);
  return Array.from(
    { length: DEPTH },
    (_, i) => all.subarray(i * BLOCK, (i + 1) * BLOCK),
  );
}

/** Blocks of a disk: tests/lab/vm makes each 64 MiB large. */
const BLOCKS = 64 * 2 ** 20 / BLOCK;
const anyBlock = () => Math.floor(Math.random() * BLOCKS);

const OPEN: Readonly<Record<Workload, () => Source>> = {
  ng: () => {
    const ring = Ring.open({ sqe128: true, cqe32: true });
    const namespace = nvmeNamespace(openDevice(pathOf("large"), O_RDWR));
    const data = memory(ring);
    return {
      ring,
      next: (lane) =>
        readNvme(namespace, { lba: anyBlock(), data: data[lane] }),
    };
  },
  block: () => {
    const ring = Ring.open();
    const fd = openDevice(pathOf("large", "nvme"), O_RDWR | O_DIRECT);
    const data = memory(ring);
    return {
      ring,
      next: (lane) => read(fd, data[lane], { offset: anyBlock() * BLOCK }),
    };
  },
  discard: () => {
    const ring = Ring.open();
    const device = blockDevice(openDevice("/dev/nullb0", O_RDWR));
    const range = () => ({ offset: anyBlock() * BLOCK, length: BLOCK });
    return { ring, next: () => discard(device, range()) };
  },
};

/** Runs `DEPTH` loops at once, each of which awaits one command at a time. */
async function awaited({ ring, next }: Source, count: number): Promise<void> {
  let left = count;
  const loop = async (lane: number) => {
    while (left-- > 0) await ring.cmd(next(lane));
  };
  await Promise.all(Array.from({ length: DEPTH }, (_, lane) => loop(lane)));
}

/** Runs batches of `DEPTH` commands. */
function blocking({ ring, next }: Source, count: number): void {
  for (let done = 0; done < count; done += DEPTH) {
    ring.cmdAllSync(Array.from({ length: DEPTH }, (_, lane) => next(lane)));
  }
}

const opened = new Map<Workload, Source>();

/** Measures the CPU time of this process for an operation, in nanoseconds. */
export async function libraryNs(
  workload: Workload,
  inBatches: boolean,
  operations: number,
): Promise<number> {
  const source = opened.get(workload) ?? OPEN[workload]();
  opened.set(workload, source);
  const before = cpuTimeNs("self");
  if (inBatches) blocking(source, operations);
  else await awaited(source, operations);
  return (cpuTimeNs("self") - before) / operations;
}
