/** Values that may be promises, without a promise where there is none. */

/** A value, or the promise of one. */
export type Awaitable<T> = T | PromiseLike<T>;

/** Returns `true` for a promise, or another object with a `then`. */
export function isPromise<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return value instanceof Promise ||
    typeof value === "object" && value !== null &&
      typeof Reflect.get(value, "then") === "function";
}

/** Calls `next` with a value: now, or when its promise resolves. */
export function after<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>,
): Awaitable<R> {
  return isPromise(value) ? later(value, next) : next(value);
}

/**
 * A `then` of the program's may call back twice, or at once, and return anything. `await`
 * calls it once, in a turn of its own, and takes its first answer.
 */
async function later<T, R>(
  value: PromiseLike<T>,
  next: (value: T) => Awaitable<R>,
): Promise<R> {
  return next(await value);
}

/** Calls `undo` if a call fails, now or later. It fails then all the same. */
export function orElse<T>(
  call: () => Awaitable<T>,
  undo: () => void,
): Awaitable<T> {
  try {
    const value = call();
    return isPromise(value) ? laterOrElse(value, undo) : value;
  } catch (error) {
    undo();
    throw error;
  }
}

async function laterOrElse<T>(
  value: PromiseLike<T>,
  undo: () => void,
): Promise<T> {
  try {
    return await value;
  } catch (error) {
    undo();
    throw error;
  }
}

/** Returns a promise that several may wait for: the `then` of another is called once. */
export function promiseOf<T>(value: PromiseLike<T>): Promise<T> {
  return Promise.resolve(value);
}

/** Calls `end` when a promise has settled, however it has. */
export async function atEnd(
  promise: PromiseLike<unknown>,
  end: () => void,
): Promise<void> {
  try {
    await promise;
  } catch {
    // Whoever waits for the value is told.
  }
  end();
}
