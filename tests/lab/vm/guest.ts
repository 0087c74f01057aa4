/**
 * A guest: a kernel under QEMU, with a root in memory that holds Deno, this
 * project and little else. What it says on its console is all that comes back.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";
import { type Tally, tally } from "../../laws/tally.ts";
import { output } from "./apt.ts";

/** The machines that guests are made for, as Deno calls them. */
export type Arch = "x86_64" | "aarch64";

/** What QEMU needs to know of a machine. */
const MACHINES = {
  x86_64: {
    program: "qemu-system-x86_64",
    machine: "q35",
    // 16-byte compare-and-swap is not what it should be in some emulators:
    // kernels that use it to allocate memory then fail at random.
    cpu: "max,-cx16",
    console: "ttyS0",
  },
  aarch64: {
    program: "qemu-system-aarch64",
    machine: "virt",
    // Pointers are signed at each call, which is dear in software as it is done
    // in silicon.
    cpu: "max,pauth-impdef=on",
    console: "ttyAMA0",
  },
} as const;

const MiB = 2 ** 20;

/**
 * For a driver that is part of the kernel; modules get theirs where they are
 * loaded. The drive has few tags, so that tests run out of them.
 */
const PARAMETERS = "nvme.poll_queues=1 nvme.io_queue_depth=32";

/** Namespaces of the NVMe controller: see the manual of QEMU for the words. */
const NAMESPACES = [
  "logical_block_size=512,physical_block_size=512",
  "logical_block_size=4096,physical_block_size=4096",
  "logical_block_size=512,physical_block_size=512,ms=8",
  "logical_block_size=4096,physical_block_size=4096,zoned=true," +
  "zoned.zone_size=4M,zoned.zone_capacity=4M",
  // Protection information, and metadata behind the data of each block.
  "logical_block_size=512,physical_block_size=512,ms=8,pi=1",
  "logical_block_size=512,physical_block_size=512,ms=8,mset=1",
];

/** What to boot. */
export interface Boot {
  readonly arch: Arch;
  /** The image of the kernel. */
  readonly kernel: string;
  /** The archive with its root. */
  readonly initrd: string;
  /** The folder for the disks. */
  readonly folder: string;
  /** The file for what the console says. */
  readonly log: string;
  readonly timeoutSeconds: number;
  /** On the processor itself, and not on one of software. */
  readonly kvm: boolean;
  /** A nanosecond of the guest is an instruction, however long it takes. */
  readonly icount: boolean;
  /** Show the console while it runs. */
  readonly show: boolean;
}

/** How it went. */
export interface Verdict extends Tally {
  /** The release of the kernel; empty when it did not come to that. */
  readonly release: string;
  /** What Deno printed. */
  readonly output: string;
  /** What there is to say about failures; empty when all is well. */
  readonly trouble: string;
}

/** Boots a guest, and returns what its console said until it was off. */
export async function boot(options: Boot): Promise<string> {
  const { arch, folder, show, timeoutSeconds } = options;
  const { program, machine, cpu, console: tty } = MACHINES[arch];
  const child = spawn(program, [
    ...["-machine", machine, "-cpu", cpu, "-m", "2G"],
    ...processors(options),
    ...["-no-reboot", "-nic", "none"],
    ...["-display", "none", "-monitor", "none", "-serial", "stdio"],
    ...["-kernel", options.kernel, "-initrd", options.initrd],
    // Errors are shown at once; of the rest the guest prints a copy at the end,
    // so that it does not come between the lines of the tests.
    ...["-append", `console=${tty} loglevel=4 panic=-1 ${PARAMETERS}`],
    ...disks(folder),
  ]);
  if (options.icount) await pin(child.pid);
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutSeconds * 1000);
  using log = await Deno.create(options.log);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stdout) {
    await log.write(chunk);
    if (show) await Deno.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  clearTimeout(timer);
  const { signal } = await child.status;
  const said = stripVTControlCharacters(text).replaceAll("\r", "");
  return signal === null
    ? said
    : `${said}\n@@ ended by ${signal}; it had ${timeoutSeconds} seconds\n`;
}

function processors({ kvm, icount }: Boot): string[] {
  // Where instructions are counted, processors take turns: one does as much.
  return icount
    ? ["-smp", "1", "-accel", "tcg,thread=single", "-icount", "shift=0"]
    : ["-smp", "2", "-accel", kvm ? "kvm" : "tcg,thread=multi"];
}

/**
 * Has a process stay on one processor. The drive of QEMU 7.2 misses a doorbell
 * once in some hundred thousand commands when it and the guest run on two at
 * once, and a missed one costs a minute, until the guest resets the drive.
 */
async function pin(pid: number): Promise<void> {
  const status = await Deno.readTextFile("/proc/self/status");
  const [, processor] = /^Cpus_allowed_list:.*?(\d+)$/m.exec(status)!;
  await output("taskset", ["-acp", processor, `${pid}`]);
}

function spawn(program: string, args: string[]): Deno.ChildProcess {
  try {
    return new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: "piped",
    }).spawn();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new Error(
      `${program} is missing: apt-get install --no-install-recommends ` +
        "qemu-system-x86 qemu-system-arm",
      { cause },
    );
  }
}

/** A controller whose namespaces are on disks that are empty at every boot. */
function disks(folder: string): string[] {
  const args = ["-device", "nvme,id=nvme,serial=uring"];
  for (const [i, options] of NAMESPACES.entries()) {
    const path = `${folder}/disk${i}`;
    using file = Deno.openSync(path, {
      write: true,
      create: true,
      truncate: true,
    });
    file.truncateSync(64 * MiB);
    args.push(
      "-drive",
      `file=${path},format=raw,if=none,discard=unmap,id=disk${i}`,
    );
    args.push(
      "-device",
      `nvme-ns,bus=nvme,nsid=${i + 1},drive=disk${i},${options}`,
    );
  }
  return args;
}

/** What the kernel says when something is wrong with itself. */
const KERNEL_TROUBLE =
  /^\[ *\d+\.\d+\].*(BUG:|WARNING:|Oops|Kernel panic|general protection fault|Call Trace:|blocked for more than|detected stall)/m;

const NOTHING: Tally = { passed: 0, failed: 0, skipped: 0 };

/** Reads a console; `counted` when it was tests that ran. */
export function judge(said: string, counted: boolean): Verdict {
  const [, release = ""] = /^@@ release (.*)$/m.exec(said) ?? [];
  const [, output = "", code] =
    /^@@ begin\n([^]*?)^@@ end (\d+)$/m.exec(said) ?? [];
  const trouble: string[] = [];
  if (code !== undefined && code !== "0") {
    trouble.push(/^ ERRORS $[^]*/m.exec(output)?.[0] ?? last(output, 40));
  }
  if (!/^@@ off$/m.test(said)) trouble.push(last(said, 40));
  const kernel = KERNEL_TROUBLE.exec(said);
  if (kernel) trouble.push(first(said.slice(kernel.index), 30));
  const { passed, failed, skipped } = counted ? tally(output, 1) : NOTHING;
  return {
    release,
    output,
    passed,
    // What is wrong without a test that failed counts as one failure.
    failed: failed === 0 && trouble.length > 0 ? 1 : failed,
    skipped,
    trouble: trouble.map((text) => text.trim()).join("\n\n"),
  };
}

function first(text: string, lines: number): string {
  return text.split("\n", lines).join("\n");
}

function last(text: string, lines: number): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
