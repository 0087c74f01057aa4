/**
 * The NVMe drive of the laboratory. Tests write to it, so it is found by the
 * serial number that the laboratory gives it: another drive is never opened.
 */

import { type NvmeNamespace, nvmeNamespace } from "../../cmd/nvme/mod.ts";
import { Ring, type RingOptions } from "../../mod.ts";
import { O_RDWR } from "../../sys/uapi/fcntl.ts";
import { open, readText } from "../../sys/file.ts";
import { Fd } from "../kit/fds.ts";

const SERIAL = "uring";

/** The namespaces that the laboratory makes, by what they are for. */
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
  /** 8 bytes of metadata, behind the data of each block. */
  inline: 6,
} as const;

/** The number of the controller; -1 where there is no such drive. */
export const controller: number =
  [0, 1, 2, 3].find((i) =>
    readText(`/sys/class/nvme/nvme${i}/serial`) === SERIAL
  ) ?? -1;

/** What is missing for tests on the drive; empty if nothing is. */
export const missing: string = controller < 0
  ? "NVMe drive of the laboratory"
  : "";

export const controllerPath = `/dev/nvme${controller}`;

/**
 * The path of a namespace's node: `"ng"` for commands, `"nvme"` for blocks. The
 * last number is no nsid: Linux counts namespaces in the order it finds them.
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

/** The controller's node, open. */
export function openController(flags: number = O_RDWR): Fd {
  return new Fd(open(controllerPath, flags));
}

/** A ring, and a namespace that is open. */
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
