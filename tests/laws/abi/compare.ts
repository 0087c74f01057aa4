/**
 * Holds a mirror against what the compiler answered. A pure function of the
 * two, so that a test can see whether a wrong mirror would be found.
 */

import {
  type Layout,
  type Member,
  type Mirror,
  versionCode,
} from "./mirror.ts";

/** The values of C expressions. Those which do not compile are not there. */
export type Answers = ReadonlyMap<string, bigint>;

export interface Verdict {
  /** What the mirror says and the headers do not. */
  readonly wrong: readonly string[];
  /** Names which these headers are too old to have. */
  readonly absent: readonly string[];
}

/** Names of a kernel that is not released yet, and how it defines them. */
const COMING: Readonly<Record<string, { since: number; value: string }>> = {
  BLOCK_URING_CMD_ZONE_RESET_ALL: {
    since: versionCode(7, 3),
    value: "_IO(0x12, 1)",
  },
};

/** Masks of all known bits, which grow when a kernel knows another one. */
const GROWING = ["IORING_URING_CMD_MASK"];

/** Members whose place a later kernel may give to others. */
const PADDING = /^_*(pad|resv|reserved|rsvd|spare)/;

/** A line that includes a header of the kernel. */
const KERNELS = /<(linux|asm|asm-generic)\//;

/** The version of the headers is asked of every mirror's headers. */
export const VERSION = "LINUX_VERSION_CODE";

/** What SIGN() answers: an address or an array has no sign. */
export const SIGN = { unsigned: 0n, signed: 1n, none: 2n };

const sizeOf = (type: string) => `sizeof(struct ${type})`;
const offsetOf = (type: string, name: string) =>
  `__builtin_offsetof(struct ${type}, ${name})`;
const member = (type: string, name: string) => `((struct ${type} *)0)->${name}`;
const widthOf = (type: string, name: string) => `sizeof(${member(type, name)})`;
const signOf = (type: string, name: string) => `SIGN(${member(type, name)})`;

/** The expressions whose values tell whether a mirror is right. */
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

/** Compares everything a mirror says with the answers. */
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
  /** @param older Whether the headers are older than the mirror. */
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
    } else if (report.older && PADDING.test(name) && isPart(member, real)) {
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

/** The value of a name that the headers are too old for, by its definition. */
function comingValue(name: string, headers: number, answers: Answers) {
  const coming = COMING[name];
  if (coming === undefined || headers >= coming.since) return undefined;
  return answers.get(coming.value);
}

function isSubset(part: bigint, whole: bigint | undefined): boolean {
  return whole !== undefined && (part & ~whole) === 0n;
}

/** Fractions and NaN are no value in C. */
function exact(value: number): bigint | undefined {
  return Number.isSafeInteger(value) ? BigInt(value) : undefined;
}

/** What the headers say of a member, if they have it. */
function realMember(type: string, name: string, answers: Answers) {
  const offset = answers.get(offsetOf(type, name));
  if (offset === undefined) return undefined;
  // An array without a length has no size in C.
  const size = answers.get(widthOf(type, name)) ?? 0n;
  return { offset, size, sign: answers.get(signOf(type, name)) };
}

type RealMember = NonNullable<ReturnType<typeof realMember>>;

/** Whether padding is what is left of the padding of an older kernel. */
function isPart({ offset, size }: Member, real: RealMember): boolean {
  return size < real.size && offset >= real.offset &&
    offset + size <= Number(real.offset + real.size);
}

/** What is wrong with a member, each as the end of a sentence. */
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

/** The bytes of a struct that no member names. */
function unnamed(type: string, { size, members }: Layout): string[] {
  const named = new Uint8Array(size);
  for (const { offset, size } of Object.values(members)) {
    named.fill(1, offset, offset + size);
  }
  const bytes = [...named.keys()].filter((byte) => named[byte] === 0);
  if (bytes.length === 0) return [];
  return [`${type} has bytes without a name: ${bytes.join(", ")}`];
}
