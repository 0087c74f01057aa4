/** Programs that unmount: the thread that serves a mount must not do so itself. */

import { syscall } from "../../sys/libc.ts";

/** Returns `true` if this process is root's, which mounts by itself. */
export function isRoot(): boolean {
  return syscall("geteuid") === 0;
}

/** The output of a program, and if it succeeded. */
export interface Outcome {
  readonly success: boolean;
  /** The text of its standard error. */
  readonly said: string;
  /** There is no such program. */
  readonly missing: boolean;
}

/** Waits for a promise, but not for ever: then the result is `undefined`. */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    if (ms < Infinity) timer = setTimeout(resolve, ms, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs a program in the root directory. One that takes longer than `patienceMs` is
 * left alone: a program that looks at a mount waits for the server, and SIGKILL does
 * not end it before the server has.
 */
export async function run(
  program: string,
  args: string[],
  patienceMs = Infinity,
): Promise<Outcome> {
  try {
    const child = new Deno.Command(program, {
      args,
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      env: { LC_ALL: "C" },
    }).spawn();
    const ended = Promise.all([
      child.status,
      new Response(child.stderr).text(),
    ]);
    const outcome = await within(ended, patienceMs);
    if (outcome === undefined) {
      child.unref();
      const said = "it waits for the server, which does not answer";
      return { success: false, said, missing: false };
    }
    const [{ success }, said] = outcome;
    return { success, said: said.trim(), missing: false };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return { success: false, said: `there is no ${program}`, missing: true };
    }
    throw explain(error, program);
  }
}

/** Says how to allow a program. */
export function explain(error: unknown, program: string): unknown {
  if (!(error instanceof Deno.errors.NotCapable)) return error;
  return new Deno.errors.NotCapable(
    `FUSE needs ${program}, which Deno may not start: ${error.message}. ` +
      "Run with --allow-run=sh,umount,fusermount3",
    { cause: error },
  );
}

/** A way to unmount. */
export interface UnmountOptions {
  /**
   * `true` takes the mount away at once, and ends it when its last file is closed.
   */
  readonly lazy?: boolean;
  /** `true` aborts all requests first. Root only. */
  readonly force?: boolean;
}

/**
 * Unmounts a directory in a child process: umount(8) for root, fusermount3(1) for
 * others, and each where the other is missing.
 *
 * @throws {Error} with what the program said.
 */
export async function unmountByChild(
  dir: string,
  { lazy = false, force = false }: UnmountOptions,
  patienceMs?: number,
): Promise<void> {
  const user = async () => {
    const args = ["-u", ...lazy ? ["-z"] : [], "--", dir];
    return await run("fusermount3", args, patienceMs);
  };
  const root = async () => {
    const args = [...lazy ? ["-l"] : [], ...force ? ["-f"] : [], dir];
    return await run("umount", args, patienceMs);
  };
  const [first, second] = isRoot() ? [root, user] : [user, root];
  let outcome = await first();
  if (outcome.missing) outcome = await second();
  if (outcome.success) return;
  const busy = /busy/.test(outcome.said);
  throw new Error(
    `${dir} cannot be unmounted: ${outcome.said}` +
      (busy
        ? ". A program has a file of it open, or is in it. Close that, or use " +
          "unmount({ lazy: true })"
        : ""),
  );
}

/**
 * Takes a mount away whose server is gone, however it ended. It reads a pipe of ours
 * until that ends. fusermount3 has `auto_unmount` for this, which fails where
 * io_uring held the connection a moment longer.
 */
const WATCH = `
trap '' INT TERM HUP
read -r line
[ "$line" = done ] && exit
fusermount3 -u -z -q -- "$0" 2>/dev/null || umount -l "$0" 2>/dev/null
`;

/** A process that unmounts a directory when this one has died. */
export class Watchdog {
  readonly #child: Deno.ChildProcess;
  readonly #pipe: WritableStreamDefaultWriter<Uint8Array>;

  /** @throws {Error} if `sh` cannot be started. */
  constructor(dir: string) {
    try {
      this.#child = new Deno.Command("sh", {
        args: ["-c", WATCH, dir],
        cwd: "/",
        stdin: "piped",
        stdout: "null",
        stderr: "null",
        // Signals of the terminal are for us, who unmount in time.
        detached: true,
      }).spawn();
    } catch (error) {
      throw explain(error, "sh");
    }
    this.#child.unref();
    this.#pipe = this.#child.stdin.getWriter();
  }

  /** Ends the process: the directory may be another mount's now. */
  async stop(): Promise<void> {
    this.#child.ref(); // Nothing else may be left that keeps this process alive.
    try {
      await this.#pipe.write(new TextEncoder().encode("done\n"));
      await this.#pipe.close();
    } catch {
      // It is gone.
    }
    await this.#child.status;
  }
}
