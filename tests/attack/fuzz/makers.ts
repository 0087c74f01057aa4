/** The functions that make commands, each with the arguments it should take. */

import fc from "fast-check";
import * as block from "../../../cmd/block.ts";
import * as btrfs from "../../../cmd/btrfs/mod.ts";
import * as nvme from "../../../cmd/nvme/mod.ts";
import * as scsi from "../../../cmd/scsi/mod.ts";
import * as socket from "../../../cmd/socket/mod.ts";
import * as root from "../../../mod.ts";
import { alloc } from "../../../ring/raw.ts";
import * as op from "../../../cmd/op.ts";
import {
  anything,
  bytesOf,
  flag,
  list,
  object,
  oneOf,
  Recipe,
  type Recipes,
  text,
  upTo,
  wide,
} from "./values.ts";

/** A function, and good values of its parameters. */
export interface Maker {
  readonly name: string;
  readonly make: (...args: never[]) => unknown;
  readonly parameters: readonly Recipes[];
}

const made = (label: string, make: () => unknown): Recipes =>
  fc.constant(new Recipe(label, make));
const either = (...all: Recipes[]): Recipes => fc.oneof(...all);

/** A descriptor that is never open: nothing is run with it. */
const fd = oneOf(0x7fff_fff0);
const u8 = upTo(0xff);
const u16 = upTo(0xffff);
const u32 = upTo(0xffff_ffff);
const bytes = bytesOf(512);
const few = fc.oneof(bytes, bytesOf(0), bytesOf(1), bytesOf(17));
/** Memory that a maker takes. */
const inPlace = either(
  ...[512, 4096, 131072].map((byteLength) =>
    made(`alloc(${byteLength})`, () => alloc(byteLength))
  ),
);
const timeoutMs = upTo(0x7fff_ffff);
const delayMs = fc.oneof(u32, upTo(1e12));

const kernel = oneOf("reads", "writes", "both");
const memory = either(
  object({ bytes, kernel }),
  made("unsafeAddress(0)", () => root.unsafeAddress(0)),
);
const address = either(
  object({ hostname: oneOf("127.0.0.1", "::1", "::ffff:1.2.3.4"), port: u16 }),
  object({ path: either(text, oneOf(null, "\0x")) }),
);
const path = either(text, bytesOf(17), oneOf("/nowhere/at all"));
const directories = { fromDirFd: fd, toDirFd: fd };
const fields = {
  mask: upTo(0x7fff_ffff),
  sync: oneOf("auto", "force", "never", undefined),
};
const socketLike = either(
  made("listener", () => listener),
  object({
    localAddr: object({
      transport: oneOf("tcp", "udp", "unix", "vsock"),
      hostname: oneOf("127.0.0.1", "::1%lo"),
      port: u16,
    }),
    remoteAddr: object({ transport: oneOf("unix"), path: text }),
  }),
  object({
    localAddress: oneOf("127.0.0.1"),
    localPort: u16,
    remoteAddress: oneOf("::1"),
    remotePort: u16,
  }),
);

const attribute = either(text, oneOf("user.name"));
const only = oneOf("create", "replace", undefined);
const buffer = anything;
/** Provided buffers that no kernel has. */
const bufferRing = made(
  "new BufferRing(7, 4, 64)",
  () => new root.BufferRing(7, 4, 64),
);
/** A socket that is found by its addresses. */
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
addEventListener("unload", () => listener.close());

/** The facts of a namespace. */
const namespaceFacts = object({
  file: fd,
  nsid: oneOf(1),
  blockSize: oneOf(512),
  metadataSize: oneOf(0, 8, 16),
  metadataInline: oneOf(false, true),
  protectionType: oneOf(0, 1, 2),
  guardBits: oneOf(16, 32, 64),
  storageTagBits: oneOf(0, 16),
  blocks: oneOf(2048n),
  maxTransferBytes: oneOf(1 << 20, Infinity),
  writable: oneOf(true, false),
});
/** A namespace with blocks of 512 bytes. */
const namespace = fc.record({
  metadataSize: fc.constantFrom(0, 8, 16),
  metadataInline: fc.boolean(),
  protectionType: fc.constantFrom(0, 1, 2),
  guardBits: fc.constantFrom(16, 32, 64),
  maxTransferBytes: fc.constantFrom(1 << 20, Infinity),
  writable: fc.boolean(),
}).map((facts) => {
  const rest = { file: 0x7fff_fff0, nsid: 1, blockSize: 512, blocks: 2048n };
  const make = () => new nvme.NvmeNamespace({ ...rest, ...facts });
  return new Recipe(`namespace ${JSON.stringify(facts)}`, make);
});
const deviceFacts = object({
  file: fd,
  writable: oneOf(true),
  logicalBlockSize: oneOf(512),
  physicalBlockSize: oneOf(4096),
  byteLength: oneOf(1n << 40n),
  readOnly: oneOf(false),
});
const device = made("a block device", () =>
  new block.BlockDevice({
    file: 0x7fff_fff0,
    writable: true,
    logicalBlockSize: 512,
    physicalBlockSize: 4096,
    byteLength: 1n << 40n,
    readOnly: false,
  }));
const protection = object({
  action: flag,
  checkGuard: flag,
  checkApplicationTag: flag,
  checkReferenceTag: flag,
  referenceTag: u32,
  applicationTag: u16,
  applicationTagMask: u16,
});
const blockOptions = {
  protection,
  forceUnitAccess: flag,
  limitedRetry: flag,
  timeoutMs,
};
const transfer = object({
  ...blockOptions,
  lba: wide,
  data: either(bytes, list(bytes)),
  metadata: bytesOf(16),
});
const range = object({ ...blockOptions, lba: wide, blocks: upTo(65536) });
const ranges = list(object({ lba: wide, blocks: u32, attributes: u32 }));
const onSense = made("a function", () => () => {});
const scsiOptions = object({ timeoutMs, onSense });

const tables: Record<string, Record<string, readonly Recipes[]>> = {
  op: {
    nop: [],
    openat: [path, object({ flags: u32, mode: upTo(0o7777), dirFd: fd })],
    statx: [path, object({ dirFd: fd, noFollow: flag, ...fields })],
    fstatx: [fd, object(fields)],
    unlinkat: [path, object({ dirFd: fd, removeDirectory: flag })],
    renameat: [
      path,
      path,
      object({ ...directories, noReplace: flag, exchange: flag }),
    ],
    mkdirat: [path, object({ dirFd: fd, mode: upTo(0o7777) })],
    symlinkat: [path, path, object({ dirFd: fd })],
    linkat: [path, path, object({ ...directories, followLink: flag })],
    fallocate: [
      fd,
      object({
        offset: wide,
        length: wide,
        mode: oneOf("allocate", "punchHole", "collapseRange", undefined),
      }),
    ],
    ftruncate: [fd, wide],
    syncFileRange: [
      fd,
      object({
        offset: wide,
        length: u32,
        waitBefore: flag,
        write: flag,
        waitAfter: flag,
      }),
    ],
    fgetxattr: [fd, attribute, object({ maxLength: upTo(65536) })],
    getxattr: [path, attribute, object({ maxLength: upTo(65536) })],
    fsetxattr: [fd, attribute, few, object({ only })],
    setxattr: [path, attribute, few, object({ only })],
    close: [fd],
    read: [
      fd,
      either(few, bufferRing),
      object({
        offset: either(wide, oneOf(undefined)),
        buffer,
        multishot: flag,
      }),
    ],
    write: [fd, few, object({ offset: wide, buffer })],
    fsync: [fd, object({ dataOnly: flag })],
    socket: [object({ domain: u32, type: u32, protocol: u32 })],
    bind: [fd, address],
    connect: [fd, address],
    listen: [fd, object({ backlog: u32 })],
    accept: [fd],
    send: [fd, few, object({ flags: u32 })],
    recv: [
      fd,
      either(few, bufferRing),
      object({ flags: u32, multishot: flag }),
    ],
    sendZc: [fd, few, object({ flags: u32, buffer })],
    readsOf: [fd, inPlace, object({ buffer })],
    writesOf: [fd, inPlace, object({ buffer })],
    poll: [fd, object({ events: u32 })],
    timeout: [delayMs],
    linkTimeout: [delayMs],
  },
  socket: {
    siocinq: [fd],
    siocoutq: [fd],
    getsockopt: [
      fd,
      object({ level: u32, optname: u32, length: upTo(65536) }),
    ],
    getsockoptSync: [
      fd,
      object({ level: u32, optname: u32, length: upTo(32768) }),
    ],
    setsockopt: [
      fd,
      object({ level: u32, optname: u32, value: either(u32, few) }),
    ],
    getsockname: [fd],
    getpeername: [fd],
    txTimestamps: [fd],
    tcpInfoSync: [fd],
    socketFd: [socketLike],
    socketFds: [list(socketLike)],
  },
  block: {
    blockDevice: [fd],
    blockSize: [fd],
    openDisk: [text, object({ shared: flag })],
    discard: [either(fd, device), object({ offset: wide, length: wide })],
    discardsOf: [device],
    zoneResetAll: [either(fd, device)],
  },
  nvme: {
    nvmeNamespace: [fd],
    nvmeStatusName: [upTo(7), u8],
    passthru: [
      either(fd, namespace),
      object({
        opcode: either(u8, oneOf(0x02, 0x01, 0x06)),
        nsid: oneOf(1, undefined),
        cdw2: u32,
        cdw3: u32,
        cdw10: u32,
        cdw11: u32,
        cdw12: oneOf(0, 0, 1),
        cdw13: u32,
        cdw14: u32,
        cdw15: u32,
        data: either(bytes, list(bytes)),
        metadata: bytesOf(8),
        timeoutMs,
        name: text,
      }),
    ],
    identifyController: [fd],
    identifyNamespace: [fd, object({ nsid: u32 })],
    activeNamespaces: [fd, object({ after: u32 })],
    smartLog: [fd, object({ nsid: u32 })],
    errorLog: [fd, object({ maxEntries: upTo(256) })],
    firmwareLog: [fd],
    listDrives: [],
    controllerNode: [text],
    namespaceDescriptors: [fd, object({ nsid: u32 })],
    identifyZonedController: [fd],
    identifyZonedNamespace: [fd, object({ nsid: u32 })],
    getLogPage: [
      fd,
      object({
        lid: u8,
        byteLength: oneOf(4, 512, 4096),
        offset: oneOf(0, 512, 1n << 40n),
        nsid: u32,
        lsp: upTo(127),
        lsi: u16,
        uuidIndex: upTo(127),
        csi: u8,
        retainAsyncEvent: flag,
        timeoutMs,
      }),
    ],
    selfTestLog: [fd],
    deviceSelfTest: [
      fd,
      object({ test: oneOf("short", "abort"), nsid: u32, parameter: u16 }),
    ],
    effectsLog: [fd, object({ csi: u8 })],
    enduranceGroupLog: [fd, object({ group: u16 })],
    telemetryHeader: [
      fd,
      object({ initiator: oneOf("host", undefined), create: flag }),
    ],
    formatNvm: [
      fd,
      object({
        nsid: oneOf(1, "all"),
        format: upTo(63),
        erase: oneOf("none", "userData", "crypto"),
        metadataInline: flag,
        protectionType: upTo(3),
        protectionFirst: flag,
        timeoutMs,
        shared: flag,
        destroyAllData: oneOf(true),
      }),
    ],
    rescanNamespaces: [fd],
    sanitizeLog: [fd],
    sanitize: [
      fd,
      object({
        action: oneOf("blockErase", "overwrite", "cryptoErase"),
        allowExit: flag,
        passes: oneOf(1, 16),
        pattern: u32,
        invertPattern: flag,
        noDeallocate: flag,
        shared: flag,
        destroyAllData: oneOf(true),
      }),
    ],
    exitSanitizeFailure: [fd],
    getFeatures: [
      fd,
      object({
        feature: u8,
        select: oneOf("current", "default", "saved", "supported"),
        nsid: u32,
        cdw11: u32,
      }),
    ],
    setFeatures: [
      fd,
      object({
        feature: u8,
        value: u32,
        nsid: u32,
        save: flag,
        cdw12: u32,
        data: few,
      }),
    ],
    read: [namespace, transfer],
    write: [namespace, transfer],
    compare: [namespace, transfer],
    zoneAppend: [namespace, transfer],
    readsOf: [namespace, inPlace, object(blockOptions)],
    writesOf: [namespace, inPlace, object(blockOptions)],
    verify: [namespace, range],
    writeZeroes: [namespace, range],
    flush: [namespace],
    datasetManagement: [
      namespace,
      object({
        ranges,
        deallocate: flag,
        integralRead: flag,
        integralWrite: flag,
      }),
    ],
    zoneManagementReceive: [
      namespace,
      object({ lba: wide, maxZones: upTo(65535) }),
    ],
    zoneManagementSend: [
      namespace,
      object({
        lba: either(wide, oneOf("all")),
        action: oneOf("close", "finish", "open", "reset", "offline"),
      }),
    ],
  },
  btrfs: {
    encodedRead: [fd, object({ offset: wide, data: few })],
    encodedWrite: [
      fd,
      object({
        offset: wide,
        data: few,
        compression: oneOf("zlib", "zstd", "lzo4k", "none"),
        unencodedLength: upTo(131072),
        unencodedOffset: oneOf(0, undefined, 4096),
        byteLength: oneOf(undefined, 1, 2),
      }),
    ],
  },
  scsi: {
    scsi: [
      fd,
      object({
        cdb: either(bytesOf(6), bytesOf(10), bytesOf(16), bytesOf(32)),
        dataIn: either(bytes, oneOf(undefined)),
        dataOut: either(bytes, oneOf(undefined)),
        timeoutMs,
      }),
    ],
    testUnitReady: [fd, scsiOptions],
    inquiry: [fd, scsiOptions],
    serialNumber: [fd, scsiOptions],
    deviceIdentifiers: [fd, scsiOptions],
    blockLimits: [fd, scsiOptions],
    blockCharacteristics: [fd, scsiOptions],
    blockProvisioning: [fd, scsiOptions],
    reportLuns: [fd, object({ timeoutMs, onSense, maxLuns: oneOf(1, 511) })],
    bsgNode: [text],
    vpdPage: [fd, object({ timeoutMs, page: u8, byteLength: u16 })],
    readCapacity: [fd, scsiOptions],
    readCapacity10: [fd, scsiOptions],
    ...Object.fromEntries(["read", "write"].map((name) => [name, [
      fd,
      bytes,
      object({
        timeoutMs,
        lba: wide,
        blockSize: oneOf(512, 1, 256),
        forceUnitAccess: flag,
        cdbLength: oneOf(10, 16, undefined),
      }),
    ]])),
    synchronizeCache: [fd, scsiOptions],
    unmap: [fd, ranges, scsiOptions],
    decodeSense: [few],
  },
  root: {
    unsafeAddress: [wide],
    open: [oneOf("/dev/null"), object({ write: flag, exclusive: flag })],
    uringCmd: [object({
      fd,
      cmd_op: u32,
      len: u32,
      name: text,
      ioprio: u16,
      sqe_flags: oneOf(0, 16),
      personality: u16,
      cqe32: flag,
      decode: made("decode", () => () => 0),
    })],
    defineCommand: [object({
      name: text,
      cmd_op: u32,
      inline: object({ a: made("u8", () => root.u8(0)) }),
      indirect: object({
        b: made("u64", () => root.u64(8)),
        c: made("bytes", () => root.bytes(16, 8)),
        d: made("pointer", () => root.pointer(0)),
      }),
      len: u32,
      cqe32: flag,
      decode: made("decode", () => () => 0),
    })],
    ...Object.fromEntries(
      ["u8", "u16", "u32", "s32", "u64", "s64", "pointer"].map((name) => [
        name,
        [upTo(4096)],
      ]),
    ),
    bytes: [upTo(4096), upTo(4096)],
  },
};

const modules: Record<string, Record<string, unknown>> = {
  op,
  socket,
  block,
  nvme,
  btrfs,
  scsi,
  root,
};

/** Fields of the SQE that exclude each other, in commands of their own. */
const uringCmds: Recipes[] = [
  object({ fd, cmd_op: u32, addr: memory, addr3: memory, len: u32 }),
  object({ fd, cmd_op: u32, level: u32, optname: u32, optval: memory }),
  object({ fd, cmd_op: u32, optval: memory, optlen: oneOf(0, 511, 512, 513) }),
  object({ fd, cmd_op: u32, payload: either(few, bytesOf(80)) }),
  object({ fd, cmd_op: u32, buf_index: either(u16, buffer), file_index: u32 }),
  object({ fd, cmd_op: u32, buf_group: bufferRing, personality: u16 }),
];

const define = root.defineCommand({
  name: "FUZZ",
  cmd_op: 1,
  inline: { a: root.u16(0), b: root.pointer(8), c: root.bytes(16, 8) },
  indirect: { d: root.s64(0), e: root.pointer(8), f: root.s32(16) },
});
const values = object({
  a: u16,
  b: memory,
  c: bytesOf(8),
  d: wide,
  e: memory,
  f: u16,
});

const small = upTo(8192);

/** Makers, and the commands that they make. */
const parts: readonly Maker[] = [
  {
    name: "op.readsOf(..).at()",
    make: (offset, start, length) =>
      op.readsOf(5, alloc(8192)).at(offset, start, length),
    parameters: [wide, small, small],
  },
  {
    name: "op.writesOf(..).at()",
    make: (offset, start) => op.writesOf(5, alloc(8192)).at(offset, start),
    parameters: [wide, small],
  },
  {
    name: "nvme.readsOf(..).at()",
    make: (namespace, options, lba, start, blocks) =>
      nvme.readsOf(namespace, alloc(8192), options).at(lba, start, blocks),
    parameters: [namespace, object(blockOptions), wide, small, upTo(16)],
  },
  {
    name: "nvme.writesOf(..).at()",
    make: (namespace, lba) => nvme.writesOf(namespace, alloc(8192)).at(lba),
    parameters: [namespace, wide],
  },
  {
    name: "block.discardsOf(..).at()",
    make: (device, offset, length) =>
      block.discardsOf(device).at(offset, length),
    // Few random numbers are of whole blocks.
    parameters: [
      device,
      either(wide, oneOf(0, 4096, 1n << 30n)),
      either(wide, oneOf(512, 8192n)),
    ],
  },
  {
    name: "a defined command's maker()",
    make: (values, a, c) => define.maker(5, values, ["a", "c"]).with(a, c),
    parameters: [values, u16, bytesOf(8)],
  },
];

/** The classes that are exported. */
const classes: Record<string, readonly Recipes[]> = {
  "block.BlockDevice": [deviceFacts],
  "nvme.NvmeError": [text, fd, u16, wide],
  "nvme.NvmeNamespace": [namespaceFacts],
  "scsi.ScsiError": [
    text,
    fd,
    object({
      status: u8,
      hostStatus: u8,
      residual: u32,
      sense: made("sense", () => scsi.decodeSense(Uint8Array.of(0x70))),
    }),
    text,
  ],
  "root.BufferRing": [u16, upTo(64), upTo(4096)],
  "root.Completion": [u32, u32],
  "root.FixedBuffer": [anything, u16, bytes],
  "root.FixedFile": [anything, u16],
  "root.LentBuffer": [bytes],
  "root.Personality": [u16],
  "root.UnsafeAddress": [wide],
};

const constructors = Object.entries(classes).map(
  ([name, parameters]): Maker => {
    const [module, of] = name.split(".");
    const Class = modules[module][of] as new (...args: unknown[]) => unknown;
    return { name, make: (...args) => new Class(...args), parameters };
  },
);

export const makers: readonly Maker[] = [
  ...constructors,
  ...Object.entries(tables).flatMap(([module, functions]) =>
    Object.entries(functions).map(([name, parameters]): Maker => ({
      name: `${module}.${name}`,
      make: modules[module][name] as Maker["make"],
      parameters,
    }))
  ),
  ...uringCmds.map((fields): Maker => ({
    name: "root.uringCmd",
    make: root.uringCmd,
    parameters: [fields],
  })),
  { name: "a defined command", make: define, parameters: [fd, values] },
  ...parts,
];

/** Returns the exported functions that are not among the makers. */
export function missing(): string[] {
  const known = new Set(makers.map(({ name }) => name));
  return Object.entries(modules).flatMap(([module, exports]) =>
    Object.entries(exports)
      .filter(([, value]) => typeof value === "function")
      .map(([name]) => `${module}.${name}`)
      .filter((name) => !known.has(name))
  );
}
