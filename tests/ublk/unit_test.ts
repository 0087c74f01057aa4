/** The parts of the disk server that need no kernel. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/ublk.ts";
import { control, decodeInfo, encodeInfo } from "../../cmd/ublk/control.ts";
import { BlockError, errnoOf } from "../../cmd/ublk/errors.ts";
import * as geometries from "../../cmd/ublk/geometry.ts";
import { faultyTarget, memoryTarget, overlay } from "../../cmd/ublk/mod.ts";
import { type BlockRequest, serve, type Target } from "../../cmd/ublk/mod.ts";
import { AnswerError, bytesDone, DiskRequest } from "../../cmd/ublk/request.ts";
import { featureNames } from "../../cmd/ublk/support.ts";

Deno.test("an answer is no more than was asked for, in whole blocks", () => {
  assertEquals(bytesDone(undefined, 8192, 512), 8192);
  assertEquals(bytesDone(8192, 8192, 512), 8192);
  assertEquals(bytesDone(1e9, 8192, 512), 8192);
  assertEquals(bytesDone(Infinity, 8192, 512), 8192);
  assertEquals(bytesDone(1023, 8192, 512), 512);
  for (const odd of [0, -1, 511, NaN, "8192", null, {}, true, 8192n]) {
    assertThrows(() => bytesDone(odd, 8192, 512), AnswerError, "of 8192 bytes");
  }
});

Deno.test("an error stands for the errno of its code, if block devices have it", () => {
  assertEquals(errnoOf(new BlockError("ENOSPC")), E.ENOSPC);
  assertEquals(
    errnoOf(Object.assign(new Error(), { code: "EILSEQ" })),
    E.EILSEQ,
  );
  assertEquals(errnoOf(Object.assign(new Error(), { code: "ENOENT" })), 0);
  assertEquals(errnoOf(new Deno.errors.TimedOut()), E.ETIMEDOUT);
  assertEquals(errnoOf(new Deno.errors.NotFound()), 0);
  const trap = {
    get code() {
      throw new Error("trap");
    },
  };
  for (const odd of [new Error(), "EIO", null, undefined, 5, trap]) {
    assertEquals(errnoOf(odd), 0);
  }
  assertThrows(
    () => new BlockError("ENOENT" as "EIO"),
    TypeError,
    "one of EIO",
  );
});

Deno.test("a request has the flags of its descriptor", () => {
  const write = new DiskRequest(uapi.UBLK_IO_OP_WRITE | 0x2800, 4096, 512);
  assertEquals([write.fua, write.mayUnmap, write.name], [true, true, "write"]);
  const zeroes = new DiskRequest(uapi.UBLK_IO_OP_WRITE_ZEROES | 0x8000, 0, 512);
  assertEquals([zeroes.fua, zeroes.mayUnmap], [false, false]);
  assertEquals(zeroes.transfers, false);
  zeroes.abort(new Error("early"));
  assertEquals(zeroes.signal.aborted, false); // Nobody listened before.
  const { signal } = write;
  write.abort("late");
  assertEquals(signal.reason, "late");
});

const target = (more: Partial<Target> = {}): Target => ({
  size: 1 << 20,
  read: () => {},
  ...more,
});

Deno.test("the driver gets the parameters of a disk, and gives them back", () => {
  const all = target({
    ...{ blockSize: 512, physicalBlockSize: 4096, fua: true },
    ...{ write() {}, flush() {}, discard() {}, writeZeroes() {} },
  });
  for (
    const [each, options] of [
      [target(), {}],
      [all, { rotational: true }],
      [all, { readOnly: true }],
      [target({ write() {}, discard() {} }), {}],
      [target({ size: 2 ** 52, write() {}, writeZeroes() {} }), {}],
    ] as const
  ) {
    const geometry = geometries.geometryOf(each, options);
    const bytes = geometries.encodeParams(geometry, 1 << 19);
    assertEquals(geometries.decodeParams(bytes), geometry);
  }
  // max_sectors, and one segment of a discard.
  const bytes = geometries.encodeParams(
    geometries.geometryOf(all, {}),
    1 << 19,
  );
  const view = new DataView(bytes.buffer);
  assertEquals(view.getUint32(16, true), 1024);
  assertEquals(view.getUint16(56, true), 1);
});

Deno.test("a disk that no kernel takes is refused before anything is made", async () => {
  for (
    const [each, options, reason] of [
      [{}, {}, /must have the method read/],
      [target({ size: 0 }), {}, /size must be an integer from 4096/],
      [target({ size: 5000 }), {}, /size must be a multiple of 4096 bytes/],
      [target({ blockSize: 256 }), {}, /blockSize must be an integer from 512/],
      [target({ blockSize: 1536 }), {}, /blockSize must be a power of 2/],
      [target({ physicalBlockSize: 512 }), {}, /physicalBlockSize/],
      [target({ flush: 1 as never }), {}, /flush must be a function/],
      [target({ fua: "yes" as never }), {}, /fua must be a boolean/],
      [target(), { readOnly: false }, /needs a target with write/],
      [
        target(),
        { queueDepth: 0 },
        /queueDepth must be an integer from 1 to 4096/,
      ],
      [target(), { queues: 4097 }, /queues/],
      [target(), { maxTransfer: 5000 }, /maxTransfer must be a multiple/],
      [target(), { maxTransfer: 1 << 26 }, /maxTransfer/],
      [target(), { maxTransfer: 1 << 25, queueDepth: 129 }, /up to 4 GiB/],
      [target(), { recovery: "always" }, /recovery must be one of requeue/],
      [target(), { unprivileged: 1 }, /unprivileged must be a boolean/],
    ] as const
  ) {
    let message = "";
    try {
      await serve(each as Target, options as Record<string, never>);
    } catch (error) {
      message = (error as Error).message;
    }
    assertMatch(message, reason);
  }
});

Deno.test("a target takes over a disk only if it has what was offered", () => {
  const disk = geometries.geometryOf(target({ write() {}, flush() {} }), {});
  geometries.checkSame(disk, disk);
  const check = (more: Partial<Target>) => () =>
    geometries.checkSame(geometries.geometryOf(target(more), {}), disk);
  assertThrows(check({}), TypeError, "served with write, flush");
  assertThrows(check({ write() {} }), TypeError, "served with flush");
  assertThrows(check({ size: 8192 }), TypeError, "size of 1048576");
});

Deno.test("a control command has the struct and the number of the driver", () => {
  const info = {
    id: 3,
    queues: 2,
    depth: 64,
    maxTransfer: 1 << 19,
    flags: 0x48,
  };
  const bytes = encodeInfo(info);
  assertEquals(decodeInfo(bytes), { ...info, state: 0, pid: 0, uid: 0 });
  const command = control(9, "STOP_DEV", { id: 3, data: 77 });
  assertEquals(command.name, "ublk STOP_DEV 3");
  const words = new Int32Array(32);
  command.encode(words, 0, true, 0, 0);
  assertEquals(words[2] >>> 0, 0xc0207507);
  assertEquals(words[12], 3); // dev_id
  assertEquals(words[13] >>> 0, 0xffff); // queue_id, len
  assertEquals(words[16], 77); // data
  assertMatch(command.advice(E.ENODEV)!, /was deleted/);
  assertMatch(control(9, "ADD_DEV", {}).advice(E.EINVAL)!, /queueDepth/);
  assertMatch(control(9, "TRY_STOP_DEV", {}).advice(E.EBUSY)!, /force: true/);
  assertEquals(featureNames(0x48), ["USER_RECOVERY", "CMD_IOCTL_ENCODE"]);
});

const at = (offset: number, length = 4096): BlockRequest => {
  const { signal } = new AbortController();
  return { offset, length, fua: false, mayUnmap: true, signal };
};

async function readAll(target: Target): Promise<Uint8Array> {
  const into = new Uint8Array(target.size);
  await target.read(at(0, target.size), into);
  return into;
}

Deno.test("an overlay keeps what is written, until it is committed", async () => {
  const bytes = new Uint8Array(4 * 4096).fill(1);
  const base = memoryTarget(bytes);
  const over = overlay({ ...base, flush() {} });
  over.write!(at(4096, 8192), new Uint8Array(8192).fill(2));
  over.writeZeroes!(at(8192));
  const content = (bytes: Uint8Array) =>
    [0, 1, 2, 3].map((block) => bytes[block * 4096]);
  assertEquals(content(await readAll(over)), [1, 2, 0, 1]);
  assertEquals(content(bytes), [1, 1, 1, 1]);
  assertEquals(over.changed, 2);
  assertEquals(await over.commit(), 2);
  assertEquals(content(bytes), [1, 2, 0, 1]);
  assertEquals(over.changed, 0);
  over.write!(at(0), new Uint8Array(4096).fill(3));
  over.forget();
  assertEquals(content(await readAll(over)), [1, 2, 0, 1]);
});

Deno.test("a read beside a commit gets the old or the new data, and no older", async () => {
  const bytes = new Uint8Array(2 * 4096).fill(1);
  const base = memoryTarget(bytes);
  const slow: Target = {
    ...base,
    async read(request, into) {
      await base.read(request, into);
      await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
  const over = overlay(slow);
  over.write!(at(0), new Uint8Array(4096).fill(2));
  const reading = readAll(over); // Has read the base before the commit.
  await over.commit();
  assertEquals((await reading)[0], 2);
});

Deno.test("a faulty disk fails, tears and forgets as it is told", async () => {
  const bytes = new Uint8Array(4 * 4096);
  const disk = faultyTarget(memoryTarget(bytes), (op, _request, count) => {
    if (op === "write" && count === 1) return { torn: 5000, error: "EIO" };
    if (op === "flush" && count === 0) return { ignored: true };
    if (op === "read" && count === 0) return { error: "ENODATA", delayMs: 1 };
  });
  const write = async (offset: number, length: number, value: number) =>
    await disk.write!(at(offset, length), new Uint8Array(length).fill(value));
  await write(0, 4096, 1);
  let code = "";
  await write(4096, 8192, 2).catch((error) => code = error.code);
  assertEquals(code, "EIO");
  await readAll(disk).catch((error) => code = error.code);
  assertEquals(code, "ENODATA");
  assertEquals([(await readAll(disk))[4096], (await readAll(disk))[8192]], [
    2,
    0,
  ]);
  await disk.flush!(at(0, 0)); // It lies.
  assertEquals(disk.unflushed, 2);
  disk.loseCache((block) => block === 1);
  assertEquals(disk.unflushed, 1);
  await disk.flush!(at(0, 0));
  assertEquals([bytes[0], bytes[4096]], [0, 2]);
});
