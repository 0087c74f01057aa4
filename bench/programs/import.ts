/** Milliseconds to import the library in a process that is new. */

const start = performance.now();
await import("../../mod.ts");
console.log(JSON.stringify({ ms: performance.now() - start }));
