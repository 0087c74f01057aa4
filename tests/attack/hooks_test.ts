/**
 * Hooks of `node:async_hooks`, which Deno calls inside `setTimeout`, `setImmediate`
 * and `clearTimeout`. What a program does there with a ring meets it in order.
 */

import { assertEquals } from "@std/assert";
import { scriptValue } from "../kit/run.ts";

/** Runs a script with a ring, pipes, and `hook(type, act)`, which acts once. */
function hooked(source: string): Promise<unknown> {
  return scriptValue(
    `import { createHook } from "node:async_hooks";
    import { Ring } from "@uring/mod.ts";
    import * as op from "@uring/cmd/op.ts";
    import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
    let wanted = "";
    let act = () => {};
    const hook = (type: string, then: () => void) => (wanted = type, act = then);
    createHook({
      init(_id, type) {
        if (type !== wanted) return;
        wanted = "";
        act();
      },
    }).enable();
    const ring = Ring.open();
    await ring.cmd(op.timeout(1)); // The modules that wake the event loop are there.
    ${source}`,
    ["-A"],
  );
}

Deno.test("a command of a hook has memory of its own while much memory is given back", async () => {
  const found = await hooked(`
    const MIB = 1 << 20;
    using mine = pipe();
    using others = pipe();
    const inner = new Uint8Array(MIB);
    const settled = [];
    const track = (name, promise) =>
      promise.then((value) => settled.push(name + value), () => settled.push(name));
    let before = true;
    hook("Timeout", () => {
      before = false;
      track("inner ", ring.cmd(op.read(mine.left, inner)));
    });
    const gone = new Uint8Array(16);
    const commands = Array.from(
      { length: 41 },
      (_, i) => op.read(others.left, i === 40 ? gone : new Uint8Array(MIB)),
    );
    gone.buffer.transfer();
    track("refused", ring.cmdAll(commands));
    await new Promise((resolve) => setImmediate(resolve));
    const asked = !before;
    const victim = new Uint8Array(MIB);
    track("victim ", ring.cmd(op.read(others.left, victim)));
    writeSync(mine.right, "inner");
    writeSync(others.right, "v");
    while (settled.length < 3) await new Promise((r) => setTimeout(r, 5));
    await ring.close();
    const text = (bytes) => new TextDecoder().decode(bytes.subarray(0, 5));
    console.log(JSON.stringify([asked, settled.sort(), text(inner), victim[0], victim[1]]));
  `);
  const settled = ["inner 5", "refused", "victim 1"];
  assertEquals(found, [true, settled, "inner", "v".charCodeAt(0), 0]);
});

Deno.test("a command does not run on a table that a hook has exchanged", async () => {
  const found = await hooked(`
    const [a, b] = [pipe(), pipe()];
    const said = [];
    const calls = {
      cmd: (command) => ring.cmd(command),
      cmdAll: (command) => ring.cmdAll([command]),
      link: (command) => ring.link([command])[0],
    };
    for (const call of Object.values(calls)) {
      let exchanged = false;
      while (!exchanged) {
        const [file] = ring.registerFiles([a.right]);
        await ring.cmd(op.nop());
        hook("Immediate", () => {
          exchanged = true;
          ring.unregisterFiles();
          ring.registerFiles([b.right]);
        });
        const written = call(op.write(file, new TextEncoder().encode("a")));
        hook("", () => {});
        const outcome = await written.then(() => "", ({ message }) => message);
        if (exchanged) said.push(outcome);
        ring.unregisterFiles();
      }
    }
    const left = await ring.cmd(op.poll(b.left, { events: op.POLLIN }), {
      signal: AbortSignal.timeout(50),
    }).catch(({ name }) => name);
    console.log(JSON.stringify([said, left]));
    await ring.close();
  `);
  const message =
    "WRITE names a file that is not in this ring's table of files";
  assertEquals(found, [[message, message, message], "TimeoutError"]);
});

Deno.test("an abort in a hook is not lost", async () => {
  const found = await hooked(`
    const outcomes = [];
    const calls = {
      cmd: (signal) => ring.cmd(op.timeout(60_000), { signal }),
      cmdAll: (signal) => ring.cmdAll([op.timeout(60_000)], { signal }),
      link: (signal) => ring.link([op.timeout(60_000)], { signal })[0],
    };
    for (const [name, call] of Object.entries(calls)) {
      for (let hit = false; !hit;) {
        await ring.cmd(op.nop());
        const controller = new AbortController();
        hook("Immediate", () => controller.abort());
        const running = call(controller.signal);
        hook("", () => {});
        hit = controller.signal.aborted;
        controller.abort();
        const outcome = await running.catch((error) => error.name);
        if (hit) outcomes.push(name + " " + outcome);
      }
    }
    console.log(JSON.stringify(outcomes));
    await ring.close();
  `);
  assertEquals(found, [
    "cmd AbortError",
    "cmdAll AbortError",
    "link AbortError",
  ]);
});

Deno.test("close() in a hook of close() leaves no timer", async () => {
  // It would print a warning after five seconds, which fails the script.
  const found = await hooked(`
    hook("Timeout", () => void ring.close());
    await ring.close();
    console.log("0");
  `);
  assertEquals(found, 0);
});
