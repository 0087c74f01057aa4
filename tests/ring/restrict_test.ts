/** Restricted rings run what was allowed; the tests try everything else. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  BufferRing,
  type Restrictions,
  Ring,
  type RingOptions,
  uringCmd,
  UringError,
} from "../../mod.ts";
import { Command } from "../../ring/command.ts";
import { FixedBuffer, type FixedFile } from "../../ring/registered.ts";
import * as raw from "../../ring/raw.ts";
import { alloc } from "../../ring/alloc.ts";
import * as op from "../../cmd/op.ts";
import { probeOpcodes } from "../../ring/bare/register.ts";
import { E } from "../../sys/uapi/errno.ts";
import { O_NONBLOCK } from "../../sys/uapi/fcntl.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { devNull, Fd, pipe, writeSync } from "../kit/fds.ts";
import { outcome, outcomes } from "../kit/outcome.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { lacksFlag, lacksLinux, testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

const { EACCES, EAGAIN, EINVAL } = E;

/** Opens a ring with registered files, which can do only what is listed. */
function restricted(
  fds: readonly number[],
  restrictions: Restrictions,
  options: RingOptions = {},
): { ring: Ring; files: FixedFile[] } {
  const ring = Ring.open({ ...options, disabled: true });
  const files = ring.registerFiles(fds);
  ring.restrict(restrictions);
  return { ring, files };
}

/** One family of commands on registered files: what most tests allow. */
const ONE_FAMILY: Restrictions = {
  ops: [uapi.IORING_OP_URING_CMD],
  sqeFlagsRequired: uapi.IOSQE_FIXED_FILE,
};
/** Operations with SQEs of 128 bytes, for mixed rings only. */
const LARGE = [uapi.IORING_OP_NOP128, uapi.IORING_OP_URING_CMD128] as number[];

/** Opcodes that a ring with {@linkcode ONE_FAMILY} runs. */
const ALLOWED = [uapi.IORING_OP_URING_CMD, uapi.IORING_OP_ASYNC_CANCEL];

/** Aborts one of two commands in flight, then closes the ring. */
async function cancelBoth(ring: Ring, command: Command<number>): Promise<void> {
  const ended: unknown[] = [];
  const end = (error: unknown) => void ended.push(error);
  const abort = new AbortController();
  const enough = new Error("enough");
  ring.cmd(command, abort).then(end, end);
  ring.cmd(command).then(end, end);
  await turn();
  abort.abort(enough);
  await until(() => ended.length === 1);
  assertEquals([ended[0], ring.stats().inFlight], [enough, 1]);
  let closed = false;
  const closing = ring.close().then(() => closed = true);
  await until(() => closed);
  assertEquals((ended[1] as DOMException).name, "AbortError");
  await closing;
}

/** Makes a command of any opcode and `IOSQE_` bits, by default on file 0. */
function bare(opcode: number, flags: number, fdWord = 0): Command<number> {
  const name = `OP ${opcode}`;
  // For ASYNC_CANCEL: no command has this user_data.
  const addr = 2n ** 63n;
  return new Command({ name, opcode, flags, fdWord, addr });
}

const SHAPES: [missing: string, options: RingOptions][] = [
  ["", {}],
  [lacksFlag("DEFER_TASKRUN"), { deferTaskrun: true }],
  [lacksFlag("SQPOLL"), { sqpoll: true }],
];
/** Registers a test for each shape of ring. */
function testShapes(
  name: string,
  fn: (options: RingOptions) => Promise<void>,
): void {
  for (const [missing, options] of SHAPES) {
    const shape = JSON.stringify(options);
    testUnless(missing, `${name}, opened with ${shape}`, () => fn(options));
  }
}

// ---- What is refused -----------------------------------------------------------

testShapes(
  "a restricted ring runs its one family of commands, and nothing else",
  async (options) => {
    const disabled = Ring.open({ ...options, disabled: true });
    await using ring = disabled;
    using file = devNull();
    const ping = uringCmd({ fd: file.fd, cmd_op: 0 });
    await assertRejects(() => ring.cmd(ping), TypeError, "restrict()");
    assertEquals(ring.stats().submitted, 0);
    const [fixed] = ring.registerFiles([file.fd]);
    ring.restrict(ONE_FAMILY);
    assertEquals(await ring.cmd(uringCmd({ fd: fixed, cmd_op: 0 })), 0);
    assertEquals(ring.cmdSync(uringCmd({ fd: fixed, cmd_op: 7 })), 0);
    for (const command of [ping, op.nop(), op.openat("/etc/passwd")]) {
      const error = await assertRejects(
        () => ring.cmd<unknown>(command),
        UringError,
      );
      assertEquals(error.code, "EACCES");
      assertStringIncludes(error.message, "restricted");
      assertThrows(() => ring.cmdSync<unknown>(command), UringError, "EACCES");
    }
    assertThrows(() => ring.unregisterFiles(), UringError, "restricted");
    const buffers = [ring.alloc(4096)];
    assertThrows(() => ring.registerBuffers(buffers), UringError, "restricted");
    assertThrows(() => ring.restrict({}), TypeError);
  },
);

testShapes(
  "a restricted ring answers every other opcode with EACCES",
  async (options) => {
    using file = devNull();
    const { ring } = restricted([file.fd], ONE_FAMILY, options);
    await using open = Ring.open();
    const known = probeOpcodes(open.fd);
    assertGreater(known.size, 45);
    const last = Math.max(...known);
    for (let opcode = 0; opcode <= 255; opcode++) {
      const fixed = await outcome(
        ring.cmd(bare(opcode, uapi.IOSQE_FIXED_FILE)),
      );
      const free = await outcome(ring.cmd(bare(opcode, 0, file.fd)));
      // Before it looks at restrictions, the kernel refuses unknown opcodes, and
      // large SQEs on a ring that is not mixed.
      if (opcode > last || LARGE.includes(opcode) && fixed === "EINVAL") {
        assertEquals([fixed, free], ["EINVAL", "EINVAL"], `opcode ${opcode}`);
        continue;
      }
      if (!ALLOWED.includes(opcode)) assertEquals(fixed, "EACCES", `${opcode}`);
      else assertNotEquals(fixed, "EACCES", `${opcode}`);
      assertEquals(free, "EACCES", `opcode ${opcode} without IOSQE_FIXED_FILE`);
    }
    await ring.close();
  },
);

Deno.test("./raw has the number of every operation that ./op makes", () => {
  const bytes = new Uint8Array(8);
  const address = { hostname: "127.0.0.1", port: 1 };
  const memory = alloc(8);
  const buffer = new FixedBuffer(0, memory);
  const lending = new BufferRing(0, 1, 8);
  const commands: Record<string, Command<unknown>[]> = {
    accept: [op.accept(0)],
    bind: [op.bind(0, address)],
    close: [op.close(0)],
    connect: [op.connect(0, address)],
    fallocate: [op.fallocate(0, { offset: 0, length: 1 })],
    fgetxattr: [op.fgetxattr(0, "user.a")],
    fsetxattr: [op.fsetxattr(0, "user.a", bytes)],
    fstatx: [op.fstatx(0)],
    fsync: [op.fsync(0)],
    ftruncate: [op.ftruncate(0, 0)],
    getxattr: [op.getxattr("/", "user.a")],
    linkTimeout: [op.linkTimeout(1)],
    linkat: [op.linkat("a", "b")],
    listen: [op.listen(0)],
    mkdirat: [op.mkdirat("a")],
    nop: [op.nop()],
    openat: [op.openat("/")],
    poll: [op.poll(0, { events: 1 })],
    read: [
      op.read(0, bytes),
      op.read(0, memory, { buffer }),
      op.read(0, lending),
      op.read(0, lending, { multishot: true }),
    ],
    readsOf: [op.readsOf(0, memory).at(0)],
    recv: [op.recv(0, bytes), op.recv(0, lending, { multishot: true })],
    renameat: [op.renameat("a", "b")],
    send: [op.send(0, bytes)],
    sendZc: [op.sendZc(0, bytes)],
    setxattr: [op.setxattr("/", "user.a", bytes)],
    socket: [op.socket({ domain: 1, type: 1 })],
    statx: [op.statx("/")],
    symlinkat: [op.symlinkat("a", "b")],
    syncFileRange: [op.syncFileRange(0)],
    timeout: [op.timeout(1)],
    unlinkat: [op.unlinkat("a")],
    write: [op.write(0, bytes), op.write(0, memory, { buffer })],
    writesOf: [op.writesOf(0, memory).at(0)],
  };
  const makers = Object.entries(op)
    .filter(([, value]) => typeof value === "function")
    .map(([name]) => name);
  assertEquals(Object.keys(commands), makers.sort());
  const numbers = new Set(
    Object.entries(raw)
      .filter(([name]) => name.startsWith("IORING_OP_"))
      .map(([, value]) => value),
  );
  for (const { name, opcode } of Object.values(commands).flat()) {
    assert(numbers.has(opcode), name);
  }
});

Deno.test("a restricted ring registers what ./raw has the numbers of", async () => {
  await using ring = Ring.open({ disabled: true });
  ring.restrict({
    registerOps: [
      raw.IORING_REGISTER_FILES,
      raw.IORING_UNREGISTER_FILES,
      raw.IORING_REGISTER_BUFFERS,
      raw.IORING_UNREGISTER_BUFFERS,
    ],
  });
  using file = devNull();
  ring.registerFiles([file.fd]);
  ring.unregisterFiles();
  ring.registerBuffers([ring.alloc(8)]);
  ring.unregisterBuffers();
});

Deno.test("a restricted ring reaches no file outside its table", async () => {
  using file = devNull();
  using ends = pipe();
  const { ring } = restricted([file.fd], ONE_FAMILY);
  const command = (flags: number, fdWord: number) =>
    outcome(ring.cmd(bare(uapi.IORING_OP_URING_CMD, flags, fdWord)));
  for (const fd of [file.fd, ends.left, ring.fd, -1]) {
    assertEquals(await command(0, fd), "EACCES", `descriptor ${fd}`);
  }
  for (const index of [1, 2, file.fd, ends.left, 16384, 2 ** 31 - 1, -1]) {
    const result = await command(uapi.IOSQE_FIXED_FILE, index);
    assertEquals(result, "EBADF", `place ${index}`);
  }
  await ring.close();
});

const REFUSED = [
  "IOSQE_IO_DRAIN",
  "IOSQE_IO_LINK",
  "IOSQE_IO_HARDLINK",
  "IOSQE_BUFFER_SELECT",
  "IOSQE_CQE_SKIP_SUCCESS",
] as const;
for (const name of REFUSED) {
  Deno.test(`every ring refuses a command with ${name}, whatever it was allowed`, async () => {
    using file = devNull();
    const flags = uapi.IOSQE_FIXED_FILE | uapi[name];
    const command = bare(uapi.IORING_OP_URING_CMD, flags);
    const allowing = { ...ONE_FAMILY, sqeFlagsAllowed: uapi[name] };
    for (const shape of [ONE_FAMILY, allowing]) {
      const { ring } = restricted([file.fd], shape);
      await assertRejects(() => ring.cmd(command), TypeError, name);
      assertThrows(() => ring.cmdAllSync([command]), TypeError, name);
      assertEquals(ring.stats().submitted, 0);
      await ring.close();
    }
  });
}

Deno.test("a command with IOSQE_ASYNC runs only where the flag is allowed", async () => {
  using file = devNull();
  const flags = uapi.IOSQE_FIXED_FILE | uapi.IOSQE_ASYNC;
  const command = bare(uapi.IORING_OP_URING_CMD, flags);
  const { ring } = restricted([file.fd], ONE_FAMILY);
  assertEquals(await outcome(ring.cmd(command)), "EACCES");
  await ring.close();
  const allowing = { ...ONE_FAMILY, sqeFlagsAllowed: uapi.IOSQE_ASYNC };
  const free = restricted([file.fd], allowing).ring;
  assertEquals(await outcome(free.cmd(command)), 0);
  await free.close();
});

Deno.test("a restricted ring links commands only where IOSQE_IO_LINK is allowed", async () => {
  using file = devNull();
  for (const sqeFlagsAllowed of [0, uapi.IOSQE_IO_LINK]) {
    const { ring, files } = restricted([file.fd], {
      ...ONE_FAMILY,
      sqeFlagsAllowed,
    });
    const ping = uringCmd({ fd: files[0], cmd_op: 0 });
    const results = await outcomes(ring.link([ping, ping]));
    if (sqeFlagsAllowed !== 0) assertEquals(results, [0, 0]);
    else assert(results[0] === "EACCES" && typeof results[1] === "string");
    await ring.close();
  }
});

Deno.test("restrictions allow nothing that they leave out", async () => {
  using file = devNull();
  {
    const { ring, files } = restricted([file.fd], {});
    const ping = uringCmd({ fd: files[0], cmd_op: 0 });
    assertEquals(await outcome(ring.cmd(ping)), "EACCES");
    assertEquals(await outcome(ring.cmd(op.nop())), "EACCES");
    await ring.close();
  }
  const ops = [uapi.IORING_OP_URING_CMD];
  const { ring, files } = restricted([file.fd], { ops });
  const fixed = uringCmd({ fd: files[0], cmd_op: 0 });
  const free = uringCmd({ fd: file.fd, cmd_op: 0 });
  // A registered file needs IOSQE_FIXED_FILE, which is not allowed here.
  assertEquals(await outcome(ring.cmd(fixed)), "EACCES");
  assertEquals(await outcome(ring.cmd(free)), 0);
  await ring.close();
});

/** Every number that an opcode of io_uring_register() may have. */
const REGISTER_OPS = Array.from({ length: 64 }, (_, op) => op);
/** The last opcode of Linux 6.1, the oldest kernel tested. An unknown one is EINVAL. */
const SURELY_KNOWN = uapi.IORING_REGISTER_FILE_ALLOC_RANGE;

testShapes(
  "a restricted ring answers every other IORING_REGISTER_ opcode with EACCES",
  async (options) => {
    using file = devNull();
    const { ring, files } = restricted([file.fd], ONE_FAMILY, options);
    const needed = [uapi.IORING_UNREGISTER_RING_FDS];
    if (options.deferTaskrun) {
      needed.push(uapi.IORING_REGISTER_EVENTFD, uapi.IORING_UNREGISTER_EVENTFD);
    }
    const { bytes, at } = scratch();
    bytes.fill(0, 0, 256);
    for (const value of REGISTER_OPS) {
      const name = `operation ${value}`;
      const call = (address: number, count: number) =>
        syscall("io_uring_register", ring.fd, value, address, count);
      if (needed.includes(value)) {
        assertNotEquals(call(0, 0), -EACCES, name);
        continue;
      }
      for (const rc of [call(0, 0), call(at, 0), call(at, 1), call(at, 2)]) {
        if (value <= SURELY_KNOWN) assertEquals(rc, -EACCES, name);
        else assert(rc === -EACCES || rc === -EINVAL, `${name}: ${rc}`);
      }
    }
    assertEquals(await ring.cmd(uringCmd({ fd: files[0], cmd_op: 0 })), 0);
    await ring.close();
  },
);

testUnless(
  lacksLinux(6, 3), // IORING_REGISTER_USE_REGISTERED_RING
  "a restricted ring stays restricted when it is named by its registered index",
  async () => {
    using file = devNull();
    const { ring } = restricted([file.fd], ONE_FAMILY);
    await using open = Ring.open();
    const { view, bytes, at } = scratch();
    const { io_uring_rsrc_update2: update } = uapi;
    bytes.fill(0, 0, 32);
    update.offset.set(view, 0, 0xffff_ffff);
    update.data.set(view, 0, ring.fd);
    const call = (fd: number, op: number, nr: number) =>
      syscall("io_uring_register", fd, op, nr > 0 ? at : 0, nr);
    assertEquals(call(open.fd, uapi.IORING_REGISTER_RING_FDS, 1), 1);
    const place = update.offset.get(view, 0);
    for (const value of REGISTER_OPS) {
      if (value === uapi.IORING_UNREGISTER_RING_FDS) continue;
      const op = value + uapi.IORING_REGISTER_USE_REGISTERED_RING;
      const rc = call(place, op, 0);
      const unknown = value > SURELY_KNOWN && rc === -EINVAL;
      assert(rc === -EACCES || unknown, `operation ${value}: ${rc}`);
    }
    update.data.set(view, 0, 0);
    assertEquals(call(open.fd, uapi.IORING_UNREGISTER_RING_FDS, 1), 1);
    await ring.close();
  },
);

// ---- What a restricted ring can still do -------------------------------------

const READS: Restrictions = {
  ops: [uapi.IORING_OP_READ],
  sqeFlagsRequired: uapi.IOSQE_FIXED_FILE,
};

testShapes(
  "each later completion wakes a restricted ring",
  async (options) => {
    using ends = pipe();
    const { ring, files } = restricted([ends.left], READS, options);
    const bytes = ring.alloc(8);
    for (let i = 0; i < 20; i++) {
      const read = ring.cmd(op.read(files[0], bytes));
      await turn();
      setTimeout(() => writeSync(ends.right, "x"), i % 3);
      assertEquals(await read, 1);
    }
    await ring.close();
  },
);

testShapes(
  "a restricted ring cancels commands on abort and on close",
  async (options) => {
    using ends = pipe();
    const { ring, files } = restricted([ends.left], READS, options);
    await cancelBoth(ring, op.read(files[0], ring.alloc(8)));
  },
);

Deno.test("a ring that requires IOSQE_ASYNC as well can cancel", async () => {
  using ends = pipe();
  const flags = uapi.IOSQE_FIXED_FILE | uapi.IOSQE_ASYNC;
  const { ring } = restricted([ends.left], {
    ops: [uapi.IORING_OP_POLL_ADD],
    sqeFlagsRequired: flags,
  });
  const poll = new Command<number>({
    name: "POLL_ADD",
    opcode: uapi.IORING_OP_POLL_ADD,
    flags,
    fdWord: 0,
    opFlags: op.POLLIN,
  });
  await cancelBoth(ring, poll);
});

testShapes(
  "closing a restricted ring frees it and its files",
  async (options) => {
    // A thread has 16 registered rings: more rings than that find any leak.
    for (let i = 0; i < 20; i++) {
      const { view, at } = scratch();
      assertEquals(syscall("pipe2", at, O_NONBLOCK), 0);
      using left = new Fd(view.getInt32(0, true));
      using right = new Fd(view.getInt32(4, true));
      const { ring } = restricted([right.fd], READS, options);
      right.close();
      assertEquals(syscall("read", left.fd, at, 1), -EAGAIN);
      await ring.close();
      // read(2) returns 0 once the kernel has released the other end.
      await until(() => syscall("read", left.fd, scratch().at, 1) === 0);
    }
  },
);

// ---- What restrictions do not cover ---------------------------------------------------------------

Deno.test("restrictions do not cover what a command asks of its file", async () => {
  using file = devNull();
  const { ring, files } = restricted([file.fd], ONE_FAMILY);
  for (const cmd_op of [0, 1, 0xffff_ffff]) {
    assertEquals(await ring.cmd(uringCmd({ fd: files[0], cmd_op })), 0);
  }
  await ring.close();
});

Deno.test("a restricted ring registers files where IORING_REGISTER_FILES is allowed", async () => {
  using file = devNull();
  using ends = pipe();
  const { ring } = restricted([ends.left], {
    ...ONE_FAMILY,
    registerOps: [
      uapi.IORING_UNREGISTER_FILES,
      uapi.IORING_REGISTER_FILES,
    ],
  });
  ring.unregisterFiles();
  const [fixed] = ring.registerFiles([file.fd]);
  assertEquals(await ring.cmd(uringCmd({ fd: fixed, cmd_op: 0 })), 0);
  await ring.close();
});

Deno.test("an unrestricted ring can put a file into the table of a restricted one", async () => {
  using file = devNull();
  using ends = pipe();
  const { ring, files } = restricted([ends.left], ONE_FAMILY);
  const ping = uringCmd({ fd: files[0], cmd_op: 0 });
  assertEquals(await outcome(ring.cmd(ping)), "EOPNOTSUPP");
  await using open = Ring.open();
  open.registerFiles([file.fd]);
  const send = new Command<number>({
    name: "MSG_RING",
    opcode: uapi.IORING_OP_MSG_RING,
    file: ring.fd,
    addr: 1, // IORING_MSG_SEND_FD
    addr3: 0, // Source index.
    fileIndex: 1, // Target index, plus 1.
    opFlags: 1, // IORING_MSG_RING_CQE_SKIP
  });
  assertEquals(await open.cmd(send), 0);
  assertEquals(await outcome(ring.cmd(ping)), 0);
  await ring.close();
});

// ---- Bad input -----------------------------------------------------------------------

Deno.test("only a disabled ring can be restricted", async () => {
  await using ring = Ring.open();
  assertThrows(() => ring.restrict({ ops: [0] }), TypeError, "disabled: true");
});

Deno.test("flags that would prevent cancellation cannot be required", async () => {
  await using ring = Ring.open({ disabled: true });
  for (
    const sqeFlagsRequired of [
      uapi.IOSQE_IO_DRAIN,
      uapi.IOSQE_IO_LINK,
      uapi.IOSQE_IO_HARDLINK,
      uapi.IOSQE_BUFFER_SELECT,
      uapi.IOSQE_CQE_SKIP_SUCCESS | uapi.IOSQE_FIXED_FILE,
      128,
    ]
  ) {
    const restrict = () => ring.restrict({ sqeFlagsRequired });
    assertThrows(restrict, TypeError, "could not cancel");
  }
});

Deno.test("a ring stays disabled after refused restrictions, and accepts others", async () => {
  await using ring = Ring.open({ disabled: true });
  for (const bad of [256, -1, 0.5, NaN]) {
    assertThrows(() => ring.restrict({ ops: [bad] }), RangeError);
    assertThrows(() => ring.restrict({ registerOps: [bad] }), RangeError);
    assertThrows(() => ring.restrict({ sqeFlagsAllowed: bad }), RangeError);
    assertThrows(() => ring.restrict({ sqeFlagsRequired: bad }), RangeError);
  }
  const error = assertThrows(() => ring.restrict({ ops: [255] }), UringError);
  assertEquals(error.code, "EINVAL");
  await assertRejects(() => ring.cmd(op.nop()), TypeError, "restrict()");
  // Repeated opcodes count as one restriction.
  ring.restrict({ ops: Array(5000).fill(uapi.IORING_OP_NOP) });
  assertEquals(await ring.cmd(op.nop()), 0);
  assertEquals(await outcome(ring.cmd(op.timeout(1))), "EACCES");
});

testUnless(
  lacksFlag("SQE_MIXED"),
  "a mixed ring that refuses fillers runs commands of both sizes",
  async () => {
    using file = devNull();
    using strays = reportedErrors();
    const payload = new Uint8Array(80);
    const ops = [uapi.IORING_OP_URING_CMD, uapi.IORING_OP_URING_CMD128];
    const options = { mixed: true, entries: 4 };
    const made = restricted([file.fd], { ...ONE_FAMILY, ops }, options);
    const [fd] = made.files;
    for (let round = 0; round < 20; round++) {
      const results = await Promise.all([
        made.ring.cmd(uringCmd({ fd, cmd_op: 0 })),
        made.ring.cmd(uringCmd({ fd, cmd_op: 0, payload })),
      ]);
      assertEquals(results, [0, 0]);
    }
    await made.ring.close();
    assertEquals(strays.errors, []);
  },
);

testUnless(
  lacksFlag("SQE_MIXED"),
  "a mixed ring allows commands of each size separately",
  async () => {
    using file = devNull();
    const payload = new Uint8Array(80);
    for (
      const [op, small, large] of [
        [uapi.IORING_OP_URING_CMD, 0, "EACCES"],
        [uapi.IORING_OP_URING_CMD128, "EACCES", 0],
      ] as const
    ) {
      const allowed = { ...ONE_FAMILY, ops: [op] };
      const made = restricted([file.fd], allowed, { mixed: true });
      const [fd] = made.files;
      const results = await outcomes([
        made.ring.cmd(uringCmd({ fd, cmd_op: 0 })),
        made.ring.cmd(uringCmd({ fd, cmd_op: 0, payload })),
      ]);
      assertEquals(results, [small, large]);
      await made.ring.close();
    }
  },
);
