/** Reads of typed arrays that no subclass can falsify. */

import { assertEquals } from "@std/assert";
import { stub } from "@std/testing/mock";
import { Ring, uringCmd } from "../../mod.ts";
import * as op from "../../cmd/op.ts";
import { copyOf, partOf } from "../../ring/intrinsics.ts";
import { pattern } from "../kit/bytes.ts";
import { devNull } from "../kit/fds.ts";

Deno.test("a part and a copy have bytes of the array, and none around it", () => {
  const around = pattern(12);
  const bytes = around.subarray(4, 8);
  for (
    const [start, end, expected] of [
      [0, undefined, bytes],
      [1, 3, bytes.subarray(1, 3)],
      [4, undefined, []],
      [0, 100, bytes],
      [0, -1, []],
      [3, 1, []],
      [0, Infinity, bytes],
    ] as const
  ) {
    const part = partOf(bytes, start, end);
    const copy = copyOf(bytes, start, end);
    assertEquals([[...part], [...copy]], [[...expected], [...expected]]);
    assertEquals(part.buffer, around.buffer);
    assertEquals(copy.buffer.byteLength, copy.length);
  }
});

Deno.test("a part and a copy are plain arrays, whatever the array says", () => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 100;
    }
    override get byteLength(): number {
      return 100;
    }
    override get byteOffset(): number {
      return 0;
    }
    static get [Symbol.species](): never {
      throw new Error("the array's own code ran");
    }
  }
  const bytes = new Liar(pattern(12).buffer, 4, 4);
  for (const made of [partOf(bytes, 0), copyOf(bytes)]) {
    assertEquals(Object.getPrototypeOf(made), Uint8Array.prototype);
    assertEquals([...made], [...pattern(12).subarray(4, 8)]);
  }
});

Deno.test("methods of typed arrays that a program replaces get no memory of the ring", async () => {
  await using ring = Ring.open({ sqe128: true });
  using file = devNull();
  const seen: number[] = [];
  const typed = Object.getPrototypeOf(Uint8Array.prototype);
  const methods = ["set", "fill", "copyWithin", "subarray", "slice"] as const;
  using _ = new DisposableStack();
  for (const name of methods) {
    _.use(stub(typed, name, function (this: Uint8Array) {
      seen.push(this.buffer.byteLength);
      return this;
    }));
  }
  const views = ["setUint32", "setBigUint64"] as const;
  for (const name of views) {
    _.use(stub(DataView.prototype, name, function (this: DataView) {
      seen.push(this.buffer.byteLength);
    }));
  }
  const commands = [
    op.write(file.fd, new Uint8Array(8)),
    op.read(file.fd, new Uint8Array(8)),
    uringCmd({ fd: file.fd, cmd_op: 0 }),
  ];
  await Promise.all(commands.map((command) => ring.cmd(command)));
  ring.cmdAllSync(commands);
  assertEquals(seen, []);
});
