/** Finds out what the ublk driver can do here, without making a device. */

import { UBLK_FEATURES_LEN } from "../../sys/uapi/ublk.ts";
import { close, readText } from "../../sys/file.ts";
import { UringError } from "../../ring/errors.ts";
import { Ring } from "../../ring/ring.ts";
import { control } from "./control.ts";
import { featureNames, openControl } from "./support.ts";

const CAP_SYS_ADMIN = 21n;

/** An answer, in the form of the probe. */
interface Answer {
  readonly available: "yes" | "no" | "unknown";
  readonly reason: string;
}

/** The abilities of the driver. */
export interface UblkProbe {
  /** Tells whether this process can serve disks, and what it lacks if not. */
  readonly serve: Answer;
  /** The features of the driver, such as `"USER_RECOVERY"`. */
  readonly features: readonly string[];
}

/** Asks the driver. */
export function ublkSupport(): UblkProbe {
  try {
    const fd = openControl();
    try {
      return { serve: access(), features: featureNames(featuresOf(fd)) };
    } finally {
      close(fd);
    }
  } catch (error) {
    if (!(error instanceof UringError)) throw error;
    const serve: Answer = { available: "no", reason: error.message };
    return { serve, features: [] };
  }
}

function access(): Answer {
  const status = readText("/proc/self/status") ?? "";
  const [, hex] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  if (hex === undefined) return { available: "unknown", reason: "no /proc" };
  if (BigInt(`0x${hex}`) >> CAP_SYS_ADMIN & 1n) {
    return { available: "yes", reason: "as root" };
  }
  const reason = "without CAP_SYS_ADMIN, with `unprivileged: true` and udev";
  return { available: "yes", reason };
}

function featuresOf(fd: number): number {
  const ring = Ring.open({ entries: 4, sqe128: true });
  try {
    const bytes = new Uint8Array(UBLK_FEATURES_LEN);
    ring.cmdSync(control(fd, "GET_FEATURES", { bytes }));
    return new DataView(bytes.buffer).getUint32(0, true);
  } finally {
    void ring.close();
  }
}
