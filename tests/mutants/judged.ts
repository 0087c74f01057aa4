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
];
