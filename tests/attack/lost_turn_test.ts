/**
 * What calls leave behind that were cut short, where nothing but the ring itself can
 * bring it to an end.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { Batch } from "../../ring/flight/batch.ts";
import { Slot } from "../../ring/flight/slot.ts";
import { runScript } from "../kit/run.ts";

/** The start of a script with a ring and a module to require. */
const START = `
  import vm from "node:vm";
  import { createRequire } from "node:module";
  import { Ring, uringCmd } from "@uring/mod.ts";
  import * as op from "@uring/cmd/op.ts";
  import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
  import { sleep, until } from "@uring/tests/kit/wait.ts";
  const ring = Ring.open();
  const context = globalThis as unknown as Record<string, unknown>;
  // Ends also if the timeout comes before the microtasks run: on a busy machine.
  const loop = () => { while (context.inside) ; };
  Object.assign(context, { ring, op, loop });
  function untilTimeout(code: string): void {
    context.inside = true;
    try {
      vm.runInThisContext(code, { timeout: 500 });
    } catch (error) {
      if ((error as { code: string }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    } finally {
      context.inside = false;
    }
  }
`;

/** Asserts what a script prints. It has a minute. */
async function assertPrints(script: string, expected: string): Promise<void> {
  const { code, stdout, stderr } = await runScript(
    START + script,
    ["-A", "--v8-flags=--expose-gc"],
    ["timeout", "60"],
  );
  assertEquals([code, stdout, stderr], [0, expected, ""]);
}

for (const commands of [1, 2, 3]) {
  Deno.test(`after V8 has dropped the turn of ${commands} commands, the next command brings another`, async () => {
    await assertPrints(
      `
      const path = await Deno.makeTempFile({ suffix: ".mjs" });
      context.load = () => createRequire(path)(path); // It runs microtasks.
      await ring.cmd(op.nop());
      await sleep(1); // In a microtask, they would not run.
      setTimeout(async () => {
        untilTimeout(\`
          Promise.resolve().then(loop);
          for (let i = 0; i < ${commands}; i++) {
            ring.cmd(op.nop()).then(() => console.log("settled"));
          }
          load();
        \`);
        await ring.cmd(op.nop());
        console.log("the next one");
        console.log(await ring.cmdAll([op.nop()]), ring.cmdSync(op.nop()));
        await ring.close();
        await Deno.remove(path);
      }, 1);
    `,
      "settled\n".repeat(commands) + "the next one\n[ 0 ] 0\n",
    );
  });
}

for (
  const [what, read] of [
    ["with memory of its own", "op.read(left, new Uint8Array(8))"],
    ["with memory of alloc()", "op.read(left, ring.alloc(8))"],
    ["without memory", "op.poll(left, { events: op.POLLIN })"],
  ]
) {
  Deno.test(`a command ${what} whose synchronous call has timed out is cancelled`, async () => {
    await assertPrints(
      `
      const { left, right } = pipe();
      const fd = await ring.cmd(op.openat("/dev/null"));
      context.slow = uringCmd({ fd, cmd_op: 0, decode: () => { for (;;); } });
      context.late = ${read};
      untilTimeout("ring.cmdAllSync([slow, late])");
      await ring.cmd(op.nop()); // The next call puts the ring in order.
      await until(() => ring.stats().inFlight === 0);
      writeSync(right, "x"); // No command is there to take it.
      console.log(await ring.cmd(op.read(left, new Uint8Array(8))));
      await ring.close();
    `,
      "1\n",
    );
  });
}

Deno.test("a call that was cut short in a decoder gives its slot back although others follow", async () => {
  await assertPrints(
    `
    const fd = await ring.cmd(op.openat("/dev/null"));
    const [file] = ring.registerFiles([fd]);
    const addr = { bytes: new Uint8Array(64), kernel: "reads" } as const;
    const command = uringCmd({ fd: file, cmd_op: 0, addr });
    let calls = 0;
    function deep(): void {
      try {
        deep();
      } catch {
        // The stack is full.
      }
      if (calls++ < 3000) ring.cmd(command).catch(() => {});
    }
    const decode = () => {
      try {
        deep();
      } catch {
        // It was full for cmd(), too.
      }
      return 1;
    };
    console.log(await ring.cmd(uringCmd({ fd, cmd_op: 0, decode })));
    await until(() => ring.stats().inFlight === 0);
    await ring.cmd(op.nop());
    ring.unregisterFiles(); // Refused if a command were in flight.
    await ring.close();
  `,
    "1\n",
  );
});

/** Rejects the promises of commands, as V8 does where their functions find no room. */
function fullStack(): Disposable {
  const noRoom = () =>
    new Promise<unknown>(() => {
      throw new RangeError("the stack is full");
    });
  const stack = new DisposableStack();
  stack.use(stub(Slot.prototype, "await", noRoom));
  stack.use(stub(Batch.prototype, "await", noRoom));
  return stack;
}

Deno.test("where the stack has no room for a promise's function, the call is refused, and the ring goes on", async () => {
  const ring = Ring.open();
  const before = ring.cmd(op.nop());
  const promises: Promise<unknown>[] = [];
  {
    using _full = fullStack();
    promises.push(ring.cmd(op.nop()));
    promises.push(...ring.link([op.nop(), op.nop(), op.nop()]));
    promises.push(ring.cmdAll([op.nop(), op.read(0, new Uint8Array(8))]));
  }
  for (const promise of promises) {
    await assertRejects(() => promise, RangeError, "the stack is full");
  }
  assertEquals(await before, 0);
  assertEquals(await ring.cmdAll([op.nop(), op.nop()]), [0, 0]);
  assertEquals(ring.cmdSync(op.nop()), 0);
  assertEquals(ring.stats().inFlight, 0);
  await ring.close();
});

for (
  const [what, before] of [
    ["an idle", ""],
    ["a busy", "ring.cmd(op.timeout(60000)).catch(() => {});"],
  ]
) {
  Deno.test(`after V8 has dropped the turn that closes ${what} ring, the ring closes`, async () => {
    await assertPrints(
      `
      const path = await Deno.makeTempFile({ suffix: ".mjs" });
      context.load = () => createRequire(path)(path); // It runs microtasks.
      await ring.cmd(op.nop());
      ${before}
      await sleep(1); // In a microtask, they would not run.
      setTimeout(async () => {
        untilTimeout(\`
          Promise.resolve().then(loop);
          closing = ring.close();
          load();
        \`);
        await context.closing;
        console.log(ring.fd);
        await Deno.remove(path);
      }, 1);
    `,
      "-1\n",
    );
  });
}

Deno.test("after V8 has dropped the microtask of an abort, the commands are cancelled", async () => {
  await assertPrints(
    `
    const path = await Deno.makeTempFile({ suffix: ".mjs" });
    const abort = new AbortController();
    const { signal } = abort;
    context.load = () => createRequire(path)(path); // It runs microtasks.
    context.abort = abort;
    const over = [
      ring.cmd(op.timeout(60000), { signal }),
      ring.cmdAll([op.timeout(60000)], { signal }),
    ];
    await sleep(1); // In a microtask, they would not run.
    setTimeout(async () => {
      untilTimeout(\`
        Promise.resolve().then(loop);
        abort.abort();
        load();
      \`);
      for (const { status } of await Promise.allSettled(over)) console.log(status);
      await ring.close();
      await Deno.remove(path);
    }, 1);
  `,
    "rejected\nrejected\n",
  );
});
