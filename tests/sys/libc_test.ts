/** System calls whose results are addresses. */

import { assertEquals } from "@std/assert";
import { mmap, mremap } from "../../sys/libc.ts";
import { E } from "../../sys/uapi/errno.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE } from "../../sys/uapi/mman.ts";

Deno.test("a mapping that fails answers its errno", () => {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  assertEquals(mmap(0, PROT_NONE, flags, -1, 0), -E.EINVAL);
  assertEquals(mmap(65536, PROT_NONE, MAP_PRIVATE, -1, 0), -E.EBADF);
  assertEquals(mremap(1, 65536, 65536, 0, 0), -E.EINVAL); // No page begins there.
});
