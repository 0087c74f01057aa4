/**
 * Random arguments and random answers of the kernel: each gives a result, or an
 * error that the library means to throw. A property that fails prints its seed.
 * `FUZZ_SEED` replays a seed, and `FUZZ_FACTOR` multiplies the runs.
 */

import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import fc from "fast-check";
import { OpenFile, probe, Ring, UringError } from "../../mod.ts";
import { nop, read, sendZc } from "../../cmd/op.ts";
import {
  Command,
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQE128,
  setup,
} from "../../ring/raw.ts";
import { setupFlagNames } from "../../ring/bare/setup_advice.ts";
import { CommandStream } from "../../ring/flight/stream.ts";
import { answer, decodeRandom, forge, forged } from "./fuzz/cqes.ts";
import { checkCommand } from "./fuzz/invariants.ts";
import { attempt, runs, settled } from "./fuzz/judge.ts";
import { makers, missing } from "./fuzz/makers.ts";
import { before, methods, oddOptions } from "./fuzz/rings.ts";
import { Files, judgeSqes, sqe } from "./fuzz/sqes.ts";
import { most, Recipe } from "./fuzz/values.ts";
import { reportedErrors } from "../kit/reported_errors.ts";
import { tcpPair } from "../kit/fds.ts";
import { testUnless } from "../kit/skip.ts";

const { setupFlags, opcodes } = probe();

Deno.test("the tests call every exported function", () => {
  // The last takes nothing, and rings have properties of their own below.
  assertEquals(missing(), [
    "root.CommandError",
    "root.Field",
    "root.OpenFile",
    "root.Ring",
    "root.UringError",
    "root.probe",
  ]);
});

for (const { name, make, parameters } of makers) {
  Deno.test(`${name} takes good arguments, and names the others in an error`, () => {
    const passed = fc.tuple(...parameters.map((good) => most(good)));
    let taken = 0;
    const call = (args: unknown[]) => {
      const result = attempt(() => {
        try {
          const made = Reflect.apply(make, undefined, args);
          taken++;
          return made;
        } catch (error) {
          // The kernel refused it, and not the library.
          if (error instanceof UringError) taken++;
          throw error;
        }
      });
      if (result instanceof OpenFile) result.close();
      if (Command.is(result)) checkCommand(result, name.endsWith("()"));
    };
    fc.assert(
      fc.property(passed, fc.nat({ max: 6 }), (recipes, left) => {
        const args = recipes.map((recipe) => recipe.make());
        if (left < 1) args.pop();
        call(args);
      }),
      runs(150),
    );
    // A few functions take one in twenty of what these parameters give.
    const good = fc.tuple(...parameters);
    for (let more = 0; taken === 0 && more < 100; more++) {
      for (const recipes of fc.sample(good, 10)) {
        call(recipes.map((recipe) => recipe.make()));
      }
    }
    assertGreater(taken, 0, "nothing was taken");
  });
}

/** Waits for the outcome of a call: a promise, a list of them, or a stream. */
async function outcome(result: unknown): Promise<void> {
  if (Array.isArray(result)) {
    await Promise.all(result.map(settled));
  } else if (result instanceof CommandStream) {
    await settled(result.return());
  } else {
    await settled(result);
  }
}

for (const [name, parameters] of Object.entries(methods)) {
  Deno.test(`ring.${name} takes good arguments, and the ring goes on after the others`, async () => {
    const passed = fc.tuple(...parameters.map((good) => most(good)));
    const disabled = name === "restrict";
    let taken = 0;
    const call = async (recipes: readonly Recipe[]) => {
      const ring = Ring.open({ entries: 16, disabled });
      const method = ring[name as keyof Ring] as () => unknown;
      before[name]?.(ring);
      const args = attempt(() => recipes.map((recipe) => recipe.make()));
      if (args !== undefined) {
        const result = attempt(() => {
          const given = Reflect.apply(method, ring, args);
          taken++;
          return given;
        });
        await outcome(result);
        if (!disabled) assertEquals(await settled(ring.cmd(nop())), 0);
      }
      await settled(ring.close());
      assertEquals(ring.stats().inFlight, 0);
    };
    await fc.assert(fc.asyncProperty(passed, call), runs(120));
    const good = fc.tuple(...parameters);
    for (let more = 0; taken === 0 && more < 100; more++) {
      for (const recipes of fc.sample(good, 10)) await call(recipes);
    }
    assertGreater(taken, 0, "nothing was taken");
  });
}

Deno.test("Ring.open opens a ring, or throws the reason", async () => {
  let opened = 0;
  await fc.assert(
    fc.asyncProperty(oddOptions, async (recipe) => {
      const options = recipe.make();
      const open = () => Reflect.apply(Ring.open, Ring, [options]);
      const ring: Ring | undefined = attempt(open);
      if (ring === undefined) return;
      opened++;
      await settled(ring.cmd(nop()));
      await ring.close();
    }),
    runs(120),
  );
  assertGreater(opened, 0, "no ring was opened");
});

const KINDS = {
  "an ordinary ring": 0,
  "a ring of large SQEs and CQEs": IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
  "a ring that defers its work": IORING_SETUP_DEFER_TASKRUN |
    IORING_SETUP_SINGLE_ISSUER,
};

for (const [kind, flags] of Object.entries(KINDS)) {
  const missing = setupFlagNames(flags).filter((name) =>
    !setupFlags.includes(name)
  );
  testUnless(
    missing.join(),
    `random SQEs of ${kind} all complete, and write to no other memory`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(sqe, { minLength: 1, maxLength: 24 }),
          async (randoms) => {
            using files = new Files();
            const ring = setup({ entries: 32, flags });
            try {
              await judgeSqes(ring, randoms, files.fds);
            } finally {
              ring.close();
            }
          },
        ),
        runs(200),
      );
    },
  );
}

Deno.test("decoders turn any answer of a kernel into a result or an error", () => {
  const commands = fc.constantFrom(...makers).chain(({ make, parameters }) =>
    fc.tuple(...parameters).map((recipes) => {
      const args = () => recipes.map((recipe) => recipe.make());
      return new Recipe(
        `${make.name}(${recipes.map(({ label }) => label)})`,
        () => attempt(() => Reflect.apply(make, undefined, args())),
      );
    })
  );
  let decoded = 0;
  fc.assert(
    fc.property(commands, answer, (recipe, answer) => {
      const command = recipe.make();
      if (Command.is(command) && decodeRandom(command, answer)) decoded++;
    }),
    runs(1500),
  );
  assertGreater(decoded, 0, "no answer was decoded");
});

Deno.test("completions of no command do a ring no harm", async () => {
  using reported = reportedErrors();
  await using sender = Ring.open();
  await fc.assert(
    fc.asyncProperty(
      fc.array(forged, { maxLength: 12 }),
      fc.nat({ max: 2 }),
      (all, waitMs) => forge(sender, all, waitMs),
    ),
    runs(150),
  );
  for (const error of reported.errors) {
    assertMatch(String(error), /io_uring: res -?\d+ for no command/);
  }
});

const noSendZc = opcodes.includes("SEND_ZC") ? "" : "SEND_ZC (Linux 6.0)";

testUnless(
  noSendZc,
  "a zero-copy send that its chain cancels settles, and reports nothing",
  async () => {
    using reported = reportedErrors();
    using pair = tcpPair();
    await using ring = Ring.open();
    const bytes = new Uint8Array(4);
    const closed = 0x7fff_fff0;
    // The kernel posts a second completion that it did not announce.
    const chain = [read(closed, bytes), sendZc(pair.left, bytes)] as const;
    const [failed, cancelled] = await Promise.allSettled(ring.link([...chain]));
    assertEquals([failed.status, cancelled.status], ["rejected", "rejected"]);
    assertEquals(await ring.cmd(nop()), 0);
    assertEquals(reported.errors, []);
  },
);
