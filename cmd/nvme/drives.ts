/**
 * The NVMe drives of this machine, as the kernel lists them in /sys.
 *
 * @module
 */

import { listDirectory, mayOpen, readText } from "../../sys/file.ts";
import { deviceAt } from "../device_node.ts";

/** The access of this process to a node, by the node's owner and mode. */
export interface NodeAccess {
  /** `true` if it may open the node for reading. */
  readonly readable: boolean;
  /** `true` if it may open the node for writing. */
  readonly writable: boolean;
}

/** A namespace of a drive, as the kernel sees it. */
export interface DriveNamespace extends NodeAccess {
  /**
   * The node for commands, such as `/dev/ng0n1`; `null` before Linux 5.13. The
   * access is that to this node, or else to the block device.
   */
  readonly path: string | null;
  /** The block device, such as `/dev/nvme0n1`; `null` if there is none. */
  readonly blockPath: string | null;
  /** The number of the namespace; 0 if the kernel does not say. \[NSID\] */
  readonly nsid: number;
  /** Bytes of the namespace. */
  readonly byteLength: number;
  /** Bytes of data in a logical block. \[LBADS\] */
  readonly blockSize: number;
  /** Bytes of metadata of a block; `null` before Linux 6.8. \[MS\] */
  readonly metadataBytes: number | null;
  /** Logical blocks in use; `null` before Linux 6.8. \[NUSE\] */
  readonly usedBlocks: number | null;
  /** `true` for a namespace with zones. */
  readonly zoned: boolean;
  /** The number that no other namespace in the world has, as the kernel names it. */
  readonly wwid: string;
}

/** A controller of a drive, and the namespaces that can be reached through it. */
export interface Drive extends NodeAccess {
  /** The node for admin commands, such as `/dev/nvme0`. */
  readonly path: string;
  /** The name of the model. \[MN\] */
  readonly modelNumber: string;
  /** The serial number. \[SN\] */
  readonly serialNumber: string;
  /** The revision of the active firmware. \[FR\] */
  readonly firmwareRevision: string;
  /** The way to the controller: `"pcie"`, `"tcp"`, `"rdma"`, `"fc"`, `"loop"`. */
  readonly transport: string;
  /** The address on that way, such as `"0000:01:00.0"`. */
  readonly address: string;
  /** The state of the driver: `"live"` for a controller that takes commands. */
  readonly state: string;
  /** The number of the controller in its subsystem. \[CNTLID\] */
  readonly controllerId: number;
  /** The qualified name of the subsystem. \[SUBNQN\] */
  readonly subsystemNqn: string;
  /** The namespaces, by the numbers in their names. */
  readonly namespaces: readonly DriveNamespace[];
}

/**
 * Lists the NVMe controllers of this machine with their namespaces: none where
 * the kernel has no NVMe driver, or /sys is not mounted.
 *
 * Reads /sys, and sends no command: any user may do that, on any kernel. With
 * several paths to one drive, each controller lists the namespaces again.
 * A container's rules for devices may forbid what the mode of a node allows.
 *
 * @example The drives, and the health of each
 * ```ts ignore
 * import { open, Ring } from "@uring/cmd";
 * import { listDrives, smartLog } from "@uring/cmd/nvme";
 *
 * await using ring = Ring.open({ drive: true });
 * for (const { path, modelNumber, readable, namespaces } of listDrives()) {
 *   console.log(path, modelNumber, namespaces.map((each) => each.path));
 *   if (!readable) continue;
 *   using drive = open(path);
 *   const { usedPercent } = await ring.cmd(smartLog(drive.fd));
 *   console.log(usedPercent, "% of its life used");
 * }
 * ```
 */
export function listDrives(): Drive[] {
  return controllers().map((name) => {
    const text = (file: string) => readText(`${CLASS}/${name}/${file}`) ?? "";
    return {
      path: `/dev/${name}`,
      modelNumber: text("model"),
      serialNumber: text("serial"),
      firmwareRevision: text("firmware_rev"),
      transport: text("transport"),
      address: text("address"),
      state: text("state"),
      controllerId: Number(text("cntlid")),
      subsystemNqn: text("subsysnqn"),
      ...mayOpen(`/dev/${name}`),
      namespaces: namespacesOf(name).map(namespaceOf),
    };
  });
}

const CLASS = "/sys/class/nvme";
const GENERIC = "/sys/class/nvme-generic";

/** Returns the names of the controllers, such as `nvme0`. */
function controllers(): string[] {
  return sorted(listDirectory(CLASS, (name) => /^nvme\d+$/.test(name)));
}

/**
 * Returns the names of the namespaces of a controller, such as `nvme0n1`. Those of
 * a drive with several paths are called `nvme0c1n1` there, and are nodes of the
 * first number.
 */
export function namespacesOf(controller: string): string[] {
  const names = listDirectory(
    `${CLASS}/${controller}`,
    (name) => /^(nvme\d+(c\d+)?|ng\d+)n\d+$/.test(name),
  );
  if (typeof names === "number") return [];
  return sorted([...new Set(names.map(headOf))]);
}

/** Returns the name of a namespace's block device: `nvme0n1` for `ng0n1`. */
function headOf(name: string): string {
  return name.replace("ng", "nvme").replace(/c\d+n/, "n");
}

/** Sorts names by the numbers in them; `-errno` is no name. */
function sorted(names: string[] | number): string[] {
  if (typeof names === "number") return [];
  const numbers = (name: string) => name.match(/\d+/g)!.map(Number);
  return names.sort((a, b) => {
    const [one, two] = [numbers(a), numbers(b)];
    return one[0] - two[0] || (one[1] ?? 0) - (two[1] ?? 0);
  });
}

function namespaceOf(name: string): DriveNamespace {
  const generic = name.replace("nvme", "ng");
  const text = (file: string) => readText(`/sys/block/${name}/${file}`);
  const number = (file: string) => {
    const found = text(file);
    return found === undefined ? null : Number(found);
  };
  const block = text("size") === undefined ? null : `/dev/${name}`;
  const node = readText(`${GENERIC}/${generic}/dev`) === undefined
    ? null
    : `/dev/${generic}`;
  return {
    path: node,
    blockPath: block,
    nsid: number("nsid") ?? Number(readText(`${GENERIC}/${generic}/nsid`) ?? 0),
    byteLength: (number("size") ?? 0) * SECTOR,
    blockSize: number("queue/logical_block_size") ?? 0,
    metadataBytes: number("metadata_bytes"),
    usedBlocks: number("nuse"),
    zoned: text("queue/zoned") === "host-managed",
    wwid: text("wwid") ?? "",
    ...mayOpen(node ?? block ?? ""),
  };
}

/** Bytes of the unit in which the kernel states the size of a disk. */
const SECTOR = 512;

/**
 * Returns the path of the controller of a namespace: `/dev/nvme0` for
 * `/dev/ng0n1`, for `/dev/nvme0n1`, for a partition of it, for a link to one of
 * them, and for itself. Admin commands, such as those of logs, go to that node. Of
 * several controllers, it is the first that is live.
 *
 * Reads /sys, and opens nothing.
 *
 * @example The health of the drive that has a disk
 * ```ts ignore
 * import { open } from "@uring/cmd";
 * import { controllerNode, smartLog } from "@uring/cmd/nvme";
 *
 * using drive = open(controllerNode("/dev/nvme0n1"));
 * console.log(await ring.cmd(smartLog(drive.fd)));
 * ```
 *
 * @throws {TypeError} if the path is not that of a node of an NVMe drive.
 * @throws {UringError} if there is no such file.
 */
export function controllerNode(path: string): string {
  const { name } = deviceAt(path);
  if (/^nvme\d+$/.test(name)) return `/dev/${name}`;
  const found = controllerOf(name);
  if (found !== undefined) return `/dev/${found}`;
  throw new TypeError(
    `${path} is ${
      name === "" ? "no device" : `/dev/${name}`
    }, and no node of ` +
      "an NVMe drive. listDrives() returns those that there are",
  );
}

/**
 * Returns the name of a controller of a namespace, of which `name` is the node, a
 * partition, or the block device; `undefined` for any other device.
 */
export function controllerOf(name: string): string | undefined {
  const [node] = /^(nvme|ng)\d+n\d+/.exec(name) ?? [];
  if (node === undefined) return undefined;
  const all = controllers().filter((controller) =>
    namespacesOf(controller).includes(headOf(node))
  );
  return all.find((controller) =>
    readText(`${CLASS}/${controller}/state`) === "live"
  ) ?? all[0];
}
