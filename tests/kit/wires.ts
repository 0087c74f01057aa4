/** The two ways from the eventfd of a ring to the event loop. */

/** Through a pipe of Deno, or through the waker where Deno has none for it. */
export const WAYS = ["a pipe of Deno", "the waker"] as const;

/** The part of `globalThis.process` that finds Deno's class of pipes. */
interface Process {
  binding(name: string): { Pipe: unknown };
}

/** Replaces Deno's class of pipes for new bells; without one, there is none. */
export function replacePipe(Pipe?: unknown): Disposable {
  const { process } = globalThis as unknown as { process: Process };
  const { binding } = process;
  process.binding = () => ({ Pipe });
  return {
    [Symbol.dispose]() {
      process.binding = binding;
    },
  };
}

/** Makes new bells take one of the ways. */
export function take(way: typeof WAYS[number]): Disposable | undefined {
  return way === "the waker" ? replacePipe() : undefined;
}
