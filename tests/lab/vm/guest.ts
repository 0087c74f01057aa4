/**
 * A guest: a kernel under QEMU, whose root file system is in memory and holds
 * Deno, this project and little else. Its console is its only output.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";
import { type Tally, tally } from "../../laws/tally.ts";
import { output } from "../../kit/run.ts";

/** The architecture of a guest, in Deno's words. */
export type Arch = "x86_64" | "aarch64";

/** QEMU's program and options for each architecture. */
const MACHINES = {
  x86_64: {
    program: "qemu-system-x86_64",
    machine: "q35",
    // Some emulators get the 16-byte compare-and-swap wrong: kernels whose
    // allocator uses it then fail at random. Long vectors and a fifth level of page
    // tables are slow to emulate.
    cpu: "max,-cx16,-la57,-avx,-avx2",
    console: "ttyS0",
  },
  aarch64: {
    program: "qemu-system-aarch64",
    machine: "virt",
    // The kernel signs pointers at each call. The architected algorithm is slow to
    // emulate; this one is QEMU's own.
    cpu: "max,pauth-impdef=on",
    console: "ttyAMA0",
  },
} as const;

const MiB = 2 ** 20;

/** The word of the kernel's command line by which tests know a guest. */
const MARK = "uring.guest";

/** Namespaces of the NVMe controller, as options of QEMU's `nvme-ns` device. */
const NAMESPACES = [
  "logical_block_size=512,physical_block_size=512",
  "logical_block_size=4096,physical_block_size=4096",
  "logical_block_size=512,physical_block_size=512,ms=8",
  "logical_block_size=4096,physical_block_size=4096,zoned=true," +
  "zoned.zone_size=4M,zoned.zone_capacity=4M",
  // Protection information, and metadata after the data of each block.
  "logical_block_size=512,physical_block_size=512,ms=8,pi=1",
  "logical_block_size=512,physical_block_size=512,ms=8,mset=1",
  // Protection information of 16 bytes, with a guard of 64 bits.
  "logical_block_size=512,physical_block_size=512,ms=16,mset=1,pi=1,pif=2",
  "logical_block_size=4096,physical_block_size=4096,ms=8,pi=1,zoned=true," +
  "zoned.zone_size=4M,zoned.zone_capacity=4M",
];

/** Options of {@linkcode boot}. */
export interface Boot {
  readonly arch: Arch;
  /** The path of the kernel's image. */
  readonly kernel: string;
  /** The path of the archive with the root file system. */
  readonly initrd: string;
  /** The folder for the disks. */
  readonly folder: string;
  /** The path of the file for the output of the console. */
  readonly log: string;
  /** Seconds after which a guest that still runs is killed. */
  readonly timeoutSeconds: number;
  /** The entries of an NVMe queue. */
  readonly nvmeQueue: number;
  /** `true` to use KVM instead of emulation. */
  readonly kvm: boolean;
  /** `true` to let each instruction of the guest take one nanosecond of its time. */
  readonly icount: boolean;
  /** `true` to print the console while the guest runs. */
  readonly show: boolean;
}

/** The result of a guest. */
export interface Verdict extends Tally {
  /** The release of the kernel; empty if it did not boot. */
  readonly release: string;
  /** The output of Deno. */
  readonly output: string;
  /** A description of all failures; empty if there are none. */
  readonly trouble: string;
}

/** Boots a guest, and returns the output of its console once it is off. */
export async function boot(options: Boot): Promise<string> {
  const { arch, folder, show, timeoutSeconds } = options;
  const { program, machine, cpu, console: tty } = MACHINES[arch];
  const child = spawn(program, [
    ...["-machine", machine, "-cpu", cpu, "-m", "2G"],
    ...processors(options),
    ...["-no-reboot", "-nic", "none"],
    ...["-display", "none", "-monitor", "none", "-serial", "stdio"],
    ...["-kernel", options.kernel, "-initrd", options.initrd],
    // The kernel prints errors at once. init.sh prints all other messages at the
    // end, so that they do not come between the lines of the tests.
    ...[
      "-append",
      `console=${tty} loglevel=4 panic=-1 mitigations=off ${nvmeOf(options)} ` +
      MARK,
    ],
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
    : `${said}\n@@ ended by ${signal}, after at most ${timeoutSeconds} s\n`;
}

/**
 * Returns parameters for the NVMe driver. They are for one that is part of the
 * kernel; init.sh reads them for one that is a module.
 */
function nvmeOf({ nvmeQueue }: Boot): string {
  return `nvme.poll_queues=1 nvme.io_queue_depth=${nvmeQueue}`;
}

/** An eighth of the guest's memory, QEMU's default, is too little translated code. */
const TCG = "tcg,thread=multi,tb-size=1024";

function processors({ kvm, icount }: Boot): string[] {
  // With -icount, the processors of a guest run in turns: more would not help.
  return icount
    ? ["-smp", "1", "-accel", "tcg,thread=single", "-icount", "shift=0"]
    : ["-smp", "2", "-accel", kvm ? "kvm" : TCG];
}

/**
 * Keeps a process on one processor. When the emulated drive and the guest run on
 * two, QEMU 7.2 misses a doorbell once in some hundred thousand commands. A missed
 * one costs a minute, until the guest resets the drive.
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

/** Makes empty disks, and returns QEMU's options for an NVMe controller on them. */
function disks(folder: string): string[] {
  // Transfers of up to 4 MiB, more than Linux has segments for. Zone Append takes
  // 16 KiB, and Verify 32 KiB.
  const limits = "mdts=10,zoned.zasl=2,vsl=3";
  const args = ["-device", `nvme,id=nvme,serial=uring,${limits}`];
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

/** Messages of a kernel that found a fault in itself. */
const KERNEL_TROUBLE =
  /^\[ *\d+\.\d+\].*(BUG:|WARNING:|Oops|Kernel panic|general protection fault|Call Trace:|blocked for more than|detected stall)/m;

const NOTHING: Tally = { passed: 0, failed: 0, skipped: 0 };

/** Judges the output of a console; `counted` if tests ran, and printed counts. */
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
    // Trouble without a failed test counts as one failure.
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
