/** The disk of a Worker, for tests. */

import { memoryTarget, type Target } from "../../cmd/ublk/mod.ts";

interface Data {
  readonly kind: string;
  readonly size: number;
  readonly shared?: SharedArrayBuffer;
}

export default function open({ kind, size, shared }: Data): Target {
  const memory = memoryTarget(
    shared === undefined ? size : new Uint8Array(shared),
  );
  switch (kind) {
    case "async":
      return {
        ...memory,
        async read(request, into) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await memory.read(request, into);
        },
      };
    case "throws":
      return {
        ...memory,
        write() {
          setTimeout(() => {
            throw new Error("outside of a handler");
          }, 0);
          return new Promise<void>(() => {});
        },
      };
    case "leaves":
      return {
        ...memory,
        write() {
          setTimeout(() => Deno.exit(1), 0);
          return new Promise<void>(() => {});
        },
      };
    default:
      return memory;
  }
}
