import { assertEquals } from "@std/assert";
import { branches, percent } from "./coverage.ts";

const LCOV = `SF:/library/ring/a.ts
FN:1,one
FNDA:0,one
BRDA:3,1,0,0
BRDA:3,1,1,7
BRDA:9,2,0,-
BRDA:12,2,0,1
BRF:4
BRH:2
DA:1,1
end_of_record
SF:/library/ring/b.ts
DA:1,1
end_of_record
`;

Deno.test("branches are counted by file, with the lines of those never taken", () => {
  const files = branches(LCOV);
  assertEquals(files, [
    { path: "/library/ring/a.ts", found: 4, missed: [3, 9] },
    { path: "/library/ring/b.ts", found: 0, missed: [] },
  ]);
  assertEquals(files.map((file) => percent([file])), [50, 100]);
  assertEquals(percent(files), 50);
  assertEquals(branches(""), []);
});
