/** Programs that tests and benchmarks run. */

/** The result of a program. */
export interface Run {
  readonly success: boolean;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program, with `input` as its standard input. */
export async function run(
  command: string,
  args: readonly string[],
  { input = "", cwd, env }: {
    readonly input?: string;
    readonly cwd?: string | URL;
    readonly env?: Record<string, string>;
  } = {},
): Promise<Run> {
  const child = new Deno.Command(command, {
    args: [...args],
    cwd,
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [output] = await Promise.all([
    child.output(),
    new Blob([input]).stream().pipeTo(child.stdin),
  ]);
  const decoder = new TextDecoder();
  return {
    success: output.success,
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** Runs a script, which imports files of this project as `@uring/...`. */
export async function runScript(
  source: string,
  flags: readonly string[] = ["--allow-ffi"],
  prefix: readonly string[] = [],
): Promise<Run> {
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const root = new URL("../..", import.meta.url).href;
    await Deno.writeTextFile(path, source.replaceAll("@uring/", root));
    return await runDeno(["run", "--no-prompt", ...flags, path], prefix);
  } finally {
    await Deno.remove(path);
  }
}

/** Runs Deno, through a program such as `prlimit` if `prefix` names one. */
export function runDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Run> {
  const [program, ...rest] = [...prefix, Deno.execPath(), ...args];
  return run(program, rest, { env: { NO_COLOR: "1" } });
}
