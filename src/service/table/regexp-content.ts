import { RE2JS } from "re2js";
import { messageOf } from "../../foundation/error.ts";
import { parseAliasTargets } from "../../protocol/address/alias-targets.ts";
import type { Found, TableContent } from "./content.ts";
import { logicalLines } from "./logical-lines.ts";
import { foldKey } from "./pattern.ts";
import type { TableEntry } from "./table.ts";

/** Patterns are tried one after the other, some microseconds each: with more than this every lookup would be felt. */
const MOST_PATTERNS = 10_000;

/** Characters that mean something to whoever reads the value: who writes to us must not choose targets, paths or commands. */
const UNSAFE = /[\s,"'()<>:;\\|/#&`$\u0000-\u001f\u007f]/;

interface Pattern {
  readonly regexp: RE2JS;
  readonly isNegated: boolean;
}
interface Entry {
  /** The `if`s around it, which must hold as well. */
  readonly conditions: readonly Pattern[];
  readonly pattern: Pattern;
  readonly value: string | undefined;
  readonly where: string;
}

/**
 * A file of regular expressions, as Postfix has them: the first line whose pattern is found in the key decides.
 *
 * | line | means |
 * |---|---|
 * | `/pattern/flags value` | keys in which the pattern is found |
 * | `!/pattern/flags value` | keys in which it is not |
 * | `if /pattern/` ... `endif` | the lines between are asked only for keys with the pattern; `if !/pattern/` without |
 *
 * In a value `$1` to `$9`, `${1}` and `$(1)` are what the groups matched, `$$` is a dollar. Patterns are RE2's (no
 * back references, no looking around), so matching takes time in proportion to the key and nothing worse. Keys are folded, so
 * case never matters; the flags are `i` (for that it is there in many files), `m`, `s`.
 */
export function regexpContent(
  file: string,
  text: string,
): {
  readonly content: TableContent;
  readonly problems: readonly { readonly line: number; readonly text: string }[];
} {
  const { lines, problems: broken } = logicalLines(text);
  const problems: { line: number; text: string }[] = [...broken];
  const entries: Entry[] = [];
  const written: TableEntry[] = [];
  const conditions: (Pattern & { line: number })[] = [];
  for (const { line, text: content } of lines) {
    if (/^endif\b/i.test(content)) {
      if (conditions.pop() === undefined) problems.push({ line, text: "endif without an if before it" });
      continue;
    }
    const parts = /^(if\s+)?(!?)\s*\/((?:[^\\/]|\\.)*)\/([A-Za-z]*)(?:\s+(.*))?$/is.exec(content);
    if (parts === null) {
      problems.push({ line, text: "expected /pattern/flags and a value" });
      continue;
    }
    const [, condition, bang, source = "", flags = "", value] = parts;
    const pattern = compile(source, flags, bang === "!");
    if (typeof pattern === "string") problems.push({ line, text: pattern });
    else if (condition !== undefined) conditions.push({ ...pattern, line });
    else {
      const problem = value === undefined ? undefined : valueProblem(value, pattern);
      if (problem !== undefined) problems.push({ line, text: problem });
      else {
        const where = `${file}:${line}`;
        entries.push({ conditions: [...conditions], pattern, value, where });
        written.push({ key: `${bang ?? ""}/${source}/${flags}`, value, where });
      }
    }
  }
  for (const { line } of conditions) problems.push({ line, text: "this if has no endif" });
  if (entries.length > MOST_PATTERNS)
    problems.push({ line: 1, text: `more than ${MOST_PATTERNS} patterns: each lookup tries them one by one` });

  const find = (key: string): Found | undefined => {
    const folded = foldKey(key);
    for (const entry of entries) {
      if (!entry.conditions.every((each) => each.regexp.test(folded) !== each.isNegated)) continue;
      if (entry.pattern.regexp.test(folded) === entry.pattern.isNegated) continue;
      return { where: entry.where, ...replaced(entry, folded) };
    }
    return undefined;
  };
  const valued = entries.filter(({ value }) => value !== undefined).length;
  return {
    problems: problems.sort((a, b) => a.line - b.line),
    content: {
      kind: entries.length === 0 ? "empty" : valued === 0 ? "list" : "map",
      entries: written,
      // A pattern is nobody's own name.
      lookup: (key, isOwnOnly) => (isOwnOnly === true ? undefined : find(key)),
      // Nothing stands there under a key of its own.
      exact: find,
      has(key) {
        const found = find(key);
        return found === undefined ? undefined : { is: true, where: found.where };
      },
    },
  };
}

function compile(source: string, flags: string, isNegated: boolean): Pattern | string {
  let bits = RE2JS.CASE_INSENSITIVE;
  for (const flag of flags) {
    if (flag === "m") bits |= RE2JS.MULTILINE;
    else if (flag === "s") bits |= RE2JS.DOTALL;
    else if (flag !== "i") return `there is no flag ${flag}; there are i, m, s`;
  }
  try {
    return { regexp: RE2JS.compile(source.replace(/\\\//g, "/"), bits), isNegated };
  } catch (thrown) {
    // The library puts our flags in front of the pattern that it shows.
    return messageOf(thrown).replace(/`\(\?[ims]+\)/, "`");
  }
}

const REFERENCE = /\$(?:(\d)|\{(\d{1,2})\}|\((\d{1,2})\)|(\$)|)/g;

/** What is wrong with a value's references; a command, a path or an include must not hold what the key's sender chose. */
function valueProblem(value: string, { regexp, isNegated }: Pattern): string | undefined {
  let has = false;
  for (const [whole, one, two, three, dollar] of value.matchAll(REFERENCE)) {
    const group = one ?? two ?? three;
    if (dollar !== undefined) continue;
    if (group === undefined) return `expected a group behind ${whole}; a dollar itself is $$`;
    if (isNegated) return "what does not match has no groups";
    if (Number(group) > regexp.groupCount()) return `the pattern has no group ${group}`;
    has = true;
  }
  const kinds = parseAliasTargets(value.replace(REFERENCE, "x")).targets.map(({ kind }) => kind);
  return has && kinds.some((kind) => kind === "command" || kind === "file" || kind === "include")
    ? "a group must not become part of a command or a path: who writes to us chooses what it matches"
    : undefined;
}

function replaced({ pattern, value = "" }: Entry, key: string): { value: string; failure?: string } {
  if (!value.includes("$")) return { value };
  const matcher = pattern.regexp.matcher(key);
  matcher.find();
  // Of an address a group may be all; of a quoted name that looks like one it would be an address that a sender chose.
  const hasOneAt = key.indexOf("@") === key.lastIndexOf("@");
  let failure: string | undefined;
  const text = value.replace(REFERENCE, (_, one?: string, two?: string, three?: string, dollar?: string) => {
    if (dollar !== undefined) return "$";
    const group = matcher.group(Number(one ?? two ?? three)) ?? "";
    if (UNSAFE.test(group) || (!hasOneAt && group.includes("@")))
      failure = `${JSON.stringify(group)} in ${JSON.stringify(key)} cannot stand in a value`;
    return group;
  });
  return failure === undefined ? { value: text } : { value: "", failure };
}
