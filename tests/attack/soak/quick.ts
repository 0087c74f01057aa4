/** Commands that are over at once, each with a result of its own. */

import type { Ring } from "../../../mod.ts";
import { Command } from "../../../ring/command.ts";
import { siocinq } from "../../../cmd/socket/mod.ts";
import * as op from "../../../cmd/op.ts";
import { IORING_NOP_INJECT_RESULT } from "../../../sys/uapi/io_uring.ts";
import { pipe, tcpPair, writeSync } from "../../kit/fds.ts";
import type { Act, Actor, Stage } from "./actor.ts";
import { fails, gives } from "./ledger.ts";

/** A command that gives this number. */
function nopOf(result: number): Command<number> {
  const opFlags = IORING_NOP_INJECT_RESULT;
  return new Command<number>({ name: "NOP", opcode: 0, opFlags, len: result });
}

/** Batches, by each of the ways there are. */
export const quick: Act = async (self, { ring }) => {
  const waiting = 1 + self.random(1000);
  using pair = tcpPair();
  writeSync(pair.left, new Uint8Array(waiting));
  await self.see(
    ring.cmd(op.poll(pair.right, { events: op.POLLIN })),
    gives(1),
  );
  const unread = siocinq(pair.right);
  for (let batch = 0; batch < 10; batch++) {
    const expected = Array.from(
      { length: 1 + self.random(200) },
      (_, i) => self.random(2) === 0 ? waiting : i,
    );
    const commands = expected.map((n) => n === waiting ? unread : nopOf(n));
    switch (self.random(4)) {
      case 0:
        await Promise.all(
          commands.map((each, i) =>
            self.see(ring.cmd(each), gives(expected[i]))
          ),
        );
        break;
      case 1:
        self.compare(() => ring.cmdAllSync(commands), expected);
        break;
      case 2:
        self.compare(
          () => commands.map((each) => ring.cmdSync(each)),
          expected,
        );
        break;
      case 3:
        await batches(self, ring, commands, expected);
    }
  }
};

/** Several batches at a time. */
async function batches(
  self: Actor,
  ring: Ring,
  commands: Command<number>[],
  expected: number[],
): Promise<void> {
  const all = Array.from(
    { length: 1 + self.random(8) },
    () => ring.cmdAll(commands),
  );
  for (const each of all) {
    const found = await each;
    self.compare(() => found, expected);
  }
}

/** Chains with a command that may fail, and waits with a link timeout. */
export const links: Act = async (self, stage) => {
  const length = 2 + self.random(stage.entries - 1);
  // A command that fails ends its chain.
  const broken = self.random(2 * length);
  using pair = pipe();
  const bad = op.read(pair.right, new Uint8Array(1));
  const chain = Array.from(
    { length },
    (_, i) => i === broken ? bad : nopOf(i),
  );
  const promises = stage.ring.link(chain);
  // A short submit ends it, too, and nothing runs after what has not.
  const cut = fails("ECANCELED");
  await Promise.all(promises.map((promise, i) => {
    const due = i < broken ? gives(i) : i === broken ? fails("EBADF") : cut;
    return self.see(promise, due, i > 0 ? cut : due);
  }));
  const ends = await Promise.allSettled(promises);
  const last = ends.findIndex(({ status }) => status === "rejected");
  const ran = ends.findLastIndex(({ status }) => status === "fulfilled");
  if (last >= 0 && ran > last) self.wrong(`link ${ran} ran after ${last}`);
  await boundedWait(self, stage);
};

async function boundedWait(self: Actor, { ring }: Stage): Promise<void> {
  using pair = tcpPair();
  const delayMs = self.random(5);
  const [wait, bound] = ring.link([
    op.poll(pair.left, { events: op.POLLIN }),
    op.linkTimeout(delayMs),
  ]);
  const over = [
    self.see(wait, gives(1), fails("ECANCELED")),
    self.see(bound, gives(true), gives(false)),
  ];
  if (self.random(2) === 0) {
    await self.pause(self.random(5));
    writeSync(pair.right, "x");
  }
  await Promise.all(over);
}

/** Timeouts, none of which may expire early. */
export const timeouts: Act = async (self, { ring }) => {
  const delays = Array.from({ length: 8 }, () => self.random(30));
  const start = performance.now();
  await Promise.all(delays.map(async (delayMs) => {
    await self.see(ring.cmd(op.timeout(delayMs)), gives(undefined));
    const took = performance.now() - start;
    if (took < delayMs - 1) self.wrong(`${delayMs} ms were over in ${took}`);
  }));
};
