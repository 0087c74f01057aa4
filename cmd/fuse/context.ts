/** The context of a request: who sent it, and if the sender still waits. */

import type { FuseRequest } from "./request.ts";

/** The caller of an operation, and the open file it uses. */
export class Context<H = unknown> {
  /** The user of the process that asks. */
  readonly uid: number;
  /** The group of the process that asks. */
  readonly gid: number;
  /** The process that asks; 0 for the kernel, as when it writes back its cache. */
  readonly pid: number;
  /** The mask of a new file's permissions, which the kernel has applied. */
  umask = 0;
  /**
   * The handle that `open` or `create` returned, where the operation has an open
   * file.
   */
  handle: H = undefined as H;
  /** The byte in the file at which a read or a write starts. */
  offset = 0;
  /** `O_` bits of the open file, where it is read, written or released. */
  flags = 0;
  /**
   * `true` where the handler clears set-user-ID bits of the file, and its set-group-ID
   * bit if the group may execute it: see {@linkcode NodeFileSystem.clearsSetuid}.
   */
  clearSetuid = false;
  #interrupted: unknown = undefined;
  #controller: AbortController | null = null;

  /** Used by the server: handlers get it as their last argument. */
  constructor({ uid, gid, pid }: Pick<FuseRequest, "uid" | "gid" | "pid">) {
    this.uid = uid;
    this.gid = gid;
    this.pid = pid;
  }

  /**
   * Aborted when the process that asks gets a signal, such as SIGINT, or when the
   * mount ends. The process waits all the same until the handler is done. It is made
   * when it is read.
   */
  get signal(): AbortSignal {
    const controller = this.#controller ??= new AbortController();
    if (this.#interrupted !== undefined) controller.abort(this.#interrupted);
    return controller.signal;
  }

  /** `true` after the signal was aborted, whether or not it was read. */
  get interrupted(): boolean {
    return this.#interrupted !== undefined;
  }

  /** Aborts the signal of a context. */
  static interrupt(context: Context, reason: unknown): void {
    if (context.#interrupted !== undefined) return;
    context.#interrupted = reason;
    context.#controller?.abort(reason);
  }
}
