/** RFC 2047 section 2; the language of RFC 2231 section 5 is passed over. */
const WORD = /=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bq])\?([^?\s]*)\?=/gi;
/** White space between two encoded words is no text (section 6.2). */
const BETWEEN = /(\?=)\s+(?==\?[^?\s]{1,80}\?[bq]\?[^?\s]*\?=)/gi;

/** Unstructured text of a header field, its encoded words read. What cannot be read stays as it is. Never throws. */
export function decodeWords(text: string): string {
  if (!text.includes("=?")) return text;
  return text.replace(BETWEEN, "$1").replace(WORD, (whole, charset: string, encoding: string, encoded: string) => {
    const bytes = encoding.toLowerCase() === "b" ? Buffer.from(encoded, "base64") : quoted(encoded);
    try {
      return new TextDecoder(charset).decode(bytes);
    } catch {
      return whole;
    }
  });
}

/** The Q encoding (section 4.2). */
function quoted(text: string): Buffer {
  const plain = text
    .replaceAll("_", " ")
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, "latin1");
}
