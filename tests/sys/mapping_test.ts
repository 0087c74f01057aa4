/** Mappings of a ring's memory. */

import { assertEquals } from "@std/assert";
import { map, Mapping, unmap } from "../../sys/mapping.ts";
import { E } from "../../sys/uapi/errno.ts";

Deno.test("a mapping that the kernel refuses answers its errno, and leaves nothing to unmap", () => {
  const mapping = new Mapping();
  assertEquals(map(mapping, -1, 65536, 0), -E.EBADF);
  assertEquals([mapping.address, mapping.buffer.byteLength], [0, 0]);
  unmap(mapping);
  assertEquals(mapping.buffer.detached, false);
});
