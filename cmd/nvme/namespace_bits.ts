/** The bits in the identity of a namespace, by name. */

import { type BitsOf, flags } from "./values.ts";

/** Features of a namespace. \[NSFEAT\] */
export interface NamespaceFeatureBits {
  /** Its capacity may be less than its size. \[THINP, bit 0\] */
  readonly thinProvisioning: boolean;
  /** It has sizes of atomic writes of its own. \[NSABP, bit 1\] */
  readonly ownAtomicSizes: boolean;
  /** Reads of deallocated blocks can fail. \[DAE, bit 2\] */
  readonly deallocatedError: boolean;
  /** Its NGUID and EUI64 are never used again. \[UIDREUSE, bit 3\] */
  readonly idsNotReused: boolean;
  /** It has best sizes of writes and deallocations. \[OPTPERF, bit 4\] */
  readonly optimalSizes: boolean;
}

export const FEATURES: BitsOf<NamespaceFeatureBits> = {
  thinProvisioning: 0,
  ownAtomicSizes: 1,
  deallocatedError: 2,
  idsNotReused: 3,
  optimalSizes: 4,
};

/** The places that metadata can have. \[MC\] */
export interface MetadataBits {
  /** After the data of each block. \[MTELBA, bit 0\] */
  readonly inline: boolean;
  /** In memory of its own. \[MTSM, bit 1\] */
  readonly separate: boolean;
}

export const METADATA: BitsOf<MetadataBits> = { inline: 0, separate: 1 };

/** The protection information that a namespace can have. \[DPC\] */
export interface ProtectionBits {
  /** Type 1. \[PIT1S, bit 0\] */
  readonly type1: boolean;
  /** Type 2. \[PIT2S, bit 1\] */
  readonly type2: boolean;
  /** Type 3. \[PIT3S, bit 2\] */
  readonly type3: boolean;
  /** In the first bytes of the metadata. \[PIIFB, bit 3\] */
  readonly firstBytes: boolean;
  /** In the last bytes of the metadata. \[PIILB, bit 4\] */
  readonly lastBytes: boolean;
}

export const PROTECTION: BitsOf<ProtectionBits> = {
  type1: 0,
  type2: 1,
  type3: 2,
  firstBytes: 3,
  lastBytes: 4,
};

/** The reservations that a namespace can have. \[RESCAP\] */
export interface ReservationBits {
  /** They last when the power goes. \[PTPLS, bit 0\] */
  readonly persistent: boolean;
  /** Write Exclusive. \[WES, bit 1\] */
  readonly writeExclusive: boolean;
  /** Exclusive Access. \[EAS, bit 2\] */
  readonly exclusiveAccess: boolean;
  /** Write Exclusive, for registrants. \[WEROS, bit 3\] */
  readonly writeExclusiveRegistrants: boolean;
  /** Exclusive Access, for registrants. \[EAROS, bit 4\] */
  readonly exclusiveAccessRegistrants: boolean;
  /** Write Exclusive, of all registrants. \[WEARS, bit 5\] */
  readonly writeExclusiveAll: boolean;
  /** Exclusive Access, of all registrants. \[EAARS, bit 6\] */
  readonly exclusiveAccessAll: boolean;
  /** Keys are ignored as in version 1.3. \[IEKEYS, bit 7\] */
  readonly ignoresExistingKey: boolean;
}

export const RESERVATIONS: BitsOf<ReservationBits> = {
  persistent: 0,
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrants: 3,
  exclusiveAccessRegistrants: 4,
  writeExclusiveAll: 5,
  exclusiveAccessAll: 6,
  ignoresExistingKey: 7,
};

/** The content of a deallocated block. \[DLFEAT\] */
export interface DeallocateBits {
  /** `"zeros"`, `"ones"`, or `"unknown"`. \[DRB, bits 2:0\] */
  readonly reads: "zeros" | "ones" | "unknown";
  /** Write Zeroes can deallocate. \[WZDS, bit 3\] */
  readonly writeZeroes: boolean;
  /** The guard is that of the data; otherwise it is all ones. \[GDS, bit 4\] */
  readonly guardOfData: boolean;
}

export function decodeDeallocate(value: number): DeallocateBits {
  const reads = (["unknown", "zeros", "ones"] as const)[value & 7] ?? "unknown";
  return { reads, ...flags(value, { writeZeroes: 3, guardOfData: 4 }) };
}
