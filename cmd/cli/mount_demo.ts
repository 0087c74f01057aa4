/** Mounts a small filesystem for a moment, and reads it. */

import { syscall } from "../../sys/libc.ts";

/** Milliseconds after which the mount is taken away, and after which all is ended. */
const [DEADLINE_MS, LAST_MS] = [5_000, 20_000];

/** Returns the flags without which nothing is mounted. It asks no user. */
function missingFlags(): string[] {
  const lacks = (permission: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(permission).state !== "granted";
  // Deno does not grant a program that is not installed.
  const unmount = syscall("geteuid") === 0 ? "umount" : "fusermount3";
  const cannotRun = ["sh", unmount].some((command) =>
    lacks({ name: "run", command })
  );
  return [
    ...cannotRun ? ["--allow-run=sh,umount,fusermount3"] : [],
    ...lacks({ name: "read" }) ? ["--allow-read"] : [],
    ...lacks({ name: "write" }) ? ["--allow-write"] : [],
  ];
}

/** Mounts on a new directory, if it may, or says what it lacks. */
export async function mountDemo(): Promise<void> {
  const flags = missingFlags();
  if (flags.length > 0) {
    console.log(`\nTo see a filesystem mounted, add ${flags.join(" ")}`);
    return;
  }
  // Only here, so that nothing else loads the server.
  const { mount } = await import("../fuse/mod.ts");
  const dir = await Deno.makeTempDir({ prefix: "uring-demo-" });
  const path = `${dir}/hello.txt`;
  const text = new TextEncoder().encode("hello from TypeScript");
  // Nothing here waits in a system call of this thread, which has to answer.
  const end = setTimeout(() => {
    console.error("  the mount does not answer, and is ended");
    Deno.exit(1);
  }, LAST_MS);
  try {
    await using mounted = await mount(dir, {
      getattr: (path) =>
        path === "/"
          ? { kind: "directory" }
          : path === "/hello.txt"
          ? { kind: "file", size: text.length }
          : null,
      readdir: () => ["hello.txt"],
      read: (_path, into, { offset }) =>
        text.subarray(offset, offset + into.length),
    }, {
      name: "uring-demo",
      transport: "classic",
      timeoutMs: 2000,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    console.log(`\nA filesystem of this program, ${mounted.how}:`);
    const start = performance.now();
    const said = await Deno.readTextFile(path);
    const micros = ((performance.now() - start) * 1000).toFixed(0);
    console.log(`  ${path.padEnd(30)} ${micros.padStart(6)} us  ${said}`);
  } catch (error) {
    console.log(`\nA filesystem: ${(error as Error).message}`);
  } finally {
    clearTimeout(end);
  }
  await Deno.remove(dir).catch(() => {});
}
