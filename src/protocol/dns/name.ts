import { parseIpAddress, unmapped } from "../address/ip-address.ts";

/**
 * Domain names as text (RFC 1035 section 2.3, RFC 4343): one writing per name, so that texts can be compared and used
 * as keys. Lower case, no final dot. Octets of a label that a host name never has are written `\DDD`.
 */
const MAX_LABEL = 63;
const MAX_NAME_BYTES = 255;

/** The one writing of a name. Works on any text; says nothing about whether the name can exist. */
export function canonicalName(text: string): string {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  return name.toLowerCase();
}

/** The name as on the wire, without compression; undefined for text that no message can carry. */
export function encodeName(text: string): Uint8Array | undefined {
  if (text === "" || text === ".") return Uint8Array.of(0);
  const bytes: number[] = [];
  for (const label of (text.endsWith(".") ? text.slice(0, -1) : text).split(".")) {
    const octets = labelOctets(label);
    if (octets === undefined || octets.length === 0 || octets.length > MAX_LABEL) return undefined;
    bytes.push(octets.length, ...octets);
  }
  bytes.push(0);
  return bytes.length > MAX_NAME_BYTES ? undefined : Uint8Array.from(bytes);
}

/** The octets of a wire label as text, lower case unless `keepsCase`. */
export function labelText(octets: Uint8Array, keepsCase = false): string {
  let text = "";
  for (const octet of octets) {
    const isPlain = octet > 0x20 && octet < 0x7f && octet !== 0x2e && octet !== 0x5c;
    text += isPlain ? String.fromCharCode(octet) : `\\${octet.toString().padStart(3, "0")}`;
  }
  return keepsCase ? text : text.toLowerCase();
}

/** The name under which the DNS keeps an address's names (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseName(address: string): string | undefined {
  const parsed = parseIpAddress(address);
  if (parsed === undefined) return undefined;
  const plain = unmapped(parsed);
  if (plain.family === 4) return `${plain.bytes.toReversed().join(".")}.in-addr.arpa`;
  const nibbles = [...plain.bytes].flatMap((byte) => [byte >> 4, byte & 15]);
  return `${nibbles
    .toReversed()
    .map((nibble) => nibble.toString(16))
    .join(".")}.ip6.arpa`;
}

function labelOctets(label: string): number[] | undefined {
  const octets: number[] = [];
  for (let at = 0; at < label.length; at++) {
    const code = label.charCodeAt(at);
    if (code === 0x5c) {
      const digits = label.slice(at + 1, at + 4);
      if (!/^\d{3}$/.test(digits) || Number(digits) > 255) return undefined;
      octets.push(Number(digits));
      at += 3;
    } else if (code > 0x20 && code < 0x7f) octets.push(code);
    // U-labels are turned into A-labels by whoever asks; the DNS has no other form of them.
    else return undefined;
  }
  return octets;
}
