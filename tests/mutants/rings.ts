/** Ways to break how a ring is made, and what it checks and streams. */

import { mutantsOf } from "./mutant.ts";

const CHECKS = [
  "tests/ring/address_test.ts",
  "tests/ring/command_test.ts",
  "tests/attack/fuzz/holes_test.ts",
  "tests/ring/memory_test.ts",
  "tests/cmd/op_test.ts",
  "tests/ring/raw_test.ts",
  "tests/ring/restrict_test.ts",
  "tests/ring/ring_test.ts",
  "tests/ring/traps_test.ts",
  "tests/cmd/uring_cmd_test.ts",
];

export const rings = [
  ...mutantsOf("ring/bare/setup.ts", [
    "tests/ring/raw_test.ts",
    "tests/ring/hold_test.ts",
  ], [
    [
      "a kernel that lacks an optional flag has no ring",
      "    optional &= ~next;\n",
      "    throw new UringError('io_uring_setup', -1, -fd, '');\n",
    ],
    [
      "a ring that holds SQEs has no array to name them by",
      "  if (hold) optional &= ~uapi.IORING_SETUP_NO_SQARRAY;\n",
      "",
    ],
    [
      "a ring that is closed twice closes another one's descriptor",
      "      if (target < 0) return;\n",
      "",
    ],
    [
      "a ring that was closed enters another one",
      "      target = -1;\n",
      "",
    ],
    [
      "a ring that was closed enters by an index of another",
      "      registered = 0;\n",
      "",
    ],
    [
      "queues of a ring that was closed can be written",
      "      mappings.forEach(unmap);\n      if (index",
      "      if (index",
    ],
    [
      "an index of the thread's table is kept",
      "      if (index >= 0) unregisterRingFd(fd, index);\n",
      "",
    ],
    [
      "the descriptor of a ring is kept",
      "      close(fd);\n      lastClosed",
      "      lastClosed",
    ],
    [
      "a thread that has no index left cannot enter",
      "let target = index >= 0 ? index : fd;",
      "let target = index;",
    ],
    [
      "a submission thread's SQEs are free at once",
      "      if (!sqpoll) squeue.taken(rc);\n",
      "      squeue.taken(rc);\n",
    ],
    [
      "what a ring was refused after it was made stays",
      "    mappings.forEach(unmap);\n    close(fd);\n    return",
      "    return",
    ],
    [
      "the CQ has another size than was asked for",
      "  if (options.cqEntries) flags |= uapi.IORING_SETUP_CQSIZE;\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/stream.ts", [
    "tests/fake/stream_test.ts",
    "tests/ring/ring_test.ts",
  ], [
    [
      "values that nobody waits for are lost",
      "    else this.#values.push(value);\n",
      "",
    ],
    [
      "values come in another order",
      "value: this.#values.shift()!",
      "value: this.#values.pop()!",
    ],
    [
      "those who wait for a value are forgotten at the end",
      "    for (const taker of this.#takers.splice(0)) {",
      "    for (const taker of this.#takers.splice(1)) {",
    ],
    [
      "leaving a stream does not cancel it",
      "    if (!this.#done) this.#cancel();\n",
      "",
    ],
    [
      "leaving a stream does not wait for the kernel",
      "    await this.#ended.promise;\n",
      "    await Promise.resolve();\n",
    ],
    [
      "values come after a stream was left",
      "    this.#values.length = 0;\n",
      "",
    ],
    [
      "an error is thrown twice",
      "    const error = this.#error;\n    this.#error = null;\n",
      "    const error = this.#error;\n",
    ],
    [
      "an error is thrown before the values that came before it",
      "    if (this.#values.length > 0) {",
      "    if (this.#values.length > 0 && this.#error === null) {",
    ],
    [
      "an error comes after a stream was left",
      "    this.#error = null;\n    return { done: true, value: undefined };",
      "    return { done: true, value: undefined };",
    ],
  ]),
  ...mutantsOf("ring/ring.ts", CHECKS, [
    [
      "a ring can be posted to a worker",
      "    bindToThread(this);\n",
      "",
    ],
    [
      "a command runs although its signal was aborted",
      "    if (signal !== undefined) throwIfAborted.call(signal);\n    const slot =",
      "    const slot =",
    ],
    [
      "a chain runs although its signal was aborted",
      "      if (signal !== undefined) throwIfAborted.call(signal);\n      const slots",
      "      const slots",
    ],
    [
      "commands of a chain are not linked",
      "        slot.linked = slots[i + 1] ?? null;\n",
      "",
    ],
    [
      "a command under way loses its table of files",
      '    this.#checkUnused("files", ({ fixedFile }) => fixedFile !== null);\n',
      "",
    ],
    [
      "a command under way loses its table of buffers",
      '    this.#checkUnused("buffers", ({ fixedBuffer }) => fixedBuffer !== null);\n',
      "",
    ],
    [
      "a file of a table that was taken away is used",
      "    this.#files = [];\n",
      "",
    ],
    [
      "a buffer of a table that was taken away is used",
      "    this.#buffers = [];\n",
      "",
    ],
    [
      "a registered buffer may lose its address",
      "import { lastingAddressOf } from",
      "import { addressOf as lastingAddressOf } from",
    ],
    [
      "memory that JavaScript can take away is registered",
      "      if (base === undefined) {",
      "      if (base === -1) {",
    ],
    [
      "a registered buffer starts with its memory",
      "[base + byteOffsetOf(bytes), byteLengthOf(bytes)]",
      "[base, byteLengthOf(bytes)]",
    ],
    [
      "a restricted ring cannot cancel",
      "    ops.push(uapi.IORING_OP_ASYNC_CANCEL);\n",
      "",
    ],
    [
      "a ring that is open can be restricted",
      '    if (this.#engine.state !== "disabled") {',
      '    if (this.#engine.state === "closed") {',
    ],
    [
      "what is no command is run",
      "    if (!Command.is(command)) {",
      "    if (command === null) {",
    ],
    [
      "a command of many completions is awaited",
      "    if (command.multishot !== stream) {",
      "    if (!command.multishot && stream) {",
    ],
    [
      "a large SQE is put into a small place",
      "command.sqe128 && sq.sqeWords === 16 && !sq.mixed",
      "command.sqe128 && sq.sqeWords === 0",
    ],
    [
      "a file of another ring's table is used",
      "fixedFile !== null && this.#files[fixedFile.index] !== fixedFile",
      "fixedFile !== null && fixedFile.index < 0",
    ],
    [
      "a buffer of another ring's table is used",
      "fixedBuffer !== null && this.#buffers[fixedBuffer.index] !== fixedBuffer",
      "fixedBuffer !== null && fixedBuffer.index < 0",
    ],
    [
      "slots stay taken when a command of many is refused",
      "      while (count > 0) slots.give(taken[--count]);\n",
      "",
    ],
    [
      "a signal is not listened to",
      '    addListener.call(signal, "abort", slot.onAbort);\n',
      "",
    ],
    [
      "a refusal of io_uring_register() is passed over",
      "    if (rc >= 0) return;\n",
      "    return;\n",
    ],
  ]),
  ...mutantsOf("ring/ring.ts", [
    "tests/attack/late_test.ts",
    "tests/ring/wake_test.ts",
  ], [
    [
      "a ring that was dropped is never closed",
      "    dropped.register(this, this.#engine);\n",
      "",
    ],
    [
      "a restricted ring cannot be woken",
      "    this.#engine.prepareToWait();\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/check.ts", [...CHECKS, "tests/attack/fuzz_test.ts"], [
    [
      "an array's own length is believed",
      "  return byteLength.call(bytes);",
      "  return bytes.byteLength;",
    ],
    [
      "an array's own offset is believed",
      "  return byteOffset.call(bytes);",
      "  return bytes.byteOffset;",
    ],
    [
      "an array's own buffer is believed",
      "  return buffer.call(bytes);",
      "  return bytes.buffer;",
    ],
    [
      "an array's own set() is called",
      "  set.call(into, from);",
      "  into.set(from);",
    ],
    [
      "what pretends to be an array is one",
      '  if (tag.call(value) !== "Uint8Array") {',
      "  if (!(value instanceof Uint8Array)) {",
    ],
    [
      "an array whose bytes are gone is an empty one",
      "  if (byteLength.call(value) === 0) checkThere(name, value);\n",
      "",
    ],
    [
      "a number that is no integer passes",
      "!Number.isInteger(value) || value < min",
      "value < min",
    ],
    [
      "a number below the bounds passes",
      "!Number.isInteger(value) || value < min",
      "!Number.isInteger(value) || value < -min - 1",
    ],
    [
      "a bigint of more than 64 bits passes",
      "value < 0n || value > 0xffff_ffff_ffff_ffffn",
      "value < 0n",
    ],
    [
      "an element that is missing is passed on",
      "    if (item === undefined) throw new TypeError(`${name}[${i}] is missing`);\n",
      "",
    ],
  ]),
];
