/** `name=value; name=value` (RFC 6376 section 3.2), as DKIM signatures, keys, ARC sets and DMARC records are written. */
export type TagList = ReadonlyMap<string, string>;

/** More than anybody writes. */
const MOST_TAGS = 64;
const NAME = /^[A-Za-z][A-Za-z0-9_]*$/;

/**
 * Undefined for text that is no tag list; a name given twice makes the whole list void, as the RFC says. White space around
 * names and values is gone, inside of values it stays. Values are not looked at: octets beyond ASCII belong to who reads them.
 */
export function parseTagList(text: string): TagList | undefined {
  const tags = new Map<string, string>();
  const parts = text.split(";", MOST_TAGS + 2);
  if (parts.length > MOST_TAGS + 1) return undefined;
  for (const [at, part] of parts.entries()) {
    if (part.trim() === "") {
      // Only what stands behind the last semicolon may be empty.
      if (at === parts.length - 1 && at > 0) break;
      return undefined;
    }
    const equals = part.indexOf("=");
    if (equals < 0) return undefined;
    const name = part.slice(0, equals).trim();
    if (!NAME.test(name) || tags.has(name)) return undefined;
    tags.set(name, part.slice(equals + 1).trim());
  }
  return tags;
}

/** A value without any of its white space: base64, and lists that may be folded anywhere. */
export function withoutBlanks(value: string): string {
  return value.replace(/[ \t\r\n]+/g, "");
}

/** Octets of base64 text with blanks in it; undefined where it is none. */
export function base64Bytes(value: string): Buffer | undefined {
  const text = withoutBlanks(value);
  if (text === "" || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}
