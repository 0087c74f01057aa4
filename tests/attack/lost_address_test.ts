/** More memories than a process keeps the addresses of, on all of which commands run. */

import { assert, assertGreater } from "@std/assert";
import { Ring } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { arenaOf } from "../../sys/arena.ts";
import { open } from "../../sys/file.ts";
import { O_RDONLY } from "../../sys/uapi/fcntl.ts";
import { Fd } from "../kit/fds.ts";

const COUNT = 12_000;

Deno.test("commands find their memory again when its address was taken back", async () => {
  await using ring = Ring.open({ entries: 64 });
  using file = new Fd(open("/proc/self/exe", O_RDONLY));
  const content = new Uint8Array(8 * COUNT);
  ring.cmdSync(op.read(file.fd, content, { offset: 0 }));
  const memory = Array.from({ length: COUNT }, () => ring.alloc(8));
  const commands = memory.map((bytes, i) =>
    op.read(file.fd, bytes, { offset: i * 8 })
  );
  const arenas = memory.map(({ buffer }) => arenaOf(buffer)!);
  const lost = () => arenas.filter(({ page }) => page === 0).length;
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < COUNT; i += 16) {
      ring.cmdAllSync(commands.slice(i, i + 16));
    }
    for (let i = 0; i < COUNT; i++) {
      const expected = content.subarray(i * 8, i * 8 + 8);
      assert(memory[i].every((byte, at) => byte === expected[at]), `${i}`);
      memory[i].fill(0);
    }
    // Of these, the next round finds the address anew.
    assertGreater(lost(), COUNT / 2);
  }
});
