/**
 * The names of numbers in the SCSI standards of T10, and in the kernel.
 *
 * @module
 */

import { codeNames } from "../code_names.ts";
import { senseCodeText } from "./sense_codes.ts";

/**
 * Commands that change nothing, whatever their other bytes say: a file that is open
 * for reading is enough for them.
 */
const readingCommand = codeNames(`
  00 TEST UNIT READY; 03 REQUEST SENSE; 08 READ(6); 12 INQUIRY; 1a MODE SENSE(6)
  1c RECEIVE DIAGNOSTIC RESULTS; 25 READ CAPACITY(10); 28 READ(10)
  2f VERIFY(10); 34 PRE-FETCH(10); 37 READ DEFECT DATA(10); 5a MODE SENSE(10)
  88 READ(16); 8f VERIFY(16); 90 PRE-FETCH(16); a0 REPORT LUNS; a8 READ(12)
  af VERIFY(12); b7 READ DEFECT DATA(12)`);

/**
 * Commands that change nothing with this second byte. It has the service action,
 * the mode of READ BUFFER, the bit of LOG SENSE that saves parameters, or the
 * security protocol. With other values, T10 has commands that change the device,
 * such as 9Eh/18h REMOVE ELEMENT AND TRUNCATE.
 */
const readingAction = codeNames(`
  3c00 READ BUFFER(10); 3c02 READ BUFFER(10); 3c03 READ BUFFER(10)
  3c0a READ BUFFER(10); 3c0b READ BUFFER(10); 3c0f READ BUFFER(10)
  4d00 LOG SENSE; 5e00 PERSISTENT RESERVE IN; 5e01 PERSISTENT RESERVE IN
  5e02 PERSISTENT RESERVE IN; 5e03 PERSISTENT RESERVE IN; 8c00 READ ATTRIBUTE
  8c01 READ ATTRIBUTE; 8c02 READ ATTRIBUTE; 8c03 READ ATTRIBUTE
  8c05 READ ATTRIBUTE; 9500 REPORT ZONES; 9506 REPORT REALMS
  9507 REPORT ZONE DOMAINS; 9509 ZONE QUERY(16); 9b00 READ BUFFER(16)
  9b02 READ BUFFER(16); 9b03 READ BUFFER(16); 9b0a READ BUFFER(16)
  9b0b READ BUFFER(16); 9b0f READ BUFFER(16); 9e10 READ CAPACITY(16)
  9e11 READ LONG(16); 9e12 GET LBA STATUS(16); 9e13 REPORT REFERRALS
  9e16 GET STREAM STATUS; 9e17 GET PHYSICAL ELEMENT STATUS
  a200 SECURITY PROTOCOL IN; a305 REPORT IDENTIFYING INFORMATION
  a30a REPORT TARGET PORT GROUPS; a30b REPORT ALIASES
  a30c REPORT SUPPORTED OPERATION CODES
  a30d REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS; a30e REPORT PRIORITY
  a30f REPORT TIMESTAMP`);

/** Service actions of CDBs of variable length that change nothing. */
const readingLong = codeNames(
  "9 READ(32); a VERIFY(32); 12 GET LBA STATUS(32)",
);

/** Commands that may change the data on the device, or its state. */
const changingCommand = codeNames(`
  04 FORMAT UNIT; 07 REASSIGN BLOCKS; 0a WRITE(6); 15 MODE SELECT(6)
  1b START STOP UNIT; 1d SEND DIAGNOSTIC; 1e PREVENT ALLOW MEDIUM REMOVAL
  2a WRITE(10); 2e WRITE AND VERIFY(10); 35 SYNCHRONIZE CACHE(10)
  3b WRITE BUFFER; 3c READ BUFFER(10); 41 WRITE SAME(10); 42 UNMAP; 48 SANITIZE
  4c LOG SELECT; 4d LOG SENSE; 55 MODE SELECT(10); 5e PERSISTENT RESERVE IN
  5f PERSISTENT RESERVE OUT; 7f VARIABLE LENGTH COMMAND; 83 EXTENDED COPY
  85 ATA PASS-THROUGH(16); 89 COMPARE AND WRITE; 8a WRITE(16); 8c READ ATTRIBUTE
  8e WRITE AND VERIFY(16); 91 SYNCHRONIZE CACHE(16); 93 WRITE SAME(16)
  94 ZBC OUT; 95 ZBC IN; 9a WRITE STREAM(16); 9b READ BUFFER(16)
  9c WRITE ATOMIC(16); 9e SERVICE ACTION IN(16); 9f SERVICE ACTION OUT(16)
  a1 ATA PASS-THROUGH(12); a2 SECURITY PROTOCOL IN; a3 MAINTENANCE IN
  a4 MAINTENANCE OUT; aa WRITE(12); ae WRITE AND VERIFY(12)
  b5 SECURITY PROTOCOL OUT`);

/** Service actions, in the second byte, that change the device. */
const changingAction = codeNames(`
  9401 CLOSE ZONE; 9402 FINISH ZONE; 9403 OPEN ZONE; 9404 RESET WRITE POINTER
  9508 ZONE ACTIVATE(16); 9e14 STREAM CONTROL; 9e15 BACKGROUND CONTROL
  9e18 REMOVE ELEMENT AND TRUNCATE; 9e19 RESTORE ELEMENTS AND REBUILD
  9e1a REMOVE ELEMENT AND MODIFY ZONES`);

/** Service actions of CDBs of variable length that write. */
const changingLong = codeNames(`
  b WRITE(32); c WRITE AND VERIFY(32); d WRITE SAME(32)`);

/** Returns the name of a command, such as `"READ(10)"`. */
export function commandName(cdb: Uint8Array): string {
  const opcode = cdb[0]; // An iterator would take as long as all the rest.
  const second = cdb[1];
  const action = opcode << 8 | second & 0x1f;
  const long = longAction(cdb);
  return readingAction(action) ?? changingAction(action) ??
    readingLong(long) ?? changingLong(long) ?? readingCommand(opcode) ??
    changingCommand(opcode) ?? `command ${hex(opcode)}`;
}

/**
 * Returns `true` for a command that is known to change nothing. A reserved bit may
 * mean anything, so all 8 bits of the second byte count.
 */
export function onlyReads(cdb: Uint8Array): boolean {
  const [opcode, second] = cdb;
  return readingCommand(opcode) !== undefined ||
    readingAction(opcode << 8 | second) !== undefined ||
    readingLong(longAction(cdb)) !== undefined;
}

/** Returns the service action of a CDB of variable length; -1 for other CDBs. */
function longAction(cdb: Uint8Array): number {
  return cdb[0] === 0x7f && cdb.length >= 10 ? cdb[8] << 8 | cdb[9] : -1;
}

/** Formats a byte as T10 does: `"11h"`. */
export function hex(value: number): string {
  return `${value.toString(16).toUpperCase().padStart(2, "0")}h`;
}

/** The statuses of commands. */
const knownStatus = codeNames(`
  00 GOOD; 02 CHECK CONDITION; 04 CONDITION MET; 08 BUSY; 10 INTERMEDIATE
  14 INTERMEDIATE-CONDITION MET; 18 RESERVATION CONFLICT; 22 COMMAND TERMINATED
  28 TASK SET FULL; 30 ACA ACTIVE; 40 TASK ABORTED`);

/** Returns the name of a SCSI status, such as `"CHECK CONDITION"`. */
export function statusName(status: number): string {
  return knownStatus(status) ?? `status ${hex(status)}`;
}

/** The host statuses of the kernel's drivers. */
const knownHostStatus = codeNames(`
  00 DID_OK; 01 DID_NO_CONNECT; 02 DID_BUS_BUSY; 03 DID_TIME_OUT
  04 DID_BAD_TARGET; 05 DID_ABORT; 06 DID_PARITY; 07 DID_ERROR; 08 DID_RESET
  09 DID_BAD_INTR; 0a DID_PASSTHROUGH; 0b DID_SOFT_ERROR; 0c DID_IMM_RETRY
  0d DID_REQUEUE; 0e DID_TRANSPORT_DISRUPTED; 0f DID_TRANSPORT_FAILFAST
  10 DID_TARGET_FAILURE; 11 DID_NEXUS_FAILURE; 12 DID_ALLOC_FAILURE
  13 DID_MEDIUM_ERROR; 14 DID_TRANSPORT_MARGINAL`);

/** Returns the kernel's name of a host status, such as `"DID_TIME_OUT"`. */
export function hostStatusName(status: number): string {
  return knownHostStatus(status) ?? `host status ${hex(status)}`;
}

/** The sense keys from 0 on. */
const SENSE_KEYS = [
  ...["No Sense", "Recovered Error", "Not Ready", "Medium Error"],
  ...["Hardware Error", "Illegal Request", "Unit Attention", "Data Protect"],
  ...["Blank Check", "Vendor Specific", "Copy Aborted", "Aborted Command"],
  ...["Equal", "Volume Overflow", "Miscompare", "Completed"],
];

/** Returns the name of a sense key, 0 to 15, such as `"Medium Error"`. */
export function senseKeyName(key: number): string {
  return SENSE_KEYS[key];
}

/**
 * Returns the meaning of an additional sense code and its qualifier, such as
 * `"Unrecovered read error"`; empty for a pair that T10 has not assigned.
 */
export function senseText(asc: number, ascq: number): string {
  // For these three codes, the qualifier is a number.
  if (asc === 0x40 && ascq >= 0x80) {
    return `Diagnostic failure on component ${hex(ascq)}`;
  }
  if (asc === 0x4d) return `Tagged overlapped commands, tag ${hex(ascq)}`;
  if (asc === 0x70) {
    return `Decompression exception short algorithm ID of ${hex(ascq)}`;
  }
  const text = senseCodeText(asc, ascq);
  if (text !== undefined) return text;
  // Old devices put the number of a component into the qualifier of these.
  if (asc >= 0x40 && asc <= 0x42) return senseCodeText(asc, 0)!;
  return asc >= 0x80 || ascq >= 0x80 ? "Vendor specific" : "";
}
