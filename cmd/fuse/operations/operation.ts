/** The form of an operation. */

import { FUSE_OPEN_KILL_SUIDGID } from "../../../sys/uapi/fuse.ts";
import type { Field } from "../../../sys/struct.ts";
import type { Awaitable } from "../awaitable.ts";
import type { Context } from "../context.ts";
import type { FuseRequest } from "../request.ts";
import type { Server } from "../server.ts";

/**
 * Calls the handler of a request and writes the payload of its reply. Returns the
 * bytes of that, or `-errno`. It may throw what the handler throws.
 */
export type Operation = (
  server: Server,
  request: FuseRequest,
  ctx: Context,
) => Awaitable<number>;

/** Operations by their `FUSE_` number. */
export type Operations = Readonly<Record<number, Operation>>;

/** Returns `true` if an open is to clear set-user-ID bits. */
export function clearsSetuid(request: FuseRequest, flags: Field): boolean {
  return (request.u32(flags) & FUSE_OPEN_KILL_SUIDGID) !== 0;
}

/** The end of a reply without a payload. */
export const nothing = (): number => 0;
