/** Attacks on memory that the kernel is yet to write. */

import type { Ring } from "../../../mod.ts";

/** The target of an attack. */
export class Victim implements Disposable {
  readonly ring: Ring;
  /** Aborts the commands. */
  readonly abort: AbortController = new AbortController();
  #worker: Worker | null = null;

  constructor(ring: Ring) {
    this.ring = ring;
  }

  /** Sends something to a worker, which keeps it. */
  send(message: ArrayBuffer, transfer: ArrayBuffer[]): void {
    this.#worker ??= new Worker(KEEPER, { type: "module" });
    this.#worker.postMessage(message, transfer);
  }

  /** Returns the last message that the worker received. */
  takeBack(): Promise<ArrayBuffer> {
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
    const worker = this.#worker!;
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
    worker.postMessage(null);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
  }
}

const KEEPER = `data:text/javascript,${
  encodeURIComponent(`
    let kept;
    onmessage = ({ data }) => {
      if (data === null) postMessage(kept, [kept]);
      else kept = data;
    };
  `)
}`;

/** Finds the memory after the attack; `null` if it is garbage. */
export type Home = () => ArrayBuffer | Promise<ArrayBuffer> | null;

/** An attack on the memory of a command. */
export interface Attack {
  readonly name: string;
  /** The outcome of a command with an ordinary array. */
  readonly plain: "arrives" | "fails" | "ends";
  /** Memory of `ring.alloc` throws instead, and the bytes arrive. */
  readonly refused?: boolean;
  on(buffer: ArrayBuffer, victim: Victim): Home;
}

export const ATTACKS: readonly Attack[] = [
  {
    name: "the memory was forgotten",
    plain: "arrives",
    on: () => () => null,
  },
  {
    name: "the memory was transferred",
    plain: "fails",
    refused: true,
    on(buffer) {
      const moved = buffer.transfer();
      return () => moved;
    },
  },
  {
    name: "the memory was detached by structuredClone()",
    plain: "fails",
    refused: true,
    on(buffer) {
      const moved = structuredClone(buffer, { transfer: [buffer] });
      return () => moved;
    },
  },
  {
    name: "the memory was given to a worker",
    plain: "fails",
    refused: true,
    on(buffer, victim) {
      victim.send(buffer, [buffer]);
      return () => victim.takeBack();
    },
  },
  {
    name: "the memory was copied to a worker",
    plain: "arrives",
    on(buffer, victim) {
      victim.send(buffer, []);
      return () => buffer;
    },
  },
  {
    name: "the memory was made smaller",
    plain: "fails",
    refused: true,
    on(buffer) {
      // Up to the bytes of the command, so that what lies before is left.
      buffer.resize(buffer.byteLength / 3);
      return () => buffer;
    },
  },
  {
    name: "the memory was made smaller and large again",
    plain: "arrives",
    refused: true,
    on(buffer) {
      const before = new Uint8Array(buffer.slice());
      buffer.resize(0);
      buffer.resize(before.length);
      new Uint8Array(buffer).set(before);
      return () => buffer;
    },
  },
  {
    name: "the command was aborted",
    plain: "ends",
    on(buffer, { abort }) {
      abort.abort();
      return () => buffer;
    },
  },
  {
    name: "the ring was closed",
    plain: "ends",
    on(buffer, { ring }) {
      ring.close();
      return () => buffer;
    },
  },
];
