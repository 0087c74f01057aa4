/** The workloads and the servers of the FUSE benchmark. */

/** The workloads, as the client names them, and what the report calls them. */
export const WORKLOADS = {
  statfs: "statfs",
  stat: "stat",
  direct: "read 4 KiB, direct",
  create: "create",
  unlink: "unlink",
  write: "write 1 MiB",
  read: "read 1 MiB",
  list: "`ls -l`, of 1,000",
} as const;
export type Workload = keyof typeof WORKLOADS;

/** Numbers of processes that use a mount at a time. */
export const CLIENTS = [1, 4] as const;

/** The filesystems: `filesystems.ts` makes them. */
export type Kind = "memory" | "paths" | "promises";

/** A server of this library. */
export interface Server {
  /** The name in the report. */
  readonly name: string;
  readonly kind: Kind;
  readonly transport: "classic" | "io_uring";
  /** The thread that serves: the main thread, or a Worker, which may sleep. */
  readonly thread: "main" | "worker" | "asleep";
}

/** The server in C, in the report. */
export const LIBFUSE = "C, libfuse";

const NAMES: Readonly<Record<Kind, string>> = {
  memory: "`memory()`",
  paths: "paths",
  promises: "paths, promises",
};
const THREADS = { main: "", worker: ", Worker", asleep: ", asleep" } as const;

/** Returns the name of a server in the report. */
export function nameOf(
  kind: Kind,
  transport: Server["transport"],
  thread: Server["thread"],
): string {
  return `${NAMES[kind]}, ${transport}${THREADS[thread]}`;
}

function server(
  kind: Kind,
  transport: Server["transport"],
  thread: Server["thread"],
): Server {
  const name = nameOf(kind, transport, thread);
  return { name, kind, transport, thread };
}

export const SERVERS: readonly Server[] = [
  server("memory", "classic", "main"),
  server("paths", "classic", "main"),
  server("promises", "classic", "main"),
  server("memory", "io_uring", "main"),
  server("memory", "io_uring", "worker"),
  server("memory", "classic", "asleep"),
  server("memory", "io_uring", "asleep"),
];

/** The programs in C, below the top of the project. */
export const PROGRAMS = {
  server: ".cache/bench/fuse_server",
  client: ".cache/bench/fuse_client",
} as const;
