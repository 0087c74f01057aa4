/** What the errors of the kernel and of drives have in common. */

import { assert, assertEquals } from "@std/assert";
import { CommandError, UringError } from "../../mod.ts";
import { NvmeError } from "../../cmd/nvme/mod.ts";
import { ScsiError } from "../../cmd/scsi/mod.ts";
import { FuseError } from "../../cmd/fuse/mod.ts";

const sense = null;
const outcome = { status: 0, hostStatus: 0, residual: 0, sense };

Deno.test("errors of the kernel and of drives have a command, a file and a code", () => {
  const errors = [
    new UringError("URING_CMD X", 5, 95),
    new NvmeError("NVME READ", 5, 0x80),
    new ScsiError("SCSI READ(10)", 5, { ...outcome, status: 8 }),
    new ScsiError("SCSI READ(10)", 5, { ...outcome, hostStatus: 3 }),
    new ScsiError("SCSI INQUIRY", 5, outcome, "it is too short"),
  ];
  assertEquals(errors.map(({ code }) => code), [
    "EOPNOTSUPP",
    "LBA Out of Range",
    "BUSY",
    "DID_TIME_OUT",
    "Bad Answer",
  ]);
  for (const error of errors) {
    assert(error instanceof CommandError);
    assert(error instanceof Error);
    assertEquals(error.fd, 5);
    assert(error.message.startsWith(`${error.op} on fd 5: `));
    assertEquals(error.name, error.constructor.name);
  }
});

Deno.test("the error that a handler throws is none of a command", () => {
  assert(!((new FuseError("ENOENT") as Error) instanceof CommandError));
});
