/** Options of a ring as parameters of the kernel, without a kernel. */

import { assertEquals, assertThrows } from "@std/assert";
import { Ring } from "../../mod.ts";
import { rereadsSqes } from "../../ring/bare/setup.ts";
import { type RingOptions, setupOptions } from "../../ring/options.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { assertBoolean } from "../kit/booleans.ts";

Deno.test("a ring of both sizes has no submission thread, which could cut an SQE in two", () => {
  for (const sqpoll of [true, { idleMs: 5 }]) {
    const options = { mixed: true, sqpoll };
    assertThrows(() => setupOptions(options), TypeError, "sqe128 and cqe32");
  }
});

Deno.test("the defaults are those of the documentation", () => {
  for (const none of [{}, { sqpoll: false }, { entries: undefined }]) {
    const { entries, cqEntries, wqFd, sqThreadCpu } = setupOptions(none);
    const held = rereadsSqes();
    assertEquals([entries, cqEntries], [held ? 1024 : 64, 1024]);
    assertEquals([wqFd, sqThreadCpu], [undefined, undefined]);
  }
  for (const [entries, cqEntries] of [[512, 1024], [513, 1026]]) {
    assertEquals(setupOptions({ entries }).cqEntries, cqEntries);
  }
});

Deno.test("a submission thread sleeps after a second without work, or as asked", () => {
  const idle = (sqpoll: RingOptions["sqpoll"]) =>
    setupOptions({ sqpoll }).sqThreadIdleMs;
  assertEquals([true, {}, { cpu: 0 }].map(idle), [1000, 1000, 1000]);
  assertEquals([{ idleMs: 0 }, { idleMs: 20 }].map(idle), [0, 20]);
  for (const idleMs of [-1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => idle({ idleMs }), RangeError, "sqpoll.idleMs");
  }
});

Deno.test("a submission thread is bound to a processor only when asked", () => {
  const { flags, sqThreadCpu } = setupOptions({ sqpoll: { cpu: 3 } });
  const bound = uapi.IORING_SETUP_SQPOLL | uapi.IORING_SETUP_SQ_AFF;
  assertEquals([flags, sqThreadCpu], [bound, 3]);
  assertEquals(setupOptions({ sqpoll: {} }).flags, uapi.IORING_SETUP_SQPOLL);
});

Deno.test("the number of workers is the kernel's, but for large SQEs on x86-64", () => {
  const one = Deno.build.arch === "x86_64" ? 1 : 0;
  const workers = (options: RingOptions) => setupOptions(options).maxWorkers;
  assertEquals(workers({}), 0);
  assertEquals(workers({ sqe128: true }), one);
  assertEquals(workers({ mixed: true }), one);
  assertEquals(workers({ sqe128: true, deferTaskrun: false }), 0);
  assertEquals(workers({ sqe128: true, sqpoll: true }), 0);
  assertEquals(workers({ sqe128: true, maxWorkers: 7 }), 7);
});

Deno.test("an option of a ring that is no boolean is refused by its name", () => {
  for (
    const name of [
      "drive",
      "sqe128",
      "cqe32",
      "mixed",
      "deferTaskrun",
      "disabled",
      "spin",
    ]
  ) {
    assertBoolean(name, (value) => setupOptions({ [name]: value }));
    assertEquals(setupOptions({ [name]: undefined }), setupOptions({}));
  }
  for (const iopoll of ["hybird", "true", 1, null]) {
    const options = { iopoll } as RingOptions;
    assertThrows(() => setupOptions(options), TypeError, "iopoll must be a");
  }
  for (const [sqpoll, what] of [["no", "a boolean"], [null, "an object"]]) {
    const options = { sqpoll } as RingOptions;
    const message = `sqpoll must be ${what}, not`;
    assertThrows(() => setupOptions(options), TypeError, message);
  }
  const spin = "no" as unknown as boolean;
  assertThrows(
    () => Ring.open({ spin }),
    TypeError,
    "spin must be a boolean, ",
  );
});

Deno.test("a ring for drives has SQEs of 128 bytes and CQEs of 32", () => {
  const both = setupOptions({ sqe128: true, cqe32: true });
  assertEquals(setupOptions({ drive: true }), both);
  const one = setupOptions({ sqe128: true });
  assertEquals(setupOptions({ drive: true, cqe32: false }), one);
  assertEquals(setupOptions({ drive: false }), setupOptions({}));
});

Deno.test("options that exclude each other are refused", () => {
  for (
    const [options, message] of [
      [{ mixed: true, sqe128: true }, "a ring is mixed, or of one size"],
      [{ mixed: true, cqe32: true }, "a ring is mixed, or of one size"],
      [{ mixed: true, drive: true }, "a ring is mixed, or of one size"],
      [{ sqpoll: true, deferTaskrun: true }, "sqpoll or deferTaskrun"],
    ] as const
  ) assertThrows(() => setupOptions(options), TypeError, message);
});
