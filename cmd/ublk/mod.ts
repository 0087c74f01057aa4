/** Disks.
 * @module
 */
export { recover, serve } from "./serve.ts";
