import { ok, refused, type Problem, type Result } from "../../../foundation/result.ts";
import { KEY_PARAMETERS, type KeyParameter } from "../key-parameters.ts";

/** Whose SQL it is: they differ in what is a quote, a comment or an operator. */
export type SqlDialect = "postgres" | "mysql";

/** A query, cut at its parameters: `texts` has one piece more than `parameters`, which stand between them. */
export interface NamedQuery {
  readonly texts: readonly string[];
  readonly parameters: readonly KeyParameter[];
}

/**
 * A query with named parameters (`:key`, `:user`, `:domain`, `:service`), as it is written in the settings. What stands in
 * quotes and comments is left alone, and so are `::` casts and `:=`. The parameters are never replaced by text: they
 * become the server's own placeholders (`boundQuery`).
 */
export function parseNamedQuery(text: string, dialect: SqlDialect): Result<NamedQuery, Problem> {
  const texts: string[] = [];
  const parameters: KeyParameter[] = [];
  let from = 0;
  let at = 0;
  let endedAt: number | undefined;
  while (at < text.length) {
    const skipped = skipQuoted(text, at, dialect);
    if (!skipped.ok) return skipped;
    if (skipped.value.to > at) {
      if (endedAt !== undefined && !skipped.value.isComment) return refused({ at, expected: "one statement only" });
      at = skipped.value.to;
      continue;
    }
    const char = text[at] ?? "";
    if (char === ";") endedAt ??= at;
    else if (endedAt !== undefined && !/\s/.test(char)) return refused({ at, expected: "one statement only" });
    if (char === "\0") return refused({ at, expected: "text without NUL" });
    if (placeholderAt(text, at, dialect)) return refused({ at, expected: "parameters by name (:key), not by number" });
    if (char !== ":") {
      at++;
      continue;
    }
    const next = text[at + 1] ?? "";
    if (next === ":" || next === "=") {
      at += 2;
      continue;
    }
    const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(text.slice(at + 1))?.[0];
    if (name === undefined) {
      at++;
      continue;
    }
    const parameter = KEY_PARAMETERS.find((each) => each === name);
    if (parameter === undefined)
      return refused({ at, expected: `one of ${KEY_PARAMETERS.map((each) => `:${each}`).join(", ")}, not :${name}` });
    texts.push(text.slice(from, at));
    parameters.push(parameter);
    at += 1 + name.length;
    from = at;
  }
  const last = text.slice(from);
  if (texts.join("").trim() === "" && last.replace(/;/g, "").trim() === "")
    return refused({ at: 0, expected: "a query" });
  texts.push(last);
  return ok({ texts, parameters });
}

/** The text to prepare, and which value goes to which placeholder. */
export function boundQuery(
  { texts, parameters }: NamedQuery,
  dialect: SqlDialect,
): { readonly text: string; readonly order: readonly KeyParameter[] } {
  // PostgreSQL's are numbered, so that a value used twice is sent once; MySQL's are by position.
  const order = dialect === "postgres" ? [...new Set(parameters)] : parameters;
  const mark = (parameter: KeyParameter | undefined): string =>
    parameter === undefined ? "" : dialect === "postgres" ? `$${order.indexOf(parameter) + 1}` : "?";
  return { text: texts.map((piece, at) => `${piece}${mark(parameters[at])}`).join(""), order };
}

/** Where the quoted text or comment that begins at `at` ends; `at` itself when none begins there. */
function skipQuoted(
  text: string,
  at: number,
  dialect: SqlDialect,
): Result<{ readonly to: number; readonly isComment: boolean }, Problem> {
  const open = (expected: string): Result<never, Problem> => refused({ at, expected });
  const char = text[at] ?? "";
  const isMysql = dialect === "mysql";
  if (char === "'" || char === '"' || (isMysql && char === "`")) {
    const hasEscapes = isMysql ? char !== "`" : char === "'" && isEscapeString(text, at);
    const to = quoteEnd(text, at, char, hasEscapes);
    return to === undefined ? open(`the closing ${char} of this quote`) : ok({ to, isComment: false });
  }
  if (!isMysql && char === "$" && !isWordChar(text[at - 1])) {
    const tag = /^\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/.exec(text.slice(at))?.[0];
    if (tag !== undefined) {
      const end = text.indexOf(tag, at + tag.length);
      return end < 0 ? open(`the closing ${tag} of this quote`) : ok({ to: end + tag.length, isComment: false });
    }
  }
  const isLineComment = text.startsWith("--", at) && (!isMysql || /^--(?:\s|$)/.test(text.slice(at, at + 3)));
  if (isLineComment || (isMysql && char === "#")) {
    const end = text.indexOf("\n", at);
    return ok({ to: end < 0 ? text.length : end + 1, isComment: true });
  }
  if (text.startsWith("/*", at)) {
    const to = commentEnd(text, at, !isMysql);
    return to === undefined ? open("the closing */ of this comment") : ok({ to, isComment: true });
  }
  return ok({ to: at, isComment: false });
}

/** PostgreSQL's `E'...'`: only there is a backslash an escape. */
function isEscapeString(text: string, at: number): boolean {
  return /[eE]/.test(text[at - 1] ?? "") && !isWordChar(text[at - 2]);
}

function quoteEnd(text: string, from: number, quote: string, hasEscapes: boolean): number | undefined {
  for (let at = from + 1; at < text.length; at++) {
    if (hasEscapes && text[at] === "\\") at++;
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return at + 1;
      at++;
    }
  }
  return undefined;
}

/** PostgreSQL's comments nest. */
function commentEnd(text: string, from: number, doNest: boolean): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text.startsWith("/*", at) && (doNest || depth === 0)) {
      depth++;
      at++;
    } else if (text.startsWith("*/", at)) {
      depth--;
      at++;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

function placeholderAt(text: string, at: number, dialect: SqlDialect): boolean {
  return dialect === "mysql"
    ? text[at] === "?"
    : text[at] === "$" && /\d/.test(text[at + 1] ?? "") && !isWordChar(text[at - 1]);
}

function isWordChar(char: string | undefined): boolean {
  return char !== undefined && /[A-Za-z0-9_$\u0080-\uffff]/.test(char);
}
