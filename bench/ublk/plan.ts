/** The disks and the depths of the ublk benchmark. */

/** The work of the handlers: none, or copying to and from memory. */
export type Kind = "null" | "memory";
export const KINDS: readonly Kind[] = ["null", "memory"];

/** Requests of the client in flight. */
export const DEPTHS = [1, 64] as const;

/** The ways to serve a disk. */
export interface Server {
  /** The name in the report. */
  readonly name: string;
  readonly how: "c" | "loop" | "promises" | "asleep";
}

export const SERVERS: readonly Server[] = [
  { name: "C, liburing", how: "c" },
  { name: "`serveInWorker`", how: "asleep" },
  { name: "`serve`", how: "loop" },
  { name: "`serve`, promises", how: "promises" },
];

/** The server in C, below the top of the project. */
export const PROGRAM = ".cache/bench/ublk_server";
/** Bytes of the disk. */
export const SIZE: number = 256 << 20;
