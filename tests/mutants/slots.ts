/** Ways to break the life of a command: its slot, its memory, how it settles. */

import { mutantsOf } from "./mutant.ts";

/** Those that see what the kernel itself answers. */
const WHOLE = [
  "tests/fake/order_test.ts",
  "tests/fake/stream_test.ts",
  "tests/attack/fuzz/holes_test.ts",
  "tests/attack/model_test.ts",
  "tests/cmd/op_test.ts",
  "tests/ring/ring_test.ts",
  "tests/cmd/uring_cmd_test.ts",
];
const TESTS = [
  "tests/ring/memory_test.ts",
  "tests/ring/command_test.ts",
  "tests/ring/batch_test.ts",
  "tests/fake/failure_test.ts",
  "tests/fake/order_test.ts",
  "tests/fake/slots_test.ts",
  "tests/fake/stream_test.ts",
  "tests/fake/turn_test.ts",
];

export const slots = [
  ...mutantsOf("ring/flight/slot.ts", TESTS, [
    [
      "a late completion finds the command that came after",
      "    slot.generation = slot.generation + 1 | 0;\n",
      "",
    ],
    [
      "a generation does not wrap where user_data does",
      "slot.generation + 1 | 0",
      "slot.generation + 1",
    ],
    [
      "a completion finds a slot whatever its generation",
      "slot === undefined || slot.generation !== userDataHigh",
      "slot === undefined",
    ],
    [
      "a completion finds a slot that nobody uses",
      "return slot.command === null ? null : slot;",
      "return slot;",
    ],
    [
      "a slot that is free is taken twice",
      "      this.#free = slot.next;\n",
      "",
    ],
    [
      "a slot is not used again",
      "    this.#free = slot;\n",
      "",
    ],
    [
      "memory does not count as in use while it is looked for",
      "    slot.command = command; // So that its memory counts as in use.\n    if (!command.plain) this.#lease(slot, command);\n",
      "    if (!command.plain) this.#lease(slot, command);\n    slot.command = command;\n",
    ],
    [
      "what is taken for a command stays taken when it is refused",
      "      this.give(slot);\n      throw error;",
      "      throw error;",
    ],
    [
      "a slot that was given back is under way",
      "    slot.command = null;\n    slot.receiver = null;",
      "    slot.receiver = null;",
    ],
    [
      "a slot keeps what its command has set",
      "    if (slot.marked) clear(slot);\n",
      "",
    ],
    [
      "blocks are not given back",
      "  for (const block of slot.blocks) if (block !== null) give(block);\n",
      "",
    ],
    [
      "blocks are given back by the next command, too",
      "  slot.blocks.length = 0;\n",
      "",
    ],
    [
      "addresses of an earlier command are used",
      "  slot.addresses.length = 0;\n",
      "",
    ],
    [
      "a signal is listened to after its command",
      '    removeListener.call(slot.signal, "abort", slot.onAbort);\n',
      "",
    ],
    [
      "a command is aborted for an earlier one",
      "  slot.aborted = false;\n  slot.abortReason = undefined;",
      "  slot.abortReason = undefined;",
    ],
    [
      "a command gives back the SQE of an earlier one",
      "  slot.sqe = -1;\n  slot.linked",
      "  slot.linked",
    ],
    [
      "a command ends with the result of an earlier one",
      "  slot.early = false;\n  slot.marked",
      "  slot.marked",
    ],
    [
      "memory that changed its size is given to the kernel",
      "      if (now !== byteLength) {",
      "      if (now < 0) {",
    ],
    [
      "memory that is gone is given to the kernel",
      "      checkBytes(`memory of ${command.name}`, bytes);\n",
      "",
    ],
    [
      "a view of alloc() memory is taken for its start",
      "address = arena.address + byteOffsetOf(bytes);",
      "address = arena.address;",
    ],
    [
      "an answer carries an earlier command's bytes",
      "      if (operand.reads || !counted) {",
      "      if (operand.reads) {",
    ],
    [
      "scratch memory carries an earlier command's bytes",
      "        else block.bytes.fill(0, 0, byteLength);\n",
      "",
    ],
    [
      "what the kernel reads is not copied in",
      "        if (bytes !== null) block.bytes.set(bytes);\n        else",
      "        if (bytes === null)",
    ],
    [
      "an address in a structure has half its bytes",
      "      view.setUint32(operand.at + 4, high(address), true);\n",
      "",
    ],
    [
      "what the kernel reads is written back over the caller's",
      "block === null || bytes === null || !writes",
      "block === null || bytes === null",
    ],
    [
      "more bytes are copied out than were written",
      "    const written = counted\n",
      "    const written = counted && byteLength < 0\n",
    ],
    [
      "an error is taken for a length",
      "Math.min(Math.max(res, 0), byteLength)",
      "Math.min(res, byteLength)",
    ],
    [
      "a length of the kernel's is trusted",
      "Math.min(Math.max(res, 0), byteLength)",
      "Math.max(res, 0)",
    ],
    [
      "bytes are copied into an array that became smaller",
      "    if (byteLengthOf(bytes) < written) {",
      "    if (written < 0) {",
    ],
    [
      "memory of alloc() that a command uses does not count as in use",
      "        if (arena !== undefined) yield arena;\n",
      "",
    ],
    [
      "blocks that a command uses do not count as in use",
      "      for (const block of blocks) if (block !== null) yield block.arena;\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/settle.ts", [...TESTS, ...WHOLE], [
    [
      "a command that was aborted and did its work is told as aborted",
      "slot.aborted && isCancelled(res)",
      "slot.aborted",
    ],
    [
      "a command that was aborted ends with ECANCELED",
      "  if (!more && slot.aborted && isCancelled(res)) {",
      "  if (!more && slot.aborted && res > 0) {",
    ],
    [
      "what a worker leaks when it is interrupted is an error",
      "[ECANCELED, EINTR, 512, 513, 514, 516]",
      "[ECANCELED]",
    ],
    [
      "a value of a stream that looks like an errno ends it",
      "  const good = res >= 0 || more || expected",
      "  const good = res >= 0 || expected",
    ],
    [
      "an errno that a command takes for a result is an error",
      " || expected.includes(-res);",
      ";",
    ],
    [
      "a stream whose last value has come does not end",
      "    if (multishot && !more) receiver.end(slot);\n",
      "",
    ],
    [
      "a decoder that throws is not told of",
      "    slot.receiver!.error(slot, error);\n    return false;",
      "    return false;",
    ],
    [
      "a stream whose decoder throws goes on",
      "    slot.receiver!.error(slot, error);\n    return false;",
      "    slot.receiver!.error(slot, error);\n    return true;",
    ],
    [
      "an error goes to a promise, whoever is to be told",
      "    receiver.error(slot, refusalOf(command, res));",
      "    slot.resolve!(Promise.reject(refusalOf(command, res)));",
    ],
    [
      "an abort is told twice",
      "  slot.receiver = NOBODY;\n",
      "",
    ],
    [
      "leaving a stream is an error",
      "  if (slot.abortReason === undefined) receiver.end(slot);\n  else ",
      "  ",
    ],
    [
      "an advice that throws hides the refusal",
      "    cause = error; // The command has failed for another reason.",
      "    throw error;",
    ],
    [
      "32-byte completions have no more than 16",
      "const extra1 = cq.wide ? cq.extra(0) : 0n;",
      "const extra1 = 0n;",
    ],
  ]),
  ...mutantsOf("ring/flight/batch.ts", [...TESTS, ...WHOLE], [
    [
      "a command of a batch completes twice",
      "    this.commands[place] = undefined;\n    this.results[place] = value;",
      "    this.results[place] = value;",
    ],
    [
      "the last error of a batch is thrown, and not the first",
      "    if (this.failed >= 0 && this.failed < place) return;\n",
      "",
    ],
    [
      "a result takes the place of a command that waits",
      "    if (this.results === this.commands) this.results = this.commands.slice();\n",
      "",
    ],
    [
      "a command that was left to a slot completes in its batch, too",
      "    this.commands[place] = undefined;\n    slot.receiver = this;",
      "    slot.receiver = this;",
    ],
    [
      "a batch waits for commands that are over",
      "    this.left--;\n",
      "",
    ],
    [
      "commands that completed are failed as well",
      "      if (this.pending(place) !== null) this.fail(place, error);\n",
      "      this.fail(place, error);\n",
    ],
    [
      "a command that was cancelled is told as refused",
      "const aborted = this.abortReason !== undefined && isCancelled(res);",
      "const aborted = false;",
    ],
    [
      "a command of a closed ring is told as cancelled whatever came of it",
      "const aborted = this.abortReason !== undefined && isCancelled(res);",
      "const aborted = this.abortReason !== undefined;",
    ],
  ]),
];
