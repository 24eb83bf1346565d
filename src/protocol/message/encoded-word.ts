/** Octets of UTF-8 in one encoded word: with its frame it stays below the 75 characters of RFC 2047 section 2. */
const ROOM = 42;

/**
 * Unstructured text for a header field in ASCII: as it is when it is ASCII, else as encoded words (RFC 2047, UTF-8 in
 * base 64), never cut within a character. For fields that we write ourselves: bounces, names of local users.
 */
export function encodeWords(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text) && !text.includes("=?")) return text;
  const words: string[] = [];
  let piece = "";
  let bytes = 0;
  for (const character of text) {
    const width = Buffer.byteLength(character);
    if (bytes + width > ROOM) {
      words.push(piece);
      piece = "";
      bytes = 0;
    }
    piece += character;
    bytes += width;
  }
  words.push(piece);
  return words.map((word) => `=?UTF-8?B?${Buffer.from(word, "utf8").toString("base64")}?=`).join(" ");
}
