/** Measures the nanoseconds to encode a command into an SQE. */

import { type Command, uringCmd } from "../../mod.ts";
import { median } from "../stats.ts";

const SLOTS = 128;
const COMMANDS = 1_000_000;

// Eight differ, so that V8 cannot treat their words as constants.
const commands = Array.from(
  { length: 8 },
  (_, i) => uringCmd({ fd: i, cmd_op: i }),
);

function encode(
  commands: readonly Command<number>[],
  words: Int32Array,
): void {
  for (let i = 0; i < COMMANDS; i++) {
    const at = (i & SLOTS - 1) * 16;
    commands[i & 7].encode(words, at, false, i, 1);
  }
}

const words = new Int32Array(SLOTS * 16);
const times: number[] = [];
for (let i = 0; i < 31; i++) {
  const start = performance.now();
  encode(commands, words);
  times.push((performance.now() - start) * 1e6 / COMMANDS);
}
// Reading the fd of each SQE keeps V8 from dropping the stores.
const sum = words.filter((_, i) => i % 16 === 1).reduce((a, b) => a + b, 0);
if (sum !== SLOTS / 8 * (0 + 1 + 2 + 3 + 4 + 5 + 6 + 7)) {
  throw new Error("the commands were not encoded");
}
console.log(JSON.stringify({ encodeNs: median(times) }));
