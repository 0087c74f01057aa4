/**
 * An eventfd that is known by more than its number.
 *
 * Somebody may close a descriptor by its number, and the kernel gives the number to
 * the next file. Eventfds share an inode, so each is marked: with the number of a
 * signal, which the kernel keeps for every open file and which an eventfd never
 * sends (`F_SETSIG`). Other files have 0 there.
 *
 * **Contract.** No system call uses the number of an eventfd before a look at the
 * mark, except those that follow its making.
 *
 * @module
 */

import { E } from "../../sys/uapi/errno.ts";
import { F_GETSIG, F_SETSIG, O_CLOEXEC } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { must } from "./pipe.ts";

/** The numbers of signals, from 1 on. */
const MARKS = 64;
/** The last mark. Other isolates begin elsewhere, and make marks of their own. */
let last = Math.floor(Math.random() * MARKS);

/** The eventfds of this isolate by their numbers. */
const known = new Map<number, Eventfd>();

/** Whose a number is: the eventfd's still, nobody's, or another file's. */
export type Holder = "eventfd" | "nobody" | "other";

/** An eventfd, which is open until `close`. */
export class Eventfd {
  readonly fd: number;
  /** NaN once the number was given to a later eventfd of this isolate. */
  #mark: number;

  private constructor(fd: number, mark: number) {
    this.fd = fd;
    this.#mark = mark;
  }

  /** Makes an eventfd. A read of it waits: io_uring would answer EAGAIN otherwise. */
  static open(): Eventfd {
    const fd = must("eventfd2", syscall("eventfd2", 0, O_CLOEXEC));
    last = last % MARKS + 1;
    const rc = syscall("fcntl", fd, F_SETSIG, last);
    if (rc < 0) close(fd);
    must("fcntl", rc);
    const made = new Eventfd(fd, last);
    const lost = known.get(fd);
    if (lost !== undefined) lost.#mark = NaN;
    known.set(fd, made);
    return made;
  }

  /** Asks the kernel whose the number is now. */
  get holder(): Holder {
    const mark = syscall("fcntl", this.fd, F_GETSIG);
    if (mark === -E.EBADF) return "nobody";
    return mark === this.#mark ? "eventfd" : "other";
  }

  /** Raises a signal. Returns `false` if the number is not the eventfd's. */
  signal(): boolean {
    if (this.holder !== "eventfd") return false;
    const { view, at } = scratch();
    view.setUint32(0, 1, true);
    view.setUint32(4, 0, true);
    return syscall("write", this.fd, at, 8) === 8;
  }

  /** Closes the eventfd, unless the number is not its own any more. */
  close(): void {
    if (this.holder === "eventfd") close(this.fd);
    this.forget();
  }

  /** Takes note that another has closed the eventfd, or will. */
  forget(): void {
    if (known.get(this.fd) === this) known.delete(this.fd);
  }
}
