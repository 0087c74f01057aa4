/**
 * Files that the kernel reads and writes itself: FUSE_PASSTHROUGH, Linux 6.9.
 *
 * All open files of a node are alike, or the kernel answers EIO: fuse_file_io_open().
 * So the first of them decides, and the file that it registers serves until the last
 * is released.
 */

import { CAP_FSETID } from "../../sys/uapi/capability.ts";
import { E } from "../../sys/uapi/errno.ts";
import * as uapi from "../../sys/uapi/fuse.ts";
import { withoutCapability } from "../../sys/capability.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";

/** Registers files with a connection. */
export interface BackingDevice {
  /** Registers the file of a descriptor. Returns its number, or `-errno`. */
  open(fd: number): number;
  /** Gives a number back. */
  close(id: number): void;
}

const { fuse_backing_map } = uapi;

/** Returns the files of a connection, by a descriptor of /dev/fuse. */
export function backingDevice(device: number): BackingDevice {
  return {
    open(fd) {
      const { view, at } = scratch();
      fuse_backing_map.fd.set(view, 0, fd);
      fuse_backing_map.flags.set(view, 0, 0);
      fuse_backing_map.padding.set(view, 0, 0);
      const open = uapi.FUSE_DEV_IOC_BACKING_OPEN;
      // The kernel writes with the rights of this moment. With this one, the file
      // would keep its set-user-ID bit, whoever writes.
      return withoutCapability(
        CAP_FSETID,
        () => syscall("ioctl", device, open, at),
      );
    },
    close(id) {
      const { view, at } = scratch();
      view.setUint32(0, id, true);
      syscall("ioctl", device, uapi.FUSE_DEV_IOC_BACKING_CLOSE, at);
    },
  };
}

/** The open files of a node: how they are served, and how many there are. */
interface Backing {
  /** 0 if the handlers read and write. */
  readonly id: number;
  opens: number;
}

/** Errors that each other file would have, too. */
const HOPELESS = [-E.EPERM, -E.ENOTTY, -E.EOPNOTSUPP];

/** The files that the kernel reads and writes itself. */
export class Backings {
  /** Open files that do without the server. */
  size = 0;
  readonly #device: BackingDevice;
  readonly #byNode = new Map<object, Backing>();
  #refused = false;

  constructor(device: BackingDevice) {
    this.#device = device;
  }

  /**
   * Counts an open file. Returns the number of its backing file; 0 if the handlers
   * read and write.
   *
   * @param find Returns a descriptor of a regular file, if there is one.
   */
  open(node: object, find: () => number | null | undefined): number {
    let backing = this.#byNode.get(node);
    if (backing === undefined) {
      backing = { id: this.#register(find()), opens: 0 };
      this.#byNode.set(node, backing);
    }
    backing.opens++;
    if (backing.id > 0) this.size++;
    return backing.id;
  }

  #register(fd: number | null | undefined): number {
    if (this.#refused || fd === null || fd === undefined) return 0;
    const id = this.#device.open(fd);
    if (HOPELESS.includes(id)) this.#refused = true;
    return Math.max(id, 0);
  }

  /** Counts a release. */
  release(node: object): void {
    const backing = this.#byNode.get(node);
    if (backing === undefined) return;
    if (backing.id > 0) this.size--;
    if (--backing.opens > 0) return;
    this.#byNode.delete(node);
    if (backing.id > 0) this.#device.close(backing.id);
  }
}
