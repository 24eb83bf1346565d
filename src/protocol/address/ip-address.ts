/**
 * IPv4 and IPv6 addresses as bytes: parsing, one canonical text (RFC 5952), and networks in prefix notation.
 * An address has one writing here, so that texts can be compared, counted and used as keys.
 */
export type IpAddress =
  | { readonly family: 4; readonly bytes: Uint8Array }
  | { readonly family: 6; readonly bytes: Uint8Array };

export interface IpNetwork {
  readonly address: IpAddress;
  /** Leading bits that count. */
  readonly prefixBits: number;
}

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;

/** An address in any of its writings; undefined for other text, zone ids (`%eth0`) included. */
export function parseIpAddress(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** Dotted quad without leading zeros: `010` is eight to some readers and ten to others. */
export function parseIpv4(text: string): IpAddress | undefined {
  const bytes = ipv4Bytes(text);
  return bytes === undefined ? undefined : { family: 4, bytes: Uint8Array.from(bytes) };
}

export function parseIpv6(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 1 ? [] : groupsOf(halves[1] ?? "", true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // RFC 4291 section 2.2: `::` stands for one or more groups.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  return { family: 6, bytes: Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])) };
}

/** The canonical text: RFC 5952 for IPv6, lower case, longest run of zero groups as `::`, IPv4-mapped in dotted form. */
export function formatIpAddress(address: IpAddress): string {
  const { bytes } = address;
  if (address.family === 4) return bytes.join(".");
  if (isMappedIpv4(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
  let longestAt = -1;
  let longest = 1;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > longest) [longestAt, longest] = [at, length];
    at += length;
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (longestAt < 0) return hex(groups);
  return `${hex(groups.slice(0, longestAt))}::${hex(groups.slice(longestAt + longest))}`;
}

/** `::ffff:192.0.2.1` as `192.0.2.1`: how a dual-stack socket names an IPv4 peer. Other text comes back canonical. */
export function canonicalIpText(text: string): string | undefined {
  const address = parseIpAddress(text);
  if (address === undefined) return undefined;
  return formatIpAddress(unmapped(address));
}

export function unmapped(address: IpAddress): IpAddress {
  if (address.family === 4 || !isMappedIpv4(address.bytes)) return address;
  return { family: 4, bytes: address.bytes.slice(12) };
}

/** `192.0.2.0/24`, `2001:db8::/32`, or an address alone. Bits behind the prefix are ignored. */
export function parseIpNetwork(text: string): IpNetwork | undefined {
  const slash = text.indexOf("/");
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const most = address.bytes.length * 8;
  if (slash < 0) return { address, prefixBits: most };
  const prefix = text.slice(slash + 1);
  if (!OCTET.test(prefix) || Number(prefix) > most) return undefined;
  return { address, prefixBits: Number(prefix) };
}

export function networkContains(network: IpNetwork, address: IpAddress): boolean {
  if (network.address.family !== address.family) return false;
  const whole = network.prefixBits >> 3;
  for (let at = 0; at < whole; at++) if (network.address.bytes[at] !== address.bytes[at]) return false;
  const bits = network.prefixBits & 7;
  if (bits === 0) return true;
  const mask = (0xff << (8 - bits)) & 0xff;
  return ((network.address.bytes[whole] ?? 0) & mask) === ((address.bytes[whole] ?? 0) & mask);
}

/** The network an address belongs to, as canonical text: `2001:db8:1:2::/64`. A key for counting. */
export function networkText(address: IpAddress, prefixBits: number): string {
  const bytes = Uint8Array.from(address.bytes, (byte, at) => {
    const bits = Math.min(8, Math.max(0, prefixBits - at * 8));
    return byte & ((0xff << (8 - bits)) & 0xff);
  });
  return `${formatIpAddress({ family: address.family, bytes })}/${prefixBits}`;
}

/** 127.0.0.0/8, ::1, and the mapped form of the former. */
export function isLoopback(address: IpAddress): boolean {
  const plain = unmapped(address);
  if (plain.family === 4) return plain.bytes[0] === 127;
  return plain.bytes[15] === 1 && plain.bytes.subarray(0, 15).every((byte) => byte === 0);
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

function ipv4Bytes(text: string): number[] | undefined {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255)) return undefined;
  return octets.map(Number);
}

/** The 16-bit groups of one side of a `::`; a dotted quad may close the right-hand one. */
function groupsOf(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (GROUP.test(part)) groups.push(Number.parseInt(part, 16));
    else {
      const quad = mayEndInIpv4 && index === parts.length - 1 ? ipv4Bytes(part) : undefined;
      if (quad === undefined) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = quad;
      groups.push((a << 8) | b, (c << 8) | d);
    }
  }
  return groups;
}
