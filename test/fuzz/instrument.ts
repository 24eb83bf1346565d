import { parseSync } from "oxc-parser";

/**
 * Counts in the code under test which branches run: `$c[n]++` at the start of each function, branch, loop and case, and in the arms of
 * conditional and logical expressions. On one line with what it counts, so that stack traces keep their line numbers.
 */
export interface Instrumented {
  readonly code: string;
  /** How many counters the code uses, from `first` on. */
  readonly counters: number;
  /** String literals: words of the language that the code reads. */
  readonly literals: readonly string[];
}

/** Where instrumented code finds its counters. */
export const COUNTERS = "$posthornCounters";
const LONGEST_LITERAL = 40;

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** Functions, loops and other statements by the key of what runs or does not. */
const BODIES = new Set([
  "FunctionDeclaration",
  "FunctionExpression",
  "ArrowFunctionExpression",
  "ForStatement",
  "ForOfStatement",
  "ForInStatement",
  "WhileStatement",
  "CatchClause",
]);

export function instrument(file: string, text: string, first: number): Instrumented {
  const edits: { readonly at: number; readonly insert: string; readonly order: number }[] = [];
  const literals = new Set<string>();
  let counters = 0;
  const count = (): string => `$c[${first + counters++}]++`;
  const wrap = (node: Node): void => {
    edits.push({ at: node.start, insert: `(${count()},(`, order: edits.length });
    edits.push({ at: node.end, insert: "))", order: -edits.length });
  };
  const enter = (node: unknown): void => {
    if (!isNode(node)) return;
    if (node.type === "BlockStatement" || node.type === "FunctionBody")
      edits.push({ at: node.start + 1, insert: `${count()};`, order: edits.length });
    else if (node.type.endsWith("Statement")) {
      edits.push({ at: node.start, insert: `{${count()};`, order: edits.length });
      edits.push({ at: node.end, insert: "}", order: -edits.length });
    } else wrap(node);
  };
  const visit = (node: Node): void => {
    if (node.type.startsWith("TS") && !EXPRESSIONS_WITH_TYPES.has(node.type)) return;
    if (BODIES.has(node.type)) enter(node["body"]);
    if (node.type === "IfStatement") {
      enter(node["consequent"]);
      enter(node["alternate"]);
    } else if (node.type === "ConditionalExpression") {
      enter(node["consequent"]);
      enter(node["alternate"]);
    } else if (node.type === "LogicalExpression") enter(node["right"]);
    else if (node.type === "SwitchCase") {
      const begins = Array.isArray(node["consequent"]) ? (node["consequent"] as unknown[])[0] : undefined;
      if (isNode(begins)) edits.push({ at: begins.start, insert: `${count()};`, order: edits.length });
    } else if (node.type === "Literal" && typeof node["value"] === "string") {
      const literal = node["value"];
      if (literal.length > 0 && literal.length <= LONGEST_LITERAL) literals.add(literal);
    }
    for (const child of Object.values(node)) {
      if (Array.isArray(child)) {
        for (const each of child as unknown[]) if (isNode(each)) visit(each);
      } else if (isNode(child)) visit(child);
    }
  };
  for (const statement of parseSync(file, text).program.body)
    if (!statement.type.startsWith("Import")) visit(statement as unknown as Node);
  return { code: edited(text, edits), counters, literals: [...literals] };
}

const EXPRESSIONS_WITH_TYPES = new Set(["TSAsExpression", "TSSatisfiesExpression", "TSNonNullExpression"]);

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

/** Inserts in order of place; at one place what closes comes before what opens, inner before outer in closing. */
function edited(text: string, edits: readonly { at: number; insert: string; order: number }[]): string {
  const sorted = edits.toSorted((one, other) => one.at - other.at || one.order - other.order);
  const pieces = [`const $c = globalThis.${COUNTERS};`];
  let from = 0;
  for (const { at, insert } of sorted) {
    pieces.push(text.slice(from, at), insert);
    from = at;
  }
  pieces.push(text.slice(from));
  return pieces.join("");
}
