import type { Reply } from "./reply.ts";

/**
 * The client's ear: bytes in, replies out (RFC 5321 section 4.2). Whatever the server sends, memory stays bounded and
 * nothing is thrown: over-long lines keep their beginning, over-long replies and lines that are no reply end in `broken`,
 * after which everything else is ignored.
 *
 * Lines may end in a bare LF: replies are read by us alone, so that nobody can be led to another reading.
 */
export type ReplyEvent =
  | { readonly kind: "reply"; readonly reply: Reply }
  /** `text` is the offending line, made printable and cut. */
  | { readonly kind: "broken"; readonly because: "not-a-reply" | "too-many-lines"; readonly text: string };

export interface ReplyLimits {
  /** What is kept of a line. RFC 5321 allows 512 octets; servers with long explanations send more. */
  readonly maxLineBytes: number;
  readonly maxLines: number;
}

const LF = 10;
const CR = 13;
const DEFAULT_LIMITS: ReplyLimits = { maxLineBytes: 2048, maxLines: 128 };
/**
 * Characters of a refusal that are kept. It is stored with each recipient and each attempt, and told to senders: a host that explains
 * itself with all the lines that a reply may have would fill memory and disk with its words.
 */
const MOST_OF_REFUSAL = 4096;
/** Of any other reply, some of which are told as well; ten times what an answer to EHLO has. */
const MOST_OF_OTHERS = 16_384;
const LINE = /^([2-5]\d\d)(?:([ -])(.*))?$/s;
// RFC 3463 section 2; the text behind it is set off by white space.
const STATUS = /^([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)/;
const CONTROLS = /[\x00-\x1f\x7f]/g;

export class ReplyParser {
  readonly #limits: ReplyLimits;
  /** The unfinished line, never longer than the limit. */
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #lines: string[] = [];
  #isBroken = false;

  constructor(limits: Partial<ReplyLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /**
   * Nothing of a further reply has arrived. Must hold before a TLS handshake begins: what came in the clear behind the
   * answer to STARTTLS could pass for an answer under TLS (RFC 3207 section 6).
   */
  get isIdle(): boolean {
    return this.#partialBytes === 0 && this.#lines.length === 0;
  }

  push(chunk: Buffer): ReplyEvent[] {
    const events: ReplyEvent[] = [];
    let at = 0;
    while (!this.#isBroken && at < chunk.length) {
      const end = chunk.indexOf(LF, at);
      if (end < 0) {
        this.#keep(chunk.subarray(at));
        break;
      }
      // Most lines come whole, and short: they are read where they lie.
      const isWhole = this.#partialBytes === 0 && end - at <= this.#limits.maxLineBytes;
      if (!isWhole) this.#keep(chunk.subarray(at, end));
      const line = isWhole ? textOf(chunk, at, end) : this.#takeLine();
      at = end + 1;
      const event = this.#onLine(line);
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  #keep(piece: Buffer): void {
    const room = this.#limits.maxLineBytes - this.#partialBytes;
    // One byte at least says that a line has begun; the rest is dropped once the limit is reached.
    const kept = piece.length > room ? piece.subarray(0, room) : piece;
    if (kept.length === 0) return;
    this.#partial.push(Buffer.from(kept));
    this.#partialBytes += kept.length;
  }

  #takeLine(): string {
    const [first] = this.#partial;
    const bytes = this.#partial.length === 1 && first !== undefined ? first : Buffer.concat(this.#partial);
    this.#partial = [];
    this.#partialBytes = 0;
    return textOf(bytes, 0, bytes.length);
  }

  #onLine(line: string): ReplyEvent | undefined {
    const match = LINE.exec(line);
    if (match === null) return this.#break("not-a-reply", line);
    if (this.#lines.length >= this.#limits.maxLines) return this.#break("too-many-lines", line);
    this.#lines.push((match[3] ?? "").replace(CONTROLS, " "));
    if (match[2] === "-") return undefined;
    // RFC 5321 section 4.2.1 wants one code in all lines; where a server breaks that, its last word counts.
    const reply = replyOf(Number(match[1]), this.#lines);
    this.#lines = [];
    return { kind: "reply", reply };
  }

  #break(because: "not-a-reply" | "too-many-lines", line: string): ReplyEvent {
    this.#isBroken = true;
    this.#lines = [];
    return { kind: "broken", because, text: line.slice(0, 200).replace(CONTROLS, " ") };
  }
}

/** A line's text without the CR at its end. */
function textOf(bytes: Buffer, from: number, to: number): string {
  const end = to > from && bytes[to - 1] === CR ? to - 1 : to;
  const utf8 = bytes.toString("utf8", from, end);
  // Old servers speak the charset of their country; any text is better than replacement characters.
  return utf8.includes("\ufffd") ? bytes.toString("latin1", from, end) : utf8;
}

/** A status is believed only when its class is the code's: `250 4.7.0 …` is text that happens to look like one. */
function replyOf(code: number, lines: readonly string[]): Reply {
  let first: string | undefined;
  for (const line of lines) first ??= statusIn(code, line);
  const plain = first === undefined ? lines : lines.map((line) => withoutStatus(code, line));
  return { code, status: first, lines: firstOf(plain, code) };
}

/** The beginning of the text. Words of a refusal may be cut anywhere; half of a line that says what a host can do says something else. */
function firstOf(lines: readonly string[], code: number): readonly string[] {
  // As nearly all are: a line has its own bound.
  if (lines.length === 1) return lines;
  const isRefusal = code >= 400;
  let room = isRefusal ? MOST_OF_REFUSAL : MOST_OF_OTHERS;
  const kept: string[] = [];
  for (const line of lines) {
    if (line.length > room) return isRefusal && room > 0 ? [...kept, line.slice(0, room).toWellFormed()] : kept;
    room -= line.length;
    kept.push(line);
  }
  return kept;
}

function statusIn(code: number, line: string): string | undefined {
  const status = STATUS.exec(line)?.[1];
  return status !== undefined && Number(status[0]) === Math.floor(code / 100) ? status : undefined;
}

function withoutStatus(code: number, line: string): string {
  return statusIn(code, line) === undefined ? line : line.replace(STATUS, "");
}
