import { parseHeaderSection, type HeaderSection } from "../../../protocol/message/header-fields.ts";
import { decodeWords } from "../../../protocol/message/decode-words.ts";
import type { FilterFacts, MailFacts } from "../filter.ts";
import type { HookEvent } from "./hooks.ts";

/** Where a mail's content is read from: the filters' own, or a thread's, which asks for it piece by piece. */
export interface MessageSource {
  readonly facts: FilterFacts & { readonly mail: MailFacts };
  readonly trace: string;
  /** Each field with its CRLF, without the empty line. */
  readonly header: Uint8Array;
  readonly sizeBytes: number;
  readonly body: { read(): AsyncIterable<Uint8Array> };
}

/** How much of a body `text` gives, unless it is asked for more. */
const USUAL_TEXT_BYTES = 1024 * 1024;

/** A mail as `onMessage` gets it: the header whole, the body to be read in pieces. */
export class HookMessage implements HookEvent {
  readonly session: FilterFacts;
  readonly mail: MailFacts;
  readonly state: Record<string, unknown>;
  readonly now: number;
  readonly signal: AbortSignal;
  /** Of the whole mail, without our own Received field. */
  readonly sizeBytes: number;
  /** Our Received field, which stands in front of the mail when it is delivered. */
  readonly trace: string;
  readonly #source: MessageSource;
  #parsed: HeaderSection | undefined;

  constructor(source: MessageSource, { state, now, signal }: Pick<HookEvent, "state" | "now" | "signal">) {
    this.#source = source;
    this.session = source.facts;
    this.mail = source.facts.mail;
    this.sizeBytes = source.sizeBytes;
    this.trace = source.trace;
    this.state = state;
    this.now = now;
    this.signal = signal;
  }

  /** Of the envelope, `""` for the null sender. */
  get sender(): string {
    return this.mail.sender;
  }

  /** Of the envelope, as the client gave them. */
  get recipients(): readonly string[] {
    return this.mail.recipients.map(({ address }) => address);
  }

  /** All fields, from the first; values are unfolded, and else as they came. */
  get fields(): readonly { readonly name: string; readonly value: string }[] {
    return this.#header.fields;
  }

  /** The first field of that name: unfolded, encoded words (RFC 2047) read. */
  header(name: string): string | undefined {
    return this.headers(name)[0];
  }

  /** All fields of that name, as `header` gives them. */
  headers(name: string): readonly string[] {
    const wanted = name.toLowerCase();
    return this.fields.flatMap((field) => (field.name.toLowerCase() === wanted ? [decodeWords(field.value)] : []));
  }

  get subject(): string {
    return this.header("Subject") ?? "";
  }

  /** The header section as it came. */
  get rawHeader(): Uint8Array {
    return this.#source.header;
  }

  /** What stands behind the empty line, in pieces. May be read more than once. */
  body(): AsyncIterable<Uint8Array> {
    return this.#source.body.read();
  }

  /** The body as text, its first MiB, or as much as is asked for. No MIME part is decoded. */
  async text(mostBytes: number = USUAL_TEXT_BYTES): Promise<string> {
    const pieces: Uint8Array[] = [];
    let room = mostBytes;
    for await (const piece of this.body()) {
      pieces.push(piece.subarray(0, room));
      room -= piece.length;
      if (room <= 0) break;
    }
    return Buffer.concat(pieces).toString("utf8");
  }

  get #header(): HeaderSection {
    const { header } = this.#source;
    this.#parsed ??= parseHeaderSection(Buffer.from(header.buffer, header.byteOffset, header.byteLength));
    return this.#parsed;
  }
}
