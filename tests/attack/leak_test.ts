/** Many rings and many commands leak nothing. */

import { assertEquals, assertLess } from "@std/assert";
import { runScript } from "../kit/run.ts";

/** Rings that are opened and closed. */
const cycles = Number(Deno.env.get("CYCLES") ?? 100_000);

/** Megabytes that a process may be larger than before. */
const LARGER = 8;

interface Measures {
  /** Rings, eventfds and pipes: Deno opens files and sockets of its own. */
  readonly descriptors: number;
  readonly mappings: number;
  /** Mappings of rings. */
  readonly rings: number;
  /** Kilobytes of registered buffers. */
  readonly pinned: number;
  /** Megabytes in use. */
  readonly resident: number;
}

interface Measured {
  readonly before: Measures;
  readonly after: Measures;
  readonly seconds: number;
}

/**
 * Runs `run`, which a script defines, half as often and then as often as asked:
 * what V8 keeps for so much garbage is made in the first part.
 */
async function measured(script: string, count: number): Promise<Measured> {
  const source = `
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { siocinq } from "@uring/cmd/socket/mod.ts";
    import { pipe, tcpPair } from "@uring/tests/kit/fds.ts";
    import { collect, until } from "@uring/tests/kit/wait.ts";

    const lines = (file, what) => Deno.readTextFileSync("/proc/self/" + file)
      .split("\\n").filter((line) => what.test(line));
    const pinned = () => parseInt(lines("status", /VmPin/)[0].slice(6));

    const descriptors = () => [...Deno.readDirSync("/proc/self/fd")]
      .map(({ name }) => {
        try {
          return Deno.readLinkSync("/proc/self/fd/" + name);
        } catch {
          return ""; // The directory that is read here.
        }
      }).filter((link) => /^(anon_inode|pipe):/.test(link)).length;

    const counts = () => ({
      descriptors: descriptors(),
      rings: lines("maps", /io_uring/).length,
      pinned: pinned(),
    });

    // The kernel takes a ring apart some time after it was closed, and V8 tells
    // of memory that it has collected in later turns. What stays leaks.
    async function measure(expected) {
      const settled = () =>
        JSON.stringify(counts()) === JSON.stringify(expected ?? counts());
      await until(() => pinned() === 0);
      for (let i = 0; i < 5 || !settled() && i < 500; i++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return {
        ...counts(),
        mappings: lines("maps", /./).length,
        resident: Deno.memoryUsage().rss / 2 ** 20,
      };
    }
    ${script}
    await run(${count / 2});
    const before = await measure();
    const { descriptors: fds, rings, pinned: pins } = before;
    const same = { descriptors: fds, rings, pinned: pins };
    const start = performance.now();
    await run(${count});
    const seconds = (performance.now() - start) / 1000;
    let after = await measure(same);
    if (after.resident >= before.resident + ${LARGER}) {
      // V8 may have grown by itself: what leaks does so each time.
      before.resident = after.resident;
      await run(${count});
      after = await measure(same);
    }
    console.log(JSON.stringify({ before, after, seconds }));
    Deno.exit();
  `;
  // V8's young generation would grow by some MiB while it is at work.
  const v8 = "--v8-flags=--expose-gc,--max-semi-space-size=1";
  const flags = ["--allow-all", v8];
  const { code, stdout, stderr } = await runScript(source, flags);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

/** Allows a little more only of what goes up and down by itself. */
function assertFlat({ before, after, seconds }: Measured, what: string): void {
  const text = (each: Measures) => JSON.stringify(each).replaceAll('"', "");
  console.log(`${what} in ${seconds.toFixed(1)} s: ${text(before)} before,`);
  console.log(`${text(after)} after`);
  const { descriptors, rings, pinned } = after;
  assertEquals({ ...before, descriptors, rings, pinned }, before);
  assertLess(after.mappings, before.mappings + 64); // V8's heap.
  assertLess(after.resident, before.resident + LARGER);
}

Deno.test(`opening, using and closing ${cycles} rings leaks nothing`, async () => {
  const found = await measured(
    `
    const memory = (await import("@uring/ring/alloc.ts")).alloc(4096);
    async function run(count) {
      for (let i = 0; i < count; i++) {
        const ring = Ring.open({ deferTaskrun: i % 3 === 0 });
        if (i % 10 === 0) ring.registerBuffers([memory]);
        // A later completion needs an eventfd as well.
        await ring.cmd(i % 100 === 0 ? op.timeout(0.1) : op.nop());
        await ring.close();
      }
    }
  `,
    cycles,
  );
  assertFlat(found, `${cycles} rings`);
});

Deno.test("ten million commands leak nothing", async () => {
  const found = await measured(
    `
    const ring = Ring.open();
    const pair = tcpPair();
    const ends = pipe();
    const memory = ring.alloc(8192);
    const batch = Array.from({ length: 128 }, (_, i) =>
      i % 4 < 2 ? siocinq(pair.left)
      : i % 4 === 2 ? op.write(ends.right, memory.subarray(0, 16))
      : op.read(ends.left, memory.subarray(4096, 4112)));
    function run(count) {
      for (let done = 0; done < count; done += batch.length) {
        const results = ring.cmdAllSync(batch);
        if (results.some((each, i) => each !== (i % 4 < 2 ? 0 : 16))) {
          throw new Error("a command has another's result");
        }
      }
    }
  `,
    10_000_000,
  );
  assertFlat(found, "ten million commands");
});

Deno.test("tables that change and provided buffers leak nothing", async () => {
  const rounds = Math.ceil(cycles / 50);
  const found = await measured(
    `
    async function run(count) {
      for (let i = 0; i < count; i++) {
        const ring = Ring.open({ deferTaskrun: i % 3 === 0 });
        const ends = pipe();
        const buffers = ring.registerBufferRing({ count: 4, byteLength: 4096 });
        ring.registerFiles([null, null]);
        ring.registerBuffers([null]);
        const personality = ring.registerPersonality();
        for (let j = 0; j < 4; j++) {
          const file = ring.updateFile(j % 2, ends.left);
          const buffer = ring.updateBuffer(0, ring.alloc(8));
          await ring.cmd(op.write(ends.right, new Uint8Array(8)));
          const lent = await ring.cmd(op.read(file, buffers), { personality });
          if (i % 2 === 0) lent.release();
          await ring.cmd(op.write(ends.right, new Uint8Array(8)));
          await ring.cmd(op.read(file, buffer.bytes, { buffer }));
          ring.updateFile(j % 2, null);
        }
        const again = ring.registerBufferRing({ count: 4, byteLength: 64 });
        ring.unregisterBufferRing(again);
        ends[Symbol.dispose]();
        await ring.close();
      }
    }
  `,
    rounds,
  );
  assertFlat(found, `${rounds} rings with tables`);
});
