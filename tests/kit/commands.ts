/** Commands for tests, and the bytes of any command's SQE. */

import { io_uring_sqe, IORING_OP_MSG_RING } from "../../sys/uapi/io_uring.ts";
import { Command } from "../../ring/command.ts";

/**
 * Returns the SQE of a command: 64 bytes, or 128 if `wide`. Its `user_data` is 0.
 * A byte that the command does not write is 0xff.
 */
export function sqeBytes(command: Command<unknown>, wide = false): Uint8Array {
  const words = new Int32Array(wide ? 32 : 16).fill(-1);
  command.encode(words, 0, wide, 0, 0);
  return new Uint8Array(words.buffer);
}

/** Byte offset of `addr` in the SQE. */
export const ADDR = io_uring_sqe.addr.offset;

/** Makes a command that posts a completion to another ring, for any `user_data`. */
export function message(
  ring: { readonly fd: number },
  userData: number | bigint,
  res: number,
): Command<number> {
  return new Command({
    name: "MSG_RING",
    opcode: IORING_OP_MSG_RING,
    file: ring.fd,
    off: userData,
    len: res,
  });
}
