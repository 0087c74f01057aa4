/**
 * The NVMe drive of the laboratory. Tests write to it, so they find it by the
 * serial number that the laboratory gives it, and never open another drive.
 */

import { type NvmeNamespace, nvmeNamespace } from "../../cmd/nvme/mod.ts";
import { Ring, type RingOptions } from "../../mod.ts";
import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import { open, readText } from "../../sys/file.ts";
import { Fd } from "../kit/fds.ts";

const SERIAL = "uring";

/** The numbers of the namespaces that the laboratory makes, by purpose. */
export const NSID = {
  /** Blocks of 512 bytes. */
  plain: 1,
  /** Blocks of 4096 bytes. */
  large: 2,
  /** 8 bytes of metadata, apart from the data. */
  metadata: 3,
  /** Zones of 4 MiB. */
  zoned: 4,
  /** Protection information of type 1, apart from the data. */
  protection: 5,
  /** 8 bytes of metadata, after the data of each block. */
  inline: 6,
  /** Protection information of 16 bytes, after the data of each block. */
  guard64: 7,
  /** Zones of 4 MiB, with protection information of type 1 apart. */
  zonedProtection: 8,
} as const;

/** The number of the controller; -1 without such a drive. */
export const controller: number =
  [0, 1, 2, 3].find((i) =>
    readText(`/sys/class/nvme/nvme${i}/serial`) === SERIAL
  ) ?? -1;

/** The reason to skip tests on the drive; empty if it is there. */
export const missing: string = controller < 0
  ? "NVMe drive of the laboratory"
  : "";

export const controllerPath = `/dev/nvme${controller}`;

/**
 * Returns the path of a namespace's node: `"ng"` for commands, `"nvme"` for
 * blocks. Its last number is no nsid: Linux numbers namespaces as it finds them.
 */
export function pathOf(
  which: keyof typeof NSID,
  kind: "ng" | "nvme" = "ng",
): string {
  for (let i = 1; i <= 32; i++) {
    const nsid = readText(`/sys/block/nvme${controller}n${i}/nsid`);
    if (Number(nsid) === NSID[which]) return `/dev/${kind}${controller}n${i}`;
  }
  throw new Error(`there is no namespace ${NSID[which]}`);
}

/** Opens the node of the controller. */
export function openController(flags: number = O_RDWR): Fd {
  return new Fd(open(controllerPath, flags));
}

/** An open namespace of the drive, and a ring for it. */
export class Namespace implements AsyncDisposable {
  readonly ring: Ring;
  readonly fd: number;
  readonly namespace: NvmeNamespace;
  readonly #file: Fd;

  constructor(
    which: keyof typeof NSID,
    { flags = O_RDWR, ...options }: RingOptions & { flags?: number } = {},
  ) {
    this.#file = new Fd(open(pathOf(which), flags));
    this.fd = this.#file.fd;
    this.namespace = nvmeNamespace(this.fd);
    this.ring = Ring.open({ sqe128: true, cqe32: true, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ring.close();
    this.#file.close();
  }
}
