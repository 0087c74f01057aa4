/**
 * The names of numbers in the SCSI standards of T10, and in the kernel.
 *
 * @module
 */

/** Commands that change nothing: a descriptor for reading is enough for them. */
const READING: Readonly<Record<number, string>> = {
  0x00: "TEST UNIT READY",
  0x03: "REQUEST SENSE",
  0x08: "READ(6)",
  0x12: "INQUIRY",
  0x1a: "MODE SENSE(6)",
  0x1c: "RECEIVE DIAGNOSTIC RESULTS",
  0x25: "READ CAPACITY(10)",
  0x28: "READ(10)",
  0x2f: "VERIFY(10)",
  0x34: "PRE-FETCH(10)",
  0x37: "READ DEFECT DATA(10)",
  0x3c: "READ BUFFER(10)",
  0x4d: "LOG SENSE",
  0x5a: "MODE SENSE(10)",
  0x5e: "PERSISTENT RESERVE IN",
  0x88: "READ(16)",
  0x8c: "READ ATTRIBUTE",
  0x8f: "VERIFY(16)",
  0x90: "PRE-FETCH(16)",
  0x95: "ZBC IN",
  0x9b: "READ BUFFER(16)",
  0x9e: "SERVICE ACTION IN(16)",
  0xa0: "REPORT LUNS",
  0xa2: "SECURITY PROTOCOL IN",
  0xa3: "MAINTENANCE IN",
  0xa8: "READ(12)",
  0xaf: "VERIFY(12)",
  0xb7: "READ DEFECT DATA(12)",
};

/** Commands that may change the data on the device, or its state. */
const CHANGING: Readonly<Record<number, string>> = {
  0x04: "FORMAT UNIT",
  0x07: "REASSIGN BLOCKS",
  0x0a: "WRITE(6)",
  0x15: "MODE SELECT(6)",
  0x1b: "START STOP UNIT",
  0x1d: "SEND DIAGNOSTIC",
  0x1e: "PREVENT ALLOW MEDIUM REMOVAL",
  0x2a: "WRITE(10)",
  0x2e: "WRITE AND VERIFY(10)",
  0x35: "SYNCHRONIZE CACHE(10)",
  0x3b: "WRITE BUFFER",
  0x41: "WRITE SAME(10)",
  0x42: "UNMAP",
  0x48: "SANITIZE",
  0x4c: "LOG SELECT",
  0x55: "MODE SELECT(10)",
  0x5f: "PERSISTENT RESERVE OUT",
  0x7f: "VARIABLE LENGTH COMMAND",
  0x83: "EXTENDED COPY",
  0x85: "ATA PASS-THROUGH(16)",
  0x89: "COMPARE AND WRITE",
  0x8a: "WRITE(16)",
  0x8e: "WRITE AND VERIFY(16)",
  0x91: "SYNCHRONIZE CACHE(16)",
  0x93: "WRITE SAME(16)",
  0x94: "ZBC OUT",
  0x9a: "WRITE STREAM(16)",
  0x9c: "WRITE ATOMIC(16)",
  0x9f: "SERVICE ACTION OUT(16)",
  0xa1: "ATA PASS-THROUGH(12)",
  0xa4: "MAINTENANCE OUT",
  0xaa: "WRITE(12)",
  0xae: "WRITE AND VERIFY(12)",
  0xb5: "SECURITY PROTOCOL OUT",
};

/** Commands with a service action, in the low 5 bits of the second byte. */
const SERVICE_ACTIONS: Readonly<Record<number, string>> = {
  0x9401: "CLOSE ZONE",
  0x9402: "FINISH ZONE",
  0x9403: "OPEN ZONE",
  0x9404: "RESET WRITE POINTER",
  0x9500: "REPORT ZONES",
  0x9e10: "READ CAPACITY(16)",
  0x9e11: "READ LONG(16)",
  0x9e12: "GET LBA STATUS(16)",
  0x9e17: "GET PHYSICAL ELEMENT STATUS",
  0xa305: "REPORT IDENTIFYING INFORMATION",
  0xa30a: "REPORT TARGET PORT GROUPS",
  0xa30c: "REPORT SUPPORTED OPERATION CODES",
  0xa30f: "REPORT TIMESTAMP",
};

/** Returns the name of a command, such as `"READ(10)"`. */
export function commandName(cdb: Uint8Array): string {
  const [opcode, second] = cdb;
  return SERVICE_ACTIONS[opcode << 8 | second & 0x1f] ?? READING[opcode] ??
    CHANGING[opcode] ?? `command ${hex(opcode)}`;
}

/** Returns `true` for a command that is known to change nothing. */
export function onlyReads(cdb: Uint8Array): boolean {
  return cdb[0] in READING;
}

/** Formats a byte as T10 does: `"11h"`. */
export function hex(value: number): string {
  return `${value.toString(16).toUpperCase().padStart(2, "0")}h`;
}

/** The statuses of commands. */
const STATUSES: Readonly<Record<number, string>> = {
  0x00: "GOOD",
  0x02: "CHECK CONDITION",
  0x04: "CONDITION MET",
  0x08: "BUSY",
  0x10: "INTERMEDIATE",
  0x14: "INTERMEDIATE-CONDITION MET",
  0x18: "RESERVATION CONFLICT",
  0x22: "COMMAND TERMINATED",
  0x28: "TASK SET FULL",
  0x30: "ACA ACTIVE",
  0x40: "TASK ABORTED",
};

/** Returns the name of a SCSI status, such as `"CHECK CONDITION"`. */
export function statusName(status: number): string {
  return STATUSES[status] ?? `status ${hex(status)}`;
}

/** The host statuses of the kernel's drivers, from 0 on. */
const HOST_STATUSES = [
  ...["DID_OK", "DID_NO_CONNECT", "DID_BUS_BUSY", "DID_TIME_OUT"],
  ...["DID_BAD_TARGET", "DID_ABORT", "DID_PARITY", "DID_ERROR", "DID_RESET"],
  ...["DID_BAD_INTR", "DID_PASSTHROUGH", "DID_SOFT_ERROR", "DID_IMM_RETRY"],
  ...["DID_REQUEUE", "DID_TRANSPORT_DISRUPTED", "DID_TRANSPORT_FAILFAST"],
  ...["DID_TARGET_FAILURE", "DID_NEXUS_FAILURE", "DID_ALLOC_FAILURE"],
  ...["DID_MEDIUM_ERROR", "DID_TRANSPORT_MARGINAL"],
];

/** Returns the kernel's name of a host status, such as `"DID_TIME_OUT"`. */
export function hostStatusName(status: number): string {
  return HOST_STATUSES[status] ?? `host status ${hex(status)}`;
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
  const text = TEXTS[asc << 8 | ascq];
  if (text !== undefined) return text;
  return asc >= 0x80 || ascq >= 0x80 ? "Vendor specific" : "";
}

/** The pairs of code and qualifier that block devices use, of hundreds. */
const TEXTS: Readonly<Record<number, string>> = {
  0x0000: "No additional sense information",
  0x0001: "Filemark detected",
  0x0002: "End-of-partition/medium detected",
  0x0005: "End-of-data detected",
  0x001d: "ATA pass through information available",
  0x0300: "Peripheral device write fault",
  0x0302: "Excessive write errors",
  0x0400: "Logical unit not ready, cause not reportable",
  0x0401: "Logical unit is in process of becoming ready",
  0x0402: "Logical unit not ready, initializing command required",
  0x0403: "Logical unit not ready, manual intervention required",
  0x0404: "Logical unit not ready, format in progress",
  0x0405: "Logical unit not ready, rebuild in progress",
  0x0406: "Logical unit not ready, recalculation in progress",
  0x0407: "Logical unit not ready, operation in progress",
  0x0409: "Logical unit not ready, self-test in progress",
  0x040a: "Logical unit not accessible, asymmetric access state transition",
  0x040b: "Logical unit not accessible, target port in standby state",
  0x040c: "Logical unit not accessible, target port in unavailable state",
  0x0411: "Logical unit not ready, notify (enable spinup) required",
  0x0412: "Logical unit not ready, offline",
  0x0414: "Logical unit not ready, space allocation in progress",
  0x041a: "Logical unit not ready, start stop unit command in progress",
  0x041b: "Logical unit not ready, sanitize in progress",
  0x041c: "Logical unit not ready, additional power use not yet granted",
  0x041d: "Logical unit not ready, configuration in progress",
  0x041e: "Logical unit not ready, microcode activation required",
  0x041f: "Logical unit not ready, microcode download required",
  0x0420: "Logical unit not ready, logical unit reset required",
  0x0421: "Logical unit not ready, hard reset required",
  0x0422: "Logical unit not ready, power cycle required",
  0x0424: "Depopulation in progress",
  0x0425: "Depopulation restoration in progress",
  0x0500: "Logical unit does not respond to selection",
  0x0800: "Logical unit communication failure",
  0x0801: "Logical unit communication time-out",
  0x0802: "Logical unit communication parity error",
  0x0b00: "Warning",
  0x0b01: "Warning - specified temperature exceeded",
  0x0b02: "Warning - enclosure degraded",
  0x0b03: "Warning - background self-test failed",
  0x0b04: "Warning - background pre-scan detected medium error",
  0x0b05: "Warning - background medium scan detected medium error",
  0x0b06: "Warning - non-volatile cache now volatile",
  0x0b07: "Warning - degraded power to non-volatile cache",
  0x0b08: "Warning - power loss expected",
  0x0c00: "Write error",
  0x0c01: "Write error - recovered with auto reallocation",
  0x0c02: "Write error - auto reallocation failed",
  0x0c03: "Write error - recommend reassignment",
  0x0c07: "Write error - recovery needed",
  0x1000: "ID CRC or ECC error",
  0x1001: "Logical block guard check failed",
  0x1002: "Logical block application tag check failed",
  0x1003: "Logical block reference tag check failed",
  0x1100: "Unrecovered read error",
  0x1101: "Read retries exhausted",
  0x1102: "Error too long to correct",
  0x1103: "Multiple read errors",
  0x1104: "Unrecovered read error - auto reallocate failed",
  0x110b: "Unrecovered read error - recommend reassignment",
  0x110c: "Unrecovered read error - recommend rewrite the data",
  0x1114: "Read error - LBA marked bad by application client",
  0x1115: "Write after sanitize required",
  0x1700: "Recovered data with no error correction applied",
  0x1701: "Recovered data with retries",
  0x1706: "Recovered data without ECC - data auto-reallocated",
  0x1707: "Recovered data without ECC - recommend reassignment",
  0x1708: "Recovered data without ECC - recommend rewrite",
  0x1709: "Recovered data without ECC - data rewritten",
  0x1800: "Recovered data with error correction applied",
  0x1801: "Recovered data with error correction and retries applied",
  0x1802: "Recovered data - data auto-reallocated",
  0x1805: "Recovered data - recommend reassignment",
  0x1806: "Recovered data - recommend rewrite",
  0x1807: "Recovered data with ECC - data rewritten",
  0x1a00: "Parameter list length error",
  0x1d00: "Miscompare during verify operation",
  0x1d01: "Miscompare verify of unmapped LBA",
  0x2000: "Invalid command operation code",
  0x2002: "Access denied - no access rights",
  0x200c: "Illegal command when not in append-only mode",
  0x2100: "Logical block address out of range",
  0x2102: "Invalid address for write",
  0x2104: "Unaligned write command",
  0x2105: "Write boundary violation",
  0x2106: "Attempt to read invalid data",
  0x2107: "Read boundary violation",
  0x2108: "Misaligned write command",
  0x2109: "Attempt to access gap zone",
  0x2400: "Invalid field in CDB",
  0x2500: "Logical unit not supported",
  0x2600: "Invalid field in parameter list",
  0x2601: "Parameter not supported",
  0x2602: "Parameter value invalid",
  0x2700: "Write protected",
  0x2701: "Hardware write protected",
  0x2702: "Logical unit software write protected",
  0x2704: "Persistent write protect",
  0x2707: "Space allocation failed write protect",
  0x2708: "Zone is read only",
  0x2800: "Not ready to ready change, medium may have changed",
  0x2900: "Power on, reset, or bus device reset occurred",
  0x2901: "Power on occurred",
  0x2902: "SCSI bus reset occurred",
  0x2904: "Device internal reset",
  0x2907: "I_T nexus loss occurred",
  0x2a00: "Parameters changed",
  0x2a01: "Mode parameters changed",
  0x2a02: "Log parameters changed",
  0x2a03: "Reservations preempted",
  0x2a04: "Reservations released",
  0x2a05: "Registrations preempted",
  0x2a06: "Asymmetric access state changed",
  0x2a09: "Capacity data has changed",
  0x2c00: "Command sequence error",
  0x2c0d: "Reset write pointer not allowed",
  0x2c0e: "Zone is offline",
  0x2c0f: "Stream not open",
  0x2c10: "Unwritten data in zone",
  0x2c12: "Zone is inactive",
  0x2e00: "Insufficient time for operation",
  0x2e01: "Command timeout before processing",
  0x2e02: "Command timeout during processing",
  0x2e03: "Command timeout during processing due to error recovery",
  0x2f00: "Commands cleared by another initiator",
  0x2f01: "Commands cleared by power loss notification",
  0x2f02: "Commands cleared by device server",
  0x3000: "Incompatible medium installed",
  0x3001: "Cannot read medium - unknown format",
  0x3010: "Medium not formatted",
  0x3100: "Medium format corrupted",
  0x3101: "Format command failed",
  0x3103: "Sanitize command failed",
  0x3104: "Depopulation failed",
  0x3200: "No defect spare location available",
  0x3201: "Defect list update failure",
  0x3700: "Rounded parameter",
  0x3807: "Thin provisioning soft threshold reached",
  0x3900: "Saving parameters not supported",
  0x3a00: "Medium not present",
  0x3a01: "Medium not present - tray closed",
  0x3a02: "Medium not present - tray open",
  0x3e00: "Logical unit has not self-configured yet",
  0x3e01: "Logical unit failure",
  0x3e02: "Timeout on logical unit",
  0x3e03: "Logical unit failed self-test",
  0x3f01: "Microcode has been changed",
  0x3f03: "Inquiry data has changed",
  0x3f05: "Device identifier changed",
  0x3f0e: "Reported LUNs data has changed",
  0x3f16: "Microcode has been changed without reset",
  0x4100: "Data path failure",
  0x4200: "Power-on or self-test failure",
  0x4400: "Internal target failure",
  0x4500: "Select or reselect failure",
  0x4700: "SCSI parity error",
  0x4701: "Data phase CRC error detected",
  0x4703: "Information unit iuCRC error detected",
  0x4b00: "Data phase error",
  0x4b02: "Too much write data",
  0x4b03: "ACK/NAK timeout",
  0x4b04: "NAK received",
  0x4b05: "Data offset error",
  0x4b06: "Initiator response timeout",
  0x4b07: "Connection lost",
  0x4c00: "Logical unit failed self-configuration",
  0x4e00: "Overlapped commands attempted",
  0x5302: "Medium removal prevented",
  0x5500: "System resource failure",
  0x5501: "System buffer full",
  0x5502: "Insufficient reservation resources",
  0x5503: "Insufficient resources",
  0x5504: "Insufficient registration resources",
  0x550a: "Data currently unavailable",
  0x550b: "Insufficient power for operation",
  0x550e: "Insufficient zone resources",
  0x550f: "Insufficient zone resources to complete write",
  0x5d00: "Failure prediction threshold exceeded",
  0x5d01: "Media failure prediction threshold exceeded",
  0x5d02: "Logical unit failure prediction threshold exceeded",
  0x5d10: "Hardware impending failure general hard drive failure",
  0x5d73: "Media impending failure endurance limit met",
  0x5dff: "Failure prediction threshold exceeded (false)",
  0x5e00: "Low power condition on",
  0x5e01: "Idle condition activated by timer",
  0x5e02: "Standby condition activated by timer",
  0x5e03: "Idle condition activated by command",
  0x5e04: "Standby condition activated by command",
  0x6800: "Logical unit not configured",
  0x6900: "Data loss on logical unit",
  0x6e00: "Command to logical unit failed",
  0x7400: "Security error",
  0x7471: "Logical unit access not authorized",
};
