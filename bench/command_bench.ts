/**
 * Command throughput: `deno task bench`. Each figure is the time of a batch of
 * 128 commands, or of one command where the name says so.
 */

import { Ring, uringCmd } from "../mod.ts";
import { nop, O_RDWR, openat } from "../ring/op.ts";
import {
  enter,
  IORING_OP_URING_CMD,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_SINGLE_ISSUER,
  prepRw,
  setup,
} from "../ring/raw.ts";

const DEPTH = 128;
const ring = Ring.open({ entries: DEPTH });
const fd = ring.cmdSync(openat("/dev/null", { flags: O_RDWR }));
const command = uringCmd({ fd, cmd_op: 0 });
const batch = Array.from({ length: DEPTH }, () => command);

const raw = setup({
  entries: DEPTH,
  optional: IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY,
});
const sqe = { opcode: IORING_OP_URING_CMD, fd };

Deno.bench("128 uring_cmd on /dev/null: ./raw", { group: "128" }, () => {
  for (let i = 0; i < DEPTH; i++) prepRw(raw.sq, sqe);
  enter(raw, { toSubmit: raw.sq.publish(), minComplete: DEPTH });
  while (raw.cq.next());
  raw.cq.commit();
});

Deno.bench("128 uring_cmd on /dev/null: cmdAllSync", { group: "128" }, () => {
  ring.cmdAllSync(batch);
});

Deno.bench(
  "128 uring_cmd on /dev/null: cmd",
  { group: "128", baseline: true },
  async () => {
    await Promise.all(batch.map((each) => ring.cmd(each)));
  },
);

Deno.bench("one uring_cmd on /dev/null: cmdSync", { group: "one" }, () => {
  ring.cmdSync(command);
});

Deno.bench("one uring_cmd on /dev/null: cmd", { group: "one" }, async () => {
  await ring.cmd(command);
});

Deno.bench("one NOP: cmd", { group: "one" }, async () => {
  await ring.cmd(nop());
});
