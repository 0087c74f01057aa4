/** Commands that the soak has started, their outcomes, and what went wrong. */

import { UringError } from "../../../ring/errors.ts";
import { Slot } from "../../../ring/flight/slot.ts";

/** Returns `true` for an outcome that a command may have. */
export type Allowed = (outcome: PromiseSettledResult<unknown>) => boolean;

/** It succeeds with a value that is the same. */
export const gives = (expected: unknown): Allowed => (outcome) =>
  outcome.status === "fulfilled" && Object.is(outcome.value, expected);

/** It succeeds with a number of bytes, of so many that were asked for. */
export const upTo = (most: number): Allowed => (outcome) =>
  outcome.status === "fulfilled" && Number(outcome.value) > 0 &&
  Number(outcome.value) <= most;

/** It succeeds with a list of allowed values. */
export const each = (allowed: Allowed): Allowed => (outcome) =>
  outcome.status === "fulfilled" && Array.isArray(outcome.value) &&
  outcome.value.every((value) => allowed({ status: "fulfilled", value }));

/** The kernel refuses it with one of these errnos. */
export const fails = (...codes: string[]): Allowed => (outcome) =>
  outcome.status === "rejected" && outcome.reason instanceof UringError &&
  codes.includes(outcome.reason.code);

/** It is refused by the library, with words like these. */
export const refused = (words: string): Allowed => (outcome) =>
  outcome.status === "rejected" && outcome.reason instanceof TypeError &&
  outcome.reason.message.includes(words);

/** It ends with the reason of its signal. */
export const aborted = (signal: AbortSignal): Allowed => (outcome) =>
  outcome.status === "rejected" && signal.aborted &&
  outcome.reason === signal.reason;

/** It ends because its ring was closed. */
export const closed: Allowed = (outcome) =>
  outcome.status === "rejected" && outcome.reason instanceof DOMException &&
  outcome.reason.message === "The ring was closed";

/** The counts of one run. */
export class Ledger {
  commands = 0;
  aborts = 0;
  faults = 0;
  rings = 0;
  workers = 0;
  /** Commands that were settled when they were settled already. */
  doubles = 0;
  /** Commands that have not been settled yet. */
  pending = 0;
  /** Descriptions of what went wrong. */
  readonly wrongs: string[] = [];

  wrong(what: string): void {
    // The first ones say what is the matter.
    if (this.wrongs.length < 20) console.error(`WRONG: ${what}`);
    this.wrongs.push(what);
  }

  /**
   * Counts the commands that are settled twice, which a promise does not tell:
   * it keeps what it was given first.
   */
  countDoubles(): Disposable {
    const { await: original } = Slot.prototype;
    const count = () => this.wrong(`settled twice, ${++this.doubles} so far`);
    // Not a stub, which would keep the arguments of every call.
    Slot.prototype.await = function () {
      const promise = original.call(this);
      const resolve = this.resolve!;
      let settled = false;
      this.resolve = (value) => {
        if (settled) count();
        settled = true;
        resolve(value);
      };
      return promise;
    };
    return {
      [Symbol.dispose]() {
        Slot.prototype.await = original;
      },
    };
  }
}
