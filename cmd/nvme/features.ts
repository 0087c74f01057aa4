/**
 * What NVMe drives can be set to.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { low } from "../../sys/struct.ts";
import { byteLengthOf, setBytes } from "../../ring/intrinsics.ts";
import {
  checkBytes,
  checkInteger,
  checkName,
  checkObject,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import type { Command, File } from "../../ring/command.ts";
import { adminCommand } from "./passthru.ts";

/** Bytes of data that a feature has at most. */
const PAGE = 4096;

/** Which value of a feature is meant. */
export type FeatureSelect = "current" | "default" | "saved" | "supported";

const SELECT: Readonly<Record<FeatureSelect, number>> = {
  current: 0,
  default: 1,
  saved: 2,
  supported: 3,
};

/** A feature as it is set. */
export interface Feature {
  /** Dword 0 of the completion: what it is set to, in most features. */
  readonly value: number;
  /** The data of a feature that has some; otherwise zeros. */
  readonly data: Uint8Array;
}

/**
 * Asks how a feature is set. Get Features through `NVME_URING_CMD_ADMIN`, Linux
 * 5.19, on a ring with `sqe128` and `cqe32`. CAP_SYS_ADMIN.
 *
 * @example
 * ```ts ignore
 * const feature = NVME_FEAT_FID_VOLATILE_WC;
 * const { value } = await ring.cmd(getFeatures(fd, { feature }));
 * console.log("write cache", value & 1 ? "on" : "off");
 * ```
 */
export function getFeatures(
  file: File,
  options: {
    /** The feature's number, such as `NVME_FEAT_FID_TEMP_THRESH`. */
    feature: number;
    /** Which value. */
    select?: FeatureSelect;
    /** The namespace, of a feature that each one has. */
    nsid?: number;
    /** What some features want to be told, 32 bits. */
    cdw11?: number;
  },
): Command<Feature> {
  const { feature, select = "current", nsid = 0, cdw11 = 0 } = checkObject(
    "options",
    options,
  );
  checkU8("feature", feature);
  checkName("select", select, SELECT);
  return adminCommand(
    `GET FEATURES 0x${feature.toString(16)}`,
    file,
    {
      opcode: nvme.nvme_admin_get_features,
      nsid,
      cdw10: feature | SELECT[select] << 8,
      cdw11,
    },
    (completion) => ({
      value: low(completion.extra1),
      data: completion.memory().slice(),
    }),
    { ownBytes: PAGE },
  );
}

/**
 * **Changes the drive.** Sets a feature. Set Features through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `sqe128` and `cqe32`. The
 * node must be open for writing, and the process needs CAP_SYS_ADMIN. The result
 * is dword 0 of the completion.
 *
 * EACCES also for what the driver sets itself, such as the number of queues, since
 * Linux 7.2.
 */
export function setFeatures(
  file: File,
  options: {
    /** The feature's number, such as `NVME_FEAT_FID_TEMP_THRESH`. */
    feature: number;
    /** Dword 11: what to set it to, 32 bits. */
    value: number;
    /** The namespace, of a feature that each one has. */
    nsid?: number;
    /** Keep it when the power goes. */
    save?: boolean;
    /** Dword 12, of features that want more. */
    cdw12?: number;
    /** Data, of features that want them: at most 4096 bytes. */
    data?: Uint8Array;
  },
): Command<number> {
  const { feature, value, nsid = 0, save = false, cdw12 = 0, data } =
    checkObject("options", options);
  checkU8("feature", feature);
  let page: Uint8Array | undefined;
  if (data !== undefined) {
    const length = byteLengthOf(checkBytes("data", data));
    checkInteger("length of data", length, 1, PAGE);
    // A feature takes as many bytes as it wants, and not as many as there are.
    page = new Uint8Array(PAGE);
    setBytes(page, data);
  }
  return adminCommand(
    `SET FEATURES 0x${feature.toString(16)}`,
    file,
    {
      opcode: nvme.nvme_admin_set_features,
      nsid,
      cdw10: (feature | (save ? 1 << 31 : 0)) >>> 0,
      cdw11: checkU32("value", value),
      cdw12,
      data: page,
    },
    ({ extra1 }) => low(extra1),
  );
}
