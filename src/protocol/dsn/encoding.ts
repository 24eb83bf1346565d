/** RFC 5322 section 2.1.1: without the CRLF. */
const MAX_LINE = 998;
const LF = 10;
const CR = 13;

export function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

export function hasLongLine(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length;) {
    const lf = bytes.indexOf(LF, at);
    const end = lf < 0 ? bytes.length : lf;
    if (end - at > MAX_LINE + 1) return true;
    at = end + 1;
  }
  return false;
}

/** Every CR is followed by an LF, and every LF follows a CR; no NUL. What may travel outside BINARYMIME (RFC 3030). */
export function isLineText(bytes: Buffer): boolean {
  if (bytes.includes(0)) return false;
  let at = 0;
  for (;;) {
    const lf = bytes.indexOf(LF, at);
    const cr = bytes.indexOf(CR, at);
    if (lf < 0 && cr < 0) return true;
    if (cr < 0 || lf !== cr + 1) return false;
    at = lf + 1;
  }
}

/** Quoted-printable (RFC 2045 section 6.7) of text with CRLF line ends: ASCII, lines of at most 76. */
export function quotedPrintable(bytes: Buffer): Buffer {
  const lines = bytes.toString("latin1").split("\r\n");
  return Buffer.from(lines.map(encodeLine).join("\r\n"), "latin1");
}

function encodeLine(line: string): string {
  let text = "";
  let length = 0;
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    // Blanks are safe except at a line's end, where transport may take them away.
    const isSafe = /[\x21-\x3c\x3e-\x7e]/.test(character) || (/[ \t]/.test(character) && at < line.length - 1);
    const encoded = isSafe ? character : `=${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
    if (length + encoded.length > 75) {
      text += "=\r\n";
      length = 0;
    }
    text += encoded;
    length += encoded.length;
  }
  return text;
}
