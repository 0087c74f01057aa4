function f(n) { let x = 1; for (let i = 0; i < n; i++) x = (x * 3 + i) | 0; return x; }
class A { constructor(a) { this.a = a; this.b = 1; this.c = 2; } }
function g(i) { return new A(i).a + 1; }
let keep = 0;
const t0 = performance.now();
for (let k = 0; k < 3000; k++) { keep += f(1000); for (let j = 0; j < 100; j++) keep += g(j); }
const s = %GetOptimizationStatus(f), s2 = %GetOptimizationStatus(g);
const { cpuTimeNs } = await import("./cpu_time.ts");
const b = cpuTimeNs("self"); keep += f(1e6); const n1 = (cpuTimeNs("self") - b) / 1e6;
console.log("@@R", s.toString(2), s2.toString(2), n1, navigator.hardwareConcurrency, performance.now() - t0, keep);
Deno.exit(0);
