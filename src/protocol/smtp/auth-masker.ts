/** Which side a piece of a dialogue came from. */
export type DialogueSide = "client" | "server";

/** What a line may have before it is shown in pieces. */
const LINE_LIMIT = 2048;
const HIDDEN = "[hidden]";
/** Commands that have nothing secret in them, whatever went before. */
const HARMLESS =
  /^\s*(?:ehlo|helo|lhlo|mail|rcpt|data|bdat|rset|noop|quit|vrfy|expn|help|starttls|etrn|xclient|xforward)(?:\s|$)/i;

/**
 * Hides the AUTH exchange (RFC 4954) in a recorded dialogue: initial responses, challenges and what answers them. Works on
 * both sides' bytes as they come, in any pieces; in doubt it hides more. Lines are given back whole, so what it returns
 * may lag behind; `rest` gives what is left at the end.
 *
 * Content is shown: lines of DATA and bytes of BDAT are no commands, whatever they look like.
 */
export class AuthMasker {
  readonly #held: Record<DialogueSide, Buffer> = { client: Buffer.alloc(0), server: Buffer.alloc(0) };
  /** The present line is longer than a line may be: its beginning has decided, the rest goes the same way. */
  readonly #inLong: Record<DialogueSide, "shown" | "hidden" | undefined> = { client: undefined, server: undefined };
  /** AUTH was said, and its end was not. */
  #isPending = false;
  /** Challenges that were not answered yet. */
  #challenges = 0;
  /** AUTH was said and nobody is logged in: a client that did not understand the refusal goes on with name and password. */
  #isTrying = false;
  #lastVerb = "";
  #content: { readonly kind: "data" } | { readonly kind: "chunk"; left: number } | undefined;

  /** The same bytes with the secret parts hidden. */
  mask(side: DialogueSide, bytes: Uint8Array): string {
    let held = this.#held[side].length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held[side], bytes]);
    let shown = "";
    while (held.length > 0) {
      if (side === "client" && this.#content?.kind === "chunk") {
        const taken = Math.min(this.#content.left, held.length);
        shown += held.subarray(0, taken).toString("latin1");
        this.#content.left -= taken;
        if (this.#content.left === 0) this.#content = undefined;
        held = held.subarray(taken);
        continue;
      }
      const end = held.indexOf(0x0a);
      if (end < 0 && held.length < LINE_LIMIT) break;
      const isWhole = end >= 0;
      const line = held.subarray(0, isWhole ? end + 1 : held.length).toString("latin1");
      held = held.subarray(line.length);
      shown += this.#line(side, line, isWhole);
    }
    this.#held[side] = Buffer.from(held);
    return shown;
  }

  /** What came without an end of line. */
  rest(side: DialogueSide): string {
    const line = this.#held[side].toString("latin1");
    this.#held[side] = Buffer.alloc(0);
    return line === "" ? "" : this.#line(side, line, false);
  }

  #line(side: DialogueSide, line: string, isWhole: boolean): string {
    const begun = this.#inLong[side];
    if (begun !== undefined) {
      if (isWhole) this.#inLong[side] = undefined;
      return begun === "hidden" ? (isWhole ? endOf(line) : "") : line;
    }
    const shown = side === "client" ? this.#clientLine(line) : this.#serverLine(line);
    if (!isWhole) this.#inLong[side] = shown === line ? "shown" : "hidden";
    return shown;
  }

  #clientLine(line: string): string {
    if (this.#content?.kind === "data") {
      if (line === ".\r\n" || line === ".\n") this.#content = undefined;
      return line;
    }
    const auth = /^(\s*auth\s+\S+)(\s+\S[\s\S]*)?$/i.exec(line.replace(/\r?\n$/, ""));
    if (auth !== null && !this.#isPending && this.#challenges === 0) {
      this.#isPending = true;
      this.#isTrying = true;
      this.#lastVerb = "AUTH";
      return auth[2] === undefined ? line : `${auth[1] ?? ""} ${HIDDEN}${endOf(line)}`;
    }
    if (this.#isPending || this.#challenges > 0) {
      this.#challenges = Math.max(0, this.#challenges - 1);
      return `${HIDDEN}${endOf(line)}`;
    }
    const malformed = /^\s*auth(?![a-z])/i.exec(line)?.[0];
    if (malformed !== undefined) {
      this.#isTrying = true;
      return line.trim() === malformed.trim() ? line : `${malformed} ${HIDDEN}${endOf(line)}`;
    }
    if (this.#isTrying && line.trim() !== "" && !HARMLESS.test(line)) return `${HIDDEN}${endOf(line)}`;
    const [verb = "", size = ""] = line.trim().split(/\s+/, 2);
    this.#lastVerb = verb.toUpperCase();
    if (this.#lastVerb === "BDAT" && /^\d{1,15}$/.test(size) && Number(size) > 0)
      this.#content = { kind: "chunk", left: Number(size) };
    return line;
  }

  #serverLine(line: string): string {
    const code = /^(\d{3})(?=[ \r\n-]|$)/.exec(line)?.[1];
    if (code === "334") {
      this.#challenges += 1;
      return `334 ${HIDDEN}${endOf(line)}`;
    }
    if (code === "354" && this.#lastVerb === "DATA") this.#content = { kind: "data" };
    if (code === "235") this.#isTrying = false;
    // Other replies in between are those to commands that were sent ahead of AUTH.
    if (code === "235" || code?.startsWith("4") === true || code?.startsWith("5") === true) {
      this.#isPending = false;
      this.#challenges = 0;
    }
    return line;
  }
}

function endOf(line: string): string {
  return /\r?\n$/.exec(line)?.[0] ?? "";
}
