/** The generic command, on files whose handlers are known. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  bytes,
  defineCommand,
  Field,
  FixedBuffer,
  FixedFile,
  pointer,
  probe,
  Ring,
  s32,
  s64,
  u16,
  u32,
  u64,
  u8,
  UnsafeAddress,
  unsafeAddress,
  uringCmd,
  type UringCmdFields,
  UringError,
} from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { addressOf, alloc, Command } from "../../ring/raw.ts";
import { setup } from "../../ring/bare/setup.ts";
import { O_DIRECTORY } from "../../sys/uapi/fcntl.ts";
import { open } from "../../sys/file.ts";
import {
  IORING_NOP_CQE32,
  IORING_OP_NOP,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_URING_CMD,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  IORING_SETUP_SQE128,
  IORING_URING_CMD_FIXED,
  IORING_URING_CMD_MULTISHOT,
  IOSQE_ASYNC,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
  SOCKET_URING_OP_GETSOCKNAME,
  SOCKET_URING_OP_GETSOCKOPT,
  SOCKET_URING_OP_SETSOCKOPT,
} from "../../sys/uapi/io_uring.ts";
import {
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_SNDBUF,
  SO_TYPE,
  SOL_SOCKET,
} from "../../sys/uapi/socket.ts";
import { socketOption } from "../../sys/socket_calls.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { devNull, Fd, type FdPair, pipe, portOf, tcpPair } from "../kit/fds.ts";
import { sqeBytes } from "../kit/commands.ts";
import { words } from "../kit/golden.ts";
import { assertRefused } from "../kit/outcome.ts";
import { lacksCommand, testUnless } from "../kit/skip.ts";

const { setupFlags } = probe();

/** Registers a test of a command of sockets, with a ring and a TCP connection. */
function testSocket(
  command: "SIOCINQ" | "SIOCOUTQ" | "GETSOCKOPT" | "SETSOCKOPT" | "GETSOCKNAME",
  name: string,
  fn: (ring: Ring, pair: FdPair) => Promise<void>,
): void {
  testUnless(lacksCommand(`socket ${command}`), name, async () => {
    await using ring = Ring.open();
    using pair = tcpPair();
    await fn(ring, pair);
  });
}

const filled = (length: number, value: number) =>
  new Uint8Array(length).fill(value);

const upTo = (length: number) => Uint8Array.from({ length }, (_, i) => i + 1);

/** Makes a command with one more field, whose value the types may forbid. */
const withField = (name: string, value: unknown) =>
  uringCmd({ fd: 5, cmd_op: 0, [name]: value } as UringCmdFields);

// ---- uringCmd ------------------------------------------------------------------

Deno.test("/dev/null answers 0 to every command, on every kind of ring", async () => {
  using file = devNull();
  for (
    const options of [
      {},
      { sqe128: true },
      { cqe32: true },
      { sqe128: true, cqe32: true },
      { mixed: true },
      { deferTaskrun: setupFlags.includes("DEFER_TASKRUN") },
    ]
  ) {
    await using ring = Ring.open(options);
    for (const cmd_op of [0, 1, 0xffff_ffff]) {
      const command = uringCmd({ fd: file.fd, cmd_op });
      assertEquals(await ring.cmd(command), 0);
      assertEquals(ring.cmdSync(command), 0);
    }
    const many = Array(200).fill(uringCmd({ fd: file.fd, cmd_op: 7 }));
    assertEquals(ring.cmdAllSync(many), Array(200).fill(0));
    assertEquals(ring.stats().wakes, 0);
  }
});

Deno.test("every field of a command is at its place in the SQE", () => {
  const command = uringCmd({
    fd: 0x0102_0304,
    cmd_op: 0xf1f2_f3f4,
    addr: unsafeAddress(0xe1e2_e3e4_e5e6_e7e8n),
    len: 0xd1d2_d3d4,
    uring_cmd_flags: 0xc1c2_c3c5,
    buf_index: 0xb1b2,
    personality: 0xa1a2,
    optlen: 0x9192_9394,
    addr3: unsafeAddress(0x1f_8283_8485_8687),
    sqe_flags: IOSQE_ASYNC,
    ioprio: 0x7172,
  });
  assertEquals(words(command), {
    op: 0x2e, // IORING_OP_URING_CMD
    flags: 0x10, // IOSQE_ASYNC
    ioprio: 0x7172,
    fd: 0x0102_0304,
    cmd_op: 0xf1f2_f3f4,
    addr: 0xe5e6_e7e8,
    addr_high: 0xe1e2_e3e4,
    len: 0xd1d2_d3d4,
    uring_cmd_flags: 0xc1c2_c3c5,
    buf_index: 0xb1b2,
    personality: 0xa1a2,
    file_index: 0x9192_9394, // optlen
    cmd0: 0x8485_8687, // addr3
    cmd1: 0x1f_8283,
  });
  assertEquals(command.name, "URING_CMD 0xf1f2f3f4");
  assertEquals(command.operands.length, 0);
});

Deno.test("the fields of a socket option are at their places in the SQE", () => {
  const optval = { bytes: upTo(4), kernel: "writes" } as const;
  const command = uringCmd({
    fd: 5,
    cmd_op: 2,
    level: 0xf1f2_f3f4,
    optname: 0xe1e2_e3e4,
    optlen: 4,
    optval,
  });
  const socket = { op: 0x2e, fd: 5, cmd_op: 2 };
  // The ring writes the address, when it has the memory.
  assertEquals(words(command), {
    ...socket,
    addr: 0xf1f2_f3f4, // level
    addr_high: 0xe1e2_e3e4, // optname
    file_index: 4, // optlen
  });
  const [{ at, bytes, reads, writes }] = command.operands;
  assertEquals([at, bytes, reads, writes], [48, optval.bytes, false, true]);
  // Each of the two has its own place, also without the other.
  const level = uringCmd({ fd: 5, cmd_op: 2, level: 1 });
  assertEquals(words(level), { ...socket, addr: 1 });
  const optname = uringCmd({ fd: 5, cmd_op: 2, optname: 1 });
  assertEquals(words(optname), { ...socket, addr_high: 1 });
});

Deno.test("file_index is at byte 44, a payload from byte 48 on", () => {
  const command = uringCmd({
    fd: 5,
    cmd_op: 0,
    file_index: 0xf1f2_f3f4,
    payload: upTo(16),
  });
  assertEquals(words(command), {
    op: 0x2e,
    fd: 5,
    file_index: 0xf1f2_f3f4,
    cmd0: 0x0403_0201,
    cmd1: 0x0807_0605,
    cmd2: 0x0c0b_0a09,
    cmd3: 0x100f_0e0d,
  });
});

Deno.test("addresses of memory are operands, in the order of the SQE", () => {
  const first = { bytes: upTo(3), kernel: "both" } as const;
  const second = { bytes: upTo(5), kernel: "reads" } as const;
  const { operands } = uringCmd({
    fd: 5,
    cmd_op: 0,
    addr3: second,
    addr: first,
  });
  assertEquals(
    operands.map((
      { at, bytes, reads, writes, inside, counted },
    ) => [at, bytes, reads, writes, inside, counted]),
    [
      [16, first.bytes, true, true, -1, false],
      [48, second.bytes, true, false, -1, false],
    ],
  );
});

Deno.test("two names of the same bytes exclude each other", () => {
  const memory = { bytes: upTo(1), kernel: "reads" } as const;
  const payload = upTo(1);
  for (
    const fields of [
      { addr: memory, level: 1 },
      { addr: unsafeAddress(0), optname: 0 },
      { optlen: 0, file_index: 0 },
      { addr3: memory, optval: memory },
      { payload, addr3: memory },
      { payload, optval: unsafeAddress(1) },
    ]
  ) {
    const make = () => uringCmd({ fd: 5, cmd_op: 0, ...fields });
    const error = assertThrows(make, TypeError, "the same bytes of the SQE");
    for (const name of Object.keys(fields)) {
      assertStringIncludes(error.message, name);
    }
  }
});

Deno.test("a bare number is no address, and the message names the alternatives", () => {
  for (const name of ["addr", "addr3", "optval"]) {
    for (const value of [0, 4096, 5n, "0x10", true]) {
      const make = () => withField(name, value);
      const error = assertThrows(make, TypeError, "unsafeAddress()");
      assertStringIncludes(error.message, `${name} is an address`);
    }
    // Memory has to come with what the kernel does with it.
    for (
      const value of [
        upTo(4),
        { bytes: upTo(4) },
        { bytes: upTo(4), kernel: "read" },
      ]
    ) {
      const make = () => withField(name, value);
      assertThrows(make, TypeError, `${name}.kernel must be "reads"`);
    }
    for (const bytes of [[1, 2], new Uint16Array(2), new ArrayBuffer(4)]) {
      const value = { bytes, kernel: "both" };
      const make = () => withField(name, value);
      assertThrows(make, TypeError, `${name}.bytes must be a Uint8Array`);
    }
  }
});

Deno.test("numbers that a field cannot hold are refused with the field's name", () => {
  for (
    const [name, values] of [
      ["cmd_op", [-1, 2 ** 32, 0.5, NaN]],
      ["level", [-1, 2 ** 32]],
      ["optname", [-1, 2 ** 32]],
      ["len", [-1, 2 ** 32, NaN]],
      ["uring_cmd_flags", [-1, 2 ** 32]],
      ["buf_index", [-1, 65536]],
      ["personality", [-1, 65536]],
      ["optlen", [-1, 2 ** 32]],
      ["file_index", [-1, 2 ** 32]],
      ["sqe_flags", [-1, 256]],
      ["ioprio", [-1, 65536]],
      ["fd", [-1, 2 ** 31, NaN]],
    ] as const
  ) {
    for (const value of values) {
      const make = () => uringCmd({ fd: 5, cmd_op: 0, [name]: value });
      assertThrows(make, RangeError, `${name} must be an integer`);
    }
    for (const value of ["1", {}, 1n]) {
      const make = () => withField(name, value);
      assertThrows(make, TypeError, `${name} must be a number`);
    }
  }
  const [most, least] = [65535, 0].map((value) =>
    words(uringCmd({ fd: 5, cmd_op: 0, ioprio: value, personality: value }))
  );
  assertEquals([most.ioprio, most.personality], [65535, 65535]);
  assertEquals([least.ioprio, least.personality], [undefined, undefined]);
  for (const value of [-1, -1n, 2n ** 64n, 2 ** 53, 0.5, NaN]) {
    assertThrows(() => unsafeAddress(value), RangeError, "address must");
  }
  assertThrows(() => unsafeAddress("1" as unknown as number), TypeError);
  assertEquals(unsafeAddress(2n ** 64n - 1n).value, 2n ** 64n - 1n);
});

Deno.test("flags that reach other commands, or leave one unsettled, are refused", () => {
  const make = (sqe_flags: number) => uringCmd({ fd: 5, cmd_op: 0, sqe_flags });
  for (
    const [flag, remedy] of [
      [IOSQE_CQE_SKIP_SUCCESS, "Leave it out"],
      [IOSQE_FIXED_FILE, "registerFiles()"],
      [IOSQE_IO_DRAIN, "Await the commands before"],
      [IOSQE_IO_LINK, "Use ring.link(commands)"],
      [IOSQE_IO_HARDLINK, "Use ring.link(commands, { hard: true })"],
      [IOSQE_BUFFER_SELECT, "memory of its own"],
    ] as const
  ) {
    for (const others of [0, IOSQE_ASYNC, 0x80]) {
      assertThrows(() => make(flag | others), TypeError, remedy);
    }
  }
  assertEquals(words(make(IOSQE_ASYNC)).flags, 0x10);
});

Deno.test("a registered buffer sets its flag, and contradicts no other", async () => {
  const flags = (fields: Partial<UringCmdFields>) =>
    words(uringCmd({ fd: 5, cmd_op: 0, ...fields })).uring_cmd_flags;
  assertEquals(flags({}), undefined);
  assertEquals(flags({ buf_index: 0 }), IORING_URING_CMD_FIXED);
  const multishot = { uring_cmd_flags: IORING_URING_CMD_MULTISHOT };
  assertEquals(flags({ buf_index: 3, ...multishot }), 2);
  const none = { buf_index: 0, uring_cmd_flags: 0 };
  assertThrows(() => flags(none), TypeError, "buf_index needs");

  await using ring = Ring.open();
  await using other = Ring.open();
  using file = devNull();
  const [buf_index] = ring.registerBuffers([ring.alloc(4096)]);
  assertInstanceOf(buf_index, FixedBuffer);
  const command = uringCmd({ fd: file.fd, cmd_op: 0, buf_index });
  assertEquals(await ring.cmd(command), 0);
  await assertRejects(() => other.cmd(command), TypeError, "names a buffer");
});

Deno.test("a multishot command is for a stream", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const uring_cmd_flags = IORING_URING_CMD_MULTISHOT;
  const command = uringCmd({ fd: file.fd, cmd_op: 0, uring_cmd_flags });
  assertEquals(command.multishot, true);
  await assertRejects(() => ring.cmd(command), TypeError, "ring.stream()");
  assertThrows(() => ring.cmdSync(command), TypeError, "ring.stream()");
});

Deno.test("values that the kernel refuses are EINVAL, and explained", async () => {
  await using ring = Ring.open();
  using file = devNull();
  for (
    const fields of [
      { ioprio: 1 },
      { personality: 0xfffe },
      { uring_cmd_flags: 1 << 20 },
    ]
  ) {
    const command = uringCmd({ fd: file.fd, cmd_op: 0x12, ...fields });
    const error = await assertRejects(() => ring.cmd(command), UringError);
    assertEquals([error.code, error.errno, error.fd], ["EINVAL", 22, file.fd]);
    assertStringIncludes(error.message, "URING_CMD 0x12 on fd");
    assertStringIncludes(error.message, "does not take these arguments");
  }
});

Deno.test("a file without a handler answers EOPNOTSUPP, and it is explained", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  using zero = new Fd(open("/dev/zero"));
  using folder = new Fd(open("/proc", O_DIRECTORY));
  using text = new Fd(open("/proc/self/maps"));
  for (const fd of [pair.left, pair.right, zero.fd, folder.fd, text.fd]) {
    const command = uringCmd({ fd, cmd_op: 0, name: "ASK" });
    const error = await assertRefused(ring.cmd(command), "EOPNOTSUPP");
    assertEquals([error.op, error.fd], ["URING_CMD ASK", fd]);
    assertStringIncludes(error.message, "no handler for uring commands");
  }
});

/** Returns a path, and what is missing if it is on no usual file system. */
async function ordinaryFile(): Promise<{ path: string; missing: string }> {
  const path = await Deno.makeTempFile();
  const types = new Map([
    [0xef53, "ext4"],
    [0x58465342, "xfs"],
    [0x01021994, "tmpfs"],
  ]);
  const stat = await new Deno.Command("stat", {
    args: ["-f", "-c", "%t", path],
  }).output().catch(() => null);
  const type = parseInt(new TextDecoder().decode(stat?.stdout), 16);
  const missing = types.has(type) ? "" : "ext4, xfs or tmpfs";
  await Deno.remove(path);
  return { path, missing };
}
const { path, missing } = await ordinaryFile();

testUnless(
  missing,
  "an ordinary file has no handler",
  async () => {
    await using ring = Ring.open();
    const flags = op.O_CREAT | op.O_RDWR;
    using file = new Fd(await ring.cmd(op.openat(path, { flags })));
    await Deno.remove(path);
    const command = uringCmd({ fd: file.fd, cmd_op: 0 });
    await assertRefused(
      ring.cmd(command),
      "EOPNOTSUPP",
      "a regular file on ext4",
    );
  },
);

Deno.test("a descriptor that is not open is EBADF", async () => {
  await using ring = Ring.open();
  const file = devNull();
  const command = uringCmd({ fd: file.fd, cmd_op: 0 });
  file.close();
  await assertRefused(ring.cmd(command), "EBADF");
});

Deno.test("a registered file takes commands, and is named when it is gone", async () => {
  await using ring = Ring.open();
  const file = devNull();
  const [fd] = ring.registerFiles([file.fd]);
  file.close();
  const command = uringCmd({ fd, cmd_op: 0 });
  assertEquals(await ring.cmd(command), 0);
  ring.unregisterFiles();
  await assertRejects(() => ring.cmd(command), TypeError, "names a file");
  const foreign = uringCmd({ fd: new FixedFile(0), cmd_op: 0 });
  await assertRejects(() => ring.cmd(foreign), TypeError, "names a file");
});

Deno.test("a command that is forced to a worker completes, awaited or synchronous", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const sqe_flags = IOSQE_ASYNC;
  const command = uringCmd({ fd: file.fd, cmd_op: 0, sqe_flags });
  for (let i = 0; i < 50; i++) assertEquals(await ring.cmd(command), 0);
  assertEquals(ring.cmdAllSync(Array(50).fill(command)), Array(50).fill(0));
});

Deno.test("16 bytes of payload fit every ring, 17 need a larger SQE", async () => {
  using file = devNull();
  const command = (length: number) =>
    uringCmd({ fd: file.fd, cmd_op: 0, payload: upTo(length) });
  await using small = Ring.open();
  for (const length of [0, 1, 16]) {
    assertEquals(await small.cmd(command(length)), 0);
  }
  for (const length of [17, 80]) {
    const { submitted } = small.stats();
    await assertRejects(
      () => small.cmd(command(length)),
      RangeError,
      "more than 16 bytes of payload, which needs a ring with SQEs of 128 " +
        "bytes: Ring.open({ sqe128: true })",
    );
    assertThrows(() => small.cmdSync(command(length)), RangeError, "sqe128");
    assertEquals(small.stats().submitted, submitted);
  }
  await using large = Ring.open({ sqe128: true });
  for (const length of [0, 16, 17, 80]) {
    assertEquals(await large.cmd(command(length)), 0);
  }
});

Deno.test("81 bytes of payload are refused, and the message says what to do", () => {
  const payload = new Uint8Array(81);
  const error = assertThrows(
    () => uringCmd({ fd: 5, cmd_op: 0, payload }),
    RangeError,
    "at most 80 bytes, not 81",
  );
  assertStringIncludes(error.message, "ring.alloc()");
  assertStringIncludes(error.message, 'addr: { bytes, kernel: "reads" }');
  const text = "payload" as unknown as Uint8Array;
  const make = () => uringCmd({ fd: 5, cmd_op: 0, payload: text });
  assertThrows(make, TypeError, "payload must be a Uint8Array");
});

Deno.test("nothing of an earlier payload is left in a large SQE", () => {
  using file = devNull();
  const handle = setup({ entries: 1, flags: IORING_SETUP_SQE128 });
  try {
    const { sq, cq } = handle;
    const run = (command: Command<number>) => {
      assertEquals(command.submit(sq, 1, 0), 0);
      const words = sq.words.slice(0, 32);
      assertEquals(handle.enter(sq.publish(), 1, 1), 1);
      assert(cq.next());
      cq.commit();
      assertEquals(cq.res, 0);
      return [...new Uint8Array(words.buffer, 48)];
    };
    const { fd } = file;
    const full = uringCmd({ fd, cmd_op: 0, payload: upTo(80) });
    assertEquals(run(full), [...upTo(80)]);
    const part = uringCmd({ fd, cmd_op: 0, payload: upTo(20) });
    assertEquals(run(part), [...upTo(20), ...new Array(60).fill(0)]);
    run(full);
    const none = uringCmd({ fd, cmd_op: 0 });
    assertEquals(run(none), new Array(80).fill(0));
  } finally {
    handle.close();
  }
});

Deno.test("cqe32 of a command and of a definition is a boolean", () => {
  assertBoolean("cqe32", (cqe32) => uringCmd({ fd: 0, cmd_op: 0, cqe32 }));
  assertBoolean(
    "cqe32",
    (cqe32) => defineCommand({ name: "X", cmd_op: 0, cqe32 }),
  );
});

Deno.test("a command with an answer of 32 bytes needs a ring for that", async () => {
  using file = devNull();
  const command = uringCmd({
    fd: file.fd,
    cmd_op: 0,
    cqe32: true,
    decode: ({ res, extra1, extra2 }) => [res, typeof extra1, typeof extra2],
  });
  await using small = Ring.open();
  await assertRejects(
    () => small.cmd(command),
    RangeError,
    "needs a ring with CQEs of 32 bytes: Ring.open({ cqe32: true })",
  );
  assertEquals(small.stats().submitted, 0);
  await using large = Ring.open({ cqe32: true });
  assertEquals(await large.cmd(command), [0, "bigint", "bigint"]);
});

testUnless(
  setupFlags.includes("CQE_MIXED") ? "" : "IORING_NOP_CQE32",
  "a decoder has all 32 bytes of a completion",
  async () => {
    await using ring = Ring.open({ cqe32: true });
    const command = new Command({
      name: "NOP",
      opcode: IORING_OP_NOP,
      opFlags: IORING_NOP_CQE32,
      off: 2n ** 64n - 5n,
      addr: 6,
      decode: ({ res, extra1, extra2 }) => [res, extra1, extra2],
    });
    assertEquals(await ring.cmd(command), [0, 2n ** 64n - 5n, 6n]);
  },
);

Deno.test("a decoder makes the result, and an error in it rejects the command", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const { fd } = file;
  const word = uringCmd({ fd, cmd_op: 0, decode: ({ res }) => `res ${res}` });
  const text: string = await ring.cmd(word);
  assertEquals(text, "res 0");
  const failing = uringCmd({
    fd,
    cmd_op: 0,
    decode: (): number => {
      throw new SyntaxError("no such answer");
    },
  });
  await assertRejects(() => ring.cmd(failing), SyntaxError, "no such answer");
});

// ---- What the kernel reads and writes ----------------------------------------------

/** A socket option by getsockopt(2). */
function optionOf(fd: number, optname: number, length = 4): number[] {
  const value = socketOption(fd, SOL_SOCKET, optname, length);
  assertInstanceOf(value, Uint8Array);
  return [...value];
}

const getsockopt = (
  fd: number,
  optname: number,
  optlen: number,
  optval: UringCmdFields["optval"],
) =>
  uringCmd({
    fd,
    cmd_op: SOCKET_URING_OP_GETSOCKOPT,
    level: SOL_SOCKET,
    optname,
    optlen,
    optval,
    name: "GETSOCKOPT",
  });

const setsockopt = (
  fd: number,
  optname: number,
  optlen: number,
  optval: UringCmdFields["optval"],
) =>
  uringCmd({
    fd,
    cmd_op: SOCKET_URING_OP_SETSOCKOPT,
    level: SOL_SOCKET,
    optname,
    optlen,
    optval,
    name: "SETSOCKOPT",
  });

/** Memory of every kind, with room for `length` bytes. */
const KINDS: readonly [string, (ring: Ring, length: number) => Uint8Array][] = [
  ["memory of alloc", (ring, length) => ring.alloc(length)],
  ["part of it", (ring, length) => ring.alloc(9999).subarray(33, 33 + length)],
  ["an ordinary array", (_, length) => new Uint8Array(length)],
  ["part of one", (_, length) => new Uint8Array(length + 9).subarray(5, -4)],
];

for (const [kind, make] of KINDS) {
  testSocket(
    "GETSOCKOPT",
    `the kernel writes into ${kind}, and no byte beside it`,
    async (ring, pair) => {
      for (const kernel of ["writes", "both"] as const) {
        for (const [optname, length] of [[SO_RCVBUF, 4], [SO_LINGER, 8]]) {
          const bytes = make(ring, 12).fill(0xee);
          const around = new Uint8Array(bytes.buffer).slice();
          const option = { bytes, kernel };
          const command = getsockopt(pair.left, optname, length, option);
          assertEquals(await ring.cmd(command), length);
          const value = optionOf(pair.left, optname, length);
          around.set(value, bytes.byteOffset);
          assertEquals(new Uint8Array(bytes.buffer), around);
        }
      }
    },
  );

  testSocket(
    "SETSOCKOPT",
    `the kernel reads ${kind}, and leaves it as it was`,
    async (ring, pair) => {
      const bytes = make(ring, 8);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (const size of [5000, 6000]) {
        view.setInt32(0, size, true);
        view.setInt32(4, -1, true);
        const before = new Uint8Array(bytes.buffer).slice();
        const option = { bytes, kernel: "reads" } as const;
        const command = setsockopt(pair.left, SO_SNDBUF, 4, option);
        assertEquals(await ring.cmd(command), 0);
        const doubled = new Uint8Array(Int32Array.of(2 * size).buffer);
        assertEquals(optionOf(pair.left, SO_SNDBUF), [...doubled]);
        assertEquals(new Uint8Array(bytes.buffer), before);
      }
    },
  );
}

testSocket(
  "GETSOCKOPT",
  "memory that the kernel only reads is not copied back",
  async (ring, pair) => {
    const bytes = filled(4, 0xee);
    // It is a lie: the kernel writes here. The array is safe from it.
    const lie = { bytes, kernel: "reads" } as const;
    const command = getsockopt(pair.left, SO_TYPE, 4, lie);
    assertEquals(await ring.cmd(command), 4);
    assertEquals([...bytes], [0xee, 0xee, 0xee, 0xee]);
  },
);

testSocket(
  "SETSOCKOPT",
  "an array is read when the command is queued, alloc later",
  async (ring, pair) => {
    for (
      const [bytes, expected] of [
        [new Uint8Array(4), 1],
        [ring.alloc(4), 0],
      ] as const
    ) {
      bytes[0] = 1;
      const option = { bytes, kernel: "reads" } as const;
      const done = ring.cmd(setsockopt(pair.left, SO_KEEPALIVE, 4, option));
      bytes[0] = 0; // After the call, before the kernel has the command.
      assertEquals(await done, 0);
      assertEquals(optionOf(pair.left, SO_KEEPALIVE)[0], expected);
    }
  },
);

testSocket(
  "GETSOCKOPT",
  "an unsafe address is used as it is",
  async (ring, pair) => {
    const memory = alloc(16);
    for (
      const address of [
        addressOf(memory) + 4,
        BigInt(addressOf(memory)) + 4n,
      ]
    ) {
      memory.fill(0xee);
      const optval = unsafeAddress(address);
      assertInstanceOf(optval, UnsafeAddress);
      const command = getsockopt(pair.left, SO_TYPE, 4, optval);
      assertEquals(await ring.cmd(command), 4);
      const around = [0xee, 0xee, 0xee, 0xee];
      const type = [op.SOCK_STREAM, 0, 0, 0];
      assertEquals([...memory.subarray(0, 12)], [
        ...around,
        ...type,
        ...around,
      ]);
    }
  },
);

testSocket(
  "GETSOCKOPT",
  "an address that is not mapped is EFAULT, and no more",
  async (ring, pair) => {
    for (const address of [0, 1, 4095, 2n ** 63n, 2n ** 64n - 1n]) {
      const command = getsockopt(pair.left, SO_TYPE, 4, unsafeAddress(address));
      await assertRefused(
        ring.cmd(command),
        "EFAULT",
        "could not use an address",
      );
    }
  },
);

testSocket(
  "GETSOCKOPT",
  "a decoder sees what the kernel wrote",
  async (ring, pair) => {
    const optval = { bytes: new Uint8Array(8), kernel: "writes" } as const;
    const command = uringCmd({
      fd: pair.left,
      cmd_op: SOCKET_URING_OP_GETSOCKOPT,
      level: SOL_SOCKET,
      optname: SO_LINGER,
      optlen: 8,
      optval,
      decode: (done) => [...done.memory().subarray(0, done.res)],
    });
    assertEquals(await ring.cmd(command), optionOf(pair.left, SO_LINGER, 8));
  },
);

testUnless(
  lacksCommand("socket GETSOCKOPT"),
  "each of many commands at once has its own memory",
  async () => {
    await using ring = Ring.open({ entries: 8 });
    using first = tcpPair();
    using second = tcpPair();
    const sockets = [first.left, first.right, second.left, second.right];
    sockets.forEach((fd, i) => {
      const bytes = new Uint8Array(Int32Array.of(10_000 + i * 1000).buffer);
      const command = setsockopt(fd, SO_SNDBUF, 4, { bytes, kernel: "reads" });
      ring.cmdSync(command);
    });
    const found = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const bytes = new Uint8Array(4);
        const option = { bytes, kernel: "writes" } as const;
        await ring.cmd(getsockopt(sockets[i % 4], SO_SNDBUF, 4, option));
        return new Int32Array(bytes.buffer)[0];
      }),
    );
    const expected = found.map((_, i) => 20_000 + i % 4 * 2000);
    assertEquals(found, expected);
  },
);

// ---- defineCommand -------------------------------------------------------------------

Deno.test("an inline struct is encoded into the payload", () => {
  const define = defineCommand({
    name: "INLINE",
    cmd_op: 0xf1f2_f3f4,
    len: 0xd1d2_d3d4,
    inline: {
      a: u8(0),
      b: u8(1),
      c: u16(2),
      d: u32(4),
      e: s32(8),
      f: bytes(12, 4),
    },
  });
  const command = define(5, {
    a: 0xf1,
    b: 0xf2,
    c: 0xe1e2,
    d: 0xd1d2_d3d4,
    e: -2,
    f: upTo(3),
  });
  const sqe = { op: 0x2e, fd: 5, cmd_op: 0xf1f2_f3f4, len: 0xd1d2_d3d4 };
  assertEquals(words(command), {
    ...sqe,
    cmd0: 0xe1e2_f2f1, // a, b, c
    cmd1: 0xd1d2_d3d4, // d
    cmd2: -2 >>> 0, // e
    cmd3: 0x0003_0201, // f
  });
  assertEquals(command.name, "URING_CMD INLINE");
  // Fields that are left out are 0.
  assertEquals(words(define(5)), sqe);
  assertEquals(words(define(5, { b: 1 })), { ...sqe, cmd0: 0x0100 });
});

Deno.test("an inline struct of more than 16 bytes needs a larger SQE", async () => {
  using file = devNull();
  await using small = Ring.open();
  await using large = Ring.open({ sqe128: true });
  const sixteen = defineCommand({
    name: "A",
    cmd_op: 1,
    inline: { a: u64(8) },
  });
  assertEquals(await small.cmd(sixteen(file.fd, { a: 1 })), 0);
  for (const inline of [{ a: u8(16) }, { a: u64(72) }]) {
    const command = defineCommand({ name: "B", cmd_op: 1, inline })(file.fd);
    await assertRejects(() => small.cmd(command), RangeError, "sqe128: true");
    assertEquals(await large.cmd(command), 0);
  }
  const define = () =>
    defineCommand({ name: "C", cmd_op: 1, inline: { a: u8(80) } });
  assertThrows(define, RangeError, "at most 80 bytes, not 81");
  // It is the layout that counts, however far its end may be.
  const far = () =>
    defineCommand({ name: "D", cmd_op: 1, inline: { a: u8(2 ** 40) } });
  assertThrows(far, RangeError, "at most 80 bytes");
});

Deno.test("every number field takes 0, its smallest and its largest value", () => {
  const wide = 2 ** 53 - 1;
  for (
    const [field, size, read, values] of [
      [u8(0), 1, "getUint8", [0, 0xff]],
      [u16(0), 2, "getUint16", [0, 0xffff]],
      [u32(0), 4, "getUint32", [0, 2 ** 32 - 1]],
      [s32(0), 4, "getInt32", [0, -(2 ** 31), 2 ** 31 - 1]],
      [u64(0), 8, "getBigUint64", [0, 0n, wide, 2n ** 64n - 1n]],
      [
        s64(0),
        8,
        "getBigInt64",
        [0, 0n, -wide, wide, -(2n ** 63n), 2n ** 63n - 1n],
      ],
    ] as const
  ) {
    const inline: { value: Field<number | bigint> } = {
      value: field as Field<number | bigint>,
    };
    const define = defineCommand({ name: "RANGE", cmd_op: 1, inline });
    for (const value of values) {
      const payload = sqeBytes(define(5, { value })).subarray(48);
      const view = new DataView(payload.buffer, payload.byteOffset);
      assertEquals(BigInt(view[read](0, true)), BigInt(value), read);
      assertEquals([...payload.subarray(size)], Array(16 - size).fill(0), read);
    }
  }
});

Deno.test("a field of bytes takes as many as it has room for, or fewer", () => {
  const inline = { before: u8(0), text: bytes(1, 4) };
  const define = defineCommand({ name: "ROOM", cmd_op: 1, inline });
  for (const length of [0, 1, 4]) {
    const payload = sqeBytes(define(5, { text: upTo(length) })).subarray(48);
    const expected = new Uint8Array(16);
    expected.set(upTo(length), 1);
    assertEquals(payload, expected);
  }
});

Deno.test("64-bit fields take numbers and bigints", () => {
  const inline = { a: u64(0), b: s64(8) };
  const define = defineCommand({ name: "WIDE", cmd_op: 1, inline });
  const payload = (values: Parameters<typeof define>[1]) => {
    const { buffer } = sqeBytes(define(5, values)).slice(48);
    return [new BigUint64Array(buffer)[0], new BigInt64Array(buffer)[1]];
  };
  for (const value of [0, 2 ** 32, 2 ** 53 - 1]) {
    const big = BigInt(value);
    assertEquals(payload({ a: value, b: value }), [big, big]);
    assertEquals(payload({ a: big, b: -value }), [big, -big]);
  }
  const most = { a: 2n ** 64n - 1n, b: 2n ** 63n - 1n };
  assertEquals(payload(most), [most.a, most.b]);
  assertEquals(payload({ b: -(2n ** 63n) })[1], -(2n ** 63n));
});

Deno.test("values that a field cannot hold are refused with the field's name", () => {
  const inline = {
    byte: u8(0),
    half: u16(2),
    word: u32(4),
    signed: s32(8),
    wide: u64(16),
    long: s64(24),
    text: bytes(32, 4),
  };
  const define = defineCommand({ name: "BAD", cmd_op: 1, inline });
  type Given = Parameters<typeof define>[1];
  for (
    const [name, values] of [
      ["byte", [-1, 256, 0.5, NaN, Infinity]],
      ["half", [-1, 65536, NaN]],
      ["word", [-1, 2 ** 32, NaN]],
      ["signed", [-(2 ** 31) - 1, 2 ** 31, 0.5, NaN]],
      ["wide", [-1, -1n, 2 ** 53, 2n ** 64n, NaN]],
      ["long", [2 ** 53, -(2 ** 53), 2n ** 63n, -(2n ** 63n) - 1n, NaN]],
      ["text", [new Uint8Array(5)]],
    ] as const
  ) {
    for (const value of values) {
      const make = () => define(5, { [name]: value } as Given);
      const error = assertThrows(make, RangeError, name, `${name}: ${value}`);
      assertInstanceOf(error, RangeError);
    }
  }
  for (
    const [name, value] of [
      ["byte", "1"],
      ["byte", 1n],
      ["word", null],
      ["word", true],
      ["word", upTo(4)],
      ["half", {}],
      ["wide", "1"],
      ["wide", upTo(8)],
      ["long", upTo(8)],
      ["text", 5],
      ["text", "abc"],
      ["text", [1, 2]],
    ] as const
  ) {
    const make = () => define(5, { [name]: value } as unknown as Given);
    assertThrows(make, TypeError, name, `${name}: ${value}`);
  }
});

Deno.test("names that neither layout has, or that both have, are refused", () => {
  const inline = { a: u32(0) };
  const indirect = { b: u32(0) };
  const define = defineCommand({ name: "NAMES", cmd_op: 1, inline, indirect });
  type Given = Parameters<typeof define>[1];
  for (const name of ["c", "toString", "constructor", "hasOwnProperty"]) {
    const make = () => define(5, { a: 1, [name]: 1 } as Given);
    const text = `NAMES has no field called ${name}. Its fields: b, a`;
    assertThrows(make, TypeError, text);
  }
  assertThrows(
    () => defineCommand({ name: "TWICE", cmd_op: 1, inline, indirect: inline }),
    TypeError,
    "both layouts have a field called a",
  );
  // These are names like any other.
  const odd = { toString: u32(0), constructor: u32(4), valueOf: u32(8) };
  const fine = defineCommand({ name: "ODD", cmd_op: 1, inline: odd, indirect });
  const seven = { constructor: 7 } as unknown as Parameters<typeof fine>[1];
  assertEquals(words(fine(5, seven)), { op: 0x2e, fd: 5, cmd_op: 1, cmd1: 7 });
});

Deno.test("a wrong number, name, decoder or layout of a definition is refused", () => {
  const define = (parts: object) => () =>
    defineCommand({ name: "WRONG", cmd_op: 1, ...parts });
  for (const numbers of [{ cmd_op: -1 }, { cmd_op: 2 ** 32 }, { len: NaN }]) {
    assertThrows(define(numbers), RangeError, "must be an integer");
  }
  assertThrows(define({ name: 5 }), TypeError, "name must be a string");
  assertThrows(define({ decode: 5 }), TypeError, "decode must be a function");
  for (const layout of ["inline", "indirect"]) {
    assertThrows(define({ [layout]: 5 }), TypeError, `${layout} must be an ob`);
    for (const a of [5, {}, null]) {
      assertThrows(define({ [layout]: { a } }), TypeError, "a must be a field");
    }
    for (const part of ["offset", "size"]) {
      for (const value of [-1, 0.5, NaN]) {
        const a = Object.defineProperty(u8(0), part, { value });
        assertThrows(define({ [layout]: { a } }), RangeError, `${part} of a`);
      }
    }
  }
  const most = 2 ** 20; // Bytes of an indirect struct.
  define({ indirect: { a: u8(most - 1) } })();
  const large = define({ indirect: { a: u8(most) } });
  assertThrows(large, RangeError, "bytes of indirect");
});

Deno.test("a pointer takes memory, or an unsafe address", () => {
  const inline = { at: pointer(0), also: pointer(8) };
  const define = defineCommand({ name: "POINT", cmd_op: 1, inline });
  const memory = { bytes: upTo(3), kernel: "both" } as const;
  const command = define(5, { at: unsafeAddress(0xf1f2), also: memory });
  assertEquals(words(command), { op: 0x2e, fd: 5, cmd_op: 1, cmd0: 0xf1f2 });
  const [only, ...others] = command.operands;
  assertEquals([only.at, only.bytes, only.inside], [56, memory.bytes, -1]);
  assertEquals(others, []);
  type Given = Parameters<typeof define>[1];
  for (const value of [5, 5n, null, "a"]) {
    const make = () => define(5, { at: value } as unknown as Given);
    assertThrows(make, TypeError, "at is an address");
  }
  const half = () => define(5, { at: { bytes: upTo(1) } } as unknown as Given);
  assertThrows(half, TypeError, "at.kernel must be");
});

Deno.test("a pointer in the payload is at a multiple of 4", () => {
  for (const offset of [1, 2, 3, 6]) {
    const inline = { at: pointer(offset) };
    assertThrows(
      () => defineCommand({ name: "ODD", cmd_op: 1, inline }),
      RangeError,
      `at is a pointer at byte ${offset}`,
    );
  }
  const inline = { at: pointer(4) };
  const define = defineCommand({ name: "EVEN", cmd_op: 1, inline });
  const at = { bytes: upTo(1), kernel: "reads" } as const;
  assertEquals(define(5, { at }).operands[0].at, 52);
});

testSocket(
  "GETSOCKOPT",
  "the kernel follows a pointer in the payload",
  async (ring, pair) => {
    const define = defineCommand({
      name: "POINT",
      cmd_op: SOCKET_URING_OP_GETSOCKOPT,
      inline: { optval: pointer(0) },
    });
    const optval = { bytes: new Uint8Array(4), kernel: "writes" } as const;
    // The fields of an option before the payload are not defineCommand's to set.
    const option = uringCmd({
      fd: pair.left,
      cmd_op: SOCKET_URING_OP_GETSOCKOPT,
      level: SOL_SOCKET,
      optname: SO_RCVBUF,
      optlen: 4,
    });
    const { operands } = define(pair.left, { optval });
    const words = new DataView(sqeBytes(option).buffer);
    const command = new Command({
      name: "GETSOCKOPT",
      opcode: IORING_OP_URING_CMD,
      file: pair.left,
      off: SOCKET_URING_OP_GETSOCKOPT,
      addr: words.getBigUint64(16, true),
      fileIndex: 4,
      operands,
    });
    assertEquals(await ring.cmd(command), 4);
    assertEquals([...optval.bytes], optionOf(pair.left, SO_RCVBUF));
  },
);

/** Two `struct iovec`: what readv(2) and writev(2) find at an address. */
const iovecs = defineCommand({
  name: "IOVECS",
  cmd_op: 1,
  indirect: {
    base0: pointer(0),
    len0: u64(8),
    base1: pointer(16),
    len1: u64(24),
  },
});

Deno.test("a decoder sees no address of the kernel in the indirect struct", async () => {
  await using ring = Ring.open();
  using file = devNull();
  const define = defineCommand({
    name: "SEES",
    cmd_op: 0,
    indirect: { base: pointer(0), len: u64(8) },
    decode: (completion, { base, len }) => [
      base,
      len,
      [...completion.memory(0)],
    ],
  });
  for (const bytes of [ring.alloc(16), new Uint8Array(16)]) {
    const base = { bytes, kernel: "both" } as const;
    const seen = await ring.cmd(define(file.fd, { base, len: 5 }));
    assertEquals(seen, [0n, 5n, [
      ...new Uint8Array(8),
      5,
      ...new Uint8Array(7),
    ]]);
  }
});

/** A file that is deleted when it goes out of scope. */
async function scratchFile(ring: Ring, content: Uint8Array): Promise<Fd> {
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, content);
  const fd = await ring.cmd(op.openat(path, { flags: op.O_RDWR }));
  await Deno.remove(path);
  return new Fd(fd);
}

Deno.test("the kernel follows pointers in the indirect struct", async () => {
  await using ring = Ring.open();
  using file = await scratchFile(ring, upTo(20));
  const ordinary = filled(8, 0xee);
  const placed = ring.alloc(100).subarray(10, 20);
  const values = {
    base0: { bytes: ordinary, kernel: "writes" },
    len0: 6,
    base1: { bytes: placed, kernel: "writes" },
    len1: 9n,
  } as const;
  const { operands } = iovecs(file.fd, values);
  assertEquals(
    operands.map((
      { at, inside, reads, writes },
    ) => [at, inside, reads, writes]),
    [
      [16, -1, true, false],
      [0, 0, false, true],
      [16, 0, false, true],
    ],
  );
  // The driver at hand is that of the file itself, under another opcode.
  const vectored = (opcode: number) =>
    new Command({
      name: "VECTORED",
      opcode,
      file: file.fd,
      off: 2,
      len: 2,
      operands,
    });
  for (let run = 0; run < 3; run++) {
    ordinary.fill(0xee);
    placed.fill(0xdd);
    assertEquals(await ring.cmd(vectored(IORING_OP_READV)), 15);
    assertEquals([...ordinary], [3, 4, 5, 6, 7, 8, 0xee, 0xee]);
    assertEquals([...placed], [9, 10, 11, 12, 13, 14, 15, 16, 17, 0xdd]);
    // The struct itself stays what it was: no address of the ring's is in it.
    assertEquals(operands[0].bytes!.subarray(0, 8), new Uint8Array(8));
  }
  const { operands: reading } = iovecs(file.fd, {
    base0: { bytes: filled(6, 1), kernel: "reads" },
    len0: 6,
    base1: unsafeAddress(addressOf(placed)),
    len1: 9,
  });
  placed.fill(2);
  const write = new Command({
    name: "VECTORED",
    opcode: IORING_OP_WRITEV,
    file: file.fd,
    off: 0,
    len: 2,
    operands: reading,
  });
  assertEquals(await ring.cmd(write), 15);
  const found = new Uint8Array(20);
  await ring.cmd(op.read(file.fd, found, { offset: 0 }));
  const expected = [...filled(6, 1), ...filled(9, 2), 16, 17, 18, 19, 20];
  assertEquals([...found], expected);
});

Deno.test("a decoder gets each field of the struct that the kernel wrote", async () => {
  await using ring = Ring.open();
  const define = defineCommand({
    name: "STRUCT",
    cmd_op: 1,
    indirect: {
      byte: u8(1),
      half: u16(2),
      word: u32(4),
      signed: s32(8),
      text: bytes(12, 4),
      wide: u64(16),
      long: s64(24),
      at: pointer(32),
    },
    decode: (done, indirect) => ({ res: done.res, indirect }),
  });
  const content = new Uint8Array(40);
  const view = new DataView(content.buffer);
  view.setUint8(1, 0xf1);
  view.setUint16(2, 0xf2f3, true);
  view.setUint32(4, 0xf4f5_f6f7, true);
  view.setInt32(8, -9, true);
  content.set(upTo(4), 12);
  view.setBigUint64(16, 2n ** 64n - 2n, true);
  view.setBigInt64(24, -3n, true);
  view.setBigUint64(32, 0x7fff_ffff_ffffn, true);
  using file = await scratchFile(ring, content);
  const defined = define(file.fd, { word: 5, text: upTo(2), wide: 6n });
  const { operands, decode } = defined;
  // A driver that writes the struct: read(2), under its own opcode.
  const read = new Command({
    name: "STRUCT",
    opcode: IORING_OP_READ,
    file: file.fd,
    len: 40,
    operands,
    decode: (done) => decode!(done),
  });
  const write = new Command({
    name: "STRUCT",
    opcode: IORING_OP_WRITE,
    file: file.fd,
    off: 100,
    len: 40,
    operands,
  });
  for (let run = 0; run < 2; run++) {
    const { res, indirect } = await ring.cmd(read);
    assertEquals(res, 40);
    assertEquals(indirect, {
      byte: 0xf1,
      half: 0xf2f3,
      word: 0xf4f5_f6f7,
      signed: -9,
      text: upTo(4),
      wide: 2n ** 64n - 2n,
      long: -3n,
      at: 0x7fff_ffff_ffffn,
    });
    // The next run starts with the values that the command was made with.
    assertEquals(await ring.cmd(write), 40);
    const written = new Uint8Array(40);
    await ring.cmd(op.read(file.fd, written, { offset: 100 }));
    const expected = new Uint8Array(40);
    expected.set([5], 4);
    expected.set([1, 2], 12);
    expected.set([6], 16);
    assertEquals(written, expected);
  }
});

Deno.test("one command has both structs, on a driver that accepts anything", async () => {
  await using ring = Ring.open({ sqe128: true });
  using file = devNull();
  const define = defineCommand({
    name: "BOTH",
    cmd_op: 0x4000_1234,
    inline: { id: u16(0), data: pointer(24), more: pointer(72) },
    indirect: { size: u32(0), where: pointer(8), flags: u8(16) },
    decode: ({ res }, { size, where, flags }) => [res, size, where, flags],
  });
  const memory = (length: number) =>
    ({ bytes: upTo(length), kernel: "both" }) as const;
  const command = define(file.fd, {
    id: 9,
    data: memory(5),
    more: memory(6),
    size: 7,
    where: memory(3),
    flags: 255,
  });
  assertEquals(command.sqe128, true);
  assertEquals(
    command.operands.map((
      { at, inside, byteLength },
    ) => [at, inside, byteLength]),
    [[16, -1, 17], [8, 0, 3], [72, -1, 5], [120, -1, 6]],
  );
  assertEquals(await ring.cmd(command), [0, 7, 0n, 255]);
  assertEquals(await Promise.all([1, 2, 3].map(() => ring.cmd(command))), [
    [0, 7, 0n, 255],
    [0, 7, 0n, 255],
    [0, 7, 0n, 255],
  ]);
});

Deno.test("a defined command names itself in its errors", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const define = defineCommand({ name: "FETCH", cmd_op: 1, cqe32: true });
  const refused = () => ring.cmd(define(pair.left));
  await assertRejects(refused, RangeError, "URING_CMD FETCH is answered with");
  const plain = defineCommand({ name: "FETCH", cmd_op: 1 });
  const message = "no handler for uring commands";
  const running = ring.cmd(plain(pair.left));
  const error = await assertRefused(running, "EOPNOTSUPP", message);
  assertEquals([error.op, error.fd], ["URING_CMD FETCH", pair.left]);
});

testSocket(
  "GETSOCKNAME",
  "a driver fills in the indirect struct of a definition",
  async (ring, pair) => {
    const getsockname = defineCommand({
      name: "GETSOCKNAME",
      cmd_op: SOCKET_URING_OP_GETSOCKNAME,
      inline: { length: pointer(0) },
      indirect: {
        family: u16(0),
        port: bytes(2, 2),
        address: bytes(4, 4),
        rest: bytes(8, 8),
      },
      decode: (_, { family, port, address }) => ({ family, port, address }),
    });
    const room = new Uint8Array(Int32Array.of(16).buffer);
    const length = { bytes: room, kernel: "both" } as const;
    const command = getsockname(pair.left, { length });
    for (let run = 0; run < 2; run++) {
      const { family, port, address } = await ring.cmd(command);
      assertEquals(family, op.AF_INET);
      assertEquals(port[0] << 8 | port[1], portOf(pair.left));
      assertEquals([...address], [127, 0, 0, 1]);
      assertEquals([...room], [16, 0, 0, 0]);
    }
  },
);

Deno.test("a wrong field or type does not compile", () => {
  const define = defineCommand({
    name: "TYPES",
    cmd_op: 1,
    inline: { word: u32(0), at: pointer(8) },
    indirect: { wide: u64(0), text: bytes(8, 4) },
    decode: (_, { wide, text }) => {
      const big: bigint = wide;
      const array: Uint8Array = text;
      // @ts-expect-error A 64-bit field is read as a bigint.
      const number: number = wide;
      // @ts-expect-error The inline struct is not read back.
      const { word }: { word: number } = { wide };
      return { big, array, number, word };
    },
  });
  const made: Command<
    { big: bigint; array: Uint8Array; number: number; word: number }
  > = define(5, { word: 1, wide: 2n, text: upTo(4) });
  assertEquals(made.name, "URING_CMD TYPES");
  // @ts-expect-error The result is what `decode` returns.
  const other: Command<number> = define(5);
  assertInstanceOf(other, Command);

  // @ts-expect-error There is no such field.
  assertThrows(() => define(5, { words: 1 }), TypeError);
  // @ts-expect-error A 32-bit field takes no bigint.
  assertThrows(() => define(5, { word: 1n }), TypeError);
  // @ts-expect-error Nor a text.
  assertThrows(() => define(5, { word: "1" }), TypeError);
  // @ts-expect-error A field of bytes takes no number.
  assertThrows(() => define(5, { text: 1 }), TypeError);
  // @ts-expect-error A pointer takes no number,
  assertThrows(() => define(5, { at: 4096 }), TypeError);
  // @ts-expect-error and no memory without saying what it is for.
  assertThrows(() => define(5, { at: { bytes: upTo(1) } }), TypeError);
  // @ts-expect-error A file is a number, or registered.
  assertThrows(() => define("5"), TypeError);
  // @ts-expect-error A uring command has a number.
  assertThrows(() => uringCmd({ fd: 5 }), TypeError);
  // @ts-expect-error An address is no number.
  assertThrows(() => uringCmd({ fd: 5, cmd_op: 0, addr: 4096 }), TypeError);
  const inline = { word: 4 };
  // @ts-expect-error A layout is made of fields.
  assertThrows(() => defineCommand({ name: "X", cmd_op: 1, inline })(5));

  const plain = defineCommand({ name: "PLAIN", cmd_op: 1 });
  const result: Command<number> = plain(5);
  // @ts-expect-error It has no fields at all.
  assertThrows(() => plain(5, { word: 1 }), TypeError, "Its fields: none");
  assertInstanceOf(result, Command);
  assertInstanceOf(inline, Object);
  assertInstanceOf(u32(0), Field);
});

Deno.test("a length longer than its memory is refused under all names of both", () => {
  const memory = { bytes: new Uint8Array(8), kernel: "writes" } as const;
  const option = { fd: 0, cmd_op: 2, level: 1, optname: 3 };
  for (const place of ["optval", "addr3"]) {
    for (const count of ["optlen", "file_index"]) {
      for (const cmd_op of [2, 3]) {
        const make = (length: number, value: unknown = memory) =>
          uringCmd(
            { ...option, cmd_op, [place]: value, [count]: length } as never,
          );
        assertThrows(() => make(9), RangeError, `${count} is 9, but ${place}`);
        make(8);
        make(9, unsafeAddress(0));
      }
    }
  }
  // To another driver, byte 44 is a length only under the name of one.
  const other = { fd: 0, cmd_op: 7, addr3: memory };
  uringCmd({ ...other, file_index: 9 });
  assertThrows(() => uringCmd({ ...other, optlen: 9 }), RangeError, "8 bytes");
});

Deno.test("the length of a filter counts instructions, however the option is named", () => {
  const optval = { bytes: new Uint8Array(24), kernel: "writes" } as const;
  for (
    const names of [
      { level: 1, optname: 26 }, // SOL_SOCKET, SO_GET_FILTER
      { addr: unsafeAddress(26n << 32n | 1n) },
    ]
  ) {
    const make = (cmd_op: number, optlen: number) =>
      uringCmd({ fd: 0, cmd_op, optval, optlen, ...names });
    assertThrows(() => make(2, 4), RangeError, "4 units of 8 bytes");
    assertThrows(() => make(2, 24), RangeError, "24 units of 8 bytes");
    make(2, 3);
    make(3, 24); // Of SO_ATTACH_FILTER, which counts bytes.
  }
});

testSocket(
  "GETSOCKOPT",
  "the kernel writes no more than the memory of an option has",
  async (ring, pair) => {
    const SO_MEMINFO = 55; // 36 bytes
    const around = ring.alloc(64).fill(0xee);
    const bytes = around.subarray(0, 4);
    const run = (length: number) =>
      ring.cmd(uringCmd({
        fd: pair.left,
        cmd_op: SOCKET_URING_OP_GETSOCKOPT,
        level: SOL_SOCKET,
        optname: SO_MEMINFO,
        addr3: { bytes, kernel: "writes" },
        file_index: length,
      }));
    assertEquals(await run(4), 4);
    await assertRejects(async () => await run(36), RangeError);
    assertEquals(around.findLastIndex((byte) => byte !== 0xee), 3);
  },
);

Deno.test("the halves of an address, and the payload as one, are refused", () => {
  const fd = 0;
  for (const cmd_op of [0, 5, 0xc080_9440]) { // BTRFS_IOC_ENCODED_READ
    for (const half of [{ level: 0x1000 }, { optname: 1 }]) {
      assertThrows(() => uringCmd({ fd, cmd_op, ...half }), TypeError, "addr");
    }
  }
  const payload = new Uint8Array(8);
  for (const part of [{ level: 1 }, { optname: 1 }, { optlen: 8 }]) {
    const make = () => uringCmd({ fd, cmd_op: 2, payload, ...part });
    assertThrows(make, TypeError, "Pass optval");
  }
});

Deno.test("an address of a socket needs room for the longest", () => {
  const memory = (length: number) =>
    ({ bytes: new Uint8Array(length), kernel: "both" }) as const;
  const make = (address: number, length: number) =>
    uringCmd({
      fd: 0,
      cmd_op: SOCKET_URING_OP_GETSOCKNAME,
      addr: memory(address),
      addr3: memory(length),
    });
  make(128, 4);
  for (const [address, length] of [[127, 4], [128, 3], [16, 4]]) {
    assertThrows(() => make(address, length), RangeError, "getsockname()");
  }
});

Deno.test("a field that shares bytes with a pointer is refused", () => {
  for (const kind of ["inline", "indirect"]) {
    for (
      const layout of [
        { a: pointer(0), b: pointer(4) },
        { b: pointer(4), a: pointer(0) },
        { a: pointer(0), b: pointer(0) },
        { a: pointer(8), b: u32(12) },
        { a: pointer(4), b: u8(11) },
        { a: pointer(4), b: bytes(0, 16) },
      ]
    ) {
      const make = () =>
        defineCommand({ name: "X", cmd_op: 1, [kind]: layout });
      assertThrows(make, RangeError, "shares bytes with the pointer");
    }
    const apart = { a: pointer(4), b: u32(0), c: u32(12), none: bytes(12, 0) };
    const union = { d: u64(16), e: u32(20) };
    defineCommand({ name: "X", cmd_op: 1, [kind]: { ...apart, ...union } });
  }
});

Deno.test("a subclass of a pointer cannot have fewer bytes than an address", () => {
  const Pointer = pointer(0).constructor as new (
    offset: number,
    size: number,
  ) => Field<number | bigint>;
  for (const size of [0, 4, 16]) {
    const inline = { a: new Pointer(16, size) };
    const make = () => defineCommand({ name: "X", cmd_op: 1, inline });
    assertThrows(make, RangeError, "size of a");
  }
});
