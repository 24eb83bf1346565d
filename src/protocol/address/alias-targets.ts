import { formatDomain, parseDomain } from "./domain.ts";
import { formatLocal, formatMailbox, localLengthAt, parseMailbox, unquote } from "./mailbox.ts";

/**
 * Where an alias or a `.forward` file sends mail: the value of an entry in /etc/aliases, in a virtual table, a line of a
 * `.forward` or of an included list. One grammar for all, as sendmail, Postfix and Exim write them.
 *
 * | written | is |
 * |---|---|
 * | `joe`, `joe@example.org`, `Joe <joe@example.org>`, `"joe smith"` | an address; without `@` a local name |
 * | `\joe` | the same, and final: neither alias nor `.forward` is asked again |
 * | `@example.net` | the same local part in that domain |
 * | `\|command`, `\|"command, arguments"`, `"\|command, arguments"` | a command that gets the mail |
 * | `/path`, `"/path with spaces"` | a file the mail is appended to; with a final `/` a Maildir |
 * | `:include:/path` | the targets in that file |
 * | `:fail: text`, `error: text` | refused, with that text; a code in front is taken: `error:550 5.7.1 Closed` |
 * | `:defer: text`, `error:450 text` | not now |
 * | `:blackhole:` | accepted and thrown away |
 *
 * All of these may stand in quotes as a whole.
 */
export type AliasTarget =
  | { readonly kind: "address"; /** In its shortest writing. */ readonly address: string; readonly isFinal: boolean }
  | { readonly kind: "domain"; readonly domain: string }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "include"; readonly path: string }
  | {
      readonly kind: "fail" | "defer";
      readonly text: string;
      /** RFC 3463, when one was written. */
      readonly status?: string | undefined;
    }
  | { readonly kind: "discard" };

export interface AliasTargets {
  /** In the order they were written, each with its line in the text, from 1. */
  readonly targets: readonly (AliasTarget & { readonly line: number })[];
  readonly problems: readonly AliasProblem[];
}

export interface AliasProblem {
  readonly line: number;
  /** Says what is wrong with which piece, for people. */
  readonly text: string;
}

/**
 * Reads targets: separated by commas, lines, or (addresses) white space. A `#` where a target would begin is a comment to
 * the end of its line; `(...)` in an address is one, too. What is wrong is told with its line, and the rest is read all
 * the same: who must not send mail astray looks at `problems` first. Never throws.
 */
export function parseAliasTargets(text: string): AliasTargets {
  // What nearly every entry is needs no reading.
  if (PLAIN_NAME.test(text))
    return { targets: [{ kind: "address", address: text, isFinal: false, line: 1 }], problems: [] };
  const targets: (AliasTarget & { line: number })[] = [];
  const problems: AliasProblem[] = [];
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    let from = 0;
    while (from < line.length) {
      const item = itemAt(line, from);
      for (const target of item.targets) targets.push({ ...target, line: at + 1 });
      if (item.problem !== undefined) problems.push({ line: at + 1, text: item.problem });
      from = item.to;
    }
  }
  return { targets, problems };
}

/** One local name, without anything that means more. */
const PLAIN_NAME = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;

/** As it can be written in any of these files; `parseAliasTargets` reads it back. */
export function formatAliasTarget(target: AliasTarget): string {
  switch (target.kind) {
    case "address":
      // Bare, these would be a path, a command, a comment, a word with a meaning, and what stands in the quotes.
      if (/^(?:[/|#]|".*"$)/.test(target.address)) return `${target.isFinal ? "\\" : ""}<${target.address}>`;
      return `${target.isFinal ? "\\" : ""}${target.address}`;
    case "domain":
      return `@${target.domain}`;
    case "command":
      return quoted(`|${target.command}`);
    case "file":
      return /^[^\s",()#\\]+$/.test(target.path) ? target.path : quoted(target.path);
    case "include":
      return /^[^\s",()#\\]+$/.test(target.path) ? `:include:${target.path}` : `:include:${quoted(target.path)}`;
    case "fail":
    case "defer":
      return `:${target.kind}: ${[target.status, target.text].filter((part) => part !== undefined && part !== "").join(" ")}`.trim();
    case "discard":
      return ":blackhole:";
  }
}

interface Item {
  readonly targets: readonly AliasTarget[];
  readonly problem?: string | undefined;
  readonly to: number;
}

const WORD = /^(?::(\w+):|error:)\s*/i;

function itemAt(line: string, from: number): Item {
  const first = line[from] ?? "";
  if (/[\s,]/.test(first)) return { targets: [], to: from + 1 };
  if (first === "#") return { targets: [], to: line.length };
  if (first === '"') {
    const end = quoteEnd(line, from);
    if (end === undefined) return wrong(line, "the quote is not closed", line.length);
    // What goes on behind the quote is an address with a quoted local part, or with a name in front.
    if (/^(?:\s*(?:,|$)|\s+#)/.test(line.slice(end))) return quotedItem(line.slice(from, end), end);
    return addressItem(line, from);
  }
  if (first === "|") return commandItem(line, from);
  if (first === "/") return pathItem(line, from, from, (path) => ({ kind: "file", path }));
  const word = WORD.exec(line.slice(from));
  if (word === null && first === ":")
    return wrong(line.slice(from), "expected :include:, :fail:, :defer: or :blackhole:", line.length);
  return word === null ? addressItem(line, from) : wordItem(line, from, word);
}

function wordItem(line: string, from: number, [whole, word = "error"]: RegExpExecArray): Item {
  const behind = from + whole.length;
  switch (word.toLowerCase()) {
    case "include":
      return pathItem(line, from, behind, (path) => ({ kind: "include", path }));
    case "fail":
    case "defer":
    case "error":
      // As in Exim, the text is all of the rest: it may have commas in it.
      return { targets: [refusal(word.toLowerCase(), line.slice(behind).trim())], to: line.length };
    case "blackhole":
      return { targets: [{ kind: "discard" }], to: behind };
    default:
      return wrong(line.slice(from), "expected :include:, :fail:, :defer: or :blackhole:", line.length);
  }
}

function refusal(word: string, written: string): AliasTarget {
  const code = /^(?:([45])\d\d(?=\s|$)\s*)?(?:([45])\.(\d{1,3})\.(\d{1,3})(?=\s|$)\s*)?/.exec(written);
  const kindOf = (lasting: string | undefined): "fail" | "defer" | undefined =>
    lasting === undefined ? undefined : lasting === "4" ? "defer" : "fail";
  const kind = word === "defer" ? "defer" : word === "fail" ? "fail" : (kindOf(code?.[1] ?? code?.[2]) ?? "fail");
  const text = written.slice(code?.[0].length ?? 0);
  if (code?.[2] === undefined) return { kind, text };
  // What it does decides about the class: a status of the other one would contradict the reply.
  return { kind, text, status: `${kind === "defer" ? 4 : 5}.${Number(code[3])}.${Number(code[4])}` };
}

/** A whole item in quotes: what it is stands inside. */
function quotedItem(written: string, to: number): Item {
  const content = unquote(written);
  if (content.startsWith("|")) return commandOf(content.slice(1).trim(), written, to);
  if (content.startsWith("/")) return { targets: [{ kind: "file", path: content }], to };
  const include = /^:include:\s*(\/.*)$/i.exec(content);
  if (include !== null) return { targets: [{ kind: "include", path: include[1] ?? "" }], to };
  // Else ":fail: text" would be an address that nobody has.
  if (content.startsWith(":") || WORD.test(content)) {
    const inside = itemAt(content, 0);
    return inside.to < content.length
      ? wrong(written, "has more in its quotes than one target", to)
      : { ...inside, to };
  }
  // "\joe" is how \joe gets through programs that want quotes.
  const final = /^"\\([A-Za-z0-9].*)"$/.exec(written);
  const target = addressOf(final?.[1] ?? content, final !== null) ?? addressOf(written, false);
  return target === undefined ? wrong(written, "is no address", to) : { targets: [target], to };
}

function commandItem(line: string, from: number): Item {
  const start = from + 1 + (/^\s*/.exec(line.slice(from + 1))?.[0].length ?? 0);
  if (line[start] === '"') {
    const end = quoteEnd(line, start);
    if (end === undefined) return wrong(line.slice(from), "the quote is not closed", line.length);
    if (/^(?:\s*(?:,|$)|\s+#)/.test(line.slice(end)))
      return commandOf(unquote(line.slice(start, end)).trim(), line, end);
  }
  const end = endOf(line, start, false);
  return end === undefined
    ? wrong(line.slice(from), "the quote is not closed", line.length)
    : commandOf(line.slice(start, end).trim(), line.slice(from, end), end);
}

function commandOf(command: string, written: string, to: number): Item {
  return command === ""
    ? wrong(written, "expected a command behind |", to)
    : { targets: [{ kind: "command", command }], to };
}

function pathItem(line: string, from: number, start: number, make: (path: string) => AliasTarget): Item {
  const isQuoted = line[start] === '"';
  const comma = isQuoted ? quoteEnd(line, start) : endOf(line, start, false);
  const comment = isQuoted ? -1 : line.slice(start, comma).search(/\s#/);
  const end = comment < 0 ? comma : start + comment;
  if (end === undefined) return wrong(line.slice(from), "the quote is not closed", line.length);
  const path = isQuoted ? unquote(line.slice(start, end)) : line.slice(start, end).trim();
  const written = line.slice(from, end);
  if (!path.startsWith("/")) return wrong(written, "expected an absolute path", end);
  if (!isQuoted && /\s/.test(path)) return wrong(written, "a path with white space in it needs quotes", end);
  return { targets: [make(path)], to: end };
}

function addressItem(line: string, from: number): Item {
  const end = endOf(line, from, true);
  if (end === undefined) return wrong(line.slice(from), "a quote, ( or < is not closed", line.length);
  const written = withoutComments(line.slice(from, end)).trim();
  if (written === "") return { targets: [], to: end };
  // RFC 5322 section 3.4: a name may stand before the address in angle brackets.
  const angle = /^(\\?)(?:[^<>"]|"(?:[^"\\]|\\.)*")*<((?:[^<>"]|"(?:[^"\\]|\\.)*")*)>$/.exec(written);
  if (angle !== null) {
    const target = addressOf(angle[2] ?? "", angle[1] === "\\");
    return target === undefined ? wrong(written, "is no address", end) : { targets: [target], to: end };
  }
  const targets: AliasTarget[] = [];
  for (const piece of written.match(/(?:"(?:[^"\\]|\\.)*"|[^\s"])+/g) ?? []) {
    // As an address it would be somebody else's mail; what was meant is read only behind a comma.
    if (/^[/|:]/.test(piece)) return wrong(piece, "needs a comma in front", end);
    const isFinal = piece.startsWith("\\");
    const target = addressOf(isFinal ? piece.slice(1) : piece, isFinal);
    if (target === undefined) return wrong(piece, "is no address", end);
    targets.push(target);
  }
  return { targets, to: end };
}

function addressOf(written: string, isFinal: boolean): AliasTarget | undefined {
  // Bytes that were no UTF-8: whoever was meant, it is not who is written here now.
  if (written.includes("\ufffd")) return undefined;
  if (written.startsWith("@")) {
    const domain = parseDomain(written.slice(1), { isInternational: true });
    return domain.ok && !isFinal ? { kind: "domain", domain: formatDomain(domain.value) } : undefined;
  }
  const mailbox = parseMailbox(written, { isInternational: true });
  if (mailbox.ok) return { kind: "address", address: formatMailbox(mailbox.value), isFinal };
  const length = localLengthAt(written, 0);
  if (length === 0 || length !== written.length) return undefined;
  return { kind: "address", address: formatLocal(unquote(written)), isFinal };
}

/** Behind the quote that closes the one at `from`. */
function quoteEnd(line: string, from: number): number | undefined {
  for (let at = from + 1; at < line.length; at++) {
    if (line[at] === "\\") at++;
    else if (line[at] === '"') return at + 1;
  }
  return undefined;
}

/** The comma, comment or line's end that ends an item: not one in quotes, comments or angle brackets. */
function endOf(line: string, from: number, isAddress: boolean): number | undefined {
  let depth = 0;
  for (let at = from; at < line.length; at++) {
    const char = line[at] ?? "";
    if (char === "\\") at++;
    else if (char === '"') {
      const end = quoteEnd(line, at);
      if (end === undefined) return undefined;
      at = end - 1;
    } else if (!isAddress) {
      if (char === ",") return at;
    } else if (char === "(" || char === "<") depth++;
    else if (char === ")" || char === ">") depth--;
    else if (depth <= 0 && (char === "," || (char === "#" && /\s/.test(line[at - 1] ?? "")))) return at;
  }
  return depth > 0 ? undefined : line.length;
}

function withoutComments(text: string): string {
  let kept = "";
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    const isEscaped = char === "\\" && at + 1 < text.length;
    const end = char === '"' && depth === 0 ? quoteEnd(text, at) : isEscaped ? at + 2 : undefined;
    const piece = text.slice(at, end ?? at + 1);
    if (char === "(") depth++;
    else if (char === ")" && depth > 0) depth--;
    else if (depth === 0) kept += piece;
    at += piece.length - 1;
  }
  return kept;
}

function quoted(content: string): string {
  return `"${content.replace(/["\\]/g, "\\$&")}"`;
}

function wrong(written: string, why: string, to: number): Item {
  const shown = written.trim();
  return { targets: [], problem: `${shown.length > 60 ? `${shown.slice(0, 60)}...` : shown}: ${why}`, to };
}
