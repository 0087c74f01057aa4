/** Descriptors for mounting: where a path leads, and one that another process sends. */

import { E } from "../../sys/uapi/errno.ts";
import { AT_FDCWD, F_GETFL, F_SETFD, F_SETFL } from "../../sys/uapi/fcntl.ts";
import { FD_CLOEXEC, O_DIRECTORY, O_NONBLOCK } from "../../sys/uapi/fcntl.ts";
import { O_PATH } from "../../sys/uapi/fcntl.ts";
import * as so from "../../sys/uapi/socket.ts";
import { iovec } from "../../sys/uapi/uio.ts";
import { close, open } from "../../sys/file.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch, scratchCopy } from "../../sys/scratch.ts";

/** Returns the absolute path of a directory, without links, or `-errno`. */
export function directoryPath(path: string): string | number {
  const fd = open(path, O_PATH | O_DIRECTORY);
  if (fd < 0) return fd;
  const { bytes, at } = scratch();
  const link = new TextEncoder().encode(`/proc/self/fd/${fd}\0`);
  bytes.set(link);
  const into = 4096;
  const length = syscall("readlinkat", AT_FDCWD, at, at + into, 4096);
  close(fd);
  if (length < 0) return length;
  return new TextDecoder().decode(scratchCopy(into, into + length));
}

/** Lets reads of a descriptor fail with EAGAIN instead of waiting. */
export function setNonblocking(fd: number): void {
  const flags = syscall("fcntl", fd, F_GETFL);
  syscall("fcntl", fd, F_SETFL, flags | O_NONBLOCK);
}

/**
 * Makes two connected sockets, or returns `-errno`. A child inherits the second, which
 * the caller closes when it has started the child.
 */
export function inheritedPair(): [ours: number, theirs: number] | number {
  const { view, at } = scratch();
  const rc = syscall("socketpair", so.AF_UNIX, so.SOCK_STREAM, 0, at);
  if (rc < 0) return rc;
  const [ours, theirs] = [view.getInt32(0, true), view.getInt32(4, true)];
  syscall("fcntl", ours, F_SETFD, FD_CLOEXEC);
  return [ours, theirs];
}

// Places in the scratch memory, and `struct msghdr`, whose padding has no name in C.
const MESSAGE = {
  at: 0,
  size: 56,
  iov: 16,
  iovlen: 24,
  control: 32,
  length: 40,
};
const VECTOR = 64;
const BYTE = 80;
const CONTROL = 96;
/** A `struct cmsghdr` with one descriptor, padded. */
const CONTROL_BYTES = 24;
const FD_AT = 16;

/** Receives a descriptor that was sent to a socket, or returns `-errno`. */
export function receiveDescriptor(socket: number): number {
  const { view, bytes, at } = scratch();
  bytes.fill(0, 0, CONTROL + CONTROL_BYTES);
  iovec.iov_base.set(view, VECTOR, at + BYTE);
  iovec.iov_len.set(view, VECTOR, 1);
  const put = (offset: number, value: number) =>
    view.setBigUint64(MESSAGE.at + offset, BigInt(value), true);
  put(MESSAGE.iov, at + VECTOR);
  put(MESSAGE.iovlen, 1);
  put(MESSAGE.control, at + CONTROL);
  put(MESSAGE.length, CONTROL_BYTES);
  const flags = so.MSG_CMSG_CLOEXEC | so.MSG_DONTWAIT;
  const rc = syscall("recvmsg", socket, at, flags);
  if (rc < 0) return rc;
  const { cmsg_level, cmsg_type } = so.cmsghdr;
  const sent = rc === 1 && cmsg_level.get(view, CONTROL) === so.SOL_SOCKET &&
    cmsg_type.get(view, CONTROL) === so.SCM_RIGHTS;
  return sent ? view.getInt32(CONTROL + FD_AT, true) : -E.EBADF;
}
