import type { BodySource } from "./effects.ts";

const CR = 13;
const LF = 10;

/**
 * The pieces of a body that a hook gives, as bytes in which CR and LF stand only together: a line end of any kind becomes
 * CRLF, for a lone one could end a mail early in somebody's eyes. Rejects for a piece that is neither text nor bytes.
 */
export async function* bodyPieces(body: BodySource): AsyncGenerator<Buffer> {
  let endsInCr = false;
  for await (const piece of typeof body === "string" || body instanceof Uint8Array ? [body] : body) {
    const bytes = bytesOf(piece);
    if (bytes.length === 0) continue;
    const mended = withCrlf(endsInCr ? Buffer.concat([Buffer.of(CR), bytes]) : bytes);
    endsInCr = bytes.at(-1) === CR;
    yield endsInCr ? mended.subarray(0, -2) : mended;
  }
  if (endsInCr) yield Buffer.of(CR, LF);
}

function bytesOf(piece: unknown): Buffer {
  if (typeof piece === "string") return Buffer.from(piece, "utf8");
  if (piece instanceof Uint8Array) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  throw new TypeError("a body is made of texts and bytes");
}

function withCrlf(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== CR && byte !== LF) continue;
    const isPair = byte === CR && bytes[at + 1] === LF;
    if (!isPair) {
      parts.push(bytes.subarray(from, at), Buffer.of(CR, LF));
      from = at + 1;
    } else at++;
  }
  return parts.length === 0 ? bytes : Buffer.concat([...parts, bytes.subarray(from)]);
}
