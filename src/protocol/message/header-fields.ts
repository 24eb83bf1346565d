import { parseAddressList, type ListedAddress } from "./address-list.ts";
import { unfold } from "./field.ts";
import { ok, type Problem, type Result } from "../../foundation/result.ts";

/**
 * The header section of a message that is whole in memory: for `send -t`, bounces and tests. Reception uses
 * `header-scanner.ts`. Lines may end in CRLF or LF.
 */
export interface HeaderField {
  readonly name: string;
  /** Unfolded, trimmed. */
  readonly value: string;
  /** Where the field stands in the message, its line ending included. */
  readonly start: number;
  readonly end: number;
}

export interface HeaderSection {
  readonly fields: readonly HeaderField[];
  /** Where the empty line or, without one, the body begins. */
  readonly end: number;
  readonly bodyAt: number;
}

const LF = 10;
const FIELD = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:(.*)$/s;

export function parseHeaderSection(message: Buffer): HeaderSection {
  const fields: HeaderField[] = [];
  let at = 0;
  while (at < message.length) {
    const end = fieldEnd(message, at);
    const text = message.toString("utf8", at, end);
    if (text === "\r\n" || text === "\n") return { fields, end: at, bodyAt: end };
    const match = FIELD.exec(unfold(text));
    if (match === null) return { fields, end: at, bodyAt: at };
    fields.push({ name: match[1] ?? "", value: (match[2] ?? "").trim(), start: at, end });
    at = end;
  }
  return { fields, end: at, bodyAt: at };
}

/** The end of the line at `at` and of the continuation lines behind it. */
function fieldEnd(message: Buffer, at: number): number {
  for (let from = at; ;) {
    const lf = message.indexOf(LF, from);
    if (lf < 0) return message.length;
    const next = message[lf + 1];
    const isEmptyLine = lf === at || (lf === at + 1 && message[at] === 13);
    if (isEmptyLine || (next !== 32 && next !== 9)) return lf + 1;
    from = lf + 1;
  }
}

export function valuesOf(header: Pick<HeaderSection, "fields">, name: string): readonly string[] {
  return fieldsNamed(header, name).map((field) => field.value);
}

function fieldsNamed(header: Pick<HeaderSection, "fields">, name: string): readonly HeaderField[] {
  const wanted = name.toLowerCase();
  return header.fields.filter((field) => field.name.toLowerCase() === wanted);
}

/** The message without the fields of these names: `Bcc` must not reach anybody (RFC 5322 section 3.6.3). */
export function withoutFields(message: Buffer, header: HeaderSection, ...names: readonly string[]): Buffer {
  const unwanted = new Set(names.map((name) => name.toLowerCase()));
  const kept: Buffer[] = [];
  let from = 0;
  for (const field of header.fields) {
    if (!unwanted.has(field.name.toLowerCase())) continue;
    kept.push(message.subarray(from, field.start));
    from = field.end;
  }
  return from === 0 ? message : Buffer.concat([...kept, message.subarray(from)]);
}

/**
 * Who a message is addressed to, for `send -t`. Of a message sent again, that is the recipients of the topmost block of
 * Resent fields (RFC 5322 section 3.6.6). Offsets in problems are into the field's value; `expected` names the field.
 */
export function recipientsOf(header: HeaderSection): Result<readonly ListedAddress[], Problem> {
  const isResent = header.fields.some((field) => /^resent-(?:to|cc|bcc)$/i.test(field.name));
  const fields = isResent ? lastResending(header) : header.fields;
  const recipients: ListedAddress[] = [];
  for (const name of ["To", "Cc", "Bcc"].map((name) => (isResent ? `Resent-${name}` : name))) {
    for (const value of valuesOf({ fields }, name)) {
      const list = parseAddressList(value);
      if (!list.ok)
        return { ok: false, problem: { at: list.problem.at, expected: `${list.problem.expected} in ${name}` } };
      recipients.push(...list.value);
    }
  }
  return ok(recipients);
}

/** They are put in front of all others, on every way and at every arrival: none lies within a block of Resent fields. */
const TRACE: ReadonlySet<string> = new Set(["received", "return-path", "delivered-to"]);

/**
 * The topmost block of Resent fields. Another one begins behind a trace field, and where a field comes again: a block has each
 * but once. The same field twice in a row is taken for one that somebody wrote in parts, so that nobody in it is forgotten.
 */
function lastResending(header: HeaderSection): readonly HeaderField[] {
  const block = new Map<string, HeaderField[]>();
  let last = "";
  for (const field of header.fields) {
    const name = field.name.toLowerCase();
    if (!name.startsWith("resent-")) {
      if (block.size > 0 && TRACE.has(name)) break;
      continue;
    }
    const before = block.get(name);
    if (before !== undefined && name !== last) break;
    block.set(name, [...(before ?? []), field]);
    last = name;
  }
  return [...block.values()].flat();
}
