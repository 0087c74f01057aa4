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
    file: "cmd/block.ts",
    code: "view.setBigUint64(0, 0n, true);",
    what: "`true` becomes `false`",
    reason: "zero has the same bytes in either order",
  },
  {
    file: "cmd/cli/demo.ts",
    code: "for (let i = 0; i < 500; i++) await ring.cmd(op.nop());",
    what: "`i < 500` becomes `i <= 500`",
    reason: "one more command warms the ring as well",
  },
  {
    file: "cmd/socket/fd.ts",
    code: "const value = socketOption(fd, SOL_SOCKET, optname, 4);",
    what: "`4` becomes `5`",
    reason: "the kernel writes no more bytes than the option has",
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
    file: "ring/bare/register.ts",
    code: "view.setUint32(4, 0, true); // The others stay as many as they are.",
    what: "`true` becomes `false`",
    reason: "zero has the same bytes in either order",
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
