// <nvme/types.h>, of libnvme 1.3, for Linux 6.1.

// The structs and numbers of the NVMe specifications. The kernel has no header
// of them for programs, so this file mirrors that of libnvme.

import { bytes, struct, u16, u32, u64, u8 } from "../struct.ts";

/** The answer of Identify about a controller. */
export const nvme_id_ctrl = struct(4096, {
  vid: u16(0),
  ssvid: u16(2),
  sn: bytes(4, 20),
  mn: bytes(24, 40),
  fr: bytes(64, 8),
  rab: u8(72),
  ieee: bytes(73, 3),
  cmic: u8(76),
  mdts: u8(77),
  cntlid: u16(78),
  ver: u32(80),
  rtd3r: u32(84),
  rtd3e: u32(88),
  oaes: u32(92),
  ctratt: u32(96),
  rrls: u16(100),
  rsvd102: bytes(102, 9),
  cntrltype: u8(111),
  fguid: bytes(112, 16),
  crdt1: u16(128),
  crdt2: u16(130),
  crdt3: u16(132),
  rsvd134: bytes(134, 119),
  nvmsr: u8(253),
  vwci: u8(254),
  mec: u8(255),
  oacs: u16(256),
  acl: u8(258),
  aerl: u8(259),
  frmw: u8(260),
  lpa: u8(261),
  elpe: u8(262),
  npss: u8(263),
  avscc: u8(264),
  apsta: u8(265),
  wctemp: u16(266),
  cctemp: u16(268),
  mtfa: u16(270),
  hmpre: u32(272),
  hmmin: u32(276),
  tnvmcap: bytes(280, 16),
  unvmcap: bytes(296, 16),
  rpmbs: u32(312),
  edstt: u16(316),
  dsto: u8(318),
  fwug: u8(319),
  kas: u16(320),
  hctma: u16(322),
  mntmt: u16(324),
  mxtmt: u16(326),
  sanicap: u32(328),
  hmminds: u32(332),
  hmmaxd: u16(336),
  nsetidmax: u16(338),
  endgidmax: u16(340),
  anatt: u8(342),
  anacap: u8(343),
  anagrpmax: u32(344),
  nanagrpid: u32(348),
  pels: u32(352),
  domainid: u16(356),
  rsvd358: bytes(358, 10),
  megcap: bytes(368, 16),
  rsvd384: bytes(384, 128),
  sqes: u8(512),
  cqes: u8(513),
  maxcmd: u16(514),
  nn: u32(516),
  oncs: u16(520),
  fuses: u16(522),
  fna: u8(524),
  vwc: u8(525),
  awun: u16(526),
  awupf: u16(528),
  icsvscc: u8(530),
  nwpc: u8(531),
  acwu: u16(532),
  ocfs: u16(534),
  sgls: u32(536),
  mnan: u32(540),
  maxdna: bytes(544, 16),
  maxcna: u32(560),
  rsvd564: bytes(564, 204),
  subnqn: bytes(768, 256),
  rsvd1024: bytes(1024, 768),
  ioccsz: u32(1792),
  iorcsz: u32(1796),
  icdoff: u16(1800),
  fcatt: u8(1802),
  msdbd: u8(1803),
  ofcs: u16(1804),
  dctype: u8(1806),
  rsvd1807: bytes(1807, 241),
  psd: bytes(2048, 1024),
  vs: bytes(3072, 1024),
});

/** A format of logical blocks. */
export const nvme_lbaf = struct(4, {
  ms: u16(0),
  ds: u8(2),
  rp: u8(3),
});

/** The answer of Identify about a namespace. */
export const nvme_id_ns = struct(4096, {
  nsze: u64(0),
  ncap: u64(8),
  nuse: u64(16),
  nsfeat: u8(24),
  nlbaf: u8(25),
  flbas: u8(26),
  mc: u8(27),
  dpc: u8(28),
  dps: u8(29),
  nmic: u8(30),
  rescap: u8(31),
  fpi: u8(32),
  dlfeat: u8(33),
  nawun: u16(34),
  nawupf: u16(36),
  nacwu: u16(38),
  nabsn: u16(40),
  nabo: u16(42),
  nabspf: u16(44),
  noiob: u16(46),
  nvmcap: bytes(48, 16),
  npwg: u16(64),
  npwa: u16(66),
  npdg: u16(68),
  npda: u16(70),
  nows: u16(72),
  mssrl: u16(74),
  mcl: u32(76),
  msrc: u8(80),
  rsvd81: u8(81),
  nulbaf: u8(82),
  rsvd83: bytes(83, 9),
  anagrpid: u32(92),
  rsvd96: bytes(96, 3),
  nsattr: u8(99),
  nvmsetid: u16(100),
  endgid: u16(102),
  nguid: bytes(104, 16),
  eui64: bytes(120, 8),
  lbaf: bytes(128, 256),
  lbstm: u64(384),
  vs: bytes(392, 3704),
});

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

/** The SMART / Health Information log. */
export const nvme_smart_log = struct(512, {
  critical_warning: u8(0),
  temperature: bytes(1, 2),
  avail_spare: u8(3),
  spare_thresh: u8(4),
  percent_used: u8(5),
  endu_grp_crit_warn_sumry: u8(6),
  rsvd7: bytes(7, 25),
  data_units_read: bytes(32, 16),
  data_units_written: bytes(48, 16),
  host_reads: bytes(64, 16),
  host_writes: bytes(80, 16),
  ctrl_busy_time: bytes(96, 16),
  power_cycles: bytes(112, 16),
  power_on_hours: bytes(128, 16),
  unsafe_shutdowns: bytes(144, 16),
  media_errors: bytes(160, 16),
  num_err_log_entries: bytes(176, 16),
  warning_temp_time: u32(192),
  critical_comp_time: u32(196),
  temp_sensor: bytes(200, 16),
  thm_temp1_trans_count: u32(216),
  thm_temp2_trans_count: u32(220),
  thm_temp1_total_time: u32(224),
  thm_temp2_total_time: u32(228),
  rsvd232: bytes(232, 280),
});

/** An entry of the Error Information log. */
export const nvme_error_log_page = struct(64, {
  error_count: u64(0),
  sqid: u16(8),
  cmdid: u16(10),
  status_field: u16(12),
  parm_error_location: u16(14),
  lba: u64(16),
  nsid: u32(24),
  vs: u8(28),
  trtype: u8(29),
  rsvd: bytes(30, 2),
  cs: u64(32),
  trtype_spec_info: u16(40),
  rsvd2: bytes(42, 22),
});

/** The Firmware Slot Information log. */
export const nvme_firmware_slot = struct(512, {
  afi: u8(0),
  rsvd1: bytes(1, 7),
  frs: bytes(8, 56),
  rsvd2: bytes(64, 448),
});

/** A range of Dataset Management: logical blocks, and hints about them. */
export const nvme_dsm_range = struct(16, {
  cattr: u32(0),
  nlb: u32(4),
  slba: u64(8),
});

/** The descriptor of a zone. */
export const nvme_zns_desc = struct(64, {
  zt: u8(0),
  zs: u8(1),
  za: u8(2),
  zai: u8(3),
  rsvd4: bytes(4, 4),
  zcap: u64(8),
  zslba: u64(16),
  wp: u64(24),
  rsvd32: bytes(32, 32),
});

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
export const nvme_admin_directive_recv = 0x1a;
export const nvme_admin_nvme_mi_recv = 0x1e;
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
export const NVME_IDENTIFY_CNS_CSI_NS = 0x05;
export const NVME_IDENTIFY_CNS_CSI_CTRL = 0x06;

export const NVME_CSI_NVM = 0;
export const NVME_CSI_ZNS = 2;

export const NVME_CTRL_CTRATT_ELBAS = 1 << 15;

export const NVME_LOG_LID_ERROR = 0x01;
export const NVME_LOG_LID_SMART = 0x02;
export const NVME_LOG_LID_FW_SLOT = 0x03;

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
