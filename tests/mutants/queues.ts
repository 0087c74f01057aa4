/** Ways to break the two queues. */

import { mutantsOf } from "./mutant.ts";

export const queues = [
  ...mutantsOf("ring/bare/squeue.ts", [
    "tests/ring/squeue_test.ts",
    "tests/ring/command_test.ts",
    "tests/fake/failure_test.ts",
    "tests/fake/order_test.ts",
    "tests/ring/raw_test.ts",
  ], [
    [
      "an SQE that the kernel has not taken is written over",
      "    if ((next - this.#seen | 0) >= this.entries && !this.has(1)) return -1;\n",
      "",
    ],
    [
      "a full queue has one place more",
      "(next - this.#seen | 0) >= this.entries",
      "(next - this.#seen | 0) > this.entries",
    ],
    [
      "a tail that wraps makes the queue look full",
      "    if ((next - this.#seen | 0) >= this.entries",
      "    if ((next - this.#seen) >= this.entries",
    ],
    [
      "SQEs run out of the ring",
      "return (next & this.#mask) << this.#shift;",
      "return next << this.#shift;",
    ],
    [
      "SQEs of 128 bytes overlap",
      "layout.sqeWords === 32 ? 5 : 4",
      "4",
    ],
    [
      "places of the array name other SQEs",
      "layout.ring[layout.array + i] = i;",
      "layout.ring[layout.array + i] = 0;",
    ],
    [
      "words of an earlier command stay in an SQE",
      "    doubles[at + 7] = 0;\n",
      "",
    ],
    [
      "a large SQE straddles the end of a mixed ring",
      "const fill = wide && (this.#next & this.#mask) === this.#mask;",
      "const fill = false;",
    ],
    [
      "a filler takes no place",
      "(wide ? 2 : 1) + (fill ? 1 : 0);",
      "wide ? 2 : 1;",
    ],
    [
      "a filler ends a chain",
      "    if (!linked) this.#chain = this.#next;\n",
      "    this.#chain = this.#next;\n",
    ],
    [
      "an SQE that was published is moved up",
      "    this.#last = -1;\n    if (this.#offered",
      "    if (this.#offered",
    ],
    [
      "an SQE is linked by what stood there before",
      "    this.words[this.#last] = 0; // Links nothing, until the caller says so.\n",
      "",
    ],
    [
      "a filler posts a completion",
      "IORING_OP_NOP | IOSQE_CQE_SKIP_SUCCESS << 8",
      "IORING_OP_NOP",
    ],
    [
      "a filler has words of another command",
      "    this.words.fill(0, word, word + 16);\n",
      "",
    ],
    [
      "what a filler is put before is written over",
      "    this.words.copyWithin(word + 16, word, this.#mask * 16);\n",
      "",
    ],
    [
      "the array does not say which SQE is held",
      "    this.#ring[this.#array + (this.#next & this.#mask)] = sqe;\n",
      "",
    ],
    [
      "an SQE that is held is used again",
      "    const sqe = this.#free.pop()!;",
      "    const sqe = this.#free.at(-1)!;",
    ],
    [
      "there are SQEs where all are held",
      "    if (this.hold && this.#free.length < count) return false;\n",
      "",
    ],
    [
      "an SQE is given back by another number",
      "    this.#free.push(word / this.sqeWords);",
      "    this.#free.push(word / 32);",
    ],
    [
      "the head of the kernel is never read again",
      "    this.#seen = Atomics.load(this.#ring, this.#head);\n    return (this",
      "    return (this",
    ],
    [
      "the tail is not shown to the kernel",
      "    Atomics.store(this.#ring, this.#tail, this.#next);\n",
      "",
    ],
    [
      "what the kernel has taken is submitted again",
      "    if (this.#offered !== 0) this.#seen = Atomics.load(this.#ring, this.#head);\n",
      "",
    ],
    [
      "a short submit counts as a whole one",
      "    if (count !== this.#offered) return;\n",
      "",
    ],
    [
      "SQEs that were not published count as taken",
      "    this.#seen = this.#published;\n",
      "    this.#seen = this.#next;\n",
    ],
    [
      "free places are counted without those that are held",
      "return this.hold ? Math.min(left, this.#free.length) : left;",
      "return left;",
    ],
    [
      "completions that wait for an enter are not seen",
      "const waiting = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;",
      "const waiting = IORING_SQ_CQ_OVERFLOW;",
    ],
    [
      "completions that the CQ had no room for are not seen",
      "const waiting = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;",
      "const waiting = IORING_SQ_TASKRUN;",
    ],
  ]),
  ...mutantsOf("ring/bare/cqueue.ts", ["tests/ring/cqueue_test.ts"], [
    [
      "the cursor steps beyond what was posted",
      "    if (head === this.#tail && this.ready === 0) return false;\n",
      "",
    ],
    [
      "the tail is read at each completion",
      "    if (head === this.#tail && this.ready === 0) return false;\n",
      "    if (this.ready === 0) return false;\n",
    ],
    [
      "completions run out of the ring",
      "((head & this.#mask) << this.#shift)",
      "(head << this.#shift)",
    ],
    [
      "completions of 32 bytes overlap",
      "layout.cqeWords === 8 ? 3 : 2",
      "2",
    ],
    [
      "the head grows beyond 32 bits",
      "    this.#head = head + 1 | 0;\n    return !this.#mixed",
      "    this.#head = head + 1;\n    return !this.#mixed",
    ],
    [
      "the kernel is given back what was not looked at",
      "Atomics.store(this.#ring, this.#headIndex, this.#head);",
      "Atomics.store(this.#ring, this.#headIndex, this.#tail);",
    ],
    [
      "a filler is a completion",
      "    if (flags & IORING_CQE_F_SKIP) return this.next();\n",
      "",
    ],
    [
      "the second half of a large completion is one, too",
      "    if (large) this.#head = this.#head + 1 | 0;\n",
      "",
    ],
    [
      "a ring of large completions skips every other",
      "(flags & IORING_CQE_F_32) !== 0 && this.cqeWords === 4",
      "(flags & IORING_CQE_F_32) !== 0",
    ],
    [
      "extra words are read of a completion that has none",
      "    if (!this.wide) return 0n;\n",
      "",
    ],
    [
      "what was posted before the queue was made is passed over",
      "    this.#tail = this.#head;\n",
      "    this.#tail = this.#head = layout.ring[layout.tail];\n",
    ],
    [
      "the eventfd is off when it is to be on",
      "on ? 0 : IORING_CQ_EVENTFD_DISABLED",
      "on ? IORING_CQ_EVENTFD_DISABLED : 0",
    ],
    [
      "many lost completions are fewer than none",
      "Atomics.load(this.#ring, this.#overflow) >>> 0",
      "Atomics.load(this.#ring, this.#overflow)",
    ],
  ]),
];
