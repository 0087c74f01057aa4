/** A descriptor that is served as /dev/fuse is, and on whose other end is a test. */

import { assertEquals } from "@std/assert";
import { setNonblocking } from "../../cmd/fuse/descriptors.ts";
import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { AF_UNIX } from "../../sys/uapi/socket.ts";
import { until } from "../kit/wait.ts";
import { words } from "./fake.ts";

const SEQPACKET = 5;
const EAGAIN = 11;

/** The kernel's side of a descriptor, which is a socket: nothing is mounted. */
export function fakeDevice() {
  const { view, at } = scratch();
  assertEquals(syscall("socketpair", AF_UNIX, SEQPACKET, 0, at), 0);
  const [kernel, fd] = [view.getInt32(0, true), view.getInt32(4, true)];
  setNonblocking(kernel);
  setNonblocking(fd);
  let unique = 0n;
  return {
    fd,
    kernel,
    /** Sends a request. */
    send(opcode: number, ...args: number[]): void {
      const rest = words(...args);
      unique += 2n;
      const head = words(40 + rest.length, opcode, unique, 1n, 0, 0, 0, 0);
      const { bytes, at } = scratch();
      bytes.set(head);
      bytes.set(rest, 40);
      const length = 40 + rest.length;
      assertEquals(syscall("write", kernel, at, length), length);
    },
    /** Returns the bytes and the errno of the next reply, or `null` at the end. */
    async reply(): Promise<[length: number, errno: number] | null> {
      let rc = -EAGAIN;
      await until(() => {
        rc = syscall("read", kernel, scratch().at, 65536);
        return rc !== -EAGAIN;
      });
      return rc > 0 ? [rc, -scratch().view.getInt32(4, true)] : null;
    },
  };
}
