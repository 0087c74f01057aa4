/** Provided buffers on a fake kernel: deliveries that are cut short at any place. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { BufferRing, LentBuffer } from "../../ring/buffer_ring.ts";
import type { Command } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { filledBy } from "../../ring/buffer_ring.ts";
import { CommandStream } from "../../ring/flight/stream.ts";
import { NOBODY, type Slot } from "../../ring/flight/slot.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { Taker } from "../kit/buffer_taker.ts";
import { FakeKernel, numbered, throwOnce, Told } from "./fake.ts";

const { IORING_CQE_F_BUFFER, IORING_CQE_F_MORE } = uapi;

const lentOf = ({ res, lent }: Completion) => filledBy(res, lent);

/** A fake kernel with provided buffers, which it takes as a real one does. */
class Lending {
  readonly kernel = new FakeKernel({ cqEntries: 64 });
  readonly buffers: BufferRing;
  readonly taker: Taker;

  constructor(count: number) {
    this.buffers = new BufferRing(0, count, 8);
    this.taker = new Taker(this.buffers);
    this.kernel.react = this.kernel.keep;
  }

  command(fd: number, rest: object = {}): Command<unknown> {
    return numbered(fd, { bufferRing: this.buffers, decode: lentOf, ...rest });
  }

  /** Posts a completion with the next buffer; `ENOBUFS` without one. */
  fill(fd: number, res: number, flags = 0): void {
    const taken = this.taker.take();
    if (taken === null) return this.kernel.finish(fd, -E.ENOBUFS);
    const buffer = IORING_CQE_F_BUFFER | taken.id << 16;
    this.kernel.finish(fd, res, flags | buffer);
  }

  /** Buffers in the ring, and buffers that are lent. */
  get counts(): [kernels: number, lent: number] {
    return [this.taker.left, this.buffers.lent];
  }
}

/** Reaps completions, which is cut short. */
function reapCutShort(kernel: FakeKernel): void {
  assertThrows(() => kernel.engine.queues.reap(), RangeError, "cut short");
}

Deno.test("a stream of values lends a buffer for each, and the end lends none", async () => {
  const lending = new Lending(4);
  await using kernel = lending.kernel;
  const many = lending.command(1, { multishot: true, untilZero: true });
  const told = kernel.run(many);
  await kernel.pass();
  for (const res of [1, 8, 3]) lending.fill(1, res, IORING_CQE_F_MORE);
  kernel.finish(1, 0);
  await kernel.pass();
  const lengths = told.all.slice(0, 3).map((it) =>
    (it as LentBuffer).bytes.length
  );
  assertEquals([lengths, told.all[3]], [[1, 8, 3], "end"]);
  assertEquals(lending.counts, [1, 3]);
  for (const each of told.all.slice(0, 3)) (each as LentBuffer).release();
  assertEquals(lending.counts, [4, 0]);
});

Deno.test("a stream that the kernel ends with a value is queued again, without a gap", async () => {
  const lending = new Lending(4);
  await using kernel = lending.kernel;
  const many = lending.command(1, { multishot: true, untilZero: true });
  const told = kernel.run(many);
  await kernel.pass();
  for (let i = 0; i < 3; i++) {
    lending.fill(1, 5); // Without F_MORE.
    await kernel.pass();
    (told.all[i] as LentBuffer).release();
  }
  assertEquals(kernel.order, [1, 1, 1, 1]);
  assertEquals(told.all.length, 3);
  kernel.finish(1, 0);
  await kernel.pass();
  assertEquals([told.all[3], lending.counts], ["end", [4, 0]]);
});

Deno.test("a delivery that is cut short after its receiver got the buffer leaves it there", async () => {
  for (const multishot of [false, true]) {
    const lending = new Lending(2);
    await using kernel = lending.kernel;
    const { slots } = kernel.engine.queues;
    const told = new Told();
    kernel.start(lending.command(1, { multishot }), told);
    await kernel.pass();
    throwOnce(slots, "give");
    lending.fill(1, 4);
    reapCutShort(kernel);
    await kernel.pass();
    await kernel.pass();
    const [loan] = told.all as LentBuffer[];
    assertEquals([told.all.length, loan.bytes.length], [multishot ? 2 : 1, 4]);
    assertEquals(lending.counts, [1, 1]);
    assertEquals([...slots.busy()], []);
    loan.release();
    assertEquals(lending.counts, [2, 0]);
  }
});

Deno.test("a buffer that the program releases before a delivery is made again is not lent again", async () => {
  const lending = new Lending(1);
  await using kernel = lending.kernel;
  const { slots } = kernel.engine.queues;
  const told = new Told();
  const { value } = Told.prototype;
  told.value = (slot: Slot, got: unknown) => {
    value.call(told, slot, got);
    (got as LentBuffer).release(); // The kernel may fill it at once.
    throwOnce(slots, "give");
  };
  kernel.start(lending.command(1), told);
  await kernel.pass();
  lending.fill(1, 4);
  reapCutShort(kernel);
  await kernel.pass();
  await kernel.pass();
  assertEquals([told.all.length, lending.counts], [1, [1, 0]]);
});

Deno.test("a buffer of a command that nobody waits for goes back once", async () => {
  for (const cut of [false, true]) {
    const lending = new Lending(2);
    await using kernel = lending.kernel;
    const { slots } = kernel.engine.queues;
    const slot = kernel.start(lending.command(1), new Told());
    await kernel.pass();
    slot.receiver = NOBODY;
    slot.aborted = true;
    if (cut) throwOnce(slots, "give");
    lending.fill(1, 4);
    if (cut) reapCutShort(kernel);
    await kernel.pass();
    await kernel.pass();
    assertEquals([lending.counts, [...slots.busy()]], [[2, 0], []]);
  }
});

Deno.test("a decoder that throws leaves its buffer to the next command", async () => {
  const lending = new Lending(1);
  await using kernel = lending.kernel;
  let seen: LentBuffer | null = null;
  const decode = ({ lent }: Completion) => {
    seen = lent;
    throw new Error("a decoder's");
  };
  for (const multishot of [false, true]) {
    const told = kernel.run(lending.command(1, { decode, multishot }));
    await kernel.pass();
    lending.fill(1, 4, multishot ? IORING_CQE_F_MORE : 0);
    await kernel.pass();
    assertInstanceOf(told.all[0], Error);
    assertThrows(() => seen!.bytes, TypeError, "was released");
    assertEquals(lending.counts, [1, 0]);
    await kernel.pass(); // Cancels the stream.
    assertEquals(kernel.kept.size, 0);
  }
});

Deno.test("a decoder that is cut short is not called again, and its buffer goes back once", async () => {
  const lending = new Lending(1);
  await using kernel = lending.kernel;
  const { cq } = kernel;
  let calls = 0;
  const decode = ({ lent }: Completion) => {
    calls++;
    lent!.release();
    // Not an exception of the decoder's: the delivery ends here.
    throwOnce(cq, "step");
    return lent;
  };
  const told = kernel.run(lending.command(1, { decode }));
  await kernel.pass();
  lending.fill(1, 4);
  reapCutShort(kernel);
  await kernel.pass();
  await kernel.pass();
  assertEquals([calls, told.all.length, lending.counts], [1, 1, [1, 0]]);
});

Deno.test("a buffer that the ring does not have is an error, and lends none", async () => {
  const lending = new Lending(2);
  await using kernel = lending.kernel;
  for (const id of [2, 0x7fff, 0xffff]) {
    const told = kernel.run(lending.command(1));
    await kernel.pass();
    kernel.finish(1, 4, IORING_CQE_F_BUFFER | id << 16);
    await kernel.pass();
    assertEquals(
      (told.all[0] as Error).message,
      "the kernel has filled 4 bytes, but no buffer of the ring",
    );
  }
  assertEquals(lending.counts, [2, 0]);
});

Deno.test("a failed command whose buffer may be the kernel's lends none", async () => {
  // The ring that signals has no such group: the kernel does not say that it was taken.
  const lending = new Lending(2);
  await using kernel = lending.kernel;
  const told = kernel.run(lending.command(1));
  await kernel.pass();
  kernel.finish(1, -E.EIO, IORING_CQE_F_BUFFER | 1 << 16);
  await kernel.pass();
  assertEquals((told.all[0] as { code: string }).code, "EIO");
  assertEquals(lending.counts, [2, 0]);
});

Deno.test("a batch lends buffers, and none is lost where a command fails", async () => {
  const lending = new Lending(2);
  await using kernel = lending.kernel;
  const all = [lending.command(1), lending.command(2), numbered(3)];
  const { told } = kernel.startBatch(all);
  await kernel.pass();
  lending.fill(1, 4);
  lending.fill(2, 4);
  kernel.finish(3, -E.EIO);
  await kernel.pass();
  await kernel.pass();
  const { results } = told[0] as {
    results: PromiseFulfilledResult<LentBuffer>[];
  };
  assertEquals(lending.counts, [0, 2]);
  for (const { value } of results.slice(0, 2)) value.release();
  assertEquals(lending.counts, [2, 0]);
});

Deno.test("a stream that found no buffer goes on if one came back before the ring was told", async () => {
  const lending = new Lending(2);
  await using kernel = lending.kernel;
  const many = lending.command(1, { multishot: true, untilZero: true });
  const told = kernel.run(many);
  await kernel.pass();
  for (let i = 0; i < 2; i++) lending.fill(1, 4, IORING_CQE_F_MORE);
  await kernel.pass();
  // The kernel has no buffer left, and its completion comes after a release.
  lending.fill(1, 4, IORING_CQE_F_MORE);
  (told.all[0] as LentBuffer).release();
  await kernel.pass();
  assertEquals([told.all.length, kernel.order], [2, [1, 1]]);
  lending.fill(1, 4, IORING_CQE_F_MORE);
  await kernel.pass();
  // Now the program has both, and is told.
  lending.fill(1, 4, IORING_CQE_F_MORE);
  await kernel.pass();
  assertInstanceOf(told.all[3], Error);
  for (const each of told.all.slice(0, 3)) (each as LentBuffer).release();
  assertEquals(lending.counts, [2, 0]);
});

Deno.test("a stream pauses when its values have all buffers, and starts again when they are asked for", async () => {
  const lending = new Lending(2);
  await using kernel = lending.kernel;
  const command = lending.command(1, { multishot: true, untilZero: true });
  const stream = new CommandStream<LentBuffer>(() => {});
  stream.slot = kernel.start(command, stream);
  stream.start = () => kernel.start(command, stream);
  await kernel.pass();
  for (let i = 0; i < 3; i++) lending.fill(1, 4, IORING_CQE_F_MORE);
  await kernel.pass();
  assertEquals([lending.counts, kernel.order], [[0, 2], [1]]);
  for (let i = 0; i < 2; i++) {
    const { value } = await stream.next();
    value.release();
    assertEquals(kernel.order, [1], "before the last of them is asked for");
  }
  const next = stream.next();
  await kernel.pass();
  assertEquals(kernel.order, [1, 1]);
  lending.fill(1, 4, IORING_CQE_F_MORE);
  await kernel.pass();
  const { value } = await next;
  assert(LentBuffer.is(value));
  value.release();
  kernel.finish(1, 0);
  await kernel.pass();
  assertEquals((await stream.next()).done, true);
  assertEquals(lending.counts, [2, 0]);
});
