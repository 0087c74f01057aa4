/** The form of an operation. */

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

/** The end of a reply without a payload. */
export const nothing = (): number => 0;
