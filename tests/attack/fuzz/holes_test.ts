/** Values that were made to get past a check, one by one. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { uringCmd } from "../../../cmd/uring_cmd.ts";
import { NvmeNamespace, passthru } from "../../../cmd/nvme/mod.ts";
import { scsi } from "../../../cmd/scsi/mod.ts";
import { FixedFile, Ring } from "../../../mod.ts";
import { checkList, shown } from "../../../ring/check.ts";
import { nop, read, timeout, write } from "../../../cmd/op.ts";
import { addressOf, Command } from "../../../ring/raw.ts";
import { IORING_OP_NOP } from "../../../sys/uapi/io_uring.ts";
import { sqeBytes } from "../../kit/commands.ts";
import * as fds from "../../kit/fds.ts";

/** An array that says that it lies in `elsewhere`, and is longer than it is. */
function liar(elsewhere: Uint8Array): Uint8Array {
  return Object.defineProperties(new Uint8Array(64), {
    buffer: { value: elsewhere.buffer },
    byteOffset: { value: elsewhere.byteOffset },
    byteLength: { value: elsewhere.byteLength },
    length: { value: elsewhere.byteLength },
    set: { value: (from: Uint8Array) => elsewhere.set(from) },
    subarray: { value: () => elsewhere },
  });
}

/** An object whose field is another one from the second time on. */
function flipping<T>(field: string, first: unknown, then: unknown): T {
  let times = 0;
  const get = () => times++ === 0 ? first : then;
  return Object.defineProperty({}, field, { get, enumerable: true }) as T;
}

Deno.test("an array with false properties is used as what it is", async () => {
  using pipe = fds.pipe();
  await using ring = Ring.open();
  const elsewhere = ring.alloc(4096);
  const into = liar(elsewhere);
  fds.writeSync(pipe.right, new Uint8Array(200).fill(7));
  assertEquals(await ring.cmd(read(pipe.left, into)), 64);
  assertEquals(into[63], 7);
  assertEquals(ring.cmdSync(write(pipe.right, into)), 64);
  assert(elsewhere.every((byte) => byte === 0));
});

Deno.test("memory of the library with a false offset is used where it is", async () => {
  using pipe = fds.pipe();
  await using ring = Ring.open();
  const all = ring.alloc(128);
  const [into, elsewhere] = [all.subarray(0, 64), all.subarray(64)];
  const { byteOffset } = elsewhere;
  Object.defineProperty(into, "byteOffset", { value: byteOffset });
  fds.writeSync(pipe.right, new Uint8Array(128).fill(7));
  assertEquals(await ring.cmd(read(pipe.left, into)), 64);
  assertEquals(ring.cmdSync(read(pipe.left, into.subarray(0, 32))), 32);
  assert(into.every((byte) => byte === 7));
  assert(elsewhere.every((byte) => byte === 0));
});

Deno.test("an array with false properties is not registered, and has no address", async () => {
  await using ring = Ring.open();
  const elsewhere = ring.alloc(4096);
  assertThrows(() => ring.registerBuffers([liar(elsewhere)]), TypeError);
  assertThrows(() => addressOf(liar(elsewhere)), TypeError);
});

Deno.test("an array with false properties lies in no registered buffer", async () => {
  await using ring = Ring.open();
  const [buffer] = ring.registerBuffers([ring.alloc(4096)]);
  const bytes = liar(buffer.bytes);
  assertThrows(() => read(0, bytes, { buffer }), RangeError, "do not lie");
});

Deno.test("a field that changes at each read is read once", () => {
  const fields = { ...{ opcode: 2, data: new Uint8Array(512) } };
  const namespace = new NvmeNamespace({
    file: 5,
    nsid: 1,
    blockSize: 512,
    metadataSize: 0,
    metadataInline: false,
    protectionType: 0,
    blocks: 8n,
    maxTransferBytes: 4096,
    writable: true,
  });
  const lies = flipping<typeof fields>("cdw12", 0, 7); // Eight blocks, not one.
  const command = passthru(namespace, Object.assign(lies, fields));
  assertEquals(sqeBytes(command, true)[48 + 48], 0);
  const options = flipping<{ offset: number }>("offset", 5, -1);
  assertEquals(sqeBytes(read(0, new Uint8Array(1), options))[8], 5);
});

Deno.test("an array that shrinks while a command is made of it is refused", () => {
  const buffer = new ArrayBuffer(64, { maxByteLength: 64 });
  const bytes = new Uint8Array(buffer);
  const options = {
    get offset() {
      buffer.resize(8);
      return 0;
    },
  };
  const view = new DataView(sqeBytes(read(0, bytes, options)).buffer);
  assertEquals(view.getUint32(24, true), 8);
  const fixed = new Uint8Array(
    new ArrayBuffer(64, { maxByteLength: 64 }),
    0,
    64,
  );
  (fixed.buffer as ArrayBuffer).resize(8);
  assertThrows(() => read(0, fixed), TypeError, "out of bounds");
});

Deno.test("a CDB is copied without calling its own methods", () => {
  class Cdb extends Uint8Array {
    override slice(): Uint8Array<ArrayBuffer> {
      return new Uint8Array(1);
    }
  }
  const { operands } = scsi(5, { cdb: new Cdb(6) });
  assertEquals(operands[0].byteLength, 6);
});

Deno.test("a list without an end is refused, and takes no memory", () => {
  const message = "list[0] is missing";
  assertThrows(
    () => checkList("list", new Array(2 ** 32 - 1)),
    TypeError,
    message,
  );
  const length = { get: () => 2 ** 53 };
  const endless = new Proxy([], length);
  assertThrows(() => checkList("list", endless), RangeError, "length of list");
});

Deno.test("an argument that is no list of commands is named in an error", async () => {
  await using ring = Ring.open();
  const lists = [5, null, undefined, "nop", { length: 1, 0: nop() }, [, nop()]];
  for (const list of lists as unknown as Command<number>[][]) {
    assertThrows(() => ring.cmdAllSync(list), TypeError, "commands");
    assertThrows(() => ring.link(list), TypeError, "commands");
    await assertRejects(() => ring.cmdAll(list), TypeError, "commands");
  }
});

Deno.test("an object that only looks like a command, a file or a signal is refused", async () => {
  await using ring = Ring.open();
  const commands = [Object.create(nop()), { ...nop() }, new Proxy(nop(), {})];
  for (const command of commands as Command<number>[]) {
    assertThrows(() => ring.cmdSync(command), TypeError, "command");
    await assertRejects(() => ring.cmd(command), TypeError, "command");
  }
  const file = Object.create(new FixedFile(0));
  assertThrows(() => read(file, new Uint8Array(1)), TypeError, "fd");
  const stranger = read(new FixedFile(0), new Uint8Array(1));
  assertThrows(() => ring.cmdSync(stranger), TypeError, "table of files");
  for (const signal of [5, null, { aborted: false, throwIfAborted() {} }]) {
    const options = { signal: signal as unknown as AbortSignal };
    await assertRejects(() => ring.cmd(nop(), options), TypeError, "signal");
  }
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("a command whose options close the ring is refused", async () => {
  const spec = { name: "MANY", opcode: IORING_OP_NOP, multishot: true };
  const many = new Command(spec);
  for (const run of ["cmd", "link", "stream"] as const) {
    const ring = Ring.open();
    let closed: Promise<void> | undefined;
    const options = {
      get signal() {
        closed ??= ring.close();
        return undefined;
      },
    };
    const asked = async () => {
      if (run === "cmd") await ring.cmd(timeout(0), options);
      else if (run === "link") await ring.link([timeout(0)], options)[0];
      else await ring.stream(many, options).next();
    };
    await assertRejects(asked, TypeError, "closed");
    await closed;
  }
});

Deno.test("a command whose check closes the ring is refused", async () => {
  const ring = Ring.open();
  let closed: Promise<void> | undefined;
  const command = new Command({
    name: "CLOSES",
    opcode: IORING_OP_NOP,
    precheck: () => void (closed = ring.close()),
  });
  await assertRejects(() => ring.cmd(command), TypeError, "closed");
  await closed;
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("an advice that throws, or is no text, leaves the error as it is", async () => {
  await using ring = Ring.open();
  const throws = () => {
    throw new Error("advice");
  };
  for (const advice of [throws, () => Symbol("advice"), () => 5n]) {
    const command = new Command({
      name: "ADVISED",
      opcode: 200,
      advice: advice as unknown as () => undefined,
    });
    const message = "ADVISED: EINVAL (22)";
    await assertRejects(() => ring.cmd(command), Error, message);
    assertThrows(() => ring.cmdSync(command), Error, message);
    assertThrows(() => ring.cmdAllSync([nop(), command]), Error, message);
    const all = () => ring.cmdAll([nop(), command]);
    await assertRejects(all, Error, message);
  }
  const none = 5 as unknown as () => undefined;
  const make = () => new Command({ name: "X", opcode: 0, advice: none });
  assertThrows(make, TypeError, "advice must be a function");
});

Deno.test("a value is shown without running any of its code", () => {
  const refuse = () => {
    throw new Error("it was run");
  };
  const traps = { get: refuse, getPrototypeOf: refuse, has: refuse };
  const shows: [unknown, string][] = [
    [new Proxy({}, traps), "{...}"],
    [{ toString: refuse }, "{...}"],
    [Object.create(null), "{...}"],
    [refuse, "a function"],
    [Symbol("x"), "Symbol(x)"],
    [5n, "5n"],
    [null, "null"],
    [-0, "0"],
    ['a"b', '"a\\"b"'],
    ["x".repeat(100), `"${"x".repeat(64)}"...`],
  ];
  for (const [value, text] of shows) assertEquals(shown(value), text);
  const field = Symbol("field") as unknown as number;
  assertThrows(() => uringCmd({ fd: 0, cmd_op: field }), TypeError, "cmd_op");
});
