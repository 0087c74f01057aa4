/** Proof that the ABI test finds any wrong number. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { bytes, pointer, s64, struct, u32, u64 } from "../../../sys/struct.ts";
import { type Answers, compare, questions, VERSION } from "./compare.ts";
import { testUnless } from "../../kit/skip.ts";
import { ask } from "./headers.ts";
import { claims, type Layout, type Mirror, readMirrors } from "./mirror.ts";

/** A mirror with one wrong number, and the name that must be reported. */
interface Mutant {
  readonly name: string;
  readonly mirror: Mirror;
}

function* mutants(mirror: Mirror): Generator<Mutant> {
  for (const [name, value] of Object.entries(mirror.constants)) {
    for (const wrong of [value + 1, value - 1, value + 2 ** 32, value + 0.5]) {
      const constants = { ...mirror.constants, [name]: wrong };
      yield { name, mirror: { ...mirror, constants } };
    }
  }
  for (const [type, layout] of Object.entries(mirror.structs)) {
    for (const { name, mutant } of layouts(type, layout)) {
      const structs = { ...mirror.structs, [type]: mutant };
      yield { name, mirror: { ...mirror, structs } };
    }
  }
}

function* layouts(type: string, layout: Layout) {
  for (const size of [layout.size + 1, layout.size + 8]) {
    yield { name: type, mutant: { ...layout, size } };
  }
  for (const [name, member] of Object.entries(layout.members)) {
    for (
      const wrong of [
        { offset: member.offset + 1 },
        { offset: member.offset + 8 },
        { size: member.size + 1 },
        { size: member.size * 2 + 4 },
        { signed: !member.signed },
      ]
    ) {
      const members = { ...layout.members, [name]: { ...member, ...wrong } };
      yield { name: `${type}.${name}`, mutant: { ...layout, members } };
    }
  }
}

/** Returns `true` if the headers lack a name, or the struct of a member. */
function lacks(absent: readonly string[], name: string): boolean {
  return absent.includes(name) || absent.includes(name.split(".")[0]);
}

for (const mirror of await readMirrors()) {
  const { arch = Deno.build.arch } = mirror;
  testUnless(
    arch === Deno.build.arch ? "" : arch,
    `every wrong number in ${mirror.name} would be reported`,
    async () => {
      const answers = await ask(mirror.includes, questions(mirror));
      const { absent } = compare(mirror, answers);
      const missed = mutants(mirror)
        .filter(({ name }) => !lacks(absent, name))
        .filter(({ name, mirror }) =>
          !compare(mirror, answers).wrong.some((it) =>
            it.startsWith(`${name} `)
          )
        )
        .map(({ name }) => name);
      assertEquals([...missed], []);
    },
  );
}

Deno.test("each number of the largest mirror is made wrong once", async () => {
  const mirrors = await readMirrors();
  const { constants, structs } = mirrors.find(({ name }) =>
    name === "sys/uapi/io_uring.ts"
  )!;
  const made = new Set(
    mutants({ ...mirrors[0], constants, structs }).map(({ name }) => name),
  );
  assertGreater(made.size, 200);
  const members = Object.values(structs).map(({ members }) =>
    Object.keys(members).length
  );
  assertEquals(
    made.size,
    Object.keys(constants).length + members.length +
      members.reduce((sum, count) => sum + count),
  );
});

/** Compares made-up exports with the headers, as if they were of a mirror. */
async function judge(title: string, exports: Record<string, unknown>) {
  const mirror = claims("sys/made_up.ts", title, exports);
  return compare(mirror, await ask(mirror.includes, questions(mirror)));
}

Deno.test("a correct mirror passes", async () => {
  const verdict = await judge("// <linux/uio.h>, <linux/stat.h>, Linux 3.0.", {
    S_IFMT: 0o170000,
    iovec: struct(16, { iov_base: pointer(0), iov_len: u64(8) }),
  });
  assertEquals(verdict, { wrong: [], absent: [] });
});

Deno.test("a wrong mirror is found by the compiler", async () => {
  const { wrong, absent } = await judge("// <linux/time_types.h>, Linux 5.1.", {
    __kernel_timespec: struct(24, { tv_sec: u64(0), tv_nsec: s64(4) }),
    NULL: 1,
  });
  assertEquals(absent, []);
  assertEquals(wrong.toSorted(), [
    "NULL is 1, not 0",
    "__kernel_timespec has 24 bytes, not 16",
    "__kernel_timespec has bytes without a name: 12, 13, 14, 15, 16, 17, 18, " +
    "19, 20, 21, 22, 23",
    "__kernel_timespec.tv_nsec is at 4, not at 8",
    "__kernel_timespec.tv_sec is unsigned, which it is not in C",
  ]);
});

Deno.test("a byte without a name is found", async () => {
  const { wrong } = await judge("// <linux/time_types.h>, Linux 5.1.", {
    __kernel_timespec: struct(16, { tv_sec: s64(0) }),
  });
  assertEquals(wrong, [
    "__kernel_timespec has bytes without a name: 8, 9, 10, 11, 12, 13, 14, 15",
  ]);
});

const MADE_UP = {
  S_IFNOTHING: 1,
  made_up: struct(4, { nothing: u32(0) }),
  statx_timestamp: struct(24, { tv_sec: s64(0), rest: bytes(8, 16) }),
};

Deno.test("a name that the headers should have is wrong", async () => {
  assertEquals(await judge("// <linux/stat.h>, Linux 4.11.", MADE_UP), {
    wrong: [
      "S_IFNOTHING is not in the headers",
      "made_up is not in the headers",
      "statx_timestamp.rest is not in the headers",
      "statx_timestamp has 24 bytes, not 16",
    ],
    absent: [],
  });
});

Deno.test("a name that is newer than the headers is absent", async () => {
  assertEquals(await judge("// <linux/stat.h>, Linux 99.0.", MADE_UP), {
    wrong: [],
    absent: [
      "S_IFNOTHING",
      "made_up",
      "statx_timestamp.rest",
      "statx_timestamp",
    ],
  });
});

Deno.test("a header that is newer than the headers is absent", async () => {
  const { wrong, absent } = await judge("// <linux/made_up.h>, Linux 99.0.", {
    MADE_UP: 1,
  });
  assertEquals({ wrong, absent }, { wrong: [], absent: ["MADE_UP"] });
});

Deno.test("an export that is neither a number nor a struct is wrong", async () => {
  const { wrong } = await judge("// <linux/stat.h>, Linux 4.11.", {
    convert: () => 1,
    TEXT: "1",
  });
  assertEquals(wrong, [
    "convert is neither a number nor a struct",
    "TEXT is neither a number nor a struct",
  ]);
});

Deno.test("a name of a coming kernel is compared with its definition", () => {
  const mirror = (value: number) =>
    claims("sys/made_up.ts", "// <linux/blkdev.h>, Linux 7.2.", {
      BLOCK_URING_CMD_ZONE_RESET_ALL: value,
    });
  const headers = (code: bigint): Answers =>
    new Map([[VERSION, code], ["_IO(0x12, 1)", 0x1201n]]);
  assertEquals(compare(mirror(0x1201), headers(0x70200n)).wrong, []);
  assertEquals(compare(mirror(0x1202), headers(0x70200n)).wrong.length, 1);
  // These headers must have the name itself.
  assertEquals(compare(mirror(0x1201), headers(0x70300n)).wrong.length, 1);
});

Deno.test("a macro that does not compile is an error, not absent", async () => {
  const includes = ["#define BROKEN (sizeof(struct made_up))"];
  const error = await ask(includes, ["BROKEN"]).catch((error: Error) => error);
  assert(error instanceof Error);
  assert(error.message.includes("made_up"), error.message);
});

Deno.test("a library's header that is not installed is reported as absent", () => {
  const title = "// <nvme/types.h>, of libnvme 1.3, for Linux 6.1.";
  const range = struct(16, { cattr: u32(0), nlb: u32(4), slba: u64(8) });
  const exports = { nvme_cmd_read: 2, nvme_dsm_range: range };
  const mirror = claims("sys/made_up.ts", title, exports);
  const answers: Answers = new Map([[VERSION, 0x70200n]]);
  assertEquals(compare(mirror, answers), {
    wrong: [],
    absent: ["nvme_cmd_read", "nvme_dsm_range"],
  });
  // A header of the kernel must be there.
  const kernels = claims("sys/made_up.ts", "// <linux/nvme.h>, Linux 6.1.", {
    nvme_cmd_read: 2,
  });
  assertEquals(compare(kernels, answers).wrong.length, 1);
});
