import { isAscii } from "node:buffer";
import { ContentLines } from "../../../protocol/smtp/content-lines.ts";

/** What content really needs of a next host, whatever was declared when it came in. */
export interface ContentNeeds {
  readonly content: "7bit" | "8bit" | "binary";
  readonly headerIsAscii: boolean;
}

/** RFC 5322 section 2.1.1. */
const LONGEST_LINE_BYTES = 998;

/** Looks at content as it passes; only asked for when a next host lacks an extension. */
export class ContentScan {
  readonly #lines = new ContentLines({ bareEndings: "keep", doubleDots: false });
  #headerIsAscii = true;
  #isInHeader = true;
  /** The end of the last chunk, in case the empty line is cut. */
  #tail = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.#lines.push(chunk);
    if (!this.#isInHeader) return;
    const seen = Buffer.concat([this.#tail, chunk]);
    const end = seen.indexOf("\r\n\r\n");
    this.#headerIsAscii &&= isAscii(end < 0 ? seen : seen.subarray(0, end));
    this.#isInHeader = end < 0;
    this.#tail = Buffer.from(seen.subarray(-3));
  }

  end(): ContentNeeds {
    this.#lines.end();
    const { has8bit, hasNul, longestLineBytes, bareEndings } = this.#lines.facts;
    const isBinary = hasNul || bareEndings > 0 || longestLineBytes > LONGEST_LINE_BYTES;
    return { content: isBinary ? "binary" : has8bit ? "8bit" : "7bit", headerIsAscii: this.#headerIsAscii };
  }
}
