import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { parseIpAddress, unmapped } from "../../protocol/address/ip-address.ts";

/** An IPv4 or IPv6 network: the first `bits` bits of `bytes` (4 or 16 of them) decide. */
export interface Network {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** `192.0.2.0/24`, `2001:db8::/32`, or a single address. Bits set beyond the prefix are a mistake, and told as one. */
export function parseNetwork(text: string): Result<Network, Problem> {
  const slash = text.indexOf("/");
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return refused({ at: 0, expected: "an address or a network such as 192.0.2.0/24" });
  if (slash < 0) {
    const { bytes } = unmapped(address);
    return ok({ bytes, bits: bytes.length * 8 });
  }
  const { bytes } = address;
  const most = bytes.length * 8;
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
  if (text === lastAddress.text) return lastAddress.bytes;
  const address = parseIpAddress(text.includes("%") ? text.replace(/%.*$/, "") : text);
  const bytes = address === undefined ? undefined : unmapped(address).bytes;
  lastAddress = { text, bytes };
  return bytes;
}

/** Several lists of networks are asked for each client, one after the other. Nobody changes the bytes. */
let lastAddress: { readonly text: string; readonly bytes: Uint8Array | undefined } = { text: "", bytes: undefined };

function maskOf(byteAt: number, bits: number): number {
  const within = bits - byteAt * 8;
  return within >= 8 ? 0xff : within <= 0 ? 0 : (0xff00 >> within) & 0xff;
}
