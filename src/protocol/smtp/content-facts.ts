import { isAscii } from "node:buffer";

/** What is true of message content, found while it passes. */
export interface ContentFacts {
  /** Octets of content, transparency dots not counted. */
  bytes: number;
  /** An octet above 127 was seen. */
  has8bit: boolean;
  hasNul: boolean;
  /** The longest line, its ending not counted. RFC 5322 section 2.1.1 allows 998. */
  longestLineBytes: number;
  /** CRs without LF and LFs without CR. */
  bareEndings: number;
}

export function noFacts(): ContentFacts {
  return { bytes: 0, has8bit: false, hasNul: false, longestLineBytes: 0, bareEndings: 0 };
}

/** Takes note of a slice of content. Both tests are vectorised in the runtime; the loop over lines is the caller's. */
export function noteSlice(facts: ContentFacts, slice: Buffer): void {
  facts.bytes += slice.length;
  if (!facts.has8bit && !isAscii(slice)) facts.has8bit = true;
  if (!facts.hasNul && slice.includes(0)) facts.hasNul = true;
}

export function noteLine(facts: ContentFacts, lineBytes: number): void {
  if (lineBytes > facts.longestLineBytes) facts.longestLineBytes = lineBytes;
}
