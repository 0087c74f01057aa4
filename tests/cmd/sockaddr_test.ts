import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import {
  decodeSockaddr,
  encodeSockaddr,
  type SocketAddress,
} from "../../cmd/sockaddr.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCK_DGRAM,
} from "../../sys/uapi/socket.ts";
import { socketName } from "../../sys/socket_calls.ts";
import { utf8 } from "../kit/bytes.ts";
import { Fd } from "../kit/fds.ts";
import { lacksAddress, testUnless } from "../kit/skip.ts";

/** Passes a value that the types forbid. */
const wrong = (value: unknown) => value as SocketAddress;

/** Addresses, and the bytes that <linux/in.h>, in6.h and un.h make of them. */
const GOLDEN: [name: string, address: SocketAddress, bytes: number[]][] = [
  [
    "an IPv4 address",
    { hostname: "192.0.2.1", port: 8080 },
    [
      ...[2, 0], // sin_family: AF_INET, in the order of the machine
      ...[0x1f, 0x90], // sin_port, in the order of the network
      ...[192, 0, 2, 1], // sin_addr
      ...[0, 0, 0, 0, 0, 0, 0, 0], // __pad
    ],
  ],
  [
    "the largest IPv4 address and port",
    { hostname: "255.255.255.255", port: 65535 },
    [2, 0, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    "the smallest IPv4 address and port",
    { hostname: "0.0.0.0", port: 0 },
    [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ],
  [
    "an IPv6 address",
    { hostname: "2001:db8:1:2:3:4:5:6", port: 443 },
    [
      ...[10, 0], // sin6_family: AF_INET6
      ...[0x01, 0xbb], // sin6_port
      ...[0, 0, 0, 0], // sin6_flowinfo
      ...[0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2], // sin6_addr
      ...[0, 3, 0, 4, 0, 5, 0, 6],
      ...[0, 0, 0, 0], // sin6_scope_id
    ],
  ],
  [
    "the loopback of IPv6",
    { hostname: "::1", port: 1 },
    [
      ...[10, 0, 0, 1, 0, 0, 0, 0],
      ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      ...[0, 0, 0, 0],
    ],
  ],
  [
    "a path of a Unix socket, which ends with a zero",
    { path: "/run/x.sock" },
    [1, 0, ...utf8("/run/x.sock"), 0],
  ],
  ["a path of one byte", { path: "x" }, [1, 0, 0x78, 0]],
  [
    "a path that starts with a byte order mark",
    { path: "\uFEFFx" },
    [1, 0, 0xef, 0xbb, 0xbf, 0x78, 0],
  ],
  [
    "a path of as many bytes as fit",
    { path: "é".repeat(53) + "x" },
    [1, 0, ...utf8("é".repeat(53)), 0x78, 0],
  ],
  [
    "an abstract name, which ends with the address",
    { path: "\0name" },
    [1, 0, 0, ...utf8("name")],
  ],
  [
    "an abstract name with zeros in it",
    { path: "\0a\0b\0" },
    [1, 0, 0, 0x61, 0, 0x62, 0],
  ],
  [
    "an abstract name of as many bytes as sun_path has",
    { path: "\0" + "x".repeat(107) },
    [1, 0, 0, ...utf8("x".repeat(107))],
  ],
  ["an unnamed Unix socket", { path: null }, [1, 0]],
  [
    "a link-local IPv6 address with its scope",
    { hostname: "fe80::1%258", port: 80 },
    [
      ...[10, 0, 0, 80, 0, 0, 0, 0],
      ...[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      ...[2, 1, 0, 0], // sin6_scope_id, in the order of the machine
    ],
  ],
  [
    "an address with the largest scope",
    { hostname: "ff02::1%4294967295", port: 0 },
    [
      ...[10, 0, 0, 0, 0, 0, 0, 0],
      ...[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      ...[255, 255, 255, 255],
    ],
  ],
];

Deno.test("an address is encoded to its bytes, and decoded from them", async (t) => {
  for (const [name, address, bytes] of GOLDEN) {
    await t.step(name, () => {
      assertEquals([...encodeSockaddr(address)], bytes);
      assertEquals(decodeSockaddr(Uint8Array.from(bytes)), address);
    });
  }
});

Deno.test("an address is decoded where it lies in a larger memory", () => {
  for (const [, address, bytes] of GOLDEN) {
    const memory = new Uint8Array(bytes.length + 20).fill(0xee);
    memory.set(bytes, 7);
    const view = memory.subarray(7, 7 + bytes.length);
    assertEquals(decodeSockaddr(view), address);
  }
});

Deno.test("IPv6 addresses are read in every form, and written in the short one", () => {
  for (
    const [text, short] of [
      ["::", "::"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["1::", "1::"],
      ["::1:0:0", "::1:0:0"],
      ["2001:DB8::00FF", "2001:db8::ff"],
      ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
      // Of two runs of zeros it is the longer that is left out, or the first.
      ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
      ["1:0:0:2:3:0:0:4", "1::2:3:0:0:4"],
      ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
      ["fe80::1234:5678:9abc:def0", "fe80::1234:5678:9abc:def0"],
      ["::ffff:192.0.2.33", "::ffff:c000:221"],
      ["64:ff9b::255.255.255.255", "64:ff9b::ffff:ffff"],
      ["1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"],
      ["::127.0.0.1", "::7f00:1"],
    ]
  ) {
    const bytes = encodeSockaddr({ hostname: text, port: 7 });
    assertEquals(decodeSockaddr(bytes), { hostname: short, port: 7 }, text);
    assertEquals(encodeSockaddr({ hostname: short, port: 7 }), bytes, text);
  }
});

Deno.test("a thousand random addresses survive encoding and decoding", () => {
  const random = (below: number) => Math.floor(Math.random() * below);
  for (let i = 0; i < 1000; i++) {
    const port = random(65536);
    const v4 = Array.from({ length: 4 }, () => random(256)).join(".");
    const from4 = { hostname: v4, port };
    assertEquals(decodeSockaddr(encodeSockaddr(from4)), from4);
    // With many zeros, so that every way to leave them out comes up.
    const groups = Array.from({ length: 8 }, () => random(3) && random(65536));
    const hostname = groups.map((group) => group.toString(16)).join(":");
    const bytes = encodeSockaddr({ hostname, port });
    const written = groups.flatMap((group) => [group >> 8, group & 255]);
    assertEquals([...bytes.subarray(8, 24)], written);
    const back = decodeSockaddr(bytes);
    assertEquals(encodeSockaddr(back), bytes, hostname);
  }
});

Deno.test("addresses of Deno are accepted", () => {
  const addr: Deno.NetAddr = { transport: "tcp", hostname: "::1", port: 80 };
  assertEquals(encodeSockaddr(addr).length, 28);
  const unix: Deno.UnixAddr = { transport: "unix", path: "/x" };
  assertEquals([...encodeSockaddr(unix)], [1, 0, ...utf8("/x"), 0]);
});

Deno.test("a hostname that is no address in numbers is refused", () => {
  for (
    const hostname of [
      "",
      "localhost",
      "example.com",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "1.2.3.-4",
      "1.2.3.4 ",
      "1.2.3.",
      "1.2.3.0x4",
      "1.2.3.1e1",
      "010.0.0.1", // 8.0.0.1 to inet_aton(), 10.0.0.1 to others.
      "16909060",
      ":",
      ":::",
      "::1::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "12345::",
      "::g",
      "::1.2.3",
      "::1.2.3.256",
      "::01.2.3.4",
      "1.2.3.4::",
      "[::1]",
      "127.0.0.1%1",
      "%1",
      " ::1",
      // Characters that a URL skips, or that end the address in it.
      "::\n1",
      "::1\t",
      "::1]",
      "::1]/x",
      "::1]:80/[",
      "::1]@[::2",
      "a:b@c",
    ]
  ) {
    assertThrows(
      () => encodeSockaddr({ hostname, port: 1 }),
      TypeError,
      `hostname must be an IP address in numbers, not ${
        JSON.stringify(hostname)
      }`,
    );
  }
});

Deno.test("a scope is the index of an interface, or its name", () => {
  const scope = (hostname: string) =>
    new DataView(encodeSockaddr({ hostname, port: 1 }).buffer)
      .getUint32(24, true);
  assertEquals(scope("fe80::1%lo"), 1); // The first interface of a namespace.
  assertEquals(scope("FE80::1%1"), 1);
  assertEquals(scope("fe80::1"), 0);
  for (
    const none of [
      "",
      "0",
      "-1",
      "4294967296",
      "1.5",
      "1%1",
      "%1",
      "lo ",
      "lo\0",
      "lo".padEnd(16, "o"),
      "no-such-device",
      "../../lo",
    ]
  ) {
    assertThrows(
      () => scope(`fe80::1%${none}`),
      TypeError,
      "is no network interface",
    );
  }
});

Deno.test("a value that is no port is refused", () => {
  for (const port of [-1, 65536, 1.5, NaN, Infinity]) {
    assertThrows(
      () => encodeSockaddr({ hostname: "127.0.0.1", port }),
      RangeError,
      `port must be an integer from 0 to 65535, not ${port}`,
    );
  }
  for (const port of ["80", undefined, null, 80n]) {
    assertThrows(
      () => encodeSockaddr(wrong({ hostname: "127.0.0.1", port })),
      TypeError,
      "port must be a number",
    );
  }
});

Deno.test("a path that the kernel would cut off is refused", () => {
  for (const path of ["x".repeat(108), "é".repeat(54)]) {
    assertThrows(
      () => encodeSockaddr({ path }),
      RangeError,
      "a path of a Unix socket has at most 107 bytes, not 108",
    );
  }
  assertThrows(
    () => encodeSockaddr({ path: "\0" + "é".repeat(54) }),
    RangeError,
    "an abstract name of a Unix socket has at most 108 bytes, not 109",
  );
  for (const path of ["/tmp/a\0b", "a\0"]) {
    assertThrows(
      () => encodeSockaddr({ path }),
      TypeError,
      "path has a zero byte in it",
    );
  }
});

Deno.test("an address with half of a surrogate pair is refused", () => {
  const half = "must be well-formed Unicode, and";
  for (const path of ["/tmp/a\ud800", "\0\udc00", "\ud800\ud800"]) {
    const message = `path ${half} ${JSON.stringify(path)}`;
    assertThrows(() => encodeSockaddr({ path }), TypeError, message);
  }
  const hostname = "fe80::1%lo\ud800";
  const message = `hostname ${half} ${JSON.stringify(hostname)}`;
  const make = () => encodeSockaddr({ hostname, port: 1 });
  assertThrows(make, TypeError, message);
  const path = "/tmp/\u{1f600}";
  assertEquals(decodeSockaddr(encodeSockaddr({ path })), { path });
});

Deno.test("a path that is undefined is none", () => {
  const address = { hostname: "127.0.0.1", port: 1, path: undefined };
  const { hostname, port } = address;
  const encoded = encodeSockaddr(address as unknown as SocketAddress);
  assertEquals(encoded, encodeSockaddr({ hostname, port }));
});

Deno.test("a value without an address is refused", () => {
  for (const value of [undefined, null, "127.0.0.1", 7, {}, { port: 1 }]) {
    assertThrows(() => encodeSockaddr(wrong(value)), TypeError);
  }
});

Deno.test("a path ends at its zero, or with the address", () => {
  const path = "/a/b";
  for (const after of [[], [0], [0, 0, 0], [0, 0x78, 0x79]]) {
    const bytes = Uint8Array.of(1, 0, ...utf8(path), ...after);
    assertEquals(decodeSockaddr(bytes), { path });
  }
  // The kernel takes a path of 108 bytes, and then has no room for a zero.
  const long = "x".repeat(108);
  const bytes = Uint8Array.of(1, 0, ...utf8(long));
  assertEquals(decodeSockaddr(bytes), { path: long });
});

Deno.test("bytes that hold no known address are refused", () => {
  for (
    const [bytes, message] of [
      [[], "addresses of family -1"],
      [[1], "addresses of family -1"],
      [[0, 0], "addresses of family 0"],
      [[16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], "addresses of family 16"],
      [[2, 0], "the address needs 16 bytes, not 2"],
      [[2, 0, 0, 80, 127, 0, 0, 1], "the address needs 16 bytes, not 8"],
      [[10, 0, 0, 80], "the address needs 28 bytes, not 4"],
    ] as const
  ) {
    // A longer memory around it must not be read for what is missing.
    const memory = new Uint8Array(64).fill(7);
    memory.set(bytes);
    assertThrows(
      () => decodeSockaddr(memory.subarray(0, bytes.length)),
      TypeError,
      message,
    );
  }
});

/** Binds a new socket, and returns its address as the kernel has it. */
function bound(family: number, address: Uint8Array): Uint8Array {
  using socket = new Fd(syscall("socket", family, SOCK_DGRAM, 0));
  const { bytes, at } = scratch();
  bytes.set(address);
  assertEquals(syscall("bind", socket.fd, at, address.length), 0);
  const name = socketName(socket.fd, "getsockname");
  if (typeof name === "number") throw new Error(`getsockname: errno ${-name}`);
  return name;
}

Deno.test("the kernel accepts an IPv4 address, and returns the same", () => {
  const name = bound(
    AF_INET,
    encodeSockaddr({ hostname: "127.0.0.1", port: 0 }),
  );
  const address = decodeSockaddr(name);
  if (!("port" in address)) throw new Error("it has no port");
  assertEquals(address.hostname, "127.0.0.1");
  assertNotEquals(address.port, 0);
  assertEquals(encodeSockaddr(address), name);
  assertEquals(bound(AF_INET, name), name);
});

testUnless(
  lacksAddress("::1"),
  "the kernel accepts an IPv6 address, and returns the same",
  () => {
    const name = bound(AF_INET6, encodeSockaddr({ hostname: "::1", port: 0 }));
    assertEquals(encodeSockaddr(decodeSockaddr(name)), name);
    assertEquals(bound(AF_INET6, name), name);
  },
);

Deno.test("the kernel accepts the addresses of Unix sockets, and returns the same", async () => {
  const folder = await Deno.makeTempDir();
  const long = `${folder}/`.padEnd(107, "x");
  const name108 = `\0${folder}`.padEnd(108, "x");
  for (
    const path of [
      `${folder}/a b`,
      long,
      `\0${folder}`,
      `\0${folder}\0`,
      name108,
    ]
  ) {
    const address = encodeSockaddr({ path });
    assertEquals(bound(AF_UNIX, address), address);
  }
  // As bind(2) has it, the kernel chooses an abstract name of five digits.
  const chosen = decodeSockaddr(bound(AF_UNIX, encodeSockaddr({ path: null })));
  assertMatch("path" in chosen && chosen.path || "", /^\0[\da-f]{5}$/);
  // Only bind(2) itself makes a path of 108 bytes.
  const path = `${folder}/`.padEnd(108, "y");
  const name = bound(AF_UNIX, Uint8Array.of(1, 0, ...utf8(path)));
  assertEquals(decodeSockaddr(name), { path });
  await Deno.remove(folder, { recursive: true });
});

const linkLocal = Deno.networkInterfaces()
  .find(({ address }) => address.startsWith("fe80:"));

testUnless(
  linkLocal ? "" : "an address of fe80::/10",
  "the kernel returns the scope of an IPv6 address, by index or by name",
  () => {
    const { address, name, scopeid } = linkLocal!;
    for (const scope of [scopeid, name]) {
      const hostname = `${address}%${scope}`;
      const kernel = bound(AF_INET6, encodeSockaddr({ hostname, port: 0 }));
      const decoded = decodeSockaddr(kernel);
      if (!("port" in decoded)) throw new Error("it has no port");
      assertEquals(decoded.hostname, `${address}%${scopeid}`);
      assertEquals(encodeSockaddr(decoded), kernel);
    }
  },
);

Deno.test("a socket that was not bound has an address too", () => {
  using unix = new Fd(syscall("socket", AF_UNIX, SOCK_DGRAM, 0));
  const unnamed = socketName(unix.fd, "getsockname") as Uint8Array;
  assertEquals(decodeSockaddr(unnamed), { path: null });
  using ip = new Fd(syscall("socket", AF_INET, SOCK_DGRAM, 0));
  const any = socketName(ip.fd, "getsockname") as Uint8Array;
  assertEquals(decodeSockaddr(any), { hostname: "0.0.0.0", port: 0 });
});
