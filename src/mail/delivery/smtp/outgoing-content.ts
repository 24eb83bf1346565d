import { ContentLines } from "../../../protocol/smtp/content-lines.ts";
import { DotStuffer, withoutNul } from "../../../protocol/smtp/dot-stuffer.ts";

/** Content on its way out, as the transaction's way wants it: what `push` and `end` give goes onto the wire. */
export interface OutgoingContent {
  push(chunk: Buffer): readonly Buffer[];
  end(): readonly Buffer[];
}

/**
 * DATA: dots doubled, the end mark at the end. BDAT: the same lines without either. Neither ever lets a CR or LF that
 * stands alone onto the wire, nor a NUL; BINARYMIME content is nobody's lines and goes as it is.
 */
export function outgoingContent(by: "DATA" | "BDAT", isBinary: boolean): OutgoingContent {
  if (isBinary) return { push: (chunk) => [chunk], end: () => [] };
  if (by === "DATA") return new DotStuffer();
  const lines = new ContentLines({ bareEndings: "normalise", doubleDots: false });
  return { push: (chunk) => lines.push(withoutNul(chunk)), end: () => lines.end() };
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function totalBytes(pieces: readonly Buffer[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}
