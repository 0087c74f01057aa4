/**
 * Deno's class of pipes, which reads any descriptor that epoll takes into memory of the
 * program, whenever there is something.
 *
 * It is internal to Deno, which took it from Node. It may be missing, as before Deno
 * 2.8, or behave differently.
 *
 * @module
 */

/** The part of Deno's class of pipes that is used here. */
export interface Pipe {
  /** Called after each read. */
  onread: () => void;
  /** Takes a descriptor, which it closes in the end. Returns 0, or `-errno`. */
  open(fd: number): number;
  /** Sets the memory to read into. */
  useUserBuffer(bytes: Uint8Array): void;
  /** Begins to read, or goes on after a read that has failed. */
  readStart(): number;
  readStop(): number;
  ref(): void;
  unref(): void;
  close(): void;
}

const METHODS = [
  "open",
  "useUserBuffer",
  "readStart",
  "readStop",
  "ref",
  "unref",
  "close",
] as const;

interface Process {
  binding(name: "pipe_wrap"): { Pipe: new (type: number) => Pipe };
}

/** The type of pipe that `node:net` makes for a descriptor. */
const SOCKET = 0;

/** Makes a pipe. Throws if there is no such class. */
export function newPipe(): Pipe {
  const { process } = globalThis as unknown as { process: Process };
  const pipe = new (process.binding("pipe_wrap").Pipe)(SOCKET);
  const missing = METHODS.find((name) => typeof pipe[name] !== "function");
  if (missing !== undefined) throw new TypeError(`Pipe has no ${missing}()`);
  return pipe;
}
