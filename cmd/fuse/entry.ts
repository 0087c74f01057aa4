/** An entry of a FUSE queue: memory that the kernel fills with one request after another. */

import {
  fuse_out_header,
  fuse_uring_ent_in_out,
  fuse_uring_req_header,
} from "../../sys/uapi/fuse.ts";
import { arena } from "../../sys/arena.ts";
import { bytesAt, viewAt } from "../../sys/bytes.ts";
import { high, low, sizeof } from "../../sys/struct.ts";
import { FuseRequest } from "./request.ts";

/** Bytes of the header. */
export const HEADER = sizeof(fuse_uring_req_header);
const OUT_HEADER = sizeof(fuse_out_header);
const ARGUMENT = fuse_uring_req_header.op_in.offset;
const TAIL = fuse_uring_req_header.ring_ent_in_out.offset;
const COMMIT_ID = TAIL + fuse_uring_ent_in_out.commit_id.offset;
const PAYLOAD_SZ = TAIL + fuse_uring_ent_in_out.payload_sz.offset;
const { len, error, unique } = fuse_out_header;

/**
 * The memory of one entry, and its request.
 *
 * With the reply, the memory is the kernel's again. So a handler that is answered for,
 * because its time is over, must not have it: with `apart`, handlers get a copy.
 */
export class Entry {
  request: FuseRequest;
  /** The request has no reply yet. */
  open = false;
  /** A handler may use the memory of the request. */
  held = false;
  readonly #header: Uint8Array;
  readonly #view: DataView;
  readonly #payload: Uint8Array;
  /** The array that handlers get, if it is not the memory of the kernel. */
  #copy: { header: Uint8Array; payload: Uint8Array } | null = null;

  constructor(
    readonly tag: number,
    header: Uint8Array,
    payload: Uint8Array,
    apart: boolean,
  ) {
    this.#header = header;
    this.#view = viewAt(header.buffer, header.byteOffset, HEADER);
    this.#payload = payload;
    this.request = apart ? this.#renew() : this.#over(header, payload);
  }

  /** The number of the request, in two words. */
  get commitLow(): number {
    return this.#view.getInt32(COMMIT_ID, true);
  }

  get commitHigh(): number {
    return this.#view.getInt32(COMMIT_ID + 4, true);
  }

  /** Reads the request that the kernel has written. */
  begin(): FuseRequest {
    const length = this.#view.getUint32(PAYLOAD_SZ, true);
    if (this.#copy !== null) {
      // The handler of an earlier request has the memory still.
      if (this.held) this.request = this.#renew();
      this.#copy.header.set(this.#header);
      this.#copy.payload.set(bytesOf(this.#payload, length));
    }
    this.open = true;
    this.held = true;
    this.request.begin(length);
    return this.request;
  }

  /** Writes a reply: an errno from 1 on, or 0 and the first bytes of the payload. */
  write(errno: number, byteLength: number): void {
    const view = this.#view;
    const length = errno === 0 ? byteLength : 0;
    if (this.#copy !== null) {
      this.#payload.set(bytesOf(this.#copy.payload, length));
    }
    view.setUint32(len.offset, OUT_HEADER + length, true);
    view.setInt32(error.offset, -errno, true);
    const number = this.request.unique;
    view.setUint32(unique.offset, low(number), true);
    view.setUint32(unique.offset + 4, high(number), true);
    view.setUint32(PAYLOAD_SZ, length, true);
  }

  #renew(): FuseRequest {
    const { length } = this.#payload;
    const memory = arena(HEADER + length); // A handler cannot transfer it elsewhere.
    const header = bytesAt(memory, 0, HEADER);
    const payload = bytesAt(memory, HEADER, length);
    this.#copy = { header, payload };
    return this.#over(header, payload);
  }

  #over(header: Uint8Array, payload: Uint8Array): FuseRequest {
    return new FuseRequest({
      head: viewAt(header.buffer, header.byteOffset, HEADER),
      argument: ARGUMENT,
      input: payload,
      joined: false,
      output: payload,
      tag: this.tag,
    });
  }
}

const bytesOf = ({ buffer, byteOffset }: Uint8Array, byteLength: number) =>
  bytesAt(buffer, byteOffset, byteLength);
