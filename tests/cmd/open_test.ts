/** Descriptors that close at the end of their scope. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  CommandError,
  open,
  type OpenFile,
  Ring,
  UringError,
} from "../../mod.ts";
import { read, write } from "../../cmd/op.ts";
import { inodeOf } from "../../sys/file.ts";

Deno.test("a file that goes out of scope is closed, and then names no descriptor", () => {
  let fd: number;
  let kept: OpenFile;
  {
    using file = open("/dev/null");
    ({ fd } = kept = file);
    assert(inodeOf(fd) > 0n);
    assertEquals(file.path, "/dev/null");
  }
  assertEquals(inodeOf(fd), -1n);
  assertEquals(kept.fd, -1);
  // The number may be another file's by now: closing again leaves that open.
  using next = open("/dev/null");
  kept.close();
  assert(inodeOf(next.fd) > 0n);
});

Deno.test("a file is open for reading only, unless it is opened to be written", async () => {
  const path = await Deno.makeTempFile();
  try {
    await using ring = Ring.open();
    using reader = open(path);
    using writer = open(path, { write: true });
    const data = new TextEncoder().encode("hello");
    assertEquals(ring.cmdSync(write(writer.fd, data)), 5);
    const into = new Uint8Array(8);
    assertEquals(ring.cmdSync(read(reader.fd, into)), 5);
    assertEquals(into.subarray(0, 5), data);
    assertThrows(
      () => ring.cmdSync(write(reader.fd, data)),
      UringError,
      "EBADF",
    );
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a file that cannot be opened is named in the error, with the cause", () => {
  const error = assertThrows(() => open("/nowhere/at all"), CommandError);
  assertEquals(error.code, "ENOENT");
  assertEquals(error.fd, -1);
  assert(error.message.startsWith('open("/nowhere/at all"): ENOENT (2). '));
  assertThrows(() => open("x".repeat(5000)), UringError, "ENAMETOOLONG");
});

Deno.test("what is no path is refused before the kernel hears of it", () => {
  const wrong = open as unknown as (...args: unknown[]) => unknown;
  assertThrows(() => wrong(3), TypeError, "path must be a string");
  assertThrows(() => wrong("/dev/null\0x"), TypeError, "zero byte");
  assertThrows(() => wrong("/dev/null", { write: 1 }), TypeError, "write");
  assertThrows(() => wrong("/dev/null", true), TypeError, "options");
});

Deno.test("an argument that is no descriptor is refused with the function that gives one", async () => {
  const refused = (value: unknown, words: string) =>
    assertThrows(
      () => read(value as number, new Uint8Array(1)),
      TypeError,
      words,
    );
  refused("/dev/null", "not string. open(path).fd opens a path");
  using file = open("/dev/null");
  refused(file, "Pass its fd");
  using own = await Deno.open("/dev/null");
  refused(own, "open(path).fd opens one");
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using conn = await Deno.connect({ port: listener.addr.port });
  using server = await listener.accept();
  for (const socket of [listener, conn, server]) {
    refused(socket, 'socketFd(conn) of "@uring/cmd/socket"');
  }
  refused(Promise.resolve(3), "Await the promise");
  refused(true, "must be a number, not boolean");
  refused({}, "must be a number");
});
