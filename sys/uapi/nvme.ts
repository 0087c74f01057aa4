// <nvme/types.h>, of libnvme 1.3, for Linux 6.1.

// The structs and numbers of the NVMe specifications. The kernel has no header
// of them for programs, so this file mirrors that of libnvme.

import { bytes, struct, structFrom, u16, u32, u64, u8 } from "../struct.ts";

/** The answer of Identify about a controller. */
export const nvme_id_ctrl = structFrom(
  4096,
  "0 u16 vid, 2 u16 ssvid, 4 u8[20] sn, 24 u8[40] mn, 64 u8[8] fr, 72 u8 rab",
  "73 u8[3] ieee, 76 u8 cmic, 77 u8 mdts, 78 u16 cntlid, 80 u32 ver",
  "84 u32 rtd3r, 88 u32 rtd3e, 92 u32 oaes, 96 u32 ctratt, 100 u16 rrls",
  "102 u8[9] rsvd102, 111 u8 cntrltype, 112 u8[16] fguid, 128 u16 crdt1",
  "130 u16 crdt2, 132 u16 crdt3, 134 u8[119] rsvd134, 253 u8 nvmsr",
  "254 u8 vwci, 255 u8 mec, 256 u16 oacs, 258 u8 acl, 259 u8 aerl, 260 u8 frmw",
  "261 u8 lpa, 262 u8 elpe, 263 u8 npss, 264 u8 avscc, 265 u8 apsta",
  "266 u16 wctemp, 268 u16 cctemp, 270 u16 mtfa, 272 u32 hmpre, 276 u32 hmmin",
  "280 u8[16] tnvmcap, 296 u8[16] unvmcap, 312 u32 rpmbs, 316 u16 edstt",
  "318 u8 dsto, 319 u8 fwug, 320 u16 kas, 322 u16 hctma, 324 u16 mntmt",
  "326 u16 mxtmt, 328 u32 sanicap, 332 u32 hmminds, 336 u16 hmmaxd",
  "338 u16 nsetidmax, 340 u16 endgidmax, 342 u8 anatt, 343 u8 anacap",
  "344 u32 anagrpmax, 348 u32 nanagrpid, 352 u32 pels, 356 u16 domainid",
  "358 u8[10] rsvd358, 368 u8[16] megcap, 384 u8[128] rsvd384, 512 u8 sqes",
  "513 u8 cqes, 514 u16 maxcmd, 516 u32 nn, 520 u16 oncs, 522 u16 fuses",
  "524 u8 fna, 525 u8 vwc, 526 u16 awun, 528 u16 awupf, 530 u8 icsvscc",
  "531 u8 nwpc, 532 u16 acwu, 534 u16 ocfs, 536 u32 sgls, 540 u32 mnan",
  "544 u8[16] maxdna, 560 u32 maxcna, 564 u8[204] rsvd564, 768 u8[256] subnqn",
  "1024 u8[768] rsvd1024, 1792 u32 ioccsz, 1796 u32 iorcsz, 1800 u16 icdoff",
  "1802 u8 fcatt, 1803 u8 msdbd, 1804 u16 ofcs, 1806 u8 dctype",
  "1807 u8[241] rsvd1807, 2048 u8[1024] psd, 3072 u8[1024] vs",
);

/** A format of logical blocks. */
export const nvme_lbaf = struct(4, {
  ms: u16(0),
  ds: u8(2),
  rp: u8(3),
});

/** The answer of Identify about a namespace. */
export const nvme_id_ns = structFrom(
  4096,
  "0 u64 nsze, 8 u64 ncap, 16 u64 nuse, 24 u8 nsfeat, 25 u8 nlbaf, 26 u8 flbas",
  "27 u8 mc, 28 u8 dpc, 29 u8 dps, 30 u8 nmic, 31 u8 rescap, 32 u8 fpi",
  "33 u8 dlfeat, 34 u16 nawun, 36 u16 nawupf, 38 u16 nacwu, 40 u16 nabsn",
  "42 u16 nabo, 44 u16 nabspf, 46 u16 noiob, 48 u8[16] nvmcap, 64 u16 npwg",
  "66 u16 npwa, 68 u16 npdg, 70 u16 npda, 72 u16 nows, 74 u16 mssrl",
  "76 u32 mcl, 80 u8 msrc, 81 u8 rsvd81, 82 u8 nulbaf, 83 u8[9] rsvd83",
  "92 u32 anagrpid, 96 u8[3] rsvd96, 99 u8 nsattr, 100 u16 nvmsetid",
  "102 u16 endgid, 104 u8[16] nguid, 120 u8[8] eui64, 128 u8[256] lbaf",
  "384 u64 lbstm, 392 u8[3704] vs",
);

/** The answer of Identify about a namespace of the NVM command set. */
export const nvme_nvm_id_ns = struct(4096, {
  lbstm: u64(0),
  pic: u8(8),
  rsvd9: bytes(9, 3),
  elbaf: bytes(12, 256),
  rsvd268: bytes(268, 3828),
});

/** The answer of Identify about a controller of the zoned command set. */
export const nvme_zns_id_ctrl = struct(4096, {
  zasl: u8(0),
  rsvd1: bytes(1, 4095),
});

/** A power state of a controller. */
export const nvme_id_psd = structFrom(
  32,
  "0 u16 mp, 2 u8 rsvd2, 3 u8 flags, 4 u32 enlat, 8 u32 exlat, 12 u8 rrt",
  "13 u8 rrl, 14 u8 rwt, 15 u8 rwl, 16 u16 idlp, 18 u8 ips, 19 u8 rsvd19",
  "20 u16 actp, 22 u8 apws, 23 u8[9] rsvd23",
);

/** The head of a descriptor in the list of a namespace's identifiers. */
export const nvme_ns_id_desc = struct(4, {
  nidt: u8(0),
  nidl: u8(1),
  rsvd: u16(2),
});

/** The zoned part of a format of logical blocks. */
export const nvme_zns_lbafe = struct(16, {
  zsze: u64(0),
  zdes: u8(8),
  rsvd9: bytes(9, 7),
});

/** The answer of Identify about a namespace of the zoned command set. */
export const nvme_zns_id_ns = structFrom(
  4096,
  "0 u16 zoc, 2 u16 ozcs, 4 u32 mar, 8 u32 mor, 12 u32 rrl, 16 u32 frl",
  "20 u32 rrl1, 24 u32 rrl2, 28 u32 rrl3, 32 u32 frl1, 36 u32 frl2",
  "40 u32 frl3, 44 u32 numzrwa, 48 u16 zrwafg, 50 u16 zrwasz, 52 u8 zrwacap",
  "53 u8[2763] rsvd53, 2816 u8[1024] lbafe, 3840 u8[256] vs",
);

/** The SMART / Health Information log. */
export const nvme_smart_log = structFrom(
  512,
  "0 u8 critical_warning, 1 u8[2] temperature, 3 u8 avail_spare",
  "4 u8 spare_thresh, 5 u8 percent_used, 6 u8 endu_grp_crit_warn_sumry",
  "7 u8[25] rsvd7, 32 u8[16] data_units_read, 48 u8[16] data_units_written",
  "64 u8[16] host_reads, 80 u8[16] host_writes, 96 u8[16] ctrl_busy_time",
  "112 u8[16] power_cycles, 128 u8[16] power_on_hours",
  "144 u8[16] unsafe_shutdowns, 160 u8[16] media_errors",
  "176 u8[16] num_err_log_entries, 192 u32 warning_temp_time",
  "196 u32 critical_comp_time, 200 u8[16] temp_sensor",
  "216 u32 thm_temp1_trans_count, 220 u32 thm_temp2_trans_count",
  "224 u32 thm_temp1_total_time, 228 u32 thm_temp2_total_time",
  "232 u8[280] rsvd232",
);

/** An entry of the Error Information log. */
export const nvme_error_log_page = structFrom(
  64,
  "0 u64 error_count, 8 u16 sqid, 10 u16 cmdid, 12 u16 status_field",
  "14 u16 parm_error_location, 16 u64 lba, 24 u32 nsid, 28 u8 vs, 29 u8 trtype",
  "30 u8[2] rsvd, 32 u64 cs, 40 u16 trtype_spec_info, 42 u8[22] rsvd2",
);

/** The Firmware Slot Information log. */
export const nvme_firmware_slot = structFrom(
  512,
  "0 u8 afi, 1 u8[7] rsvd1, 8 u8[56] frs, 64 u8[448] rsvd2",
);

/** The Commands Supported and Effects log. */
export const nvme_cmd_effects_log = structFrom(
  4096,
  "0 u8[1024] acs, 1024 u8[1024] iocs, 2048 u8[2048] rsvd",
);

/** A result of a self-test. */
export const nvme_st_result = structFrom(
  28,
  "0 u8 dsts, 1 u8 seg, 2 u8 vdi, 3 u8 rsvd, 4 u64 poh, 12 u32 nsid",
  "16 u64 flba, 24 u8 sct, 25 u8 sc, 26 u8[2] vs",
);

/** The Device Self-test log. */
export const nvme_self_test_log = structFrom(
  564,
  "0 u8 current_operation, 1 u8 completion, 2 u8[2] rsvd, 4 u8[560] result",
);

/** The head of a telemetry log. Blocks of data follow it. */
export const nvme_telemetry_log = structFrom(
  512,
  "0 u8 lpi, 1 u8[4] rsvd1, 5 u8[3] ieee, 8 u16 dalb1, 10 u16 dalb2",
  "12 u16 dalb3, 14 u8[2] rsvd14, 16 u32 dalb4, 20 u8[361] rsvd20",
  "381 u8 hostdgn, 382 u8 ctrlavail, 383 u8 ctrldgn, 384 u8[128] rsnident",
);

/** The log of an endurance group. */
export const nvme_endurance_group_log = structFrom(
  512,
  "0 u8 critical_warning, 1 u8[2] rsvd1, 3 u8 avl_spare",
  "4 u8 avl_spare_threshold, 5 u8 percent_used, 6 u8[26] rsvd6",
  "32 u8[16] endurance_estimate, 48 u8[16] data_units_read",
  "64 u8[16] data_units_written, 80 u8[16] media_units_written",
  "96 u8[16] host_read_cmds, 112 u8[16] host_write_cmds",
  "128 u8[16] media_data_integrity_err, 144 u8[16] num_err_info_log_entries",
  "160 u8[352] rsvd160",
);

/** The Sanitize Status log. */
export const nvme_sanitize_log_page = structFrom(
  512,
  "0 u16 sprog, 2 u16 sstat, 4 u32 scdw10, 8 u32 eto, 12 u32 etbe",
  "16 u32 etce, 20 u32 etond, 24 u32 etbend, 28 u32 etcend, 32 u8[480] rsvd32",
);

/** A range of Dataset Management: logical blocks, and hints about them. */
export const nvme_dsm_range = struct(16, {
  cattr: u32(0),
  nlb: u32(4),
  slba: u64(8),
});

/** The descriptor of a zone. */
export const nvme_zns_desc = structFrom(
  64,
  "0 u8 zt, 1 u8 zs, 2 u8 za, 3 u8 zai, 4 u8[4] rsvd4, 8 u64 zcap",
  "16 u64 zslba, 24 u64 wp, 32 u8[32] rsvd32",
);

/** The head of a report of zones. */
export const nvme_zone_report = struct(64, {
  nr_zones: u64(0),
  rsvd8: bytes(8, 56),
});

/** Opcodes of admin commands. */
export const nvme_admin_get_log_page = 0x02;
export const nvme_admin_identify = 0x06;
export const nvme_admin_set_features = 0x09;
export const nvme_admin_get_features = 0x0a;
export const nvme_admin_fw_download = 0x11;
export const nvme_admin_dev_self_test = 0x14;
export const nvme_admin_directive_recv = 0x1a;
export const nvme_admin_nvme_mi_recv = 0x1e;
export const nvme_admin_format_nvm = 0x80;
export const nvme_admin_sanitize_nvm = 0x84;
export const nvme_admin_get_lba_status = 0x86;

/** Opcodes of I/O commands. */
export const nvme_cmd_flush = 0x00;
export const nvme_cmd_write = 0x01;
export const nvme_cmd_read = 0x02;
export const nvme_cmd_compare = 0x05;
export const nvme_cmd_write_zeroes = 0x08;
export const nvme_cmd_dsm = 0x09;
export const nvme_cmd_verify = 0x0c;
export const nvme_cmd_resv_report = 0x0e;
export const nvme_cmd_io_mgmt_recv = 0x12;
export const nvme_cmd_copy = 0x19;
export const nvme_zns_cmd_mgmt_send = 0x79;
export const nvme_zns_cmd_mgmt_recv = 0x7a;
export const nvme_zns_cmd_append = 0x7d;

export const NVME_IDENTIFY_CNS_NS = 0x00;
export const NVME_IDENTIFY_CNS_CTRL = 0x01;
export const NVME_IDENTIFY_CNS_NS_ACTIVE_LIST = 0x02;
export const NVME_IDENTIFY_CNS_NS_DESC_LIST = 0x03;
export const NVME_IDENTIFY_CNS_CSI_NS = 0x05;
export const NVME_IDENTIFY_CNS_CSI_CTRL = 0x06;

export const NVME_CSI_NVM = 0;
export const NVME_CSI_ZNS = 2;

export const NVME_CTRL_CTRATT_ELBAS = 1 << 15;

export const NVME_LOG_LID_ERROR = 0x01;
export const NVME_LOG_LID_SMART = 0x02;
export const NVME_LOG_LID_FW_SLOT = 0x03;
export const NVME_LOG_LID_CMD_EFFECTS = 0x05;
export const NVME_LOG_LID_DEVICE_SELF_TEST = 0x06;
export const NVME_LOG_LID_TELEMETRY_HOST = 0x07;
export const NVME_LOG_LID_TELEMETRY_CTRL = 0x08;
export const NVME_LOG_LID_ENDURANCE_GROUP = 0x09;
export const NVME_LOG_LID_SANITIZE = 0x81;

export const NVME_NIDT_EUI64 = 1;
export const NVME_NIDT_NGUID = 2;
export const NVME_NIDT_UUID = 3;
export const NVME_NIDT_CSI = 4;

/** Arbitration: the priorities of the submission queues. */
export const NVME_FEAT_FID_ARBITRATION = 0x01;
/** Power Management: the power state. */
export const NVME_FEAT_FID_POWER_MGMT = 0x02;
/** Temperature Threshold: the temperatures at which the drive warns. */
export const NVME_FEAT_FID_TEMP_THRESH = 0x04;
/** Error Recovery: the time limit of retries in the drive. */
export const NVME_FEAT_FID_ERR_RECOVERY = 0x05;
/** Volatile Write Cache: on or off. */
export const NVME_FEAT_FID_VOLATILE_WC = 0x06;
/** Number of Queues: those of the host. */
export const NVME_FEAT_FID_NUM_QUEUES = 0x07;
/** Interrupt Coalescing: the limits of how interrupts are gathered. */
export const NVME_FEAT_FID_IRQ_COALESCE = 0x08;
/** Write Atomicity Normal: atomic writes, on or off. */
export const NVME_FEAT_FID_WRITE_ATOMIC = 0x0a;
/** Asynchronous Event Configuration: the events that the drive reports. */
export const NVME_FEAT_FID_ASYNC_EVENT = 0x0b;
/** Autonomous Power State Transition: those that the drive makes by itself. */
export const NVME_FEAT_FID_AUTO_PST = 0x0c;
/** Host Memory Buffer: memory of the host that the drive keeps. */
export const NVME_FEAT_FID_HOST_MEM_BUF = 0x0d;
/** Timestamp: the clock of the drive. */
export const NVME_FEAT_FID_TIMESTAMP = 0x0e;
/** Host Controlled Thermal Management: the temperatures of throttling. */
export const NVME_FEAT_FID_HCTM = 0x10;
/** Software Progress Marker: a counter for the software that boots. */
export const NVME_FEAT_FID_SW_PROGRESS = 0x80;
/** Host Identifier: the number of this host. */
export const NVME_FEAT_FID_HOST_ID = 0x81;
/** Namespace Write Protection Config: the write protection of a namespace. */
export const NVME_FEAT_FID_WRITE_PROTECT = 0x84;

export const NVME_IO_DEAC = 1 << 9;
export const NVME_IO_ZNS_APPEND_PIREMAP = 1 << 9;
export const NVME_IO_PRINFO_PRCHK_REF = 1 << 10;
export const NVME_IO_PRINFO_PRCHK_APP = 1 << 11;
export const NVME_IO_PRINFO_PRCHK_GUARD = 1 << 12;
export const NVME_IO_PRINFO_PRACT = 1 << 13;
export const NVME_IO_FUA = 1 << 14;
export const NVME_IO_LR = 1 << 15;

export const NVME_DSMGMT_IDR = 1 << 0;
export const NVME_DSMGMT_IDW = 1 << 1;
export const NVME_DSMGMT_AD = 1 << 2;

export const NVME_ZNS_ZSA_CLOSE = 0x1;
export const NVME_ZNS_ZSA_FINISH = 0x2;
export const NVME_ZNS_ZSA_OPEN = 0x3;
export const NVME_ZNS_ZSA_RESET = 0x4;
export const NVME_ZNS_ZSA_OFFLINE = 0x5;
export const NVME_ZNS_ZSA_SET_DESC_EXT = 0x10;

export const NVME_ZNS_ZS_EMPTY = 0x1;
export const NVME_ZNS_ZS_IMPL_OPEN = 0x2;
export const NVME_ZNS_ZS_EXPL_OPEN = 0x3;
export const NVME_ZNS_ZS_CLOSED = 0x4;
export const NVME_ZNS_ZS_READ_ONLY = 0xd;
export const NVME_ZNS_ZS_FULL = 0xe;
export const NVME_ZNS_ZS_OFFLINE = 0xf;

export const NVME_SCT_GENERIC = 0x0;
export const NVME_SCT_CMD_SPECIFIC = 0x1;
export const NVME_SCT_MEDIA = 0x2;
export const NVME_SCT_PATH = 0x3;
export const NVME_SCT_VS = 0x7;

export const NVME_SC_MORE = 0x2000;
export const NVME_SC_DNR = 0x4000;
