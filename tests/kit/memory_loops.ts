/**
 * The hot paths of commands with memory, as loops. All run on /dev/null, which has
 * no bytes to read, and answers 0 to the commands of any driver.
 */

import { type Command, defineCommand, Ring, s32, u16 } from "../../mod.ts";
import * as nvme from "../../cmd/nvme/mod.ts";
import { openat, read, readsOf } from "../../cmd/op.ts";
import { DEPTH } from "./hot_loops.ts";

export const ring = Ring.open({ entries: DEPTH });
const fd = ring.cmdSync(openat("/dev/null"));

/** Bytes of each command. */
const LENGTH = 64;
const memory = ring.alloc(DEPTH * LENGTH);
const parts = Array.from(
  { length: DEPTH },
  (_, i) => memory.subarray(i * LENGTH, (i + 1) * LENGTH),
);
export const readBatch = parts.map((part) => read(fd, part, { offset: 0 }));
const reads = readsOf(fd, memory);

/** Runs batches of reads that are made once. */
export function madeReads(count: number): void {
  for (let done = 0; done < count; done += DEPTH) ring.cmdAllSync(readBatch);
}

/** Runs batches, with each command made by a function. */
function batchesOf(
  on: Ring,
  count: number,
  make: (i: number) => Command<number>,
): void {
  for (let done = 0; done < count; done += DEPTH) {
    const all = new Array<Command<number>>(DEPTH);
    for (let i = 0; i < DEPTH; i++) all[i] = make(i);
    on.cmdAllSync(all);
  }
}

const readOf = (i: number) => read(fd, parts[i], { offset: 4096 * i });
const readAt = (i: number) => reads.at(4096 * i, i * LENGTH, LENGTH);

/** Runs reads that are made for each batch. */
export function newReads(count: number): void {
  batchesOf(ring, count, readOf);
}

/** Runs reads that a maker makes for each batch. */
export function makerReads(count: number): void {
  batchesOf(ring, count, readAt);
}

const copied = parts.map((part) => read(fd, part.slice(), { offset: 0 }));

/** Runs batches of commands whose memory is copied, as memory of alloc() is not. */
export function copiedReads(count: number): void {
  for (let done = 0; done < count; done += DEPTH) ring.cmdAllSync(copied);
}

/** Awaits reads that are made once. */
export async function awaitedReads(count: number): Promise<void> {
  for (let done = 0; done < count; done += DEPTH) {
    await Promise.all(readBatch.map((each) => ring.cmd(each)));
  }
}

const namespace = new nvme.NvmeNamespace({
  file: fd,
  nsid: 1,
  blockSize: LENGTH,
  metadataSize: 0,
  metadataInline: false,
  protectionType: 0,
  blocks: 1n << 40n,
  maxTransferBytes: 65536,
  writable: true,
});
export const wide = Ring.open({ entries: DEPTH, sqe128: true, cqe32: true });
export const nvmeBatch = parts.map((data, lba) =>
  nvme.read(namespace, { lba, data })
);
const nvmeReads = nvme.readsOf(namespace, memory);
const nvmeAt = (i: number) => nvmeReads.at(i, i * LENGTH, 1);

/** Runs batches of NVMe reads that are made once. */
export function madeNvmeReads(count: number): void {
  for (let done = 0; done < count; done += DEPTH) wide.cmdAllSync(nvmeBatch);
}

/** Runs NVMe reads that a maker makes for each batch. */
export function makerNvmeReads(count: number): void {
  batchesOf(wide, count, nvmeAt);
}

const reply = defineCommand({
  name: "REPLY",
  cmd_op: 1,
  inline: { tag: u16(2), result: s32(4) },
});
const replies = reply.maker(fd, { tag: 5 }, ["result"]);
const replyOf = (i: number) => replies.with(i);

/** Runs commands of a driver of one's own, which a maker makes for each batch. */
export function makerReplies(count: number): void {
  batchesOf(ring, count, replyOf);
}
