import { parseHeaderSection, valuesOf } from "../../protocol/message/header-fields.ts";
import { bareEndingFinder } from "../../protocol/message/bare-endings.ts";
import { HeaderScanner } from "../../protocol/message/header-scanner.ts";
import { missingFields, newMessageId } from "../../protocol/message/missing-fields.ts";
import { BdatReceiver } from "../../protocol/smtp/bdat-receiver.ts";
import type { ContentFacts } from "../../protocol/smtp/content-facts.ts";
import { DataReceiver } from "../../protocol/smtp/data-receiver.ts";
import { masqueradeHeader } from "../envelope/rewrite/masquerade.ts";
import type { BodyWriter } from "../queue/queue.ts";
import type { Content, Opening, Terms } from "./state.ts";
import { storageFailure } from "./storage-failure.ts";

/** No list of addresses, and never taken for one. */
const NO_AUTHORS = "<";

/**
 * One message's content on its way into the queue: takes the bytes off the wire, undoes the transport's transparency,
 * puts our trace field (and on submission the missing fields) in front, looks at the header, and hands on to the queue's
 * `BodyWriter`. Content that will be refused is swallowed, not kept.
 *
 * Pure but for the writer it is given; a promise from `push` is the writer's back-pressure.
 */
export class IncomingContent {
  readonly #data: DataReceiver;
  readonly #chunks: BdatReceiver;
  readonly #writer: BodyWriter;
  readonly #opening: Opening;
  readonly #terms: Terms;
  readonly #header: HeaderScanner;
  /** What waits for the header's end, so that missing fields can be put in front and addresses changed. */
  #held: Buffer[] | undefined;
  /** The Message-ID that we gave it. */
  #ownMessageId: string | undefined;
  /** The From fields as they are stored, where that is not as they came. */
  #authorFields: readonly string[] | undefined;
  readonly #hasBareEnding = bareEndingFinder();
  #headerSeen = 0;
  #isOpened = false;
  #isByChunks = false;
  #refusal: Content["refusal"];
  /** The last bytes received; in front of the first stands the CRLF of the DATA command. */
  #tail = "\r\n";

  constructor(opening: Opening, terms: Terms, writer: BodyWriter) {
    const bareEndings = terms.bareLineEnds === "normalise" && !opening.isBinary ? "normalise" : "keep";
    this.#data = new DataReceiver(bareEndings);
    this.#chunks = new BdatReceiver(bareEndings);
    this.#writer = writer;
    this.#opening = opening;
    this.#terms = terms;
    this.#header = new HeaderScanner({
      maxHeaderBytes: terms.settings.headerSize,
      wanted: [
        ...(opening.adding === undefined ? ["message-id", "from"] : ["message-id", "date", "from"]),
        ...(opening.wantsTrace === true ? ["received"] : []),
      ],
    });
    if (opening.adding !== undefined || terms.rewriting?.masquerade !== undefined) this.#held = [];
  }

  get facts(): ContentFacts {
    return this.#isByChunks ? this.#chunks.facts : this.#data.facts;
  }

  get opening(): Opening {
    return this.#opening;
  }

  get writer(): BodyWriter {
    return this.#writer;
  }

  /** The stream behind 354. `rest` is set when the data has ended. */
  pushData(bytes: Buffer): { readonly rest: Buffer | undefined; readonly written: void | Promise<void> } {
    const { content, rest } = this.#data.push(bytes);
    if (rest === undefined) this.#tail = (this.#tail + bytes.subarray(-TAIL).toString("latin1")).slice(-TAIL);
    return { rest, written: this.#keep(content) };
  }

  beginChunk(sizeBytes: number): void {
    this.#isByChunks = true;
    this.#chunks.begin(sizeBytes);
  }

  pushChunk(bytes: Buffer): { readonly rest: Buffer | undefined; readonly written: void | Promise<void> } {
    const { content, rest } = this.#chunks.push(bytes);
    return { rest, written: this.#keep(content) };
  }

  /**
   * Whether a client that ends lines in bare LF or CR seems to wait for the answer to its end of data. Its message is
   * refused already, and only a real end of data, which it will never send, could say so politely.
   */
  get isHopeless(): boolean {
    if (this.#terms.bareLineEnds !== "reject" || this.#isByChunks) return false;
    return this.facts.bareEndings > 0 && /[\r\n]\.\r?\n$|\r\.\r$/.test(this.#tail);
  }

  /** The content is complete: what remains goes to the writer, and here is what was found. */
  async end(): Promise<Content> {
    if (this.#isByChunks) await this.#keep(this.#chunks.finish());
    const summary = this.#header.end();
    if (summary.endedBy === "limit") this.refuse("header-too-big");
    if (!this.#isOpened) await this.#open();
    return {
      facts: this.facts,
      storedBytes: this.#writer.sizeBytes,
      hops: summary.receivedCount,
      messageIdField: summary.values.get("message-id")?.[0] ?? this.#ownMessageId,
      // Who stands behind what was kept of the field may be anybody.
      authorFields: this.#authorFields ?? (summary.cut.has("from") ? [NO_AUTHORS] : summary.values.get("from")),
      received: summary.values.get("received"),
      isHeaderBroken: summary.endedBy === "no-field" && this.#opening.adding === undefined,
      refusal: this.#refusal,
    };
  }

  /** From here on everything is swallowed; the first reason stays. */
  refuse(because: NonNullable<Content["refusal"]>): void {
    this.#refusal ??= because;
    this.#held = undefined;
  }

  #keep(slices: readonly Buffer[]): void | Promise<void> {
    const only = slices.length === 1 ? slices[0] : undefined;
    const bytes = only ?? (slices.length === 0 ? undefined : Buffer.concat(slices));
    if (bytes === undefined || bytes.length === 0) return undefined;
    if (this.#refusal !== undefined) return undefined;
    if (!this.#header.isComplete) this.#keepHeader(bytes);
    if (this.facts.bytes > this.#terms.settings.messageSize) return this.refuse("too-big");
    if (this.#isOpened) return this.#write(bytes);
    if (this.#held === undefined) return this.#open(bytes);
    this.#held.push(bytes);
    return this.#header.isComplete ? this.#open() : undefined;
  }

  /** Binary content may hold any octet, but its header is lines as any other: who reads them otherwise would see other fields. */
  #keepHeader(bytes: Buffer): void {
    this.#header.push(bytes);
    if (!this.#opening.isBinary) return;
    const end = this.#header.isComplete ? this.#header.end().bodyAt - this.#headerSeen : bytes.length;
    this.#headerSeen += bytes.length;
    if (this.#hasBareEnding(bytes.subarray(0, end))) this.refuse("bare-header");
  }

  /** Writes what comes in front of the content, together with the first of it. */
  #open(first?: Buffer): void | Promise<void> {
    this.#isOpened = true;
    if (this.#refusal !== undefined) return undefined;
    const { trace, adding } = this.#opening;
    let added = "";
    if (adding !== undefined) {
      const header = this.#header.end();
      added = missingFields(header, adding);
      if (!header.values.has("message-id")) this.#ownMessageId = newMessageId(adding);
      if (header.endedBy === "no-field") this.#held = parted(this.#held ?? [], header.bodyAt);
    }
    const pieces = [Buffer.from(trace + added, "utf8"), ...this.#masqueraded(this.#held ?? [])];
    this.#held = undefined;
    if (first !== undefined) pieces.push(first);
    return this.#write(Buffer.concat(pieces));
  }

  /** All of the header section is here. One that does not end in order is left as it is, as far as it is none. */
  #masqueraded(held: readonly Buffer[]): readonly Buffer[] {
    const masquerade = this.#terms.rewriting?.masquerade;
    if (masquerade === undefined || held.length === 0) return held;
    const changed = masqueradeHeader(masquerade, Buffer.concat(held));
    this.#authorFields = valuesOf(parseHeaderSection(changed), "From");
    return [changed];
  }

  #write(bytes: Buffer): void | Promise<void> {
    try {
      return this.#writer.write(bytes);
    } catch (error) {
      return this.refuse(storageFailure(error));
    }
  }
}

/**
 * Where fields are added the body gets the empty line that it lacks: or some readers would go on behind what is no field,
 * and find there, say, a From field that nobody has looked at.
 */
function parted(held: readonly Buffer[], bodyAt: number): Buffer[] {
  const whole = Buffer.concat(held);
  return [whole.subarray(0, bodyAt), Buffer.from("\r\n"), whole.subarray(bodyAt)];
}

const TAIL = 4;
