/** Runs a script in hostile surroundings, in a process of its own. */

import { assertEquals } from "@std/assert";
import { runScript } from "../../kit/run.ts";

const IMPORTS = `
import { Ring } from "@uring/mod.ts";
import * as op from "@uring/cmd/op.ts";
import { openDescriptors } from "@uring/sys/file.ts";
import { __NR_x86_64 as NR } from "@uring/sys/uapi/unistd.ts"; // io_uring's are everywhere the same.
import { Command } from "@uring/ring/command.ts";
import { pipe, writeSync } from "@uring/tests/kit/fds.ts";
import * as hostile from "@uring/tests/attack/hostile/surroundings.ts";
const { objection } = hostile;
const tell = (answers) => console.log(JSON.stringify(answers));
`;

/** Runs a script, which has to succeed, and returns the value that it told. */
export async function ask<T>(script: string): Promise<T> {
  // tests/kit asks for the user.
  const flags = ["--allow-ffi", "--allow-sys=uid"];
  const { code, stdout, stderr } = await runScript(IMPORTS + script, flags);
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}
