/** The ordinary operations: their bytes, and what the kernel does with them. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { concat, equals } from "@std/bytes";
import {
  type Command,
  Completion,
  FixedBuffer,
  FixedFile,
  Ring,
  UringError,
} from "../../mod.ts";
import { alloc } from "../../ring/alloc.ts";
import * as op from "../../cmd/op.ts";
import { decodeSockaddr, encodeSockaddr } from "../../cmd/sockaddr.ts";
import type { SocketAddress } from "../../cmd/sockaddr.ts";
import { F_GETFL } from "../../sys/uapi/fcntl.ts";
import { addressOf } from "../../ring/raw.ts";
import { fileFacts, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { IPPROTO_TCP, TCP_CORK } from "../../sys/uapi/socket.ts";
import { socketName } from "../../sys/socket_calls.ts";
import { assertBoolean } from "../kit/booleans.ts";
import { pattern, textOf, utf8 } from "../kit/bytes.ts";
import { Fd, pipe, tcpPair, unixPair, writeSync } from "../kit/fds.ts";
import { Folder } from "../kit/folder.ts";
import { words } from "../kit/golden.ts";
import { assertRefused, outcome } from "../kit/outcome.ts";
import { lacksAddress, lacksOpcode, testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

/** Opens a path; the descriptor closes itself. */
async function opened(
  ring: Ring,
  path: string,
  flags: number = op.O_RDWR,
): Promise<Fd> {
  return new Fd(await ring.cmd(op.openat(path, { flags })));
}

// Commands of fcntl(2).
const F_DUPFD = 0;
const F_GETFD = 1;

/** Returns FD_CLOEXEC, the only flag of a descriptor itself. */
const closesOnExec = (fd: number) => syscall("fcntl", fd, F_GETFD) === 1;

// ---- The bytes of each SQE
// ---------------------------------------------------

/** Tests the 64 bytes of an operation's SQE, and the memory it points at. */
function golden(
  name: string,
  command: Command<unknown>,
  sqe: Record<string, number>,
  memory?: readonly [kernel: "reads" | "writes", bytes: readonly number[]],
): void {
  Deno.test(`the SQE of ${name} has its fields and nothing else`, () => {
    assertEquals(words(command), sqe);
    assert(!command.sqe128 && !command.cqe32 && !command.multishot);
    assertEquals(command.operands.length, memory ? 1 : 0);
    if (!memory) return;
    const [kernel, expected] = memory;
    const { at, bytes, reads, writes, inside } = command.operands[0];
    assertEquals([at, inside], [16, -1]); // The ring writes it to `addr`.
    assertEquals([reads, writes], [kernel === "reads", kernel === "writes"]);
    assertEquals([...bytes!], expected);
  });
}

golden("nop", op.nop(), { fd: -1 });

golden(
  "openat without options",
  op.openat("/é"),
  {
    op: 0x12,
    fd: -100, // AT_FDCWD
    len: 0o666, // The mode.
    op_flags: 0x8_0000, // O_CLOEXEC
  },
  ["reads", [0x2f, 0xc3, 0xa9, 0]],
);

golden(
  "openat with all options",
  op.openat("a", {
    flags: op.O_RDWR | op.O_CREAT | op.O_EXCL,
    mode: 0o7701,
    dirFd: 0x102,
  }),
  { op: 0x12, fd: 0x102, len: 0o7701, op_flags: 0x8_00c2 },
  ["reads", [0x61, 0]],
);

golden("close", op.close(0x7fff_fffe), { op: 0x13, fd: 0x7fff_fffe });

golden(
  "read at an offset",
  op.read(5, Uint8Array.of(1, 2, 3), { offset: 0x1_8000_0002 }),
  { op: 0x16, fd: 5, off: 0x8000_0002, off_high: 1, len: 3 },
  ["writes", [1, 2, 3]],
);

golden(
  "write at the position of a registered file",
  op.write(new FixedFile(0x103), Uint8Array.of(9)),
  {
    op: 0x17,
    flags: 1, // IOSQE_FIXED_FILE
    fd: 0x103, // The index in the table.
    off: 0xffff_ffff, // -1: the file's own position.
    off_high: 0xffff_ffff,
    len: 1,
  },
  ["reads", [9]],
);

const registered = new FixedBuffer(0xf1f2, Uint8Array.of(1, 2, 3, 4));

golden(
  "read into a registered buffer",
  op.read(5, registered.bytes.subarray(1, 3), {
    buffer: registered,
    offset: 0,
  }),
  { op: 0x04, fd: 5, len: 2, buf_index: 0xf1f2 }, // IORING_OP_READ_FIXED
  ["writes", [2, 3]],
);

golden(
  "write from a registered buffer",
  op.write(5, registered.bytes, {
    buffer: registered,
    offset: 0x71f2_f3f4_f5f6_f7f8n,
  }),
  {
    op: 0x05, // IORING_OP_WRITE_FIXED
    fd: 5,
    off: 0xf5f6_f7f8,
    off_high: 0x71f2_f3f4,
    len: 4,
    buf_index: 0xf1f2,
  },
  ["reads", [1, 2, 3, 4]],
);

golden("fsync", op.fsync(5), { op: 0x03, fd: 5 });

Deno.test("a path with half of a surrogate pair is refused, and makes no file", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const flags = op.O_CREAT | op.O_RDWR;
  for (const name of ["x\ud800", "\udc00x", "\udc00\ud800"]) {
    const path = `${folder.path}/${name}`;
    const message = "path must be well-formed Unicode, and ";
    const error = assertThrows(
      () => op.openat(path, { flags }),
      TypeError,
      message,
    );
    assertStringIncludes(error.message, JSON.stringify(path).slice(0, 40));
  }
  assertEquals([...Deno.readDirSync(folder.path)], []);
  const whole = "x\u{1f600}\ufffd";
  const open = op.openat(`${folder.path}/${whole}`, { flags });
  using _file = new Fd(await ring.cmd(open));
  const names = [...Deno.readDirSync(folder.path)].map(({ name }) => name);
  assertEquals(names, [whole]);
});

Deno.test("dataOnly of fsync is a boolean", () => {
  assertBoolean("dataOnly", (dataOnly) => op.fsync(5, { dataOnly }));
});

golden("fsync of the data only", op.fsync(5, { dataOnly: true }), {
  op: 0x03,
  fd: 5,
  op_flags: 1, // IORING_FSYNC_DATASYNC
});

golden(
  "socket",
  op.socket({
    domain: op.AF_INET6,
    type: op.SOCK_DGRAM | op.SOCK_NONBLOCK,
    protocol: 17,
  }),
  {
    op: 0x2d,
    fd: 10, // AF_INET6
    off: 0x8_0802, // SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    len: 17,
  },
);

golden(
  "bind",
  op.bind(5, { hostname: "127.0.0.1", port: 0x1234 }),
  { op: 0x38, fd: 5, off: 16 }, // The length of the address.
  ["reads", [2, 0, 0x12, 0x34, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
);

golden(
  "connect",
  op.connect(5, { path: "\0ab" }),
  { op: 0x10, fd: 5, off: 5 }, // The length of the address.
  ["reads", [1, 0, 0, 0x61, 0x62]],
);

golden("listen", op.listen(5), { op: 0x39, fd: 5, len: 511 });

golden("accept", op.accept(5), {
  op: 0x0d,
  fd: 5,
  op_flags: 0x8_0000, // SOCK_CLOEXEC
});

golden(
  "send",
  op.send(5, Uint8Array.of(7, 8), { flags: op.MSG_MORE }),
  { op: 0x1a, fd: 5, len: 2, op_flags: 0x8000 },
  ["reads", [7, 8]],
);

golden(
  "recv",
  op.recv(5, Uint8Array.of(7, 8), { flags: op.MSG_PEEK | op.MSG_TRUNC }),
  { op: 0x1b, fd: 5, len: 2, op_flags: 0x22 },
  ["writes", [7, 8]],
);

golden(
  "sendZc",
  op.sendZc(5, Uint8Array.of(7, 8), { flags: 0xf1f2_f3f4 }),
  {
    op: 0x2f,
    ioprio: 8, // IORING_SEND_ZC_REPORT_USAGE
    fd: 5,
    len: 2,
    op_flags: 0xf1f2_f3f4,
  },
  ["reads", [7, 8]],
);

golden(
  "sendZc from a registered buffer",
  op.sendZc(5, registered.bytes.subarray(3), { buffer: registered }),
  {
    op: 0x2f,
    ioprio: 8 | 4, // IORING_SEND_ZC_REPORT_USAGE, IORING_RECVSEND_FIXED_BUF
    fd: 5,
    len: 1,
    buf_index: 0xf1f2,
  },
  ["reads", [4]],
);

golden("poll", op.poll(5, { events: 0x8000_2001 }), {
  op: 0x06,
  fd: 5,
  op_flags: 0x8000_2001, // POLLIN, POLLRDHUP, EPOLLET
});

golden(
  "timeout",
  op.timeout(258_000.5),
  { op: 0x0b, fd: -1, len: 1, op_flags: 0x20 }, // TIMEOUT_ETIME_SUCCESS
  ["reads", [
    ...[2, 1, 0, 0, 0, 0, 0, 0], // tv_sec: 258
    ...[0x20, 0xa1, 7, 0, 0, 0, 0, 0], // tv_nsec: 500,000
  ]],
);

golden(
  "linkTimeout",
  op.linkTimeout(1999.999999),
  { op: 0x0f, fd: -1, len: 1 },
  ["reads", [
    ...[1, 0, 0, 0, 0, 0, 0, 0], // tv_sec
    ...[0xff, 0xc9, 0x9a, 0x3b, 0, 0, 0, 0], // tv_nsec: 999,999,999
  ]],
);

Deno.test("the notification of a sendZc says whether the kernel copied", () => {
  const command = op.sendZc(5, Uint8Array.of(7, 8));
  assertEquals(command.completions, 2);
  const copied = 0x8000_0000 | 0; // IORING_NOTIF_USAGE_ZC_COPIED
  const none = -1; // No notification came.
  for (const notification of [0, copied, none]) {
    const done = new Completion(2, 0, [], 0n, 0n, notification);
    const zeroCopy = notification === 0;
    assertEquals(command.decode!(done), { bytesSent: 2, zeroCopy });
  }
});

// ---- Refusals before anything is queued ------------------------------------

Deno.test("numbers that no field can hold are refused by name", () => {
  const bytes = new Uint8Array(1);
  for (
    const [make, name] of [
      [() => op.close(-1), "fd"],
      [() => op.close(2 ** 31), "fd"],
      [() => op.close(NaN), "fd"],
      [() => op.read(1.5, bytes), "fd"],
      [() => op.openat("a", { mode: -1 }), "mode"],
      [() => op.openat("a", { mode: 0o10000 }), "mode"],
      [() => op.openat("a", { flags: -1 }), "flags"],
      [() => op.openat("a", { flags: 2 ** 32 }), "flags"],
      [() => op.openat("a", { dirFd: -100 }), "dirFd"],
      [() => op.read(1, bytes, { offset: -1 }), "offset"],
      [() => op.read(1, bytes, { offset: -1n }), "offset"],
      [() => op.write(1, bytes, { offset: NaN }), "offset"],
      [() => op.write(1, bytes, { offset: 0.5 }), "offset"],
      [() => op.write(1, bytes, { offset: 2 ** 53 }), "offset"],
      [() => op.write(1, bytes, { offset: 2n ** 64n }), "offset"],
      // The kernel would take the last for the file's own position.
      [() => op.write(1, bytes, { offset: 2n ** 63n }), "offset"],
      [() => op.read(1, bytes, { offset: 2n ** 64n - 1n }), "offset"],
      [() => op.readsOf(1, alloc(8)).at(2n ** 64n - 1n), "offset"],
      [() => op.writesOf(1, alloc(8)).at(2n ** 64n - 1n), "offset"],
      [() => op.socket({ domain: -1, type: 1 }), "domain"],
      [() => op.socket({ domain: 2, type: Infinity }), "type"],
      [() => op.socket({ domain: 2, type: 1, protocol: -1 }), "protocol"],
      [() => op.listen(1, { backlog: -1 }), "backlog"],
      [() => op.send(1, bytes, { flags: -1 }), "flags"],
      [() => op.recv(1, bytes, { flags: 2 ** 32 }), "flags"],
      [() => op.sendZc(1, bytes, { flags: 0.5 }), "flags"],
      [() => op.poll(1, { events: -1 }), "events"],
      [() => op.bind(1, { hostname: "::", port: 65536 }), "port"],
    ] as const
  ) {
    const error = assertThrows(make, RangeError, undefined, make.toString());
    assertStringIncludes(error.message, name);
  }
});

Deno.test("values of another type are refused by name", () => {
  const bytes = new Uint8Array(1);
  const text = "5" as unknown as number;
  const words = new Uint16Array(4) as unknown as Uint8Array;
  for (
    const [make, name] of [
      [() => op.read(5, bytes, { offset: text }), "offset"],
      [() => op.read(5, words), "into"],
      [() => op.write(5, words), "data"],
      [() => op.write(5, "text" as unknown as Uint8Array), '"text"'],
      [() => op.send(5, words), "data"],
      [() => op.recv(5, words), "into"],
      [() => op.sendZc(5, words), "data"],
      [() => op.timeout(text), "delayMs"],
      [() => op.linkTimeout(5n as unknown as number), "delayMs"],
      [() => op.openat("a\0b"), "zero byte"],
    ] as const
  ) {
    const error = assertThrows(make, TypeError, undefined, make.toString());
    assertStringIncludes(error.message, name);
  }
});

/** Returns an array too long for one operation; its pages are never touched. */
function tooLong(): Uint8Array | undefined {
  try {
    return new Uint8Array(2 ** 31);
  } catch {
    return undefined;
  }
}

const long = tooLong();

testUnless(
  long ? "" : "2 GiB of memory",
  "an array longer than one operation transfers is refused",
  () => {
    for (
      const make of [
        () => op.read(5, long!),
        () => op.write(5, long!),
        () => op.send(5, long!),
        () => op.recv(5, long!),
        () => op.sendZc(5, long!),
      ]
    ) {
      assertThrows(make, RangeError, "length of", make.toString());
    }
  },
);

Deno.test("bytes outside the registered buffer are refused", () => {
  const memory = new Uint8Array(100);
  const buffer = new FixedBuffer(0, memory.subarray(10, 20));
  const outside = [
    memory.subarray(9, 12),
    memory.subarray(18, 21),
    memory.subarray(0, 100),
    memory.subarray(20, 30),
    memory.subarray(21, 21),
    new Uint8Array(5),
    memory.slice().subarray(10, 20), // The same place of another memory.
  ];
  for (const bytes of outside) {
    for (
      const make of [
        () => op.read(5, bytes, { buffer }),
        () => op.write(5, bytes, { buffer }),
        () => op.sendZc(5, bytes, { buffer }),
      ]
    ) {
      assertThrows(make, RangeError, "inside the registered buffer");
    }
  }
  for (const bytes of [memory.subarray(10, 20), memory.subarray(20, 20)]) {
    op.read(5, bytes, { buffer });
    op.sendZc(5, bytes, { buffer });
  }
});

for (const make of [op.timeout, op.linkTimeout]) {
  Deno.test(`${make.name} refuses a delay that is no time`, () => {
    for (const delayMs of [NaN, -1, -0.001, Infinity, -Infinity, 1e12 + 1]) {
      assertThrows(() => make(delayMs), RangeError, "delayMs must be from 0");
    }
  });

  Deno.test(`${make.name} splits a time into seconds and nanoseconds`, () => {
    for (
      const [delayMs, seconds, nanoseconds] of [
        [0, 0n, 0n],
        [-0, 0n, 0n],
        [1e-6, 0n, 1n],
        [1e-7, 0n, 0n],
        [0.25, 0n, 250_000n],
        [999.999, 0n, 999_999_000n],
        [1999.999999, 1n, 999_999_999n],
        [999.9999999999999, 1n, 0n],
        [1000, 1n, 0n],
        [86_400_000.5, 86_400n, 500_000n],
        [1e12, 10n ** 9n, 0n],
      ] as const
    ) {
      const { bytes } = make(delayMs).operands[0];
      const [sec, nsec] = new BigInt64Array(bytes!.slice().buffer);
      assertEquals([sec, nsec], [seconds, nanoseconds], `${delayMs} ms`);
    }
  });
}

Deno.test("a value that is no file is refused", () => {
  const bytes = new Uint8Array(1);
  for (const none of ["5", {}, true, null, undefined, Deno.stdin]) {
    const file = none as unknown as number;
    for (
      const make of [
        () => op.close(file),
        () => op.read(file, bytes),
        () => op.fsync(file),
        () => op.accept(file),
        () => op.send(file, bytes),
        () => op.poll(file, { events: 1 }),
      ]
    ) {
      assertThrows(make, TypeError, "fd must be");
    }
  }
});

// ---- Files
// ---------------------------------------------------------------------

Deno.test("a no-op goes through the ring", async () => {
  await using ring = Ring.open();
  assertEquals(await ring.cmd(op.nop()), 0);
  assertEquals(ring.cmdSync(op.nop()), 0);
  const { submitted, completions } = ring.stats();
  assertEquals([submitted, completions], [2, 2]);
});

Deno.test("openat opens a file to read, and closes it on exec", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("ä b", "abc"), op.O_RDONLY);
  const into = new Uint8Array(8);
  assertEquals(await ring.cmd(op.read(file.fd, into)), 3);
  assertEquals(closesOnExec(file.fd), true);
  assertEquals(await outcome(ring.cmd(op.write(file.fd, into))), "EBADF");
});

Deno.test("openat creates a file with its mode, less the umask", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const flags = op.O_CREAT | op.O_WRONLY;
  const umask = Deno.umask(0o027);
  try {
    for (const [mode, expected] of [[undefined, 0o640], [0o4711, 0o4710]]) {
      const path = `${folder.path}/${mode}`;
      using _file = new Fd(await ring.cmd(op.openat(path, { flags, mode })));
      assertEquals(Deno.statSync(path).mode! & 0o7777, expected);
    }
  } finally {
    Deno.umask(umask);
  }
});

Deno.test("openat follows its flags", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const path = folder.file("file", "abc");
  const open = (flags: number) => ring.cmd(op.openat(path, { flags }));
  const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, O_WRONLY } = op;
  assertEquals(await outcome(open(O_CREAT | O_EXCL)), "EEXIST");
  assertEquals(await outcome(open(O_DIRECTORY)), "ENOTDIR");
  {
    using append = new Fd(await open(O_WRONLY | O_APPEND));
    await ring.cmd(op.write(append.fd, utf8("d")));
    assertEquals(Deno.readTextFileSync(path), "abcd");
  }
  {
    using truncate = new Fd(await open(O_WRONLY | O_TRUNC));
    assertEquals(Deno.readTextFileSync(path), "");
    const facts = fileFacts(truncate.fd);
    assertEquals(typeof facts === "object" && facts.access, O_WRONLY);
  }
  const link = `${folder.path}/link`;
  Deno.symlinkSync(path, link);
  const nofollow = { flags: op.O_NOFOLLOW };
  assertEquals(await outcome(ring.cmd(op.openat(link, nofollow))), "ELOOP");
});

Deno.test("openat starts a relative path at dirFd, or at the current directory", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  folder.file("inside", "abc");
  using base = await opened(ring, folder.path, op.O_DIRECTORY);
  const options = { dirFd: base.fd };
  using file = new Fd(await ring.cmd(op.openat("inside", options)));
  assertEquals(await ring.cmd(op.read(file.fd, new Uint8Array(9))), 3);
  using dot = await opened(ring, ".", op.O_DIRECTORY);
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${dot.fd}`), Deno.cwd());
  // An absolute path starts at the root even so.
  using _null = new Fd(await ring.cmd(op.openat("/dev/null", options)));
});

Deno.test("openat says which path it could not open, and why", async () => {
  await using ring = Ring.open();
  for (
    const [path, code] of [
      ["", "ENOENT"],
      ["/nowhere/at/all", "ENOENT"],
      ["/dev/null/inside", "ENOTDIR"],
      [`/${"long".repeat(100)}`, "ENAMETOOLONG"],
    ]
  ) {
    const opening = ring.cmd(op.openat(path));
    const error = await assertRefused(opening, code, JSON.stringify(path));
    assertEquals(error.fd, -1);
  }
});

Deno.test("close closes a descriptor, and a second close is EBADF", async () => {
  await using ring = Ring.open();
  const fd = await ring.cmd(op.openat("/dev/null"));
  assertEquals(await ring.cmd(op.close(fd)), 0);
  assertEquals(await outcome(ring.cmd(op.close(fd))), "EBADF");
});

Deno.test("close refuses the descriptor of the ring that runs it", async () => {
  await using ring = Ring.open();
  assertEquals(await outcome(ring.cmd(op.close(ring.fd))), "EBADF");
  assertEquals(await ring.cmd(op.nop()), 0);
});

/** Memory of both kinds: used in place, and copied. */
const MEMORY: readonly [string, (ring: Ring, length: number) => Uint8Array][] =
  [
    ["memory of alloc", (ring, length) => ring.alloc(length)],
    ["part of it", (ring, length) => ring.alloc(99999).subarray(7, 7 + length)],
    ["an ordinary array", (_, length) => new Uint8Array(length)],
    [
      "part of one",
      (_, length) => new Uint8Array(length + 50).subarray(9, -41),
    ],
    [
      "a shared array",
      (_, length) => new Uint8Array(new SharedArrayBuffer(length)),
    ],
  ];

for (const [kind, make] of MEMORY) {
  Deno.test(`a file is written and read at offsets with ${kind}`, async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using file = await opened(ring, folder.file("file"));
    const data = make(ring, 5000);
    data.set(pattern(5000));
    for (const offset of [3, 70_000n]) {
      assertEquals(await ring.cmd(op.write(file.fd, data, { offset })), 5000);
      const into = make(ring, 5000);
      assertEquals(await ring.cmd(op.read(file.fd, into, { offset })), 5000);
      assert(equals(into, pattern(5000)));
    }
    const whole = Deno.readFileSync(`${folder.path}/file`);
    assertEquals(whole.length, 75_000);
    const gap = (length: number) => new Uint8Array(length);
    const expected = [gap(3), pattern(5000), gap(64_997), pattern(5000)];
    assert(equals(whole, concat(expected)));
  });

  Deno.test(`only what was read is written to ${kind}`, async () => {
    await using ring = Ring.open();
    using folder = new Folder();
    using file = await opened(ring, folder.file("file", "0123456789"));
    const into = make(ring, 16).fill(0xee);
    const around = new Uint8Array(into.buffer).slice();
    const read = op.read(file.fd, into, { offset: 7 });
    assertEquals(await ring.cmd(read), 3);
    around.set(utf8("789"), into.byteOffset);
    assert(equals(new Uint8Array(into.buffer).slice(), around));
    // Nothing at the end of the file, and nothing by a read that fails.
    const end = { offset: 10 };
    assertEquals(await ring.cmd(op.read(file.fd, into, end)), 0);
    using root = new Fd(open("/"));
    const failing = ring.cmd(op.read(root.fd, into, { offset: 0 }));
    assertEquals(await outcome(failing), "EISDIR");
    assert(equals(new Uint8Array(into.buffer).slice(), around));
  });
}

Deno.test("reads and writes without an offset move the file's position", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("file"));
  for (const part of ["ab", "cde", "f"]) {
    assertEquals(await ring.cmd(op.write(file.fd, utf8(part))), part.length);
  }
  // One with an offset does not move it.
  assertEquals(await ring.cmd(op.write(file.fd, utf8("A"), { offset: 0 })), 1);
  assertEquals(await ring.cmd(op.write(file.fd, utf8("g"))), 1);
  assertEquals(Deno.readTextFileSync(`${folder.path}/file`), "Abcdefg");
  using again = await opened(ring, `${folder.path}/file`);
  const into = new Uint8Array(3);
  const seen: string[] = [];
  for (let length = 3; length > 0;) {
    length = await ring.cmd(op.read(again.fd, into));
    seen.push(textOf(into.subarray(0, length)));
  }
  assertEquals(seen, ["Abc", "def", "g", ""]);
});

Deno.test("memory of alloc is used in place, an ordinary array is copied", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  for (
    const [data, expected] of [[ring.alloc(4), 2], [
      new Uint8Array(4),
      1,
    ]] as const
  ) {
    using file = await opened(ring, folder.file("file"));
    data.fill(1);
    const written = ring.cmd(op.write(file.fd, data));
    data.fill(2); // After the call, before the kernel has the command.
    assertEquals(await written, 4);
    const found = Deno.readFileSync(`${folder.path}/file`);
    assertEquals([...found], new Array(4).fill(expected));
  }
});

Deno.test("a command reads its array anew each time it is run", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("file"));
  const data = utf8("a");
  const write = op.write(file.fd, data);
  for (const text of ["a", "b", "c"]) {
    data.set(utf8(text));
    await ring.cmd(write);
  }
  assertEquals(Deno.readTextFileSync(`${folder.path}/file`), "abc");
});

Deno.test("an array of no bytes transfers none", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("file", "abc"));
  for (const none of [new Uint8Array(), ring.alloc(1).subarray(1)]) {
    assertEquals(await ring.cmd(op.read(file.fd, none)), 0);
    assertEquals(await ring.cmd(op.write(file.fd, none)), 0);
  }
});

Deno.test("a detached array is refused, whenever it was detached", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const gone = new Uint8Array(8);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  for (
    const make of [
      () => op.read(pair.left, gone),
      () => op.write(pair.left, gone),
      () => op.send(pair.left, gone),
      () => op.recv(pair.left, gone),
      () => op.sendZc(pair.left, gone),
    ]
  ) {
    assertThrows(make, TypeError, "detached");
  }
  // Between making the command and running it,
  const later = new Uint8Array(8);
  const command = op.recv(pair.left, later);
  later.buffer.transfer();
  await assertRejects(() => ring.cmd(command), TypeError, "detached");
  assertEquals(ring.stats().submitted, 0);
  // and while it runs: then there is nothing to copy the bytes to.
  const meanwhile = new Uint8Array(8);
  const pending = ring.cmd(op.recv(pair.left, meanwhile));
  await turn();
  meanwhile.buffer.transfer();
  writeSync(pair.right, "data");
  await assertRejects(() => pending, TypeError, "detached");
  assertEquals(await ring.cmd(op.nop()), 0);
});

Deno.test("registered buffers are read into and written from", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("file"));
  const [first, second] = [ring.alloc(4096), ring.alloc(70_000)];
  const [a, b] = ring.registerBuffers([first, second.subarray(100)]);
  const out = b.bytes.subarray(1000, 6000);
  out.set(pattern(5000));
  const write = op.write(file.fd, out, { buffer: b, offset: 10 });
  assertEquals(await ring.cmd(write), 5000);
  const into = a.bytes.subarray(96);
  const read = op.read(file.fd, into, { buffer: a, offset: 10 });
  assertEquals(await ring.cmd(read), 4000);
  assert(equals(into, pattern(4000)));
  assert(first.subarray(0, 96).every((byte) => byte === 0));
  // A buffer that is no longer in the table is named before it is queued.
  ring.unregisterBuffers();
  const { submitted } = ring.stats();
  await assertRejects(() => ring.cmd(read), TypeError, "READ_FIXED names a");
  assertEquals(ring.stats().submitted, submitted);
});

Deno.test("a registered file is read, written and synced", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const file = await opened(ring, folder.file("file"));
  const [fixed] = ring.registerFiles([file.fd]);
  file.close();
  assertEquals(await ring.cmd(op.write(fixed, utf8("abc"))), 3);
  assertEquals(await ring.cmd(op.fsync(fixed)), 0);
  const into = new Uint8Array(4);
  assertEquals(await ring.cmd(op.read(fixed, into, { offset: 1 })), 2);
  assertEquals([...into], [...utf8("bc"), 0, 0]);
});

Deno.test("a pipe has no offsets, and a read waits for its data", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const into = new Uint8Array(8);
  const waiting = ring.cmd(op.read(pair.left, into, { offset: 99 }));
  await turn();
  assertEquals(ring.stats().inFlight, 1);
  assertEquals(await ring.cmd(op.write(pair.right, utf8("abc"))), 3);
  assertEquals([await waiting, ...into.subarray(0, 4)], [3, ...utf8("abc"), 0]);
});

Deno.test("bytes that the caller writes after those that are read stay", async () => {
  await using ring = Ring.open();
  const into = new Uint8Array(8);
  for (
    const make of [
      (fd: number) => op.read(fd, into),
      (fd: number) => op.recv(fd, into),
    ]
  ) {
    using pair = unixPair();
    const waiting = ring.cmd(make(pair.left));
    await turn();
    into.fill(0xee); // While the command is in flight.
    writeSync(pair.right, "abc");
    assertEquals(await waiting, 3);
    assertEquals([...into], [...utf8("abc"), ...Array(5).fill(0xee)]);
  }
});

Deno.test("reads and writes that fail say why", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using directory = await opened(ring, folder.path, op.O_DIRECTORY);
  using full = await opened(ring, "/dev/full");
  const bytes = new Uint8Array(4).fill(0xee);
  for (
    const [command, code] of [
      [op.read(directory.fd, bytes), "EISDIR"],
      [op.write(full.fd, bytes), "ENOSPC"],
      [op.read(0x7fff_ffff, bytes), "EBADF"],
    ] as const
  ) {
    assertEquals(await outcome(ring.cmd(command)), code);
  }
  assertEquals([...bytes], [0xee, 0xee, 0xee, 0xee]);
});

Deno.test("fsync flushes files, and refuses a pipe", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  using file = await opened(ring, folder.file("file", "abc"));
  for (const options of [{}, { dataOnly: true }]) {
    assertEquals(await ring.cmd(op.fsync(file.fd, options)), 0);
    using pair = pipe();
    assertEquals(
      await outcome(ring.cmd(op.fsync(pair.left, options))),
      "EINVAL",
    );
  }
});

// ---- Sockets
// -------------------------------------------------------------------

Deno.test("socket makes the kind of socket in its options", async () => {
  await using ring = Ring.open();
  for (
    const [domain, type] of [
      [op.AF_INET, op.SOCK_STREAM],
      [op.AF_INET, op.SOCK_DGRAM],
      [op.AF_UNIX, op.SOCK_SEQPACKET],
    ]
  ) {
    using socket = new Fd(await ring.cmd(op.socket({ domain, type })));
    assertEquals(closesOnExec(socket.fd), true);
    const name = socketName(socket.fd, "getsockname") as Uint8Array;
    assertEquals(name[0] | name[1] << 8, domain);
  }
  using blocking = new Fd(
    await ring.cmd(op.socket({ domain: op.AF_INET, type: op.SOCK_STREAM })),
  );
  const type = op.SOCK_STREAM | op.SOCK_NONBLOCK;
  using not = new Fd(await ring.cmd(op.socket({ domain: op.AF_INET, type })));
  const flags = (fd: number) => syscall("fcntl", fd, F_GETFL) & op.O_NONBLOCK;
  assertEquals([flags(blocking.fd), flags(not.fd)], [0, op.O_NONBLOCK]);
});

Deno.test("a kind of socket that cannot be made is refused with the reason", async () => {
  await using ring = Ring.open();
  const make = (domain: number, type: number, protocol = 0) =>
    outcome(ring.cmd(op.socket({ domain, type, protocol })));
  assertEquals(await make(9999, op.SOCK_STREAM), "EAFNOSUPPORT");
  assertEquals(await make(op.AF_INET, 0xffff_ffff), "EINVAL");
  assertEquals(await make(op.AF_INET, op.SOCK_STREAM, 17), "EPROTONOSUPPORT");
});

const canBind = lacksOpcode("BIND", "LISTEN") === "";

/** Binds and listens: by operations where they are, else by system calls. */
async function serve(
  ring: Ring,
  domain: number,
  address: SocketAddress,
): Promise<{ socket: Fd; address: SocketAddress }> {
  const type = op.SOCK_STREAM;
  const socket = new Fd(await ring.cmd(op.socket({ domain, type })));
  const { fd } = socket;
  if (canBind) {
    assertEquals(await ring.cmd(op.bind(fd, address)), 0);
    assertEquals(await ring.cmd(op.listen(fd)), 0);
  } else {
    const encoded = encodeSockaddr(address);
    const { bytes, at } = scratch();
    bytes.set(encoded);
    assertEquals(syscall("bind", fd, at, encoded.length), 0);
    assertEquals(syscall("listen", fd, 511), 0);
  }
  const name = socketName(fd, "getsockname") as Uint8Array;
  return { socket, address: decodeSockaddr(name) };
}

/** Connects, sends both ways, and ends a connection. */
async function converse(domain: number, address: SocketAddress) {
  await using ring = Ring.open();
  const server = await serve(ring, domain, address);
  using _listener = server.socket;
  const type = op.SOCK_STREAM;
  using client = new Fd(await ring.cmd(op.socket({ domain, type })));
  const accepting = ring.cmd(op.accept(server.socket.fd));
  await turn();
  assertEquals(ring.stats().inFlight, 1); // There is no connection yet.
  assertEquals(await ring.cmd(op.connect(client.fd, server.address)), 0);
  using accepted = new Fd(await accepting);
  assertEquals(closesOnExec(accepted.fd), true);

  const big = pattern(200_000);
  const into = new Uint8Array(big.length + 100);
  let received = 0;
  const reading = (async () => {
    while (received < big.length) {
      received += await ring.cmd(op.recv(client.fd, into.subarray(received)));
    }
  })();
  for (let sent = 0; sent < big.length;) {
    sent += await ring.cmd(op.send(accepted.fd, big.subarray(sent)));
  }
  await reading;
  assert(equals(into.subarray(0, received), big));
  assert(into.subarray(received).every((byte) => byte === 0));

  const memory = ring.alloc(8);
  memory.set(utf8("back"));
  const data = memory.subarray(0, 4);
  assertEquals(await ring.cmd(op.send(client.fd, data)), 4);
  const there = ring.alloc(8);
  assertEquals(await ring.cmd(op.recv(accepted.fd, there)), 4);
  assertEquals([...there], [...utf8("back"), 0, 0, 0, 0]);
  client.close();
  assertEquals(await ring.cmd(op.recv(accepted.fd, there)), 0);
}

Deno.test("two TCP sockets connect and talk over IPv4", () =>
  converse(op.AF_INET, { hostname: "127.0.0.1", port: 0 }));

testUnless(
  lacksAddress("::1"),
  "two TCP sockets connect and talk over IPv6",
  () => converse(op.AF_INET6, { hostname: "::1", port: 0 }),
);

Deno.test("two Unix sockets connect and talk over a path", async () => {
  using folder = new Folder();
  await converse(op.AF_UNIX, { path: `${folder.path}/socket` });
});

Deno.test("two Unix sockets connect and talk over an abstract name", () =>
  converse(op.AF_UNIX, { path: `\0${crypto.randomUUID()}` }));

const SG = "/dev/sg0";
const hasSg = [...Deno.readDirSync("/dev")].some(({ name }) => name === "sg0");

testUnless(
  hasSg ? "" : SG,
  "a driver that counts more than it has written hands out no bytes of other commands",
  async () => {
    await using ring = Ring.open();
    using file = await opened(ring, SG, op.O_RDWR);
    // struct sg_io_hdr of a TEST UNIT READY. The driver writes one back, and answers
    // the length that was asked for (sg_new_read(), Linux 6.12).
    const headerBytes = 88;
    const memory = ring.alloc(headerBytes + 6);
    const view = new DataView(memory.buffer);
    view.setInt32(0, 0x53, true); // interface_id
    view.setInt32(4, -1, true); // dxfer_direction: SG_DXFER_NONE
    view.setUint8(8, 6); // cmd_len
    view.setUint32(40, 20_000, true); // timeout
    const cdb = addressOf(memory.subarray(headerBytes));
    view.setBigUint64(24, BigInt(cdb), true); // cmdp
    await ring.cmd(op.write(file.fd, memory.subarray(0, headerBytes)));
    await soil(ring, 4096);
    const into = new Uint8Array(4000).fill(0xee);
    assertEquals(await ring.cmd(op.read(file.fd, into)), into.length);
    const rest = into.subarray(headerBytes);
    assertEquals(rest.findIndex((byte) => byte !== 0xee), -1);
  },
);

testUnless(
  lacksOpcode("BIND"),
  "bind refuses an address that is in use or not local",
  async () => {
    await using ring = Ring.open();
    const address = { hostname: "127.0.0.1", port: 0 };
    const server = await serve(ring, op.AF_INET, address);
    using _listener = server.socket;
    const spec = { domain: op.AF_INET, type: op.SOCK_STREAM };
    using other = new Fd(await ring.cmd(op.socket(spec)));
    const bind = (address: SocketAddress) =>
      ring.cmd(op.bind(other.fd, address));
    assertEquals(await outcome(bind(server.address)), "EADDRINUSE");
    const documentation = { hostname: "192.0.2.1", port: 0 };
    assertEquals(await outcome(bind(documentation)), "EADDRNOTAVAIL");
    assertEquals(await outcome(bind({ path: "\0a" })), "EINVAL");
    using _file = await opened(ring, "/dev/null");
    const notSocket = op.bind(_file.fd, address);
    assertEquals(await outcome(ring.cmd(notSocket)), "ENOTSOCK");
  },
);

testUnless(
  lacksOpcode("LISTEN"),
  "listen makes a stream socket listen, and refuses a datagram socket",
  async () => {
    await using ring = Ring.open();
    const make = async (type: number) =>
      new Fd(await ring.cmd(op.socket({ domain: op.AF_INET, type })));
    using stream = await make(op.SOCK_STREAM);
    const accept = op.accept(stream.fd);
    assertEquals(await outcome(ring.cmd(accept)), "EINVAL");
    assertEquals(await ring.cmd(op.listen(stream.fd, { backlog: 1 })), 0);
    const signal = AbortSignal.timeout(1);
    const error = await assertRejects(() => ring.cmd(accept, { signal }));
    assert(error === signal.reason); // It listens, and there is no connection.
    using datagram = await make(op.SOCK_DGRAM);
    const refused = ring.cmd(op.listen(datagram.fd));
    assertEquals(await outcome(refused), "EOPNOTSUPP");
  },
);

Deno.test("connect to a port without a listener is ECONNREFUSED", async () => {
  await using ring = Ring.open();
  const address = { hostname: "127.0.0.1", port: 0 };
  const server = await serve(ring, op.AF_INET, address);
  server.socket.close();
  const spec = { domain: op.AF_INET, type: op.SOCK_STREAM };
  using client = new Fd(await ring.cmd(op.socket(spec)));
  const connect = op.connect(client.fd, server.address);
  assertEquals(await outcome(ring.cmd(connect)), "ECONNREFUSED");
});

Deno.test("accept takes connections from a registered listener, in order", async () => {
  await using ring = Ring.open();
  const address = { hostname: "127.0.0.1", port: 0 };
  const server = await serve(ring, op.AF_INET, address);
  const [listener] = ring.registerFiles([server.socket.fd]);
  server.socket.close();
  const spec = { domain: op.AF_INET, type: op.SOCK_STREAM };
  for (let i = 0; i < 3; i++) {
    using client = new Fd(await ring.cmd(op.socket(spec)));
    await ring.cmd(op.connect(client.fd, server.address));
    using accepted = new Fd(await ring.cmd(op.accept(listener)));
    assertEquals(await ring.cmd(op.send(client.fd, Uint8Array.of(i))), 1);
    const into = new Uint8Array(1);
    await ring.cmd(op.recv(accepted.fd, into));
    assertEquals(into[0], i);
  }
});

Deno.test("a peek leaves the data in the socket", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  writeSync(pair.right, "abc");
  const into = new Uint8Array(2);
  const recv = (flags: number) => ring.cmd(op.recv(pair.left, into, { flags }));
  assertEquals([await recv(op.MSG_PEEK), ...into], [2, ...utf8("ab")]);
  assertEquals([await recv(op.MSG_PEEK), ...into], [2, ...utf8("ab")]);
  assertEquals([await recv(0), ...into], [2, ...utf8("ab")]);
  assertEquals([await recv(0), ...into], [1, ...utf8("cb")]);
});

Deno.test("a receive with MSG_DONTWAIT and no data is EAGAIN", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  const into = new Uint8Array(4);
  const flags = op.MSG_DONTWAIT;
  const recv = op.recv(pair.left, into, { flags });
  assertEquals(await outcome(ring.cmd(recv)), "EAGAIN");
  writeSync(pair.right, "abc");
  assertEquals(await ring.cmd(recv), 3);
});

for (
  const [kind, make] of [
    ["an ordinary array", () => new Uint8Array(8)],
    ["memory of alloc", (ring: Ring) => ring.alloc(8)],
  ] as const
) {
  Deno.test(`a datagram longer than ${kind} is cut, and MSG_TRUNC returns its length`, async () => {
    await using ring = Ring.open();
    using pair = unixPair(op.SOCK_DGRAM);
    const into = make(ring).fill(0xee).subarray(0, 4);
    const recv = (flags: number) =>
      ring.cmd(op.recv(pair.left, into, { flags }));
    for (const [flags, expected] of [[0, 4], [op.MSG_TRUNC, 10]]) {
      writeSync(pair.right, "0123456789");
      assertEquals(await recv(flags), expected);
      const whole = new Uint8Array(into.buffer, 0, 8);
      assertEquals([...whole], [...utf8("0123"), 0xee, 0xee, 0xee, 0xee]);
    }
  });
}

/** Leaves known bytes in the blocks that arrays up to `byteLength` are copied to. */
async function soil(ring: Ring, byteLength: number): Promise<void> {
  using none = await opened(ring, "/dev/null", op.O_WRONLY);
  for (let length = 64; length <= byteLength; length *= 2) {
    const secrets = Array.from(
      { length: 4 },
      () => op.write(none.fd, new Uint8Array(length).fill(0x53)),
    );
    await Promise.all(secrets.map((secret) => ring.cmd(secret)));
  }
}

Deno.test("a receive that discards bytes of TCP leaves the array as it was", async () => {
  await using ring = Ring.open();
  for (const length of [36, 4096, 40_000]) {
    using pair = tcpPair();
    writeSync(pair.right, "x".repeat(length));
    const peek = op.MSG_PEEK | op.MSG_WAITALL;
    await ring.cmd(op.recv(pair.left, ring.alloc(length), { flags: peek }));
    for (const flags of [op.MSG_PEEK | op.MSG_TRUNC, op.MSG_TRUNC]) {
      await soil(ring, 65536);
      const into = new Uint8Array(length).fill(0xee);
      const discarded = await ring.cmd(op.recv(pair.left, into, { flags }));
      assertGreater(discarded, 0);
      const written = into.findIndex((byte) => byte !== 0xee);
      assertEquals(written, -1, `${flags}, ${discarded} bytes`);
    }
  }
});

testUnless(
  lacksOpcode("BIND"),
  "the length of a cut datagram hands out none of its other bytes",
  async () => {
    await using ring = Ring.open();
    const AF_NETLINK = 16;
    const udp = async () => {
      const spec = { domain: op.AF_INET, type: op.SOCK_DGRAM };
      const fd = new Fd(await ring.cmd(op.socket(spec)));
      await ring.cmd(op.bind(fd.fd, { hostname: "127.0.0.1", port: 0 }));
      const own = decodeSockaddr(
        socketName(fd.fd, "getsockname") as Uint8Array,
      );
      await ring.cmd(op.connect(fd.fd, own));
      return fd;
    };
    const netlink = async () =>
      new Fd(await ring.cmd(op.socket({ domain: AF_NETLINK, type: 3 })));
    // RTM_GETLINK of all interfaces: struct nlmsghdr, then struct ifinfomsg.
    const request = new Uint8Array(32);
    request.set([32, 0, 0, 0, 18, 0, 1, 3]);
    for (const make of [udp, netlink]) {
      const message = make === udp ? pattern(600) : request;
      using socket = await make();
      await ring.cmd(op.send(socket.fd, message));
      for (const flags of [op.MSG_PEEK | op.MSG_TRUNC, op.MSG_TRUNC]) {
        await soil(ring, 4096);
        const into = new Uint8Array(100).fill(0xee).subarray(0, 40);
        const real = await ring.cmd(op.recv(socket.fd, into, { flags }));
        assertGreater(real, 40);
        const whole = new Uint8Array(into.buffer);
        assertEquals([...whole.subarray(40)], new Array(60).fill(0xee));
        assert(!into.every((byte) => byte === 0x53));
      }
    }
  },
);

Deno.test("only flags with which a result counts written bytes are believed", () => {
  const bytes = new Uint8Array(4);
  const counted = (flags: number) =>
    op.recv(5, bytes, { flags: flags >>> 0 }).operands[0].counted;
  const known = op.MSG_PEEK | op.MSG_DONTWAIT | op.MSG_WAITALL | op.MSG_TRUNC;
  for (const flags of [0, 1, known, 0x4000]) assert(counted(flags));
  // MSG_ERRQUEUE, MSG_SOCK_DEVMEM, and what is not known.
  for (const flags of [0x2000, 0x200_0000, 0x8000_0000, 8]) {
    assert(!counted(flags) && !counted(flags | known), flags.toString(16));
  }
});

Deno.test("a send with which the kernel would keep the memory is refused", () => {
  const send = (flags: number) => op.send(5, Uint8Array.of(1), { flags });
  for (const others of [0, op.MSG_MORE, op.MSG_DONTWAIT]) {
    const MSG_ZEROCOPY = 0x400_0000;
    assertThrows(() => send(MSG_ZEROCOPY | others), TypeError, "sendZc()");
    // MSG_SPLICE_PAGES, MSG_SENDPAGE_DECRYPTED, MSG_CMSG_COMPAT.
    for (const flag of [0x800_0000, 0x10_0000, 0x8000_0000]) {
      const name = `0x${flag.toString(16)}`;
      assertThrows(() => send((flag | others) >>> 0), TypeError, name);
    }
  }
  const all = 0x2004_c9c5; // Those that only say how to send.
  assertEquals(words(send(all)).op_flags, all);
});

Deno.test("a receive with MSG_WAITALL waits for all bytes", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  const into = new Uint8Array(6);
  const flags = op.MSG_WAITALL;
  const waiting = ring.cmd(op.recv(pair.left, into, { flags }));
  for (const part of ["ab", "cd", "ef"]) {
    await turn();
    assertEquals(ring.stats().inFlight, 1);
    writeSync(pair.right, part);
  }
  assertEquals([await waiting, ...into], [6, ...utf8("abcdef")]);
});

Deno.test("a receive gets data that is sent 50 ms later", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  const into = ring.alloc(8);
  const start = performance.now();
  const waiting = ring.cmd(op.recv(pair.left, into));
  setTimeout(() => writeSync(pair.right, "later"), 50);
  assertEquals(await waiting, 5);
  assertGreaterOrEqual(performance.now() - start, 49);
  assertEquals([...into], [...utf8("later"), 0, 0, 0]);
  assertGreater(ring.stats().wakes, 0);
});

Deno.test("a refused file operation says why, and what to do", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const path = folder.file("file", "text");
  using pair = unixPair();
  const open = (flags = 0, to = path) => op.openat(to, { flags });
  using file = new Fd(await ring.cmd(open()));
  using directory = new Fd(await ring.cmd(open(0, folder.path)));
  using full = new Fd(await ring.cmd(open(op.O_WRONLY, "/dev/full")));
  const byte = new Uint8Array(1);
  for (
    const [command, code, why] of [
      [open(0, "/nope/file"), "ENOENT", "O_CREAT makes the file"],
      [open(op.O_RDWR, folder.path), "EISDIR", "with O_RDONLY only"],
      [open(op.O_CREAT | op.O_EXCL), "EEXIST", "Leave out O_EXCL"],
      [open(0, `${path}/more`), "ENOTDIR", "has to be"],
      [open(op.O_WRONLY, Deno.execPath()), "ETXTBSY", "that runs"],
      [op.openat("x", { dirFd: 999_999 }), "EBADF", "dirFd"],
      [op.close(999_999), "EBADF", "not open"],
      [op.read(directory.fd, byte), "EISDIR", "Deno.readDir()"],
      [op.write(file.fd, byte), "EBADF", "opened for writing"],
      [op.write(full.fd, byte), "ENOSPC", "is full"],
      [op.read(pair.left, byte, { offset: 1 }), "ESPIPE", "Leave out offset"],
      [op.fsync(pair.left), "EINVAL", "nothing to flush"],
    ] as const
  ) {
    await assertRefused(ring.cmd(command), code, why);
  }
});

Deno.test("a refused socket operation names the address, why, and what to do", async () => {
  await using ring = Ring.open();
  using folder = new Folder();
  const make = async (domain: number, type: number) =>
    new Fd(await ring.cmd(op.socket({ domain, type })));
  using tcp = await make(op.AF_INET, op.SOCK_STREAM);
  using udp = await make(op.AF_INET, op.SOCK_DGRAM);
  using unix = await make(op.AF_UNIX, op.SOCK_STREAM);
  using connection = tcpPair();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close(); // Nothing listens at the port.
  const here = { hostname: "127.0.0.1", port };
  const far = { hostname: "::1", port: 7 };
  const path = `${folder.path}/none`;
  const byte = new Uint8Array(1);
  const domain = op.AF_INET;
  for (
    const [command, name, code, why] of [
      [
        op.connect(tcp.fd, here),
        `CONNECT 127.0.0.1:${port}`,
        "ECONNREFUSED",
        "Start the server",
      ],
      [op.connect(tcp.fd, far), "CONNECT [::1]:7", "EAFNOSUPPORT", "family"],
      [op.connect(unix.fd, { path }), `"${path}"`, "ENOENT", "no socket at"],
      [
        op.connect(unix.fd, { path: "\0none" }),
        'CONNECT "\\u0000none"',
        "ECONNREFUSED",
        "Nothing listens",
      ],
      [op.connect(connection.left, here), "CONNECT", "EISCONN", "already"],
      [op.accept(tcp.fd), "ACCEPT", "EINVAL", "Call listen() first"],
      [op.accept(udp.fd), "ACCEPT", "EOPNOTSUPP", "no connections"],
      [op.recv(tcp.fd, byte), "RECV", "ENOTCONN", "Call connect() first"],
      [op.send(tcp.fd, byte), "SEND", "EPIPE", "never connected"],
      [op.send(udp.fd, byte), "SEND", "EDESTADDRREQ", "Call connect() first"],
      [
        op.recv(udp.fd, byte, { flags: op.MSG_DONTWAIT }),
        "RECV",
        "EAGAIN",
        "Wait with poll()",
      ],
      [op.socket({ domain: 9999, type: 1 }), "SOCKET", "EAFNOSUPPORT", "built"],
      [op.socket({ domain, type: 4 }), "SOCKET", "ESOCKTNOSUPPORT", "no such"],
      ...canBind
        ? [
          [
            op.bind(tcp.fd, { hostname: "192.0.2.1", port: 0 }),
            "BIND 192.0.2.1:0",
            "EADDRNOTAVAIL",
            "`ip addr`",
          ],
          [
            op.bind(unix.fd, { path: `${path}/x` }),
            "BIND",
            "ENOENT",
            "does not",
          ],
          [op.listen(udp.fd), "LISTEN", "EOPNOTSUPP", "SOCK_STREAM can"],
        ] as const
        : [],
    ] as const
  ) {
    const { message } = await assertRefused(ring.cmd(command), code, why);
    assertStringIncludes(message, name);
  }
});

Deno.test("the address in a message is the one that the kernel got", () => {
  let asked = 0;
  const address = {
    hostname: "127.0.0.1",
    get port() {
      return ++asked;
    },
  };
  assertEquals(op.connect(5, address).name, "CONNECT 127.0.0.1:1");
  assertEquals(op.bind(5, { path: null }).name, 'BIND ""');
});

Deno.test("a link-local address without its scope is EINVAL, which the advice names", async () => {
  await using ring = Ring.open();
  const spec = { domain: op.AF_INET6, type: op.SOCK_STREAM };
  using socket = new Fd(await ring.cmd(op.socket(spec)));
  const address = { hostname: "fe80::1", port: 1 };
  const connecting = ring.cmd(op.connect(socket.fd, address));
  await assertRefused(connecting, "EINVAL", "needs its scope");
  const { advice } = op.bind(5, address);
  assertStringIncludes(advice(22)!, "fe80::1%2");
  assertStringIncludes(advice(13)!, "ip_unprivileged_port_start");
});

Deno.test("sending to a closed peer is EPIPE, and to a device ENOTSOCK", async () => {
  await using ring = Ring.open();
  const { left, right } = unixPair();
  using end = new Fd(left);
  new Fd(right).close();
  const sending = ring.cmd(op.send(end.fd, utf8("abc")));
  assertEquals(await outcome(sending), "EPIPE");
  using file = await opened(ring, "/dev/null");
  const other = ring.cmd(op.send(file.fd, utf8("abc")));
  assertEquals(await outcome(other), "ENOTSOCK");
});

// ---- Sending without a copy
// ------------------------------------------------------

/** The reason to skip tests of sendZc: Linux 6.1 has it without its report. */
async function lackingSendZc(): Promise<string> {
  await using ring = Ring.open();
  using pair = tcpPair();
  try {
    await ring.cmd(op.sendZc(pair.left, new Uint8Array(1)));
    return "";
  } catch (error) {
    assertInstanceOf(error, UringError);
    return "IORING_SEND_ZC_REPORT_USAGE";
  }
}
const noSendZc = await lackingSendZc();

function setTcpOption(fd: number, optname: number, value: number): void {
  const { view, at } = scratch();
  view.setInt32(0, value, true);
  const rc = syscall("setsockopt", fd, IPPROTO_TCP, optname, at, 4);
  assertEquals(rc, 0);
}

testUnless(noSendZc, "sendZc completes twice and settles once", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  for (const data of [pattern(1000), ring.alloc(1000)]) {
    const before = ring.stats();
    const sent = await ring.cmd(op.sendZc(pair.left, data));
    const after = ring.stats();
    assertEquals(after.submitted - before.submitted, 1);
    assertEquals(after.completions - before.completions, 2);
    assertEquals(after.inFlight, 0);
    // On loopback the kernel copies, and says so.
    assertEquals(sent, { bytesSent: 1000, zeroCopy: false });
    const into = new Uint8Array(2000);
    assertEquals(await ring.cmd(op.recv(pair.right, into)), 1000);
    assert(equals(into.subarray(0, 1000), data));
  }
});

testUnless(noSendZc, "both completions of each sendZc find room", async () => {
  await using ring = Ring.open({ entries: 8, cqEntries: 8 });
  const transport = "udp";
  const peer = Deno.listenDatagram({
    hostname: "127.0.0.1",
    port: 0,
    transport,
  });
  const spec = { domain: op.AF_INET, type: op.SOCK_DGRAM };
  using socket = new Fd(await ring.cmd(op.socket(spec)));
  await ring.cmd(op.connect(socket.fd, peer.addr as Deno.NetAddr));
  const before = ring.stats().completions;
  const command = op.sendZc(socket.fd, new Uint8Array(10));
  await Promise.all(Array.from({ length: 100 }, () => ring.cmd(command)));
  const { completions, overflows } = ring.stats();
  assertEquals([completions - before, overflows], [200, 0]);
  peer.close();
});

testUnless(noSendZc, "sendZc sends from a registered buffer", async () => {
  await using ring = Ring.open();
  using pair = tcpPair();
  const [buffer] = ring.registerBuffers([ring.alloc(65536)]);
  const data = buffer.bytes.subarray(5000, 6000);
  data.set(pattern(1000));
  const { bytesSent } = await ring.cmd(op.sendZc(pair.left, data, { buffer }));
  const into = new Uint8Array(2000);
  assertEquals([await ring.cmd(op.recv(pair.right, into)), bytesSent], [
    1000,
    1000,
  ]);
  assert(equals(into.subarray(0, 1000), pattern(1000)));
});

testUnless(
  noSendZc,
  "sendZc settles when the network no longer needs the memory",
  async () => {
    await using ring = Ring.open();
    using pair = tcpPair();
    const data = ring.alloc(1000);
    data.fill(1);
    setTcpOption(pair.left, TCP_CORK, 1);
    let settled = false;
    const sending = ring.cmd(op.sendZc(pair.left, data));
    sending.then(() => settled = true);
    await until(() => ring.stats().completions === 1);
    await turn();
    // It was sent, as far as send(2) goes; but the kernel has yet to read it.
    assertEquals([settled, ring.stats().inFlight], [false, 1]);
    data.fill(2);
    setTcpOption(pair.left, TCP_CORK, 0);
    assertEquals((await sending).bytesSent, 1000);
    assertEquals([ring.stats().completions, ring.stats().inFlight], [2, 0]);
    const into = new Uint8Array(1000);
    assertEquals(await ring.cmd(op.recv(pair.right, into)), 1000);
    assert(into.every((byte) => byte === 2));
  },
);

testUnless(
  noSendZc,
  "sendZc that fails settles once, with the reason",
  async () => {
    await using ring = Ring.open();
    using pair = unixPair();
    const data = new Uint8Array(4);
    const message = "Unix sockets never can. Use send()";
    const unix = ring.cmd(op.sendZc(pair.left, data));
    await assertRefused(unix, "EOPNOTSUPP", message);
    const spec = { domain: op.AF_INET, type: op.SOCK_DGRAM };
    using unconnected = new Fd(await ring.cmd(op.socket(spec)));
    const nowhere = ring.cmd(op.sendZc(unconnected.fd, data));
    assertEquals(await outcome(nowhere), "EDESTADDRREQ");
    using file = await opened(ring, "/dev/null");
    assertEquals(await outcome(ring.cmd(op.sendZc(file.fd, data))), "ENOTSOCK");
    const { inFlight, waiting } = ring.stats();
    assertEquals([inFlight, waiting, await ring.cmd(op.nop())], [0, 0, 0]);
  },
);

// ---- Polls and times
// ---------------------------------------------------------------

Deno.test("poll returns at once the events that are ready", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const poll = (fd: number, events: number) =>
    ring.cmd(op.poll(fd, { events }));
  assertEquals(await poll(pair.left, op.POLLIN | op.POLLOUT), op.POLLOUT);
  writeSync(pair.right, "a");
  assertEquals(await poll(pair.left, op.POLLIN), op.POLLIN);
  const both = op.POLLIN | op.POLLOUT;
  assertEquals(await poll(pair.left, both | op.POLLPRI), both);
  assertEquals(ring.stats().wakes, 0);
});

Deno.test("poll waits until an event is ready", async () => {
  await using ring = Ring.open();
  using pair = pipe();
  const events = op.POLLIN;
  const waiting = ring.cmd(op.poll(pair.left, { events }));
  await turn();
  assertEquals(ring.stats().inFlight, 1);
  writeSync(pair.right, "a");
  assertEquals(await waiting, op.POLLIN);
});

Deno.test("poll returns a hangup of the peer, also without being asked for it", async () => {
  await using ring = Ring.open();
  for (
    const [make, events, expected] of [
      [pipe, 0, op.POLLHUP],
      [tcpPair, op.POLLRDHUP, op.POLLRDHUP],
    ] as const
  ) {
    const { left, right } = make();
    using end = new Fd(left);
    using other = new Fd(right);
    const waiting = ring.cmd(op.poll(end.fd, { events }));
    using copy = new Fd(syscall("fcntl", other.fd, F_DUPFD, 0));
    other.close();
    await turn();
    assertEquals(ring.stats().inFlight, 1); // There is another descriptor.
    copy.close();
    assertEquals(await waiting, expected);
  }
});

Deno.test("a timeout resolves after its time, and not before", async () => {
  await using ring = Ring.open();
  const start = performance.now();
  const ended: number[] = [];
  const wait = async (delayMs: number) => {
    assertEquals(await ring.cmd(op.timeout(delayMs)), undefined);
    ended.push(delayMs);
    // The clock of the program may be coarser than the kernel's.
    assertGreaterOrEqual(performance.now() - start, delayMs - 0.1);
  };
  await Promise.all([30, 0, 10.5, 20].map(wait));
  // Timers that expire in one interrupt may complete in any order.
  assertEquals(ended.toSorted((a, b) => a - b), [0, 10.5, 20, 30]);
  assertLess(performance.now() - start, 5000);
});

Deno.test("a timeout ends early with the reason of its signal", async () => {
  await using ring = Ring.open();
  const abort = new AbortController();
  const waiting = ring.cmd(op.timeout(60_000), { signal: abort.signal });
  await turn();
  const reason = new Error("enough");
  abort.abort(reason);
  const error = await assertRejects(() => waiting, Error);
  assert(error === reason);
  assertEquals(ring.stats().inFlight, 0);
});

Deno.test("one timeout command runs several times, also at the same time", async () => {
  await using ring = Ring.open();
  const command = op.timeout(5);
  const start = performance.now();
  await Promise.all([ring.cmd(command), ring.cmd(command), ring.cmd(command)]);
  await ring.cmd(command);
  assertGreaterOrEqual(performance.now() - start, 9.8);
});

Deno.test("a timeout whose time is over lets the rest of its chain run", async () => {
  await using ring = Ring.open();
  const start = performance.now();
  const chain = ring.link([op.timeout(5), op.nop(), op.timeout(5), op.nop()]);
  assertEquals(await Promise.all(chain), [undefined, 0, undefined, 0]);
  assertGreaterOrEqual(performance.now() - start, 10);
});

Deno.test("a link timeout is true when the time ran out", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const into = new Uint8Array(4);
  const start = performance.now();
  const [received, ranOut] = await Promise.allSettled(
    ring.link([op.recv(pair.left, into), op.linkTimeout(20)]),
  );
  assertGreaterOrEqual(performance.now() - start, 19.9);
  assert(received.status === "rejected");
  assertEquals((received.reason as UringError).code, "ECANCELED");
  assertStringIncludes(`${received.reason}`, "linkTimeout() ran out");
  assertEquals(ranOut, { status: "fulfilled", value: true });
  // The cancelled receive has taken nothing.
  writeSync(pair.right, "abc");
  assertEquals(await ring.cmd(op.recv(pair.left, into)), 3);
});

Deno.test("a link timeout is false when the command was faster", async () => {
  await using ring = Ring.open();
  using pair = unixPair();
  const into = new Uint8Array(4);
  writeSync(pair.right, "now");
  const recv = op.recv(pair.left, into);
  const chain = ring.link([recv, op.linkTimeout(60_000)]);
  assertEquals(await Promise.all(chain), [3, false]);
  const later = ring.link([recv, op.linkTimeout(60_000), op.nop()]);
  await turn();
  writeSync(pair.right, "then");
  assertEquals(await Promise.all(later), [4, false, 0]);
});

Deno.test("a link timeout with no command before it is refused with advice", async () => {
  await using ring = Ring.open();
  const alone = ring.cmd(op.linkTimeout(1));
  const [first, second] = ring.link([op.linkTimeout(1), op.nop()]);
  assertEquals(await outcome(second), "ECANCELED");
  for (const promise of [alone, first]) {
    const error = await assertRejects(() => promise, UringError, "ring.link()");
    assertEquals(error.code, "EINVAL");
  }
});

Deno.test("an open that blocks on a worker is aborted with the signal's reason", async () => {
  await using ring = Ring.open();
  const directory = await Deno.makeTempDir();
  const path = `${directory}/fifo`;
  await new Deno.Command("mkfifo", { args: [path] }).output();
  const abort = new AbortController();
  // The FIFO has no reader. With O_CREAT the kernel opens it on a worker.
  const flags = op.O_WRONLY | op.O_CREAT;
  const opened = ring.cmd(op.openat(path, { flags }), abort);
  await turn();
  abort.abort(new Error("no reader"));
  await assertRejects(() => opened, Error, "no reader");
  await Deno.remove(directory, { recursive: true });
});
