/** Holds up whoever reads a file until it is allowed: fanotify(7). */

import { AT_FDCWD, O_RDONLY } from "../../../sys/uapi/fcntl.ts";
import { close } from "../../../sys/file.ts";
import { libc, syscall } from "../../../sys/libc.ts";
import { scratch } from "../../../sys/scratch.ts";
import { SIOCINQ } from "../../../sys/uapi/socket.ts";
import { Fd } from "../../kit/fds.ts";
import { isRoot } from "../../kit/process.ts";
import { until } from "../../kit/wait.ts";

const aarch64 = Deno.build.arch === "aarch64";
const NR_fanotify_init = aarch64 ? 262 : 300;
const NR_fanotify_mark = aarch64 ? 263 : 301;

const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_CLASS_CONTENT = 0x4;
const FAN_MARK_ADD = 0x1;
const FAN_ACCESS_PERM = 0x2_0000;
const FAN_ALLOW = 1;
/** Bytes of struct fanotify_event_metadata, and where its `fd` is. */
const EVENT = 24;
const EVENT_FD = 16;

/** A file that is read with leave only, by files opened from now on. */
export class AccessGate implements Disposable {
  readonly #fan: Fd;

  constructor(path: string) {
    this.#fan = new Fd(init());
    const { bytes, at } = scratch();
    bytes.set(new TextEncoder().encode(`${path}\0`));
    const [flags, mask] = [BigInt(FAN_MARK_ADD), BigInt(FAN_ACCESS_PERM)];
    const directory = BigInt.asUintN(64, BigInt(AT_FDCWD));
    const { symbols } = libc();
    const nr = NR_fanotify_mark;
    const fan = BigInt(this.#fan.fd);
    const rc = symbols.call(nr, fan, flags, mask, directory, BigInt(at), 0n);
    if (rc < 0) {
      this.#fan.close();
      throw new Error("fanotify_mark refuses");
    }
  }

  /** Waits until so many reads are held up. */
  hold(reads: number): Promise<void> {
    return until(() => this.#held() === reads);
  }

  /** Waits for so many reads, and allows them. */
  async allow(reads: number): Promise<void> {
    for (let i = 0; i < reads; i++) await until(() => this.#allowOne());
  }

  #held(): number {
    const { view, at } = scratch();
    // FIONREAD, by another name: the bytes of the events that wait.
    syscall("ioctl", this.#fan.fd, SIOCINQ, at);
    return view.getInt32(0, true) / EVENT;
  }

  #allowOne(): boolean {
    const { view, at } = scratch();
    if (syscall("read", this.#fan.fd, at, EVENT) < EVENT) return false;
    const fd = view.getInt32(EVENT_FD, true);
    view.setInt32(0, fd, true);
    view.setUint32(4, FAN_ALLOW, true);
    syscall("write", this.#fan.fd, at, 8);
    close(fd);
    return true;
  }

  /** Allows what waits still. */
  [Symbol.dispose](): void {
    this.#fan.close();
  }
}

function init(): number {
  const flags = BigInt(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK);
  const access = BigInt(O_RDONLY);
  const { symbols } = libc();
  return symbols.call(NR_fanotify_init, flags, access, 0n, 0n, 0n, 0n);
}

/** The thing that such a gate lacks on this machine; empty if it lacks none. */
export const missing: string = missingHere();

function missingHere(): string {
  if (!isRoot) return "root";
  const fan = init();
  if (fan < 0) return "fanotify permission events";
  close(fan);
  return "";
}
