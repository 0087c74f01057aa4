/** What is released when the page ends. */

import { assertEquals } from "@std/assert";
import { closed, opened } from "../../ring/loop/unload.ts";

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
