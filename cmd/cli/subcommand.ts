/** The subcommands of the tool, and their arguments. */

import { parseArgs } from "node:util";

/** A flag of a subcommand. */
export interface Flag {
  /** The name of its value in the help. Without one, the flag is on or off. */
  readonly value?: string;
  /** A letter that stands for it. */
  readonly short?: string;
  readonly help: string;
}

/** The result of a subcommand. */
export interface Report {
  /** The value that `-o json` prints. */
  readonly value: unknown;
  /** The text that is printed otherwise. Default: the value as a table. */
  readonly text?: () => string;
}

/** A subcommand, or a group of them such as `nvme`. */
export interface Subcommand {
  /** Its purpose, in a line. */
  readonly summary: string;
  /** The names of its arguments. One in brackets may be left out. */
  readonly args?: readonly string[];
  readonly flags?: Readonly<Record<string, Flag>>;
  /** More help, in lines. */
  readonly details?: string;
  /** Carries it out. Nothing is printed for `undefined`. */
  run(input: Input): Promise<Report | void> | Report | void;
}

/** Subcommands by name. */
export type Subcommands = Readonly<Record<string, Subcommand>>;

/** A mistake in what was typed. The tool prints it, and exits with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Flags of every subcommand. */
export const COMMON: Readonly<Record<string, Flag>> = {
  output: {
    value: "FORMAT",
    short: "o",
    help: "json, or text, which is the default",
  },
  help: { short: "h", help: "print this help" },
};

/** The flag that destroying takes. */
export const YES: Readonly<Record<string, Flag>> = {
  yes: { help: "do it: without this flag it is refused" },
};

/** The arguments and flags of a call. */
export class Input {
  readonly #args: readonly string[];
  readonly #flags: Readonly<Record<string, string | boolean | undefined>>;

  /** Reads what was typed. Throws a {@linkcode UsageError}. */
  constructor({ args = [], flags = {} }: Subcommand, typed: readonly string[]) {
    const options = Object.fromEntries(
      Object.entries({ ...flags, ...COMMON }).map(([name, flag]) => [
        name,
        {
          type: flag.value === undefined
            ? "boolean" as const
            : "string" as const,
          ...flag.short === undefined ? {} : { short: flag.short },
        },
      ]),
    );
    let parsed;
    try {
      parsed = parseArgs({ args: [...typed], options, allowPositionals: true });
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : "");
    }
    this.#args = parsed.positionals;
    this.#flags = parsed.values as Record<string, string | boolean | undefined>;
    if (this.is("help")) return;
    const least = args.filter((name) => !name.startsWith("[")).length;
    const many = args.at(-1)?.includes("...") === true;
    if (this.#args.length < least) {
      throw new UsageError(`${args[this.#args.length]} is missing`);
    }
    if (this.#args.length > args.length && !many) {
      throw new UsageError(`there is no use for ${this.#args[args.length]}`);
    }
    const format = this.text("output") ?? "text";
    if (format !== "json" && format !== "text") {
      throw new UsageError(`--output takes json or text, not ${format}`);
    }
  }

  /** Returns an argument; `undefined` if it was left out. */
  arg(index: number): string {
    return this.#args[index];
  }

  /** Returns the arguments from an index on. */
  rest(index: number): string[] {
    return this.#args.slice(index);
  }

  /** Returns whether a flag is on. */
  is(name: string): boolean {
    return this.#flags[name] === true;
  }

  /** Returns the text of a flag. */
  text(name: string): string | undefined {
    const value = this.#flags[name];
    return typeof value === "string" ? value : undefined;
  }

  /** Returns the number of a flag. */
  count(name: string): number | undefined;
  count(name: string, otherwise: number): number;
  count(name: string, otherwise?: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    return numberOf(text, `--${name}`);
  }

  /** Refuses to go on without `--yes`. */
  demandYes(what: string): void {
    if (!this.is("yes")) {
      throw new UsageError(`${what} Add --yes if that is what you want`);
    }
  }
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  ...{ K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 },
  ...{ KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40 },
  ...{ KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
};

/**
 * Reads a whole number: decimal, hexadecimal after `0x`, or with a unit. K, M, G, T
 * and KiB and so on are powers of 1024; KB and so on are powers of 1000.
 */
export function numberOf(text: string, what: string): number {
  const [, digits = "", unit = ""] =
    /^(0x[0-9a-f]+|\d+)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const value = Number(digits) * UNITS[unit.toUpperCase()];
  if (digits !== "" && Number.isSafeInteger(value)) return value;
  throw new UsageError(
    `${what} takes a number, such as 4096, 0x1000 or 4K, not ${text}`,
  );
}
