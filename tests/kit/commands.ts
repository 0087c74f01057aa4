/** Commands of any kind, and their bytes. */

import { io_uring_sqe, IORING_OP_MSG_RING } from "../../sys/uapi/io_uring.ts";
import { Command, type CommandSpec } from "../../ring/command.ts";

/**
 * The 64 bytes of a command's SQE, or 128, with `user_data` 0, where nothing may
 * be left of what was there.
 */
export function sqeBytes(command: Command<unknown>, wide = false): Uint8Array {
  const words = new Int32Array(wide ? 32 : 16).fill(-1);
  command.encode(words, 0, wide, 0, 0);
  return new Uint8Array(words.buffer);
}

/** A command of any opcode, for what the library has no function for. */
export function custom(
  spec: CommandSpec<number>,
): Command<number> {
  return new Command(spec);
}

/** Byte offset of `addr` in the SQE. */
export const ADDR = io_uring_sqe.addr.offset;

/** Posts a completion to a ring from another: `res` for any `user_data`. */
export function message(
  ring: { readonly fd: number },
  userData: number | bigint,
  res: number,
): Command<number> {
  return custom({
    name: "MSG_RING",
    opcode: IORING_OP_MSG_RING,
    file: ring.fd,
    off: userData,
    len: res,
  });
}
