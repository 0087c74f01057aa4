/** Measures the milliseconds to import the library in a new process. */

const start = performance.now();
await import("../../mod.ts");
console.log(JSON.stringify({ ms: performance.now() - start }));
