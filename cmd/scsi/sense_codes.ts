/**
 * The additional sense codes of T10, as of its list of 2024-11-28.
 *
 * @module
 */

/**
 * Returns the text of an additional sense code and its qualifier; `undefined` for
 * a pair that T10 has not assigned.
 */
export function senseCodeText(asc: number, ascq: number): string | undefined {
  texts ??= parse(TABLE);
  return texts.get(asc << 8 | ascq);
}

let texts: ReadonlyMap<number, string> | undefined;

/** Parses the table at its first use, so that an import costs nothing. */
function parse(table: string): ReadonlyMap<number, string> {
  let asc = "";
  return new Map(
    table.split(";").map((entry) => {
      const [code, ...words] = entry.trim().split(/\s+/);
      asc = code.length > 2 ? code.slice(0, 2) : asc;
      return [parseInt(asc + code.slice(-2), 16), words.join(" ")];
    }),
  );
}

/**
 * An entry is the code in hexadecimal and its text. The code is the
 * qualifier alone if the additional sense code is that of the entry before.
 */
const TABLE = `
  0000 No additional sense information; 01 Filemark detected;
  02 End-of-partition/medium detected; 03 Setmark detected;
  04 Beginning-of-partition/medium detected; 05 End-of-data detected; 06 I/O
  process terminated; 07 Programmable early warning detected; 11 Audio play
  operation in progress; 12 Audio play operation paused; 13 Audio play operation
  successfully completed; 14 Audio play operation stopped due to error; 15 No
  current audio status to return; 16 Operation in progress; 17 Cleaning
  requested; 18 Erase operation in progress; 19 Locate operation in progress;
  1a Rewind operation in progress; 1b Set capacity operation in progress;
  1c Verify operation in progress; 1d ATA pass through information available;
  1e Conflicting SA creation request; 1f Logical unit transitioning to another
  power condition; 20 Extended copy information available; 21 Atomic command
  aborted due to ACA; 22 Deferred microcode is pending; 23 Overlapping atomic
  command in progress; 0100 No index/sector signal; 0200 No seek complete;
  0300 Peripheral device write fault; 01 No write current; 02 Excessive write
  errors; 0400 Logical unit not ready, cause not reportable; 01 Logical unit is
  in process of becoming ready; 02 Logical unit not ready, initializing command
  required; 03 Logical unit not ready, manual intervention required; 04 Logical
  unit not ready, format in progress; 05 Logical unit not ready, rebuild in
  progress; 06 Logical unit not ready, recalculation in progress; 07 Logical
  unit not ready, operation in progress; 08 Logical unit not ready, long write
  in progress; 09 Logical unit not ready, self-test in progress; 0a Logical unit
  not accessible, asymmetric access state transition; 0b Logical unit not
  accessible, target port in standby state; 0c Logical unit not accessible,
  target port in unavailable state; 0d Logical unit not ready, structure check
  required; 0e Logical unit not ready, security session in progress; 10 Logical
  unit not ready, auxiliary memory not accessible; 11 Logical unit not ready,
  notify (enable spinup) required; 12 Logical unit not ready, offline;
  13 Logical unit not ready, SA creation in progress; 14 Logical unit not ready,
  space allocation in progress; 15 Logical unit not ready, robotics disabled;
  16 Logical unit not ready, configuration required; 17 Logical unit not ready,
  calibration required; 18 Logical unit not ready, a door is open; 19 Logical
  unit not ready, operating in sequential mode; 1a Logical unit not ready, start
  stop unit command in progress; 1b Logical unit not ready, sanitize in
  progress; 1c Logical unit not ready, additional power use not yet granted;
  1d Logical unit not ready, configuration in progress; 1e Logical unit not
  ready, microcode activation required; 1f Logical unit not ready, microcode
  download required; 20 Logical unit not ready, logical unit reset required;
  21 Logical unit not ready, hard reset required; 22 Logical unit not ready,
  power cycle required; 23 Logical unit not ready, affiliation required;
  24 Depopulation in progress; 25 Depopulation restoration in progress;
  0500 Logical unit does not respond to selection; 0600 No reference position
  found; 0700 Multiple peripheral devices selected; 0800 Logical unit
  communication failure; 01 Logical unit communication time-out; 02 Logical unit
  communication parity error; 03 Logical unit communication CRC error
  (Ultra-DMA/32); 04 Unreachable copy target; 0900 Track following error;
  01 Tracking servo failure; 02 Focus servo failure; 03 Spindle servo failure;
  04 Head select fault; 05 Vibration induced tracking error; 0a00 Error log
  overflow; 0b00 Warning; 01 Warning - specified temperature exceeded;
  02 Warning - enclosure degraded; 03 Warning - background self-test failed;
  04 Warning - background pre-scan detected medium error; 05 Warning -
  background medium scan detected medium error; 06 Warning - non-volatile cache
  now volatile; 07 Warning - degraded power to non-volatile cache; 08 Warning -
  power loss expected; 09 Warning - device statistics notification active;
  0a Warning - high critical temperature limit exceeded; 0b Warning - low
  critical temperature limit exceeded; 0c Warning - high operating temperature
  limit exceeded; 0d Warning - low operating temperature limit exceeded;
  0e Warning - high critical humidity limit exceeded; 0f Warning - low critical
  humidity limit exceeded; 10 Warning - high operating humidity limit exceeded;
  11 Warning - low operating humidity limit exceeded; 12 Warning - microcode
  security at risk; 13 Warning - microcode digital signature validation failure;
  14 Warning - physical element status change; 0c00 Write error; 01 Write error
  - recovered with auto reallocation; 02 Write error - auto reallocation failed;
  03 Write error - recommend reassignment; 04 Compression check miscompare
  error; 05 Data expansion occurred during compression; 06 Block not
  compressible; 07 Write error - recovery needed; 08 Write error - recovery
  failed; 09 Write error - loss of streaming; 0a Write error - padding blocks
  added; 0b Auxiliary memory write error; 0c Write error - unexpected
  unsolicited data; 0d Write error - not enough unsolicited data; 0e Multiple
  write errors; 0f Defects in error window; 10 Incomplete multiple atomic write
  operations; 11 Write error - recovery scan needed; 12 Write error -
  insufficient zone resources; 0d00 Error detected by third party temporary
  initiator; 01 Third party device failure; 02 Copy target device not reachable;
  03 Incorrect copy target device type; 04 Copy target device data underrun;
  05 Copy target device data overrun; 0e00 Invalid information unit;
  01 Information unit too short; 02 Information unit too long; 03 Invalid field
  in command information unit; 1000 ID CRC or ECC error; 01 Logical block guard
  check failed; 02 Logical block application tag check failed; 03 Logical block
  reference tag check failed; 04 Logical block protection error on recover
  buffered data; 05 Logical block protection method error; 1100 Unrecovered read
  error; 01 Read retries exhausted; 02 Error too long to correct; 03 Multiple
  read errors; 04 Unrecovered read error - auto reallocate failed; 05 L-EC
  uncorrectable error; 06 CIRC unrecovered error; 07 Data re-synchronization
  error; 08 Incomplete block read; 09 No gap found; 0a Miscorrected error;
  0b Unrecovered read error - recommend reassignment; 0c Unrecovered read error
  - recommend rewrite the data; 0d De-compression CRC error; 0e Cannot
  decompress using declared algorithm; 0f Error reading UPC/EAN number; 10 Error
  reading ISRC number; 11 Read error - loss of streaming; 12 Auxiliary memory
  read error; 13 Read error - failed retransmission request; 14 Read error - LBA
  marked bad by application client; 15 Write after sanitize required;
  1200 Address mark not found for ID field; 1300 Address mark not found for data
  field; 1400 Recorded entity not found; 01 Record not found; 02 Filemark or
  setmark not found; 03 End-of-data not found; 04 Block sequence error;
  05 Record not found - recommend reassignment; 06 Record not found - data
  auto-reallocated; 07 Locate operation failure; 1500 Random positioning error;
  01 Mechanical positioning error; 02 Positioning error detected by read of
  medium; 1600 Data synchronization mark error; 01 Data sync error - data
  rewritten; 02 Data sync error - recommend rewrite; 03 Data sync error - data
  auto-reallocated; 04 Data sync error - recommend reassignment; 1700 Recovered
  data with no error correction applied; 01 Recovered data with retries;
  02 Recovered data with positive head offset; 03 Recovered data with negative
  head offset; 04 Recovered data with retries and/or circ applied; 05 Recovered
  data using previous sector ID; 06 Recovered data without ECC - data
  auto-reallocated; 07 Recovered data without ECC - recommend reassignment;
  08 Recovered data without ECC - recommend rewrite; 09 Recovered data without
  ECC - data rewritten; 1800 Recovered data with error correction applied;
  01 Recovered data with error correction and retries applied; 02 Recovered data
  - data auto-reallocated; 03 Recovered data with CIRC; 04 Recovered data with
  L-EC; 05 Recovered data - recommend reassignment; 06 Recovered data -
  recommend rewrite; 07 Recovered data with ECC - data rewritten; 08 Recovered
  data with linking; 1900 Defect list error; 01 Defect list not available;
  02 Defect list error in primary list; 03 Defect list error in grown list;
  1a00 Parameter list length error; 1b00 Synchronous data transfer error;
  1c00 Defect list not found; 01 Primary defect list not found; 02 Grown defect
  list not found; 1d00 Miscompare during verify operation; 01 Miscompare verify
  of unmapped LBA; 1e00 Recovered ID with ECC correction; 1f00 Partial defect
  list transfer; 2000 Invalid command operation code; 01 Access denied -
  initiator pending-enrolled; 02 Access denied - no access rights; 03 Access
  denied - invalid management ID key; 04 Illegal command while in write capable
  state; 05 Write type operation while in read capable state; 06 Illegal command
  while in explicit address mode; 07 Illegal command while in implicit address
  mode; 08 Access denied - enrollment conflict; 09 Access denied - invalid LU
  identifier; 0a Access denied - invalid proxy token; 0b Access denied - ACL LUN
  conflict; 0c Illegal command when not in append-only mode; 0d Not an
  administrative logical unit; 0e Not a subsidiary logical unit; 0f Not a
  conglomerate logical unit; 2100 Logical block address out of range; 01 Invalid
  element address; 02 Invalid address for write; 03 Invalid write crossing layer
  jump; 04 Unaligned write command; 05 Write boundary violation; 06 Attempt to
  read invalid data; 07 Read boundary violation; 08 Misaligned write command;
  09 Attempt to access gap zone; 2200 Illegal function (use 20 00, 24 00, or 26
  00); 2300 Invalid token operation, cause not reportable; 01 Invalid token
  operation, unsupported token type; 02 Invalid token operation, remote token
  usage not supported; 03 Invalid token operation, remote ROD token creation not
  supported; 04 Invalid token operation, token unknown; 05 Invalid token
  operation, token corrupt; 06 Invalid token operation, token revoked;
  07 Invalid token operation, token expired; 08 Invalid token operation, token
  cancelled; 09 Invalid token operation, token deleted; 0a Invalid token
  operation, invalid token length; 2400 Invalid field in CDB; 01 CDB decryption
  error; 02 Invalid CDB field while in explicit block model; 03 Invalid CDB
  field while in implicit block model; 04 Security audit value frozen;
  05 Security working key frozen; 06 Nonce not unique; 07 Nonce timestamp out of
  range; 08 Invalid XCDB; 09 Invalid fast format; 2500 Logical unit not
  supported; 2600 Invalid field in parameter list; 01 Parameter not supported;
  02 Parameter value invalid; 03 Threshold parameters not supported; 04 Invalid
  release of persistent reservation; 05 Data decryption error; 06 Too many
  target descriptors; 07 Unsupported target descriptor type code; 08 Too many
  segment descriptors; 09 Unsupported segment descriptor type code;
  0a Unexpected inexact segment; 0b Inline data length exceeded; 0c Invalid
  operation for copy source or destination; 0d Copy segment granularity
  violation; 0e Invalid parameter while port is enabled; 0f Invalid data-out
  buffer integrity check value; 10 Data decryption key fail limit reached;
  11 Incomplete key-associated data set; 12 Vendor specific key reference not
  found; 13 Application tag mode page is invalid; 14 Tape stream mirroring
  prevented; 15 Copy source or copy destination not authorized; 16 Fast copy not
  possible; 2700 Write protected; 01 Hardware write protected; 02 Logical unit
  software write protected; 03 Associated write protect; 04 Persistent write
  protect; 05 Permanent write protect; 06 Conditional write protect; 07 Space
  allocation failed write protect; 08 Zone is read only; 2800 Not ready to ready
  change, medium may have changed; 01 Import or export element accessed;
  02 Format-layer may have changed; 03 Import/export element accessed, medium
  changed; 2900 Power on, reset, or bus device reset occurred; 01 Power on
  occurred; 02 SCSI bus reset occurred; 03 Bus device reset function occurred;
  04 Device internal reset; 05 Transceiver mode changed to single-ended;
  06 Transceiver mode changed to LVD; 07 I_T nexus loss occurred;
  2a00 Parameters changed; 01 Mode parameters changed; 02 Log parameters
  changed; 03 Reservations preempted; 04 Reservations released; 05 Registrations
  preempted; 06 Asymmetric access state changed; 07 Implicit asymmetric access
  state transition failed; 08 Priority changed; 09 Capacity data has changed;
  0a Error history I_T nexus cleared; 0b Error history snapshot released;
  0c Error recovery attributes have changed; 0d Data encryption capabilities
  changed; 10 Timestamp changed; 11 Data encryption parameters changed by
  another I_T nexus; 12 Data encryption parameters changed by vendor specific
  event; 13 Data encryption key instance counter has changed; 14 SA creation
  capabilities data has changed; 15 Medium removal prevention preempted; 16 Zone
  reset write pointer recommended; 2b00 Copy cannot execute since host cannot
  disconnect; 2c00 Command sequence error; 01 Too many windows specified;
  02 Invalid combination of windows specified; 03 Current program area is not
  empty; 04 Current program area is empty; 05 Illegal power condition request;
  06 Persistent prevent conflict; 07 Previous busy status; 08 Previous task set
  full status; 09 Previous reservation conflict status; 0a Partition or
  collection contains user objects; 0b Not reserved; 0c ORWRITE generation does
  not match; 0d Reset write pointer not allowed; 0e Zone is offline; 0f Stream
  not open; 10 Unwritten data in zone; 11 Descriptor format sense data required;
  12 Zone is inactive; 13 Well known logical unit access required;
  2d00 Overwrite error on update in place; 2e00 Insufficient time for operation;
  01 Command timeout before processing; 02 Command timeout during processing;
  03 Command timeout during processing due to error recovery; 2f00 Commands
  cleared by another initiator; 01 Commands cleared by power loss notification;
  02 Commands cleared by device server; 03 Some commands cleared by queuing
  layer event; 3000 Incompatible medium installed; 01 Cannot read medium -
  unknown format; 02 Cannot read medium - incompatible format; 03 Cleaning
  cartridge installed; 04 Cannot write medium - unknown format; 05 Cannot write
  medium - incompatible format; 06 Cannot format medium - incompatible medium;
  07 Cleaning failure; 08 Cannot write - application code mismatch; 09 Current
  session not fixated for append; 0a Cleaning request rejected; 0b Cleaning tape
  expired; 0c WORM medium - overwrite attempted; 0d WORM medium - integrity
  check; 10 Medium not formatted; 11 Incompatible volume type; 12 Incompatible
  volume qualifier; 13 Cleaning volume expired; 3100 Medium format corrupted;
  01 Format command failed; 02 Zoned formatting failed due to spare linking;
  03 Sanitize command failed; 04 Depopulation failed; 05 Depopulation
  restoration failed; 3200 No defect spare location available; 01 Defect list
  update failure; 3300 Tape length error; 3400 Enclosure failure; 3500 Enclosure
  services failure; 01 Unsupported enclosure function; 02 Enclosure services
  unavailable; 03 Enclosure services transfer failure; 04 Enclosure services
  transfer refused; 05 Enclosure services checksum error; 3600 Ribbon, ink, or
  toner failure; 3700 Rounded parameter; 3800 Event status notification; 02 Esn
  - power management class event; 04 Esn - media class event; 06 Esn - device
  busy class event; 07 Thin provisioning soft threshold reached; 08 Depopulation
  interrupted; 09 Depopulation restoration interrupted; 3900 Saving parameters
  not supported; 3a00 Medium not present; 01 Medium not present - tray closed;
  02 Medium not present - tray open; 03 Medium not present - loadable; 04 Medium
  not present - medium auxiliary memory accessible; 3b00 Sequential positioning
  error; 01 Tape position error at beginning-of-medium; 02 Tape position error
  at end-of-medium; 03 Tape or electronic vertical forms unit not ready; 04 Slew
  failure; 05 Paper jam; 06 Failed to sense top-of-form; 07 Failed to sense
  bottom-of-form; 08 Reposition error; 09 Read past end of medium; 0a Read past
  beginning of medium; 0b Position past end of medium; 0c Position past
  beginning of medium; 0d Medium destination element full; 0e Medium source
  element empty; 0f End of medium reached; 11 Medium magazine not accessible;
  12 Medium magazine removed; 13 Medium magazine inserted; 14 Medium magazine
  locked; 15 Medium magazine unlocked; 16 Mechanical positioning or changer
  error; 17 Read past end of user object; 18 Element disabled; 19 Element
  enabled; 1a Data transfer device removed; 1b Data transfer device inserted;
  1c Too many logical objects on partition to support operation; 20 Element
  static information changed; 3d00 Invalid bits in identify message;
  3e00 Logical unit has not self-configured yet; 01 Logical unit failure;
  02 Timeout on logical unit; 03 Logical unit failed self-test; 04 Logical unit
  unable to update self-test log; 3f00 Target operating conditions have changed;
  01 Microcode has been changed; 02 Changed operating definition; 03 Inquiry
  data has changed; 04 Component device attached; 05 Device identifier changed;
  06 Redundancy group created or modified; 07 Redundancy group deleted; 08 Spare
  created or modified; 09 Spare deleted; 0a Volume set created or modified;
  0b Volume set deleted; 0c Volume set deassigned; 0d Volume set reassigned;
  0e Reported LUNs data has changed; 0f Echo buffer overwritten; 10 Medium
  loadable; 11 Medium auxiliary memory accessible; 12 iSCSI IP address added;
  13 iSCSI IP address removed; 14 iSCSI IP address changed; 15 Inspect referrals
  sense descriptors; 16 Microcode has been changed without reset; 17 Zone
  transition to full; 18 Bind completed; 19 Bind redirected; 1a Subsidiary
  binding changed; 4000 RAM failure; 4100 Data path failure; 4200 Power-on or
  self-test failure; 4300 Message error; 4400 Internal target failure;
  01 Persistent reservation information lost; 71 ATA device failed Set Features;
  4500 Select or reselect failure; 4600 Unsuccessful soft reset; 4700 SCSI
  parity error; 01 Data phase CRC error detected; 02 SCSI parity error detected
  during ST data phase; 03 Information unit iuCRC error detected;
  04 Asynchronous information protection error detected; 05 Protocol service CRC
  error; 06 Phy test function in progress; 7f Some commands cleared by iSCSI
  protocol event; 4800 Initiator detected error message received; 4900 Invalid
  message error; 4a00 Command phase error; 4b00 Data phase error; 01 Invalid
  target port transfer tag received; 02 Too much write data; 03 ACK/NAK timeout;
  04 NAK received; 05 Data offset error; 06 Initiator response timeout;
  07 Connection lost; 08 Data-in buffer overflow - data buffer size; 09 Data-in
  buffer overflow - data buffer descriptor area; 0a Data-in buffer error;
  0b Data-out buffer overflow - data buffer size; 0c Data-out buffer overflow -
  data buffer descriptor area; 0d Data-out buffer error; 0e PCIe fabric error;
  0f PCIe completion timeout; 10 PCIe completer abort; 11 PCIe poisoned TLP
  received; 12 PCIe ECRC check failed; 13 PCIe unsupported request; 14 PCIe ACS
  violation; 15 PCIe TLP prefix blocked; 4c00 Logical unit failed
  self-configuration; 4d00 Tagged overlapped commands (nn = queue tag);
  4e00 Overlapped commands attempted; 5000 Write append error; 01 Write append
  position error; 02 Position error related to timing; 5100 Erase failure;
  01 Erase failure - incomplete erase operation detected; 5200 Cartridge fault;
  5300 Media load or eject failed; 01 Unload tape failure; 02 Medium removal
  prevented; 03 Medium removal prevented by data transfer element; 04 Medium
  thread or unthread failure; 05 Volume identifier invalid; 06 Volume identifier
  missing; 07 Duplicate volume identifier; 08 Element status unknown; 09 Data
  transfer device error - load failed; 0a Data transfer device error - unload
  failed; 0b Data transfer device error - unload missing; 0c Data transfer
  device error - eject failed; 0d Data transfer device error - library
  communication failed; 5400 SCSI to host system interface failure; 5500 System
  resource failure; 01 System buffer full; 02 Insufficient reservation
  resources; 03 Insufficient resources; 04 Insufficient registration resources;
  05 Insufficient access control resources; 06 Auxiliary memory out of space;
  07 Quota error; 08 Maximum number of supplemental decryption keys exceeded;
  09 Medium auxiliary memory not accessible; 0a Data currently unavailable;
  0b Insufficient power for operation; 0c Insufficient resources to create ROD;
  0d Insufficient resources to create ROD token; 0e Insufficient zone resources;
  0f Insufficient zone resources to complete write; 10 Maximum number of streams
  open; 11 Insufficient resources to bind; 5700 Unable to recover
  table-of-contents; 5800 Generation does not exist; 5900 Updated block read;
  5a00 Operator request or state change input; 01 Operator medium removal
  request; 02 Operator selected write protect; 03 Operator selected write
  permit; 5b00 Log exception; 01 Threshold condition met; 02 Log counter at
  maximum; 03 Log list codes exhausted; 5c00 Rpl status change; 01 Spindles
  synchronized; 02 Spindles not synchronized; 5d00 Failure prediction threshold
  exceeded; 01 Media failure prediction threshold exceeded; 02 Logical unit
  failure prediction threshold exceeded; 03 Spare area exhaustion prediction
  threshold exceeded; 10 Hardware impending failure general hard drive failure;
  11 Hardware impending failure drive error rate too high; 12 Hardware impending
  failure data error rate too high; 13 Hardware impending failure seek error
  rate too high; 14 Hardware impending failure too many block reassigns;
  15 Hardware impending failure access times too high; 16 Hardware impending
  failure start unit times too high; 17 Hardware impending failure channel
  parametrics; 18 Hardware impending failure controller detected; 19 Hardware
  impending failure throughput performance; 1a Hardware impending failure seek
  time performance; 1b Hardware impending failure spin-up retry count;
  1c Hardware impending failure drive calibration retry count; 1d Hardware
  impending failure power loss protection circuit; 20 Controller impending
  failure general hard drive failure; 21 Controller impending failure drive
  error rate too high; 22 Controller impending failure data error rate too high;
  23 Controller impending failure seek error rate too high; 24 Controller
  impending failure too many block reassigns; 25 Controller impending failure
  access times too high; 26 Controller impending failure start unit times too
  high; 27 Controller impending failure channel parametrics; 28 Controller
  impending failure controller detected; 29 Controller impending failure
  throughput performance; 2a Controller impending failure seek time performance;
  2b Controller impending failure spin-up retry count; 2c Controller impending
  failure drive calibration retry count; 30 Data channel impending failure
  general hard drive failure; 31 Data channel impending failure drive error rate
  too high; 32 Data channel impending failure data error rate too high; 33 Data
  channel impending failure seek error rate too high; 34 Data channel impending
  failure too many block reassigns; 35 Data channel impending failure access
  times too high; 36 Data channel impending failure start unit times too high;
  37 Data channel impending failure channel parametrics; 38 Data channel
  impending failure controller detected; 39 Data channel impending failure
  throughput performance; 3a Data channel impending failure seek time
  performance; 3b Data channel impending failure spin-up retry count; 3c Data
  channel impending failure drive calibration retry count; 40 Servo impending
  failure general hard drive failure; 41 Servo impending failure drive error
  rate too high; 42 Servo impending failure data error rate too high; 43 Servo
  impending failure seek error rate too high; 44 Servo impending failure too
  many block reassigns; 45 Servo impending failure access times too high;
  46 Servo impending failure start unit times too high; 47 Servo impending
  failure channel parametrics; 48 Servo impending failure controller detected;
  49 Servo impending failure throughput performance; 4a Servo impending failure
  seek time performance; 4b Servo impending failure spin-up retry count;
  4c Servo impending failure drive calibration retry count; 50 Spindle impending
  failure general hard drive failure; 51 Spindle impending failure drive error
  rate too high; 52 Spindle impending failure data error rate too high;
  53 Spindle impending failure seek error rate too high; 54 Spindle impending
  failure too many block reassigns; 55 Spindle impending failure access times
  too high; 56 Spindle impending failure start unit times too high; 57 Spindle
  impending failure channel parametrics; 58 Spindle impending failure controller
  detected; 59 Spindle impending failure throughput performance; 5a Spindle
  impending failure seek time performance; 5b Spindle impending failure spin-up
  retry count; 5c Spindle impending failure drive calibration retry count;
  60 Firmware impending failure general hard drive failure; 61 Firmware
  impending failure drive error rate too high; 62 Firmware impending failure
  data error rate too high; 63 Firmware impending failure seek error rate too
  high; 64 Firmware impending failure too many block reassigns; 65 Firmware
  impending failure access times too high; 66 Firmware impending failure start
  unit times too high; 67 Firmware impending failure channel parametrics;
  68 Firmware impending failure controller detected; 69 Firmware impending
  failure throughput performance; 6a Firmware impending failure seek time
  performance; 6b Firmware impending failure spin-up retry count; 6c Firmware
  impending failure drive calibration retry count; 73 Media impending failure
  endurance limit met; ff Failure prediction threshold exceeded (false);
  5e00 Low power condition on; 01 Idle condition activated by timer; 02 Standby
  condition activated by timer; 03 Idle condition activated by command;
  04 Standby condition activated by command; 05 Idle_b condition activated by
  timer; 06 Idle_b condition activated by command; 07 Idle_c condition activated
  by timer; 08 Idle_c condition activated by command; 09 Standby_y condition
  activated by timer; 0a Standby_y condition activated by command; 41 Power
  state change to active; 42 Power state change to idle; 43 Power state change
  to standby; 45 Power state change to sleep; 47 Power state change to device
  control; 6000 Lamp failure; 6100 Video acquisition error; 01 Unable to acquire
  video; 02 Out of focus; 6200 Scan head positioning error; 6300 End of user
  area encountered on this track; 01 Packet does not fit in available space;
  6400 Illegal mode for this track; 01 Invalid packet size; 6500 Voltage fault;
  6600 Automatic document feeder cover up; 01 Automatic document feeder lift up;
  02 Document jam in automatic document feeder; 03 Document miss feed automatic
  in document feeder; 6700 Configuration failure; 01 Configuration of incapable
  logical units failed; 02 Add logical unit failed; 03 Modification of logical
  unit failed; 04 Exchange of logical unit failed; 05 Remove of logical unit
  failed; 06 Attachment of logical unit failed; 07 Creation of logical unit
  failed; 08 Assign failure occurred; 09 Multiply assigned logical unit; 0a Set
  target port groups command failed; 0b ATA device feature not enabled;
  0c Command rejected; 0d Explicit bind not allowed; 0e Feature not enabled;
  6800 Logical unit not configured; 01 Subsidiary logical unit not configured;
  6900 Data loss on logical unit; 01 Multiple logical unit failures;
  02 Parity/data mismatch; 6a00 Informational, refer to log; 6b00 State change
  has occurred; 01 Redundancy level got better; 02 Redundancy level got worse;
  6c00 Rebuild failure occurred; 6d00 Recalculate failure occurred; 6e00 Command
  to logical unit failed; 6f00 Copy protection key exchange failure -
  authentication failure; 01 Copy protection key exchange failure - key not
  present; 02 Copy protection key exchange failure - key not established;
  03 Read of scrambled sector without authentication; 04 Media region code is
  mismatched to logical unit region; 05 Drive region must be permanent/region
  reset count error; 06 Insufficient block count for binding nonce recording;
  07 Conflict in binding nonce recording; 08 Insufficient permission; 09 Invalid
  drive-host pairing server; 0a Drive-host pairing suspended; 7100 Decompression
  exception long algorithm ID; 7200 Session fixation error; 01 Session fixation
  error writing lead-in; 02 Session fixation error writing lead-out; 03 Session
  fixation error - incomplete track in session; 04 Empty or partially written
  reserved track; 05 No more track reservations allowed; 06 RMZ extension is not
  allowed; 07 No more test zone extensions are allowed; 7300 CD control error;
  01 Power calibration area almost full; 02 Power calibration area is full;
  03 Power calibration area error; 04 Program memory area update failure;
  05 Program memory area is full; 06 RMA/PMA is almost full; 10 Current power
  calibration area almost full; 11 Current power calibration area is full;
  17 RDZ is full; 7400 Security error; 01 Unable to decrypt data; 02 Unencrypted
  data encountered while decrypting; 03 Incorrect data encryption key;
  04 Cryptographic integrity validation failed; 05 Error decrypting data;
  06 Unknown signature verification key; 07 Encryption parameters not useable;
  08 Digital signature validation failure; 09 Encryption mode mismatch on read;
  0a Encrypted block not raw read enabled; 0b Incorrect encryption parameters;
  0c Unable to decrypt parameter list; 0d Encryption algorithm disabled; 10 SA
  creation parameter value invalid; 11 SA creation parameter value rejected;
  12 Invalid SA usage; 21 Data encryption configuration prevented; 30 SA
  creation parameter not supported; 40 Authentication failed; 61 External data
  encryption key manager access error; 62 External data encryption key manager
  error; 63 External data encryption key not found; 64 External data encryption
  request not authorized; 6e External data encryption control timeout;
  6f External data encryption control error; 71 Logical unit access not
  authorized; 79 Security conflict in translated device`;
