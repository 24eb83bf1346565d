import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { formatDomain, parseDomain, type Domain } from "../address/domain.ts";
import { formatLocal } from "../address/mailbox.ts";

/**
 * Address lists of header fields (RFC 5322 section 3.4, with the obsolete forms of section 4.4 that people still send): groups,
 * comments, quoted strings, folded white space, source routes, empty elements. A local part without a domain is taken,
 * as local users write it; who sends qualifies it.
 */
export interface ListedAddress {
  readonly name?: string | undefined;
  /** Decoded. */
  readonly local: string;
  readonly domain?: Domain | undefined;
}

type Token =
  | { readonly kind: "word"; readonly text: string; readonly at: number }
  | { readonly kind: "literal"; readonly text: string; readonly at: number }
  | { readonly kind: "special"; readonly text: string; readonly at: number };

/** No header field that a person or a program means seriously has more. */
const MAX_ADDRESSES = 100_000;
const MAX_COMMENT_DEPTH = 64;
const SPECIALS = new Set("<>,:;@.");
const ATOM = /[^\s()<>[\]:;@\\,."\x00-\x1f\x7f]+/uy;

export function parseAddressList(text: string): Result<readonly ListedAddress[], Problem> {
  const tokens = tokenise(text);
  if (!tokens.ok) return tokens;
  return new Reader(tokens.value, text.length).list();
}

/** `local@domain` in wire form, or the local part alone. */
export function formatListed(address: ListedAddress, defaultDomain?: string): string {
  const local = formatLocal(address.local);
  if (address.domain === undefined) return defaultDomain === undefined ? local : `${local}@${defaultDomain}`;
  return `${local}@${formatDomain(address.domain)}`;
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #length: number;
  #at = 0;

  constructor(tokens: readonly Token[], length: number) {
    this.#tokens = tokens;
    this.#length = length;
  }

  list(): Result<readonly ListedAddress[], Problem> {
    const found: ListedAddress[] = [];
    let isInGroup = false;
    while (this.#at < this.#tokens.length) {
      if (this.#takes(",")) continue;
      if (isInGroup && this.#takes(";")) {
        isInGroup = false;
        continue;
      }
      const words = this.#phrase();
      if (!isInGroup && words.length > 0 && this.#takes(":")) {
        isInGroup = true;
        continue;
      }
      const address = this.#takes("<") ? this.#angle(words.join(" ")) : this.#bare();
      if (!address.ok) return address;
      if (found.push(address.value) > MAX_ADDRESSES) return this.#problem("a shorter list");
      if (!this.#isAtSeparator(isInGroup)) return this.#problem("a comma");
    }
    // A group that nobody closed is closed by the end of the field.
    return ok(found);
  }

  #isAtSeparator(isInGroup: boolean): boolean {
    const token = this.#tokens[this.#at];
    return (
      token === undefined || (token.kind === "special" && (token.text === "," || (isInGroup && token.text === ";")))
    );
  }

  /** The display name in front of `<` or `:`; nothing is consumed when neither follows. */
  #phrase(): string[] {
    const start = this.#at;
    const words: string[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      // Section 4.1: an obsolete phrase may hold full stops ("John Q. Public").
      if (token?.kind === "word") words.push(token.text);
      else if (token?.kind === "special" && token.text === "." && words.length > 0) words.push(`${words.pop() ?? ""}.`);
      else if (token?.kind === "special" && (token.text === "<" || token.text === ":")) return words;
      else break;
      this.#at++;
    }
    this.#at = start;
    return [];
  }

  #angle(name: string): Result<ListedAddress, Problem> {
    // Section 4.4: an obsolete route, domains up to a colon.
    if (this.#isSpecial("@")) {
      while (this.#at < this.#tokens.length && !this.#isSpecial(":") && !this.#isSpecial(">")) this.#at++;
      if (!this.#takes(":")) return this.#problem("a colon behind the route");
    }
    const address = this.#bare();
    if (!address.ok) return address;
    if (!this.#takes(">")) return this.#problem(">");
    return ok(name === "" ? address.value : { ...address.value, name });
  }

  #bare(): Result<ListedAddress, Problem> {
    const local = this.#dotted();
    if (local === undefined) return this.#problem("an address");
    if (!this.#takes("@")) return ok({ local });
    const at = this.#offset();
    const token = this.#tokens[this.#at];
    if (token?.kind === "literal") this.#at++;
    const text = token?.kind === "literal" ? token.text : this.#dotted();
    const domain = parseDomain(text ?? "", { isInternational: true });
    if (!domain.ok) return refused({ at, expected: domain.problem.expected });
    return ok({ local, domain: domain.value });
  }

  /** Words with full stops between, as in local parts and domains. */
  #dotted(): string | undefined {
    let text = "";
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token?.kind !== "word") return text === "" ? undefined : this.#back(text);
      text += token.text;
      this.#at++;
      if (!this.#takes(".")) return text;
      text += ".";
    }
  }

  /** A full stop with no word behind it belongs to nothing: leave it for the caller to stumble over. */
  #back(text: string): string {
    this.#at--;
    return text.slice(0, -1);
  }

  #isSpecial(text: string): boolean {
    const token = this.#tokens[this.#at];
    return token?.kind === "special" && token.text === text;
  }

  #takes(text: string): boolean {
    if (!this.#isSpecial(text)) return false;
    this.#at++;
    return true;
  }

  #offset(): number {
    return this.#tokens[this.#at]?.at ?? this.#length;
  }

  #problem(expected: string) {
    return refused({ at: this.#offset(), expected });
  }
}

function tokenise(text: string): Result<readonly Token[], Problem> {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (/\s/.test(character)) at++;
    else if (character === "(") {
      const end = commentEnd(text, at);
      if (end === undefined) return refused({ at, expected: "a comment that ends" });
      at = end;
    } else if (character === '"' || character === "[") {
      const end = closingOf(text, at, character === "[" ? "]" : '"');
      if (end === undefined) return refused({ at, expected: `${character}…${character === "[" ? "]" : '"'}` });
      // Folds are blanks; any other control character would break out of a command or a field later.
      const inside = text
        .slice(at + 1, end - 1)
        .replace(/(?:\r?\n)?\t|\r?\n(?= )/g, (fold) => (fold.endsWith("\t") ? " " : ""));
      if (/\p{Cc}/u.test(inside)) return refused({ at, expected: "no control characters" });
      tokens.push(
        character === "["
          ? { kind: "literal", text: `[${inside.trim()}]`, at }
          : { kind: "word", text: inside.replace(/\\(.)/gsu, "$1"), at },
      );
      at = end;
    } else if (SPECIALS.has(character)) {
      tokens.push({ kind: "special", text: character, at });
      at++;
    } else {
      ATOM.lastIndex = at;
      const atom = ATOM.exec(text)?.[0];
      if (atom === undefined) return refused({ at, expected: "an address" });
      tokens.push({ kind: "word", text: atom, at });
      at += atom.length;
    }
  }
  return ok(tokens);
}

/** Behind the closing character of a quoted string or a literal; backslashes quote. */
function closingOf(text: string, from: number, close: string): number | undefined {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === close) return at + 1;
  }
  return undefined;
}

/** Comments nest (section 3.2.2). */
function commentEnd(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "(" && ++depth > MAX_COMMENT_DEPTH) return undefined;
    else if (text[at] === ")" && --depth === 0) return at + 1;
  }
  return undefined;
}
