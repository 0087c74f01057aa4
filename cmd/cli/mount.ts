/** Mounts file systems that the tool serves. */

import {
  mount,
  type MountOptions,
  type NodeFileSystem,
  passthrough,
  zip,
} from "../fuse/mod.ts";
import type { Input, Subcommand } from "./subcommand.ts";

const FLAGS = {
  "allow-other": { help: "for all users, not only yours" },
};

async function serve(
  dir: string,
  fs: NodeFileSystem<object>,
  input: Input,
): Promise<void> {
  const options: MountOptions = { allowOther: input.is("allow-other") };
  await using mounted = await mount(dir, fs, options);
  console.error(`mounted on ${dir}: ${mounted.how}. Ctrl-C or umount ends it.`);
  await mounted.finished;
}

export const mountZip: Subcommand = {
  summary: "mount the files of a zip",
  args: ["FILE", "DIRECTORY"],
  flags: FLAGS,
  run: (input) => serve(input.arg(1), zip(input.arg(0)), input),
};

export const mountFolder: Subcommand = {
  summary: "mount a mirror of a directory",
  args: ["FOLDER", "DIRECTORY"],
  flags: FLAGS,
  run: (input) => serve(input.arg(1), passthrough(input.arg(0)), input),
};
