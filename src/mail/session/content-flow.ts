import { assert } from "../../foundation/assert.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { ContentFacts } from "../../protocol/smtp/content-facts.ts";
import type { BodyWriter } from "../queue/queue.ts";
import { IncomingContent } from "./incoming-content.ts";
import type { Action, Content, Opening, Terms } from "./state.ts";
import { storageFailure } from "./storage-failure.ts";

/** What a piece of the stream did. `rest` is behind the content; `isComplete` when the data or the chunk has ended. */
export interface Progress {
  readonly isComplete: boolean;
  readonly rest: Buffer;
  /** The writer's back-pressure: wait for it before the next piece. Never rejects. */
  readonly written: void | Promise<void>;
}

/** Where the bytes go while they are no commands: into a message's content, or nowhere when they are refused already. */
export class ContentFlow {
  readonly #terms: Terms;
  readonly #begin: (message: MessageId) => BodyWriter;
  #content: IncomingContent | undefined;
  #mode: "none" | "data" | "chunk" | "swallow" = "none";
  #missingBytes = 0;
  /** Of the chunk that is being swallowed. */
  #swallowedBytes = 0;
  #isLast = false;
  /** What filters made of the whole message. */
  #changed: BodyWriter | undefined;

  constructor(terms: Terms, begin: (message: MessageId) => BodyWriter) {
    this.#terms = terms;
    this.#begin = begin;
  }

  get isReceiving(): boolean {
    return this.#mode !== "none";
  }

  /** Whether `push` has something to do without another byte: a chunk of none. */
  get isDue(): boolean {
    return (this.#mode === "chunk" || this.#mode === "swallow") && this.#missingBytes === 0;
  }

  /** The end of the data or of the last chunk makes the message whole; that of another chunk does not. */
  get endsMessage(): boolean {
    return this.#isLast;
  }

  /** Octets of content so far, those that go nowhere too: they take the client as long. */
  get bytes(): number {
    return (this.#content?.facts.bytes ?? 0) + this.#swallowedBytes;
  }

  /** A client that never ends its lines in CRLF waits for us. */
  get isHopeless(): boolean {
    return this.#mode === "data" && this.#content?.isHopeless === true;
  }

  receiveData(opening: Opening): void {
    this.#mode = "data";
    this.#swallowedBytes = 0;
    this.#isLast = true;
    this.#open(opening);
  }

  receiveChunk({ opening, sizeBytes, isLast }: Extract<Action, { do: "receiveChunk" }>): void {
    this.#missingBytes = sizeBytes;
    this.#swallowedBytes = 0;
    this.#mode = opening === undefined ? "swallow" : "chunk";
    this.#isLast = isLast && opening !== undefined;
    if (opening !== undefined) this.#open(opening).beginChunk(sizeBytes);
  }

  #open(opening: Opening): IncomingContent {
    this.#content ??= new IncomingContent(opening, this.#terms, this.#begin(opening.message));
    return this.#content;
  }

  push(bytes: Buffer): Progress {
    const content = this.#content;
    if (this.#mode === "swallow" || content === undefined) return this.#swallow(bytes);
    const { rest, written } = this.#mode === "data" ? content.pushData(bytes) : content.pushChunk(bytes);
    if (this.#mode === "chunk") this.#missingBytes -= bytes.length - (rest?.length ?? 0);
    if (rest !== undefined) this.#mode = "none";
    return {
      isComplete: rest !== undefined,
      rest: rest ?? NOTHING,
      // What the queue cannot take is refused at its end; until then it must still be read.
      written: written?.catch((because: unknown) => content.refuse(storageFailure(because))),
    };
  }

  #swallow(bytes: Buffer): Progress {
    const taken = Math.min(bytes.length, this.#missingBytes);
    this.#missingBytes -= taken;
    this.#swallowedBytes += taken;
    const isComplete = this.#missingBytes === 0;
    if (isComplete) this.#mode = "none";
    return { isComplete, rest: bytes.subarray(taken), written: undefined };
  }

  /**
   * A piece is not where it belongs, and nobody waits for it any more. What follows it must not be kept: behind a step of the
   * writer that is still under way it would be lost or come out of order.
   */
  refuse(because: unknown): void {
    this.#content?.refuse(storageFailure(because));
  }

  /** The message is whole: what was found in it. */
  async end(): Promise<Content> {
    const content = this.#content;
    try {
      assert(content !== undefined, "content ends where it was begun");
      return await content.end();
    } catch (error) {
      return { facts: content?.facts ?? NO_FACTS, storedBytes: 0, hops: 0, refusal: storageFailure(error) };
    }
  }

  /** The whole message, for filters to look at; it stays here. */
  get whole(): { readonly writer: BodyWriter; readonly trace: string; readonly message: MessageId } | undefined {
    const content = this.#content;
    return content && { writer: content.writer, trace: content.opening.trace, message: content.opening.message };
  }

  /** The message is this from now on; what it was has been forgotten by whoever changed it. */
  change(writer: BodyWriter): void {
    this.#changed = writer;
  }

  /** Hands over the writer of the whole message; the flow is ready for the next. */
  take(): BodyWriter | undefined {
    const writer = this.#changed ?? this.#content?.writer;
    this.#content = undefined;
    this.#changed = undefined;
    return writer;
  }

  abandon(): void {
    this.#mode = "none";
    // Nothing hangs on it: what cannot be removed now is swept at the next start.
    this.take()
      ?.abort()
      .catch(() => {});
  }
}

const NOTHING = Buffer.alloc(0);
const NO_FACTS: ContentFacts = { bytes: 0, has8bit: false, hasNul: false, longestLineBytes: 0, bareEndings: 0 };
