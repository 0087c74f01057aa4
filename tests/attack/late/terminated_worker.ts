/** A worker that leaves its commands in flight. */

import { Ring } from "../../../mod.ts";
import { nop } from "../../../cmd/op.ts";
import { give, take } from "../../../ring/flight/pool.ts";
import { IORING_OP_RECV } from "../../../sys/uapi/io_uring.ts";
import { arenaOf } from "../../../sys/arena.ts";
import { placeOf } from "./pages.ts";
import { LENGTH, type Order, type Target } from "./terminate.ts";
import { filling } from "./filling.ts";

type Bytes = Uint8Array<ArrayBuffer>;

function inPlace(ring: Ring): [bytes: Bytes, target: Target] {
  const bytes = ring.alloc(LENGTH) as Bytes;
  return [bytes, {
    script: placeOf(bytes),
    kernel: arenaOf(bytes.buffer)!.address + bytes.byteOffset,
  }];
}

/** A command gets the block that was released last. */
function copied(): [bytes: Bytes, target: Target] {
  const block = take(LENGTH);
  give(block);
  return [new Uint8Array(LENGTH), {
    script: placeOf(block.bytes as Bytes),
    kernel: block.address,
  }];
}

addEventListener("message", async (event) => {
  const { fds, sqpoll, flags } = (event as MessageEvent<Order>).data;
  const ring = Ring.open({ sqpoll });
  const targets = fds.map((file, i) => {
    const [bytes, target] = i % 2 ? copied() : inPlace(ring);
    const recv = filling(IORING_OP_RECV, file, bytes, flags);
    // No code will be there to see how it ends.
    ring.cmd(recv);
    return target;
  });
  // The kernel has started the earlier commands when this one has completed.
  await ring.cmd(nop());
  (self as unknown as Pick<Worker, "postMessage">).postMessage(targets);
});
