/** Commands of sockets: their bytes without a kernel, and what a kernel answers. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { concat, equals } from "@std/bytes";
import {
  type Command,
  Completion,
  type FamilyName,
  type FileRef,
  FixedFile,
  probe,
  Ring,
  type RingOptions,
  UringError,
} from "../../mod.ts";
import * as s from "../../cmd/socket/mod.ts";
import { nop, poll, POLLIN } from "../../cmd/op.ts";
import { decodeSockaddr, encodeSockaddr } from "../../cmd/sockaddr.ts";
import { E } from "../../sys/uapi/errno.ts";
import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import {
  SIOCINQ,
  SIOCOUTQ,
  SO_BROADCAST,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "../../sys/uapi/socket.ts";
import { pattern, textOf, utf8 } from "../kit/bytes.ts";
import { Fd, ioctl, pipe, tcpPair, unixPair, writeSync } from "../kit/fds.ts";
import { words } from "../kit/golden.ts";
import { assertRefused, refusal } from "../kit/outcome.ts";
import { runScript } from "../kit/run.ts";
import { lacksAddress, testUnless } from "../kit/skip.ts";
import { turn, until } from "../kit/wait.ts";

const { families, setupFlags, refused } = probe();

/** A test of what the kernel answers: skipped, visibly, where it cannot. */
function kernelTest(
  name: string,
  needs: readonly string[],
  fn: () => Promise<void>,
): void {
  const missing = needs.filter((need) =>
    refused !== null || LACKS[need] || lacks(need)
  );
  testUnless(missing.join(" and "), name, fn);
}

function lacks(command: string): boolean {
  return families[command as FamilyName]?.available === "no";
}

const INQ = "socket SIOCINQ";
const OUTQ = "socket SIOCOUTQ";
const GETSOCKOPT = "socket GETSOCKOPT";
const SETSOCKOPT = "socket SETSOCKOPT";
const GETSOCKNAME = "socket GETSOCKNAME";
const TX_TIMESTAMP = "socket TX_TIMESTAMP";
const IPV4 = "127.0.0.1";
const IPV6 = "::1";

/** Needs that are no commands, and whether they are lacking. */
const LACKS: Record<string, boolean> = {
  [IPV6]: lacksAddress(IPV6) !== "",
  "CQE_MIXED": !setupFlags.includes("CQE_MIXED"),
  "a kernel before 6.6": !lacks(INQ),
  "a kernel before 6.17": !lacks(TX_TIMESTAMP),
  "a kernel before 6.19": !lacks(GETSOCKNAME),
};

const { SOL_SOCKET, IPPROTO_TCP } = s;

/** getsockopt(2): the value, or `-errno`. */
function getsockoptDirect(
  fd: number,
  level: number,
  optname: number,
  length: number,
): Uint8Array | number {
  const { bytes, view, at } = scratch();
  view.setUint32(0, length, true);
  bytes.fill(0, 16, 16 + length);
  const rc = syscall("getsockopt", fd, level, optname, at + 16, at);
  return rc < 0 ? rc : bytes.slice(16, 16 + view.getUint32(0, true));
}

/** The value of an option that is an `int`. */
function intDirect(fd: number, level: number, optname: number): number {
  const value = getsockoptDirect(fd, level, optname, 4);
  return typeof value === "number" ? value : toInt(value);
}

function toInt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
}

/** Returns the result of a command, or `-errno`. */
async function outcome<T>(promise: Promise<T>): Promise<T | number> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    return -error.errno;
  }
}

/** A TCP connection that Deno made, and the descriptors of its ends. */
class Connection implements Disposable {
  static async open(hostname = IPV4): Promise<Connection> {
    const listener = Deno.listen({ hostname, port: 0 });
    const { port } = listener.addr;
    const [client, server] = await Promise.all([
      Deno.connect({ hostname, port }),
      listener.accept(),
    ]);
    return new Connection(listener, client, server);
  }

  readonly clientFd: number;
  readonly serverFd: number;

  private constructor(
    readonly listener: Deno.TcpListener,
    readonly client: Deno.TcpConn,
    readonly server: Deno.TcpConn,
  ) {
    this.clientFd = s.socketFd(client);
    this.serverFd = s.socketFd(server);
  }

  [Symbol.dispose](): void {
    for (const end of [this.listener, this.client, this.server]) {
      try {
        end.close();
      } catch (error) {
        if (!(error instanceof Deno.errors.BadResource)) throw error;
      }
    }
  }
}

/** A UDP socket of Deno's, which Deno gives no `Symbol.dispose`. */
class Udp implements Disposable {
  readonly socket: Deno.DatagramConn;
  readonly fd: number;

  constructor(hostname = IPV4) {
    const transport = "udp";
    this.socket = Deno.listenDatagram({ transport, hostname, port: 0 });
    this.fd = s.socketFd(this.socket);
  }

  get addr(): Deno.NetAddr {
    return this.socket.addr as Deno.NetAddr;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

async function writeAll(conn: Deno.TcpConn, data: Uint8Array): Promise<void> {
  for (let sent = 0; sent < data.length;) {
    sent += await conn.write(data.subarray(sent));
  }
}

// ---- The bytes of the commands, without a kernel ----------------------------

/** The fields of a 64-byte SQE, with its addresses as given. */
const sqe = (command: Command<unknown>, ...addresses: number[]) =>
  words(command, false, [], addresses);

/** IORING_OP_URING_CMD. */
const op = 46;

Deno.test("SIOCINQ, SIOCOUTQ and TX_TIMESTAMP are a number in the SQE", () => {
  assertEquals(sqe(s.siocinq(5)), { op, fd: 5 });
  assertEquals(sqe(s.siocoutq(6)), { op, fd: 6, cmd_op: 1 });
  assertEquals(sqe(s.txTimestamps(7)), { op, fd: 7, cmd_op: 4 });
});

Deno.test("a registered file is named by its index and a flag", () => {
  const fixed = new FixedFile(3);
  const file = { op, flags: 1, fd: 3 }; // IOSQE_FIXED_FILE
  assertEquals(sqe(s.siocinq(fixed)), file);
  assertEquals(sqe(s.siocoutq(fixed)), { ...file, cmd_op: 1 });
  assertEquals(sqe(s.txTimestamps(fixed)), { ...file, cmd_op: 4 });
});

Deno.test("a descriptor of 31 bits is written whole", () => {
  assertEquals(sqe(s.siocinq(0x7fff_ffff)), { op, fd: 0x7fff_ffff });
});

Deno.test("GETSOCKOPT has the level, the option and its length in the SQE", () => {
  const query = { level: 0x04030201, optname: 0xfffefdfc, length: 0x1234 };
  assertEquals(sqe(s.getsockopt(5, query), 0x7a69_5847_3625), {
    op,
    fd: 5,
    cmd_op: 2,
    addr: 0x04030201, // level
    addr_high: 0xfffefdfc, // optname
    file_index: 0x1234, // optlen
    cmd0: 0x5847_3625, // optval
    cmd1: 0x7a69,
  });
});

Deno.test("SETSOCKOPT has the level, the option and the value's length in the SQE", () => {
  const option = { level: 6, optname: 13, value: new Uint8Array(5) };
  const expected = {
    op,
    fd: 5,
    cmd_op: 3,
    addr: 6, // level
    addr_high: 13, // optname
    file_index: 5, // optlen
    cmd0: 0x1000, // optval
    cmd1: 1,
  };
  assertEquals(sqe(s.setsockopt(5, option), 0x1_0000_1000), expected);
  const number = s.setsockopt(5, { ...option, value: -2 });
  assertEquals(sqe(number, 0x1_0000_1000), { ...expected, file_index: 4 });
  assertEquals([...number.operands[0].bytes!], [0xfe, 0xff, 0xff, 0xff]);
});

Deno.test("GETSOCKNAME has an address and that of its length in the SQE", () => {
  const expected = {
    op,
    fd: 5,
    cmd_op: 5,
    addr: 0x1000, // Where the address goes.
    addr_high: 2,
    cmd0: 0x2000, // addr3: where its length is.
    cmd1: 2,
  };
  const at = [0x2_0000_1000, 0x2_0000_2000];
  assertEquals(sqe(s.getsockname(5), ...at), expected);
  const peer = { ...expected, file_index: 1 }; // optlen
  assertEquals(sqe(s.getpeername(5), ...at), peer);
  // The length says how much room there is: sizeof(sockaddr_storage).
  const [address, length] = s.getsockname(5).operands;
  assertEquals(address.byteLength, 128);
  assertEquals([...length.bytes!], [128, 0, 0, 0]);
  assert(length.reads);
});

// ---- What a completion becomes, without a kernel ----------------------------

Deno.test("an address is decoded from as many bytes as the kernel wrote", () => {
  for (const make of [s.getsockname, s.getpeername]) {
    for (
      const address of [
        { hostname: "192.0.2.7", port: 443 },
        { hostname: "2001:db8::1", port: 1 },
        { path: "/run/x" },
        { path: "\0x" },
        { path: null },
      ]
    ) {
      const bytes = encodeSockaddr(address);
      const memory = new Uint8Array(128).fill(0xee);
      memory.set(bytes);
      // The length may lie anywhere in a memory: no view may assume alignment.
      const length = new Uint8Array(7).subarray(3);
      length[0] = bytes.length;
      const done = new Completion(0, 0, [memory, length]);
      assertEquals(make(5).decode!(done), address);
    }
  }
});

Deno.test("an option is a copy of as many bytes as the kernel gave", () => {
  const memory = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const command = s.getsockopt(5, { level: 1, optname: 3, length: 8 });
  for (const length of [0, 1, 4, 8]) {
    const value = command.decode!(new Completion(length, 0, [memory]));
    assertEquals(value, memory.slice(0, length));
    assert(value.buffer !== memory.buffer);
  }
});

Deno.test("TX timestamps are decoded from every combination of flags", () => {
  const { decode } = s.txTimestamps(5);
  const types = ["sent", "scheduled", "acknowledged"] as const;
  const BUFFER = 1 << 0, MORE = 1 << 1, CQE_32 = 1 << 15, HARDWARE = 1 << 16;
  types.forEach((type, number) => {
    for (const hardware of [0, HARDWARE]) {
      for (const more of [0, MORE]) {
        for (const wide of [0, CQE_32]) {
          for (const other of [0, BUFFER]) {
            const flags = number << 17 | hardware | more | wide | other;
            const done = new Completion(9, flags, [], 1_700_000_000n, 7n);
            assertEquals(decode!(done), {
              key: 9,
              type,
              hardware: hardware !== 0,
              nanoseconds: 1_700_000_000_000_000_007n,
            });
          }
        }
      }
    }
  });
});

Deno.test("the key of a TX timestamp has 32 bits, and may look like an errno", () => {
  const { decode } = s.txTimestamps(5);
  for (
    const [res, key] of [
      [0, 0],
      [1, 1],
      [0x7fff_ffff, 0x7fff_ffff],
      [-0x8000_0000, 0x8000_0000],
      [-E.ENOBUFS, 0xffff_ff97],
      [-E.ECANCELED, 0xffff_ff83],
      [-1, 0xffff_ffff],
    ]
  ) {
    assertEquals(decode!(new Completion(res, 2)).key, key);
  }
});

Deno.test("the time of a TX timestamp keeps its nanoseconds", () => {
  const { decode } = s.txTimestamps(5);
  for (
    const [seconds, rest, nanoseconds] of [
      [0n, 0n, 0n],
      [0n, 999_999_999n, 999_999_999n],
      [1n, 0n, 1_000_000_000n],
      [0xffff_ffffn, 999_999_999n, 4_294_967_295_999_999_999n],
      [0x1_0000_0000n, 1n, 4_294_967_296_000_000_001n],
    ]
  ) {
    const done = new Completion(0, 2, [], seconds, rest);
    assertEquals(decode!(done).nanoseconds, nanoseconds);
  }
});

// ---- Bytes that wait --------------------------------------------------------

for (const hostname of [IPV4, IPV6]) {
  kernelTest(
    `SIOCINQ counts the bytes that were really sent to ${hostname}`,
    [INQ, hostname],
    async () => {
      using tcp = await Connection.open(hostname);
      await using ring = Ring.open();
      const { client, server, serverFd } = tcp;
      const command = s.siocinq(serverFd);
      assertEquals(await ring.cmd(command), 0);
      let waiting = 0;
      for (const size of [1, 2, 100, 5000, 30_000]) {
        await writeAll(client, pattern(size));
        waiting += size;
        await until(() => ioctl(serverFd, SIOCINQ) === waiting);
        assertEquals(await ring.cmd(command), waiting);
        assertEquals(ring.cmdSync(command), ioctl(serverFd, SIOCINQ));
      }
      // It falls as they are read.
      const buffer = new Uint8Array(8000);
      while (waiting > 0) {
        const length = await server.read(buffer);
        waiting -= length!;
        assertEquals(await ring.cmd(command), waiting);
        assertEquals(ring.cmdSync(command), ioctl(serverFd, SIOCINQ));
      }
      // The end of the stream is no byte.
      await writeAll(client, pattern(3));
      await client.closeWrite();
      await ring.cmd(poll(serverFd, { events: POLLIN }));
      await until(() => ioctl(serverFd, SIOCINQ) === 3);
      assertEquals(await ring.cmd(command), 3);
      // The other direction has its own count.
      assertEquals(await ring.cmd(s.siocinq(tcp.clientFd)), 0);
    },
  );

  kernelTest(
    `SIOCOUTQ grows while ${hostname} does not read, and drains to nothing`,
    [OUTQ, hostname],
    async () => {
      using tcp = await Connection.open(hostname);
      await using ring = Ring.open();
      const { server, clientFd, serverFd } = tcp;
      const command = s.siocoutq(clientFd);
      assertEquals(await ring.cmd(command), 0);
      const sent = fill(clientFd);
      assertGreater(await agreed(ring, command, clientFd), 0);
      // Bytes are acknowledged once the peer has reported their arrival.
      const unread = () => ioctl(serverFd, SIOCINQ);
      await until(() => ioctl(clientFd, SIOCOUTQ) === sent - unread());
      assertEquals(await agreed(ring, command, clientFd), sent - unread());

      const buffer = new Uint8Array(65536);
      let received = 0;
      while (received < sent) received += (await server.read(buffer))!;
      assertEquals(received, sent);
      // The last acknowledgement may be on its way still.
      await until(() => ioctl(clientFd, SIOCOUTQ) === 0);
      assertEquals(await ring.cmd(command), 0);
    },
  );

  kernelTest(
    `SIOCINQ of a UDP socket on ${hostname} is the size of the next datagram`,
    [INQ, OUTQ, hostname],
    async () => {
      using from = new Udp(hostname);
      using to = new Udp(hostname);
      await using ring = Ring.open();
      const command = s.siocinq(to.fd);
      assertEquals(await ring.cmd(command), 0);
      const sizes = [100, 1, 0, 9000];
      for (const size of sizes) await from.socket.send(pattern(size), to.addr);
      for (const size of sizes) {
        await ring.cmd(poll(to.fd, { events: POLLIN }));
        assertEquals(await ring.cmd(command), size);
        assertEquals(ring.cmdSync(command), ioctl(to.fd, SIOCINQ));
        const [data] = await to.socket.receive(new Uint8Array(10_000));
        assertEquals(data, pattern(size));
      }
      assertEquals(await ring.cmd(command), 0);
      const unsent = s.siocoutq(from.fd);
      assertEquals(ring.cmdSync(unsent), ioctl(from.fd, SIOCOUTQ));
    },
  );
}

/** Writes to a socket that does not block until it takes no more. */
function fill(fd: number): number {
  const chunk = pattern(16_384);
  let sent = 0;
  for (;;) {
    const length = writeSync(fd, chunk);
    if (length === -E.EAGAIN) return sent;
    assertGreater(length, 0);
    sent += length;
  }
}

/** The count of unsent bytes, when it is the same by both ways. */
async function agreed(
  ring: Ring,
  command: Command<number>,
  fd: number,
): Promise<number> {
  for (;;) {
    // The kernel may move on between the calls, but only in one direction.
    const before = ioctl(fd, SIOCOUTQ);
    const count = ring.cmdSync(command);
    const after = ioctl(fd, SIOCOUTQ);
    assert(before >= count && count >= after, `${before} ${count} ${after}`);
    if (before === after) return count;
    await turn();
  }
}

kernelTest(
  "a thousand commands at once are each answered with their own socket's count",
  [INQ],
  async () => {
    await using ring = Ring.open();
    using stack = new DisposableStack();
    const commands: Command<number>[] = [];
    for (let i = 0; i < 10; i++) {
      const tcp = stack.use(await Connection.open());
      await writeAll(tcp.client, pattern(100 + i));
      await until(() => ioctl(tcp.serverFd, SIOCINQ) === 100 + i);
      commands.push(s.siocinq(tcp.serverFd));
    }
    const all = Array.from({ length: 1000 }, (_, i) => i % 10);
    const counts = await Promise.all(all.map((i) => ring.cmd(commands[i])));
    assertEquals(counts, all.map((i) => 100 + i));
    const again = ring.cmdAllSync(all.map((i) => commands[i]));
    assertEquals(again, counts);
  },
);

const RINGS: RingOptions[] = [
  {},
  { deferTaskrun: true },
  { sqpoll: true },
  { sqe128: true },
  { cqe32: true },
  { sqe128: true, cqe32: true },
  { mixed: true },
  { entries: 1, cqEntries: 1 },
];
for (const options of RINGS) {
  kernelTest(
    `socket commands run on a ring with ${JSON.stringify(options)}`,
    [INQ, OUTQ, GETSOCKOPT, SETSOCKOPT],
    async () => {
      using tcp = await Connection.open();
      await using ring = Ring.open(options);
      const { serverFd: fd } = tcp;
      await writeAll(tcp.client, pattern(77));
      await until(() => ioctl(fd, SIOCINQ) === 77);
      const option = { level: SOL_SOCKET, optname: s.SO_PRIORITY };
      for (let i = 0; i < 5; i++) {
        const [, value, inq, outq, error] = await Promise.all([
          ring.cmd(s.setsockopt(fd, { ...option, value: i })),
          ring.cmd(s.getsockopt(fd, { ...option, length: 4 })),
          ring.cmd(s.siocinq(fd)),
          ring.cmd(s.siocoutq(fd)),
          refusal(ring.cmd(s.siocinq(s.socketFd(tcp.listener)))),
        ]);
        assertEquals(value, Uint8Array.of(i, 0, 0, 0));
        assertEquals([inq, outq, error.code], [77, 0, "EINVAL"]);
      }
      const { inFlight, waiting } = ring.stats();
      assertEquals({ inFlight, waiting }, { inFlight: 0, waiting: 0 });
    },
  );
}

kernelTest(
  "socket commands run on a registered file, whose descriptor was closed",
  [INQ, OUTQ, GETSOCKOPT, SETSOCKOPT],
  async () => {
    using tcp = tcpPair();
    await using ring = Ring.open();
    assertEquals(writeSync(tcp.left, pattern(33)), 33);
    await until(() => ioctl(tcp.right, SIOCINQ) === 33);
    const cookie = { level: SOL_SOCKET, optname: s.SO_COOKIE, length: 8 };
    const direct = getsockoptDirect(tcp.right, SOL_SOCKET, s.SO_COOKIE, 8);
    const [, file] = ring.registerFiles([tcp.left, tcp.right]);
    tcp[Symbol.dispose]();
    assertEquals(await ring.cmd(s.siocinq(file)), 33);
    assertEquals(await ring.cmd(s.siocoutq(file)), 0);
    assertEquals(await ring.cmd(s.getsockopt(file, cookie)), direct);
    const option = { level: IPPROTO_TCP, optname: s.TCP_NODELAY, value: 1 };
    assertEquals(await ring.cmd(s.setsockopt(file, option)), 0);
    ring.unregisterFiles();
    await assertRejects(
      () => ring.cmd(s.siocinq(file)),
      TypeError,
      "not in this ring's table of files",
    );
  },
);

kernelTest(
  "an option is set, then read, in a chain",
  [GETSOCKOPT, SETSOCKOPT],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open();
    const option = { level: SOL_SOCKET, optname: s.SO_PRIORITY };
    const [zero, value] = await Promise.all(ring.link([
      s.setsockopt(udp.fd, { ...option, value: 5 }),
      s.getsockopt(udp.fd, { ...option, length: 4 }),
    ]));
    assertEquals([zero, toInt(value)], [0, 5]);
    const failing = { level: SOL_SOCKET, optname: 9999 };
    const codes = await Promise.all(
      ring.link([
        s.setsockopt(udp.fd, { ...failing, value: 5 }),
        s.setsockopt(udp.fd, { ...option, value: 6 }),
      ]).map((promise) => outcome(promise)),
    );
    assertEquals(codes, [-E.ENOPROTOOPT, -E.ECANCELED]);
    assertEquals(intDirect(udp.fd, SOL_SOCKET, s.SO_PRIORITY), 5);
  },
);

// ---- What has no count ------------------------------------------------------

kernelTest(
  "a listening socket has no count, and the error says why",
  [INQ, OUTQ],
  async () => {
    using listener = Deno.listen({ hostname: IPV4, port: 0 });
    const fd = s.socketFd(listener);
    await using ring = Ring.open();
    for (const [command, request] of counts(fd)) {
      assertEquals(ioctl(fd, request), -E.EINVAL);
      const error = await refusal(ring.cmd(command));
      assertEquals(
        error.message,
        `${command.name} on fd ${fd}: EINVAL (22). ` +
          "The socket listens, and so has no bytes of its own.",
      );
      assertEquals([error.code, error.errno, error.fd], ["EINVAL", 22, fd]);
    }
  },
);

/** The commands that count, each with the ioctl it stands for. */
function counts(fd: number): [Command<number>, number][] {
  return [[s.siocinq(fd), SIOCINQ], [s.siocoutq(fd), SIOCOUTQ]];
}

for (
  const [kind, type] of [
    ["stream", SOCK_STREAM],
    ["datagram", SOCK_DGRAM],
    ["seqpacket", SOCK_SEQPACKET],
  ] as const
) {
  kernelTest(
    `a Unix ${kind} socket answers the ioctl but not the command`,
    [INQ, OUTQ],
    async () => {
      using pair = unixPair(type);
      await using ring = Ring.open();
      assertEquals(writeSync(pair.left, pattern(12)), 12);
      assertEquals(ioctl(pair.right, SIOCINQ), 12);
      assertGreater(ioctl(pair.left, SIOCOUTQ), 0);
      for (const [command] of counts(pair.right)) {
        await assertRefused(
          ring.cmd(command),
          "EOPNOTSUPP",
          "Unix sockets have it only as an ioctl",
        );
      }
    },
  );
}

kernelTest(
  "a file that is no socket answers EOPNOTSUPP to every command",
  ["io_uring"],
  async () => {
    const path = await Deno.makeTempFile();
    using file = new Fd(open(path, O_RDONLY));
    await Deno.remove(path);
    using ends = pipe();
    using event = new Fd(syscall("eventfd2", 0, 0));
    await using ring = Ring.open();
    for (const fd of [file.fd, ends.left, ends.right, event.fd]) {
      for (const command of everyCommand(fd)) {
        const error = await refusal(ring.cmd(command));
        assertEquals(error.code, "EOPNOTSUPP", error.message);
        assertMatch(error.message, /the file is not a socket/i);
      }
    }
  },
);

/** Each command that completes once. */
function everyCommand(file: FileRef): Command<unknown>[] {
  return [
    s.siocinq(file),
    s.siocoutq(file),
    s.getsockopt(file, { level: SOL_SOCKET, optname: s.SO_TYPE, length: 4 }),
    s.setsockopt(file, { level: SOL_SOCKET, optname: s.SO_PRIORITY, value: 0 }),
    s.getsockname(file),
    s.getpeername(file),
  ].map((command): Command<unknown> => command);
}

kernelTest(
  "a descriptor that is not open is EBADF, with advice",
  ["io_uring"],
  async () => {
    const fd = 1_000_000; // A lower number may be taken meanwhile.
    await using ring = Ring.open();
    for (const command of everyCommand(fd)) {
      await assertRefused(
        ring.cmd(command),
        "EBADF",
        `on fd ${fd}`,
        "is not open",
      );
    }
    const query = { level: SOL_SOCKET, optname: s.SO_TYPE, length: 4 };
    const error = assertThrows(() => s.getsockoptSync(fd, query), UringError);
    assertEquals([error.code, error.op, error.fd], ["EBADF", "getsockopt", fd]);
  },
);

kernelTest(
  "before Linux 6.6 no socket knows a command",
  ["a kernel before 6.6"],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open();
    for (const command of everyCommand(udp.fd)) {
      const error = await assertRefused(ring.cmd(command), "EOPNOTSUPP");
      assertMatch(error.message, /the kernel is older than 6\.\d+/);
    }
  },
);

// ---- Options ----------------------------------------------------------------

/** Options of SOL_SOCKET that do not change by themselves. */
const OPTIONS = {
  SO_BUSY_POLL: s.SO_BUSY_POLL,
  SO_COOKIE: s.SO_COOKIE,
  SO_DOMAIN: s.SO_DOMAIN,
  SO_ERROR: s.SO_ERROR,
  SO_KEEPALIVE: s.SO_KEEPALIVE,
  SO_LINGER: s.SO_LINGER,
  SO_MARK: s.SO_MARK,
  SO_PEERCRED: s.SO_PEERCRED,
  SO_PRIORITY: s.SO_PRIORITY,
  SO_PROTOCOL: s.SO_PROTOCOL,
  SO_RCVBUF: s.SO_RCVBUF,
  SO_RCVLOWAT: s.SO_RCVLOWAT,
  SO_REUSEADDR: s.SO_REUSEADDR,
  SO_REUSEPORT: s.SO_REUSEPORT,
  SO_SNDBUF: s.SO_SNDBUF,
  SO_TIMESTAMPING: s.SO_TIMESTAMPING,
  SO_TYPE: s.SO_TYPE,
  SO_ZEROCOPY: s.SO_ZEROCOPY,
  "no option": 9999,
};
const LENGTHS = [0, 1, 3, 4, 7, 8, 12, 64, 65536 - 16];

kernelTest(
  "GETSOCKOPT gives the bytes, or the errno, that getsockopt(2) gives",
  [GETSOCKOPT],
  async () => {
    using tcp = await Connection.open();
    using udp = new Udp();
    using unix = unixPair();
    await using ring = Ring.open();
    for (const fd of [tcp.clientFd, tcp.serverFd, udp.fd, unix.left]) {
      for (const [name, optname] of Object.entries(OPTIONS)) {
        for (const length of LENGTHS) {
          const query = { level: SOL_SOCKET, optname, length };
          const got = await outcome(ring.cmd(s.getsockopt(fd, query)));
          const direct = getsockoptDirect(fd, SOL_SOCKET, optname, length);
          assertEquals(got, direct, `${name}, ${length} bytes, fd ${fd}`);
        }
      }
    }
  },
);

kernelTest("GETSOCKOPT reads the kind of a socket", [GETSOCKOPT], async () => {
  using tcp = await Connection.open();
  using udp = new Udp();
  using unix = unixPair(SOCK_SEQPACKET);
  await using ring = Ring.open();
  const read = (fd: number, optname: number, length: number) =>
    ring.cmd(s.getsockopt(fd, { level: SOL_SOCKET, optname, length }));
  const what = async (fd: number) => {
    const names = [s.SO_DOMAIN, s.SO_TYPE, s.SO_PROTOCOL];
    const all = await Promise.all(names.map((name) => read(fd, name, 4)));
    return all.map(toInt);
  };
  assertEquals(await what(tcp.clientFd), [2, 1, 6]);
  assertEquals(await what(udp.fd), [2, 2, 17]);
  assertEquals(await what(unix.left), [1, 5, 0]);
  // The result is as long as the value, however much was asked for.
  assertEquals((await read(udp.fd, s.SO_TYPE, 4096)).length, 4);
  assertEquals((await read(udp.fd, s.SO_LINGER, 4096)).length, 8);
  assertEquals((await read(udp.fd, s.SO_TYPE, 0)).length, 0);
  const credentials = await read(unix.left, s.SO_PEERCRED, 12);
  const ucred = new Uint32Array(credentials.buffer);
  assertEquals([...ucred], [Deno.pid, Deno.uid(), Deno.gid()]);
  const cookies = await Promise.all(
    [tcp.clientFd, tcp.serverFd, udp.fd].map((fd) => read(fd, s.SO_COOKIE, 8)),
  );
  assertEquals(new Set(cookies.map(String)).size, 3);
  // Each result is the caller's own: the next command does not write into it.
  const first = await read(tcp.clientFd, s.SO_COOKIE, 8);
  await read(tcp.serverFd, s.SO_COOKIE, 8);
  assertEquals(first, cookies[0]);
});

kernelTest(
  "GETSOCKOPT of another level is refused, and the error says what reads it",
  [GETSOCKOPT],
  async () => {
    using tcp = await Connection.open();
    await using ring = Ring.open();
    const { clientFd: fd } = tcp;
    for (
      const [level, optname, length] of [
        [IPPROTO_TCP, s.TCP_NODELAY, 4],
        [IPPROTO_TCP, s.TCP_CONGESTION, 16],
        [s.IPPROTO_IP, 2, 4], // IP_TTL
        [0, 0, 0],
      ]
    ) {
      const query = { level, optname, length };
      await assertRefused(
        ring.cmd(s.getsockopt(fd, query)),
        "EOPNOTSUPP",
        "SOL_SOCKET only",
        "getsockoptSync()",
      );
    }
  },
);

Deno.test("getsockoptSync reads options of every level, as getsockopt(2) does", async () => {
  using tcp = await Connection.open();
  const { clientFd: fd } = tcp;
  for (
    const [level, optname] of [
      ...Object.values(OPTIONS).map((optname) => [SOL_SOCKET, optname]),
      [IPPROTO_TCP, s.TCP_NODELAY],
      [IPPROTO_TCP, s.TCP_MAXSEG],
      [IPPROTO_TCP, s.TCP_KEEPIDLE],
      [IPPROTO_TCP, s.TCP_KEEPINTVL],
      [IPPROTO_TCP, s.TCP_KEEPCNT],
      [IPPROTO_TCP, s.TCP_CONGESTION],
      [IPPROTO_TCP, s.TCP_USER_TIMEOUT],
      [s.IPPROTO_IP, 2], // IP_TTL
      [s.IPPROTO_UDP, 1],
      [s.IPPROTO_IPV6, 16],
      [0xffff_ffff, 1],
    ]
  ) {
    for (const length of [0, 1, 4, 16, 32768]) {
      let got: Uint8Array | number;
      try {
        got = s.getsockoptSync(fd, { level, optname, length });
      } catch (error) {
        if (!(error instanceof UringError)) throw error;
        got = -error.errno;
      }
      const direct = getsockoptDirect(fd, level, optname, length);
      assertEquals(got, direct, `level ${level}, option ${optname}, ${length}`);
    }
  }
});

Deno.test("getsockoptSync says why it could not read", async () => {
  using tcp = await Connection.open();
  using ends = pipe();
  const query = { level: IPPROTO_TCP, optname: 9999, length: 4 };
  const message = (fd: number, level: number) =>
    assertThrows(() => s.getsockoptSync(fd, { ...query, level }), UringError)
      .message;
  assertEquals(
    message(ends.left, SOL_SOCKET),
    `getsockopt on fd ${ends.left}: ENOTSOCK (88). ` +
      "The descriptor is not a socket's.",
  );
  assertEquals(
    message(tcp.clientFd, IPPROTO_TCP),
    `getsockopt on fd ${tcp.clientFd}: ENOPROTOOPT (92). ` +
      "The socket has no such option at this level.",
  );
  assertMatch(
    message(tcp.clientFd, 12345),
    /EOPNOTSUPP \(95\)\. The socket's family has no options at this level\.$/,
  );
});

/** A classic BPF program that takes every packet: as many times `ret`. */
function attachFilter(fd: number, instructions: number): Uint8Array {
  const { bytes, view, at } = scratch();
  for (let i = 0; i < instructions; i++) {
    view.setUint16(16 + 8 * i, 0x06, true); // BPF_RET | BPF_K
    view.setUint16(18 + 8 * i, 0, true);
    view.setUint32(20 + 8 * i, 0xffff_0000 + i, true);
  }
  const program = bytes.slice(16, 16 + 8 * instructions);
  bytes.fill(0, 0, 16);
  view.setUint16(0, instructions, true); // struct sock_fprog
  view.setBigUint64(8, BigInt(at + 16), true);
  const SO_ATTACH_FILTER = 26;
  const rc = syscall("setsockopt", fd, SOL_SOCKET, SO_ATTACH_FILTER, at, 16);
  assertEquals(rc, 0);
  return program;
}

const SO_GET_FILTER = 26;

kernelTest(
  "a filter, which the kernel counts in instructions, writes to no other command's memory",
  [GETSOCKOPT],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open();
    const program = attachFilter(udp.fd, 64);
    const filter = (length: number) =>
      s.getsockopt(udp.fd, {
        level: SOL_SOCKET,
        optname: SO_GET_FILTER,
        length,
      });
    const cookie = s.getsockopt(udp.fd, {
      level: SOL_SOCKET,
      optname: s.SO_COOKIE,
      length: 64,
    });
    const real = getsockoptDirect(udp.fd, SOL_SOCKET, s.SO_COOKIE, 8);
    // 64 is a number of bytes here, as for any option. Were it taken for one of
    // instructions, 512 bytes would be written over the memory that follows.
    for (let i = 0; i < 20; i++) {
      const [, ...cookies] = await Promise.all([
        refusal(ring.cmd(filter(64))),
        ...Array.from({ length: 8 }, () => ring.cmd(cookie)),
      ]);
      for (const value of cookies) assertEquals(value, real);
    }
    assertEquals(await ring.cmd(filter(512)), program);
    assertEquals(await ring.cmd(filter(4096)), program);
    assertEquals((await refusal(ring.cmd(filter(511)))).code, "EINVAL");
    for (const none of [0, 7]) {
      assertEquals(await ring.cmd(filter(none)), new Uint8Array());
    }
  },
);

Deno.test("getsockoptSync reads a filter in bytes too", () => {
  using udp = new Udp();
  const program = attachFilter(udp.fd, 64);
  const read = (length: number) =>
    s.getsockoptSync(udp.fd, {
      level: SOL_SOCKET,
      optname: SO_GET_FILTER,
      length,
    });
  assertEquals(read(512), program);
  assertEquals(read(32768), program);
  assertEquals(read(7), new Uint8Array());
  assertEquals(assertThrows(() => read(511), UringError).code, "EINVAL");
});

Deno.test("an option whose value holds an address is refused", () => {
  for (
    const [level, optname] of [
      [SOL_SOCKET, 26], // SO_ATTACH_FILTER
      [SOL_SOCKET, 51], // SO_ATTACH_REUSEPORT_CBPF
      [0, 64], // IPT_SO_SET_REPLACE
      [41, 64], // IP6T_SO_SET_REPLACE
      [283, 4], // XDP_UMEM_REG
    ]
  ) {
    const value = new Uint8Array(64);
    const make = () => s.setsockopt(5, { level, optname, value });
    assertThrows(make, TypeError, "holds an address");
  }
});

kernelTest(
  "a get whose length is too short says so",
  [GETSOCKOPT],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open();
    for (const optname of [s.SO_COOKIE, 25]) { // 25: SO_BINDTODEVICE
      const query = { level: SOL_SOCKET, optname, length: 2 };
      if (optname === 25) {
        const [value, option] = [utf8("lo"), { optname }];
        await ring.cmd(s.setsockopt(udp.fd, {
          level: SOL_SOCKET,
          value,
          ...option,
        }));
      }
      await assertRefused(
        ring.cmd(s.getsockopt(udp.fd, query)),
        "EINVAL",
        "`length` makes room for",
      );
      const sync = assertThrows(() => s.getsockoptSync(udp.fd, query));
      assertStringIncludes((sync as Error).message, "`length` makes room for");
    }
  },
);

kernelTest(
  "SETSOCKOPT sets options of every level, which getsockopt(2) then reads",
  [SETSOCKOPT],
  async () => {
    using tcp = await Connection.open();
    await using ring = Ring.open();
    const { clientFd: fd } = tcp;
    const numbers = [
      [SOL_SOCKET, s.SO_KEEPALIVE, 1, 1],
      [SOL_SOCKET, s.SO_KEEPALIVE, 0, 0],
      [SOL_SOCKET, s.SO_PRIORITY, 3, 3],
      [SOL_SOCKET, s.SO_RCVLOWAT, 17, 17],
      [SOL_SOCKET, s.SO_RCVBUF, 20_000, 40_000], // The kernel doubles it.
      [IPPROTO_TCP, s.TCP_NODELAY, 1, 1],
      [IPPROTO_TCP, s.TCP_NODELAY, 0, 0],
      [IPPROTO_TCP, s.TCP_CORK, 1, 1],
      [IPPROTO_TCP, s.TCP_CORK, 0, 0],
      [IPPROTO_TCP, s.TCP_KEEPIDLE, 123, 123],
      [IPPROTO_TCP, s.TCP_KEEPINTVL, 12, 12],
      [IPPROTO_TCP, s.TCP_KEEPCNT, 5, 5],
      [IPPROTO_TCP, s.TCP_USER_TIMEOUT, 12_345, 12_345],
      [s.IPPROTO_IP, 2, 77, 77], // IP_TTL
      [s.IPPROTO_IP, 2, -1, 64], // The default again.
      [s.IPPROTO_IP, 2, 0xffff_ffff, 64], // The same four bytes.
    ];
    for (const [level, optname, value, then] of numbers) {
      const option = { level, optname, value };
      assertEquals(await ring.cmd(s.setsockopt(fd, option)), 0);
      const what = `level ${level}, option ${optname}, ${value}`;
      assertEquals(intDirect(fd, level, optname), then, what);
    }
    const linger = Uint8Array.of(1, 0, 0, 0, 5, 0, 0, 0);
    const optname = s.SO_LINGER;
    const option = { level: SOL_SOCKET, optname, value: linger };
    assertEquals(await ring.cmd(s.setsockopt(fd, option)), 0);
    assertEquals(getsockoptDirect(fd, SOL_SOCKET, optname, 8), linger);
  },
);

const RENO = utf8("reno"); // It is in every kernel.

/** The congestion control of a TCP socket. */
function congestion(fd: number): string {
  const name = getsockoptDirect(fd, IPPROTO_TCP, s.TCP_CONGESTION, 16);
  return textOf(name as Uint8Array).replaceAll("\0", "");
}

kernelTest(
  "SETSOCKOPT takes the bytes of a name, of any kind of array",
  [SETSOCKOPT],
  async () => {
    await using ring = Ring.open();
    const arena = ring.alloc(64).subarray(17, 21);
    const inside = concat([RENO, RENO]).subarray(4);
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    const buffer = new ArrayBuffer(4, { maxByteLength: 64 });
    const resizable = new Uint8Array(buffer);
    for (const value of [RENO, arena, inside, shared, resizable]) {
      value.set(RENO);
      using tcp = await Connection.open();
      const optname = s.TCP_CONGESTION;
      const option = { level: IPPROTO_TCP, optname, value };
      assertEquals(await ring.cmd(s.setsockopt(tcp.clientFd, option)), 0);
      assertEquals(congestion(tcp.clientFd), "reno");
      assert(equals(value, RENO));
    }
  },
);

kernelTest(
  "an array may be changed right after the call, also while commands wait",
  [SETSOCKOPT],
  async () => {
    using tcp = await Connection.open();
    await using ring = Ring.open({ entries: 1, cqEntries: 2 });
    const { clientFd: fd } = tcp;
    const value = RENO.slice();
    const level = IPPROTO_TCP;
    const optname = s.TCP_CONGESTION;
    const done = ring.cmd(s.setsockopt(fd, { level, optname, value }));
    value.fill(0x78);
    assertEquals(await done, 0);
    assertEquals(congestion(fd), "reno");

    const timeout = new Uint8Array(4);
    const command = s.setsockopt(fd, {
      level,
      optname: s.TCP_USER_TIMEOUT,
      value: timeout,
    });
    const all: Promise<number>[] = [];
    for (let i = 1; i <= 100; i++) {
      timeout[0] = i;
      all.push(ring.cmd(command));
    }
    timeout.fill(0xff); // Negative, which the kernel refuses.
    assertEquals(new Set(await Promise.all(all)), new Set([0]));
    assertEquals(intDirect(fd, level, s.TCP_USER_TIMEOUT), 100);
  },
);

kernelTest(
  "an array that was transferred away is refused before it is queued",
  ["io_uring"],
  async () => {
    await using ring = Ring.open();
    const value = new Uint8Array(4);
    const option = { level: SOL_SOCKET, optname: s.SO_PRIORITY, value };
    const command = s.setsockopt(5, option);
    value.buffer.transfer();
    await assertRejects(() => ring.cmd(command), TypeError, "detached");
    assertThrows(() => s.setsockopt(5, option), TypeError, "detached");
    assertEquals(ring.stats().submitted, 0);
  },
);

kernelTest(
  "SETSOCKOPT refuses what setsockopt(2) refuses, with advice",
  [SETSOCKOPT],
  async () => {
    using tcp = await Connection.open();
    using unix = unixPair();
    await using ring = Ring.open();
    const { clientFd: tcpFd } = tcp;
    const name = utf8("no such algorithm");
    const microseconds = new BigInt64Array([0n, 1_000_000n]);
    const late = new Uint8Array(microseconds.buffer);
    const SO_RCVTIMEO = 20;
    const SO_BINDTODEVICE = 25;
    for (
      const [fd, level, optname, value, code, advice] of [
        [tcpFd, SOL_SOCKET, 9999, 1, "ENOPROTOOPT", "no such option"],
        [tcpFd, SOL_SOCKET, s.SO_TYPE, 1, "ENOPROTOOPT", "no such option"],
        [tcpFd, IPPROTO_TCP, 9999, 1, "ENOPROTOOPT", "no such option"],
        [tcpFd, IPPROTO_TCP, s.TCP_KEEPCNT, 0, "EINVAL", "not one the option"],
        [tcpFd, IPPROTO_TCP, s.TCP_KEEPCNT, -1, "EINVAL", "not one the option"],
        [tcpFd, SOL_SOCKET, s.SO_RCVBUF, new Uint8Array(3), "EINVAL", "short"],
        [tcpFd, SOL_SOCKET, s.SO_RCVBUF, new Uint8Array(), "EINVAL", "short"],
        [tcpFd, IPPROTO_TCP, s.TCP_CONGESTION, name, "ENOENT", "congestion"],
        [tcpFd, SOL_SOCKET, SO_RCVTIMEO, late, "EDOM", "not one the option"],
        [tcpFd, SOL_SOCKET, SO_BINDTODEVICE, name, "ENODEV", "ip link"],
        [
          unix.left,
          IPPROTO_TCP,
          s.TCP_NODELAY,
          1,
          "EOPNOTSUPP",
          "The socket's family does not take this option",
        ],
        [
          unix.left,
          SOL_SOCKET,
          s.SO_ZEROCOPY,
          1,
          "EOPNOTSUPP",
          "The socket's family does not take this option",
        ],
      ] as const
    ) {
      const command = s.setsockopt(fd, { level, optname, value });
      const error = await refusal(ring.cmd(command));
      const what = `level ${level}, option ${optname}: ${error.message}`;
      assertEquals(error.code, code, what);
      assertEquals(error.op, "URING_CMD SETSOCKOPT");
      assertStringIncludes(error.message, advice);
    }
  },
);

kernelTest(
  "an option can be set on a Unix socket",
  [GETSOCKOPT, SETSOCKOPT],
  async () => {
    using unix = unixPair();
    await using ring = Ring.open();
    const option = { level: SOL_SOCKET, optname: s.SO_SNDBUF };
    await ring.cmd(s.setsockopt(unix.left, { ...option, value: 30_000 }));
    assertEquals(intDirect(unix.left, SOL_SOCKET, s.SO_SNDBUF), 60_000);
    const value = await ring.cmd(
      s.getsockopt(unix.left, { ...option, length: 4 }),
    );
    assertEquals(toInt(value), 60_000);
    // The other end has its own.
    assert(intDirect(unix.right, SOL_SOCKET, s.SO_SNDBUF) !== 60_000);
  },
);

kernelTest(
  "an option that is set takes effect on a UDP socket",
  [SETSOCKOPT],
  async () => {
    using udp = new Udp("0.0.0.0");
    await using ring = Ring.open();
    // The broadcast address of the loopback, and the port of the socket itself.
    const to = { ...udp.addr, hostname: "127.255.255.255" };
    const set = (value: number) =>
      ring.cmd(s.setsockopt(udp.fd, {
        level: SOL_SOCKET,
        optname: SO_BROADCAST,
        value,
      }));
    await set(0);
    await assertRejects(
      () => udp.socket.send(pattern(1), to),
      Deno.errors.PermissionDenied,
    );
    await set(1);
    await udp.socket.send(pattern(3), to);
    const [data] = await udp.socket.receive();
    assertEquals(data, pattern(3));
  },
);

// ---- Names ------------------------------------------------------------------

/** Returns the address that getsockname(2) or getpeername(2) reads. */
function nameDirect(fd: number, call: "getsockname" | "getpeername") {
  const { bytes, view, at } = scratch();
  view.setUint32(0, 128, true);
  const rc = syscall(call, fd, at + 8, at);
  if (rc < 0) return rc;
  return decodeSockaddr(bytes.slice(8, 8 + view.getUint32(0, true)));
}

kernelTest(
  "GETSOCKNAME reads both ends of a connection, as getsockname(2) does",
  [GETSOCKNAME],
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.remove(path);
    using stack = new DisposableStack();
    const { clientFd, serverFd, client, server } = stack.use(
      await Connection.open(),
    );
    const fds = [clientFd, serverFd, stack.use(new Udp()).fd];
    if (!LACKS.IPv6) {
      const tcp6 = stack.use(await Connection.open(IPV6));
      fds.push(tcp6.clientFd, tcp6.serverFd, stack.use(new Udp(IPV6)).fd);
    }
    const listener = stack.use(Deno.listen({ transport: "unix", path }));
    const unix = stack.use(await Deno.connect({ transport: "unix", path }));
    const accepted = stack.use(await listener.accept());
    fds.push(...[listener, unix, accepted].map((each) => s.socketFd(each)));
    const pair = stack.use(unixPair());
    fds.push(pair.left, pair.right);

    await using ring = Ring.open();
    for (let round = 0; round < 2; round++) {
      for (const fd of fds) {
        const [own, peer] = await Promise.all([
          ring.cmd(s.getsockname(fd)),
          outcome(ring.cmd(s.getpeername(fd))),
        ]);
        assertEquals(own, nameDirect(fd, "getsockname"));
        assertEquals(peer, nameDirect(fd, "getpeername"));
      }
    }
    // Deno has the same addresses.
    const { hostname, port } = client.localAddr;
    const own = { hostname, port };
    assertEquals(await ring.cmd(s.getsockname(clientFd)), own);
    assertEquals(await ring.cmd(s.getpeername(serverFd)), own);
    const { port: remotePort } = server.localAddr;
    const peer = { hostname, port: remotePort };
    assertEquals(await ring.cmd(s.getpeername(clientFd)), peer);
    assertEquals(await ring.cmd(s.getpeername(s.socketFd(unix))), { path });
    assertEquals(await ring.cmd(s.getsockname(pair.left)), { path: null });
    await Deno.remove(path);
  },
);

kernelTest(
  "a socket that is not connected has no peer, and the error says so",
  [GETSOCKNAME],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open();
    await assertRefused(
      ring.cmd(s.getpeername(udp.fd)),
      "ENOTCONN",
      "The socket is not connected",
    );
  },
);

kernelTest(
  "one command for a name can run many times at once",
  [GETSOCKNAME],
  async () => {
    using udp = new Udp();
    using other = new Udp();
    await using ring = Ring.open();
    const commands = [s.getsockname(udp.fd), s.getsockname(other.fd)];
    const all = Array.from({ length: 300 }, (_, i) => i % 2);
    const names = await Promise.all(all.map((i) => ring.cmd(commands[i])));
    const ports = [udp.addr.port, other.addr.port];
    assertEquals(
      names,
      all.map((i) => ({ hostname: IPV4, port: ports[i] })),
    );
  },
);

kernelTest(
  "before Linux 6.19 GETSOCKNAME is refused, and the error names that version",
  ["a kernel before 6.19"],
  async () => {
    using tcp = await Connection.open();
    await using ring = Ring.open();
    for (const command of [s.getsockname, s.getpeername]) {
      const error = await refusal(ring.cmd(command(tcp.clientFd)));
      assertEquals([error.code, error.errno], ["EOPNOTSUPP", 95]);
      assertStringIncludes(error.message, "older than 6.19");
    }
  },
);

// ---- Timestamps -------------------------------------------------------------

const REPORT = s.SOF_TIMESTAMPING_SOFTWARE | s.SOF_TIMESTAMPING_OPT_ID |
  s.SOF_TIMESTAMPING_OPT_TSONLY;
const TX = s.SOF_TIMESTAMPING_TX_SCHED | s.SOF_TIMESTAMPING_TX_SOFTWARE;

function timestamping(fd: number, value: number): Command<number> {
  const optname = s.SO_TIMESTAMPING;
  return s.setsockopt(fd, { level: SOL_SOCKET, optname, value });
}

/** The next `count` values of a stream. */
async function take<T>(stream: AsyncIterator<T>, count: number): Promise<T[]> {
  const values: T[] = [];
  while (values.length < count) {
    const { done, value } = await stream.next();
    assert(!done, "the stream is over");
    values.push(value);
  }
  return values;
}

/** Timestamps that are in order, taken since `start`, by the kernel. */
function assertTimes(stamps: readonly s.TxTimestamp[], start: number): void {
  let last = BigInt(start - 5000) * 1_000_000n;
  const end = BigInt(Date.now() + 5000) * 1_000_000n;
  for (const { nanoseconds, hardware } of stamps) {
    assertEquals(hardware, false);
    assert(nanoseconds > last && nanoseconds < end, `${nanoseconds}`);
    last = nanoseconds;
  }
}

for (
  const [options, ...needs] of [
    [{ cqe32: true }],
    [{ mixed: true }, "CQE_MIXED"],
    [{ cqe32: true, deferTaskrun: true }],
    [{ cqe32: true, sqpoll: true }],
  ] as [RingOptions, ...string[]][]
) {
  const how = `on a ring with ${JSON.stringify(options)}`;

  kernelTest(
    `each datagram has its times, ${how}`,
    [TX_TIMESTAMP, ...needs],
    async () => {
      using from = new Udp();
      using to = new Udp();
      await using ring = Ring.open(options);
      await ring.cmd(timestamping(from.fd, REPORT | TX));
      const stream = ring.stream(s.txTimestamps(from.fd));
      const start = Date.now();
      const all: s.TxTimestamp[] = [];
      for (let i = 0; i < 20; i++) {
        await from.socket.send(pattern(i), to.addr);
        // Now and then they are all taken, so that the stream has to wait.
        if (i % 5 === 4) all.push(...await take(stream, 10));
      }
      assertTimes(all, start);
      assertEquals(all.map(({ key }) => key), all.map((_, i) => i >> 1));
      const types = all.map((_, i) => i & 1 ? "sent" : "scheduled");
      assertEquals(all.map(({ type }) => type), types);
      assertEquals(ring.stats().inFlight, 1);
      await stream.return!();
      assertEquals(ring.stats().inFlight, 0);
    },
  );

  kernelTest(
    `each write to a TCP connection has its times, ${how}`,
    [TX_TIMESTAMP, ...needs],
    async () => {
      using tcp = await Connection.open();
      await using ring = Ring.open(options);
      const ack = s.SOF_TIMESTAMPING_TX_ACK;
      await ring.cmd(timestamping(tcp.clientFd, REPORT | TX | ack));
      const start = Date.now();
      let written = 0;
      const iterated: s.TxTimestamp[] = [];
      await writeAll(tcp.client, pattern(10));
      const stream = ring.stream(s.txTimestamps(tcp.clientFd));
      for await (const stamp of stream) {
        iterated.push(stamp);
        if (iterated.length % 3 !== 0) continue;
        if (iterated.length === 15) break;
        // One write after the other, since TCP may join them.
        written++;
        await writeAll(tcp.client, pattern(10 * (written + 1)));
      }
      assertEquals(ring.stats().inFlight, 0);
      assertTimes(iterated, start);
      // The key is the place of the last byte of what was written.
      const keys = [9, 29, 59, 99, 149];
      assertEquals(
        iterated.map(({ key, type }) => `${key} ${type}`),
        keys.flatMap((key) =>
          ["scheduled", "sent", "acknowledged"].map((type) => `${key} ${type}`)
        ),
      );
    },
  );

  kernelTest(
    `a stream of timestamps ends with the reason of its signal, ${how}`,
    [TX_TIMESTAMP, ...needs],
    async () => {
      using from = new Udp();
      await using ring = Ring.open(options);
      await ring.cmd(timestamping(from.fd, REPORT | TX));
      const controller = new AbortController();
      const { signal } = controller;
      const stream = ring.stream(s.txTimestamps(from.fd), { signal });
      await from.socket.send(pattern(1), from.addr);
      await take(stream, 2);
      const next = stream.next();
      const reason = new Error("that was enough");
      controller.abort(reason);
      assertEquals(await assertRejects(() => next), reason);
      assertEquals(ring.stats().inFlight, 0);
      assertEquals((await stream.next()).done, true);
    },
  );
}

kernelTest(
  "a stream also has the times of packets sent before it began",
  [TX_TIMESTAMP],
  async () => {
    using from = new Udp();
    await using ring = Ring.open({ cqe32: true });
    await ring.cmd(timestamping(from.fd, REPORT | TX));
    for (let i = 0; i < 3; i++) await from.socket.send(pattern(1), from.addr);
    const [file] = ring.registerFiles([from.fd]);
    const stream = ring.stream(s.txTimestamps(file));
    const keys = (await take(stream, 6)).map(({ key }) => key);
    assertEquals(keys, [0, 0, 1, 1, 2, 2]);
    await stream.return!();
  },
);

kernelTest(
  "a stream of timestamps outlives its socket until the ring is closed",
  [TX_TIMESTAMP],
  async () => {
    const ring = Ring.open({ cqe32: true });
    const from = new Udp();
    await ring.cmd(timestamping(from.fd, REPORT | TX));
    const stream = ring.stream(s.txTimestamps(from.fd));
    await from.socket.send(pattern(1), from.addr);
    assertEquals((await take(stream, 2)).length, 2);
    from.socket.close();
    const next = assertRejects(() => stream.next(), DOMException, "closed");
    await ring.close();
    await next;
  },
);

kernelTest(
  "a full ring holds timestamps back until the next packet, or ends the stream",
  [TX_TIMESTAMP],
  async () => {
    using from = new Udp();
    await using ring = Ring.open({ cqe32: true, entries: 1, cqEntries: 8 });
    await ring.cmd(timestamping(from.fd, REPORT | TX));
    let stream = ring.stream(s.txTimestamps(from.fd));
    await ring.cmd(nop()); // By now the stream has started.
    const count = 20;
    const { fd } = from;
    const to = encodeSockaddr(from.addr);
    const { bytes, at } = scratch();
    bytes.set(to);
    assertEquals(syscall("connect", fd, at, to.length), 0);
    for (let i = 0; i < count; i++) assertEquals(writeSync(fd, "x"), 1);
    const keys: number[] = [];
    for (let last = 0; last < count - 1;) {
      try {
        for await (const { key, type } of stream) {
          if (type === "sent") keys.push(key);
          last = key;
          if (last >= count - 1) break;
          // Another packet, so that a kernel that says nothing goes on.
          assertEquals(writeSync(fd, "x"), 1);
        }
      } catch (error) {
        const full = error instanceof UringError && error.code === "ENOBUFS";
        assert(full, `${error}`);
        assertStringIncludes(error.message, "cqEntries");
        stream = ring.stream(s.txTimestamps(fd));
      }
    }
    // Nothing was lost.
    assertEquals(keys, keys.map((_, i) => i));
    assertEquals(ring.stats().inFlight, 0);
  },
);

kernelTest(
  "timestamps that carry their packet are passed over by the kernel",
  [TX_TIMESTAMP],
  async () => {
    using from = new Udp();
    await using ring = Ring.open({ cqe32: true });
    const withPayload = REPORT & ~s.SOF_TIMESTAMPING_OPT_TSONLY | TX;
    await ring.cmd(timestamping(from.fd, withPayload));
    const stream = ring.stream(s.txTimestamps(from.fd));
    await from.socket.send(pattern(1), from.addr);
    await from.socket.send(pattern(1), from.addr);
    await ring.cmd(timestamping(from.fd, REPORT | TX));
    await from.socket.send(pattern(1), from.addr);
    const keys = (await take(stream, 2)).map(({ key }) => key);
    assertEquals(keys, [2, 2]);
    await stream.return!();
  },
);

kernelTest(
  "before Linux 6.17 a stream of timestamps ends with EOPNOTSUPP",
  ["a kernel before 6.17"],
  async () => {
    using udp = new Udp();
    await using ring = Ring.open({ cqe32: true });
    const stream = ring.stream(s.txTimestamps(udp.fd));
    await assertRefused(
      stream.next(),
      "EOPNOTSUPP",
      "the kernel is older than 6.17",
    );
  },
);

kernelTest(
  "timestamps of a file that is no socket end with EOPNOTSUPP",
  ["io_uring"],
  async () => {
    using ends = pipe();
    await using ring = Ring.open({ cqe32: true });
    await assertRefused(
      ring.stream(s.txTimestamps(ends.left)).next(),
      "EOPNOTSUPP",
      "The file is not a socket",
    );
  },
);

kernelTest(
  "timestamps on a ring without CQEs of 32 bytes are refused before they are queued",
  ["io_uring"],
  async () => {
    await using ring = Ring.open();
    assertThrows(
      () => ring.stream(s.txTimestamps(5)),
      RangeError,
      "Ring.open({ cqe32: true })",
    );
    await using wide = Ring.open({ cqe32: true });
    await assertRejects(
      () => wide.cmd(s.txTimestamps(5)),
      TypeError,
      "run it with ring.stream()",
    );
    assertThrows(
      () => wide.stream(s.siocinq(5)),
      TypeError,
      "run it with ring.cmd()",
    );
    assertEquals(ring.stats().submitted + wide.stats().submitted, 0);
  },
);

// ---- What is refused before it is queued ------------------------------------

/** A value that the types forbid, as JavaScript has it. */
const wrong = <T>(value: unknown) => value as T;

kernelTest(
  "a wrong descriptor, level, option, length or value is never queued",
  ["io_uring"],
  async () => {
    await using ring = Ring.open();
    await using other = Ring.open();
    using ends = pipe();
    const [foreign] = other.registerFiles([ends.left]);
    const get = { level: SOL_SOCKET, optname: s.SO_TYPE, length: 4 };
    const set = { level: SOL_SOCKET, optname: s.SO_PRIORITY, value: 0 };
    const numbers = [NaN, Infinity, -Infinity, -1, 0.5, 2 ** 32];
    const others = ["1", "", null, {}, [], true, 1n, () => 1];

    const expect = async (error: new () => Error, run: () => unknown) => {
      await assertRejects(async () => await run(), error, undefined, `${run}`);
    };
    const files = [
      s.siocinq,
      s.siocoutq,
      (file: FileRef) => s.getsockopt(file, get),
      (file: FileRef) => s.setsockopt(file, set),
      s.getsockname,
      s.getpeername,
    ];
    for (const make of files) {
      for (const fd of [...numbers, 2 ** 31]) {
        await expect(RangeError, () => ring.cmd<unknown>(make(fd)));
      }
      for (const fd of [...others, foreign, new FixedFile(0)]) {
        await expect(TypeError, () => ring.cmd<unknown>(make(wrong(fd))));
      }
    }
    for (const value of [...numbers, 65537]) {
      const length = value;
      await expect(RangeError, () => s.getsockopt(5, { ...get, length }));
      await expect(RangeError, () => s.getsockoptSync(5, { ...get, length }));
    }
    for (const value of numbers) {
      for (const [key] of [["level"], ["optname"]]) {
        const bad = { [key]: value };
        await expect(RangeError, () => s.getsockopt(5, { ...get, ...bad }));
        await expect(RangeError, () => s.getsockoptSync(5, { ...get, ...bad }));
        await expect(RangeError, () => s.setsockopt(5, { ...set, ...bad }));
      }
    }
    for (const value of [NaN, Infinity, 0.5, 2 ** 32, -(2 ** 31) - 1]) {
      await expect(RangeError, () => s.setsockopt(5, { ...set, value }));
    }
    for (const fd of [...numbers, 2 ** 31]) {
      await expect(RangeError, () => s.getsockoptSync(fd, get));
    }
    for (const value of [...others, undefined]) {
      for (const key of ["level", "optname", "length"]) {
        if (key === "length" && value === undefined) continue; // An `int`.
        const bad = { ...get, [key]: wrong<number>(value) };
        await expect(TypeError, () => s.getsockopt(5, bad));
        await expect(TypeError, () => s.getsockoptSync(5, bad));
      }
      const bad = { ...set, value: wrong<number>(value) };
      await expect(TypeError, () => s.setsockopt(5, bad));
    }
    const views = [new ArrayBuffer(4), new DataView(new ArrayBuffer(4))];
    for (const view of [...views, new Uint32Array(1), new Int8Array(4)]) {
      const value = wrong<Uint8Array>(view);
      await expect(TypeError, () => s.setsockopt(5, { ...set, value }));
    }
    await expect(TypeError, () => s.getsockopt(5, wrong(undefined)));
    await expect(TypeError, () => s.setsockopt(5, wrong(undefined)));
    assertEquals(ring.stats().submitted, 0);
  },
);

// ---- Numbers, and facts of a connection ----------------------------------------------

kernelTest(
  "an option of an int is a number, both ways",
  ["socket GETSOCKOPT", "socket SETSOCKOPT"],
  async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using conn = await Deno.connect({ port: listener.addr.port });
    using _peer = await listener.accept();
    await using ring = Ring.open();
    const fd = s.socketFd(conn);
    const priority = { level: SOL_SOCKET, optname: s.SO_PRIORITY };
    await ring.cmd(s.setsockopt(fd, { ...priority, value: 5 }));
    const number: number = await ring.cmd(s.getsockopt(fd, priority));
    assertEquals([number, s.getsockoptSync(fd, priority)], [5, 5]);
    const bytes = await ring.cmd(s.getsockopt(fd, { ...priority, length: 4 }));
    assertEquals(bytes, Uint8Array.of(5, 0, 0, 0));
    const tos = { level: s.IPPROTO_IP, optname: s.IP_TOS };
    await ring.cmd(s.setsockopt(fd, { ...tos, value: 0x10 }));
    assertEquals(s.getsockoptSync(fd, tos), 0x10);
    // A negative number, and one of fewer bytes.
    const peek = { level: SOL_SOCKET, optname: 42 }; // SO_PEEK_OFF
    assertEquals(s.getsockoptSync(fd, peek), -1);
  },
);

Deno.test("the facts of a TCP connection are those of the kernel", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using conn = await Deno.connect({ port: listener.addr.port });
  using peer = await listener.accept();
  await conn.write(new Uint8Array(5000));
  let read = 0;
  while (read < 5000) read += (await peer.read(new Uint8Array(5000)))!;
  await until(() => s.tcpInfoSync(s.socketFd(conn)).bytesAcknowledged >= 5000);
  const sent = s.tcpInfoSync(s.socketFd(conn));
  const got = s.tcpInfoSync(s.socketFd(peer));
  assertEquals([sent.state, got.state], ["ESTABLISHED", "ESTABLISHED"]);
  // The SYN counts as one more.
  assertEquals([sent.bytesSent, sent.bytesAcknowledged], [5000, 5001]);
  assertEquals([got.bytesReceived, sent.bytesUnsent], [5000, 0]);
  assertEquals([sent.retransmitted, sent.lost, sent.unacknowledged], [0, 0, 0]);
  assertGreater(sent.roundTrip, 0);
  assertGreater(sent.sendWindow, 0);
  const { state } = s.tcpInfoSync(s.socketFd(listener));
  assertEquals(state, "LISTEN");
  using pair = unixPair();
  const error = assertThrows(() => s.tcpInfoSync(pair.left), UringError);
  assertEquals(error.code, "EOPNOTSUPP");
});

// ---- A program --------------------------------------------------------------

kernelTest(
  "a script of twenty lines awaits 10,000 commands, and exits by itself",
  [INQ],
  async () => {
    const script = `
      import { Ring } from "@uring/mod.ts";
      import { siocinq, socketFd } from "@uring/cmd/socket/mod.ts";

      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      const peer = await listener.accept();
      await peer.write(new Uint8Array(1234));
      const fd = socketFd(conn);

      const ring = Ring.open();
      while (await ring.cmd(siocinq(fd)) < 1234);
      let left = 10_000;
      let sum = 0;
      const work = async () => {
        while (left-- > 0) {
          const unread = await ring.cmd(siocinq(fd));
          sum += unread;
        }
      };
      await Promise.all(Array.from({ length: 128 }, work));
      console.log(sum);
      for (const each of [conn, peer, listener, ring]) each.close();
    `;
    const flags = ["--allow-ffi", "--allow-net"];
    const { code, stdout, stderr } = await runScript(script, flags);
    assertEquals([code, stdout, stderr], [0, "12340000\n", ""]);
  },
);
