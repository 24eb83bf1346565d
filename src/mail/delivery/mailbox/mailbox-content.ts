import { formatField } from "../../../protocol/message/field.ts";
import { senderOf, type Envelope, type Message } from "../../envelope/envelope.ts";

/**
 * The fields that final delivery puts in front (RFC 5321 section 4.4: Return-Path), in the mailbox's line ends.
 * X-Original-To stands there when an alias led here.
 */
export function deliveryFields(message: Message, envelope: Envelope): string {
  const given = envelope.givenRecipient;
  const fields = [
    formatField("Return-Path", `<${senderOf(message, envelope)}>`),
    given === undefined || given === envelope.recipient ? "" : formatField("X-Original-To", given),
    formatField("Delivered-To", envelope.recipient),
  ];
  return fields.join("").replaceAll("\r\n", "\n");
}

export interface MailboxContentOptions {
  /** BINARYMIME (RFC 3030): a CR LF in it may be no line end, so nothing is changed. Else lines end in LF. */
  readonly isBinary: boolean;
  /** For mbox: each line that begins with any number of `>` and then `From ` gets one more `>` (mboxrd). */
  readonly quotesFromLines: boolean;
}

const LF = 10;
const CR = 13;
const QUOTE = 62;
/** Enough of a line to know whether it is a Return-Path field. */
const FIELD_NAME_BYTES = 64;
const FROM = Buffer.from("From ");

/**
 * Content as the queue keeps it, turned into what a mailbox keeps: LF for CRLF, without the Return-Path fields that
 * others put there (RFC 5321 section 4.4 lets final delivery remove them, and only ours is true), ending in a line end.
 * The same bytes cut elsewhere give the same content.
 */
export class MailboxContent {
  readonly #options: MailboxContentOptions;
  #carry: Buffer = Buffer.alloc(0);
  #isHeader = true;
  #isDropping = false;
  #isLineStart = true;
  /** Between the `>` at a line's start and what follows them. */
  #isInQuotes = false;

  constructor(options: MailboxContentOptions) {
    this.#options = options;
  }

  push(chunk: Uint8Array): Buffer {
    return this.#process(this.#carry.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#carry, chunk]), false);
  }

  end(): Buffer {
    const rest = this.#process(this.#carry, true);
    return this.#isLineStart && !this.#isInQuotes ? rest : Buffer.concat([rest, Buffer.from("\n")]);
  }

  #process(data: Buffer, isEnd: boolean): Buffer {
    // Each added `>` belongs to five bytes or more of input.
    const out = Buffer.allocUnsafe(data.length + Math.ceil(data.length / FROM.length) + 1);
    let filled = 0;
    const take = (from: number, to: number): void => {
      if (!this.#isDropping && to > from) filled += data.copy(out, filled, from, to);
    };
    let at = 0;
    while (at < data.length) {
      if (this.#isLineStart) {
        const lf = data.indexOf(LF, at);
        if (this.#isHeader) {
          if (lf < 0 && data.length - at < FIELD_NAME_BYTES && !isEnd) break;
          this.#beginHeaderLine(data, at, lf);
        }
        this.#isLineStart = false;
        this.#isInQuotes = this.#options.quotesFromLines;
      }
      if (this.#isInQuotes) {
        const from = at;
        while (data[at] === QUOTE) at++;
        take(from, at);
        if (at === data.length) break;
        const rest = data.subarray(at, at + FROM.length);
        if (rest.equals(FROM.subarray(0, rest.length))) {
          if (rest.length < FROM.length && !isEnd) break;
          if (rest.length === FROM.length && !this.#isDropping) out[filled++] = QUOTE;
        }
        this.#isInQuotes = false;
      }
      const lf = data.indexOf(LF, at);
      if (lf < 0) {
        // A CR at the end of what we have may be the first half of a line end.
        const isSplit = !isEnd && data.at(-1) === CR;
        take(at, data.length - (isSplit ? 1 : 0));
        at = data.length - (isSplit ? 1 : 0);
        break;
      }
      const hasCr = lf > at && data[lf - 1] === CR && !this.#options.isBinary;
      take(at, hasCr ? lf - 1 : lf);
      take(lf, lf + 1);
      at = lf + 1;
      this.#isLineStart = true;
    }
    // Copied, for the chunk belongs to whoever reads the body.
    this.#carry = Buffer.from(data.subarray(at));
    return out.subarray(0, filled);
  }

  #beginHeaderLine(data: Buffer, at: number, lf: number): void {
    const end = Math.min(lf < 0 ? data.length : lf + 1, at + FIELD_NAME_BYTES);
    const start = data.toString("latin1", at, end);
    if (/^\r?\n/.test(start)) {
      this.#isHeader = false;
      this.#isDropping = false;
    } else if (!/^[ \t]/.test(start)) this.#isDropping = /^return-path[ \t]*:/i.test(start);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
