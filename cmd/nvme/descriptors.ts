/** The list of identifiers of a namespace. */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { partOf } from "../../ring/intrinsics.ts";
import { hex } from "../json.ts";
import { viewOf } from "./values.ts";

/** The identifiers of a namespace. In brackets: the specification's names. */
export interface NamespaceDescriptors {
  /** The extended unique number, 16 hexadecimal digits; `null` for none. \[EUI64\] */
  readonly eui64: string | null;
  /** The globally unique number, 32 hexadecimal digits; `null` for none. \[NGUID\] */
  readonly nguid: string | null;
  /** The UUID, in its usual form; `null` for none. \[UUID\] */
  readonly uuid: string | null;
  /**
   * The command set: 0 NVM, 1 key-value, 2 zoned; `null` if not reported. \[CSI\]
   */
  readonly csi: number | null;
  /** Identifiers of types that the specification did not have. \[NIDT, NID\] */
  readonly others: readonly {
    readonly type: number;
    /** The identifier, as hexadecimal digits. */
    readonly id: string;
  }[];
}

/** Decodes the 4096 bytes that Identify returns. */
export function decodeDescriptors(bytes: Uint8Array): NamespaceDescriptors {
  const view = viewOf(bytes);
  const { nvme_ns_id_desc: f } = nvme;
  const found = new Map<number, string>();
  const head = sizeof(f);
  for (let at = 0; at + head <= bytes.length;) {
    const length = f.nidl.get(view, at);
    if (length === 0) break;
    const id = partOf(bytes, at + head, at + head + length);
    // A descriptor that goes on after the end of the structure is none.
    if (id.length < length) break;
    found.set(f.nidt.get(view, at), hex(id));
    at += head + length;
  }
  const take = (type: number): string | null => {
    const id = found.get(type) ?? null;
    found.delete(type);
    return id;
  };
  const uuid = take(nvme.NVME_NIDT_UUID);
  const csi = take(nvme.NVME_NIDT_CSI);
  return {
    eui64: take(nvme.NVME_NIDT_EUI64),
    nguid: take(nvme.NVME_NIDT_NGUID),
    uuid: uuid &&
      uuid.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
    csi: csi === null ? null : parseInt(csi, 16),
    others: [...found].map(([type, id]) => ({ type, id })),
  };
}
