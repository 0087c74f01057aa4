/** Programs that tests and benchmarks run. */

/** The result of a program. */
export interface Run {
  readonly success: boolean;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The surroundings of a program. */
export interface RunOptions {
  /** The standard input. Default: empty. */
  readonly input?: string;
  /** The folder that it runs in. Default: that of this process. */
  readonly cwd?: string | URL;
  /** Variables in addition to those of this process. */
  readonly env?: Record<string, string>;
}

/** Runs a program. */
export async function run(
  command: string,
  args: readonly string[],
  { input = "", cwd, env }: RunOptions = {},
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

/** Runs a program, and returns what it prints. Throws if it fails. */
export async function output(
  command: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<string> {
  const { success, stdout, stderr } = await run(command, args, options);
  if (success) return stdout;
  throw new Error(`${command} ${args.join(" ")}: ${stderr}${stdout}`);
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

/**
 * Runs a script as {@linkcode runScript} does, and returns the value that it prints
 * as JSON. Throws if it fails, or prints an error.
 */
export async function scriptValue<T>(
  source: string,
  flags?: readonly string[],
  prefix?: readonly string[],
): Promise<T> {
  const { code, stdout, stderr } = await runScript(source, flags, prefix);
  if (code !== 0 || stderr !== "") throw new Error(`exit ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

/**
 * Returns a prefix for {@linkcode runDeno}: Deno has mounts of its own, which the
 * shell commands of `setup` make.
 */
export function withMounts(setup: string): string[] {
  return ["unshare", "--mount", "sh", "-ec", `${setup}\nexec "$@"`, "sh"];
}

/** Runs Deno, through a program such as `prlimit` if `prefix` names one. */
export function runDeno(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Run> {
  const [program, ...rest] = [...prefix, Deno.execPath(), ...args];
  return run(program, rest, { env: { NO_COLOR: "1" } });
}
