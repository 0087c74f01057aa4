/** Those who use rings at the same time. */

import { Ring, type RingOptions } from "../../../mod.ts";
import { random } from "../../kit/random.ts";
import type { Allowed, Ledger } from "./ledger.ts";

/** Rings of all kinds. A thread that takes submissions soon sleeps. */
export const SHAPES: Readonly<Record<string, RingOptions>> = {
  default: {},
  deferTaskrun: { deferTaskrun: true },
  sqpoll: { sqpoll: { idleMs: 5 } },
  wide: { sqe128: true, cqe32: true },
  mixed: { mixed: true },
  small: { entries: 2, cqEntries: 4 },
};

/** A ring, and how many SQEs a chain on it may have. */
export interface Stage {
  readonly shape: string;
  readonly ring: Ring;
  readonly entries: number;
}

export function openStage(shape: string, ledger: Ledger): Stage {
  ledger.rings++;
  const options = SHAPES[shape];
  return { shape, ring: Ring.open(options), entries: options.entries ?? 16 };
}

/** A round of what an actor does, over and over. All it began is over after it. */
export type Act = (self: Actor, stage: Stage) => Promise<void>;

/** Plays rounds of an act, and takes down what comes of its commands. */
export class Actor {
  readonly name: string;
  readonly ledger: Ledger;
  /** A random whole number below a number. */
  readonly random: (below: number) => number;
  #going: () => boolean;
  #stage: Stage | null = null;
  #progressAt = performance.now();

  constructor(
    name: string,
    ledger: Ledger,
    seed: number,
    going: () => boolean,
  ) {
    this.name = name;
    this.ledger = ledger;
    this.random = random(seed);
    this.#going = going;
  }

  get going(): boolean {
    return this.#going() && this.ledger.wrongs.length === 0;
  }

  /** Milliseconds since something of this actor's was last over. */
  get idleMs(): number {
    return performance.now() - this.#progressAt;
  }

  progress(): void {
    this.#progressAt = performance.now();
  }

  /** Describes the place of an actor that makes no progress. */
  describe(): string {
    const stage = this.#stage;
    if (stage === null) return `${this.name}, between two rings`;
    return `${this.name} on ${stage.shape}: ` +
      JSON.stringify(stage.ring.stats());
  }

  /** Plays until time is up, on rings of its own or on those that are shared. */
  async play(act: Act, shared: readonly Stage[]): Promise<void> {
    this.progress();
    while (this.going) {
      const own = shared.length === 0 || this.random(2) === 0;
      const stage = own
        ? openStage(this.pick(Object.keys(SHAPES)), this.ledger)
        : this.pick(shared);
      this.#stage = stage;
      const rounds = 1 + this.random(8);
      for (let i = 0; i < rounds && this.going; i++) await act(this, stage);
      if (own) await stage.ring.close();
      this.#stage = null;
      this.progress();
    }
  }

  pick<T>(items: readonly T[]): T {
    return items[this.random(items.length)];
  }

  /** Waits for a command, which has to end in one of the ways allowed. */
  async see<T>(
    command: Promise<T>,
    ...allowed: readonly Allowed[]
  ): Promise<T | undefined> {
    this.ledger.commands++;
    this.ledger.pending++;
    const [outcome] = await Promise.allSettled([command]);
    this.ledger.pending--;
    this.progress();
    if (!allowed.some((allow) => allow(outcome))) {
      const { status } = outcome;
      this.wrong(status === "fulfilled" ? outcome.value : outcome.reason);
    }
    return outcome.status === "fulfilled" ? outcome.value : undefined;
  }

  /** Runs commands that block the thread, and compares what they give. */
  compare<T>(run: () => readonly T[], expected: readonly T[]): void {
    this.ledger.commands += expected.length;
    const found = run();
    this.progress();
    const at = expected.findIndex((each, i) => !Object.is(each, found[i]));
    if (at >= 0) this.wrong(`${found[at]} for ${expected[at]}, place ${at}`);
  }

  wrong(what: unknown): void {
    const text = what instanceof Error ? what.stack : String(what);
    this.ledger.wrong(`${this.describe()}: ${text}`);
  }

  async pause(ms: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.progress();
  }
}
