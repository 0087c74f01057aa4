/**
 * A process that answers: for each byte that it reads, it sleeps for 0.1 ms, and
 * then writes the time. Its arguments are the descriptors to read and to write.
 *
 *     deno run -A peer.ts FROM TO
 */

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  usleep: { parameters: ["u32"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
});

/** The clock that processes have in common. */
const CLOCK_MONOTONIC = 1;
/** A `struct timespec`. */
const timespec = new BigInt64Array(2);

/** Returns the microseconds since the machine has started. */
export function nowUs(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, timespec);
  return Number(timespec[0]) * 1e6 + Number(timespec[1]) / 1e3;
}

const byte = new Uint8Array(1);

/** Writes a byte to a pipe, as cheaply as Deno can. */
export function writeByte(fd: number): void {
  libc.write(fd, byte, 1n);
}

function answer(from: number, to: number): void {
  const time = new Float64Array(1);
  while (libc.read(from, byte, 1n) === 1n) {
    libc.usleep(100);
    time[0] = nowUs();
    libc.write(to, time, 8n);
  }
}

if (import.meta.main) answer(Number(Deno.args[0]), Number(Deno.args[1]));
