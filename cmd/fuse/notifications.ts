/** Messages that the server sends to the kernel without being asked. */

import { viewAt } from "../../sys/bytes.ts";
import { type Field, sizeof, type Struct } from "../../sys/struct.ts";
import * as uapi from "../../sys/uapi/fuse.ts";

const HEAD = sizeof(uapi.fuse_out_header);
const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

/** Makes a message of a code, a struct, and bytes behind it. */
function message<F extends Record<string, Field>>(
  code: number,
  layout: Struct<F>,
  values: Partial<Record<keyof F & string, number | bigint>>,
  rest: Uint8Array = NOTHING,
): Uint8Array {
  const length = HEAD + sizeof(layout) + rest.length;
  const bytes = new Uint8Array(length);
  const view = viewAt(bytes.buffer, 0, length);
  uapi.fuse_out_header.len.set(view, 0, length);
  uapi.fuse_out_header.error.set(view, 0, code);
  for (const [name, value] of Object.entries(values)) {
    (layout[name] as Field).set(view, HEAD, value);
  }
  bytes.set(rest, HEAD + sizeof(layout));
  return bytes;
}

/** A name with the zero byte behind it, which the kernel wants but does not count. */
const named = (name: string) => encoder.encode(`${name}\0`);

/** Some `poll` of an open file is to be asked again. */
export function pollMessage(key: bigint): Uint8Array {
  return message(uapi.FUSE_NOTIFY_POLL, uapi.fuse_notify_poll_wakeup_out, {
    kh: key,
  });
}

/** The kernel is to drop attributes, and data from `offset` on; -1 for no data. */
export function inodeMessage(id: number, offset: number): Uint8Array {
  const { FUSE_NOTIFY_INVAL_INODE, fuse_notify_inval_inode_out } = uapi;
  return message(FUSE_NOTIFY_INVAL_INODE, fuse_notify_inval_inode_out, {
    ino: id,
    off: offset,
  });
}

/** The kernel is to drop a name; with `expire`, to look it up when it is next used. */
export function entryMessage(
  parent: number,
  name: string,
  expire: boolean,
): Uint8Array {
  const { FUSE_NOTIFY_INVAL_ENTRY, fuse_notify_inval_entry_out } = uapi;
  const rest = named(name);
  return message(FUSE_NOTIFY_INVAL_ENTRY, fuse_notify_inval_entry_out, {
    parent,
    namelen: rest.length - 1,
    flags: expire ? uapi.FUSE_EXPIRE_ONLY : 0,
  }, rest);
}

/** The kernel is to put data into its cache of a file. */
export function storeMessage(
  id: number,
  offset: number,
  data: Uint8Array,
): Uint8Array {
  return message(uapi.FUSE_NOTIFY_STORE, uapi.fuse_notify_store_out, {
    nodeid: id,
    offset,
    size: data.length,
  }, data);
}

/** The kernel is to forget files that are not in use. */
export function pruneMessage(ids: readonly number[]): Uint8Array {
  const { FUSE_NOTIFY_PRUNE, fuse_notify_prune_out } = uapi;
  const rest = new Uint8Array(new BigUint64Array(ids.map(BigInt)).buffer);
  return message(FUSE_NOTIFY_PRUNE, fuse_notify_prune_out, {
    count: ids.length,
  }, rest);
}
