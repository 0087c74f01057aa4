/**
 * Servers for tests, in processes of their own, and the commands that use them.
 *
 * What uses a server can hang, so that each has a deadline.
 */

import { type Run, run } from "./run.ts";
import { sleep } from "./wait.ts";

/** Seconds after which a command that uses a server is killed. */
const DEADLINE = 60;

/** Runs a shell command, which is killed in time. */
export function sh(command: string, seconds = DEADLINE): Promise<Run> {
  const limit = ["-s", "KILL", `${seconds}`];
  return run("timeout", [...limit, "sh", "-c", command]);
}

/** Runs a shell command and returns what it prints. Throws if it fails. */
export async function ok(command: string, seconds?: number): Promise<string> {
  const { code, stdout, stderr } = await sh(command, seconds);
  if (code === 0) return stdout.trim();
  throw new Error(`${command}: exit ${code}\n${stdout}${stderr}`);
}

/** A program that serves. */
export interface Launched {
  readonly pid: number;
  /** The lines that it has printed so far. */
  readonly lines: readonly string[];
  /** Ends when the process has. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Waits for a line with a text. */
  line(text: string): Promise<string>;
  kill(signal: Deno.Signal): void;
}

/** Starts a program for Deno. `prefix` names programs before it, such as `setpriv`. */
export function launchDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Launched {
  const deno = [Deno.execPath(), "run", "--no-check", "--cached-only"];
  const words = [...prefix, ...deno, ...args];
  const child = new Deno.Command(words[0], {
    args: words.slice(1),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", DENO_DIR: Deno.env.get("DENO_DIR") ?? "" },
  }).spawn();
  const lines: string[] = [];
  const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
    }
  };
  const ended = Promise.all([read(child.stdout), read(child.stderr)]);
  let over = false;
  const status = child.status.finally(() => over = true);
  return {
    pid: child.pid,
    lines,
    status: Promise.all([status, ended]).then(([status]) => status),
    async line(text) {
      const end = performance.now() + DEADLINE * 1000;
      for (;;) {
        const found = lines.find((line) => line.includes(text));
        if (found !== undefined) return found;
        if (over || performance.now() > end) {
          throw new Error(`no line with ${text}:\n${lines.join("\n")}`);
        }
        await sleep(10);
      }
    },
    kill(signal) {
      try {
        if (!over) child.kill(signal);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // It has just ended.
      }
    },
  };
}
