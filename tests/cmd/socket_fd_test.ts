/** The descriptors of sockets of Deno and Node, on the real kernel. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { spy } from "@std/testing/mock";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import * as net from "node:net";
import * as dgram from "node:dgram";
import { Ring } from "../../mod.ts";
import {
  setsockopt,
  siocinq,
  SO_COOKIE,
  SO_LINGER,
  SO_PRIORITY,
  SO_TYPE,
  socketFd,
  socketFds,
  type SocketLike,
  SOL_SOCKET,
} from "../../cmd/socket/mod.ts";
import { decodeSockaddr } from "../../cmd/sockaddr.ts";
import { E } from "../../sys/uapi/errno.ts";
import { close } from "../../sys/file.ts";
import { libc, syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { SIOCINQ, SOCK_DGRAM, SOCK_STREAM } from "../../sys/uapi/socket.ts";
import { socketName, socketOption } from "../../sys/socket_calls.ts";
import { Fd, ioctl, unixPair } from "../kit/fds.ts";
import { lacksAddress, lacksCommand, testUnless } from "../kit/skip.ts";
import { until } from "../kit/wait.ts";

const { EMFILE } = E;

const IPV4 = "127.0.0.1";
const IPV6 = "::1";

const noIpv6 = lacksAddress(IPV6);

const ends = (fd: number) =>
  (["getsockname", "getpeername"] as const).map((call) => {
    const name = socketName(fd, call);
    return typeof name === "number" ? null : decodeSockaddr(name);
  });

const number = (fd: number, optname: number) =>
  (socketOption(fd, SOL_SOCKET, optname, 4) as Uint8Array)[0];

/** Returns the number that the kernel gives to this socket alone. */
const cookie = (fd: number) =>
  String(socketOption(fd, SOL_SOCKET, SO_COOKIE, 8));

const endpoint = ({ hostname, port }: Deno.NetAddr) => ({ hostname, port });

/** Returns the bytes to read in a socket, by plain ioctl(2). */
const unread = (fd: number) => ioctl(fd, SIOCINQ);

/** A path without a file, in a folder that is removed afterwards. */
class Path implements Disposable {
  readonly path: string = `${Deno.makeTempDirSync()}/socket`;

  [Symbol.dispose](): void {
    const folder = this.path.replace(/\/socket$/, "");
    Deno.removeSync(folder, { recursive: true });
  }
}

/** A connection that Deno made to `listener`. */
async function connect(
  listener: Deno.TcpListener,
  hostname = endpoint(listener.addr).hostname,
): Promise<[client: Deno.TcpConn, server: Deno.TcpConn]> {
  const { port } = listener.addr;
  return await Promise.all([
    Deno.connect({ hostname, port }),
    listener.accept(),
  ]);
}

/** A socket of Node's that is connected to `server`, and its other end. */
async function connectNode(
  server: net.Server,
  hostname: string,
): Promise<[client: net.Socket, server: net.Socket]> {
  const { port } = server.address() as net.AddressInfo;
  const client = net.connect(port, hostname);
  const [[accepted]] = await Promise.all([
    once(server, "connection"),
    once(client, "connect"),
  ]);
  return [client, accepted];
}

async function listenNode(hostname: string): Promise<net.Server> {
  const server = net.createServer();
  server.listen(0, hostname);
  await once(server, "listening");
  return server;
}

for (const hostname of [IPV4, IPV6, "localhost"]) {
  testUnless(
    lacksAddress(hostname),
    `both ends of a Deno.TcpConn to ${hostname} are found`,
    async () => {
      using listener = Deno.listen({ hostname, port: 0 });
      const [client, server] = await connect(listener, hostname);
      using _client = client;
      using _server = server;
      const fds = [client, server, listener].map((each) => socketFd(each));
      assertEquals(new Set(fds).size, 3);
      const [clientFd, serverFd, listenerFd] = fds;
      const { localAddr, remoteAddr } = client;
      const both = [endpoint(localAddr), endpoint(remoteAddr)];
      assertEquals(ends(clientFd), both);
      assertEquals(ends(serverFd), both.toReversed());
      assertEquals(ends(listenerFd), [endpoint(listener.addr), null]);
      // It is this connection: what is written to one end waits in the other.
      await client.write(new Uint8Array(5));
      await until(() => unread(serverFd) === 5);
      await server.write(new Uint8Array(7));
      await until(() => unread(clientFd) === 7);
    },
  );
}

Deno.test("many connections between the same hosts are told apart", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  using stack = new DisposableStack();
  const found: number[] = [];
  for (let i = 1; i <= 20; i++) {
    const [client, server] = await connect(listener);
    stack.use(client);
    stack.use(server);
    await client.write(new Uint8Array(i));
    const fd = socketFd(server);
    await until(() => unread(fd) === i);
    found.push(fd, socketFd(client));
  }
  assertEquals(new Set(found).size, 40);
});

/** Counts how often the descriptors of this process are listed. */
function countLists() {
  const { symbols, nr } = libc();
  const calls = spy(symbols, "call");
  return {
    /** Returns the lists since the last time, and the calls in all. */
    take() {
      const made = calls.calls.splice(0);
      const lists = made.filter(({ args }) => args[0] === nr.openat).length;
      return { lists, calls: made.length };
    },
    [Symbol.dispose]: () => calls.restore(),
  };
}

Deno.test("one list of the descriptors finds all connections, and later ones a new list", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  using stack = new DisposableStack();
  const pairs = await Array.fromAsync(Array(50), () => connect(listener));
  const conns = pairs.flat();
  for (const conn of conns) stack.use(conn);
  using count = countLists();
  const fds = conns.map((conn) => socketFd(conn));
  assertEquals(new Set(fds).size, 100);
  assertEquals(count.take().lists, 1);
  // What was found before takes one call: is it still that socket?
  assertEquals(conns.map((conn) => socketFd(conn)), fds);
  assertEquals(count.take(), { lists: 0, calls: 100 });
  // Other objects with the same addresses.
  const addresses = conns.map(({ localAddr, remoteAddr }) => ({
    ...{ localAddr, remoteAddr },
  }));
  assertEquals(addresses.map((each) => socketFd(each)), fds);
  assertEquals(count.take().lists, 0);
  assertEquals(socketFds(conns), fds);
  assertEquals(count.take().lists, 1);
  assertEquals(socketFds([]), []);
  // A connection that came later, and one whose descriptor another has now.
  const [client, server] = await connect(listener);
  stack.use(client);
  stack.use(server);
  count.take();
  const later = socketFd(client);
  assertEquals(fds.includes(later), false);
  assertEquals(count.take().lists, 1);
  conns[0].close();
  conns[1].close();
  const again = await connect(listener);
  for (const conn of again) stack.use(conn);
  const [reused] = again.map((conn) => socketFd(conn));
  assertEquals([...fds.slice(2), later].includes(reused), false);
  assertThrows(() => socketFd(conns[0]), Error, "no open socket is");
  assertThrows(() => socketFds(conns), Error, "no open socket is");
});

Deno.test("an object that was found is looked up anew when its addresses change", () => {
  using one = Deno.listen({ hostname: IPV4, port: 0 });
  using two = Deno.listen({ hostname: IPV4, port: 0 });
  const like = { addr: one.addr };
  assertEquals(socketFd(like), socketFd(one));
  like.addr = two.addr;
  assertEquals(socketFd(like), socketFd(two));
});

Deno.test("socketFds takes a list of sockets, and nothing else", () => {
  const wrong = (value: unknown) => () => socketFds(value as []);
  assertThrows(wrong(5), TypeError, "conns must be");
  assertThrows(wrong([5]), TypeError, "conn must be an object");
});

testUnless(
  noIpv6,
  "an IPv4 connection to an IPv6 socket is found at both ends",
  async () => {
    using listener = Deno.listen({ hostname: "::", port: 0 });
    for (const hostname of [IPV4, "::ffff:127.0.0.1", IPV6]) {
      const [client, server] = await connect(listener, hostname);
      using _client = client;
      using _server = server;
      const [clientFd, serverFd] = [socketFd(client), socketFd(server)];
      assertNotEquals(clientFd, serverFd);
      await client.write(new Uint8Array(5));
      await until(() => unread(serverFd) === 5);
      assertEquals(unread(clientFd), 0);
    }
    assertEquals(number(socketFd(listener), SO_TYPE), SOCK_STREAM);
  },
);

testUnless(
  noIpv6,
  "IPv4 and IPv6 forms of one address find the same socket",
  async () => {
    // No two bytes are alike, so that each has to be in its place.
    const address = "127.1.2.3";
    using both = Deno.listen({ hostname: "::", port: 0 });
    using plain = Deno.listen({ hostname: address, port: 0 });
    for (const listener of [both, plain]) {
      const [client, server] = await connect(listener, address);
      using _client = client;
      using _server = server;
      const localPort = listener.addr.port;
      const remotePort = client.localAddr.port;
      const [local] = ends(socketFd(server));
      const hostname = listener === both ? "::ffff:7f01:203" : address;
      assertEquals(local, { hostname, port: localPort });
      for (const prefix of ["", "::ffff:"]) {
        const fd = socketFd({
          localAddress: prefix + address,
          localPort,
          remoteAddress: `${prefix}127.0.0.1`,
          remotePort,
        });
        assertEquals(fd, socketFd(server));
      }
    }
  },
);

Deno.test("listeners are found, also one for all addresses", () => {
  for (const hostname of [IPV4, "0.0.0.0", "localhost"]) {
    using listener = Deno.listen({ hostname, port: 0 });
    const [own] = ends(socketFd(listener));
    assertEquals(own, endpoint(listener.addr));
  }
});

Deno.test("the listener of Deno.serve is found", async () => {
  const onListen = () => {};
  const server = Deno.serve(
    { hostname: IPV4, port: 0, onListen },
    () => new Response(),
  );
  assertEquals(ends(socketFd(server))[0], endpoint(server.addr));
  await server.shutdown();
});

Deno.test("a UDP socket is found, and not taken for a TCP one of its port", async () => {
  const [udp, tcp] = listenTwice();
  const addr = udp.addr as Deno.NetAddr;
  // The socket of a connection has the address of the listener.
  const [client, server] = await connect(tcp);
  using _client = client;
  using _server = server;
  assertEquals(number(socketFd(udp), SO_TYPE), SOCK_DGRAM);
  assertEquals(number(socketFd(tcp), SO_TYPE), SOCK_STREAM);
  assertEquals(ends(socketFd(udp)), [endpoint(addr), null]);
  assertEquals(ends(socketFd(tcp)), [endpoint(addr), null]);
  udp.close();
  tcp.close();
});

/** A UDP and a TCP socket of one address. */
function listenTwice(): [Deno.DatagramConn, Deno.TcpListener] {
  for (let tries = 10;; tries--) {
    const transport = "udp";
    const udp = Deno.listenDatagram({ transport, hostname: IPV4, port: 0 });
    const { port } = udp.addr as Deno.NetAddr;
    try {
      // The ports of TCP are others: this one is likely to be free.
      return [udp, Deno.listen({ hostname: IPV4, port })];
    } catch (error) {
      udp.close();
      if (tries === 0) throw error;
    }
  }
}

Deno.test("both ends of a Deno.UnixConn are found, and its listener", async () => {
  using place = new Path();
  const abstract = `\0${place.path}`;
  for (const path of [place.path, abstract]) {
    using listener = Deno.listen({ transport: "unix", path });
    using client = await Deno.connect({ transport: "unix", path });
    using server = await listener.accept();
    const fds = [client, server, listener].map((each) => socketFd(each));
    assertEquals(new Set(fds).size, 3);
    const unnamed = { path: null };
    assertEquals(ends(fds[0]), [unnamed, { path }]);
    assertEquals(ends(fds[1]), [{ path }, unnamed]);
    assertEquals(ends(fds[2]), [{ path }, null]);
    await client.write(new Uint8Array(5));
    await until(() => unread(fds[1]) === 5);
  }
});

Deno.test("a Unix datagram socket is found", () => {
  using place = new Path();
  const { path } = place;
  const socket = Deno.listenDatagram({ transport: "unixpacket", path });
  const fd = socketFd(socket);
  assertEquals(ends(fd), [{ path }, null]);
  assertEquals(number(fd, SO_TYPE), SOCK_DGRAM);
  socket.close();
  assertThrows(() => socketFd(socket), Error, "no open socket is unix");
});

Deno.test("a Deno.TlsConn is found by the connection under it", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const { port } = listener.addr;
  // The peer never answers the handshake, which begins only when needed.
  using conn = await Deno.connectTls({ hostname: IPV4, port });
  using peer = await listener.accept();
  const { localAddr, remoteAddr } = conn;
  const both = [endpoint(localAddr), endpoint(remoteAddr)];
  assertEquals(ends(socketFd(conn)), both);
  assertEquals(ends(socketFd(peer)), both.toReversed());
});

for (const hostname of [IPV4, IPV6]) {
  testUnless(
    lacksAddress(hostname),
    `both ends of a node:net socket to ${hostname} are found`,
    async () => {
      const listener = await listenNode(hostname);
      const [client, server] = await connectNode(listener, hostname);
      const [clientFd, serverFd] = [socketFd(client), socketFd(server)];
      assertNotEquals(clientFd, serverFd);
      const { localPort, remotePort } = client;
      const both = [
        { hostname, port: localPort! },
        { hostname, port: remotePort! },
      ];
      assertEquals(ends(clientFd), both);
      assertEquals(ends(serverFd), both.toReversed());
      client.destroy();
      server.destroy();
      listener.close();
      await once(listener, "close");
    },
  );
}

testUnless(
  noIpv6,
  "an IPv4 connection to an IPv6 server of node:net is found",
  async () => {
    const listener = await listenNode("::");
    for (const hostname of [IPV4, "::ffff:127.0.0.1"]) {
      const [client, server] = await connectNode(listener, hostname);
      assertEquals(server.remoteAddress, "::ffff:127.0.0.1");
      assertNotEquals(socketFd(client), socketFd(server));
      client.destroy();
      server.destroy();
    }
    listener.close();
    await once(listener, "close");
  },
);

Deno.test("the connection of a request to node:http is found", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createHttpServer((request, response) => {
    resolve(socketFd(request.socket));
    response.end();
  });
  server.listen(0, IPV4);
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  await (await fetch(`http://${IPV4}:${port}`)).text();
  assert(await promise >= 0);
  server.close();
});

Deno.test("a server of node:net and a node:dgram socket are found by their addresses", async () => {
  const listener = await listenNode(IPV4);
  const { port } = listener.address() as net.AddressInfo;
  const addr = { transport: "tcp", hostname: IPV4, port } as const;
  assertEquals(ends(socketFd({ addr })), [{ hostname: IPV4, port }, null]);
  listener.close();
  await once(listener, "close");
  const socket = dgram.createSocket("udp4");
  socket.bind(0, IPV4);
  await once(socket, "listening");
  const own = { hostname: IPV4, port: socket.address().port };
  const udp = { transport: "udp", ...own } as const;
  assertEquals(ends(socketFd({ addr: udp })), [own, null]);
  socket.close();
});

testUnless(
  lacksCommand("socket SETSOCKOPT"),
  "commands run on the descriptors that were found",
  async () => {
    await using ring = Ring.open();
    using listener = Deno.listen({ hostname: IPV4, port: 0 });
    const [client, server] = await connect(listener);
    using _client = client;
    using _server = server;
    await client.write(new Uint8Array(9));
    await until(() => unread(socketFd(server)) === 9);
    assertEquals(await ring.cmd(siocinq(socketFd(server))), 9);

    const node = await listenNode(IPV4);
    const [left, right] = await connectNode(node, IPV4);
    right.pause();
    const level = SOL_SOCKET;
    const optname = SO_PRIORITY;
    for (const each of [left, right, client, server]) {
      const fd = socketFd(each);
      await ring.cmd(setsockopt(fd, { level, optname, value: 4 }));
      assertEquals(number(fd, SO_PRIORITY), 4);
    }
    left.destroy();
    right.destroy();
    node.close();
    await once(node, "close");
  },
);

Deno.test("several connections to one Unix path cannot be told apart", async () => {
  using place = new Path();
  const { path } = place;
  using listener = Deno.listen({ transport: "unix", path });
  using stack = new DisposableStack();
  const conns: [Deno.UnixConn[], Deno.UnixConn[]] = [[], []];
  const fds: number[][] = [[], []];
  for (let i = 0; i < 3; i++) {
    const before = descriptors();
    const client = stack.use(await Deno.connect({ transport: "unix", path }));
    const middle = descriptors();
    const server = stack.use(await listener.accept());
    const after = descriptors();
    conns[0].push(client);
    conns[1].push(server);
    fds[0].push(...middle.difference(before));
    fds[1].push(...after.difference(middle));
  }
  const name = `unix ${JSON.stringify(path)}`;
  const unnamed = "an unnamed Unix socket";
  for (
    const [i, text] of [`${unnamed} to ${name}`, `${name} to ${unnamed}`]
      .entries()
  ) {
    assertEquals(fds[i].length, 3);
    for (const conn of conns[i]) {
      const { message } = assertThrows(() => socketFd(conn), Error);
      const list = fds[i].toSorted((a, b) => a - b).join(", ");
      assertStringIncludes(message, `the sockets ${list} are all ${text}`);
      assertStringIncludes(message, "./op");
    }
  }
  // The listener is not one of them.
  assertEquals(ends(socketFd(listener)), [{ path }, null]);
  // When only one is left, it is that one.
  for (const conn of conns[0].slice(1)) conn.close();
  assertEquals(socketFd(conns[0][0]), fds[0][0]);
  assertThrows(() => socketFd(conns[1][0]), Error, "are all");
});

/** The descriptors of this process. */
function descriptors(): Set<number> {
  const entries = [...Deno.readDirSync("/proc/self/fd")];
  const open = entries.map(({ name }) => Number(name));
  // Reading the folder needs a descriptor too, which by now is closed.
  const isOpen = (fd: number) => syscall("fcntl", fd, 3) >= 0; // F_GETFL
  return new Set(open.filter(isOpen));
}

Deno.test("listeners that share a port cannot be told apart", () => {
  const hostname = IPV4;
  using one = Deno.listen({ hostname, port: 0, reusePort: true });
  const { port } = one.addr;
  {
    using two = Deno.listen({ hostname, port, reusePort: true });
    for (const listener of [one, two]) {
      assertThrows(
        () => socketFd(listener),
        Error,
        `are all 127.0.0.1 port ${port}, and nothing tells them apart`,
      );
    }
  }
  assertEquals(ends(socketFd(one)), [{ hostname, port }, null]);
});

Deno.test("the descriptor is the one that Deno keeps under a symbol of its own", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const [client, server] = await connect(listener);
  using _client = client;
  using _server = server;
  for (const conn of [client, server]) {
    const symbol = Object.getOwnPropertySymbols(conn)
      .find(({ description }) => description === "Deno.internal.fd");
    const told = symbol && Object.getOwnPropertyDescriptor(conn, symbol)?.value;
    if (typeof told === "number") assertEquals(socketFd(conn), told);
  }
});

Deno.test("a duplicated descriptor is the same socket", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const [client, server] = await connect(listener);
  using _client = client;
  using _server = server;
  const fd = socketFd(client);
  const F_DUPFD = 0;
  using copy = new Fd(syscall("fcntl", fd, F_DUPFD, 500));
  assertEquals(socketFd(client), fd);
  assertEquals(cookie(copy.fd), cookie(fd));
  using place = new Path();
  const { path } = place;
  using unix = Deno.listen({ transport: "unix", path });
  const unixFd = socketFd(unix);
  using unixCopy = new Fd(syscall("fcntl", unixFd, F_DUPFD, 500));
  assertEquals(socketFd(unix), unixFd);
  assertNotEquals(unixCopy.fd, unixFd);
});

Deno.test("a closed socket is an error that says so", async () => {
  const listener = Deno.listen({ hostname: IPV4, port: 0 });
  const [client, server] = await connect(listener);
  const { port } = client.localAddr;
  const remote = client.remoteAddr.port;
  client.close();
  assertEquals(
    assertThrows(() => socketFd(client), Error).message,
    `no open socket is ${IPV4} port ${port} to ${IPV4} port ${remote}. ` +
      "It was closed, or its peer reset it",
  );
  // Its other end is open still.
  assert(socketFd(server) >= 0);
  server.close();
  assertThrows(() => socketFd(server), Error, "It was closed");
  listener.close();
  assertThrows(() => socketFd(listener), Error, "It was closed");

  const node = await listenNode(IPV4);
  const [left, right] = await connectNode(node, IPV4);
  const { localAddress, localPort, remoteAddress, remotePort } = left;
  const looks = { localAddress, localPort, remoteAddress, remotePort };
  assert(socketFd(looks) >= 0);
  left.destroy();
  right.destroy();
  await Promise.all([once(left, "close"), once(right, "close")]);
  assertThrows(() => socketFd(left), TypeError, "it is not connected");
  assertThrows(() => socketFd(looks), Error, "It was closed");
  node.close();
  await once(node, "close");
});

Deno.test("a connection that its peer reset is an error that says so", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const [client, server] = await connect(listener);
  using _client = client;
  const fd = socketFd(client);
  // A linger of no time at all: closing resets.
  const { bytes, at } = scratch();
  bytes.set([1, 0, 0, 0, 0, 0, 0, 0]);
  const serverFd = socketFd(server);
  const rc = syscall("setsockopt", serverFd, SOL_SOCKET, SO_LINGER, at, 8);
  assertEquals(rc, 0);
  server.close();
  await until(() => ends(fd)[1] === null);
  // It was found before, and is still that socket.
  assertEquals(socketFd(client), fd);
  const { localAddr, remoteAddr } = client;
  const other = { localAddr, remoteAddr };
  assertThrows(() => socketFd(other), Error, "its peer reset it");
});

Deno.test("a socket is found among thousands of descriptors", () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const fds: number[] = [];
  // More entries than one getdents64() of /proc/self/fd returns.
  while (fds.length < 4000) {
    const fd = syscall("eventfd2", 0, 0);
    if (fd < 0) {
      assertEquals(fd, -EMFILE);
      for (const spare of fds.splice(-20)) close(spare);
      break;
    }
    fds.push(fd);
  }
  using last = Deno.listen({ hostname: IPV4, port: 0 });
  assertEquals(ends(socketFd(last))[0], endpoint(last.addr));
  assertEquals(ends(socketFd(listener))[0], endpoint(listener.addr));
  for (const fd of fds) close(fd);
});

Deno.test("looking for a descriptor leaves none open", async () => {
  using listener = Deno.listen({ hostname: IPV4, port: 0 });
  const before = descriptors();
  for (let i = 0; i < 100; i++) socketFd(listener);
  const addr = { transport: "tcp", hostname: "192.0.2.1", port: 1 } as const;
  assertThrows(() => socketFd({ addr }), Error, "no open socket");
  await until(() => descriptors().difference(before).size === 0);
});

Deno.test("unnamed sockets of others are not taken for an end of a Deno.UnixConn", async () => {
  using place = new Path();
  const { path } = place;
  using _pair = unixPair();
  using listener = Deno.listen({ transport: "unix", path });
  using client = await Deno.connect({ transport: "unix", path });
  using server = await listener.accept();
  assertEquals(ends(socketFd(client)), [{ path: null }, { path }]);
  assertEquals(ends(socketFd(server)), [{ path }, { path: null }]);
});

Deno.test("an object without addresses of a socket is refused with a TypeError", () => {
  const wrong = (value: unknown) => value as SocketLike;
  const tcp = { transport: "tcp", hostname: IPV4, port: 1 };
  for (
    const [value, message] of [
      [undefined, "conn must be an object, not undefined"],
      [null, "conn must be an object, not null"],
      [0, "conn must be an object, not 0"],
      ["127.0.0.1:80", 'conn must be an object, not "127.0.0.1:80"'],
      [Symbol("x"), "conn must be an object, not Symbol(x)"],
      [() => 1, "conn must be an object, not a function"],
      [{}, "the object has no addresses"],
      [[], "the object has no addresses"],
      [new Date(), "the object has no addresses"],
      [net.createServer(), "For a node:net server"],
      [new net.Socket(), "it is not connected"],
      [{ localAddress: IPV4 }, "the object has no addresses"],
      [{ addr: null }, "must be an object, not null"],
      [{ addr: "127.0.0.1" }, 'addr must be an object, not "127.0.0.1"'],
      [{ addr: {} }, "addr.transport must be one of tcp, udp"],
      [{ addr: { ...tcp, hostname: "localhost" } }, "IP address in numbers"],
      [{ addr: { ...tcp, hostname: undefined } }, "hostname must be a string"],
      [{ addr: { ...tcp, port: "1" } }, "port must be a number"],
      [
        { addr: { transport: "vsock", cid: 1, port: 1 } },
        'unix, unixpacket, not "vsock"',
      ],
      [{ localAddr: tcp }, "must be an object, not undefined"],
      [{ localAddr: null, remoteAddr: tcp }, "must be an object, not null"],
      [{ localAddress: "x", remoteAddress: "y" }, "IP address in numbers"],
      [{ localAddress: 1, remoteAddress: 2 }, "hostname must be a string"],
    ] as const
  ) {
    assertThrows(() => socketFd(wrong(value)), TypeError, message);
  }
  const addr = { ...tcp, port: 65536 };
  assertThrows(() => socketFd(wrong({ addr })), RangeError, "port must be");
});

Deno.test("a port that an object leaves out is 0", () => {
  const unbound = { localAddress: IPV4, remoteAddress: IPV4 };
  const text = `${IPV4} port 0 to ${IPV4} port 0`;
  assertThrows(() => socketFd(unbound), Error, text);
});

Deno.test("a message has an address in the form of the kernel", () => {
  const text = (addr: Deno.Addr) =>
    assertThrows(() => socketFd({ addr }), Error).message;
  const hostname = "2001:DB8:0:0::1";
  const ipv6 = { transport: "tcp", hostname, port: 7 } as const;
  assertStringIncludes(text(ipv6), "is 2001:db8::1 port 7.");
  const scoped = { ...ipv6, hostname: "fe80::1%eth0" };
  assertStringIncludes(text(scoped), "is fe80::1 port 7.");
  const unix = { transport: "unix", path: "\0none" } as const;
  assertMatch(text(unix), /is unix "\\u0000none"\./);
});
