/**
 * Commands that read and set the features of NVMe drives.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { low } from "../../sys/struct.ts";
import { byteLengthOf, copyOf, setBytes } from "../../ring/intrinsics.ts";
import {
  checkBoolean,
  checkBytes,
  checkInteger,
  checkName,
  checkObject,
  checkU32,
  checkU8,
} from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import type { Completion } from "../../ring/completion.ts";
import { jsonable } from "../json.ts";
import { featureBytes, PAGE } from "./limits.ts";
import { adminCommand } from "./passthru.ts";

/** The values that a feature has. */
export type FeatureSelect = "current" | "default" | "saved" | "supported";

const SELECT = { current: 0, default: 1, saved: 2, supported: 3 };

/** A value of a feature. */
export interface Feature {
  /** Dword 0 of the completion: the value of most features. */
  readonly value: number;
  /**
   * The data of a feature that has data; otherwise empty. For a feature that the
   * specifications do not define, such as a vendor's, 4096 bytes.
   */
  readonly data: Uint8Array;
}

/**
 * Reads a feature. Get Features through `NVME_URING_CMD_ADMIN`, Linux
 * 5.19, on a ring with `drive: true`. CAP_SYS_ADMIN.
 *
 * @example The state of the write cache
 * ```ts ignore
 * import { getFeatures, NVME_FEAT_FID_VOLATILE_WC } from "@uring/cmd/nvme";
 *
 * const feature = NVME_FEAT_FID_VOLATILE_WC;
 * const { value } = await ring.cmd(getFeatures(fd, { feature }));
 * console.log("write cache", value & 1 ? "on" : "off");
 * ```
 */
export function getFeatures(
  file: FileRef,
  options: {
    /**
     * The number of the feature, such as `NVME_FEAT_FID_TEMP_THRESH`. \[FID\]
     */
    feature: number;
    /** The value to read. Default `"current"`. \[SEL\] */
    select?: FeatureSelect;
    /** The namespace, if each one has this feature. Default 0. \[NSID\] */
    nsid?: number;
    /** Dword 11, an argument of some features, 32 bits. Default 0. */
    cdw11?: number;
  },
): Command<Feature> {
  checkObject("options", options);
  const { feature, select = "current", nsid = 0, cdw11 = 0 } = options;
  checkName("select", select, SELECT);
  const name = `GET FEATURES 0x${checkU8("feature", feature).toString(16)}`;
  const opcode = nvme.nvme_admin_get_features;
  const cdw10 = feature | SELECT[select] << 8;
  const fields = { name, opcode, nsid, cdw10, cdw11 };
  const decode = (completion: Completion) =>
    jsonable({
      value: low(completion.extra1),
      data: byteLength > 0 ? copyOf(completion.memory()) : new Uint8Array(),
    });
  checkU32("cdw11", cdw11);
  const byteLength = featureBytes(opcode, feature, cdw11) ?? PAGE;
  const memory = { pieces: [], byteLength };
  return adminCommand(file, fields, decode, memory);
}

/**
 * **Changes the drive.** Sets a feature. Set Features through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`. The
 * node must be open for writing, and the process needs CAP_SYS_ADMIN. The
 * result is dword 0 of the completion.
 *
 * EACCES: since Linux 7.2, the feature may be one that the driver sets itself,
 * such as the number of queues.
 */
export function setFeatures(
  file: FileRef,
  options: {
    /**
     * The number of the feature, such as `NVME_FEAT_FID_TEMP_THRESH`. \[FID\]
     */
    feature: number;
    /** Dword 11, the new value, 32 bits. */
    value: number;
    /** The namespace, if each one has this feature. Default 0. \[NSID\] */
    nsid?: number;
    /** Keeps the value when the power goes. Default `false`. \[SV\] */
    save?: boolean;
    /** Dword 12, an argument of some features, 32 bits. Default 0. */
    cdw12?: number;
    /**
     * The data, for a feature that has data: from 1 byte to the length of the
     * feature. The rest is zeros.
     */
    data?: Uint8Array;
  },
): Command<number> {
  checkObject("options", options);
  const { feature, value, nsid = 0, save = false, cdw12 = 0, data } = options;
  const name = `SET FEATURES 0x${checkU8("feature", feature).toString(16)}`;
  const opcode = nvme.nvme_admin_set_features;
  const cdw10 = (feature | (checkBoolean("save", save) ? 1 << 31 : 0)) >>> 0;
  const cdw11 = checkU32("value", value);
  const known = featureBytes(opcode, feature, cdw11);
  if (known !== undefined && (known === 0) !== (data === undefined)) {
    throw new TypeError(
      `NVME ${name} takes ${known} bytes of data. ` +
        (known === 0 ? "Leave data out." : "Pass data."),
    );
  }
  // The drive reads as many bytes as the feature has, however many there are.
  const page = known === 0 ? undefined : new Uint8Array(known ?? PAGE);
  if (page && data !== undefined) {
    const length = byteLengthOf(checkBytes("data", data));
    checkInteger("length of data", length, 1, page.length);
    setBytes(page, data);
  }
  const fields = { name, opcode, nsid, cdw10, cdw11, cdw12, data: page };
  return adminCommand(file, fields, ({ extra1 }) => low(extra1));
}
