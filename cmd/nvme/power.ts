/** The power states in the identity of a controller. */

import { nvme_id_psd as f } from "../../sys/uapi/nvme.ts";

/**
 * A power state of a controller. In brackets: the specification's name of each
 * field.
 */
export interface PowerState {
  /** Watts at most; 0 if not reported. \[MP, MXPS\] */
  readonly maxPowerWatts: number;
  /** `true` if the controller runs no I/O commands in it. \[NOPS\] */
  readonly nonOperational: boolean;
  /** Microseconds to enter it at most; 0 if not reported. \[ENLAT\] */
  readonly entryMicros: number;
  /** Microseconds to leave it at most; 0 if not reported. \[EXLAT\] */
  readonly exitMicros: number;
  /** The rank of its read throughput among all states; 0 is best. \[RRT\] */
  readonly readThroughputRank: number;
  /** The rank of its read latency; 0 is best. \[RRL\] */
  readonly readLatencyRank: number;
  /** The rank of its write throughput; 0 is best. \[RWT\] */
  readonly writeThroughputRank: number;
  /** The rank of its write latency; 0 is best. \[RWL\] */
  readonly writeLatencyRank: number;
  /** Watts when idle for 30 s; 0 if not reported. \[IDLP, IPS\] */
  readonly idlePowerWatts: number;
  /** Watts over 10 s of a workload; 0 if not reported. \[ACTP, APS\] */
  readonly activePowerWatts: number;
  /** The number of that workload; 0 if not reported. \[APW\] */
  readonly activePowerWorkload: number;
}

/** Decodes the power state at a byte. */
export function decodePowerState(view: DataView, at: number): PowerState {
  const bits = f.flags.get(view, at);
  return {
    maxPowerWatts: f.mp.get(view, at) / (bits & 1 ? 10_000 : 100),
    nonOperational: (bits & 2) !== 0,
    entryMicros: f.enlat.get(view, at),
    exitMicros: f.exlat.get(view, at),
    readThroughputRank: f.rrt.get(view, at) & 0x1f,
    readLatencyRank: f.rrl.get(view, at) & 0x1f,
    writeThroughputRank: f.rwt.get(view, at) & 0x1f,
    writeLatencyRank: f.rwl.get(view, at) & 0x1f,
    idlePowerWatts: watts(f.idlp.get(view, at), f.ips.get(view, at)),
    activePowerWatts: watts(f.actp.get(view, at), f.apws.get(view, at)),
    activePowerWorkload: f.apws.get(view, at) & 7,
  };
}

/** Returns watts of a number whose unit bits 7:6 of another have. */
function watts(value: number, scale: number): number {
  const perWatt = [Infinity, 10_000, 100, Infinity][scale >> 6];
  return value / perWatt;
}
