import { unreachable } from "../../foundation/assert.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { parseDomain } from "./domain.ts";
import {
  formatMailbox,
  isInternational,
  localLengthAt,
  parseMailbox,
  type AddressOptions,
  type Mailbox,
} from "./mailbox.ts";

/**
 * What MAIL and RCPT carry (RFC 5321 section 4.1.2): the null path `<>`, `<postmaster>` without a domain, or a mailbox.
 * Whether one of them may stand in a command is the command's matter (`smtp/command.ts`).
 */
export type Path =
  | { readonly kind: "null" }
  | { readonly kind: "postmaster" }
  | { readonly kind: "mailbox"; readonly mailbox: Mailbox };

export interface PathInText {
  readonly path: Path;
  /** The offset behind the closing bracket. */
  readonly end: number;
}

const DOMAIN_END = /[>,:\s]/g;

/**
 * The path that begins at `from`, in angle brackets. A source route is checked and then forgotten: RFC 5321
 * section 4.1.1.3 and appendix C let a server ignore it.
 */
export function parsePathAt(text: string, from: number, options: AddressOptions = {}): Result<PathInText, Problem> {
  if (text[from] !== "<") return refused({ at: from, expected: "an address in angle brackets" });
  if (text[from + 1] === ">") return ok({ path: { kind: "null" }, end: from + 2 });
  const start = skipSourceRoute(text, from + 1, options);
  if (!start.ok) return start;
  const localLength = localLengthAt(text, start.value);
  const localEnd = start.value + localLength;
  if (localLength === 0) return refused({ at: start.value, expected: "a local part" });
  // RFC 5321 section 4.1.1.3: "postmaster" alone, in any case.
  if (text[localEnd] === ">" && start.value === from + 1 && /^postmaster$/i.test(text.slice(start.value, localEnd)))
    return ok({ path: { kind: "postmaster" }, end: localEnd + 1 });
  if (text[localEnd] !== "@") return refused({ at: localEnd, expected: "@ and a domain" });
  const end = text.indexOf(">", localEnd);
  if (end < 0) return refused({ at: text.length, expected: ">" });
  const maxPath = options.maxPathBytes ?? 256;
  if ((end - from + 1) * 3 > maxPath && Buffer.byteLength(text.slice(from, end + 1)) > maxPath)
    return refused({ at: from + maxPath, expected: `a path of at most ${maxPath} octets` });
  const mailbox = parseMailbox(text.slice(start.value, end), options);
  if (!mailbox.ok) return refused({ at: start.value + mailbox.problem.at, expected: mailbox.problem.expected });
  const path: Path = { kind: "mailbox", mailbox: mailbox.value };
  // A-labels are longer than the U-labels they stand for, and it is with A-labels that the address goes on to other hosts.
  if (isInternational(mailbox.value) && Buffer.byteLength(formatPath(path)) > maxPath)
    return refused({ at: localEnd + 1, expected: `a path of at most ${maxPath} octets, its domain in A-labels` });
  return ok({ path, end: end + 1 });
}

/** A path and nothing else. */
export function parsePath(text: string, options: AddressOptions = {}): Result<Path, Problem> {
  const found = parsePathAt(text, 0, options);
  if (!found.ok) return found;
  if (found.value.end !== text.length) return refused({ at: found.value.end, expected: "nothing behind >" });
  return ok(found.value.path);
}

/** With angle brackets, as a command carries it. */
export function formatPath(path: Path): string {
  return `<${addressOfPath(path)}>`;
}

/** Without angle brackets: `""`, `postmaster`, or the mailbox in its shortest writing. */
export function addressOfPath(path: Path): string {
  switch (path.kind) {
    case "null":
      return "";
    case "postmaster":
      return "postmaster";
    case "mailbox":
      return formatMailbox(path.mailbox);
    default:
      return unreachable(path);
  }
}

/** `@one,@two:` in front of a mailbox; the offset behind it. */
function skipSourceRoute(text: string, from: number, options: AddressOptions): Result<number, Problem> {
  let at = from;
  if (text[at] !== "@") return ok(at);
  for (;;) {
    if (text[at] !== "@") return refused({ at, expected: "@ and a domain" });
    const end = domainEndAt(text, at + 1);
    const domain = parseDomain(text.slice(at + 1, end), options);
    if (!domain.ok) return refused({ at: at + 1 + domain.problem.at, expected: domain.problem.expected });
    if (text[end] === ":") return ok(end + 1);
    if (text[end] !== ",") return refused({ at: end, expected: "a colon behind the source route" });
    at = end + 1;
  }
}

function domainEndAt(text: string, from: number): number {
  // An address literal has colons of its own.
  if (text[from] === "[") {
    const close = text.indexOf("]", from);
    return close < 0 ? text.length : close + 1;
  }
  DOMAIN_END.lastIndex = from;
  return DOMAIN_END.exec(text)?.index ?? text.length;
}
