/** System calls that fail now and then, as those of a kernel in trouble do. */

import { E } from "../../../sys/uapi/errno.ts";
import { libc } from "../../../sys/libc.ts";
import type { Ledger } from "./ledger.ts";

const { EAGAIN, EBUSY, EINTR } = E;

/** One call of io_uring_enter() in so many goes wrong. */
const ONE_IN = 300;

/**
 * Has calls of io_uring_enter() fail before the kernel sees them, or submit less
 * than they should. All rings of this isolate are concerned, the waker's too.
 */
export function injectFaults(
  ledger: Ledger,
  random: (below: number) => number,
): Disposable {
  const { symbols, errno } = libc();
  const real = symbols.enter;
  type Enter = typeof real;
  const errnos = [EAGAIN, EBUSY, EINTR];
  const enter: Enter = (nr, fd, toSubmit, minComplete, flags, ...rest) => {
    if (random(ONE_IN) === 0) {
      ledger.faults++;
      const kind = random(errnos.length + 1);
      if (kind < errnos.length) {
        errno[0] = errnos[kind];
        return -1;
      }
      // A call that waits would wait for what it was kept from submitting.
      if (minComplete === 0) toSubmit = Math.ceil(toSubmit / 2);
    }
    return real(nr, fd, toSubmit, minComplete, flags, ...rest);
  };
  const set = (value: Enter) =>
    Object.defineProperty(symbols, "enter", { value, configurable: true });
  // Not a stub, which would keep the arguments of every call.
  set(enter);
  return { [Symbol.dispose]: () => void set(real) };
}
