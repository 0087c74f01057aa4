/**
 * The names of numbers in the SCSI standards of T10, and in the kernel.
 *
 * @module
 */

import { codeNames } from "../code_names.ts";

/** Commands that change nothing: a descriptor for reading is enough for them. */
const readingCommand = codeNames(`
  00 TEST UNIT READY; 03 REQUEST SENSE; 08 READ(6); 12 INQUIRY; 1a MODE SENSE(6)
  1c RECEIVE DIAGNOSTIC RESULTS; 25 READ CAPACITY(10); 28 READ(10)
  2f VERIFY(10); 34 PRE-FETCH(10); 37 READ DEFECT DATA(10); 3c READ BUFFER(10)
  4d LOG SENSE; 5a MODE SENSE(10); 5e PERSISTENT RESERVE IN; 88 READ(16)
  8c READ ATTRIBUTE; 8f VERIFY(16); 90 PRE-FETCH(16); 95 ZBC IN
  9b READ BUFFER(16); 9e SERVICE ACTION IN(16); a0 REPORT LUNS
  a2 SECURITY PROTOCOL IN; a3 MAINTENANCE IN; a8 READ(12); af VERIFY(12)
  b7 READ DEFECT DATA(12)`);

/** Commands that may change the data on the device, or its state. */
const changingCommand = codeNames(`
  04 FORMAT UNIT; 07 REASSIGN BLOCKS; 0a WRITE(6); 15 MODE SELECT(6)
  1b START STOP UNIT; 1d SEND DIAGNOSTIC; 1e PREVENT ALLOW MEDIUM REMOVAL
  2a WRITE(10); 2e WRITE AND VERIFY(10); 35 SYNCHRONIZE CACHE(10)
  3b WRITE BUFFER; 41 WRITE SAME(10); 42 UNMAP; 48 SANITIZE; 4c LOG SELECT
  55 MODE SELECT(10); 5f PERSISTENT RESERVE OUT; 7f VARIABLE LENGTH COMMAND
  83 EXTENDED COPY; 85 ATA PASS-THROUGH(16); 89 COMPARE AND WRITE; 8a WRITE(16)
  8e WRITE AND VERIFY(16); 91 SYNCHRONIZE CACHE(16); 93 WRITE SAME(16)
  94 ZBC OUT; 9a WRITE STREAM(16); 9c WRITE ATOMIC(16)
  9f SERVICE ACTION OUT(16); a1 ATA PASS-THROUGH(12); a4 MAINTENANCE OUT
  aa WRITE(12); ae WRITE AND VERIFY(12); b5 SECURITY PROTOCOL OUT`);

/** Commands with a service action, in the low 5 bits of the second byte. */
const serviceAction = codeNames(`
  9401 CLOSE ZONE; 9402 FINISH ZONE; 9403 OPEN ZONE; 9404 RESET WRITE POINTER
  9500 REPORT ZONES; 9e10 READ CAPACITY(16); 9e11 READ LONG(16)
  9e12 GET LBA STATUS(16); 9e17 GET PHYSICAL ELEMENT STATUS
  a305 REPORT IDENTIFYING INFORMATION; a30a REPORT TARGET PORT GROUPS
  a30c REPORT SUPPORTED OPERATION CODES; a30f REPORT TIMESTAMP`);

/** Returns the name of a command, such as `"READ(10)"`. */
export function commandName(cdb: Uint8Array): string {
  const [opcode, second] = cdb;
  return serviceAction(opcode << 8 | second & 0x1f) ?? readingCommand(opcode) ??
    changingCommand(opcode) ?? `command ${hex(opcode)}`;
}

/** Returns `true` for a command that is known to change nothing. */
export function onlyReads(cdb: Uint8Array): boolean {
  return readingCommand(cdb[0]) !== undefined;
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
 * `"Unrecovered read error"`; empty for a pair that this library does not have.
 */
export function senseText(asc: number, ascq: number): string {
  // For these two codes only, the qualifier is a number.
  if (asc === 0x40 && ascq >= 0x80) {
    return `Diagnostic failure on component ${hex(ascq)}`;
  }
  if (asc === 0x4d) return `Tagged overlapped commands, tag ${hex(ascq)}`;
  const text = knownSense(asc << 8 | ascq);
  if (text !== undefined) return text;
  return asc >= 0x80 || ascq >= 0x80 ? "Vendor specific" : "";
}

/** The pairs of code and qualifier that block devices use, of hundreds. */
const knownSense = codeNames(`
  0000 No additional sense information; 0001 Filemark detected
  0002 End-of-partition/medium detected; 0005 End-of-data detected
  001d ATA pass through information available
  0300 Peripheral device write fault; 0302 Excessive write errors
  0400 Logical unit not ready, cause not reportable
  0401 Logical unit is in process of becoming ready
  0402 Logical unit not ready, initializing command required
  0403 Logical unit not ready, manual intervention required
  0404 Logical unit not ready, format in progress
  0405 Logical unit not ready, rebuild in progress
  0406 Logical unit not ready, recalculation in progress
  0407 Logical unit not ready, operation in progress
  0409 Logical unit not ready, self-test in progress
  040a Logical unit not accessible, asymmetric access state transition
  040b Logical unit not accessible, target port in standby state
  040c Logical unit not accessible, target port in unavailable state
  0411 Logical unit not ready, notify (enable spinup) required
  0412 Logical unit not ready, offline
  0414 Logical unit not ready, space allocation in progress
  041a Logical unit not ready, start stop unit command in progress
  041b Logical unit not ready, sanitize in progress
  041c Logical unit not ready, additional power use not yet granted
  041d Logical unit not ready, configuration in progress
  041e Logical unit not ready, microcode activation required
  041f Logical unit not ready, microcode download required
  0420 Logical unit not ready, logical unit reset required
  0421 Logical unit not ready, hard reset required
  0422 Logical unit not ready, power cycle required
  0424 Depopulation in progress; 0425 Depopulation restoration in progress
  0500 Logical unit does not respond to selection
  0800 Logical unit communication failure
  0801 Logical unit communication time-out
  0802 Logical unit communication parity error; 0b00 Warning
  0b01 Warning - specified temperature exceeded
  0b02 Warning - enclosure degraded; 0b03 Warning - background self-test failed
  0b04 Warning - background pre-scan detected medium error
  0b05 Warning - background medium scan detected medium error
  0b06 Warning - non-volatile cache now volatile
  0b07 Warning - degraded power to non-volatile cache
  0b08 Warning - power loss expected; 0c00 Write error
  0c01 Write error - recovered with auto reallocation
  0c02 Write error - auto reallocation failed
  0c03 Write error - recommend reassignment; 0c07 Write error - recovery needed
  1000 ID CRC or ECC error; 1001 Logical block guard check failed
  1002 Logical block application tag check failed
  1003 Logical block reference tag check failed; 1100 Unrecovered read error
  1101 Read retries exhausted; 1102 Error too long to correct
  1103 Multiple read errors
  1104 Unrecovered read error - auto reallocate failed
  110b Unrecovered read error - recommend reassignment
  110c Unrecovered read error - recommend rewrite the data
  1114 Read error - LBA marked bad by application client
  1115 Write after sanitize required
  1700 Recovered data with no error correction applied
  1701 Recovered data with retries
  1706 Recovered data without ECC - data auto-reallocated
  1707 Recovered data without ECC - recommend reassignment
  1708 Recovered data without ECC - recommend rewrite
  1709 Recovered data without ECC - data rewritten
  1800 Recovered data with error correction applied
  1801 Recovered data with error correction and retries applied
  1802 Recovered data - data auto-reallocated
  1805 Recovered data - recommend reassignment
  1806 Recovered data - recommend rewrite
  1807 Recovered data with ECC - data rewritten
  1a00 Parameter list length error; 1d00 Miscompare during verify operation
  1d01 Miscompare verify of unmapped LBA; 2000 Invalid command operation code
  2002 Access denied - no access rights
  200c Illegal command when not in append-only mode
  2100 Logical block address out of range; 2102 Invalid address for write
  2104 Unaligned write command; 2105 Write boundary violation
  2106 Attempt to read invalid data; 2107 Read boundary violation
  2108 Misaligned write command; 2109 Attempt to access gap zone
  2400 Invalid field in CDB; 2500 Logical unit not supported
  2600 Invalid field in parameter list; 2601 Parameter not supported
  2602 Parameter value invalid; 2700 Write protected
  2701 Hardware write protected; 2702 Logical unit software write protected
  2704 Persistent write protect; 2707 Space allocation failed write protect
  2708 Zone is read only
  2800 Not ready to ready change, medium may have changed
  2900 Power on, reset, or bus device reset occurred; 2901 Power on occurred
  2902 SCSI bus reset occurred; 2904 Device internal reset
  2907 I_T nexus loss occurred; 2a00 Parameters changed
  2a01 Mode parameters changed; 2a02 Log parameters changed
  2a03 Reservations preempted; 2a04 Reservations released
  2a05 Registrations preempted; 2a06 Asymmetric access state changed
  2a09 Capacity data has changed; 2c00 Command sequence error
  2c0d Reset write pointer not allowed; 2c0e Zone is offline
  2c0f Stream not open; 2c10 Unwritten data in zone; 2c12 Zone is inactive
  2e00 Insufficient time for operation; 2e01 Command timeout before processing
  2e02 Command timeout during processing
  2e03 Command timeout during processing due to error recovery
  2f00 Commands cleared by another initiator
  2f01 Commands cleared by power loss notification
  2f02 Commands cleared by device server; 3000 Incompatible medium installed
  3001 Cannot read medium - unknown format; 3010 Medium not formatted
  3100 Medium format corrupted; 3101 Format command failed
  3103 Sanitize command failed; 3104 Depopulation failed
  3200 No defect spare location available; 3201 Defect list update failure
  3700 Rounded parameter; 3807 Thin provisioning soft threshold reached
  3900 Saving parameters not supported; 3a00 Medium not present
  3a01 Medium not present - tray closed; 3a02 Medium not present - tray open
  3e00 Logical unit has not self-configured yet; 3e01 Logical unit failure
  3e02 Timeout on logical unit; 3e03 Logical unit failed self-test
  3f01 Microcode has been changed; 3f03 Inquiry data has changed
  3f05 Device identifier changed; 3f0e Reported LUNs data has changed
  3f16 Microcode has been changed without reset; 4100 Data path failure
  4200 Power-on or self-test failure; 4400 Internal target failure
  4500 Select or reselect failure; 4700 SCSI parity error
  4701 Data phase CRC error detected; 4703 Information unit iuCRC error detected
  4b00 Data phase error; 4b02 Too much write data; 4b03 ACK/NAK timeout
  4b04 NAK received; 4b05 Data offset error; 4b06 Initiator response timeout
  4b07 Connection lost; 4c00 Logical unit failed self-configuration
  4e00 Overlapped commands attempted; 5302 Medium removal prevented
  5500 System resource failure; 5501 System buffer full
  5502 Insufficient reservation resources; 5503 Insufficient resources
  5504 Insufficient registration resources; 550a Data currently unavailable
  550b Insufficient power for operation; 550e Insufficient zone resources
  550f Insufficient zone resources to complete write
  5d00 Failure prediction threshold exceeded
  5d01 Media failure prediction threshold exceeded
  5d02 Logical unit failure prediction threshold exceeded
  5d10 Hardware impending failure general hard drive failure
  5d73 Media impending failure endurance limit met
  5dff Failure prediction threshold exceeded (false)
  5e00 Low power condition on; 5e01 Idle condition activated by timer
  5e02 Standby condition activated by timer
  5e03 Idle condition activated by command
  5e04 Standby condition activated by command; 6800 Logical unit not configured
  6900 Data loss on logical unit; 6e00 Command to logical unit failed
  7400 Security error; 7471 Logical unit access not authorized`);
