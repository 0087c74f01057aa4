// The signatures of @std/testing/mock 1, by hand: the npm package has none.
// Its type parameters default to `any`, so that a bare `Spy` takes every spy.
// deno-lint-ignore-file no-explicit-any

/** A call that a spy recorded. */
export interface SpyCall<
  Self = any,
  Args extends unknown[] = any[],
  Ret = any,
> {
  args: Args;
  returned?: Ret;
  error?: Error;
  self?: Self;
}

export interface Spy<Self = any, Args extends unknown[] = any[], Ret = any> {
  (this: Self, ...args: Args): Ret;
  original: (this: Self, ...args: Args) => Ret;
  calls: SpyCall<Self, Args, Ret>[];
  restored: boolean;
  restore(): void;
}

export interface MethodSpy<
  Self = any,
  Args extends unknown[] = any[],
  Ret = any,
> extends Spy<Self, Args, Ret>, Disposable {}

export interface ConstructorSpy<Self = any, Args extends unknown[] = any[]> {
  new (...args: Args): Self;
  original: new (...args: Args) => Self;
  calls: SpyCall<Self, Args, Self>[];
  restored: boolean;
  restore(): void;
}

export interface Stub<Self = any, Args extends unknown[] = any[], Ret = any>
  extends MethodSpy<Self, Args, Ret> {
  fake: (this: Self, ...args: Args) => Ret;
}

export type SpyLike<Self = any, Args extends unknown[] = any[], Ret = any> =
  | Spy<Self, Args, Ret>
  | ConstructorSpy<Self, Args>;

export type GetParametersFromProp<Self, Prop extends keyof Self> =
  Self[Prop] extends (...args: infer Args) => unknown ? Args : unknown[];
export type GetReturnFromProp<Self, Prop extends keyof Self> =
  Self[Prop] extends (...args: any[]) => infer Ret ? Ret : unknown;

export declare function spy<
  Self = any,
  Args extends unknown[] = any[],
  Ret = undefined,
>(): Spy<Self, Args, Ret>;
export declare function spy<Self, Args extends unknown[], Ret>(
  func: (this: Self, ...args: Args) => Ret,
): Spy<Self, Args, Ret>;
export declare function spy<Self, Args extends unknown[]>(
  constructor: new (...args: Args) => Self,
): ConstructorSpy<Self, Args>;
export declare function spy<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): MethodSpy<
  Self,
  GetParametersFromProp<Self, Prop>,
  GetReturnFromProp<Self, Prop>
>;

export declare function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): Stub<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>>;
export declare function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  func: (
    this: Self,
    ...args: GetParametersFromProp<Self, Prop>
  ) => GetReturnFromProp<Self, Prop>,
): Stub<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>>;

export declare function restore(id?: number): void;

export interface ExpectedSpyCall<
  Self = any,
  Args extends unknown[] = any[],
  Ret = any,
> {
  args?: [...Args, ...unknown[]];
  self?: Self;
  returned?: Ret;
  error?: {
    Class?: new (...args: any[]) => Error;
    msgIncludes?: string;
  };
}

export declare function assertSpyCalls<Self, Args extends unknown[], Ret>(
  spy: SpyLike<Self, Args, Ret>,
  expectedCalls: number,
): void;
export declare function assertSpyCall<Self, Args extends unknown[], Ret>(
  spy: SpyLike<Self, Args, Ret>,
  callIndex: number,
  expected?: ExpectedSpyCall<Self, Args, Ret>,
): void;

export declare function returnsNext<
  Ret,
  Self = any,
  Args extends unknown[] = any[],
>(values: Iterable<Ret | Error>): (this: Self, ...args: Args) => Ret;
export declare function resolvesNext<
  Ret,
  Self = any,
  Args extends unknown[] = any[],
>(
  iterable:
    | Iterable<Ret | Error | Promise<Ret | Error>>
    | AsyncIterable<Ret | Error | Promise<Ret | Error>>,
): (this: Self, ...args: Args) => Promise<Ret>;
