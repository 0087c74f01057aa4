/** Makes a mount, and returns the descriptor of /dev/fuse that it is served with. */

import { E } from "../../sys/uapi/errno.ts";
import { AT_FDCWD, O_NONBLOCK, O_RDWR } from "../../sys/uapi/fcntl.ts";
import * as mnt from "../../sys/uapi/mount.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { close, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch, scratchCopy } from "../../sys/scratch.ts";
import { explain, isRoot } from "./children.ts";
import { directoryPath, inheritedPair } from "./descriptors.ts";
import { receiveDescriptor, setNonblocking } from "./descriptors.ts";
import { FuseError } from "./errors.ts";
import { FORBIDDEN, MISSING, withoutDevice } from "./support.ts";

/** A mount to be made. */
export interface MountPlan {
  /** The directory, as {@linkcode findDirectory} returns it. */
  readonly dir: string;
  /** The device that `mount` and `df` show. */
  readonly name: string;
  /** The text after `fuse.` in the type; "" for none. */
  readonly subtype: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
}

/** A mount that waits for its server. */
export interface Mounted {
  /** Of /dev/fuse, with O_NONBLOCK. */
  readonly fd: number;
  /** The way in which it was mounted, for people. */
  readonly how: "fsopen" | "mount" | "fusermount3";
}

/**
 * Returns the absolute path of the directory to mount on.
 *
 * @throws {FuseError} if it is none.
 */
export function findDirectory(dir: string): string {
  const path = directoryPath(dir);
  if (typeof path === "string") return path;
  const advice: Readonly<Record<number, string>> = {
    [E.ENOENT]: "There is no such directory. Make it first",
    [E.ENOTDIR]: "It is no directory",
    [E.EACCES]: "This user may not reach it",
    [E.ENOTCONN]: "A mount is there whose server is gone. Take it away with " +
      `\`umount -l ${dir}\`, or \`fusermount3 -u -z ${dir}\``,
  };
  throw refusal(dir, -path, advice[-path] ?? "It cannot be opened");
}

function refusal(dir: string, errno: number, reason: string): FuseError {
  return new FuseError(errno, `cannot mount on ${dir}. ${reason}`);
}

/**
 * Mounts: with fsopen(2) or mount(2) as root, otherwise with fusermount3.
 *
 * @throws {FuseError} with the reason and the remedy.
 */
export async function mountFuse(plan: MountPlan): Promise<Mounted> {
  if (!isRoot()) return await mountByHelper(plan);
  const fd = open("/dev/fuse", O_RDWR | O_NONBLOCK);
  if (fd < 0) throw refusal(plan.dir, -fd, withoutDevice(-fd));
  try {
    const how = mountByCalls(plan, fd);
    return { fd, how };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Mounts as root: by the new calls, or where they are refused, by the old one. */
function mountByCalls(plan: MountPlan, fd: number): "fsopen" | "mount" {
  const context = callWith("fsopen", "fuse", mnt.FSOPEN_CLOEXEC);
  if (context < 0) {
    const rc = mountByOneCall(plan, fd);
    if (rc >= 0) return "mount";
    throw refusal(
      plan.dir,
      -rc,
      rc === -E.EPERM || rc === -E.EACCES
        ? FORBIDDEN
        : rc === -E.ENODEV
        ? withoutDevice(-rc)
        : `mount(2) says ${errnoName(-rc)}`,
    );
  }
  try {
    configure(plan, context, fd);
  } finally {
    close(context);
  }
  return "fsopen";
}

function configure(plan: MountPlan, context: number, fd: number): void {
  const fail = (rc: number, what: string): never => {
    const said = messagesOf(context);
    const reason = rc === -E.EPERM ? FORBIDDEN : `${what} was refused`;
    throw refusal(plan.dir, -rc, said === "" ? reason : `${reason}: ${said}`);
  };
  const set = (key: string, value: string | null) => {
    const command = value === null
      ? mnt.FSCONFIG_SET_FLAG
      : mnt.FSCONFIG_SET_STRING;
    const rc = callWith("fsconfig", context, command, key, value ?? 0, 0);
    if (rc < 0) fail(rc, value === null ? key : `${key}=${value}`);
  };
  for (const [key, value] of optionsOf(fd)) set(key, value);
  set("source", plan.name);
  if (plan.subtype !== "") set("subtype", plan.subtype);
  for (const flag of flagsOf(plan)) set(flag, null);
  if (plan.readOnly) set("ro", null);
  const create = mnt.FSCONFIG_CMD_CREATE;
  const made = syscall("fsconfig", context, create, 0, 0, 0);
  if (made < 0) fail(made, "the filesystem");
  const attributes = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV |
    (plan.readOnly ? mnt.MOUNT_ATTR_RDONLY : 0);
  const tree = syscall("fsmount", context, mnt.FSMOUNT_CLOEXEC, attributes);
  if (tree < 0) fail(tree, "the mount");
  const { MOVE_MOUNT_F_EMPTY_PATH } = mnt;
  const rc = callWith(
    ...["move_mount", tree, "", AT_FDCWD, plan.dir] as const,
    MOVE_MOUNT_F_EMPTY_PATH,
  );
  close(tree);
  if (rc < 0) fail(rc, "the directory");
}

/** The options that mount(2) wants of every FUSE mount. */
function optionsOf(fd: number): [string, string][] {
  return [
    ["fd", `${fd}`],
    ["rootmode", "40000"],
    ["user_id", `${syscall("geteuid")}`],
    ["group_id", `${syscall("getegid")}`],
  ];
}

function flagsOf({ allowOther, defaultPermissions }: MountPlan): string[] {
  return [
    ...allowOther ? ["allow_other"] : [],
    ...defaultPermissions ? ["default_permissions"] : [],
  ];
}

/** Reads what the kernel says about a refused configuration. */
function messagesOf(context: number): string {
  const lines: string[] = [];
  const { bytes, at } = scratch();
  for (;;) {
    const length = syscall("read", context, at, bytes.length);
    if (length <= 0) return lines.join("; ");
    const text = new TextDecoder().decode(scratchCopy(0, length)).trim();
    lines.push(text.replace(/^[ewi] /, ""));
  }
}

/** Mounts with mount(2). Returns 0, or `-errno`. */
function mountByOneCall(plan: MountPlan, fd: number): number {
  const { name, dir, subtype } = plan;
  const type = subtype === "" ? "fuse" : `fuse.${subtype}`;
  const data = [
    ...optionsOf(fd).map((pair) => pair.join("=")),
    ...flagsOf(plan),
  ].join(",");
  const flags = mnt.MS_NOSUID | mnt.MS_NODEV |
    (plan.readOnly ? mnt.MS_RDONLY : 0);
  return callWith("mount", name, dir, type, flags, data);
}

/** Makes a system call, for which texts are put into memory. */
function callWith(
  call: Parameters<typeof syscall>[0],
  ...args: readonly (string | number)[]
): number {
  const { bytes, at } = scratch();
  let end = 0;
  const words = args.map((arg) => {
    if (typeof arg === "number") return arg;
    const text = new TextEncoder().encode(arg);
    if (text.includes(0) || end + text.length >= bytes.length) {
      throw new RangeError("a path or a name has a zero byte, or is too long");
    }
    const start = end;
    bytes.set(text, start);
    bytes[start + text.length] = 0;
    end += text.length + 1;
    return at + start;
  });
  return syscall(call, ...words);
}

// ---- As an ordinary user -----------------------------------------------------

/** Escapes what fusermount3 splits options at. */
const escaped = (text: string) => text.replaceAll(/[\\,]/g, "\\$&");

/** Mounts with fusermount3, which is set-user-ID root. */
async function mountByHelper(plan: MountPlan): Promise<Mounted> {
  const options = [
    ...["nosuid", "nodev", `fsname=${escaped(plan.name)}`],
    ...plan.subtype === "" ? [] : [`subtype=${escaped(plan.subtype)}`],
    ...plan.readOnly ? ["ro"] : [],
    ...flagsOf(plan),
  ].join(",");
  const pair = inheritedPair();
  if (typeof pair === "number") {
    throw refusal(plan.dir, -pair, "A socket cannot be made");
  }
  const [ours, theirs] = pair;
  try {
    let running: Promise<Deno.CommandOutput>;
    try {
      // Until it is closed, every child inherits `theirs`: nothing comes between.
      running = new Deno.Command("fusermount3", {
        args: ["-o", options, "--", plan.dir],
        env: { _FUSE_COMMFD: String(theirs), LC_ALL: "C" },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).output();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw explain(error, "fusermount3");
      }
      throw refusal(plan.dir, E.ENOENT, MISSING);
    } finally {
      close(theirs);
    }
    const { success, stderr } = await running.catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw refusal(plan.dir, E.ENOENT, MISSING);
    });
    const said = new TextDecoder().decode(stderr).trim();
    if (!success) throw refusal(plan.dir, E.EPERM, explainHelper(said));
    const fd = receiveDescriptor(ours);
    if (fd < 0) {
      throw refusal(plan.dir, -fd, `fusermount3 sent no descriptor. ${said}`);
    }
    setNonblocking(fd);
    return { fd, how: "fusermount3" };
  } finally {
    close(ours);
  }
}

/** Adds the remedy to what fusermount3 said. */
function explainHelper(said: string): string {
  const remedies: readonly [RegExp, string][] = [
    [/open \/dev\/fuse: Permission/, "As root: `chmod 666 /dev/fuse`"],
    [/open \/dev\/fuse: No such/, "As root: `modprobe fuse`"],
    [/user_allow_other/, "Or leave out `allowOther`"],
    [
      /no write access to mountpoint|not owned by user/,
      "Mount on a directory of this user's own",
    ],
    [/mount failed: Operation not permitted/, FORBIDDEN],
    [/not set|must be|setuid/i, "fusermount3 has to be set-user-ID root"],
  ];
  const found = remedies.find(([pattern]) => pattern.test(said));
  return found === undefined ? said : `${said}. ${found[1]}`;
}
