/** Ways to break what keeps memory where the kernel may write to it. */

import { mutantsOf } from "./mutant.ts";

const TESTS = [
  "tests/ring/address_test.ts",
  "tests/ring/memory_test.ts",
  "tests/ring/raw_test.ts",
];
/** Those that need many rings, or many commands. */
const LEAKING = [...TESTS, "tests/attack/leak_test.ts"];

export const memory = [
  ...mutantsOf("sys/arena.ts", TESTS, [
    [
      "bytes behind aliases that are gone are counted",
      "    aliasedBytes -= this.byteLength;\n",
      "",
    ],
    [
      "the kernel is given the place that V8 unmaps",
      "    return this.#alias !== 0 ? this.#alias : this.#map();",
      "    return this.home;",
    ],
    [
      "an arena is mapped once more whenever it is asked for",
      "    return this.#alias !== 0 ? this.#alias : this.#map();",
      "    return this.#map();",
    ],
    [
      "idle aliases are never looked for while there is a ring",
      "    if (aliasedBytes >= large) unmapIdle();\n",
      "",
    ],
    [
      "a failure to map is taken for an address",
      '    if (rc < 0) {\n      syscall("munmap", reserved, size);',
      '    if (rc === 0) {\n      syscall("munmap", reserved, size);',
    ],
    [
      "an alias is forgotten as soon as it is made",
      "    aliased.add(this);\n",
      "",
    ],
    [
      "an alias is never unmapped",
      '    syscall("munmap", this.#reserved, this.byteLength + GUARDED);\n',
      "",
    ],
    [
      "an alias that is gone is given to the kernel again",
      "    this.#alias = 0;\n",
      "",
    ],
    [
      "the alias of a buffer that was collected stays",
      "  collected.register(buffer, made);\n",
      "",
    ],
    [
      "what commands of a ring use is not known",
      "  rings.add(used);\n",
      "",
    ],
    [
      "aliases stay after the last ring was closed",
      "  if (rings.size === 0) unmapIdle();\n",
      "",
    ],
    [
      "aliases of other rings go when any ring is closed",
      "  if (rings.size === 0) unmapIdle();\n",
      "  for (const each of aliased) each.unmap();\n",
    ],
    [
      "an alias that was registered or given away is taken for idle",
      "const needed = each.held || used.has(each)",
      "const needed = used.has(each)",
    ],
    [
      "an alias that a command uses is taken for idle",
      "const needed = each.held || used.has(each)",
      "const needed = each.held",
    ],
    [
      "an alias that blocks lie in is taken for idle while there are rings",
      " || each.pooled && rings.size > 0;",
      ";",
    ],
    [
      "an alias that blocks lie in stays without a ring",
      " || each.pooled && rings.size > 0;",
      " || each.pooled;",
    ],
    [
      "idle bytes are looked for at each new alias when most are in use",
      "  large = Math.max(LARGE, 2 * aliasedBytes);\n",
      "",
    ],
    [
      "the pages of an arena are V8's own",
      "  const rc = mmap(size, PROT_READ | PROT_WRITE, flags, -1, 0, home);\n",
      "  const rc = Math.min(0, flags);\n",
    ],
    [
      "pages that cannot be mapped are taken for an arena",
      "  if (rc < 0) throw cannotMap(size, -rc);\n",
      "",
    ],
    [
      "an address that is to last is not held",
      "  if (found !== undefined) found.held = true;\n",
      "",
    ],
    [
      "views of a ring that was unmapped can be read",
      "  buffer.transfer(0);\n",
      "",
    ],
  ]),
  ...mutantsOf("sys/arena.ts", LEAKING, [
    [
      "bytes behind aliases are not counted",
      "    aliasedBytes += this.byteLength;\n",
      "",
    ],
    [
      "a ring that was closed is asked what it uses",
      "  rings.delete(used);\n",
      "",
    ],
    [
      "a ring that was closed stays mapped",
      '  syscall("munmap", address, byteLength);\n',
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/pool.ts", TESTS, [
    [
      "a block is used by two commands",
      "return size.free.pop() ?? cut(size);",
      "return size.free.at(-1) ?? cut(size);",
    ],
    [
      "a block that was given back is not used again",
      "      size.free.push(block);\n",
      "",
    ],
    [
      "blocks overlap",
      "  rest.offset += size.byteLength;\n",
      "  rest.offset += size.byteLength >> 1;\n",
    ],
    [
      "a block lies behind the end of its arena",
      "rest.offset + size.byteLength > rest.buffer.byteLength",
      "rest.offset > rest.buffer.byteLength",
    ],
    [
      "the address of a block is that of its arena",
      "    return this.arena.address + this.#offset;",
      "    return this.arena.address;",
    ],
    [
      "blocks lie where idle aliases are unmapped",
      "arena(Math.max(PAGE, size.byteLength), true)",
      "arena(Math.max(PAGE, size.byteLength))",
    ],
    [
      "what was abandoned may lose its address",
      "  block.arena.held = true;\n",
      "",
    ],
  ]),
];
