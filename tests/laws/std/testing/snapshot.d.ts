// The signatures of @std/testing/snapshot 1, by hand: the npm package has none.

export type SnapshotMode = "assert" | "update";

export interface SnapshotOptions<T = unknown> {
  dir?: string;
  mode?: SnapshotMode;
  msg?: string;
  name?: string;
  path?: string;
  serializer?: (actual: T) => string;
}

export declare function assertSnapshot<T>(
  context: Deno.TestContext,
  actual: T,
  options: SnapshotOptions<T>,
): Promise<void>;
export declare function assertSnapshot<T>(
  context: Deno.TestContext,
  actual: T,
  message?: string,
): Promise<void>;
export declare function createAssertSnapshot<T>(
  options: SnapshotOptions<T>,
  baseAssertSnapshot?: typeof assertSnapshot,
): typeof assertSnapshot;
