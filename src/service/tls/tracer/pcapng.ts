import { isIP } from "node:net";
import type { Direction, Flight } from "../flight/flight.ts";

/** One end of the connection, as far as it is known. */
export interface WireEnd {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/**
 * A recorded connection in the form that Wireshark and tshark read (pcapng): what was on the wire, in TCP segments made up
 * around it, with the times it was recorded at. Ends that are not known get addresses of documentation networks (RFC 5737)
 * and ports that Wireshark takes for TLS in mail (465 for the server). FIN and RST are as they were; acknowledgements are made up.
 */
export function pcapng(flight: Flight, ends: { readonly peer: WireEnd; readonly local: WireEnd }): Buffer {
  const isServer = flight.role === "server";
  const addresses = addressesOf(ends.peer.address, ends.local.address);
  const peer = new Side(addresses.peer, ends.peer.port ?? (isServer ? 50_000 : 465));
  const local = new Side(addresses.local, ends.local.port ?? (isServer ? 465 : 50_000));
  const [client, server] = isServer ? [peer, local] : [local, peer];
  const packets: Buffer[] = [];
  const send = (at: number, from: Side, flags: number, payload: Uint8Array = EMPTY): void => {
    const to = from === peer ? local : peer;
    packets.push(packetBlock(at, frame(from, to, flags, payload)));
    from.sequence += payload.length + ((flags & (SYN | FIN)) === 0 ? 0 : 1);
  };
  const startedAt = Math.min(flight.startedAt, flight.wire[0]?.at ?? flight.startedAt);
  send(startedAt, client, SYN);
  send(startedAt, server, SYN | ACK);
  send(startedAt, client, ACK);
  for (const happening of inOrder(flight)) {
    const from = happening.direction === "in" ? peer : local;
    if (happening.bytes !== undefined) {
      for (let at = 0; at < happening.bytes.length; at += SEGMENT_BYTES) {
        send(happening.at, from, PSH | ACK, happening.bytes.subarray(at, at + SEGMENT_BYTES));
      }
    } else send(happening.at, from, happening.what === "RST" ? RST | ACK : FIN | ACK);
  }
  return Buffer.concat([sectionHeader(commentOf(flight, ends)), interfaceBlock(), ...packets]);
}

const EMPTY = new Uint8Array(0);
const SEGMENT_BYTES = 1400;
const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;

class Side {
  readonly address: Buffer;
  readonly port: number;
  sequence = 1000;

  constructor(address: Buffer, port: number) {
    this.address = address;
    this.port = port;
  }
}

interface Happening {
  readonly at: number;
  readonly direction: Direction;
  readonly bytes?: Buffer;
  readonly what?: string;
}

/** Bytes before the end that came in the same millisecond. */
function inOrder(flight: Flight): readonly Happening[] {
  const pieces = flight.wire.map(({ at, direction, bytes }) => ({
    at,
    direction,
    bytes: Buffer.from(bytes, "base64"),
  }));
  const ends = flight.events
    .filter(({ what }) => what === "FIN" || what === "RST")
    .map(({ atMs, direction, what }) => ({ at: flight.startedAt + atMs, direction, what }));
  return [...pieces, ...ends].sort((one, other) => one.at - other.at);
}

function commentOf(flight: Flight, ends: { readonly peer: WireEnd; readonly local: WireEnd }): string {
  const size = (direction: Direction): number =>
    flight.wire
      .filter((piece) => piece.direction === direction)
      .reduce((sum, piece) => sum + Buffer.byteLength(piece.bytes, "base64"), 0);
  const kept = (["in", "out"] as const).map(
    (direction) => `${size(direction)} of ${flight.bytes[direction]} bytes ${direction}`,
  );
  const known =
    ends.peer.address === undefined || ends.local.address === undefined ? "; addresses are not all known" : "";
  return `A TLS connection recorded by Posthorn (as the ${flight.role}): ${kept.join(", ")}; TCP and IP headers are made up around them${known}.`;
}

// pcapng blocks: type, length, body, length again; little-endian.

function block(type: number, body: Buffer): Buffer {
  const length = 12 + body.length;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, body, tail]);
}

function sectionHeader(comment: string): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(0x1a2b3c4d, 0);
  head.writeUInt16LE(1, 4);
  // The section's length is not given: -1.
  head.fill(0xff, 8, 16);
  return block(0x0a0d0d0a, Buffer.concat([head, option(1, comment), option(4, "Posthorn"), Buffer.alloc(4)]));
}

/** Ethernet, no limit on lengths; times are in microseconds unless said otherwise. */
function interfaceBlock(): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(1, 0);
  return block(1, body);
}

function packetBlock(at: number, packet: Buffer): Buffer {
  const head = Buffer.alloc(20);
  const micros = BigInt(Math.max(0, Math.round(at))) * 1000n;
  head.writeUInt32LE(Number(micros >> 32n), 4);
  head.writeUInt32LE(Number(micros & 0xffffffffn), 8);
  head.writeUInt32LE(packet.length, 12);
  head.writeUInt32LE(packet.length, 16);
  return block(6, Buffer.concat([head, padded(packet)]));
}

function option(code: number, text: string): Buffer {
  const value = Buffer.from(text);
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

// Ethernet, IP (RFC 791, RFC 8200), TCP (RFC 9293); big-endian.

function frame(from: Side, to: Side, flags: number, payload: Uint8Array): Buffer {
  const isV6 = from.address.length === 16;
  const tcp = Buffer.alloc(20 + payload.length);
  tcp.writeUInt16BE(from.port, 0);
  tcp.writeUInt16BE(to.port, 2);
  tcp.writeUInt32BE(from.sequence >>> 0, 4);
  if ((flags & ACK) !== 0) tcp.writeUInt32BE(to.sequence >>> 0, 8);
  tcp.writeUInt8(5 << 4, 12);
  tcp.writeUInt8(flags, 13);
  tcp.writeUInt16BE(0xffff, 14);
  tcp.set(payload, 20);
  const pseudo = Buffer.alloc(4);
  pseudo.writeUInt8(6, 1);
  pseudo.writeUInt16BE(tcp.length, 2);
  tcp.writeUInt16BE(checksum(Buffer.concat([from.address, to.address, pseudo, tcp])), 16);
  const ethernet = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, isV6 ? 0x86 : 0x08, isV6 ? 0xdd : 0x00]);
  return Buffer.concat([ethernet, isV6 ? header6(from, to, tcp.length) : header4(from, to, tcp.length), tcp]);
}

function header4(from: Side, to: Side, length: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(0x4000, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(6, 9);
  from.address.copy(header, 12);
  to.address.copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function header6(from: Side, to: Side, length: number): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(length, 4);
  header.writeUInt8(6, 6);
  header.writeUInt8(64, 7);
  from.address.copy(header, 8);
  to.address.copy(header, 24);
  return header;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Both of one family: an address that is not known, or of another family than the peer's, is made up. */
function addressesOf(peer: string | undefined, local: string | undefined): { peer: Buffer; local: Buffer } {
  const families = [peer, local].map((address) => isIP(address ?? ""));
  const isV6 = families.includes(6);
  const bytes = (address: string | undefined, other: string): Buffer => {
    const family = isIP(address ?? "");
    if (isV6) return v6Bytes(family === 6 && address !== undefined ? address : other);
    return Buffer.from((family === 4 && address !== undefined ? address : other).split(".").map(Number));
  };
  return isV6
    ? { peer: bytes(peer, "2001:db8::1"), local: bytes(local, "2001:db8::2") }
    : { peer: bytes(peer, "192.0.2.1"), local: bytes(local, "192.0.2.2") };
}

function v6Bytes(address: string): Buffer {
  const [plain = ""] = address.split("%", 1);
  const dotted = /^(.*:)([0-9.]+)$/.exec(plain);
  const four = dotted?.[2]?.includes(".") === true ? dotted[2].split(".").map(Number) : undefined;
  const hex = (high = 0, low = 0): string => ((high << 8) | low).toString(16);
  const text = four === undefined ? plain : `${dotted?.[1] ?? ""}${hex(four[0], four[1])}:${hex(four[2], four[3])}`;
  const [front = "", back] = text.split("::");
  const groups = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const first = groups(front);
  const last = back === undefined ? [] : groups(back);
  const all = [...first, ...Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => 0), ...last];
  const bytes = Buffer.alloc(16);
  for (const [at, group] of all.slice(0, 8).entries()) bytes.writeUInt16BE(group & 0xffff, at * 2);
  return bytes;
}
