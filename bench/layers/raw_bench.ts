/**
 * Benchmarks of `./raw`, with the flags and the checks of the C program.
 *
 * A thread can register 16 rings (IO_RINGFD_REG_MAX), so the workloads share
 * one ring for each depth.
 */

import {
  enter,
  IOSQE_FIXED_FILE,
  prepRw,
  type RawSqe,
  type RingHandle,
  setup,
} from "../../ring/raw.ts";
import { registerFiles } from "../../ring/bare/register.ts";
import { devices } from "./devices.ts";
import { type Case, measure } from "./measure.ts";
import {
  allPoints,
  batchesPerCall,
  DEPTHS,
  FIXED_POINTS,
  nameOf,
  type Point,
  SETUP_FLAGS,
} from "./workloads.ts";

function open(depth: number): RingHandle {
  return setup({ entries: depth, flags: SETUP_FLAGS });
}

function batch(
  ring: RingHandle,
  depth: number,
  sqe: RawSqe,
  expected: number,
): void {
  const { sq, cq } = ring;
  for (let i = 0; i < depth; i++) {
    sqe.userData = i;
    prepRw(sq, sqe);
  }
  enter(ring, { toSubmit: sq.publish(), minComplete: depth });
  let seen = 0;
  while (cq.next()) {
    if (cq.res !== expected) throw new Error(`a command answered ${cq.res}`);
    seen++;
  }
  cq.commit();
  if (seen !== depth) throw new Error(`${seen} of ${depth} completed`);
}

function benchmark(point: Point, ring: RingHandle): Case {
  const { workload, depth, file } = point;
  const { opcode, fd, expected } = devices[workload];
  const fixed = file === "fixed";
  const sqe = {
    opcode,
    fd: fixed ? 0 : fd,
    flags: fixed ? IOSQE_FIXED_FILE : 0,
    userData: 0,
  };
  const batches = batchesPerCall(depth);
  return {
    layer: "./raw",
    name: nameOf(point),
    run: () => {
      for (let i = 0; i < batches; i++) batch(ring, depth, sqe, expected);
    },
  };
}

const rings = new Map(DEPTHS.map((depth) => [depth, open(depth)]));
const cases = allPoints().map((it) => benchmark(it, rings.get(it.depth)!));
for (const point of FIXED_POINTS) {
  const ring = open(point.depth);
  const rc = registerFiles(ring.fd, [devices[point.workload].fd]);
  if (rc < 0) throw new Error(`REGISTER_FILES: errno ${-rc}`);
  cases.push(benchmark(point, ring));
}
await measure(cases);
