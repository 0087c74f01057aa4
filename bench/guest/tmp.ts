import { cpuTimeNs } from "./cpu_time.ts";
import { libraryNs } from "./library.ts";
import { WAYS } from "./plan.ts";
import * as op from "../../cmd/op.ts";
import * as nvme from "../../cmd/nvme/mod.ts";
import * as raw from "../../ring/raw.ts";
import { Ring } from "../../mod.ts";
import { Engine } from "../../ring/loop/engine.ts";
import { pathOf } from "../../tests/lab/nvme_drive.ts";
import { open } from "../../sys/file.ts";
const { SubmissionQueue, CompletionQueue } = raw;
const D = 16;
function fakeEngine(wide: boolean): any {
  const N = 64, S = wide ? 32 : 16, C = wide ? 8 : 4;
  const ringW = new Int32Array(16 + N * 2 * C);
  const sqes = new Int32Array(N * S);
  const sq = new SubmissionQueue({ ring: ringW, sqes, head: 0, tail: 1, flags: 2, array: -1, entries: N, sqeWords: S as 16, mixed: false, hold: false });
  const cq = new CompletionQueue({ ring: ringW, head: 3, tail: 4, flags: 5, overflow: 6, cqes: 8, entries: 2 * N, cqeWords: C as 4, mixed: false });
  const handle = { fd: 99, flags: 0, features: 0, sq, cq, enter: (n: number) => { for (let i = 0; i < n; i++) { const h = ringW[0] + i; const at = (h & (N - 1)) * S; const t = 8 + ((ringW[4] + i) & (2 * N - 1)) * C; ringW[t] = sqes[at + 8]; ringW[t + 1] = sqes[at + 9]; ringW[t + 2] = 0; ringW[t + 3] = 0; } ringW[0] = ringW[0] + n | 0; ringW[4] = ringW[4] + n | 0; sq.taken(n); return n; }, close() {} };
  return { engine: new Engine(handle as any, false), handle };
}
const all = raw.alloc(65536);
const mem = Array.from({ length: 16 }, (_, i) => all.subarray(i * 4096, i * 4096 + 4096));
const fd = open(pathOf("large"), 2);
const ns = nvme.nvmeNamespace(fd);
const narrow = fakeEngine(false), wide = fakeEngine(true);
const run = ({ engine }: any, list: any[]) => { engine.sync.enter(); const copy = list.slice(); return engine.sync.run(copy, null); };
const nops = new Array(D).fill(op.nop());
const reads = mem.map((m) => op.read(5, m, { offset: 0 }));
const nreads = mem.map((data) => nvme.read(ns, { lba: 5, data }));
const rm = op.readsOf(5, all), nm = nvme.readsOf(ns, all);
let keep: any;
const make = (f: (i: number) => any) => { const l = new Array(D); for (let i = 0; i < D; i++) l[i] = f(i); return l; };
const ring = Ring.open({ sqe128: true, cqe32: true });
const plain = Ring.open();
const bfd = open(pathOf("large", "nvme"), 0o40000 | 2);
const breads = mem.map((m) => op.read(bfd, m, { offset: 0 }));
const h = raw.setup({ entries: 64, flags: raw.IORING_SETUP_SQE128 | raw.IORING_SETUP_CQE32 | raw.IORING_SETUP_SINGLE_ISSUER | raw.IORING_SETUP_DEFER_TASKRUN });
const template = new Int32Array(32); nreads[0].encode(template, 0, true, 0, 0, 0);
const base = raw.addressOf(all);
const rawRun = () => { const { sq, cq } = h; const w = sq.words; for (let i = 0; i < D; i++) { const at = sq.next(); w.set(template, at); const a = base + i * 4096; w[at + 18] = a | 0; w[at + 19] = Math.floor(a / 2 ** 32); w[at + 8] = i; } raw.enter(h, { toSubmit: sq.publish(), minComplete: D }); let n = 0; while (cq.next()) { if (cq.res !== 0) throw cq.res; n++; } cq.commit(); if (n !== D) throw new Error("n" + n); };
const rawRead = raw.setup({ entries: 64, flags: raw.IORING_SETUP_SINGLE_ISSUER | raw.IORING_SETUP_COOP_TASKRUN | raw.IORING_SETUP_SUBMIT_ALL });
const rawBlock = () => { const { sq, cq } = rawRead; for (let i = 0; i < D; i++) raw.prepRw(sq, { opcode: 22, fd: bfd, off: 4096 * i, addr: base + i * 4096, len: 4096, userData: i }); raw.enter(rawRead, { toSubmit: sq.publish(), minComplete: D }); let n = 0; while (cq.next()) { if (cq.res !== 4096) throw cq.res; n++; } cq.commit(); if (n !== D) throw new Error("n" + n); };
const ways: Record<string, () => any> = {
  "fake nop": () => run(narrow, nops), "fake read": () => run(narrow, reads), "fake wide nop": () => run(wide, nops), "fake nvme": () => run(wide, nreads),
  "make nothing": () => { keep = make((i) => i); },
  "make read": () => { keep = make((i) => op.read(5, mem[i], { offset: i * 4096 })); }, "make reads.at": () => { keep = make((i) => rm.at(i * 4096, i * 4096, 4096)); },
  "make nvme": () => { keep = make((i) => nvme.read(ns, { lba: i, data: mem[i] })); }, "make nvme.at": () => { keep = make((i) => nm.at(i, i * 4096, 1)); },
  "make random": () => { keep = make(() => Math.floor(Math.random() * 16384)); },
  "kernel nvme raw": rawRun, "kernel nvme pre": () => ring.cmdAllSync(nreads), "kernel block raw": rawBlock, "kernel block pre": () => plain.cmdAllSync(breads),
  "kernel nop": () => plain.cmdAllSync(nops),
};
const out: Record<string, number> = {};
for (let round = 0; round < 2; round++) for (const k in ways) { const f = ways[k]; for (let i = 0; i < 1500; i++) f(); }
for (let round = 0; round < 8; round++) for (const k in ways) { const f = ways[k]; const s = cpuTimeNs("self"); for (let i = 0; i < 64; i++) f(); const t = (cpuTimeNs("self") - s) / 64 / D; if (!(out[k] < t)) out[k] = t; }
for (const k in out) out[k] = Math.round(out[k]);
const before = { ...ring.stats() };
for (let i = 0; i < 64; i++) ring.cmdAllSync(nreads);
const e = ring.stats().enters - before.enters;
const b2 = plain.stats().enters; for (let i = 0; i < 64; i++) plain.cmdAllSync(breads);
console.log("@@R " + JSON.stringify({ ...out, entersPerBatch: e / 64, blockEnters: (plain.stats().enters - b2) / 64 }));
Deno.exit(0);
