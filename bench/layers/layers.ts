/** The names under which benchmarks report, from which the report reads them. */

/** The layers from the bottom up, each with the file that measures it. */
export const LAYERS = {
  "./raw": "raw_bench.ts",
  "cmdAllSync": "sync_bench.ts",
  "cmdSync": "sync_bench.ts",
  "cmdAll": "all_bench.ts",
  "cmd, Promise.all": "await_bench.ts",
  "cmd, loops": "loops_bench.ts",
} as const;
export type Layer = keyof typeof LAYERS;

/** The alternatives to the library, which `ffi_bench.ts` measures. */
export const ALTERNATIVES = [
  "promises alone, 128 at a time",
  "ioctl by FFI",
  "ioctl by nonblocking FFI, one at a time",
  "ioctl by nonblocking FFI, 128 at a time",
  "FsFile.read, one at a time",
  "FsFile.read, 128 at a time",
] as const;
export type Alternative = typeof ALTERNATIVES[number];

/** The names of all layers. */
export const LAYER_NAMES = Object.keys(LAYERS) as Layer[];
