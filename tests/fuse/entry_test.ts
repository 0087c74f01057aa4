/** Entries of the io_uring transport, whose kernel is the test. */

import { assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import { Entry, HEADER } from "../../cmd/fuse/entry.ts";
import { names, words } from "./fake.ts";

const PAYLOAD = 8192;
const MKDIR = 9;

/** Makes an entry, and writes a MKDIR into it as the kernel does. */
function entryOf(apart: boolean) {
  const header = new Uint8Array(HEADER);
  const payload = new Uint8Array(PAYLOAD);
  const entry = new Entry(5, header, payload, apart);
  const request = (name: string, unique: bigint) => {
    const text = names(name);
    header.fill(0xaa);
    payload.fill(0xaa);
    header.set(words(48 + text.length, MKDIR, unique, 1n, 1000, 1001, 1002, 0));
    header.set(words(0o750, 0o22), 128);
    header.set(words(0n, unique, text.length), 256);
    payload.set(text);
  };
  return { entry, header, payload, request };
}

for (const apart of [false, true]) {
  Deno.test(
    `a request is read, and a reply is where the kernel expects it: ${
      apart ? "a copy" : "in place"
    }`,
    () => {
      const { entry, header, payload, request } = entryOf(apart);
      request("name", 0x2_0000_0004n);
      const began = entry.begin();
      assertEquals(
        [began.tag, began.opcode, began.unique, began.nodeid, began.uid],
        [5, MKDIR, 0x2_0000_0004, 1, 1000],
      );
      assertEquals([entry.commitLow, entry.commitHigh], [4, 2]);
      assertEquals(began.u32({ offset: 0 } as never), 0o750);
      began.skip(8);
      assertEquals(began.name(), "name");
      began.put(new Uint8Array([1, 2, 3]));
      entry.write(0, 3);
      assertEquals(header.subarray(0, 16), words(19, 0, 0x2_0000_0004n));
      // struct fuse_uring_ent_in_out: the payload's length, and the rest as it was.
      assertEquals(header.subarray(272, 276), words(3));
      assertEquals(payload.subarray(0, 3), new Uint8Array([1, 2, 3]));
    },
  );
}

Deno.test("a handler cannot transfer the memory of a request elsewhere", () => {
  const { entry, header, request } = entryOf(true);
  request("name", 4n);
  const began = entry.begin();
  for (const { buffer: memory } of [began.into(100), began.data(3)]) {
    const buffer = memory as ArrayBuffer;
    assertThrows(() => buffer.transfer(), TypeError);
    assertThrows(() => structuredClone(buffer, { transfer: [buffer] }));
  }
  entry.write(17, 0);
  assertEquals(header.subarray(0, 16), words(16, -17, 4n));
});

Deno.test("an error has no payload", () => {
  const { entry, header, request } = entryOf(false);
  request("name", 4n);
  entry.begin();
  entry.write(17, 100);
  assertEquals(header.subarray(0, 16), words(16, -17, 4n));
  assertEquals(header.subarray(272, 276), words(0));
});

Deno.test("a handler that is late does not have the memory of the next request", () => {
  const { entry, payload, request } = entryOf(true);
  request("first", 2n);
  const late = entry.begin();
  entry.write(5, 0); // Its time is over, and it was answered for.
  request("second", 4n);
  const next = entry.begin();
  assertNotStrictEquals(next, late);
  late.into(100).fill(0xff);
  next.skip(8);
  assertEquals(next.name(), "second");
  next.put(new Uint8Array([7]));
  late.into(100).fill(0xee);
  entry.write(0, 1);
  assertEquals(payload[0], 7);
  // A handler that is done leaves its memory to the next.
  entry.held = false;
  request("third", 6n);
  assertEquals(entry.begin(), next);
});
