/** Disks.
 * @module
 */
export { recover, serve } from "./serve.ts";
export { serveInWorker } from "./remote.ts";
export { deleteDevice, devices } from "./devices.ts";
export { BlockError } from "./errors.ts";
export { memoryTarget } from "./targets/memory.ts";
export { fileTarget } from "./targets/file.ts";
export { overlay } from "./targets/overlay.ts";
export { faultyTarget } from "./targets/faulty.ts";
