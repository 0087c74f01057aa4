/** A mutant that no test can notice here: it is not drawn. */
export interface Judged {
  readonly file: string;
  /** The line that it begins in, without the white space around it. */
  readonly code: string;
  readonly what: string;
  readonly reason: string;
}

export const EQUIVALENT: readonly Judged[] = [
  {
    file: "cmd/btrfs/file.ts",
    code: "info.flags.set(view, 0, 0); // Asks for no optional field.",
    what: "`0` becomes `1`",
    reason: "the flags ask for optional fields, which are not read",
  },
  {
    file: "cmd/cli/demo.ts",
    code: "for (let i = 0; i < 500; i++) await ring.cmd(op.nop());",
    what: "`i < 500` becomes `i <= 500`",
    reason: "one more command warms the ring as well",
  },
  {
    file: "cmd/cli/demo.ts",
    code: "for (let i = 0; i < 500; i++) await ring.cmd(op.nop());",
    what: "without `await ring.cmd(op.nop());`",
    reason:
      "the ring is as warm as the times that are shown, which nobody compares",
  },
  {
    file: "cmd/cli/demo.ts",
    code: "await ring.cmd(op.timeout(1));",
    what: "`1` becomes `2`",
    reason: "a later completion loads node:net as well",
  },
  {
    file: "cmd/nvme/node.ts",
    code:
      "if (facts.type === S_IFCHR && !majors.has(facts.device[0])) findNode(facts);",
    what: "`0` becomes `1`",
    reason: "needs a drive, whose node is looked up again at each command",
  },
  {
    file: "cmd/nvme/node.ts",
    code: "majors.add(facts.device[0]);",
    what: "`0` becomes `1`",
    reason: "needs a drive, whose node is looked up again at each command",
  },
  {
    file: "cmd/nvme/open.ts",
    code: "nvme_passthru_cmd.addr.set(view, 0, at + data);",
    what: "`at + data` becomes `at - data`",
    reason: "needs a drive, as the guests of test:vm have",
  },
  {
    file: "cmd/nvme/open.ts",
    code: "nvme_passthru_cmd.addr.set(view, 0, at + data);",
    what: "without `nvme_passthru_cmd.addr.set(view, 0, at + data);`",
    reason: "needs a drive, as the guests of test:vm have",
  },
  {
    file: "cmd/nvme/passthru.ts",
    code: "if (byteLength <= (maxSegments - 1) * PAGE) return;",
    what: "`(maxSegments - 1) * PAGE` becomes `(maxSegments - 1) / PAGE`",
    reason: "a shortcut: the check after it says the same of such data",
  },
  {
    file: "cmd/op.ts",
    code: "return length <= INT_MAX",
    what: "`length <= INT_MAX` becomes `length < INT_MAX`",
    reason: "a shortcut: the check after it takes that length as well",
  },
  {
    file: "cmd/probe.ts",
    code:
      "const untried = uapi.IORING_SETUP_NO_MMAP | uapi.IORING_SETUP_ATTACH_WQ |",
    what:
      "`uapi.IORING_SETUP_NO_MMAP | uapi.IORING_SETUP_ATTACH_WQ` becomes `uapi.IORING_SETUP_NO_MMAP & uapi.IORING_SETUP_ATTACH_WQ`",
    reason: "only kernels without IORING_REGISTER_QUERY get there",
  },
  {
    file: "cmd/socket/fd.ts",
    code: "const value = socketOption(fd, SOL_SOCKET, optname, 4);",
    what: "`4` becomes `5`",
    reason: "the kernel writes no more bytes than the option has",
  },
  {
    file: "cmd/socket/fd.ts",
    code: "for (const fd of fds.sort((a, b) => a - b)) {",
    what: "`a - b` becomes `a + b`",
    reason: "the kernel lists descriptors in their order",
  },
  {
    file: "ring/bare/setup.ts",
    code: "const GRACE_MS = 250;",
    what: "`250` becomes `251`",
    reason: "a millisecond more of patience",
  },
  {
    file: "ring/check.ts",
    code: "if (length > USUAL) checkHoles(name, value, length);",
    what: "`length > USUAL` becomes `length >= USUAL`",
    reason: "whether exactly the usual length is looked at once more",
  },
  {
    file: "ring/flight/abort.ts",
    code: "batch.abort = { reason, next: -1 };",
    what: "`1` becomes `2`",
    reason: "any negative number says that some commands still wait",
  },
  {
    file: "ring/flight/abort.ts",
    code: "const generation = target instanceof Slot ? target.generation : 0;",
    what: "`0` becomes `1`",
    reason: "nothing compares the generation of a batch, which has none",
  },
  {
    file: "ring/flight/batches.ts",
    code: "if (2 * this.#count > this.#mask) this.#grow();",
    what:
      "`2 * this.#count > this.#mask` becomes `2 * this.#count >= this.#mask`",
    reason: "the mask is odd",
  },
  {
    file: "ring/flight/batches.ts",
    code:
      "while (this.#table[number & this.#mask] !== null) number = number + 1 | 0;",
    what: "`0` becomes `1`",
    reason: "fewer than half of the places are taken, so an odd one is free",
  },
  {
    file: "ring/flight/pool.ts",
    code: "freeCount = 0;",
    what: "`0` becomes `1`",
    reason: "whether one idle block more counts, until the first look",
  },
  {
    file: "ring/flight/pool.ts",
    code: "if (this.freeCount > 2 * this.peak) {",
    what:
      "`this.freeCount > 2 * this.peak` becomes `this.freeCount >= 2 * this.peak`",
    reason: "whether exactly twice as many idle blocks as were needed stay",
  },
  {
    file: "ring/flight/pool.ts",
    code:
      "size.peak = size.freeCount * size.byteLength > PAGE ? 0 : size.freeCount;",
    what:
      "`size.freeCount * size.byteLength > PAGE` becomes `size.freeCount * size.byteLength >= PAGE`",
    reason: "whether exactly one page of blocks stays in the pool",
  },
  {
    file: "ring/loop/bell.ts",
    code: "#retryAt = 0;",
    what: "`0` becomes `1`",
    reason: "a bell that cannot connect sets it before it is read",
  },
  {
    file: "ring/loop/engine.ts",
    code:
      "if (requests <= FIRST || requests % EVERY === 0) this.#lookAfterTurn();",
    what: "`0` becomes `1`",
    reason: "which request of sixty-four looks after the turn",
  },
  {
    file: "ring/loop/polling.ts",
    code: "if (this.#timer === undefined) return;",
    what: "without `if (this.#timer === undefined) return;`",
    reason: "Deno ignores a timer that there is not",
  },
  {
    file: "ring/loop/relay.ts",
    code: "const block = take(8);",
    what: "`8` becomes `7`",
    reason: "the smallest blocks have 64 bytes",
  },
  {
    file: "ring/loop/relay.ts",
    code: "return res >= 0;",
    what: "`res >= 0` becomes `res > 0`",
    reason: "a read of an eventfd has eight bytes, or fails",
  },
  {
    file: "ring/loop/waker.ts",
    code: "const TRIES = 64;",
    what: "`64` becomes `65`",
    reason: "one call more, until a waker gives up",
  },
  {
    file: "ring/loop/waker.ts",
    code: "optional: uapi.IORING_SETUP_COOP_TASKRUN |",
    what:
      "`uapi.IORING_SETUP_COOP_TASKRUN | uapi.IORING_SETUP_SINGLE_IS ... ` becomes `uapi.IORING_SETUP_COOP_TASKRUN | uapi.IORING_SETUP_SINGLE_IS ... `",
    reason: "these flags save time, and a kernel may lack them",
  },
  {
    file: "ring/loop/waker.ts",
    code: "optional: uapi.IORING_SETUP_COOP_TASKRUN |",
    what:
      "`uapi.IORING_SETUP_COOP_TASKRUN | uapi.IORING_SETUP_SINGLE_ISSUER` becomes `uapi.IORING_SETUP_COOP_TASKRUN & uapi.IORING_SETUP_SINGLE_ISSUER`",
    reason: "these flags save time, and a kernel may lack them",
  },
  {
    file: "ring/loop/waker.ts",
    code: "this.#enter(0, 0);",
    what: "`0` becomes `1`",
    reason: "the call waits for nothing, with either argument alone",
  },
  {
    file: "ring/loop/waker.ts",
    code: "let taken = false;",
    what: "`false` becomes `true`",
    reason: "the kernel clears its flag once it has posted what had overflowed",
  },
  {
    file: "ring/loop/waker.ts",
    code: "taken = true;",
    what: "`true` becomes `false`",
    reason:
      "what more than 512 rings signal at once is taken after the next byte",
  },
  {
    file: "sys/arena.ts",
    code: "if (rc > 0) this.#reserved = rc;",
    what: "`rc > 0` becomes `rc >= 0`",
    reason: "the kernel maps nothing at address 0",
  },
  {
    file: "sys/libc.ts",
    code:
      "return halves[1] === FAILED ? -errno[0] : halves[1] * 2 ** 32 + halves[0];",
    what: "`1` becomes `0`",
    reason:
      "both halves of MAP_FAILED are the same, and an address is of a page",
  },
  {
    file: "sys/mapping.ts",
    code: "if (address < 0) return address;",
    what: "`address < 0` becomes `address <= 0`",
    reason: "the kernel maps nothing at address 0",
  },
];
