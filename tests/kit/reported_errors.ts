/** Errors that no promise delivers. */

/** Collects errors that are reported to the global scope, until it is disposed. */
export function reportedErrors(): Disposable & { errors: unknown[] } {
  const errors: unknown[] = [];
  const listen = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", listen);
  const stop = () => removeEventListener("error", listen);
  return { errors, [Symbol.dispose]: stop };
}
