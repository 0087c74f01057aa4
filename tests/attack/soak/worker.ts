/** A thread that uses a ring until it is terminated. */

import { Ring } from "../../../mod.ts";
import * as op from "../../../cmd/op.ts";
import { SHAPES } from "./actor.ts";
import type { Task } from "./garbage.ts";

declare const self: {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: unknown): void;
};

self.onmessage = async ({ data: { shape, silent } }) => {
  const ring = Ring.open(SHAPES[shape]);
  void ring.cmd(op.read(silent, new Uint8Array(4096)));
  await ring.cmd(op.timeout(1)); // By now all is open that ever will be.
  self.postMessage(ring.cmdSync(op.nop()));
  for (;;) {
    await Promise.all([
      ring.cmd(op.nop()),
      ring.cmd(op.timeout(0.1)),
      ring.cmd(op.nop()),
    ]);
    ring.cmdAllSync([op.nop(), op.nop()]);
  }
};
