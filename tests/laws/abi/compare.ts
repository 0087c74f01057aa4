/**
 * Compares a mirror with the answers of the compiler. It is a pure function of the
 * two, so that a test can check that it finds a wrong mirror.
 */

import {
  type Layout,
  type Member,
  type Mirror,
  versionCode,
} from "./mirror.ts";

/** The values of the C expressions that compile. */
export type Answers = ReadonlyMap<string, bigint>;

export interface Verdict {
  /** Claims that the headers contradict, as sentences. */
  readonly wrong: readonly string[];
  /** Names that these headers are too old to have. */
  readonly absent: readonly string[];
}

/** Names of a kernel that is not released yet, with their definitions. */
const COMING: Readonly<Record<string, { since: number; value: string }>> = {
  BLOCK_URING_CMD_ZONE_RESET_ALL: {
    since: versionCode(7, 3),
    value: "_IO(0x12, 1)",
  },
};

/** Masks of all known bits, to which a later kernel adds bits. */
const GROWING = ["IORING_URING_CMD_MASK"];

/** Names of padding, whose bytes a later kernel may give to members. */
const PADDING = /^_*(pad|resv|reserved|rsvd|spare|unused)/;

/** Members whose end a later kernel has given to other members. */
const SPLIT = ["ublksrv_ctrl_cmd.data"];

/** A line that includes a header of the kernel. */
const KERNELS = /<(linux|asm|asm-generic)\//;

/** The expression for the version of the headers, part of all questions. */
export const VERSION = "LINUX_VERSION_CODE";

/** The answers of SIGN(). An address or an array has no sign. */
export const SIGN = { unsigned: 0n, signed: 1n, none: 2n };

const sizeOf = (type: string) => `sizeof(struct ${type})`;
const offsetOf = (type: string, name: string) =>
  `__builtin_offsetof(struct ${type}, ${name})`;
const member = (type: string, name: string) => `((struct ${type} *)0)->${name}`;
const widthOf = (type: string, name: string) => `sizeof(${member(type, name)})`;
const signOf = (type: string, name: string) => `SIGN(${member(type, name)})`;

/** Returns the expressions whose values the claims of a mirror give. */
export function questions({ constants, structs }: Mirror): string[] {
  const asked = [VERSION];
  for (const name of Object.keys(constants)) {
    asked.push(name);
    if (name in COMING) asked.push(COMING[name].value);
  }
  for (const [type, { members }] of Object.entries(structs)) {
    asked.push(sizeOf(type));
    for (const name of Object.keys(members)) {
      asked.push(offsetOf(type, name), widthOf(type, name), signOf(type, name));
    }
  }
  return asked;
}

/** Compares all claims of a mirror with the answers. */
export function compare(mirror: Mirror, answers: Answers): Verdict {
  const headers = Number(answers.get(VERSION));
  const report = new Report(headers, headers < mirror.version);
  // A library's header may not be installed; the kernel's have to be.
  const foreign = mirror.includes.every((line) => !KERNELS.test(line));
  if (foreign && [...answers.keys()].every((name) => name === VERSION)) {
    const { constants, structs } = mirror;
    return { wrong: [], absent: Object.keys({ ...constants, ...structs }) };
  }
  for (const name of mirror.strays) {
    report.wrong.push(`${name} is neither a number nor a struct`);
  }
  for (const [name, value] of Object.entries(mirror.constants)) {
    compareConstant(name, value, answers, report);
  }
  for (const [type, layout] of Object.entries(mirror.structs)) {
    report.wrong.push(...unnamed(type, layout));
    compareStruct(type, layout, answers, report);
  }
  return { wrong: report.wrong, absent: report.absent };
}

/** A verdict in the making. */
class Report {
  readonly wrong: string[] = [];
  readonly absent: string[] = [];
  /** @param older The headers are older than the mirror. */
  constructor(readonly headers: number, readonly older: boolean) {}

  missing(name: string): void {
    if (this.older) this.absent.push(name);
    else this.wrong.push(`${name} is not in the headers`);
  }
}

function compareConstant(
  name: string,
  value: number,
  answers: Answers,
  report: Report,
): void {
  const claim = exact(value);
  const answer = answers.get(name) ??
    comingValue(name, report.headers, answers);
  if (answer === undefined) return report.missing(name);
  if (answer === claim) return;
  if (report.older && GROWING.includes(name) && isSubset(answer, claim)) {
    report.absent.push(name);
  } else report.wrong.push(`${name} is ${value}, not ${answer}`);
}

function compareStruct(
  type: string,
  { size, members }: Layout,
  answers: Answers,
  report: Report,
): void {
  const total = answers.get(sizeOf(type));
  if (total === undefined) return report.missing(type);
  let grew = false;
  for (const [name, member] of Object.entries(members)) {
    const path = `${type}.${name}`;
    const real = realMember(type, name, answers);
    if (real === undefined) {
      report.missing(path);
      grew ||= report.older && member.offset + member.size > total;
    } else if (report.older && isSpare(path, name) && isPart(member, real)) {
      report.absent.push(path);
    } else {
      const faults = differences(member, real);
      report.wrong.push(...faults.map((fault) => `${path} ${fault}`));
    }
  }
  if (total === exact(size)) return;
  if (grew) report.absent.push(type);
  else report.wrong.push(`${type} has ${size} bytes, not ${total}`);
}

/** Returns the value of a name of {@linkcode COMING}, by its definition. */
function comingValue(name: string, headers: number, answers: Answers) {
  const coming = COMING[name];
  if (coming === undefined || headers >= coming.since) return undefined;
  return answers.get(coming.value);
}

function isSubset(part: bigint, whole: bigint | undefined): boolean {
  return whole !== undefined && (part & ~whole) === 0n;
}

/** Returns a number as C has it: fractions and NaN have no value there. */
function exact(value: number): bigint | undefined {
  return Number.isSafeInteger(value) ? BigInt(value) : undefined;
}

/** Returns a member as the headers have it, if they do. */
function realMember(type: string, name: string, answers: Answers) {
  const offset = answers.get(offsetOf(type, name));
  if (offset === undefined) return undefined;
  // An array without a length has no size in C.
  const size = answers.get(widthOf(type, name)) ?? 0n;
  return { offset, size, sign: answers.get(signOf(type, name)) };
}

type RealMember = NonNullable<ReturnType<typeof realMember>>;

const isSpare = (path: string, name: string) =>
  PADDING.test(name) || SPLIT.includes(path);

/** Returns `true` for padding inside the padding of an older kernel. */
function isPart({ offset, size }: Member, real: RealMember): boolean {
  return size < real.size && offset >= real.offset &&
    offset + size <= Number(real.offset + real.size);
}

/** Lists the faults of a member, each as the end of a sentence. */
function differences(member: Member, real: RealMember): string[] {
  const { kind, offset, size, signed } = member;
  const faults: string[] = [];
  if (real.offset !== exact(offset)) {
    faults.push(`is at ${offset}, not at ${real.offset}`);
  }
  if (real.size !== exact(size)) {
    faults.push(`takes ${size} bytes, not ${real.size}`);
  }
  if (kind === "integer") {
    if (real.sign !== (signed ? SIGN.signed : SIGN.unsigned)) {
      faults.push(`is ${signed ? "signed" : "unsigned"}, which it is not in C`);
    }
  } else if (signed) {
    faults.push("has a sign, which only an integer has");
  } else if (kind === "pointer" && real.sign === SIGN.signed) {
    faults.push("is an address, which is signed in C");
  }
  return faults;
}

/** Reports the bytes of a struct that no member names. */
function unnamed(type: string, { size, members }: Layout): string[] {
  const named = new Uint8Array(size);
  for (const { offset, size } of Object.values(members)) {
    named.fill(1, offset, offset + size);
  }
  const bytes = [...named.keys()].filter((byte) => named[byte] === 0);
  if (bytes.length === 0) return [];
  return [`${type} has bytes without a name: ${bytes.join(", ")}`];
}
