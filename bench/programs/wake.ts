/**
 * Measures what it takes to wake the event loop for one late completion, without
 * looking for it meanwhile: through a pipe of Deno, and through the waker, which is
 * the way where Deno has no such pipe, and was the only one before. The floor is a
 * call that blocks.
 *
 * Another process answers, so that all CPU time of this one goes into waiting.
 */

import { Ring } from "../../mod.ts";
import { read } from "../../cmd/op.ts";
import { pipe } from "../../tests/kit/fds.ts";
import { wake } from "../../tests/kit/wait.ts";
import { take } from "../../tests/kit/wires.ts";
import { cpuTimeNs } from "../guest/cpu_time.ts";
import { median } from "../stats.ts";
import { nowUs, writeByte } from "./peer.ts";

const ROUNDS = 16;
/** Wake-ups of one way in a round. */
const COUNT = 250;

const [question, answer] = [pipe(), pipe()];
const peer = new URL("peer.ts", import.meta.url).pathname;
const ends = [question.left, answer.right].map(String);
const child = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--no-check", peer, ...ends],
}).spawn();

/** A way to wait, and its figures by round. */
interface Way {
  wait(): Promise<number> | number;
  readonly cpuUs: number[];
  readonly us: number[];
}

const memory = Ring.open().alloc(8);
const time = new Float64Array(memory.buffer, memory.byteOffset, 1);
const command = read(answer.left, memory);

async function waking(way: Parameters<typeof take>[0]): Promise<Way> {
  const ring = Ring.open({ spin: false });
  using _way = take(way);
  await wake(ring);
  return { wait: () => ring.cmd(command), cpuUs: [], us: [] };
}

const blocking = Ring.open();
const ways = {
  pipe: await waking("a pipe of Deno"),
  waker: await waking("the waker"),
  blocked: { wait: () => blocking.cmdSync(command), cpuUs: [], us: [] },
} satisfies Record<string, Way>;

async function measure({ wait, cpuUs, us }: Way, count: number): Promise<void> {
  const times: number[] = [];
  const before = cpuTimeNs("self");
  for (let i = 0; i < count; i++) {
    writeByte(question.right);
    await wait();
    times.push(nowUs() - time[0]);
  }
  cpuUs.push((cpuTimeNs("self") - before) / 1e3 / count);
  us.push(median(times));
}

const all: Way[] = Object.values(ways);
for (const way of all) await measure(way, 8 * COUNT);
for (const { cpuUs, us } of all) cpuUs.length = us.length = 0;
for (let round = 0; round < ROUNDS; round++) {
  const order = round % 2 === 0 ? all : all.toReversed();
  for (const way of order) await measure(way, COUNT);
}
child.kill();

/** The median of what a figure of the pipe is to that of another way. */
function ratio(figure: "cpuUs" | "us", { [figure]: other }: Way): number {
  return median(ways.pipe[figure].map((each, i) => each / other[i]));
}

console.log(JSON.stringify({
  ...Object.fromEntries(
    Object.entries<Way>(ways).flatMap(([name, { cpuUs, us }]) => [
      [`${name}CpuUs`, median(cpuUs)],
      [`${name}Us`, median(us)],
    ]),
  ),
  cpuToWaker: ratio("cpuUs", ways.waker),
  toWaker: ratio("us", ways.waker),
  cpuToBlocked: ratio("cpuUs", ways.blocked),
  toBlocked: ratio("us", ways.blocked),
}));
Deno.exit(0);
