/** Advice for errnos that no test can make a kernel return. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import * as block from "../../cmd/block.ts";
import * as btrfs from "../../cmd/btrfs/file.ts";
import * as scsi from "../../cmd/scsi/mod.ts";
import * as sock from "../../cmd/socket/mod.ts";
import {
  fatalAdvice,
  registerAdvice,
  uringCmdAdvice,
  UringError,
} from "../../ring/errors.ts";
import * as op from "../../cmd/op.ts";
import { refusal } from "../../ring/bare/setup_advice.ts";
import * as uapi from "../../sys/uapi/io_uring.ts";
import { E } from "../../sys/uapi/errno.ts";
import { errnoName } from "../../sys/errno_names.ts";

type Row = readonly [errno: number, text: string];

/** Checks the explanation of each errno, and that an unknown errno has none. */
function explains(
  advice: (errno: number) => string | undefined,
  rows: readonly Row[],
): void {
  for (const [errno, text] of rows) {
    assertStringIncludes(advice(errno) ?? "nothing", text, errnoName(errno));
  }
  assertEquals(advice(9999), undefined);
}

Deno.test("errnos of io_uring_register() are explained", () => {
  explains(registerAdvice, [
    [E.EBUSY, "a table already"],
    [E.EACCES, "was restricted"],
    [E.ENXIO, "no such table"],
    [E.EPERM, "seccomp"],
    [E.ENOSYS, "seccomp"],
    [E.EINVAL, "too old for this"],
  ]);
});

Deno.test("errnos of a uring command are explained", () => {
  explains(uringCmdAdvice, [
    [E.EOPNOTSUPP, "no handler for uring commands"],
    [E.EINVAL, "came with Linux 5.19"],
    [E.ENOTTY, "does not know this cmd_op"],
    [E.EBADF, "descriptor"],
  ]);
});

Deno.test("errnos that end a ring are explained, each of them", () => {
  for (
    const [errno, text] of [
      [E.EBADR, "lost it"],
      [E.EEXIST, "another thread"],
      [E.EBADF, "behind its back"],
      [E.EOPNOTSUPP, "behind its back"],
      [E.EPERM, "seccomp"],
      [E.EACCES, "seccomp"],
      [E.ENOSYS, "seccomp"],
      [E.EOWNERDEAD, "thread has died"],
      [E.EINVAL, "cannot go on"],
    ] as const
  ) assertStringIncludes(fatalAdvice(errno), text, errnoName(errno));
});

Deno.test("errnos of btrfs are explained", () => {
  explains(btrfs.advice, [
    [E.EPERM, "CAP_SYS_ADMIN"],
    [E.EOPNOTSUPP, "older than 6.13"],
    [E.ENOBUFS, "128 KiB"],
    [E.EINVAL, "sector size"],
    [E.EAGAIN, "CONFIG_X86_X32_ABI"],
    [E.EIO, "checksum"],
    [E.EBUSY, "Retry the command"],
    [E.ENOSPC, "is full"],
    [E.ENOTTY, "does not know this cmd_op"],
  ]);
});

Deno.test("errnos of a socket are explained", () => {
  const SOL = sock.SOL_SOCKET;
  const query = { level: SOL, optname: 1, length: 4 };
  explains(sock.siocinq(0).advice, [
    [E.EOPNOTSUPP, "no such count"],
    [E.EINVAL, "listens"],
    [E.EBADF, "descriptor"],
  ]);
  explains(sock.getsockopt(0, query).advice, [
    [E.EOPNOTSUPP, "does not take this option"],
    [E.ENOPROTOOPT, "no such option"],
    [E.EINVAL, "more bytes than `length`"],
    [E.EDOM, "not one the option takes"],
    [E.ERANGE, "more bytes than `length`"],
    [E.ENOENT, "TCP_CONGESTION"],
    [E.EBADF, "descriptor"],
  ]);
  explains(sock.getsockopt(0, { ...query, level: 6 }).advice, [
    [E.EOPNOTSUPP, "getsockoptSync()"],
    [E.ENOPROTOOPT, "no such option"],
  ]);
  explains(sock.getsockname(0).advice, [
    [E.EOPNOTSUPP, "older than 6.19"],
    [E.ENOTCONN, "not connected"],
    [E.ENOTTY, "does not know this cmd_op"],
  ]);
  explains(sock.txTimestamps(0).advice, [
    [E.EOPNOTSUPP, "older than 6.17"],
    [E.ENOBUFS, "completion queue was full"],
    [E.ENOTTY, "does not know this cmd_op"],
  ]);
});

Deno.test("errnos of a SCSI device's node are explained", () => {
  explains(scsi.inquiry(0).advice, [
    [E.EOPNOTSUPP, "older than 7.1"],
    [E.EPERM, "CAP_SYS_RAWIO"],
    [E.EINVAL, "max_hw_sectors_kb"],
    [E.ENODEV, "is gone"],
    [E.ENXIO, "is gone"],
    [E.ENOMEM, "Send the command again"],
    [E.ENOTTY, "does not know this cmd_op"],
  ]);
});

Deno.test("errnos of a block device are explained", () => {
  const part = { offset: 0, length: 4096 };
  explains(block.discard(0, part).advice, [[
    E.ENOTTY,
    "does not know this cmd_op",
  ]]);
  explains(block.zoneResetAll(0).advice, [
    [E.EINVAL, "no such command"],
    [E.EOPNOTSUPP, "no zones"],
  ]);
});

Deno.test("errnos of files and sockets are explained", () => {
  const bytes = new Uint8Array(1);
  const address = { hostname: "127.0.0.1", port: 1 };
  explains(op.openat("/").advice, [
    [E.EACCES, "`namei -l`"],
    [E.EROFS, "read-only"],
    [E.ENXIO, "connect()"],
    [E.ENODEV, "Load the driver"],
    [E.EDQUOT, "quota"],
    [E.EMFILE, "`ulimit -n`"],
  ]);
  for (const make of [op.read, op.write]) {
    explains(make(0, bytes).advice, [
      [E.EFBIG, "RLIMIT_FSIZE"],
      [E.EPIPE, "other end is closed"],
      [E.EIO, "`dmesg`"],
    ]);
  }
  explains(op.fsync(0).advice, [[E.EIO, "may be lost"], [E.EROFS, "flush"]]);
  explains(op.socket({ domain: 2, type: 3 }).advice, [
    [E.EPERM, "CAP_NET_RAW"],
    [E.ENFILE, "fs.file-max"],
  ]);
  explains(op.bind(0, address).advice, [
    [E.EADDRINUSE, "Port 0 takes a free port"],
    [E.EROFS, "read-only"],
  ]);
  explains(op.connect(0, address).advice, [
    [E.ETIMEDOUT, "Nothing answered"],
    [E.ENETUNREACH, "No route"],
    [E.EHOSTUNREACH, "No host answers"],
    [E.EPERM, "firewall"],
    [E.EAGAIN, "Retry later"],
  ]);
  explains(op.listen(0).advice, [[E.EADDRINUSE, "`ss -ltnp`"]]);
  explains(op.accept(0).advice, [
    [E.ECONNABORTED, "next one"],
    [E.EMFILE, "`ulimit -n`"],
  ]);
  for (const make of [op.send, op.recv, op.sendZc]) {
    explains(make(0, bytes).advice, [
      [E.ECONNRESET, "Connect again"],
      [E.ETIMEDOUT, "Connect again"],
      [E.ENOTSOCK, "Use read()"],
    ]);
  }
  explains(op.sendZc(0, bytes).advice, [[E.EOPNOTSUPP, "Use send()"]]);
});

Deno.test("errnos of a command without advice of its own are explained", () => {
  explains(op.nop().advice, [
    [E.EAGAIN, "Retry later"],
    [E.EBUSY, "in use"],
    [E.EIO, "`dmesg`"],
    [E.ENODEV, "is gone"],
    [E.ENXIO, "is gone"],
    [E.ENOSPC, "no room"],
    [E.ETIMEDOUT, "in time"],
    [E.ENOTSOCK, "a socket"],
    [E.EOPNOTSUPP, "does not support"],
    [E.ECANCELED, "no thread"],
  ]);
});

Deno.test("the errno of a timeout without a command to limit is explained", () => {
  const { advice } = op.linkTimeout(5);
  assertStringIncludes(advice(E.EINVAL) ?? "", "a command before it");
  assertStringIncludes(advice(E.EBADF) ?? "", "descriptor");
});

Deno.test("an errno without a name is shown as its number", () => {
  assertEquals(errnoName(E.EPERM), "EPERM");
  assertEquals(errnoName(9999), "E9999");
});

Deno.test("an error names its descriptor, which may be 0", () => {
  const message = (fd: number) => new UringError("READ", fd, E.EIO).message;
  assertEquals(message(0), "READ on fd 0: EIO (5)");
  assertEquals(message(-1), "READ: EIO (5)");
});

Deno.test("a ring of an unknown shape is explained by what was asked for, and only that", () => {
  const rows = [
    [uapi.IORING_SETUP_ATTACH_WQ, "The descriptor to attach to"],
    [uapi.IORING_SETUP_SQ_AFF, "The processor to bind to"],
  ] as const;
  for (const [flag, text] of rows) {
    for (const flags of [0, ...rows.map(([each]) => each)]) {
      const explained = refusal(E.EINVAL, flags).includes(text);
      assertEquals(explained, flags === flag, text);
    }
  }
});
