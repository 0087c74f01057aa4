/**
 * The ring of a sequence of steps, as the model sees it: the commands in flight,
 * what was done to them, and how they may settle.
 */

import { Ring, type RingOptions, UringError } from "../../../mod.ts";
import type { Command } from "../../../ring/command.ts";
import type { FixedBuffer, FixedFile } from "../../../ring/registered.ts";
import { O_NONBLOCK, O_RDWR } from "../../../sys/uapi/fcntl.ts";
import { open } from "../../../sys/file.ts";
import { Fd, type FdPair, pipe, unixPair, writeSync } from "../../kit/fds.ts";

/** The error that a decoder of a job throws. */
export class Thrown extends Error {}
/** The reason of an abort. */
export class Aborted extends Error {}

/** The history of a command when it settles. */
export interface Facts {
  /** The event that the command waits for has happened. */
  readonly given: boolean;
  readonly aborted: boolean;
  /** close() of the ring was called. */
  readonly closed: boolean;
}

/** Outcomes that a command may have by itself. Those of errors begin with "!". */
export type Allows = (facts: Facts) => readonly string[];

/** A command made for a sequence, and what is known of it. */
export interface Job {
  readonly name: string;
  readonly command: Command<unknown>;
  readonly allows: Allows;
  /** Provides what the command waits for. */
  readonly give: (() => void) | null;
  /** The table that it uses a place of. */
  readonly uses: "files" | "buffers" | null;
  /** Runs of its decoder. */
  decoded: number;
  given: boolean;
}

/** A promise that has to settle. */
export interface Pending {
  readonly job: Job | null;
  readonly name: string;
  readonly allows: Allows;
  readonly abort: AbortController | null;
  /** Something else than the command itself may end it: a chain it is in. */
  readonly dependent: boolean;
  outcome: string | null;
  facts: Facts | null;
}

/** A stream that someone reads. */
export interface Reader {
  readonly stream: AsyncIterableIterator<unknown>;
  left: boolean;
}

/** A place in a table of files: an end of a pipe that is still empty. */
export interface Place {
  readonly file: FixedFile;
  readonly right: number;
  used: boolean;
  registered: boolean;
}

/** The ring of a sequence, and the model of it. */
export class World {
  readonly ring: Ring;
  readonly options: RingOptions;
  /** Some command of the sequence stays in a worker until it is given. */
  readonly mayBeSlow: boolean;
  readonly fifo: string;
  readonly null: number;
  readonly pending: Pending[] = [];
  readonly jobs: Job[] = [];
  readonly readers: Reader[] = [];
  /** Events that the model does not expect, without the outcomes. */
  readonly complaints: string[] = [];
  readonly shared = new AbortController();
  closing: Promise<void> | null = null;
  /** Places in the table of files, or in one that was taken away. */
  files: Place[] = [];
  filesRegistered = false;
  /** The place in the table of buffers, or in one that was taken away. */
  buffer: FixedBuffer | null = null;
  buffersRegistered = false;
  /** Depth of decoders around the current step. */
  depth = 0;
  /** Commands, for values that tell them apart. */
  count = 0;
  fifoIsOpen = false;
  readonly #owned: (Fd | FdPair)[] = [];

  constructor(
    options: RingOptions,
    mayBeSlow: boolean,
    fifo: string,
    nullFd: number,
  ) {
    this.options = options;
    this.mayBeSlow = mayBeSlow;
    this.ring = Ring.open(options);
    this.fifo = fifo;
    this.null = nullFd;
  }

  get closed(): boolean {
    return this.closing !== null;
  }

  /** A pipe that lives as long as the ring. */
  pipe(): FdPair {
    return this.#own(pipe());
  }

  pair(): FdPair {
    return this.#own(unixPair());
  }

  /** Has those that wait for someone to open the other end of the FIFO go on. */
  openFifo(): void {
    this.fifoIsOpen = true;
    this.#own(new Fd(open(this.fifo, O_RDWR | O_NONBLOCK)));
  }

  /** A descriptor that a command has made. */
  own(fd: number): void {
    this.#own(new Fd(fd));
  }

  #own<T extends Fd | FdPair>(owned: T): T {
    this.#owned.push(owned);
    return owned;
  }

  /** Provides the event that a job waits for. */
  give(job: Job): void {
    if (job.given || job.give === null) return;
    job.given = true;
    job.give();
  }

  factsOf(given: boolean, abort: AbortController | null): Facts {
    const aborted = abort?.signal.aborted ?? false;
    return { given, aborted, closed: this.closed };
  }

  /** Watches a promise that has to settle once, as `allows` says. */
  watch(
    promise: Promise<unknown>,
    name: string,
    allows: Allows,
    { job = null, abort = null, dependent = false }: {
      job?: Job | null;
      abort?: AbortController | null;
      dependent?: boolean;
    } = {},
  ): Pending {
    const pending: Pending = {
      job,
      name: `${this.pending.length}: ${name}`,
      allows,
      abort,
      dependent,
      outcome: null,
      facts: null,
    };
    this.pending.push(pending);
    const settle = (outcome: string) => {
      if (pending.outcome !== null) this.complain(`${pending.name} twice`);
      pending.outcome = outcome;
      pending.facts = this.factsOf(job?.given ?? true, abort);
    };
    promise.then(
      (value) => settle(String(value)),
      (error) => settle(failure(error)),
    );
    return pending;
  }

  complain(text: string): void {
    this.complaints.push(text);
  }

  /** The commands in flight, as far as the model knows. */
  get unsettled(): Pending[] {
    return this.pending.filter(({ outcome }) => outcome === null);
  }

  /** Returns what the model does not allow, after all commands have settled. */
  verdict(): string[] {
    for (const { outcome, name, allows, facts } of this.pending) {
      if (outcome === null) {
        this.complain(`${name} has not settled`);
        continue;
      }
      const allowed = allOutcomes(allows(facts!), facts!);
      if (allowed.includes(outcome)) continue;
      this.complain(
        `${name} ended with ${outcome}, not ${allowed.join(" or ")}`,
      );
    }
    for (const { name, command, decoded } of this.jobs) {
      if (command.multishot || decoded <= 1) continue;
      this.complain(`${name} was decoded ${decoded} times`);
    }
    return this.complaints;
  }

  /** Closes the files of the commands. The ring must have closed before. */
  dispose(): void {
    for (const owned of this.#owned) owned[Symbol.dispose]();
  }
}

/** Adds the outcomes that a cancelled command may have. */
export function allOutcomes(
  natural: readonly string[],
  { aborted, closed }: Facts,
): string[] {
  // A command that was refused is not in flight: nothing cancels it.
  const all = [...natural];
  if (natural.includes("!refused")) return all;
  if (aborted) all.push("!aborted");
  if (closed) all.push("!closed");
  return all;
}

/** The outcome that an error is. */
export function failure(error: unknown): string {
  if (error instanceof Thrown) return "!thrown";
  if (error instanceof Aborted) return "!aborted";
  if (error instanceof UringError) return `!${error.code}`;
  const { name, message } = error as Error;
  if (name === "AbortError" && message === "The ring was closed") {
    return "!closed";
  }
  if (message === "the ring is closed") return "!refused";
  if (message.includes("a decoder cannot wait")) return "!nested";
  if (message.includes("not in this ring's table")) return "!stale";
  if (message.includes("uses the table")) return "!busy";
  if (message.includes("with SQEs of 128 bytes")) return "!narrow";
  if (message.includes("does not fit a ring of")) return "!long";
  return `!${(error as Error).stack ?? name}`;
}

/** Writes so many bytes to a pipe. */
export function provide(fd: number, byteLength: number): void {
  writeSync(fd, new Uint8Array(byteLength).fill(byteLength));
}
