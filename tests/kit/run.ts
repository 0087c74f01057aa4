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
