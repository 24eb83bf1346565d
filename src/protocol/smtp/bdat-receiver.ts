import type { ContentFacts } from "./content-facts.ts";
import { ContentLines } from "./content-lines.ts";

/**
 * The server's ear for BDAT (RFC 3030): counts the octets of each chunk; one receiver serves all chunks of a message.
 * With `normalise`, CRs and LFs that stand alone become CRLF, as in DATA; BINARYMIME content must be kept as it is.
 */
export interface BdatProgress {
  readonly content: readonly Buffer[];
  /** Set when the announced chunk is complete: the bytes behind it, possibly none. */
  readonly rest: Buffer | undefined;
}

export class BdatReceiver {
  readonly #lines: ContentLines;
  #missingBytes = 0;

  constructor(bareEndings: "keep" | "normalise") {
    this.#lines = new ContentLines({ bareEndings, doubleDots: false });
  }

  get facts(): ContentFacts {
    return this.#lines.facts;
  }

  /** Octets of the current chunk that have not come. */
  get missingBytes(): number {
    return this.#missingBytes;
  }

  /** A BDAT command announced so many octets. A chunk of none is complete without a push. */
  begin(sizeBytes: number): void {
    this.#missingBytes = sizeBytes;
  }

  push(bytes: Buffer): BdatProgress {
    const taken = Math.min(bytes.length, this.#missingBytes);
    this.#missingBytes -= taken;
    const content = this.#lines.push(bytes.subarray(0, taken));
    return { content, rest: this.#missingBytes === 0 ? bytes.subarray(taken) : undefined };
  }

  /** The last chunk is complete: content that waited for what might have followed. */
  finish(): readonly Buffer[] {
    return this.#lines.end();
  }
}
