/** Methods of a ring, with arguments of every kind, on harmless files. */

import fc from "fast-check";
import { type Ring, uringCmd } from "../../../mod.ts";
import {
  fsync,
  nop,
  poll,
  POLLIN,
  read,
  recv,
  send,
  sendZc,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  timeout,
  write,
} from "../../../cmd/op.ts";
import { alloc, Command } from "../../../ring/raw.ts";
import { getsockopt, siocinq, siocoutq } from "../../../cmd/socket/mod.ts";
import { IORING_OP_NOP } from "../../../sys/uapi/io_uring.ts";
import { devNull, unixPair } from "../../kit/fds.ts";
import {
  anything,
  bytesOf,
  list,
  lookAlike,
  most,
  object,
  oneOf,
  Own,
  Recipe,
  type Recipes,
  upTo,
  wide,
} from "./values.ts";

/** Files of the commands: on none of them does a command wait. */
const NULL = devNull();
const PAIR = unixPair(SOCK_STREAM | SOCK_NONBLOCK);
addEventListener("unload", () => {
  NULL.close();
  PAIR[Symbol.dispose]();
});

/** A function applied to values, whose fields may be odd. */
function applied(
  name: string,
  make: (...args: never[]) => unknown,
  ...args: Recipes[]
): Recipes {
  return fc.tuple(...args).map((recipes) =>
    new Recipe(
      `${name}(${recipes.map(({ label }) => label).join(", ")})`,
      () => Reflect.apply(make, undefined, recipes.map((it) => it.make())),
    )
  );
}

const file: Recipes = fc.oneof(
  { weight: 9, arbitrary: oneOf(NULL.fd, PAIR.left, PAIR.right) },
  lookAlike,
);
const none = oneOf(NULL.fd);
const bytes = fc.oneof(bytesOf(512), bytesOf(0), bytesOf(3));
/** None waits: MSG_DONTWAIT, and MSG_PEEK. */
const flags = oneOf({ flags: 0x40 }, { flags: 0x42 });
const throws = () => {
  throw new Own("a callback");
};

/** Commands whose callbacks throw, or return values of the wrong kind. */
const callbacks = fc.record({
  decode: fc.constantFrom(throws, () => ({ then: throws }), {}),
  precheck: fc.constantFrom(undefined, throws, () => 5),
  advice: fc.constantFrom(undefined, throws, () => Symbol("advice"), () => 5n),
  opcode: fc.constantFrom(IORING_OP_NOP, 200),
}).map((fields) =>
  new Recipe(`Command(${Object.values(fields)})`, () => {
    const spec = { name: "CALLBACKS", ...fields };
    return Reflect.construct(Command, [spec]);
  })
);

export const command: Recipes = fc.oneof(
  applied("nop", nop),
  applied("read", read, none, bytes, object({ offset: wide })),
  applied("write", write, none, bytes, object({ offset: wide })),
  applied("send", send, file, bytes, flags),
  applied("recv", recv, file, bytes, flags),
  applied("sendZc", sendZc, file, bytes, flags),
  applied("fsync", fsync, file),
  applied("poll", poll, none, oneOf({ events: POLLIN })),
  upTo(3).map(({ label, make }) =>
    new Recipe(`timeout(${label})`, () => timeout(Number(make())))
  ),
  applied("siocinq", siocinq, file),
  applied("siocoutq", siocoutq, file),
  applied(
    "getsockopt",
    getsockopt,
    file,
    object({ level: oneOf(1), optname: upTo(80), length: upTo(300) }),
  ),
  applied(
    "uringCmd",
    uringCmd,
    object({
      fd: file,
      cmd_op: upTo(0xffff_ffff),
      addr: object({ bytes, kernel: oneOf("reads", "writes", "both") }),
      payload: bytesOf(16),
      decode: fc.constantFrom(
        new Recipe("throws", () => throws),
        new Recipe("symbol", () => () => Symbol("decoded")),
        new Recipe("then", () => () => ({ then: throws })),
      ),
    }),
  ),
  callbacks,
);

/** Commands of many completions, which end with the first of them. */
const streamed: Recipes = fc.constantFrom(
  ...[() => 0, throws].map((decode) =>
    new Recipe(`many(${decode})`, () =>
      new Command({
        name: "MANY",
        opcode: IORING_OP_NOP,
        multishot: true,
        decode,
      }))
  ),
);

/** Signals that abort at once or soon, and objects that are no signal. */
export const signal: Recipes = fc.constantFrom(
  new Recipe("aborted", () => AbortSignal.abort(new Own("aborted"))),
  new Recipe("aborts soon", () => {
    const controller = new AbortController();
    queueMicrotask(() => controller.abort(new Own("soon")));
    return controller.signal;
  }),
  new Recipe("no reason", () => AbortSignal.abort(undefined)),
  new Recipe("lookalike", () => ({
    aborted: false,
    throwIfAborted() {},
    addEventListener: throws,
  })),
  new Recipe("undefined", () => undefined),
);
export const options: Recipes = object({
  signal,
  async: oneOf(true, false, undefined),
  personality: oneOf(undefined),
});
const chainOptions = object({
  signal,
  async: oneOf(true, false, undefined),
  hard: oneOf(true, false, undefined),
});

type Method = Exclude<keyof Ring, "flags" | "fd" | symbol>;

/** The methods that take arguments, with good values of them. */
export const methods: Partial<Record<Method, readonly Recipes[]>> = {
  cmd: [command, options],
  cmdAll: [list(command), options],
  link: [list(command), chainOptions],
  cmdSync: [command],
  cmdAllSync: [list(command)],
  stream: [fc.oneof(streamed, command), options],
  alloc: [upTo(1 << 20)],
  registerFiles: [list(oneOf(NULL.fd, PAIR.left, null))],
  registerBuffers: [
    list(fc.oneof(
      oneOf(null),
      fc.constant(new Recipe("alloc(8)", () => alloc(8))),
      bytesOf(4096),
    )),
  ],
  updateFile: [upTo(7), oneOf(NULL.fd, PAIR.left, null)],
  updateBuffer: [
    upTo(7),
    fc.oneof(
      oneOf(null),
      fc.constant(new Recipe("alloc(8)", () => alloc(8))),
      bytesOf(4096),
    ),
  ],
  registerBufferRing: [object({ count: upTo(64), byteLength: upTo(4096) })],
  restrict: [
    object({
      ops: list(upTo(0xff)),
      registerOps: list(upTo(0xff)),
      sqeFlagsAllowed: upTo(0xff),
      sqeFlagsRequired: upTo(0xff),
    }),
  ],
};

/** What a ring has before a method is called. */
export const before: Partial<Record<string, (ring: Ring) => void>> = {
  updateFile: (ring) =>
    void ring.registerFiles([NULL.fd, ...new Array<null>(7).fill(null)]),
  updateBuffer: (ring) =>
    void ring.registerBuffers([alloc(8), ...new Array<null>(7).fill(null)]),
};

export const ringOptions: Recipes = object({
  entries: oneOf(1, 8, 64),
  cqEntries: oneOf(64, 128, undefined),
  sqe128: oneOf(true, false, undefined),
  cqe32: oneOf(true, false, undefined),
  mixed: oneOf(undefined, undefined, false, true),
  sqpoll: fc.oneof(
    oneOf(false, undefined),
    object({ idleMs: upTo(50), cpu: oneOf(0, undefined) }),
  ),
  iopoll: oneOf(false, undefined, true, "hybrid"),
  deferTaskrun: oneOf(true, false, undefined),
  maxWorkers: oneOf(0, 1, undefined),
  spin: oneOf(true, false, undefined),
  attach: oneOf(undefined),
  disabled: oneOf(false, undefined, true),
});

export const someMethod: fc.Arbitrary<[Method, Recipe[]]> = fc.oneof(
  ...Object.entries(methods).map(([name, parameters]) =>
    fc.tuple(
      fc.constant(name as Method),
      fc.tuple(...parameters.map((good) => most(good, 12))),
    )
  ),
);

export const oddOptions: Recipes = fc.oneof(
  { weight: 9, arbitrary: ringOptions },
  anything,
);
