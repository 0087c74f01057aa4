/** Ways to break what runs the commands of a ring. */

import { mutantsOf } from "./mutant.ts";

const FAKE = [
  "tests/fake/failure_test.ts",
  "tests/fake/order_test.ts",
  "tests/fake/random_test.ts",
  "tests/fake/stream_test.ts",
  "tests/fake/turn_test.ts",
];
const REAL = [
  "tests/ring/batch_test.ts",
  "tests/ring/command_test.ts",
  "tests/ring/memory_test.ts",
  "tests/ring/restrict_test.ts",
];
const TESTS = [...FAKE, ...REAL];
const ABORTING = [
  "tests/attack/model_test.ts",
  "tests/ring/restrict_test.ts",
  "tests/attack/storm_test.ts",
];
const CLOSING = [
  ...FAKE,
  "tests/ring/close_test.ts",
  "tests/attack/many_rings_test.ts",
  "tests/ring/process_test.ts",
];

export const engine = [
  ...mutantsOf("ring/flight/waiting.ts", TESTS, [
    [
      "commands in line go out of it in another order",
      "    else this.#last.next = slot;\n    this.#last = slot;",
      "    else { slot.next = this.first; this.first = slot; return void this.length++; }\n    this.#last = slot;",
    ],
    [
      "a command drags along those of an earlier line",
      "    slot.next = null;\n",
      "",
    ],
    [
      "a cancellation waits behind all others",
      "    slot.next = this.first;\n    this.first = slot;\n    this.#last ??= slot;",
      "    slot.next = null;\n    if (this.#last === null) this.first = slot;\n    else this.#last.next = slot;\n    this.#last = slot;",
    ],
    [
      "a cancellation that is alone in line is lost by the next command",
      "    this.#last ??= slot;\n",
      "",
    ],
    [
      "a line that has ended is gone on with",
      "    if (this.first === null) this.#last = null;\n",
      "",
    ],
    [
      "only the first of a chain counts as waiting",
      "slot !== null; slot = slot.linked) {\n    slot.marked",
      "slot !== null; slot = null) {\n    slot.marked",
    ],
  ]),
  ...mutantsOf("ring/flight/cancel.ts", [...CLOSING, ...ABORTING], [
    [
      "a cancellation that is over takes a spare place",
      "  value(): void {\n    this.#all.inFlight--;\n",
      "  value(): void {\n",
    ],
    [
      "a cancellation that failed takes a spare place",
      "    this.#all.inFlight--;\n    this.#all.missed(this);",
      "    this.#all.missed(this);",
    ],
    [
      "what a worker had in hand is not cancelled again",
      "    this.#all.missed(this);\n",
      "",
    ],
    [
      "what is over is cancelled again",
      "const left = this.#missed.filter((each) => this.#concerns(each));",
      "const left = this.#missed;",
    ],
    [
      "a cancellation lacks the flags that its ring asks for",
      "        flags: this.requiredFlags,\n",
      "",
    ],
    [
      "the cancellation names another generation",
      "high << 32n | BigInt(userDataLow >>> 0)",
      "BigInt(userDataLow >>> 0)",
    ],
    [
      "of several that were missed one is cancelled again",
      "of left) {",
      "of left.slice(0, 1)) {",
    ],
    [
      "what is cancelled again keeps the process alive",
      "    Deno.unrefTimer(this.#timer);\n",
      "",
    ],
    [
      "a ring that was closed cancels again",
      "    clearTimeout(this.#timer);\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", TESTS, [
    [
      "a command that was queued counts as waiting",
      "      if (slot.waiting) markWaiting(slot, false);\n",
      "",
    ],
    [
      "cancellations go when there is no spare place",
      "      if (cancellations.inFlight >= this.#spare) return false;\n",
      "",
    ],
    [
      "cancellations wait for what is to be cancelled",
      "      if (cancellations.inFlight >= this.#spare) return false;\n",
      "      if (!this.#fits(1)) return false;\n",
    ],
    [
      "cancellations in flight are not counted",
      "      cancellations.inFlight++;\n",
      "",
    ],
    [
      "no places are kept for cancellations",
      "const places = handle.cq.entries - spare - (mixed ? 1 : 0);",
      "const places = handle.cq.entries - (mixed ? 1 : 0);",
    ],
    [
      "large completions of a mixed ring take one place",
      "    this.unit = mixed ? 2 : 1;\n",
      "    this.unit = 1;\n",
    ],
    [
      "commands in flight are not bounded by the CQ",
      "return this.inFlight + completions <= this.#limit || this.inFlight === 0;",
      "return completions > 0;",
    ],
    [
      "the CQ is one command too small",
      "return this.inFlight + completions <= this.#limit || this.inFlight === 0;",
      "return this.inFlight + completions < this.#limit || this.inFlight === 0;",
    ],
    [
      "a command of more completions than fit waits for ever",
      " <= this.#limit || this.inFlight === 0;",
      " <= this.#limit;",
    ],
    [
      "two completions of a command count as one",
      "    this.#limit -= command.completions - 1;\n",
      "",
    ],
    [
      "room for a second completion is not given back",
      "    this.#limit += command.completions - 1;\n",
      "",
    ],
    [
      "a chain is cut where the SQ ends",
      "if (!this.#hasPlaces(first, this.#places(count))) return false;",
      "if (!this.#hasPlaces(first, 1)) return false;",
    ],
    [
      "commands of a chain run side by side",
      "slot.linked !== null ? uapi.IOSQE_IO_LINK : 0",
      "0",
    ],
    [
      "the last of a chain is linked to what comes after",
      "slot.linked !== null ? uapi.IOSQE_IO_LINK : 0",
      "uapi.IOSQE_IO_LINK",
    ],
    [
      "slots of a chain that was aborted are not given back",
      "      each = linked;\n",
      "      each = null;\n",
    ],
    [
      "what waits is queued on a ring that has failed",
      "    if (this.failure !== null) return false;\n    let pushed",
      "    let pushed",
    ],
    [
      "an address is that of an earlier command",
      "      command.encodeAddress(sq.words, at, i, slot.addresses[i]);\n",
      "",
    ],
    [
      "completions of a batch go to the one in its decoder",
      "while (batch !== null && batch.number !== number) batch = batch.outer;",
      "",
    ],
  ]),
  ...mutantsOf("ring/loop/engine.ts", TESTS, [
    [
      "a command that was aborted is aborted again",
      "if (slot.aborted || receiver === null || receiver === NOBODY) return;",
      "if (receiver === null || receiver === NOBODY) return;",
    ],
    [
      "what was told how it ended is cancelled",
      "if (slot.aborted || receiver === null || receiver === NOBODY) return;",
      "if (slot.aborted || receiver === null) return;",
    ],
    [
      "a cancellation is cancelled",
      "    if (receiver instanceof Cancellation) return;\n",
      "",
    ],
    [
      "an aborted command that waits is cancelled in the kernel",
      "if (slot.waiting) settleAborted(slot); // The kernel has not seen it.\n    else ",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/sync.ts", TESTS, [
    [
      "a batch whose commands are all in line waits for ever",
      "        if (starved && this.#force(batch)) continue;\n",
      "",
    ],
    [
      "batches have one number",
      "    this.#batches = this.#batches + 1 | 0;\n",
      "",
    ],
    [
      "the batch of one command is used by a decoder of it",
      "    this.#single = null; // A decoder may make another one meanwhile.\n",
      "    this.#single = batch;\n",
    ],
    [
      "a batch queues what has failed with its ring",
      "        if (batch.pending(place) === null) continue;\n        if (this",
      "        if (this",
    ],
    [
      "commands of a batch that are not queued yet are cancelled in the kernel",
      "      batch.leave(place, slot);\n      markWaiting(slot, true);",
      "      batch.leave(place, slot);",
    ],
  ]),
  ...mutantsOf("ring/loop/engine.ts", [...TESTS, "tests/ring/wake_test.ts"], [
    ["two turns are taken for one", "    if (this.#scheduled) return;\n", ""],
    ["only one turn is ever taken", "    this.#scheduled = false;\n", ""],
    [
      "completions that resubmit keep the loop from its turn",
      "for (let round = 0; pushed && round < ROUNDS; round++) {",
      "for (let round = 0; pushed; round++) {",
    ],
    [
      "what came before the eventfd was switched on is not seen",
      "    if (cq.ready > 0 || sq.needsEnter) this.#comeBack();\n",
      "",
    ],
    ["the bell is not armed", "    bell.arm();\n", ""],
    [
      "a ring that sleeps lets the process go",
      "    bell.hold(this.#referenced);\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", [...TESTS, "tests/ring/wake_test.ts"], [
    [
      "a short submit is not gone on with",
      "      toSubmit = taken === toSubmit ? 0 : sq.publish();\n",
      "      toSubmit = 0;\n",
    ],
    [
      "a submit that takes nothing is made again for ever",
      "      if (taken <= 0) return false;\n",
      "      if (taken < 0) return false;\n",
    ],
    [
      "an interrupt ends the ring",
      "        case E.EINTR:\n          continue;\n",
      "",
    ],
    ["want of memory ends the ring", "        case E.EAGAIN:\n", ""],
    ["a full CQ ends the ring", "        case E.EBUSY:\n", ""],
    [
      "a ring that failed is entered again",
      "          if (this.failure !== null) return 0;\n",
      "",
    ],
    [
      "completions are taken after the ring has failed",
      "    while (more && this.failure === null && cq.next()) {",
      "    while (more && cq.next()) {",
    ],
    [
      "a stream that posts as fast as it is read is read for ever",
      "      more = taken < cq.entries && cq.known > 0;\n",
      "      more = cq.ready > 0;\n",
    ],
    [
      "what was taken is not given back",
      "    if (taken > 0) cq.commit();\n",
      "",
    ],
    [
      "a completion of nobody's is passed over",
      "      return reportUnknown(res, userDataLow, userDataHigh);\n",
      "      return;\n",
    ],
    [
      "a plain command that goes on has ended",
      "command.plain && (flags & uapi.IORING_CQE_F_MORE) === 0",
      "command.plain",
    ],
    [
      "a command with memory that is over takes its slot with it",
      "    else deliver(slot, extras, res, flags, -1);\n    this.slots.give(slot);",
      "    else deliver(slot, extras, res, flags, -1);",
    ],
    [
      "memory is given back before the last completion",
      "        slot.earlyFlags = flags;\n",
      "        slot.earlyFlags = flags;\n        deliver(slot, this.#cq, res, flags, -1);\n        this.slots.give(slot);\n",
    ],
    [
      "a notification is taken for the result",
      "    if (early) deliver(slot, extras, earlyRes, earlyFlags, res);\n    else ",
      "    ",
    ],
    [
      "a completion that is over counts as in flight",
      "    this.inFlight--;\n    this.#limit +=",
      "    this.#limit +=",
    ],
  ]),
  ...mutantsOf("ring/loop/engine.ts", CLOSING, [
    [
      "an idle ring keeps the process",
      "      this.#bell?.hold(false);\n      if (this.state",
      "      if (this.state",
    ],
    [
      "a ring that fails while it closes never has",
      "    if (this.#closed !== null) this.#finish();\n    else if (this.#dropped) void this.close();\n  }\n\n  #finish",
      "    if (this.#dropped) void this.close();\n  }\n\n  #finish",
    ],
    [
      "the bell of a ring that was closed stays open",
      "    this.#bell?.close();\n",
      "",
    ],
    [
      "close() does not cancel what is under way",
      "    for (const slot of busy) this.abort(slot, reason);\n",
      "",
    ],
    [
      "close() leaves commands of a batch that are not queued",
      "      batch.failFrom(batch.queued, reason);\n",
      "",
    ],
    [
      "a second close() closes a second time",
      "    if (this.#closed !== null) return this.#closed.promise;\n",
      "",
    ],
    [
      "close() does not say what keeps it waiting",
      "      this.#closeTimer = setTimeout(() => this.#warn(), CLOSE_WARNING_MS);\n",
      "",
    ],
    [
      "close() ends before the last completion",
      "    this.schedule();\n    return this.#closed.promise;",
      "    this.#finish();\n    return this.#closed.promise;",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", CLOSING, [
    [
      "a command of a ring that failed is told twice",
      "      slot.receiver = NOBODY;\n      receiver.error",
      "      receiver.error",
    ],
    [
      "a batch of a ring that failed waits for ever",
      "      batch.failFrom(0, this.failure);\n",
      "",
    ],
    ["a ring that was closed stays open", "    this.#handle.close();\n", ""],
  ]),
  ...mutantsOf("ring/flight/queues.ts", TESTS, [
    [
      "a command overtakes those that wait",
      "    if (this.line.first === null && !slot.aborted && this.#push(slot)) {",
      "    if (!slot.aborted && this.#push(slot)) {",
    ],
    [
      "what a decoder waits for has no room in the CQ",
      "    if (this.reaping > 0) this.cq.commit();\n",
      "",
    ],
    [
      "what is left of a chain that was cut runs",
      "      if (rc > 0 && rc < toSubmit && !this.sqpoll) this.#endCutChain();\n",
      "",
    ],
    [
      "a command whose bound was cut off waits for ever",
      "      if (bounds) this.#cancelBefore(slot);\n",
      "",
    ],
    [
      "an SQE is held while what came of its command is told",
      "      if (slot.sqe >= 0) this.sq.release(slot.sqe);\n      if (command.numeric",
      "      if (command.numeric",
    ],
    [
      "no SQE is kept for a cancellation",
      "    this.#kept = handle.sq.hold ? 1 : 0;\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/sync.ts", TESTS, [
    [
      "a batch overtakes those that wait",
      "    return this.#queues.line.first === null && this.#queues.fits(1) &&",
      "    return this.#queues.fits(1) &&",
    ],
    [
      "a batch has more in flight than the CQ holds",
      "this.#queues.line.first === null && this.#queues.fits(1) &&",
      "this.#queues.line.first === null &&",
    ],
    [
      "a batch is queued although its ring has ended",
      "        if (batch.pending(place) === null) continue;\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/loop/engine.ts", [...TESTS, ...CLOSING], [
    [
      "a turn begins in the middle of another",
      "    if (this.#turning || queues.reaping > 0 || queues.batch !== null) {",
      "    if (queues.reaping > 0 || queues.batch !== null) {",
    ],
    [
      "a turn begins in the middle of a reaping",
      "    if (this.#turning || queues.reaping > 0 || queues.batch !== null) {",
      "    if (this.#turning || queues.batch !== null) {",
    ],
    [
      "close() makes room for what waits",
      "    for (const slot of busy) if (slot.waiting) this.abort(slot, reason);\n",
      "",
    ],
    [
      "a ring is given back while its queues are read",
      "    if (this.queues.reaping > 0) {",
      "    if (this.queues.reaping > 99) {",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", ["tests/attack/late_test.ts"], [
    [
      "memory of a ring that failed loses its address",
      "    for (const arena of this.slots.arenas()) arena.held = true;\n",
      "",
    ],
    [
      "memory of a ring that failed is collected",
      "    abandoned.push(this.slots);\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/loop/engine.ts", ["tests/attack/late_test.ts"], [
    [
      "a ring that nobody has any more stays open after its last command",
      "      else if (this.#dropped) void this.close();\n      return;",
      "      return;",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", ["tests/attack/leak_test.ts"], [
    [
      "a ring that was closed is asked what it uses",
      "    leaveUse(this.#arenas);\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", ["tests/attack/model_test.ts"], [
    [
      "what a stream posts while its decoder runs is told before",
      "    if (slot.later !== null) {",
      "    if (slot.later === undefined) {",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", TESTS, [
    [
      "a stream that goes on while its decoder blocks has no end",
      "i < ROUNDS && later.length > 0; i++",
      "later.length > 0; i++",
    ],
    [
      "what a stream has posted besides is not told",
      "    if (later.length > 0) this.#unread.push(slot);\n    else slot",
      "    if (later.length === 0) slot",
    ],
    [
      "what a stream has posted besides waits for a completion",
      " || this.#unread.length > 0 ||\n",
      " ||\n",
    ],
    [
      "what a stream has posted besides is overtaken",
      "    if (later.length > 0) this.#unread.push(slot);\n    else slot",
      "    if (later.length > 0) this.#unread.push(slot);\n    slot",
    ],
  ]),
  ...mutantsOf("ring/flight/queues.ts", [
    "tests/attack/fuzz_test.ts",
    "tests/attack/fuzz/holes_test.ts",
  ], [
    [
      "a notification of nobody's is reported",
      "      if (flags & uapi.IORING_CQE_F_NOTIF) return;\n",
      "",
    ],
  ]),
];
