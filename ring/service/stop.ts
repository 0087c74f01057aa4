/** The signal that wakes a thread which sleeps in `Service.run`. */

import { O_CLOEXEC, O_NONBLOCK } from "../../sys/uapi/fcntl.ts";
import { close } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { UringError } from "../errors.ts";

/**
 * A signal from any thread to one that runs a service: an eventfd, which that thread
 * polls as one more tag. A descriptor belongs to the process, so that its number,
 * posted to a worker, is all that the two need to share. IORING_OP_MSG_RING would
 * need a ring in the thread that signals.
 *
 * The thread that made it closes it after the other has ended: the number of a
 * closed descriptor may be another file's.
 */
export class StopSignal implements Disposable {
  /** The descriptor, for {@linkcode Service.run}; -1 once it is closed. */
  fd: number;

  /** @throws {UringError} if there is no free descriptor. */
  constructor() {
    const rc = syscall("eventfd2", 0, O_CLOEXEC | O_NONBLOCK);
    if (rc < 0) throw new UringError("eventfd2", -1, -rc);
    this.fd = rc;
  }

  /** Makes `run` return, or the next call of it. */
  raise(): void {
    if (this.fd < 0) return;
    const { view, at } = scratch();
    view.setUint32(0, 1, true);
    view.setUint32(4, 0, true);
    syscall("write", this.fd, at, 8);
  }

  [Symbol.dispose](): void {
    const { fd } = this;
    this.fd = -1;
    if (fd >= 0) close(fd);
  }
}

/** Takes back what was raised. */
export function lower(fd: number): void {
  syscall("read", fd, scratch().at, 8);
}
