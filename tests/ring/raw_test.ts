/** The bare ring on the real kernel. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { stub } from "@std/testing/mock";
import { probe, UringError } from "../../mod.ts";
import * as raw from "../../ring/raw.ts";
import { E } from "../../sys/uapi/errno.ts";
import { libc } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { sizeof } from "../../sys/struct.ts";
import {
  io_uring_params,
  io_uring_sqe,
  IORING_NOP_CQE32,
  IORING_OP_NOP128,
  IORING_REGISTER_IOWQ_MAX_WORKERS,
} from "../../sys/uapi/io_uring.ts";
import { registerRingFd, unregisterRingFd } from "../../ring/bare/register.ts";
import { close } from "../../sys/file.ts";
import { devNull } from "../kit/fds.ts";
import { openFdCount, ringMappings } from "../kit/process.ts";
import { until } from "../kit/wait.ts";
import { refuse } from "../kit/refuse.ts";
import { scriptValue } from "../kit/run.ts";

const { setupFlags } = probe();

/** Opens a ring for the duration of a test. */
function withRing(
  options: raw.SetupOptions,
  use: (ring: raw.RingHandle) => void,
): void {
  const ring = raw.setup(options);
  try {
    use(ring);
  } finally {
    ring.close();
  }
}

/** Submits all queued SQEs, and waits for `count` completions. */
function run(ring: raw.RingHandle, count: number): [number, number][] {
  const toSubmit = ring.sq.publish();
  assertEquals(raw.enter(ring, { toSubmit, minComplete: count }), toSubmit);
  const found: [number, number][] = [];
  while (ring.cq.next()) found.push([ring.cq.userDataLow, ring.cq.res]);
  ring.cq.commit();
  return found.sort(([a], [b]) => a - b);
}

/** Runs one command alone, and returns its result. */
function one(ring: raw.RingHandle, sqe: raw.RawSqe): number {
  assert(raw.prepRw(ring.sq, { ...sqe, userData: 1 }));
  const [[userData, res], ...others] = run(ring, 1);
  assertEquals([userData, others.length], [1, 0]);
  return res;
}

/** Makes a temporary file with a content. */
function withFile(content: Uint8Array, use: (path: string) => void): void {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, content);
    use(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** Opens a path through the ring. */
function withFd(
  ring: raw.RingHandle,
  path: string,
  flags: number,
  use: (fd: number) => void,
): void {
  const name = raw.alloc(path.length + 1);
  new TextEncoder().encodeInto(path, name);
  const addr = raw.addressOf(name);
  const openat = { opcode: 18, fd: -100, addr, opFlags: flags };
  const fd = one(ring, openat);
  assert(fd >= 0, `openat: ${fd}`);
  try {
    use(fd);
  } finally {
    assertEquals(one(ring, { opcode: 19, fd }), 0); // close
  }
}

const O_RDONLY = 0;
const O_RDWR = 2;

for (
  const [shape, flags] of [
    ["without flags", 0],
    ["with SQEs of 128 bytes", raw.IORING_SETUP_SQE128],
    ["with CQEs of 32 bytes", raw.IORING_SETUP_CQE32],
    ["with both large", raw.IORING_SETUP_SQE128 | raw.IORING_SETUP_CQE32],
  ] as const
) {
  Deno.test(`no-ops go through a ring ${shape}, around its end`, () => {
    withRing({ entries: 4, flags }, (ring) => {
      assertEquals(ring.flags & flags, flags);
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 3; i++) {
          const userData = round * 3 + i;
          assert(raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData }));
        }
        const first = round * 3;
        assertEquals(
          run(ring, 3),
          [[first, 0], [first + 1, 0], [first + 2, 0]],
        );
      }
      assertEquals([ring.sq.publish(), ring.cq.ready, ring.cq.lost], [0, 0, 0]);
    });
  });
}

Deno.test("queues have a power of two of entries, as many as asked for", () => {
  for (const [entries, sq, cq] of [[1, 1, 2], [5, 8, 16], [64, 64, 128]]) {
    withRing({ entries }, (ring) => {
      assertEquals([ring.sq.entries, ring.cq.entries], [sq, cq]);
      assertEquals([ring.sq.space, ring.cq.ready], [sq, 0]);
    });
  }
  withRing({ entries: 4, cqEntries: 100 }, (ring) => {
    assertEquals(ring.cq.entries, 128);
  });
});

Deno.test("optional flags that the kernel does not know are dropped", () => {
  const optional = raw.IORING_SETUP_SQE_MIXED | raw.IORING_SETUP_CQE_MIXED |
    raw.IORING_SETUP_NO_SQARRAY;
  withRing({ entries: 4, optional }, (ring) => {
    for (
      const [name, bit] of [
        ["SQE_MIXED", raw.IORING_SETUP_SQE_MIXED],
        ["CQE_MIXED", raw.IORING_SETUP_CQE_MIXED],
      ] as const
    ) {
      const taken = (ring.flags & bit) !== 0;
      assertEquals(taken, setupFlags.includes(name), name);
    }
    assertEquals(one(ring, { opcode: raw.IORING_OP_NOP }), 0);
  });
});

Deno.test("the parameters of a ring are zero, but for those that were asked for", () => {
  const { symbols, nr } = libc();
  const real = symbols.call;
  const given: number[] = [];
  {
    using _setup = stub(symbols, "call", (number, ...args) => {
      const { bytes } = scratch();
      const size = sizeof(io_uring_params);
      if (number === nr.io_uring_setup) given.push(...bytes.slice(0, size));
      return real(number, ...args);
    });
    scratch().bytes.fill(0xee); // What an earlier call has left.
    raw.setup({ entries: 1 }).close();
  }
  assertEquals(given, new Array(sizeof(io_uring_params)).fill(0));
});

Deno.test("a ring that cannot be made names the errno", () => {
  for (
    const options of [
      { entries: 0 },
      { entries: 32769 },
      { entries: 4, cqEntries: 2 },
      { entries: 4, flags: 1 << 30 },
      { entries: 4, flags: raw.IORING_SETUP_DEFER_TASKRUN },
    ]
  ) {
    const error = assertThrows(() => raw.setup(options), UringError);
    assertEquals([error.code, error.op], ["EINVAL", "io_uring_setup"]);
  }
});

Deno.test("a full queue refuses SQEs, and loses none", () => {
  withRing({ entries: 2 }, (ring) => {
    const nop = (userData: number) =>
      raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData });
    assertEquals([nop(1), nop(2), nop(3)], [true, true, false]);
    assertEquals(ring.sq.publish(), 2);
    assertEquals(nop(4), false); // Published is not taken.
    assertEquals(run(ring, 2), [[1, 0], [2, 0]]);
    assertEquals([nop(5), ...run(ring, 1)], [true, [5, 0]]);
  });
});

Deno.test("SQEs submitted in two parts are submitted once", () => {
  withRing({ entries: 4 }, (ring) => {
    for (let userData = 0; userData < 4; userData++) {
      raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData });
    }
    assertEquals(ring.sq.publish(), 4);
    assertEquals(raw.enter(ring, { toSubmit: 1 }), 1);
    assertEquals([ring.sq.publish(), ring.sq.space], [3, 1]);
    assertEquals(run(ring, 4), [[0, 0], [1, 0], [2, 0], [3, 0]]);
  });
});

Deno.test("user_data comes back with all its bits", () => {
  withRing({ entries: 4 }, (ring) => {
    for (const userData of [0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData });
      raw.enter(ring, { toSubmit: ring.sq.publish(), minComplete: 1 });
      assert(ring.cq.next());
      assertEquals(ring.cq.userDataLow >>> 0, userData);
      assertEquals(ring.cq.userDataHigh, 0);
      ring.cq.commit();
    }
  });
});

Deno.test("prepRw writes every field where the kernel has it", () => {
  for (const flags of [0, raw.IORING_SETUP_SQE128]) {
    withRing({ entries: 4, flags }, ({ sq }) => {
      sq.words.fill(-1); // The content of an earlier command.
      raw.prepRw(sq, {
        opcode: 0xf1,
        flags: 0xf2,
        ioprio: 0xf3f4,
        fd: -100,
        off: 0xf9fa_fbfc_fdfe_ff01n,
        addr: 0x1f_f2f3_f4f5_f6f7,
        len: 0xf1f2_f3f4,
        opFlags: 0xf5f6_f7f8,
        userData: 0xf1f2_f3f5,
        bufIndex: 0xf1f2,
        fileIndex: 0xf3f4_f5f6,
        addr3: -1,
      });
      const sqe = io_uring_sqe;
      const { view } = sq;
      assertEquals(sqe.opcode.get(view, 0), 0xf1);
      assertEquals(sqe.flags.get(view, 0), 0xf2);
      assertEquals(sqe.ioprio.get(view, 0), 0xf3f4);
      assertEquals(sqe.fd.get(view, 0), -100);
      assertEquals(sqe.off.get(view, 0), 0xf9fa_fbfc_fdfe_ff01n);
      assertEquals(sqe.addr.get(view, 0), 0x1f_f2f3_f4f5_f6f7n);
      assertEquals(sqe.len.get(view, 0), 0xf1f2_f3f4);
      assertEquals(sqe.rw_flags.get(view, 0), 0xf5f6_f7f8);
      assertEquals(sqe.user_data.get(view, 0), 0xf1f2_f3f5n);
      assertEquals(sqe.buf_index.get(view, 0), 0xf1f2);
      assertEquals(sqe.personality.get(view, 0), 0);
      assertEquals(sqe.file_index.get(view, 0), 0xf3f4_f5f6);
      assertEquals(sqe.addr3.get(view, 0), 2n ** 64n - 1n);
      assertEquals([...sqe.__pad2.get(view, 0)], [0, 0, 0, 0, 0, 0, 0, 0]);
      // The second half of a large SQE is zeroed. The next SQE is unchanged.
      const rest = sq.words.subarray(16, sq.sqeWords);
      assertEquals([...rest], new Array(sq.sqeWords - 16).fill(0));
      assertEquals(sq.words[sq.sqeWords], -1);
      // Fields that are left out are 0.
      raw.prepRw(sq, { opcode: 1 });
      const next = sq.words.subarray(sq.sqeWords, 2 * sq.sqeWords);
      assertEquals([...next], [1, ...new Array(sq.sqeWords - 1).fill(0)]);
    });
  }
});

Deno.test("an SQE that cannot be filled is not in the queue", () => {
  withRing({ entries: 8 }, ({ sq }) => {
    const before = sq.pushed;
    for (const field of ["opcode", "fd", "addr", "userData", "addr3"]) {
      const sqe = Object.defineProperty({ opcode: 1 }, field, {
        get() {
          throw new Error("no field");
        },
      });
      assertThrows(() => raw.prepRw(sq, sqe), Error, "no field");
      assertEquals([sq.pushed, sq.publish()], [before, 0]);
    }
  });
});

Deno.test("an SQE of a getter that fills another one comes after it", () => {
  withRing({ entries: 8 }, (ring) => {
    const { sq } = ring;
    const nop = raw.IORING_OP_NOP;
    const sqe = {
      opcode: nop,
      get userData() {
        raw.prepRw(sq, { opcode: nop, userData: 1 });
        return 2;
      },
    };
    assert(raw.prepRw(sq, sqe));
    assertEquals(run(ring, 2), [[1, 0], [2, 0]]);
  });
});

Deno.test("a stack overflow in prepRw leaves no SQE, at any depth", () => {
  for (const flags of [0, raw.IORING_SETUP_SQE128]) {
    withRing({ entries: 8, flags }, (ring) => {
      const { sq } = ring;
      // Of each SQE an earlier read is left, which must not run again.
      const canary = raw.alloc(64);
      const addr = raw.addressOf(canary);
      withFd(ring, "/dev/zero", O_RDONLY, (fd) => {
        for (let i = 0; i < sq.entries; i++) {
          const opcode = raw.IORING_OP_READ;
          raw.prepRw(sq, { opcode, fd, addr, len: 64, userData: i });
        }
        run(ring, sq.entries);
        canary.fill(0xee);
        // Its getter needs more stack than all that prepRw calls.
        const deep = (n: number): number => n === 0 ? 99 : deep(n - 1);
        const nop = {
          opcode: raw.IORING_OP_NOP,
          get userData() {
            return deep(20);
          },
        };
        const at = (depth: number): boolean =>
          depth === 0 ? raw.prepRw(sq, nop) : at(depth - 1);
        const fits = (depth: number) => {
          const before = sq.pushed;
          try {
            assert(at(depth));
          } catch (error) {
            if (!(error instanceof RangeError)) throw error;
            assertEquals([sq.pushed, sq.publish()], [before, 0]);
            return false;
          }
          assertEquals(run(ring, 1), [[99, 0]]);
          return true;
        };
        let depth = 100;
        while (fits(depth)) depth += 100;
        for (let less = depth - 300; less < depth; less++) fits(less);
        assertEquals(canary.findIndex((byte) => byte !== 0xee), -1);
      });
    });
  }
});

Deno.test("a file is read into memory of alloc() by its address", () => {
  const content = new TextEncoder().encode("read by the bare ring");
  withFile(content, (path) => {
    withRing({ entries: 4 }, (ring) => {
      withFd(ring, path, O_RDONLY, (fd) => {
        const memory = raw.alloc(4096);
        const into = memory.subarray(100, 200);
        const addr = raw.addressOf(into);
        const len = into.length;
        const read = { opcode: raw.IORING_OP_READ, fd, addr, len, off: 5 };
        assertEquals(one(ring, read), content.length - 5);
        const expected = new Uint8Array(4096);
        expected.set(content.subarray(5), 100);
        assertEquals(memory, expected);
      });
    });
  });
});

Deno.test("a file is written from memory of alloc(), at the file position", () => {
  withFile(new Uint8Array(), (path) => {
    withRing({ entries: 4 }, (ring) => {
      withFd(ring, path, O_RDWR, (fd) => {
        const memory = raw.alloc(4);
        memory.set([1, 2, 3, 4]);
        const addr = raw.addressOf(memory);
        const opcode = raw.IORING_OP_WRITE;
        // An offset of -1 is the file's own position.
        for (let i = 0; i < 2; i++) {
          assertEquals(one(ring, { opcode, fd, addr, len: 4, off: -1 }), 4);
        }
      });
    });
    assertEquals([...Deno.readFileSync(path)], [1, 2, 3, 4, 1, 2, 3, 4]);
  });
});

Deno.test("a uring command reaches /dev/null, which answers 0", () => {
  for (const flags of [0, raw.IORING_SETUP_SQE128]) {
    withRing({ entries: 4, flags }, (ring) => {
      withFd(ring, "/dev/null", O_RDWR, (fd) => {
        const opcode = raw.IORING_OP_URING_CMD;
        assertEquals(one(ring, { opcode, fd, off: 0xffff_ffff }), 0);
        // The upper half of `off` must be 0 in a uring command.
        assertEquals(one(ring, { opcode, fd, off: 2 ** 32 }), -E.EINVAL);
        assertEquals(one(ring, { opcode, fd, opFlags: 1 << 5 }), -E.EINVAL);
      });
    });
  }
});

Deno.test("errors come back as negative numbers", () => {
  withRing({ entries: 4 }, (ring) => {
    assertEquals(one(ring, { opcode: raw.IORING_OP_READ, fd: -1 }), -E.EBADF);
    assertEquals(one(ring, { opcode: 255 }), -E.EINVAL);
    assertEquals(raw.enter(ring, { flags: 1 << 30 }), -E.EINVAL);
    const unmapped = { fd: 0, addr: 1, len: 1, off: -1 };
    withFd(ring, "/dev/zero", O_RDONLY, (fd) => {
      const read = { ...unmapped, opcode: raw.IORING_OP_READ, fd };
      assertEquals(one(ring, read), -E.EFAULT);
    });
  });
});

Deno.test("a link is cut by a failure, a hard link is not", () => {
  withRing({ entries: 8 }, (ring) => {
    const bad = { opcode: raw.IORING_OP_READ, fd: -1 };
    const nop = { opcode: raw.IORING_OP_NOP };
    const { sq } = ring;
    raw.prepRw(sq, { ...nop, userData: 1, flags: raw.IOSQE_IO_LINK });
    raw.prepRw(sq, { ...bad, userData: 2, flags: raw.IOSQE_IO_LINK });
    raw.prepRw(sq, { ...nop, userData: 3 });
    raw.prepRw(sq, { ...bad, userData: 4, flags: raw.IOSQE_IO_HARDLINK });
    raw.prepRw(sq, { ...nop, userData: 5 });
    assertEquals(run(ring, 5), [
      [1, 0],
      [2, -E.EBADF],
      [3, -E.ECANCELED],
      [4, -E.EBADF],
      [5, 0],
    ]);
  });
});

Deno.test("a success with IOSQE_CQE_SKIP_SUCCESS posts no completion", () => {
  withRing({ entries: 4 }, (ring) => {
    const flags = raw.IOSQE_CQE_SKIP_SUCCESS;
    raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData: 1, flags });
    raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData: 2 });
    assertEquals(run(ring, 1), [[2, 0]]);
  });
});

Deno.test("completions without room are kept, and flushed by enter()", () => {
  withRing({ entries: 4, cqEntries: 4 }, (ring) => {
    const { sq, cq } = ring;
    for (let userData = 0; userData < 12; userData++) {
      if (userData === 4) assertEquals([sq.overflowed, cq.ready], [false, 4]);
      raw.prepRw(sq, { opcode: raw.IORING_OP_NOP, userData });
      assertEquals(raw.enter(ring, { toSubmit: sq.publish() }), 1);
    }
    assertEquals([sq.overflowed, sq.needsEnter, cq.ready], [true, true, 4]);
    const found: number[] = [];
    while (found.length < 12) {
      while (cq.next()) found.push(cq.userDataLow);
      cq.commit();
      raw.enter(ring, { flags: raw.IORING_ENTER_GETEVENTS });
    }
    assertEquals(found, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assertEquals([sq.overflowed, cq.ready, cq.lost], [false, 0, 0]);
  });
});

Deno.test("a thread enters more rings than it can register", () => {
  const rings = Array.from({ length: 20 }, () => raw.setup({ entries: 1 }));
  for (const ring of rings) assertEquals(one(ring, { opcode: 0 }), 0);
  for (const ring of rings) ring.close();
  // The table is free again.
  withRing({ entries: 1 }, ({ fd }) => {
    const index = registerRingFd(fd);
    assert(index >= 0);
    unregisterRingFd(fd, index);
  });
});

/** Counts the descriptors and the mappings of rings of this process. */
const held = () => [openFdCount(), ringMappings()];

Deno.test("a ring whose workers cannot be limited leaves no descriptor and no mapping", () => {
  const before = held();
  const op = IORING_REGISTER_IOWQ_MAX_WORKERS;
  using _refused = refuse(["io_uring_register"], E.EPERM, op);
  assertThrows(
    () => raw.setup({ entries: 1, maxWorkers: 1 }),
    UringError,
    "maxWorkers",
  );
  assertEquals(held(), before);
});

for (const [part, count] of [["queues", 0], ["SQEs", 1]] as const) {
  Deno.test(`a ring whose ${part} cannot be viewed leaves no descriptor and no mapping`, async () => {
    const found = await scriptValue(
      `import { setup } from "@uring/ring/raw.ts";
      import { libc } from "@uring/sys/libc.ts";
      import { openDescriptors, readText } from "@uring/sys/file.ts";
      setup({ entries: 1 }).close();
      // Without Deno, which wants all permissions for these.
      const held = () => [
        openDescriptors().length,
        readText("/proc/self/maps").match(/io_uring/g)?.length,
      ].join();
      const before = held();
      const { symbols } = libc();
      const { mmap } = symbols;
      let calls = 0;
      symbols.mmap = (...args) => {
        const address = mmap(...args);
        // From here on Deno refuses views of memory.
        if (calls++ === ${count}) Deno.permissions.revokeSync({ name: "ffi" });
        return address;
      };
      let refused = false;
      try {
        setup({ entries: 1 });
      } catch (error) {
        refused = error instanceof Deno.errors.NotCapable;
      }
      console.log(JSON.stringify([refused, calls, before === held()]));`,
      ["-A"],
    );
    assertEquals(found, [true, count + 1, true]);
  });
}

Deno.test({
  name: "an SQE that the submission thread has not taken is not overwritten",
  ignore: !setupFlags.includes("SQPOLL"),
  async fn() {
    const flags = raw.IORING_SETUP_SQPOLL;
    const ring = raw.setup({ entries: 2, flags, sqThreadIdleMs: 1 });
    const { sq, cq } = ring;
    const nop = (userData: number) =>
      raw.prepRw(sq, { opcode: raw.IORING_OP_NOP, userData });
    await until(() => sq.needsWakeup);
    assertEquals([nop(1), nop(2)], [true, true]);
    const toSubmit = sq.publish();
    assertEquals(raw.enter(ring, { toSubmit }), 2); // The thread still sleeps.
    assertEquals([nop(3), sq.space], [false, 0]);
    raw.enter(ring, { toSubmit, flags: raw.IORING_ENTER_SQ_WAKEUP });
    await until(() => cq.ready === 2);
    assertEquals(nop(3), true);
    ring.close();
  },
});

Deno.test("held SQEs go through the array in any order", () => {
  withRing({ entries: 4, hold: true }, (ring) => {
    const { sq } = ring;
    assertEquals(ring.flags & raw.IORING_SETUP_NO_SQARRAY, 0);
    const taken: number[] = [];
    const nop = (userData: number) => {
      const at = sq.next();
      if (at < 0) return false;
      sq.words.fill(0, at, at + 16);
      sq.words[at + 8] = userData;
      taken.push(at);
      return true;
    };
    assertEquals([1, 2, 3, 4].map(nop), [true, true, true, true]);
    assertEquals(run(ring, 4), [[1, 0], [2, 0], [3, 0], [4, 0]]);
    assertEquals([nop(5), sq.space], [false, 0]);
    for (const at of [32, 0, 48]) sq.release(at);
    assertEquals([5, 6, 7, 8].map(nop), [true, true, true, false]);
    assertEquals(taken.slice(4), [48, 0, 32]);
    assertEquals(run(ring, 3), [[5, 0], [6, 0], [7, 0]]);
  });
});

Deno.test({
  name: `a mixed ring posts completions of both sizes, fillers and all${
    setupFlags.includes("CQE_MIXED") ? "" : " (no CQE_MIXED here)"
  }`,
  ignore: !setupFlags.includes("CQE_MIXED"),
  fn() {
    const flags = raw.IORING_SETUP_CQE_MIXED;
    withRing({ entries: 4, cqEntries: 8, flags }, (ring) => {
      const { sq, cq } = ring;
      let places = 0;
      let fillers = 0;
      for (let i = 0; i < 100; i++) {
        const wide = i % 3 !== 0;
        raw.prepRw(sq, {
          opcode: raw.IORING_OP_NOP,
          opFlags: wide ? IORING_NOP_CQE32 : 0,
          off: 2n ** 63n + BigInt(i),
          addr: i,
          userData: i,
        });
        raw.enter(ring, { toSubmit: sq.publish(), minComplete: 1 });
        const ready = cq.ready;
        assert(cq.next());
        assertEquals([cq.userDataLow, cq.res, cq.wide], [i, 0, wide]);
        assertEquals(cq.extra(0), wide ? 2n ** 63n + BigInt(i) : 0n);
        assertEquals(cq.extra(1), wide ? BigInt(i) : 0n);
        const filler = wide && places % 8 === 7;
        assertEquals(ready, (wide ? 2 : 1) + (filler ? 1 : 0));
        places += ready;
        fillers += filler ? 1 : 0;
        assertEquals(cq.next(), false);
        cq.commit();
      }
      assert(fillers > 0, "no filler was needed");
    });
  },
});

Deno.test({
  name: `a mixed ring takes SQEs of both sizes, and chains of them${
    setupFlags.includes("SQE_MIXED") ? "" : " (no SQE_MIXED here)"
  }`,
  ignore: !setupFlags.includes("SQE_MIXED"),
  fn() {
    const flags = raw.IORING_SETUP_SQE_MIXED;
    withRing({ entries: 8, flags }, (ring) => {
      const { sq } = ring;
      const push = (
        userData: number,
        sqe: { wide?: boolean; bad?: boolean; link?: boolean },
      ) => {
        const { wide = false, bad = false, link = false } = sqe;
        const at = sq.next(wide);
        assert(at >= 0);
        sq.words.fill(0, at, at + (wide ? 32 : 16));
        const small = bad ? raw.IORING_OP_READ : raw.IORING_OP_NOP;
        const opcode = wide ? IORING_OP_NOP128 : small;
        sq.words[at] = opcode | (link ? raw.IOSQE_IO_LINK << 8 : 0);
        sq.words[at + 1] = -1; // fd
        sq.words[at + 8] = userData;
      };
      // The chains start at every place of the ring, including the last two.
      for (let round = 0; round < 64; round++) {
        push(1, { link: true });
        push(2, { wide: round % 2 === 0, link: true });
        push(3, { wide: true });
        assertEquals(run(ring, 3), [[1, 0], [2, 0], [3, 0]]);
        push(1, { bad: true, link: true });
        push(2, { wide: true });
        assertEquals(run(ring, 2), [[1, -E.EBADF], [2, -E.ECANCELED]]);
        for (let more = round % 3; more > 0; more--) push(4, {});
        run(ring, round % 3);
      }
    });
  },
});

Deno.test("memory of alloc() is zeroed, aligned, and of the size asked for", () => {
  for (const length of [1, 4096, 65536, 65537]) {
    const memory = raw.alloc(length);
    assertEquals(memory.length, length);
    assertEquals(raw.addressOf(memory) % 65536, 0);
    assert(memory.every((byte) => byte === 0));
  }
  for (const length of [0, -1, NaN, 1.5, 2 ** 32]) {
    assertThrows(() => raw.alloc(length), RangeError, "byteLength must be");
  }
});

Deno.test("an address is that of the first byte, whatever the view", () => {
  const memory = raw.alloc(64);
  const base = raw.addressOf(memory);
  assertEquals(raw.addressOf(memory.subarray(5, 5)), base + 5);
  assertEquals(raw.addressOf(new Uint8Array(memory.buffer, 17)), base + 17);
});

Deno.test("memory that could go away has no address", () => {
  withRing({ entries: 4 }, ({ sq }) => {
    for (
      const bytes of [
        new Uint8Array(8),
        new Uint8Array(new SharedArrayBuffer(8)),
        new Uint8Array(sq.words.buffer),
        raw.alloc(8).slice(),
      ]
    ) {
      assertThrows(() => raw.addressOf(bytes), TypeError, "alloc()");
    }
  });
});

Deno.test("closing detaches every view of the ring", () => {
  const ring = raw.setup({ entries: 4 });
  const { sq, cq } = ring;
  const { words, view } = sq;
  const copy = new Uint8Array(words.buffer);
  raw.prepRw(sq, { opcode: raw.IORING_OP_NOP });
  raw.enter(ring, { toSubmit: sq.publish(), minComplete: 1 });
  assertEquals(words.length, 64);
  ring.close();
  assertEquals([words.length, copy.length, sq.words.length], [0, 0, 0]);
  assertEquals([words[0], copy[0]], [undefined, undefined]);
  words[0] = 1; // It goes nowhere.
  copy[0] = 1;
  for (
    const use of [
      () => view.getUint8(0),
      () => view.setUint8(0, 1),
      () => sq.space,
      () => sq.publish(),
      () => sq.needsEnter,
      () => cq.next(),
      () => cq.ready,
      () => cq.commit(),
      () => cq.lost,
      () => cq.eventfd = true,
    ]
  ) {
    assertThrows(use, TypeError, "detached", use.toString());
  }
  // Stores to an SQE still go nowhere.
  raw.prepRw(sq, { opcode: raw.IORING_OP_NOP });
  assertEquals(sq.words.length, 0);
  assertEquals(raw.enter(ring, { toSubmit: 1 }), -E.EBADF);
  ring.close(); // A second call does nothing.
});

Deno.test("after the SQEs were detached, publish() refuses", () => {
  const ring = raw.setup({ entries: 4 });
  const { sq, cq } = ring;
  raw.prepRw(sq, { opcode: raw.IORING_OP_NOP, userData: 1 });
  raw.enter(ring, { toSubmit: sq.publish(), minComplete: 1 });
  while (cq.next());
  cq.commit();
  const buffer = sq.words.buffer as ArrayBuffer;
  structuredClone(buffer, { transfer: [buffer] });
  raw.prepRw(sq, { opcode: raw.IORING_OP_NOP, userData: 2 });
  assertThrows(() => sq.publish(), TypeError, "detached");
  assertEquals([raw.enter(ring, { toSubmit: 4 }), cq.ready], [0, 0]);
  ring.close();
});

Deno.test("a closed ring does not enter another ring of its number", () => {
  const closed = raw.setup({ entries: 4 });
  closed.close();
  withRing({ entries: 4 }, (ring) => {
    assertEquals(ring.fd, closed.fd);
    raw.prepRw(ring.sq, { opcode: raw.IORING_OP_NOP, userData: 1 });
    assertEquals(ring.sq.publish(), 1);
    assertEquals(raw.enter(closed, { toSubmit: 1 }), -E.EBADF);
    closed.close(); // Once more closes nothing.
    Deno.readLinkSync(`/proc/self/fd/${ring.fd}`);
    assertEquals(run(ring, 1), [[1, 0]]);
  });
});

Deno.test("a ring whose descriptor somebody closed closes no other file of that number", () => {
  const ring = raw.setup({ entries: 4 });
  close(ring.fd);
  using files = new DisposableStack();
  // The kernel gives out the lowest number that is free.
  while (files.use(devNull()).fd !== ring.fd);
  ring.close();
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${ring.fd}`), "/dev/null");
});
