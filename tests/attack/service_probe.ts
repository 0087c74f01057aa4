/**
 * Cuts calls of a service short, by the end of the stack or by the timeout of
 * `node:vm`, and prints a line for each thing that went wrong. Its arguments are one
 * of {@linkcode PROBES}.
 */

import { createContext, runInContext } from "node:vm";
import { uringCmd } from "../../mod.ts";
import { Service } from "../../ring/service/service.ts";
import { devNull } from "../kit/fds.ts";
import { descriptors } from "../kit/process.ts";
import { sleep } from "../kit/wait.ts";

const TAGS = 1000;
const ROUNDS = 24;
/** Calls in a row that return before a round ends. */
const ENOUGH = 4;

const problems = new Set<string>();
globalThis.addEventListener("error", (event) => {
  problems.add(`reported: ${event.message}`);
  event.preventDefault();
});
using file = devNull();
const command = uringCmd({ fd: file.fd, cmd_op: 0 });

/** Makes a service whose receivers count. */
function counting(
  tags: number,
): { service: Service; told: Uint32Array; again: Uint32Array } {
  const service = Service.open({ tags });
  const told = new Uint32Array(tags);
  /** Times that a receiver submits its tag again. */
  const again = new Uint32Array(tags);
  for (let tag = 0; tag < tags; tag++) {
    service.prepare(tag, command, (tag) => {
      told[tag]++;
      if (again[tag] === 0) return;
      again[tag]--;
      service.submit(tag);
    });
  }
  return { service, told, again };
}

async function isIdle(service: Service): Promise<boolean> {
  for (let i = 0; i < 3000 && service.inFlight > 0; i++) await sleep(1);
  return service.inFlight === 0;
}

/** Makes calls at every depth of the stack, until some return. Returns which threw. */
function atEveryDepth(round: number, call: (i: number) => void): boolean[] {
  const threw: boolean[] = [];
  let returned = 0;
  const descend = (..._pad: number[]): void => {
    try {
      descend();
    } catch {
      // The end of the stack.
    }
    if (returned === ENOUGH || threw.length === TAGS) return;
    const place = threw.length;
    threw.push(true);
    try {
      call(place);
      threw[place] = false;
      returned++;
    } catch {
      returned = 0;
    }
  };
  descend(...new Array(round).fill(0));
  return threw;
}

const PROBES: Readonly<Record<string, () => Promise<void>>> = {
  async submit() {
    for (let round = 0; round < ROUNDS; round++) {
      const { service, told } = counting(TAGS);
      const threw = atEveryDepth(round, (i) => service.submit(i));
      if (!await isIdle(service)) problems.add("a tag never completes");
      for (const [tag, refused] of threw.entries()) {
        if (told[tag] !== (refused ? 0 : 1)) {
          problems.add(`tag told ${told[tag]} times; threw: ${refused}`);
        }
      }
      for (let tag = 0; tag < TAGS; tag++) service.submit(tag);
      if (!await isIdle(service)) problems.add("a tag is lost");
      await service.close();
    }
  },

  async run() {
    for (let round = 0; round < ROUNDS; round++) {
      const { service, told, again } = counting(4);
      again.fill(20);
      for (let tag = 0; tag < 4; tag++) service.submit(tag);
      atEveryDepth(round, () => service.run());
      if (!await isIdle(service)) problems.add("a tag never completes");
      if (told.some((count) => count !== 21)) problems.add(`told ${told}`);
      await service.close();
    }
  },

  async abandon() {
    const rings = descriptors("io_uring").length;
    for (let round = 0; round < ROUNDS; round++) {
      const { service } = counting(1);
      service.submit(0);
      if (round % 2 === 0) await sleep(1);
      atEveryDepth(round, () => service.abandon());
      service.abandon();
      if (service.isOpen) problems.add("it is still open");
      if (descriptors("io_uring").length !== rings) {
        problems.add("a ring leaks");
      }
      await service.close();
    }
  },

  async timeout() {
    // Deno loads it at its first use, and ends the program if that is cut short.
    await new Promise((resolve) => setImmediate(resolve));
    const { service, told, again } = counting(8);
    let inside = true;
    // Deno loses a timeout that comes before the program has begun.
    let end = 0;
    const late = () => performance.now() > end;
    const endless = Service.open({ tags: 2 });
    const calls = [0, 0];
    for (let tag = 0; tag < 2; tag++) {
      endless.prepare(tag, command, (tag) => {
        calls[tag]++;
        while (inside && tag === 0 && !late());
      });
    }
    const programs = [
      `while (!late()) {
        for (let tag = 0; tag < 8; tag++) {
          again[tag] = 50;
          try { service.submit(tag); } catch (_) {}
        }
        service.run();
      }`,
      "endless.submit(0); endless.submit(1); endless.run();",
    ];
    const context = createContext({ service, again, endless, late });
    for (let round = 0; round < 60 && problems.size === 0; round++) {
      inside = true;
      end = performance.now() + 1000;
      calls.fill(0);
      try {
        const program = programs[round % 2];
        runInContext(program, context, { timeout: 1 + round % 5 });
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") problems.add(`${error}`);
      }
      inside = false;
      const begun = calls[0] > 0 && !late(); // Or the timeout came before it.
      if (!await isIdle(service)) problems.add("a tag never completes");
      if (!await isIdle(endless)) problems.add("what was cut short hangs");
      // The one that was cut short is called again, and the other once.
      if (begun ? `${calls}` !== "2,1" : Math.max(...calls) > 1) {
        problems.add(`receivers were called ${calls} times`);
      }
      again.fill(0);
      told.fill(0);
      for (let tag = 0; tag < 8; tag++) service.submit(tag);
      if (!await isIdle(service)) problems.add("a tag is lost");
      if (told.some((count) => count !== 1)) problems.add(`told ${told}`);
    }
    await service.close();
    await endless.close();
  },
};

await PROBES[Deno.args[0]]();
for (const problem of problems) console.log(problem);
Deno.exit(0);
