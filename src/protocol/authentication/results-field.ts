import { rawValue, type RawField } from "./raw-fields.ts";

/** One method's result in an Authentication-Results field (RFC 8601 section 2.2). */
export interface MethodResult {
  readonly method: "spf" | "dkim" | "dmarc" | "arc" | "auth";
  readonly result: string;
  readonly comment?: string | undefined;
  readonly reason?: string | undefined;
  /** `header.d`, `smtp.mailfrom` and their values; from peers, and made harmless here. */
  readonly properties: readonly (readonly [name: string, value: string])[];
}

/** The field's value with its folds, a method a line: ` id;\r\n\tspf=pass …`. */
export function formatResults(authority: string, results: readonly MethodResult[]): string {
  if (results.length === 0) return ` ${token(authority)}; none`;
  return ` ${[token(authority), ...results.map(formatMethod)].join(";\r\n\t")}`;
}

function formatMethod({ method, result, comment, reason, properties }: MethodResult): string {
  const words = [
    ...(comment === undefined ? [] : [`(${commentText(comment)})`]),
    ...(reason === undefined ? [] : [`reason=${quoted(reason.slice(0, 120))}`]),
    ...properties.map(([name, value]) => `${name}=${propertyValue(value.slice(0, 255))}`),
  ];
  let text = `${method}=${result}`;
  let length = text.length + 8;
  for (const word of words) {
    const isTooLong = length + word.length + 1 > 76;
    text += isTooLong ? `\r\n\t${word}` : ` ${word}`;
    length = isTooLong ? word.length + 8 : length + word.length + 1;
  }
  return text;
}

/** Of RFC 2045: what needs no quotes. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`{|}~-]+$/;
const LOCAL_AND_DOMAIN = /^(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+)?@[A-Za-z0-9._-]+$/;

function token(text: string): string {
  return TOKEN.test(text) ? text : quoted(text);
}

function propertyValue(text: string): string {
  return TOKEN.test(text) || LOCAL_AND_DOMAIN.test(text) ? text : quoted(text);
}

function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}

function commentText(text: string): string {
  return text
    .slice(0, 200)
    .replace(/[^\x20-\x7e]/g, "?")
    .replace(/[()\\]/g, " ");
}

/**
 * Whether an Authentication-Results field claims to be of this authority (RFC 8601 section 5): whatever comments stand in it,
 * quoted or not, in any case, with any version. A field whose authority can't be read counts as such when the name stands in
 * it anywhere: a laxer reader might take it for ours.
 */
export function claimsToBeOf(field: RawField, authority: string): boolean {
  const wanted = authority.toLowerCase();
  const value = rawValue(field);
  const read = authorityOf(value);
  return read === undefined ? value.toLowerCase().includes(wanted) : read === wanted;
}

/** The authority of a field's value, in lower case; undefined for a value that has none. */
export function authorityOf(value: string): string | undefined {
  const text = withoutComments(value);
  if (text === undefined) return undefined;
  // A version stands behind a blank: were it optional, a name of digits could be parted in as many ways as it is long.
  const match = /^[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"=]+))(?:[ \t\r\n]+[0-9]+)?[ \t\r\n]*(?:;|$)/.exec(text);
  if (match === null) return undefined;
  return (match[1]?.replace(/\\(.)/g, "$1") ?? match[2] ?? "").toLowerCase();
}

/**
 * What a set of ARC says in its results, behind its number: there is one such field in a set, so it holds what all
 * Authentication-Results fields of this authority say, in their order (RFC 8617 section 4.1.1). Undefined where there is none.
 */
export function sealedResults(fields: readonly RawField[], authority: string): string | undefined {
  const name = authority.toLowerCase();
  const values = fields.filter((field) => field.name === "authentication-results").map(rawValue);
  const own = values.filter((value) => authorityOf(value) === name).map(behindAuthority);
  if (own.length === 0) return undefined;
  const said = own.filter((text) => !/^\s*(?:none)?$/i.test(text));
  if (said.length === 0) return formatResults(name, []);
  return ` ${token(name)};${said.map((text, at) => (at === 0 ? text.replace(/^(?!\s)/, " ") : `\r\n\t${text.trimStart()}`)).join(";")}`;
}

/** Behind the first semicolon that stands in no comment and no quotes, without what ends the list. */
function behindAuthority(value: string): string {
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < value.length; at++) {
    const character = value.charAt(at);
    if (character === "\\") at++;
    else if (character === '"' && depth === 0) isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if (character === "(") depth++;
    else if (character === ")" && depth > 0) depth--;
    else if (character === ";" && depth === 0)
      return value
        .slice(at + 1)
        .trimEnd()
        .replace(/;$/, "")
        .trimEnd();
  }
  return "";
}

/** Comments may nest, and hold quoted characters. Undefined where one does not end. */
export function withoutComments(text: string): string | undefined {
  let kept = "";
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === "\\") {
      if (depth === 0) kept += text.slice(at, at + 2);
      at++;
    } else if (character === '"' && depth === 0) {
      isQuoted = !isQuoted;
      kept += character;
    } else if (!isQuoted && character === "(") depth++;
    else if (!isQuoted && character === ")" && depth > 0) {
      depth--;
      kept += depth === 0 ? " " : "";
    } else if (depth === 0) kept += character;
  }
  return depth === 0 && !isQuoted ? kept : undefined;
}
