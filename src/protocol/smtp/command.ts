import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { isInternational, type AddressOptions } from "../address/mailbox.ts";
import { formatPath, parsePathAt, type Path } from "../address/path.ts";
import {
  formatMailParameters,
  formatRcptParameters,
  parseMailParameters,
  parseRcptParameters,
  type MailParameters,
  type RcptParameters,
} from "./parameters.ts";
import { decodeXtext } from "./xtext.ts";

/**
 * One command line as data (RFC 5321 section 4.1.1 and the extensions). The parser knows grammar only: what was
 * offered, what may come when and who may say it is the session's matter.
 *
 * Addresses beyond ASCII are parsed whether or not SMTPUTF8 was asked for, and marked `isInternational`, so that the
 * session can answer with 553 5.6.7 (RFC 6531 section 3.5) rather than with a syntax error.
 */
export type Command =
  /** `domain` is the argument as written, possibly no domain at all: many clients send what their machine is called. */
  | { readonly verb: "EHLO" | "HELO" | "LHLO"; readonly domain: string }
  | {
      readonly verb: "MAIL";
      readonly from: Path;
      readonly isInternational: boolean;
      readonly parameters: MailParameters;
    }
  | { readonly verb: "RCPT"; readonly to: Path; readonly isInternational: boolean; readonly parameters: RcptParameters }
  | { readonly verb: "DATA" | "RSET" | "QUIT" | "STARTTLS" }
  | { readonly verb: "BDAT"; readonly sizeBytes: number; readonly isLast: boolean }
  | { readonly verb: "NOOP" | "VRFY" | "EXPN" | "HELP" | "ETRN"; readonly argument: string }
  /** `initial` is the initial response in base 64, `=` for an empty one (RFC 4954 section 4). */
  | { readonly verb: "AUTH"; readonly mechanism: string; readonly initial?: string | undefined }
  /** Names in upper case, values decoded; `[UNAVAILABLE]` and `[TEMPUNAVAIL]` stay as they are. */
  | { readonly verb: "XCLIENT" | "XFORWARD"; readonly attributes: ReadonlyMap<string, string> }
  | { readonly verb: "unknown"; readonly word: string };

export type Verb = Command["verb"];

export interface CommandProblem extends Problem {
  readonly verb: Verb;
  /**
   * `encoding`: bytes that are no UTF-8, or control characters (500 5.5.2); `argument`: missing, superfluous or
   * malformed (501 5.5.4); `sender` and `recipient`: a malformed address (501 5.1.7, 501 5.1.3); `parameter`: malformed
   * (501 5.5.4); `unknown-parameter`: 555 5.5.4.
   */
  readonly kind: "encoding" | "argument" | "sender" | "recipient" | "parameter" | "unknown-parameter";
}

type Parse = (line: string, at: number, options: AddressOptions) => Result<Command, CommandProblem>;

const PARSERS: ReadonlyMap<string, Parse> = new Map<string, Parse>([
  ["EHLO", greeting("EHLO")],
  ["HELO", greeting("HELO")],
  ["LHLO", greeting("LHLO")],
  ["MAIL", mail],
  ["RCPT", rcpt],
  ["DATA", bare("DATA")],
  ["BDAT", bdat],
  ["RSET", bare("RSET")],
  ["NOOP", withText("NOOP")],
  ["VRFY", withArgument("VRFY")],
  ["EXPN", withArgument("EXPN")],
  ["HELP", withText("HELP")],
  ["QUIT", bare("QUIT")],
  ["ETRN", withArgument("ETRN")],
  ["STARTTLS", bare("STARTTLS")],
  ["AUTH", auth],
  ["XCLIENT", attributes("XCLIENT")],
  ["XFORWARD", attributes("XFORWARD")],
]);

/** Every verb that the parser knows. */
export const VERBS: readonly string[] = [...PARSERS.keys()];

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const NOT_ASCII = /[^\x00-\x7f]/;

/** A line without its CRLF. Offsets count characters. */
export function parseCommand(bytes: Buffer, options: AddressOptions = {}): Result<Command, CommandProblem> {
  let line = bytes.toString("latin1");
  if (NOT_ASCII.test(line)) {
    line = bytes.toString("utf8");
    // U+FFFD itself is no character that an address or a parameter needs.
    const at = line.indexOf("\ufffd");
    if (at >= 0) return refused({ at, expected: "UTF-8", verb: verbOf(line), kind: "encoding" });
  }
  return parseCommandText(line, options);
}

export function parseCommandText(line: string, options: AddressOptions = {}): Result<Command, CommandProblem> {
  const control = line.search(CONTROL);
  if (control >= 0)
    return refused({ at: control, expected: "no control characters", verb: verbOf(line), kind: "encoding" });
  const end = wordEnd(line);
  const parse = PARSERS.get(line.slice(0, end).toUpperCase());
  if (parse === undefined) return ok({ verb: "unknown", word: line.slice(0, end) });
  return parse(line, end, options);
}

function wordEnd(line: string): number {
  let end = 0;
  while (end < line.length && line[end] !== " " && line[end] !== "\t") end++;
  return end;
}

function verbOf(line: string): Verb {
  const parsed = line.slice(0, wordEnd(line)).toUpperCase();
  // The keys of PARSERS are verbs.
  return PARSERS.has(parsed) ? (parsed as Verb) : "unknown";
}

function problem(verb: Verb, kind: CommandProblem["kind"], at: number, expected: string) {
  return refused({ verb, kind, at, expected });
}

function bare(verb: "DATA" | "RSET" | "QUIT" | "STARTTLS"): Parse {
  const command = ok({ verb });
  return (line, at) => {
    // RFC 5321 section 4.1.1: white space behind a command is tolerated.
    const end = skipBlanks(line, at);
    return end === line.length ? command : problem(verb, "argument", end, `${verb} without an argument`);
  };
}

function greeting(verb: "EHLO" | "HELO" | "LHLO"): Parse {
  return (line, at) => {
    const domain = line.slice(at).trim();
    if (domain === "" || /\s/.test(domain)) return problem(verb, "argument", at, `${verb} and a domain`);
    return ok({ verb, domain });
  };
}

function withText(verb: "NOOP" | "HELP"): Parse {
  return (line, at) => ok({ verb, argument: line.slice(at).trim() });
}

function withArgument(verb: "VRFY" | "EXPN" | "ETRN"): Parse {
  return (line, at) => {
    const argument = line.slice(at).trim();
    return argument === "" ? problem(verb, "argument", at, `${verb} and an argument`) : ok({ verb, argument });
  };
}

function mail(line: string, at: number, options: AddressOptions): Result<Command, CommandProblem> {
  const found = pathBehind("FROM:", "MAIL", "sender", line, at, options);
  if (!found.ok) return found;
  const { path, end } = found.value;
  if (path.kind === "postmaster") return problem("MAIL", "sender", end - 1, "@ and a domain");
  const parameters = parseMailParameters(line, end);
  if (!parameters.ok) return parameterProblem("MAIL", parameters.problem);
  return ok({ verb: "MAIL", from: path, isInternational: isInternationalPath(path), parameters: parameters.value });
}

function rcpt(line: string, at: number, options: AddressOptions): Result<Command, CommandProblem> {
  const found = pathBehind("TO:", "RCPT", "recipient", line, at, options);
  if (!found.ok) return found;
  const { path, end } = found.value;
  if (path.kind === "null") return problem("RCPT", "recipient", end - 1, "a recipient");
  const parameters = parseRcptParameters(line, end);
  if (!parameters.ok) return parameterProblem("RCPT", parameters.problem);
  return ok({ verb: "RCPT", to: path, isInternational: isInternationalPath(path), parameters: parameters.value });
}

function pathBehind(
  keyword: "FROM:" | "TO:",
  verb: "MAIL" | "RCPT",
  kind: "sender" | "recipient",
  line: string,
  at: number,
  options: AddressOptions,
): Result<{ path: Path; end: number }, CommandProblem> {
  const start = skipBlanks(line, at);
  if (line.slice(start, start + keyword.length).toUpperCase() !== keyword)
    return problem(verb, "argument", start, `${keyword}<address>`);
  // RFC 5321 section 3.3: no space belongs behind the colon. Clients that put one there are many and mean no other thing.
  const found = parsePathAt(line, skipBlanks(line, start + keyword.length), { ...options, isInternational: true });
  if (!found.ok) return problem(verb, kind, found.problem.at, found.problem.expected);
  const { end } = found.value;
  if (end < line.length && line[end] !== " " && line[end] !== "\t")
    return problem(verb, kind, end, "a space behind the address");
  return found;
}

function parameterProblem(verb: Verb, found: Problem & { readonly kind: "unknown" | "syntax" }) {
  return problem(verb, found.kind === "unknown" ? "unknown-parameter" : "parameter", found.at, found.expected);
}

function isInternationalPath(path: Path): boolean {
  return path.kind === "mailbox" && isInternational(path.mailbox);
}

function bdat(line: string, at: number): Result<Command, CommandProblem> {
  // RFC 3030 section 2. A size that we cannot count to is refused: what follows could not be told from commands.
  const match = /^[ \t]+(\d{1,15})(?:[ \t]+(LAST))?[ \t]*$/i.exec(line.slice(at));
  if (match === null) return problem("BDAT", "argument", at, "BDAT size or BDAT size LAST");
  return ok({ verb: "BDAT", sizeBytes: Number(match[1]), isLast: match[2] !== undefined });
}

function auth(line: string, at: number): Result<Command, CommandProblem> {
  // RFC 4954 section 4; mechanism names per RFC 4422 section 3.1.
  const match = /^[ \t]+([A-Z0-9_-]{1,20})(?:[ \t]+(=|[A-Za-z0-9+/]+={0,2}))?[ \t]*$/i.exec(line.slice(at));
  if (match === null) return problem("AUTH", "argument", at, "AUTH mechanism, with or without an initial response");
  return ok({ verb: "AUTH", mechanism: (match[1] ?? "").toUpperCase(), initial: match[2] });
}

function attributes(verb: "XCLIENT" | "XFORWARD"): Parse {
  return (line, at) => {
    const found = new Map<string, string>();
    let offset = at;
    for (const word of line.slice(at).split(/[ \t]+/)) {
      const equals = word.indexOf("=");
      const name = word.slice(0, Math.max(0, equals)).toUpperCase();
      const value = decodeXtext(word.slice(equals + 1));
      if (word !== "") {
        // A decoded control character would reach logs and fields that a line of text never could.
        if (!/^[A-Z]{1,20}$/.test(name) || !value.ok || CONTROL.test(value.value))
          return problem(verb, "argument", offset, "NAME=xtext");
        found.set(name, value.value);
      }
      offset += word.length + 1;
    }
    if (found.size === 0) return problem(verb, "argument", at, "NAME=xtext");
    return ok({ verb, attributes: found });
  };
}

/** `MAIL FROM:<a@b> SIZE=1`, without CRLF. */
export function formatMail(from: Path, parameters: MailParameters): string {
  return `MAIL FROM:${formatPath(from)}${formatMailParameters(parameters)}`;
}

export function formatRcpt(to: Path, parameters: RcptParameters, isInternational = false): string {
  return `RCPT TO:${formatPath(to)}${formatRcptParameters(parameters, isInternational)}`;
}

function skipBlanks(line: string, from: number): number {
  let at = from;
  while (line[at] === " " || line[at] === "\t") at++;
  return at;
}
