/** Attacks on the memory of commands that the kernel completes late. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { nop } from "../../../cmd/op.ts";
import { reportedErrors } from "../../kit/reported_errors.ts";
import { testUnless } from "../../kit/skip.ts";
import { collect, turn } from "../../kit/wait.ts";
import { type Attack, ATTACKS, type Home, Victim } from "./attacks.ts";
import { Canaries, CANARY } from "./canaries.ts";
import { LATE, type LateWriter, LENGTH, type Way } from "./writers.ts";

/** A command in flight, and the memory it is about. */
interface Flight {
  readonly outcome: Promise<number>;
  /** The second of three parts is the command's. */
  whole: Uint8Array<ArrayBuffer> | null;
}

function begin(
  writer: LateWriter,
  { abort }: Victim,
  canaries: Canaries,
  own: boolean,
): Flight {
  const byteLength = 3 * LENGTH;
  canaries.surround(byteLength);
  const whole = own
    ? writer.ring.alloc(byteLength) as Uint8Array<ArrayBuffer>
    : new Uint8Array(
      new ArrayBuffer(byteLength, { maxByteLength: byteLength }),
    );
  canaries.surround(byteLength);
  if (own) canaries.fence(whole.buffer);
  new Uint8Array(whole.buffer).fill(CANARY);
  const bytes = whole.subarray(LENGTH, 2 * LENGTH);
  const outcome = writer.ring.cmd(writer.fill(bytes), abort);
  outcome.catch(() => {}); // The test awaits it later.
  return { outcome, whole };
}

/** Attacks the memory, and drops the last reference to it. */
function strike(
  flight: Flight,
  victim: Victim,
  attack: Attack,
  refused: boolean,
) {
  const { buffer } = flight.whole!;
  flight.whole = null;
  if (!refused) return attack.on(buffer, victim);
  assertThrows(() => attack.on(buffer, victim));
  return () => buffer;
}

/** Collects garbage, and makes V8 use its memory for other arrays. */
export async function pressure(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    collect();
    for (let i = 0; i < 200; i++) new Uint8Array(3 * LENGTH).fill(0x11);
    await turn();
  }
}

/** Checks the outcome of a command, and its memory. */
async function expectations(
  { outcome }: Flight,
  home: Home,
  expected: Attack["plain"],
): Promise<void> {
  switch (expected) {
    case "arrives":
      assertEquals(await outcome, LENGTH);
      break;
    case "fails":
      await assertRejects(() => outcome, TypeError, "detached or made smaller");
      break;
    case "ends":
      await assertRejects(() => outcome, DOMException);
  }
  const buffer = await home();
  if (buffer === null) return;
  const is = new Uint8Array(buffer);
  const middle = expected === "arrives" ? LATE : CANARY;
  const right = is.every((byte, at) =>
    byte === (at >= LENGTH && at < 2 * LENGTH ? middle : CANARY)
  );
  assert(right, "the memory has other bytes than it should");
}

async function assault(way: Way, attack: Attack): Promise<void> {
  using reported = reportedErrors();
  using canaries = new Canaries(LENGTH);
  await using writer = await way.make();
  const { ring } = writer;
  using victim = new Victim(ring);
  const owns = [true, false];
  const flights = owns.map((own) => begin(writer, victim, canaries, own));
  // The kernel has started the earlier commands when this one has completed. A
  // drive could have completed them by then: its commands start after the attack.
  if (way.patient) await ring.cmd(nop());
  const homes = flights.map((flight, i) =>
    strike(flight, victim, attack, owns[i] && attack.refused === true)
  );
  await pressure();
  const ends = attack.plain === "ends" && way.cancellable;
  if (ends) await Promise.allSettled(flights.map(({ outcome }) => outcome));
  if (way.patient && !ends) assertEquals(ring.stats().inFlight, flights.length);
  await writer.fire();
  await Promise.allSettled(flights.map(({ outcome }) => outcome));
  for (const [i, flight] of flights.entries()) {
    const arrives = attack.plain === "ends" ? !ends : owns[i] && attack.refused;
    const expected = arrives ? "arrives" : attack.plain;
    await expectations(flight, homes[i], expected);
  }
  await ring.close();
  canaries.check();
  const { submitted, completions, inFlight } = ring.stats();
  assertEquals([completions, inFlight], [submitted, 0]);
  assertEquals(reported.errors, []);
}

/** Registers a test of each attack on what the kernel writes in one way. */
export function testAttacks(way: Way): void {
  for (const attack of ATTACKS) {
    testUnless(
      way.missing,
      `${way.name} writes after ${attack.name}`,
      () => assault(way, attack),
    );
  }
}
