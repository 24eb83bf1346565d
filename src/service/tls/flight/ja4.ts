import { hash } from "node:crypto";
import type { ClientHello } from "./client-hello.ts";

/**
 * JA4: a short name for the software behind a ClientHello, the same for every connection that software makes. After
 * FoxIO's published description of JA4 (TLS client fingerprinting): protocol, version, whether a server name is sent,
 * how many ciphers and extensions, the first ALPN value's first and last character; then hashes of the sorted ciphers,
 * and of the sorted extensions with the signature algorithms in their order.
 */
export function ja4(hello: ClientHello): string {
  const key = keyOf(hello);
  const before = known.get(key);
  if (before !== undefined) return before;
  const made = fingerprint(hello);
  const [oldest] = known.keys();
  if (known.size >= MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  known.set(key, made);
  return made;
}

/** The same software comes again and again, and sorting and hashing for it is a good part of what a handshake costs us. */
const known = new Map<string, string>();
const MOST_KNOWN = 256;

/** All that the fingerprint is made of: numbers of 16 bits each, with the lengths to keep the lists apart. */
function keyOf({ versions, ciphers, extensions, signatures, alpn }: ClientHello): string {
  const length = 2 * (versions.length + ciphers.length + extensions.length + signatures.length + 4);
  if (scratch.length < length) scratch = Buffer.alloc(length);
  let at = 0;
  for (const list of [versions, ciphers, extensions, signatures]) {
    at = scratch.writeUInt16BE(list.length & 0xffff, at);
    for (const value of list) at = scratch.writeUInt16BE(value & 0xffff, at);
  }
  return `${scratch.toString("latin1", 0, at)}${alpn[0] ?? ""}`;
}

let scratch = Buffer.alloc(1024);

function fingerprint(hello: ClientHello): string {
  const head = [
    "t",
    VERSION_MARKS[hello.versions.reduce((highest, version) => Math.max(highest, version), 0)] ?? "00",
    hello.extensions.includes(0) ? "d" : "i",
    twoDigits(hello.ciphers.length),
    twoDigits(hello.extensions.length),
    alpnMark(hello.alpn[0]),
  ].join("");
  const ciphers = sortedHex(hello.ciphers);
  // Server name and ALPN show in the head; without them here the rest stays the same whatever host is asked for.
  const extensions = sortedHex(hello.extensions.filter((type) => type !== 0 && type !== 16));
  const signatures = hello.signatures.map(hex);
  const last = signatures.length === 0 ? extensions.join(",") : `${extensions.join(",")}_${signatures.join(",")}`;
  return `${head}_${digest(ciphers.join(","))}_${extensions.length === 0 ? NOTHING : digest(last)}`;
}

const NOTHING = "000000000000";

const VERSION_MARKS: Readonly<Record<number, string>> = {
  0x0304: "13",
  0x0303: "12",
  0x0302: "11",
  0x0301: "10",
  0x0300: "s3",
  0x0002: "s2",
};

function twoDigits(count: number): string {
  return String(Math.min(count, 99)).padStart(2, "0");
}

function alpnMark(first: string | undefined): string {
  if (first === undefined || first === "") return "00";
  const ends = `${first.charAt(0)}${first.charAt(first.length - 1)}`;
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends;
  const digits = Buffer.from(first, "latin1").toString("hex");
  return `${digits.charAt(0)}${digits.charAt(digits.length - 1)}`;
}

function sortedHex(values: readonly number[]): readonly string[] {
  return values.map(hex).sort();
}

function hex(value: number): string {
  return value.toString(16).padStart(4, "0");
}

function digest(text: string): string {
  return text === "" ? NOTHING : hash("sha256", text, "hex").slice(0, 12);
}
