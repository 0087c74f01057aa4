/** The structures that Identify returns about zoned controllers and namespaces. */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { jsonable } from "../json.ts";
import { viewOf } from "./values.ts";

/** The limits of a controller for zones. */
export interface ZonedControllerIdentity {
  /**
   * The limit of a Zone Append, as 2 ** n smallest memory pages; 0 for that of
   * any transfer. \[ZASL\]
   */
  readonly appendLimitExponent: number;
  /** The whole structure, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/** A format that a zoned namespace can have. */
export interface ZonedFormat {
  /** Logical blocks from one zone to the next; 0 without the format. \[ZSZE\] */
  readonly zoneBlocks: bigint;
  /** Bytes of the extension of a zone's descriptor; 0 for none. \[ZDES\] */
  readonly extensionBytes: number;
}

/**
 * The identity of a zoned namespace. In brackets: the specification's name of each
 * field. The fields that are not listed are in `bytes`, which JSON leaves out.
 */
export interface ZonedNamespaceIdentity {
  /** The zones' capacity can change. \[ZOC, VZC, bit 0\] */
  readonly variableCapacity: boolean;
  /** The drive may finish a zone by itself. \[ZOC, ZAE, bit 1\] */
  readonly activeExcursions: boolean;
  /** Reads may cross the end of a zone. \[OZCS, RAZB, bit 0\] */
  readonly readsAcrossZones: boolean;
  /** Zones can have an area for random writes. \[OZCS, ZRWASUP, bit 1\] */
  readonly randomWriteArea: boolean;
  /** Zones that can be active; `null` for no limit. \[MAR + 1\] */
  readonly maxActiveZones: number | null;
  /** Zones that can be open; `null` for no limit. \[MOR + 1\] */
  readonly maxOpenZones: number | null;
  /** Seconds after which a reset is recommended; 0 if not reported. \[RRL\] */
  readonly resetRecommendedSeconds: number;
  /** Seconds after which a finish is recommended; 0 if not reported. \[FRL\] */
  readonly finishRecommendedSeconds: number;
  /** The formats, in the order of those of `identifyNamespace()`. \[LBAFE\] */
  readonly formats: readonly ZonedFormat[];
  /** The whole structure, 4096 bytes. */
  readonly bytes: Uint8Array;
}

/** Decodes the 4096 bytes that Identify returns for a controller. */
export function decodeZonedController(
  bytes: Uint8Array,
): ZonedControllerIdentity {
  const { zasl } = nvme.nvme_zns_id_ctrl;
  const appendLimitExponent = zasl.get(viewOf(bytes), 0);
  return jsonable({ appendLimitExponent, bytes }, "bytes");
}

/** Formats that a namespace has at most. */
const MAX_FORMATS = 64;

/** Decodes the 4096 bytes that Identify returns for a namespace. */
export function decodeZonedNamespace(
  bytes: Uint8Array,
): ZonedNamespaceIdentity {
  const view = viewOf(bytes);
  const { nvme_zns_id_ns: f } = nvme;
  const zoc = f.zoc.get(view, 0);
  const ozcs = f.ozcs.get(view, 0);
  const formats = Array.from(
    { length: MAX_FORMATS },
    (_, i) => format(view, i),
  );
  const last = formats.findLastIndex(({ zoneBlocks }) => zoneBlocks !== 0n);
  return jsonable({
    variableCapacity: (zoc & 1) !== 0,
    activeExcursions: (zoc & 2) !== 0,
    readsAcrossZones: (ozcs & 1) !== 0,
    randomWriteArea: (ozcs & 2) !== 0,
    maxActiveZones: limit(f.mar.get(view, 0)),
    maxOpenZones: limit(f.mor.get(view, 0)),
    resetRecommendedSeconds: f.rrl.get(view, 0),
    finishRecommendedSeconds: f.frl.get(view, 0),
    formats: formats.slice(0, last + 1),
    bytes,
  }, "bytes");
}

/** Returns a limit of resources, which is one less; all ones stand for none. */
function limit(value: number): number | null {
  return value === 0xffff_ffff ? null : value + 1;
}

function format(view: DataView, index: number): ZonedFormat {
  const { nvme_zns_id_ns, nvme_zns_lbafe } = nvme;
  const at = nvme_zns_id_ns.lbafe.offset + index * sizeof(nvme_zns_lbafe);
  return jsonable({
    zoneBlocks: BigInt(nvme_zns_lbafe.zsze.get(view, at)),
    extensionBytes: nvme_zns_lbafe.zdes.get(view, at) * 64,
  });
}
