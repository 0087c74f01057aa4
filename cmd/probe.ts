/**
 * Finds out what this kernel and this process can do, by asking the kernel.
 *
 * @module
 */

import { bsg_uring_cmd } from "../sys/uapi/bsg.ts";
import { E } from "../sys/uapi/errno.ts";
import { O_RDONLY } from "../sys/uapi/fcntl.ts";
import * as uapi from "../sys/uapi/io_uring.ts";
import * as query from "../sys/uapi/io_uring_query.ts";
import { AF_INET, SOCK_DGRAM } from "../sys/uapi/socket.ts";
import { errnoName } from "../sys/errno_names.ts";
import { close, listDirectory, open, readText } from "../sys/file.ts";
import { syscall } from "../sys/libc.ts";
import { scratch } from "../sys/scratch.ts";
import { sizeof } from "../sys/struct.ts";
import { release } from "../sys/uname.ts";
import type { Command } from "../ring/command.ts";
import { UringError } from "../ring/errors.ts";
import { probeOpcodes } from "../ring/bare/register.ts";
import { Ring } from "../ring/ring.ts";
import { setup } from "../ring/bare/setup.ts";
import { namesOf, setupFlagNames } from "../ring/bare/setup_advice.ts";
import { fuseSupport } from "./fuse/support.ts";
import { ublkSupport } from "./ublk/probe.ts";
import * as sock from "./socket/mod.ts";
import { uringCmd, type UringCmdFields } from "./uring_cmd.ts";

/** The support of one command, or of the commands of one device. */
export interface FamilyProbe {
  /** `"unknown"` where there was no file to ask. */
  readonly available: "yes" | "no" | "unknown";
  /** The reason of a `"no"` or `"unknown"`; often `""` for a `"yes"`. */
  readonly reason: string;
}

/** The name of what the probe has asked for: a command, or a device by its path. */
export type FamilyName =
  | "/dev/null"
  | `socket ${
    | "SIOCINQ"
    | "SIOCOUTQ"
    | "GETSOCKOPT"
    | "SETSOCKOPT"
    | "GETSOCKNAME"
    | "TX_TIMESTAMP"}`
  | "block DISCARD"
  | `${"NVMe" | "SCSI" | "btrfs"} /${string}`;

/** The answers by name. There is none for a device that is not there. */
export type Families = {
  readonly [name in FamilyName]?: FamilyProbe;
};

/** The abilities of this kernel and this process. */
export interface Probe {
  /** The release of the running kernel, such as `"6.18.44"`. */
  readonly kernel: string;
  /** The machine: `"x86_64"` or `"aarch64"`. */
  readonly arch: string;
  /**
   * The error if io_uring cannot be used at all, else `null`. Its message names the
   * cause: the kernel, a sysctl, a limit, or a filter that answers in its place.
   */
  readonly refused: UringError | null;
  /** The `IORING_SETUP_` flags that the kernel accepts, without the prefix. */
  readonly setupFlags: readonly string[];
  /** The `IORING_FEAT_` flags that the kernel has, without the prefix. */
  readonly features: readonly string[];
  /** The `IORING_OP_` operations that the kernel has, without the prefix. */
  readonly opcodes: readonly string[];
  /**
   * Support by command or device: `"socket SIOCINQ"`, `"block DISCARD"`,
   * `"NVMe /dev/ng0n1"`. Empty if io_uring is refused.
   */
  readonly families: Families;
  /**
   * The needs of serving a filesystem: `"mount"`; `"io_uring"`, for faster requests; and
   * `"fusectl"`, with which root ends a mount that hangs. A mount may still be
   * refused, by AppArmor for example: nothing is mounted to find out.
   */
  readonly fuse: Readonly<
    Record<"mount" | "io_uring" | "fusectl", FamilyProbe>
  >;
  /**
   * The needs of serving block devices: the driver ublk_drv, /dev/ublk-control and
   * CAP_SYS_ADMIN. `features` are those of the driver, such as `"USER_RECOVERY"`.
   */
  readonly ublk: {
    readonly serve: FamilyProbe;
    readonly features: readonly string[];
  };
}

/**
 * Asks the kernel what it can do. On Linux 6.18 or later, the kernel lists its
 * setup flags; on others, `probe` opens rings to find them. For the commands,
 * it runs harmless ones on a socket of its own and on devices that it opens for
 * reading. It writes to no device, mounts nothing, and closes what it has opened.
 *
 * @throws {Deno.errors.NotCapable} without the permission for FFI.
 *
 * @example What a program can rely on here
 * ```ts
 * import { probe } from "@uring/cmd";
 *
 * const { kernel, refused, families } = probe();
 * if (refused) console.log(refused.message);
 * else console.log(kernel, families["socket SIOCINQ"]?.available);
 * ```
 */
export function probe(): Probe {
  const fuse = fuseSupport();
  const ublk = ublkSupport();
  const base = { kernel: release(), arch: Deno.build.arch, fuse, ublk };
  const ring = attempt(() => setup({ entries: 4 }));
  if (ring instanceof UringError) {
    const none = { setupFlags: [], features: [], opcodes: [], families: {} };
    return { ...base, refused: ring, ...none };
  }
  const supported = probeOpcodes(ring.fd);
  const { features } = ring;
  ring.close();
  return {
    ...base,
    refused: null,
    setupFlags: setupFlagNames(setupMask()),
    features: namesOf("IORING_FEAT_", (bit) => (features & bit) !== 0),
    opcodes: namesOf("IORING_OP_", (op) => supported.has(op)),
    families: probeFamilies(),
  };
}

/** Returns a result, or the error of the kernel in its place. */
function attempt<T>(run: () => T): T | UringError {
  try {
    return run();
  } catch (error) {
    if (error instanceof UringError) return error;
    throw error;
  }
}

/** Returns the setup flags that the kernel accepts. */
function setupMask(): number {
  const listed = querySetupFlags();
  if (listed !== null) return listed;
  /** Flags that the kernel accepts only with another one. */
  const needs = new Map([
    [uapi.IORING_SETUP_DEFER_TASKRUN, uapi.IORING_SETUP_SINGLE_ISSUER],
    [uapi.IORING_SETUP_TASKRUN_FLAG, uapi.IORING_SETUP_COOP_TASKRUN],
    [uapi.IORING_SETUP_SQ_AFF, uapi.IORING_SETUP_SQPOLL],
    [uapi.IORING_SETUP_HYBRID_IOPOLL, uapi.IORING_SETUP_IOPOLL],
  ]);
  // These need memory or another ring, and so cannot be tried.
  const untried = uapi.IORING_SETUP_NO_MMAP | uapi.IORING_SETUP_ATTACH_WQ |
    uapi.IORING_SETUP_REGISTERED_FD_ONLY;
  let mask = 0;
  for (let bit = 1; bit <= uapi.IORING_SETUP_SQE_MIXED; bit <<= 1) {
    if (bit & untried) continue;
    const flags = bit | (needs.get(bit) ?? 0);
    // With cqEntries, because IORING_SETUP_CQSIZE needs it.
    const ring = attempt(() => setup({ entries: 4, cqEntries: 8, flags }));
    if (ring instanceof UringError) continue;
    ring.close();
    mask |= bit;
  }
  return mask;
}

/**
 * Returns the flags that IORING_REGISTER_QUERY lists; `null` before Linux 6.18.
 */
function querySetupFlags(): number | null {
  const { bytes, view, at } = scratch();
  const { io_uring_query_hdr: hdr, io_uring_query_opcode: opcodes } = query;
  const data = sizeof(hdr);
  bytes.fill(0, 0, data + sizeof(opcodes));
  hdr.query_op.set(view, 0, query.IO_URING_QUERY_OPCODES);
  hdr.query_data.set(view, 0, at + data);
  hdr.size.set(view, 0, sizeof(opcodes));
  const op = uapi.IORING_REGISTER_QUERY;
  if (syscall("io_uring_register", -1, op, at, 0) < 0) return null;
  if (hdr.result.get(view, 0) < 0) return null;
  return Number(opcodes.ring_setup_flags.get(view, data));
}

const YES: FamilyProbe = { available: "yes", reason: "" };

function probeFamilies(): Families {
  const ring = Ring.open({ entries: 4 });
  const level = sock.SOL_SOCKET;
  const query = { level, optname: sock.SO_TYPE, length: 4 };
  const option = { level, optname: sock.SO_REUSEADDR, value: 0 };
  const cmd_op = uapi.SOCKET_URING_OP_TX_TIMESTAMP;
  const stamp = { cmd_op, name: "TX_TIMESTAMP" };
  const udp = syscall("socket", AF_INET, SOCK_DGRAM, 0);
  const asked = ask.bind(null, ring, udp);
  const families = {
    "/dev/null": askNode(ring, "/dev/null", { cmd_op: 0 }),
    "socket SIOCINQ": asked(sock.siocinq),
    "socket SIOCOUTQ": asked(sock.siocoutq),
    "socket GETSOCKOPT": asked((fd) => sock.getsockopt(fd, query)),
    "socket SETSOCKOPT": asked((fd) => sock.setsockopt(fd, option)),
    "socket GETSOCKNAME": asked(sock.getsockname),
    // It never completes by itself: where CQEs are too small for it, EINVAL.
    "socket TX_TIMESTAMP": asked((fd) => uringCmd({ fd, ...stamp }), E.EINVAL),
    "block DISCARD": probeBlock(ring),
    ...probeNodes("NVMe", nodes("/dev", /^(ng\d+n\d+|nvme\d+)$/), E.ENOTTY),
    ...probeNodes("SCSI", nodes("/dev/bsg", /:/), E.EINVAL, wrongProtocol()),
    ...probeNodes("btrfs", btrfsMounts(), E.EINVAL),
  };
  if (udp >= 0) close(udp);
  ring.close();
  return families;
}

/** Returns the paths of a directory's entries whose names match. */
function nodes(directory: string, form: RegExp): string[] {
  const names = listDirectory(directory, (name) => form.test(name));
  if (typeof names === "number") return []; // ENOENT: no such directory.
  return names.sort().map((name) => `${directory}/${name}`);
}

/** Returns the paths where btrfs file systems are mounted. */
function btrfsMounts(): string[] {
  const mounts = readText("/proc/self/mounts") ?? "";
  return [...mounts.matchAll(/^\S+ (\S+) btrfs /gm)].map(([, path]) =>
    // The kernel writes a blank in a path as an octal number.
    path.replace(/\\(\d{3})/g, (_, code) =>
      String.fromCharCode(parseInt(code, 8)))
  );
}

/** Returns a payload that every driver of bsg nodes refuses. */
function wrongProtocol(): Uint8Array {
  const payload = new Uint8Array(sizeof(bsg_uring_cmd));
  bsg_uring_cmd.protocol.set(new DataView(payload.buffer), 0, 0xffff_ffff);
  return payload;
}

/**
 * Sends each node of a family, opened for reading, a command that its handler
 * does not know. A handler answers `refusal`; a file without one answers
 * EOPNOTSUPP.
 */
function probeNodes(
  family: string,
  paths: readonly string[],
  refusal: number,
  payload?: Uint8Array,
): Record<string, FamilyProbe> {
  if (paths.length === 0) {
    const reason = `there is no ${family} here to ask`;
    return { [family]: { available: "unknown", reason } };
  }
  const options = { entries: 4, sqe128: true, cqe32: true };
  const ring = attempt(() => Ring.open(options));
  if (ring instanceof UringError) {
    // A kernel or a seccomp filter may allow other rings but not these.
    return { [family]: { available: "no", reason: ring.message } };
  }
  const command = { cmd_op: 0, payload, cqe32: true, name: family };
  const found = paths.map((path) => [
    `${family} ${path}`,
    askNode(ring, path, command, refusal),
  ]);
  ring.close();
  return Object.fromEntries(found);
}

/** Opens a node for reading, sends it a command, and closes it. */
function askNode(
  ring: Ring,
  path: string,
  command: Omit<UringCmdFields, "fd">,
  refusal?: number,
): FamilyProbe {
  const fd = open(path, O_RDONLY);
  const make = (fd: number) => uringCmd({ fd, ...command });
  const answer = ask(ring, fd, make, refusal);
  if (fd >= 0) close(fd);
  return answer;
}

/**
 * Runs one harmless command on `fd`, or reports the `-errno` that `fd` is. The
 * errno `refusal` says that the command has a handler.
 */
function ask(
  ring: Ring,
  fd: number,
  make: (fd: number) => Command<unknown>,
  refusal?: number,
): FamilyProbe {
  if (fd < 0) {
    const reason = `there is no file to try: ${errnoName(-fd)}`;
    return { available: "unknown", reason };
  }
  const answer = attempt(() => ring.cmdSync(make(fd)));
  if (!(answer instanceof UringError) || answer.errno === refusal) return YES;
  const reason = answer.message.replace(` on fd ${fd}`, "");
  return { available: "no", reason };
}

const BLOCK_NEEDS = "block devices have no commands before Linux 6.12";

/**
 * Sends a command that no kernel knows to a block device opened for reading. A
 * handler answers EINVAL; a kernel without one answers EOPNOTSUPP.
 */
function probeBlock(ring: Ring): FamilyProbe {
  let reason = "no block device was found";
  const candidates = ["loop0", "nvme0n1", "sda", "vda", "xvda", "mmcblk0"];
  for (const path of candidates.map((device) => `/dev/${device}`)) {
    const fd = open(path, O_RDONLY);
    const denied = fd === -E.EACCES || fd === -E.EPERM;
    if (denied) reason = `${path} cannot be opened by this user`;
    if (fd < 0) continue;
    const make = (fd: number) => uringCmd({ fd, cmd_op: 0x12ff });
    const { available } = ask(ring, fd, make, E.EINVAL);
    close(fd);
    return {
      available,
      reason: available === "yes" ? `${path} answers` : BLOCK_NEEDS,
    };
  }
  return { available: "unknown", reason };
}
