/**
 * The log of the commands that an NVMe drive has, and of their effects.
 *
 * @module
 */

import * as nvme from "../../sys/uapi/nvme.ts";
import { sizeof } from "../../sys/struct.ts";
import { checkObject } from "../../ring/check.ts";
import type { Command, FileRef } from "../../ring/command.ts";
import { logPage } from "./log_page.ts";
import { flags, viewOf } from "./values.ts";

/** A command of a drive. In brackets: the specification's names. */
export interface CommandEffects {
  /** The operation, 8 bits. \[OPC\] */
  readonly opcode: number;
  /** All bits, 32 of them. */
  readonly effects: number;
  /** It may change the content of blocks. \[LBCC, bit 1\] */
  readonly changesBlocks: boolean;
  /** It may change what a namespace can do. \[NCC, bit 2\] */
  readonly changesNamespace: boolean;
  /** It may change which namespaces there are. \[NIC, bit 3\] */
  readonly changesInventory: boolean;
  /** It may change what the controller can do. \[CCC, bit 4\] */
  readonly changesController: boolean;
  /** It takes the index of a UUID. \[USS, bit 19\] */
  readonly selectsUuid: boolean;
  /**
   * The commands that must not be in flight beside it: 0 any may, 1 none to the
   * same namespace, 2 none to any namespace. \[CSE, bits 18:16\]
   */
  readonly exclusive: number;
}

/** The commands that a drive has. */
export interface EffectsLog {
  /** Its admin commands, by opcode. \[ACS0 to ACS255\] */
  readonly adminCommands: readonly CommandEffects[];
  /** Its I/O commands, by opcode. \[IOCS0 to IOCS255\] */
  readonly ioCommands: readonly CommandEffects[];
}

/**
 * Reads which commands a drive has, and their effects. Get Log Page through
 * `NVME_URING_CMD_ADMIN`, Linux 5.19, on a ring with `drive: true`, on a
 * controller's node. CAP_SYS_ADMIN. `Invalid Log Page`: the drive does not have
 * this log: see `logPageAttributesBits.effects`.
 */
export function effectsLog(
  file: FileRef,
  options: {
    /** The command set: 0 NVM, 1 key-value, 2 zoned. Default 0. \[CSI\] */
    csi?: number;
  } = {},
): Command<EffectsLog> {
  const { csi } = checkObject("options", options);
  const { nvme_cmd_effects_log: f } = nvme;
  const lid = nvme.NVME_LOG_LID_CMD_EFFECTS;
  const page = { lid, csi, byteLength: sizeof(f) };
  return logPage("EFFECTS LOG", file, page, (bytes) => {
    const view = viewOf(bytes);
    return {
      adminCommands: commands(view, f.acs.offset),
      ioCommands: commands(view, f.iocs.offset),
    };
  });
}

const BITS = {
  changesBlocks: 1,
  changesNamespace: 2,
  changesInventory: 3,
  changesController: 4,
  selectsUuid: 19,
};

function commands(view: DataView, start: number): CommandEffects[] {
  const found: CommandEffects[] = [];
  for (let opcode = 0; opcode < 256; opcode++) {
    const effects = view.getUint32(start + opcode * 4, true);
    if ((effects & 1) === 0) continue; // The drive does not have it. [CSUPP]
    const exclusive = effects >>> 16 & 7;
    found.push({ opcode, effects, ...flags(effects, BITS), exclusive });
  }
  return found;
}
