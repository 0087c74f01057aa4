/** Ways to break how a later completion reaches the event loop. */

import { mutantsOf } from "./mutant.ts";

const TESTS = ["tests/ring/wake_test.ts", "tests/attack/many_rings_test.ts"];

export const waking = [
  ...mutantsOf("ring/loop/bell.ts", TESTS, [
    [
      "an eventfd is read twice at a time",
      "    if (this.#armed || this.#closed) return;\n",
      "    if (this.#closed) return;\n",
    ],
    [
      "a bell never connects again",
      "      this.#connect();\n    }\n    if (this.#wire === null) return",
      "    }\n    if (this.#wire === null) return",
    ],
    [
      "a bell without a wire is not looked at",
      "    if (this.#wire === null) return this.#timer.arm();\n",
      "    if (this.#wire === null) return;\n",
    ],
    [
      "a bell is read once",
      "    this.#armed = false;\n    if (this.#closed) return false;\n",
      "    if (this.#closed) return false;\n",
    ],
    [
      "a read that failed is made again for ever",
      "    if (res < 0) this.disconnect();\n",
      "",
    ],
    [
      "a ring that was closed is rung",
      "    if (this.#closed) return;\n    if (this.#deferred)",
      "    if (this.#deferred)",
    ],
    [
      "a block that the kernel may write is given back",
      "    if (this.#armed) abandon(block);\n    else give(block);",
      "    give(block);",
    ],
    [
      "the eventfd of a bell that is gone stays open",
      "    close(eventfd);\n    waker.remove(id);\n  }",
      "    waker.remove(id);\n  }",
    ],
    [
      "the waker keeps a bell that is gone",
      "    close(eventfd);\n    waker.remove(id);\n  }",
      "    close(eventfd);\n  }",
    ],
    [
      "a bell is closed while its eventfd is read",
      "    while (this.#armed) this.#wire!.waker.disarm(this.#wire!.id);\n",
      "",
    ],
    [
      "a bell that fails holds its waker",
      "      wire.waker.hold(false);\n",
      "",
    ],
    [
      "a ring that goes over to the clock lets the process go",
      "      this.#timer.hold(true);\n",
      "",
    ],
    [
      "a ring that goes over to the clock waits for ever",
      "    if (!this.#closed) this.#timer.arm();\n",
      "",
    ],
    [
      "what could not be connected keeps its eventfd",
      "    if (eventfd >= 0) close(eventfd);\n",
      "",
    ],
    [
      "what could not be connected stays with the waker",
      "    waker.remove(id);\n    throw error;",
      "    throw error;",
    ],
  ]),
  ...mutantsOf("ring/loop/waker.ts", [...TESTS, "tests/ring/process_test.ts"], [
    [
      "each ring has a waker of its own",
      "    return Waker.#current ??= new Waker();",
      "    return new Waker();",
    ],
    [
      "a waker without rings stays open",
      "    this.#end();\n    this.#handle.close();\n  }",
      "  }",
    ],
    [
      "a waker that is gone is used again",
      "    if (Waker.#current === this) Waker.#current = null;\n",
      "",
    ],
    [
      "the descriptor of a waker that lost it is closed, whosever it is",
      "    if (errno !== E.EBADF && errno !== E.EOPNOTSUPP) this.#handle.close();\n",
      "    this.#handle.close();\n",
    ],
    [
      "rings are not told that their waker has gone",
      "    for (const listener of [...this.#listeners.values()]) listener.disconnect();\n",
      "",
    ],
    [
      "a waker keeps the process although no ring is held",
      "    this.#socket.unref();\n  }\n\n  /** Adds",
      "  }\n\n  /** Adds",
    ],
    [
      "one ring of two that lets go lets the process go",
      "    else if (!on && this.#holds === 0) this.#socket.unref();\n",
      "    else if (!on) this.#socket.unref();\n",
    ],
    [
      "the pipe is written to without a signal",
      "      flags: uapi.IOSQE_IO_LINK,\n",
      "      flags: 0,\n",
    ],
    [
      "a waker is interrupted for good",
      "      if (rc === 0 || rc === -E.EINTR) continue;\n",
      "      if (rc === 0) continue;\n",
    ],
    [
      "a waker gives up at the first want of memory",
      "      if (!isPassing(-rc) || ++tries === TRIES) return this.#fail(-rc);\n",
      "      return this.#fail(-rc);\n",
    ],
    [
      "a waker tries for ever",
      "      if (!isPassing(-rc) || ++tries === TRIES) return this.#fail(-rc);\n",
      "      if (!isPassing(-rc)) return this.#fail(-rc);\n",
    ],
    [
      "completions that the waker had no room for stay in the kernel",
      "    while (!this.#closed && this.#handle.sq.needsEnter) {",
      "    while (this.#closed && this.#handle.sq.needsEnter) {",
    ],
    [
      "what the waker has taken is not given back",
      "      cq.commit();\n",
      "",
    ],
    [
      "one ring rings for all",
      "    for (const listener of this.#signalled.splice(0)) {",
      "    for (const listener of this.#signalled.splice(0).slice(0, 1)) {",
    ],
    [
      "a ring that throws keeps others from their turns",
      "        reportError(error); // The error of one ring must not stop the next.\n",
      "        throw error;\n",
    ],
    [
      "the end of the pipe that is read stays open when it cannot be registered",
      "  if (rc < 0) close(readEnd);\n",
      "",
    ],
    [
      "the end of the pipe that is written stays open",
      "  close(writeEnd);\n",
      "",
    ],
  ]),
  ...mutantsOf("ring/loop/polling.ts", ["tests/ring/wake_test.ts"], [
    [
      "the clock looks as often for ever",
      "this.#delay = Math.min(2 * this.#delay, LATEST);",
      "this.#delay = SOONEST;",
    ],
    [
      "the clock looks ever less often",
      "Math.min(2 * this.#delay, LATEST)",
      "2 * this.#delay",
    ],
    [
      "what is new puts the next look off",
      "      if (this.#timer !== undefined && this.#delay === SOONEST) return;\n",
      "",
    ],
    [
      "what is new is looked for late",
      "      this.#delay = SOONEST;\n    }",
      "    }",
    ],
    [
      "two timers run",
      "    this.stop();\n    this.#timer =",
      "    this.#timer =",
    ],
    [
      "a clock that is not held keeps the process",
      "    if (!this.#held) Deno.unrefTimer(this.#timer);\n",
      "",
    ],
    [
      "a clock that is held lets the process go",
      "    if (on) Deno.refTimer(this.#timer);\n    else Deno",
      "    if (!on) Deno",
    ],
    [
      "a clock that was stopped looks",
      "    clearTimeout(this.#timer);\n",
      "",
    ],
    [
      "looks are not counted",
      "    this.looks++;\n",
      "",
    ],
    [
      "a look that throws counts as going on",
      "    } finally {\n      this.#looking = false;\n    }",
      "      this.#looking = false;\n    } finally {\n      void 0;\n    }",
    ],
  ]),
];
