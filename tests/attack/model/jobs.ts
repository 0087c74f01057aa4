/** The commands that sequences are made of: what each does, and how it may end. */

import { Command, type CommandSpec } from "../../../ring/command.ts";
import { operand } from "../../../ring/operand.ts";
import type { FixedBuffer, FixedFile } from "../../../ring/registered.ts";
import { E } from "../../../sys/uapi/errno.ts";
import { O_CREAT } from "../../../sys/uapi/fcntl.ts";
import * as uapi from "../../../sys/uapi/io_uring.ts";
import { POLLIN } from "../../../sys/uapi/poll.ts";
import { ADDR } from "../../kit/commands.ts";
import type { Step } from "./steps.ts";
import { type Allows, type Job, provide, Thrown, type World } from "./world.ts";

const { ETIME } = E;

/** A command of a sequence. */
export interface JobPlan {
  readonly kind: keyof typeof kinds;
  /** A step that its decoder takes: without one, it may have no decoder. */
  readonly inside: Step | null;
  /** Its decoder throws. */
  readonly throws: boolean;
}

/** A command, less its name and decoder, and what is known of it. */
interface Kind {
  readonly spec: Omit<CommandSpec<unknown>, "name">;
  /** Results: a number is what the kernel answers, a text what it refuses with. */
  readonly allows: (given: boolean) => readonly (number | string)[];
  readonly give?: () => void;
  readonly uses?: "files" | "buffers";
  /** Makes an outcome of the result. */
  readonly result?: (res: number) => unknown;
}

const nop: Kind = { spec: { opcode: uapi.IORING_OP_NOP }, allows: () => [0] };

/** Every kind of command; `id` is a number that few of a sequence share. */
export const kinds = {
  /** Is over at once. */
  nop: () => nop,
  /** Is handed to a worker of the kernel. */
  worker: () => ({ ...nop, spec: { ...nop.spec, flags: uapi.IOSQE_ASYNC } }),
  /** Fails at once. */
  bad: () => ({
    spec: { opcode: uapi.IORING_OP_POLL_ADD, file: 9999, opFlags: POLLIN },
    allows: () => ["!EBADF"],
  }),
  /** Waits for bytes that come later, or never. */
  read: (world, id) => readKind(world, id, {}),
  /** The same, from a registered file that no other job reads. */
  readFile(world, id) {
    const place = world.files.find(({ used }) => !used);
    if (place === undefined) return nop;
    place.used = true;
    const stale = !place.registered;
    const kind = readKind(world, id, { file: place.file, right: place.right });
    return {
      ...kind,
      uses: "files",
      allows: (given) => stale ? ["!stale"] : kind.allows(given),
    };
  },
  /** The same, into a place in the table of buffers. */
  readBuffer(world, id) {
    const { buffer } = world;
    if (buffer === null) return nop;
    const at = world.count % 1000 * 64;
    const into = buffer.bytes.subarray(at, at + id);
    const stale = !world.buffersRegistered;
    const kind = readKind(world, id, { buffer, into });
    return {
      ...kind,
      uses: "buffers",
      allows: (given) => stale ? ["!stale"] : kind.allows(given),
    };
  },
  /** Waits for bytes without taking them. */
  poll(world) {
    const { left, right } = world.pipe();
    return {
      spec: { opcode: uapi.IORING_OP_POLL_ADD, file: left, opFlags: POLLIN },
      allows: (given) => given ? [POLLIN] : [],
      give: () => provide(right, 1),
    };
  },
  /** Writes what there is room for. */
  write(world, id) {
    const memory = { bytes: new Uint8Array(id), kernel: "reads" } as const;
    return {
      spec: {
        opcode: uapi.IORING_OP_WRITE,
        file: world.pipe().right,
        len: id,
        off: -1,
        operands: [operand(ADDR, memory, { counted: true })],
      },
      allows: () => [id],
    };
  },
  /** Waits for a millisecond. */
  timeout: () => ({
    spec: {
      opcode: uapi.IORING_OP_TIMEOUT,
      len: 1,
      operands: [operand(ADDR, { bytes: millisecond(), kernel: "reads" })],
      expected: [ETIME],
    },
    allows: () => [-ETIME],
  }),
  /** Waits in a worker, where it cannot just be dropped. */
  slow(world) {
    const path = new TextEncoder().encode(`${world.fifo}\0`);
    return {
      spec: {
        opcode: uapi.IORING_OP_OPENAT,
        fdWord: -100,
        opFlags: O_CREAT,
        len: 0o600,
        operands: [operand(ADDR, { bytes: path, kernel: "reads" })],
      },
      allows: (given) => given || world.fifoIsOpen ? ["opened"] : [],
      give: () => world.openFifo(),
      result: (fd) => (world.own(fd), "opened"),
    };
  },
  /** Has a payload that only large SQEs have room for. */
  wide(world) {
    const { flags } = world.ring;
    const fits = flags.includes("SQE128") || flags.includes("SQE_MIXED");
    return {
      spec: {
        opcode: uapi.IORING_OP_URING_CMD,
        file: world.null,
        payload: new Uint8Array(80),
      },
      allows: () => [fits ? 0 : "!narrow"],
    };
  },
} satisfies Record<string, (world: World, id: number) => Kind>;

/** Kinds that end by themselves, so that a call may block on them. */
export const brief: readonly JobPlan["kind"][] = [
  "nop",
  "worker",
  "bad",
  "write",
  "timeout",
  "wide",
];

/** A read of a pipe, or of a `file` that is the other end of `right`. */
function readKind(
  world: World,
  id: number,
  { file, right, buffer, into = new Uint8Array(id) }: {
    file?: FixedFile;
    right?: number;
    buffer?: FixedBuffer;
    into?: Uint8Array;
  },
): Kind {
  const ends = file === undefined ? world.pipe() : null;
  const memory = { bytes: into, kernel: "writes" } as const;
  return {
    spec: {
      opcode: buffer ? uapi.IORING_OP_READ_FIXED : uapi.IORING_OP_READ,
      file: file ?? ends!.left,
      len: id,
      off: -1,
      buffer,
      operands: [operand(ADDR, memory, { counted: true })],
    },
    allows: (given) => given ? [id] : [],
    give: () => provide(right ?? ends!.right, id),
    result(res) {
      if (!into.every((byte) => byte === id)) world.complain("wrong bytes");
      return res;
    },
  };
}

function millisecond(): Uint8Array {
  return new Uint8Array(new BigInt64Array([0n, 1_000_000n]).buffer);
}

/** Makes the command of a plan. */
export function make(
  world: World,
  { kind, inside, throws }: JobPlan,
  take: (step: Step) => void,
): Job {
  const id = 1 + world.count++ % 61;
  const made: Kind = kinds[kind](world, id);
  const { result = (res: number) => res } = made;
  const name = `${kind}${inside ? "+" : ""}${throws ? "!" : ""}`;
  const decode = inside === null && !throws && made.result === undefined
    ? undefined
    : ({ res }: { res: number }) => {
      job.decoded++;
      const value = result(res);
      if (inside !== null) take(inside);
      if (throws) throw new Thrown();
      return value;
    };
  const allows: Allows = ({ given }) =>
    made.allows(given).map((outcome) =>
      throws && !String(outcome).startsWith("!") ? "!thrown" : String(outcome)
    );
  const job: Job = {
    name,
    command: new Command<unknown>({ ...made.spec, name, decode }),
    allows,
    give: made.give ?? null,
    uses: made.uses ?? null,
    decoded: 0,
    given: made.give === undefined,
  };
  world.jobs.push(job);
  return job;
}
