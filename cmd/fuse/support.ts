/** The needs of FUSE on this machine, and the remedy where one is missing. */

import { E } from "../../sys/uapi/errno.ts";
import { O_PATH, O_RDWR, O_WRONLY } from "../../sys/uapi/fcntl.ts";
import { FSOPEN_CLOEXEC } from "../../sys/uapi/mount.ts";
import { errnoName } from "../../sys/errno_names.ts";
import { close, open, readText } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { version } from "../../sys/uname.ts";

/** The parameter that switches FUSE over io_uring on. */
const ENABLE = "/sys/module/fuse/parameters/enable_uring";

/** The advice where mount(2) is refused. */
export const FORBIDDEN =
  "This process may not mount. In a container, start it with " +
  "`--device /dev/fuse --cap-add SYS_ADMIN`, and a seccomp and AppArmor profile " +
  "that allows mount(2)";

/** The advice where there is no fusermount3. */
export const MISSING =
  "fusermount3 is missing, with which users other than root mount. " +
  "Install the package fuse3";

/** Says why /dev/fuse cannot be opened, or the filesystem not be made. */
export function withoutDevice(errno: number): string {
  switch (errno) {
    case E.ENOENT:
      return "There is no /dev/fuse. In a container, start it with " +
        "`--device /dev/fuse --cap-add SYS_ADMIN`; elsewhere, `modprobe fuse`";
    case E.ENODEV:
    case E.ENXIO:
      return "The kernel has no FUSE: `modprobe fuse`";
    case E.EACCES:
    case E.EPERM:
      return "This user may not open /dev/fuse. As root: `chmod 666 " +
        "/dev/fuse`, which udev does by itself. A container needs " +
        "`--device /dev/fuse`";
    default:
      return `/dev/fuse cannot be opened: ${errnoName(errno)}`;
  }
}

/** Says why requests cannot come by io_uring; `null` if they can. */
export function withoutUring(): string | null {
  const enabled = readText(ENABLE);
  if (enabled === "Y") return null;
  if (enabled !== undefined) {
    return `FUSE over io_uring is off: as root, \`echo Y > ${ENABLE}\``;
  }
  return version() < 6014
    ? "FUSE over io_uring needs Linux 6.14"
    : "the kernel has no FUSE over io_uring, or no FUSE: `modprobe fuse`";
}

/** An answer, in the form of the probe. */
interface Answer {
  readonly available: "yes" | "no" | "unknown";
  readonly reason: string;
}

const yes = (reason: string): Answer => ({ available: "yes", reason });
const no = (reason: string): Answer => ({ available: "no", reason });

/** Finds out what FUSE can do here, without mounting. */
export function fuseSupport(): Record<
  "mount" | "io_uring" | "fusectl",
  Answer
> {
  const objection = withoutUring();
  return {
    mount: mounting(),
    io_uring: objection === null ? yes("") : no(objection),
    fusectl: control(),
  };
}

/** Tells whether this process can mount. */
function mounting(): Answer {
  const device = open("/dev/fuse", O_RDWR);
  if (device < 0) return no(withoutDevice(-device));
  close(device);
  if (syscall("geteuid") !== 0) return byHelper();
  const { bytes, at } = scratch();
  bytes.set(new TextEncoder().encode("fuse\0"));
  const context = syscall("fsopen", at, FSOPEN_CLOEXEC);
  if (context >= 0) {
    close(context);
    return yes("by this process, as root");
  }
  switch (-context) {
    case E.EPERM:
      return no(FORBIDDEN);
    case E.ENODEV:
      return no(withoutDevice(E.ENODEV));
    default:
      // mount(2) may do, and cannot be tried.
      return { available: "unknown", reason: `fsopen: ${errnoName(-context)}` };
  }
}

/** Places where fusermount3 may be. The permission to read PATH is not asked for. */
const FOLDERS = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

function byHelper(): Answer {
  const isThere = FOLDERS.some((folder) => {
    const fd = open(`${folder}/fusermount3`, O_PATH);
    if (fd >= 0) close(fd);
    return fd >= 0;
  });
  if (!isThere) return no(MISSING);
  const status = readText("/proc/self/status") ?? "";
  if (/^NoNewPrivs:\s*1$/m.test(status)) {
    return no(
      "fusermount3 gets no privilege here (no_new_privs). A container must be " +
        "started without `--security-opt no-new-privileges`",
    );
  }
  return yes("with fusermount3");
}

/** Returns the directory of the connections, if it is mounted. */
function connections(): string | undefined {
  const mounts = readText("/proc/self/mounts") ?? "";
  return /^\S+ (\S+) fusectl /m.exec(mounts)?.[1];
}

/**
 * Opens the file by which root, or the user who mounted, aborts a connection. It stays
 * that connection's. Returns a negative number if there is none.
 *
 * @param device The number of the mount's device, such as `"0:45"`.
 */
export function openAbort(device: string): number {
  const place = connections();
  if (place === undefined) return -E.ENOENT;
  const [major, minor] = device.split(":").map(Number);
  return open(`${place}/${major * 2 ** 20 + minor}/abort`, O_WRONLY);
}

/** Aborts a connection: whoever waits for it gets an error. */
export function writeAbort(fd: number): void {
  if (fd >= 0) syscall("write", fd, scratch().at, 1);
}

/** Tells whether a mount whose server hangs can be aborted by hand. */
function control(): Answer {
  const place = connections();
  if (place !== undefined) return yes(`root can abort a mount in ${place}`);
  return no(
    "root can abort no mount whose server hangs before " +
      "`mount -t fusectl none /sys/fs/fuse/connections`",
  );
}
