import { Command } from "../../../ring/command.ts";
import { operand } from "../../../ring/operand.ts";
import { ADDR } from "../../kit/commands.ts";

/** Makes a command that fills `bytes`, with `IOSQE_` bits of the caller. */
export function filling(
  opcode: number,
  file: number,
  bytes: Uint8Array,
  flags: number,
): Command<number> {
  const target = operand(ADDR, { bytes, kernel: "writes" }, { counted: true });
  const len = bytes.length;
  return new Command<number>({
    name: "FILL",
    opcode,
    file,
    flags,
    len,
    operands: [target],
  });
}
