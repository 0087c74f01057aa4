/**
 * Generates mutants of a file: each changes one operator, number, condition or
 * statement of its syntax tree. Types, comments and messages stay as they are.
 *
 * @module
 */

import { parse } from "@babel/parser";
import { random } from "../kit/random.ts";
import { broken, type Mutant, placeOf } from "./mutant.ts";

/** A node of the syntax tree, with offsets into the text. */
interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** A possible mutant. A draw chooses a kind first, so that each has its share. */
interface Site {
  readonly kind: string;
  readonly node: Node;
  readonly to: string;
}

/** The operators that replace each other, by kind. */
const OPERATORS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  comparison: {
    ...{ "<": "<=", "<=": "<", ">": ">=", ">=": ">" },
    ...{ "===": "!==", "!==": "===", "==": "!=", "!=": "==" },
  },
  arithmetic: {
    ...{ "+": "-", "-": "+", "*": "/", "/": "*", "<<": ">>", ">>": "<<" },
    ...{ "+=": "-=", "-=": "+=", "++": "--", "--": "++" },
  },
  bits: { "&": "|", "|": "&", "&=": "|=", "|=": "&=" },
  logic: { "&&": "||", "||": "&&" },
};
/** Nodes that give a type to the expression in them. */
const WRAPPERS = ["TSAsExpression", "TSNonNullExpression"];
/** Nodes whose `test` is negated. */
const TESTED = ["IfStatement", "WhileStatement", "ConditionalExpression"];
const LEAVING = ["ContinueStatement", "BreakStatement", "ThrowStatement"];

/** Draws at most `count` mutants of a file; the same seed draws the same ones. */
export function generate(
  file: string,
  text: string,
  tests: readonly string[],
  { seed, count, wanted }: {
    readonly seed: number;
    readonly count: number;
    /** `false` for a mutant that is not to be drawn. */
    readonly wanted: (mutant: Mutant) => boolean;
  },
): Mutant[] {
  const kinds = Object.values(
    Object.groupBy(sites(treeOf(text), text), ({ kind }) => kind),
  ) as Site[][];
  const below = random(seed);
  const drawn: Mutant[] = [];
  while (drawn.length < count && kinds.length > 0) {
    const kind = kinds.splice(below(kinds.length), 1)[0];
    const [{ node, to }] = kind.splice(below(kind.length), 1);
    const from = text.slice(node.start, node.end);
    const what = to === ""
      ? `without ${brief(from)}`
      : `${brief(from)} becomes ${brief(to)}`;
    const at = node.start;
    const place = placeOf(text, at);
    const mutant = { file, ...place, what, from, at, to: to || ";", tests };
    if (wanted(mutant) && parses(broken(text, mutant))) drawn.push(mutant);
    if (kind.length > 0) kinds.unshift(kind);
  }
  return drawn;
}

function treeOf(text: string): Node {
  const plugins = [
    "typescript" as const,
    "explicitResourceManagement" as const,
  ];
  const { program } = parse(text, { sourceType: "module", plugins });
  return program as unknown as Node;
}

function brief(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return `\`${line.length > 70 ? `${line.slice(0, 60)} ... ` : line}\``;
}

/** Yields the possible mutants of a node and of all nodes below it. */
function* sites(node: Node, text: string, parent?: Node): Generator<Site> {
  if (isOutside(node) || isConcatenation(node)) return;
  const source = ({ start, end }: Node) => text.slice(start, end);
  const becomes = (kind: string, to: string): Site => ({ kind, node, to });
  const { left, right, argument, operator, test } = node as unknown as
    & Record<
      "left" | "right" | "argument" | "test",
      Node
    >
    & { readonly operator: string };
  for (const [kind, swaps] of Object.entries(OPERATORS)) {
    const other = swaps[operator];
    if (other === undefined || node.type === "UnaryExpression") continue;
    if (left !== undefined) {
      const between = text.slice(left.end, right.start);
      const swapped = between.replace(operator, () => other);
      yield becomes(
        kind,
        text.slice(node.start, left.end) + swapped +
          text.slice(right.start, node.end),
      );
    } else if (parent?.type !== "ForStatement") {
      yield becomes(kind, source(node).replace(operator, () => other));
    }
  }
  switch (node.type) {
    case "NumericLiteral":
    case "BigIntLiteral": {
      if (!Number.isInteger(Number(node.value))) break;
      const value = BigInt(node.value as string);
      const suffix = node.type === "BigIntLiteral" ? "n" : "";
      const others = value === 0n ? [1n] : [value - 1n, value + 1n];
      for (const other of others) yield becomes("number", `${other}${suffix}`);
      break;
    }
    case "BooleanLiteral":
      yield becomes("boolean", node.value === true ? "false" : "true");
      break;
    case "ExpressionStatement":
      if (!source(node).startsWith("super(")) yield becomes("statement", "");
      break;
    case "IfStatement":
      if (!node.alternate) yield becomes("statement", "");
      break;
    case "ReturnStatement":
      if (!argument) yield becomes("statement", "");
      break;
    default:
      if (LEAVING.includes(node.type)) yield becomes("statement", "");
  }
  // The negation of an equation is the other equation.
  if (TESTED.includes(node.type) && !/^[!=]==?$/.test(`${test.operator}`)) {
    yield { kind: "condition", node: test, to: `!(${source(test)})` };
  }
  for (const child of childrenOf(node)) yield* sites(child, text, node);
}

/** Returns `true` for what stays as it is: types, imports and messages. */
function isOutside({ type, callee }: Node): boolean {
  if (type.startsWith("TS") && !WRAPPERS.includes(type)) return true;
  const { name } = callee as { name?: string } ?? {};
  return type === "TemplateLiteral" || type.startsWith("Import") ||
    type === "NewExpression" && /Error$/.test(name ?? "");
}

/** Returns `true` for a sum of texts. */
function isConcatenation({ type, operator, left, right }: Node): boolean {
  if (type !== "BinaryExpression" || operator !== "+") return false;
  return [left as Node, right as Node].some((side) =>
    ["StringLiteral", "TemplateLiteral"].includes(side.type) ||
    isConcatenation(side)
  );
}

function* childrenOf(node: Node): Generator<Node> {
  for (const [key, value] of Object.entries(node)) {
    // A name of a property may be a number, which no mutant is about.
    if (/Comments$/.test(key) || key === "key" && !node.computed) continue;
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child?.type === "string") yield child;
    }
  }
}

/** Returns `true` if a text is still a program. */
function parses(text: string): boolean {
  try {
    return treeOf(text) !== undefined;
  } catch {
    return false;
  }
}
