/** What a handler throws, as an errno. */

import { assertEquals, assertThrows } from "@std/assert";
import { errnoOf, FuseError } from "../../cmd/fuse/errors.ts";

Deno.test("a FuseError has the name and the number of its errno", () => {
  const { code, errno, message, name } = new FuseError("ENOTEMPTY", "why");
  assertEquals([code, errno, message, name], [
    ...["ENOTEMPTY", 39, "ENOTEMPTY: why", "FuseError"],
  ]);
  assertEquals(new FuseError(95).code, "EOPNOTSUPP");
  // A number without a name, which a driver may have.
  assertEquals(new FuseError(511).code, "E511");
  for (const wrong of ["ENOTHING", "", 0, -2, 512, 1.5, NaN]) {
    assertThrows(() => new FuseError(wrong), RangeError, "no errno");
  }
});

Deno.test("an error stands for the errno of its code, or of its class", async () => {
  const missing = await Deno.stat("/nothing/there").catch((error) => error);
  const node = await (await import("node:fs/promises")).stat("/nothing/there")
    .catch((error) => error);
  for (
    const [error, errno] of [
      [new FuseError("EROFS"), 30],
      [missing, 2],
      [node, 2],
      [{ code: "EXDEV" }, 18],
      [new Deno.errors.NotFound(), 2],
      [new Deno.errors.PermissionDenied(), 13],
      [new Deno.errors.NotCapable(), 13],
      [new Deno.errors.AlreadyExists(), 17],
      [new Deno.errors.TimedOut(), 110],
      [new Error("anything"), 0],
      [{ code: "ERR_INVALID_ARG_TYPE" }, 0],
      [{ code: 2 }, 0],
      [new DOMException("", "AbortError"), 0],
      ...[undefined, null, 17, "ENOENT", Symbol()].map((it) => [it, 0]),
    ] as const
  ) {
    assertEquals(errnoOf(error), errno, Deno.inspect(error));
  }
});

Deno.test("an AbortError is EINTR if the request was interrupted", () => {
  const error = new DOMException("", "AbortError");
  assertEquals([errnoOf(error), errnoOf(error, true)], [0, 4]);
});

Deno.test("an error whose getters throw stands for nothing", () => {
  const error = {
    get code(): string {
      throw new Error("not this either");
    },
  };
  assertEquals(errnoOf(error), 0);
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  assertEquals(errnoOf(revoked.proxy), 0);
});
