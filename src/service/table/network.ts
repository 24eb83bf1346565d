import { isIP } from "node:net";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/** An IPv4 or IPv6 network: the first `bits` bits of `bytes` (4 or 16 of them) decide. */
export interface Network {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** `192.0.2.0/24`, `2001:db8::/32`, or a single address. Bits set beyond the prefix are a mistake, and told as one. */
export function parseNetwork(text: string): Result<Network, Problem> {
  const slash = text.indexOf("/");
  const bytes = addressBytes(slash < 0 ? text : text.slice(0, slash));
  if (bytes === undefined) return refused({ at: 0, expected: "an address or a network such as 192.0.2.0/24" });
  const most = bytes.length * 8;
  if (slash < 0) return ok({ bytes, bits: most });
  const written = text.slice(slash + 1);
  const bits = Number(written);
  if (!/^\d{1,3}$/.test(written) || bits > most)
    return refused({ at: slash + 1, expected: `a prefix length from 0 to ${most}` });
  if (!bytes.every((byte, at) => (byte & ~maskOf(at, bits) & 0xff) === 0))
    return refused({ at: 0, expected: `the network's first address before /${bits}` });
  return ok({ bytes, bits });
}

/** Never true for text that is no address. An IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) is that IPv4 address. */
export function networkContains(network: Network, address: string): boolean {
  const bytes = addressBytes(address);
  return bytes !== undefined && networkContainsBytes(network, bytes);
}

export function networkContainsBytes(network: Network, bytes: Uint8Array): boolean {
  if (bytes.length !== network.bytes.length) return false;
  for (let at = 0; at * 8 < network.bits; at++) {
    if ((((bytes[at] ?? 0) ^ (network.bytes[at] ?? 0)) & maskOf(at, network.bits)) !== 0) return false;
  }
  return true;
}

/** 4 or 16 bytes; undefined for text that is no address. A zone (`%eth0`) says nothing about who it is, and is dropped. */
export function addressBytes(text: string): Uint8Array | undefined {
  const family = isIP(text);
  if (family === 4) return Uint8Array.from(text.split("."), Number);
  if (family === 0) return undefined;
  const bytes = ipv6Bytes(text.replace(/%.*$/, ""));
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}

/** RFC 4291 section 2.2, of text that `isIP` has already accepted. */
function ipv6Bytes(text: string): Uint8Array {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hexadecimal =
    dotted === null
      ? text
      : text.slice(0, dotted.index) +
        [dotted.slice(1, 3), dotted.slice(3, 5)]
          .map(([high, low]) => (Number(high) * 256 + Number(low)).toString(16))
          .join(":");
  const [front = "", back] = hexadecimal.split("::");
  const groups = (part: string | undefined): number[] =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const first = groups(front);
  const last = groups(back);
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function maskOf(byteAt: number, bits: number): number {
  const within = bits - byteAt * 8;
  return within >= 8 ? 0xff : within <= 0 ? 0 : (0xff00 >> within) & 0xff;
}
