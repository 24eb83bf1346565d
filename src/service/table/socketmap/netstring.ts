/**
 * Netstrings (D. J. Bernstein, 1997): the length in decimal digits, `:`, so many bytes, `,`. Both sides of a socketmap speak
 * in them.
 */
export function netstring(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return Buffer.concat([Buffer.from(`${bytes.length}:`, "latin1"), bytes, COMMA]);
}

export type NetstringHeard =
  | { readonly kind: "string"; readonly text: string }
  /** Not a netstring, or one that is too long. Nothing behind it can be understood. */
  | { readonly kind: "broken"; readonly text: string };

/** Reads a stream of them, however it is cut. Keeps at most `mostBytes` and a few digits. */
export function netstringReader(mostBytes: number): (chunk: Uint8Array) => readonly NetstringHeard[] {
  let digits = "";
  /** Of the string at work; undefined while its length is read. */
  let body: { readonly bytes: Buffer; filled: number } | undefined;
  let isBroken = false;

  return (chunk) => {
    const heard: NetstringHeard[] = [];
    if (isBroken) return heard;
    const broken = (text: string): readonly NetstringHeard[] => {
      isBroken = true;
      body = undefined;
      heard.push({ kind: "broken", text });
      return heard;
    };
    let at = 0;
    while (at < chunk.length) {
      if (body === undefined) {
        const byte = chunk[at++] ?? 0;
        if (byte >= ZERO && byte <= NINE) {
          digits += String.fromCharCode(byte);
          // Their inventor's rule: no needless zeros in front.
          if (digits.length > MOST_DIGITS || (digits.length > 1 && digits.startsWith("0")))
            return broken(`a length that begins with ${digits}`);
        } else if (byte !== COLON || digits === "") return broken("something that is no netstring");
        else if (Number(digits) > mostBytes) return broken(`${digits} bytes, more than ${mostBytes}`);
        else body = { bytes: Buffer.allocUnsafe(Number(digits)), filled: 0 };
      } else if (body.filled < body.bytes.length) {
        const part = chunk.subarray(at, at + body.bytes.length - body.filled);
        body.bytes.set(part, body.filled);
        body.filled += part.length;
        at += part.length;
      } else {
        if (chunk[at++] !== COMMA[0]) return broken("a string without its comma");
        heard.push({ kind: "string", text: body.bytes.toString("utf8") });
        body = undefined;
        digits = "";
      }
    }
    return heard;
  };
}

const COMMA = Buffer.from(",", "latin1");
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
const MOST_DIGITS = 9;
