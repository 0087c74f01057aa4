/** The handlers that a program makes a disk of. */

/** A value, or the promise of one. */
export type Awaitable<T> = T | PromiseLike<T>;

/**
 * The answer of a handler: nothing, if it has done all of the request; or the bytes
 * that it has done, as a multiple of the block size. The kernel asks for the rest.
 */
export type Answer = Awaitable<number | void>;

/** One request to a disk. */
export interface BlockRequest {
  /** The byte at which it begins: a multiple of the block size. */
  readonly offset: number;
  /** Its length in bytes: a multiple of the block size. 0 for `flush`. */
  readonly length: number;
  /**
   * A write has to be durable before the handler answers. `false` unless the target
   * says `fua: true`: then the kernel calls `flush` instead.
   */
  readonly fua: boolean;
  /** `writeZeroes` may free the space, as long as it reads as zeros. */
  readonly mayUnmap: boolean;
  /**
   * Is aborted when nobody waits for the answer: after `timeoutMs`, or when the disk
   * stops. The memory of the request stays the handler's until it has settled.
   */
  readonly signal: AbortSignal;
}

/**
 * A disk's contents. A method that is there is offered: with `write` the disk can be
 * written; with `flush` it has a volatile cache, which the kernel flushes; with
 * `discard` it takes TRIM.
 *
 * Handlers may return promises. As many run at once as `queueDepth` says, in any order,
 * as on any disk: the kernel sends no two that overlap unless a program does so.
 * `flush` is about all writes that were answered before it.
 */
export interface Target {
  /** Bytes, as a multiple of the block size. */
  readonly size: number;
  /** Bytes of a logical block: 512, 1024, 2048 or 4096. Default 4096. */
  readonly blockSize?: number;
  /** Bytes of a physical block, from `blockSize` on. Default: the logical. */
  readonly physicalBlockSize?: number;
  /** The target makes writes with {@linkcode BlockRequest.fua} durable by itself. */
  readonly fua?: boolean;
  /**
   * Fills `into`, which has the bytes that the request asks for. It holds old data of
   * other requests, and is the handler's until its answer.
   */
  read(request: BlockRequest, into: Uint8Array): Answer;
  /** Takes `data`, which is the handler's until its answer: copy what you keep. */
  write?(request: BlockRequest, data: Uint8Array): Answer;
  /** Makes all writes durable that were answered. */
  flush?(request: BlockRequest): Awaitable<unknown>;
  /** Forgets a range, which may then read as anything. */
  discard?(request: BlockRequest): Awaitable<unknown>;
  /** Zeroes a range. */
  writeZeroes?(request: BlockRequest): Awaitable<unknown>;
  /** Is called once, when the disk has ended. */
  close?(): Awaitable<unknown>;
}

/** Options of {@linkcode serve}. */
export interface ServeOptions {
  /** Requests at a time, of each queue: from 1 to 4096. Default 64. */
  queueDepth?: number;
  /**
   * Queues: from 1 to 4096. The driver has no more than processors. In a thread they
   * share, one is best. Default 1.
   */
  queues?: number;
  /**
   * Bytes of the largest request: a multiple of 4096 (on aarch64 of a page), up to
   * 32 MiB. Each request that can be in flight has memory of this size, which is real
   * once it was used. Default 512 KiB.
   */
  maxTransfer?: number;
  /** `true` refuses writes. Default: whether the target has no `write`. */
  readOnly?: boolean;
  /** Tells programs that seeking is slow. Default `false`. */
  rotational?: boolean;
  /** `false` does not look for partitions (Linux 7.0). Default `true`. */
  partitionScan?: boolean;
  /**
   * Milliseconds after which a request whose handler has returned a promise is
   * answered with ETIMEDOUT. A quarter more may pass. Default: any time.
   */
  timeoutMs?: number;
  /**
   * The fate of the disk when its process dies. Without, the disk is gone, and
   * requests fail with EIO. With it, the disk stays until {@linkcode recover} serves it
   * again. Until then, new requests wait, and nothing ends a program that has one; with
   * `"fail"` (Linux 6.13) they fail. Requests that were in flight fail, too, but with
   * `"requeue"` the next server gets them: a write may then come twice.
   */
  recovery?: Recovery;
  /**
   * Makes a disk for a user other than root: see the module page. Default `false`.
   */
  unprivileged?: boolean;
  /** Stops the disk, by force. */
  signal?: AbortSignal;
  /**
   * Is told what a handler threw that is no block error, so that the program got EIO,
   * and of answers that make no sense. Default: `console.error`.
   */
  onError?: (error: unknown, op: string, request: BlockRequest) => void;
}

/** The fate of requests when the server dies: see {@linkcode ServeOptions}. */
export type Recovery = "requeue" | "fail-in-flight" | "fail";
