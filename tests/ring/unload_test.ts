/** The end of a page, which releases what is open. */

import { assertEquals } from "@std/assert";
import { closed, opened } from "../../ring/loop/unload.ts";
import { reportedErrors } from "../kit/reported_errors.ts";

Deno.test("an unload event releases what is open at that time, each of it", () => {
  const released: string[] = [];
  const [first, second, third] = ["first", "second", "third"].map((name) => ({
    tearDown: () => void released.push(name),
  }));
  const unload = () => {
    dispatchEvent(new Event("unload"));
    return released.splice(0);
  };
  opened(first);
  assertEquals(unload(), ["first"]);
  opened(second);
  opened(third);
  assertEquals(unload(), ["first", "second", "third"]);
  closed(third);
  closed(first);
  assertEquals(unload(), ["second"]);
  closed(second);
  assertEquals(unload(), []);
  opened(third);
  assertEquals(unload(), ["third"]);
  closed(third);
});

Deno.test("what cannot be released is reported, and keeps nothing else open", () => {
  using reported = reportedErrors();
  const released: string[] = [];
  const failing = {
    tearDown() {
      throw new Error("the first");
    },
  };
  const next = { tearDown: () => void released.push("next") };
  for (const each of [failing, next]) opened(each);
  dispatchEvent(new Event("unload"));
  for (const each of [failing, next]) closed(each);
  assertEquals(released, ["next"]);
  assertEquals(reported.errors.map(String), ["Error: the first"]);
});
