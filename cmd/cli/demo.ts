/**
 * Prints what this kernel can do, then runs real commands. It is what
 * `deno run --allow-ffi mod.ts` runs.
 *
 * @module
 */

import { syscall } from "../../sys/libc.ts";
import { scratch } from "../../sys/scratch.ts";
import { socketName } from "../../sys/socket_calls.ts";
import type { Command } from "../../ring/command.ts";
import { UringError } from "../../ring/errors.ts";
import { Ring } from "../../ring/ring.ts";
import * as op from "../op.ts";
import { type Probe, probe } from "../probe.ts";
import { decodeSockaddr } from "../sockaddr.ts";
import * as sock from "../socket/mod.ts";
import { uringCmd } from "../uring_cmd.ts";
import { mountDemo } from "./mount_demo.ts";
import { probeText } from "./probe_text.ts";

/**
 * Prints it all. Returns the exit code: 1 if io_uring is refused, or if a
 * command fails that the probe found; else 0.
 */
export async function demo(): Promise<number> {
  let found: Probe;
  try {
    found = probe();
  } catch (error) {
    // Without --allow-ffi, or on a system other than Linux.
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
  console.log(probeText(found));
  if (found.refused) {
    console.error(`\nio_uring is refused. ${found.refused.message}`);
    return 1;
  }
  await using ring = Ring.open();
  console.log(`\nA ring with ${ring.flags.join(", ")}:`);
  const allRan = await run(ring, found);
  if (found.fuse.mount.available === "yes") await mountDemo();
  return allRan ? 0 : 1;
}

/** Runs the commands. Returns `false` if one failed that this kernel has. */
async function run(ring: Ring, found: Probe): Promise<boolean> {
  let allRan = true;
  async function show<T>(
    what: string,
    command: Command<T>,
    text: (value: T) => string = String,
  ): Promise<void> {
    const start = performance.now();
    const outcome = await ring.cmd(command).then(text, (error) => {
      if (!(error instanceof UringError)) throw error;
      // A command that the probe found missing may fail.
      const family = Object.keys(found.families).find((f) => what.includes(f));
      allRan &&= family !== undefined &&
        found.families[family].available !== "yes";
      return error.message;
    });
    const micros = ((performance.now() - start) * 1000).toFixed(0);
    console.log(`  ${what.padEnd(30)} ${micros.padStart(6)} us  ${outcome}`);
  }

  const text = "forty-two bytes, sent through the ring..!\n";
  // Warm up, so that the times below are not those of the JIT compiler, nor that of
  // loading node:net, which the first command that completes late has Deno do.
  for (let i = 0; i < 500; i++) await ring.cmd(op.nop());
  await ring.cmd(op.timeout(1));
  const [client, server] = await connectedPair(ring);
  await ring.cmd(op.send(client, new TextEncoder().encode(text)));
  await ring.cmd(op.poll(server, { events: op.POLLIN }));
  const bytes = (n: number) => `${n} bytes`;
  await show("socket SIOCINQ", sock.siocinq(server), bytes);
  const buffer = ring.alloc(4096);
  await show("RECV", op.recv(server, buffer), bytes);
  await show("socket SIOCINQ", sock.siocinq(server), bytes);
  await show("socket SIOCOUTQ", sock.siocoutq(client), bytes);
  const level = sock.SOL_SOCKET;
  const option = (optname: number) => ({ level, optname, length: 4 });
  const int = (value: Uint8Array) => String(new Int32Array(value.buffer)[0]);
  const bufferSize = sock.getsockopt(server, option(sock.SO_RCVBUF));
  await show("socket GETSOCKOPT SO_RCVBUF", bufferSize, int);
  const { IPPROTO_TCP, TCP_NODELAY } = sock;
  const noDelay = { level: IPPROTO_TCP, optname: TCP_NODELAY, value: 1 };
  await show("socket SETSOCKOPT TCP_NODELAY", sock.setsockopt(client, noDelay));
  const json = (value: unknown) => JSON.stringify(value);
  await show("socket GETSOCKNAME", sock.getsockname(server), json);

  const [left, right] = unixPair();
  const type = sock.getsockopt(left, option(sock.SO_TYPE));
  await show("Unix socket GETSOCKOPT SO_TYPE", type, int);

  const fd = await ring.cmd(op.openat("/dev/null", { flags: op.O_RDWR }));
  await show("/dev/null, whatever cmd_op", uringCmd({ fd, cmd_op: 42 }));

  const known = found.families["socket SIOCINQ"].available === "yes";
  const command = known ? sock.siocinq(server) : uringCmd({ fd, cmd_op: 42 });
  const count = 10_000;
  let best = Infinity;
  // The first rounds warm up the JIT compiler for many commands at once.
  for (let round = 0; round < 10; round++) {
    const start = performance.now();
    for (let i = 0; i < count; i += 100) {
      await Promise.all(Array.from({ length: 100 }, () => ring.cmd(command)));
    }
    best = Math.min(best, (performance.now() - start) * 1e6 / count);
  }
  const what = `${count} ${known ? "SIOCINQ" : "on /dev/null"}`;
  console.log(
    `  ${what}, 100 in flight: ${
      best.toFixed(0)
    } ns each, in the best of 10 rounds`,
  );

  const fds = [client, server, left, right, fd];
  await Promise.all(fds.map((fd) => ring.cmd(op.close(fd))));
  return allRan;
}

/** Makes a TCP connection on the loopback, and returns its ends. */
async function connectedPair(ring: Ring): Promise<[number, number]> {
  const kind = { domain: op.AF_INET, type: op.SOCK_STREAM };
  const listener = await ring.cmd(op.socket(kind));
  // A listener without an address gets a port from the kernel. The system call
  // is for kernels before 6.11, which have no IORING_OP_LISTEN.
  const rc = syscall("listen", listener, 1);
  if (rc < 0) throw new UringError("listen", listener, -rc);
  const name = socketName(listener, "getsockname");
  if (typeof name === "number") {
    throw new UringError("getsockname", listener, -name);
  }
  const address = decodeSockaddr(name);
  const port = "port" in address ? address.port : 0;
  const client = await ring.cmd(op.socket(kind));
  const [, server] = await Promise.all([
    ring.cmd(op.connect(client, { hostname: "127.0.0.1", port })),
    ring.cmd(op.accept(listener)),
  ]);
  await ring.cmd(op.close(listener));
  return [client, server];
}

/** Makes two connected Unix sockets. */
function unixPair(): [number, number] {
  const { view, at } = scratch();
  const rc = syscall("socketpair", op.AF_UNIX, op.SOCK_STREAM, 0, at);
  if (rc < 0) throw new UringError("socketpair", -1, -rc);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}
