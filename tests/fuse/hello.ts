/** The hello world of the module page, which prints what it does. */

import { mount } from "../../cmd/fuse/mod.ts";

const text = new TextEncoder().encode("hello, world\n");
const hello = await mount(Deno.args[0], {
  getattr: (path) =>
    path === "/"
      ? { kind: "directory" }
      : path === "/hello.txt"
      ? { kind: "file", size: text.length }
      : null,
  readdir: () => ["hello.txt"],
  read: (_path, into, { offset }) =>
    text.subarray(offset, offset + into.length),
});
console.log("mounted", hello.how);
console.log(JSON.stringify(hello.protocol));
await hello.finished;
console.log("finished", JSON.stringify(hello.stats()));
