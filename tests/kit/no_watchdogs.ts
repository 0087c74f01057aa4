/**
 * Stops the watchdogs of bells, in the tests that import this: a signal that is lost
 * hangs a test then, where a watchdog would find the completion a second later.
 */

const WATCHDOG_MS = 1000;
const NEVER_MS = 2 ** 31 - 1;

globalThis.setTimeout = new Proxy(globalThis.setTimeout, {
  apply(real, self, [run, ms, ...rest]) {
    const delay = ms === WATCHDOG_MS ? NEVER_MS : ms;
    return Reflect.apply(real, self, [run, delay, ...rest]);
  },
});
