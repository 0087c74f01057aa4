/** This library's side of the measurements in the guest. */

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

/** A ring, and how an operation is made: each at another place, as fio's. */
interface Source {
  readonly ring: Ring;
  /** `lane` is the place among those in flight, each with memory of its own. */
  readonly next: (lane: number) => Command<number>;
}

/** Descriptors stay open until the guest is off. */
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

/** Blocks of 64 MiB, as large as the laboratory makes its disks. */
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

/** As many loops as are to be in flight, each of which awaits its command. */
async function awaited({ ring, next }: Source, count: number): Promise<void> {
  let left = count;
  const loop = async (lane: number) => {
    while (left-- > 0) await ring.cmd(next(lane));
  };
  await Promise.all(Array.from({ length: DEPTH }, (_, lane) => loop(lane)));
}

/** Batches of as many as are to be in flight. */
function blocking({ ring, next }: Source, count: number): void {
  for (let done = 0; done < count; done += DEPTH) {
    ring.cmdAllSync(Array.from({ length: DEPTH }, (_, lane) => next(lane)));
  }
}

const opened = new Map<Workload, Source>();

/** The processor time that this process spends on an operation. */
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
