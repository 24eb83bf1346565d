const CR = 0x0d;
const LF = 0x0a;
const CRLF = Buffer.from("\r\n");

/**
 * A milter's new body with CRLF at the end of each line: many write LF, and neither CR nor LF alone ends a line with us. Piece
 * by piece, however it is cut; `end` gives what is left, so that the last line has its end too.
 */
export function bodyLines(): { push(piece: Uint8Array): Buffer; end(): Buffer } {
  /** A CR at the end of a piece may be half of a CRLF. */
  let hasOpenCr = false;
  let isAtLineStart = true;
  return {
    push(piece) {
      const out: Uint8Array[] = [];
      let from = 0;
      if (hasOpenCr && piece.length > 0) {
        out.push(CRLF);
        hasOpenCr = false;
        isAtLineStart = true;
        if (piece[0] === LF) from = 1;
      }
      for (let at = from; at < piece.length; at++) {
        const byte = piece[at];
        if (byte !== CR && byte !== LF) continue;
        out.push(piece.subarray(from, at));
        if (byte === CR && at + 1 === piece.length) {
          hasOpenCr = true;
          from = piece.length;
          break;
        }
        out.push(CRLF);
        if (byte === CR && piece[at + 1] === LF) at++;
        from = at + 1;
      }
      if (from < piece.length) out.push(piece.subarray(from));
      const lines = Buffer.concat(out);
      if (lines.length > 0) isAtLineStart = lines.at(-1) === LF;
      return lines;
    },
    end() {
      const isOpen = hasOpenCr || !isAtLineStart;
      hasOpenCr = false;
      isAtLineStart = true;
      return isOpen ? CRLF : Buffer.alloc(0);
    },
  };
}
