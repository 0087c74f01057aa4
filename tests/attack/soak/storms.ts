/** Commands that run until they are aborted. */

import { Command } from "../../../ring/command.ts";
import * as op from "../../../cmd/op.ts";
import {
  IORING_OP_POLL_ADD,
  IORING_POLL_ADD_MULTI,
} from "../../../sys/uapi/io_uring.ts";
import { type FdPair, pipe, tcpPair, unixPair } from "../../kit/fds.ts";
import { turn } from "../../kit/wait.ts";
import { writeSync } from "../../kit/fds.ts";
import { type Act, type Actor, openStage, type Stage } from "./actor.ts";
import { aborted, closed, each, gives, refused, upTo } from "./ledger.ts";

/** Makes a command that never ends by itself. */
function endless(self: Actor, { ring }: Stage, pair: FdPair): Command<unknown> {
  const events = op.POLLIN;
  switch (self.random(4)) {
    case 0:
      return op.read(pair.left, new Uint8Array(8));
    case 1:
      return op.read(pair.left, ring.alloc(8));
    case 2:
      return op.poll(pair.left, { events });
    default:
      return op.timeout(1e9);
  }
}

/** Waits until commands are queued, are with the kernel, or are settled. */
async function moment(self: Actor): Promise<void> {
  switch (self.random(4)) {
    case 0:
      return await Promise.resolve();
    case 1:
      return await turn();
    case 2:
      return await self.pause(self.random(20));
  }
}

/** Waits that are aborted at all sorts of moments. */
export const storm: Act = async (self, stage) => {
  using pair = self.pick<() => FdPair>([pipe, unixPair, tcpPair])();
  const groups = Array.from({ length: 1 + self.random(8) }, async () => {
    const abort = new AbortController();
    const { signal } = abort;
    const ends = aborted(signal);
    if (self.random(3) === 0) {
      const length = 1 + self.random(64);
      const all = Array.from({ length }, () => endless(self, stage, pair));
      self.ledger.aborts++;
      const batch = self.see(
        stage.ring.cmdAll(all, { signal }),
        ends,
        each(upTo(8)),
      );
      await moment(self);
      abort.abort();
      return void await batch;
    }
    const over = Array.from({ length: 1 + self.random(16) }, () => {
      const command = endless(self, stage, pair);
      self.ledger.aborts++;
      return self.see(stage.ring.cmd(command, { signal }), ends, upTo(8));
    });
    await moment(self);
    // Some are over at the same time, and may be faster.
    if (self.random(3) === 0) writeSync(pair.right, "x");
    abort.abort();
    await Promise.all(over);
  });
  await Promise.all(groups);
};

/** Streams that are left, aborted, or have their ring closed. */
export const streams: Act = async (self, { ring, shape }) => {
  using pair = self.pick<() => FdPair>([pipe, unixPair, tcpPair])();
  const abort = new AbortController();
  const stream = ring.stream(
    new Command<number>({
      name: "POLL_ADD multishot",
      opcode: IORING_OP_POLL_ADD,
      file: pair.left,
      len: IORING_POLL_ADD_MULTI,
      opFlags: op.POLLIN,
      multishot: true,
    }),
    abort,
  );
  const into = new Uint8Array(64);
  const messages = 1 + self.random(20);
  let sent = 0;
  for (let arrived = 0; arrived < messages;) {
    if (sent === arrived) {
      const text = "x".repeat(1 + self.random(3));
      sent += writeSync(pair.right, text);
    }
    const { done, value } = await stream.next();
    self.ledger.commands++;
    self.progress();
    // The kernel ends a stream for which the CQ has no room.
    if (done && shape === "small") return;
    if (done || value !== op.POLLIN) return self.wrong(`stream gave ${value}`);
    // An event may tell of what the read before it has read already.
    if (sent > arrived) {
      const most = sent - arrived;
      arrived +=
        await self.see(ring.cmd(op.read(pair.left, into)), upTo(most)) ??
          messages;
    }
  }
  if (self.random(2) === 0) {
    await self.see(stream.return!(), () => true);
  } else {
    self.ledger.aborts++;
    abort.abort();
    await self.see(drain(stream), aborted(abort.signal));
  }
};

/** Reads what there is, and fails as the stream does. */
async function drain(stream: AsyncIterable<number>): Promise<void> {
  for await (const _ of stream);
}

/** Rings that are closed with commands in flight. */
export const closings: Act = async (self, { shape }) => {
  const stage = openStage(shape, self.ledger);
  const { ring } = stage;
  using pair = pipe();
  const over: Promise<unknown>[] = [];
  for (let i = self.random(64); i >= 0; i--) {
    const command: Command<unknown> = self.random(2)
      ? op.nop()
      : endless(self, stage, pair);
    over.push(self.see(ring.cmd(command), gives(0), closed));
  }
  const all = Array.from({ length: 32 }, () => endless(self, stage, pair));
  over.push(self.see(ring.cmdAll(all), closed));
  await moment(self);
  const closing = ring.close();
  await self.see(ring.cmd(op.nop()), refused("the ring is closed"));
  await Promise.all(over);
  await closing;
};
