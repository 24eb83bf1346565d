import { formatIpAddress } from "../address/ip-address.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { encodeName, labelText } from "./name.ts";

/**
 * DNS messages (RFC 1035 section 4, EDNS of RFC 6891) as far as a mail server asks: our queries, and whatever a
 * server answers. Decoding never throws and its work is bounded by the message's length: each record is read inside the
 * length it declares, names may only point backwards, and forged counts are refused before anything is read.
 */
export const QUESTION_TYPES = { A: 1, CNAME: 5, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, TLSA: 52 } as const;
export type QuestionType = keyof typeof QUESTION_TYPES;

const TYPE_NS = 2;
const TYPE_SOA = 6;
const TYPE_OPT = 41;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
const LEAST_QUESTION_BYTES = 5;
const LEAST_RECORD_BYTES = 11;
const MOST_RECORDS = 2000;
const EXTENDED_ERROR = 15;

export interface DnsQuestion {
  /** As on the wire, letter case kept: a server has to repeat it (0x20). */
  readonly name: string;
  readonly type: number;
}

export type DnsData =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME" | "PTR"; readonly name: string }
  | { readonly type: "MX"; readonly preference: number; readonly exchange: string }
  /** RFC 2782. The target is `""` where the service is not offered. */
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "TXT"; readonly text: string }
  | { readonly type: "SOA"; readonly minimumSeconds: number }
  | { readonly type: "NS" }
  | {
      readonly type: "TLSA";
      readonly usage: number;
      readonly selector: number;
      readonly match: number;
      readonly data: Uint8Array;
    }
  | { readonly type: "other"; readonly code: number };

export interface DnsRecord {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly data: DnsData;
}

export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly opcode: number;
  readonly isTruncated: boolean;
  /** AA: the server speaks of a zone of its own. */
  readonly isAuthoritative: boolean;
  /** RA: the server looks names up for others. */
  readonly isRecursive: boolean;
  /** AD: the server says that it validated the answer (RFC 4035 section 3.2.3). */
  readonly isAuthenticated: boolean;
  /** With the extension of RFC 6891 section 6.1.3. */
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  /** RFC 8914. */
  readonly extendedError?: { readonly code: number; readonly text: string } | undefined;
}

/**
 * A query with recursion asked for, the AD bit set (RFC 6840 section 5.7), and EDNS unless `udpPayloadBytes` is
 * undefined. Undefined for a name that cannot be asked for.
 */
export function encodeQuery(
  id: number,
  name: string,
  type: QuestionType,
  udpPayloadBytes: number | undefined,
): Uint8Array | undefined {
  const wireName = encodeName(name);
  if (wireName === undefined) return undefined;
  const hasEdns = udpPayloadBytes !== undefined;
  const bytes = new Uint8Array(HEADER_BYTES + wireName.length + 4 + (hasEdns ? LEAST_RECORD_BYTES : 0));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, id);
  view.setUint16(2, 0x0120);
  view.setUint16(4, 1);
  if (hasEdns) view.setUint16(10, 1);
  bytes.set(wireName, HEADER_BYTES);
  const at = HEADER_BYTES + wireName.length;
  view.setUint16(at, QUESTION_TYPES[type]);
  view.setUint16(at + 2, CLASS_IN);
  if (hasEdns) {
    view.setUint16(at + 5, TYPE_OPT);
    view.setUint16(at + 7, udpPayloadBytes);
  }
  return bytes;
}

/** Of a response that says that it was cut (TC), header and question alone: the cut may be anywhere behind them. */
export function decodeMessage(bytes: Uint8Array): Result<DnsMessage, Problem> {
  if (bytes.length < HEADER_BYTES) return refused({ at: bytes.length, expected: "a header of 12 octets" });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint16(2);
  const isTruncated = (flags & 0x0200) !== 0;
  const questionCount = view.getUint16(4);
  const counts = isTruncated ? [0, 0, 0] : [view.getUint16(6), view.getUint16(8), view.getUint16(10)];
  const recordCount = counts.reduce((sum, count) => sum + count, 0);
  const leastBytes = HEADER_BYTES + questionCount * LEAST_QUESTION_BYTES + recordCount * LEAST_RECORD_BYTES;
  if (leastBytes > bytes.length || questionCount > 1 || recordCount > MOST_RECORDS)
    return refused({ at: 4, expected: "counts that fit the message" });
  const reader: Reader = { bytes, view, at: HEADER_BYTES };
  const questions: DnsQuestion[] = [];
  for (let index = 0; index < questionCount; index++) {
    const name = readName(reader, bytes.length, true);
    if (name === undefined || reader.at + 4 > bytes.length) return refused({ at: reader.at, expected: "a question" });
    questions.push({ name, type: view.getUint16(reader.at) });
    reader.at += 4;
  }
  const sections: DnsRecord[][] = [[], [], []];
  let extendedRcode = 0;
  let extendedError: DnsMessage["extendedError"];
  for (const [section, count] of counts.entries()) {
    for (let index = 0; index < count; index++) {
      const startAt = reader.at;
      const read = readRecord(reader);
      if (read === undefined) return refused({ at: startAt, expected: "a record" });
      if (read.kind === "options") {
        extendedRcode = read.extendedRcode;
        extendedError = read.extendedError;
      } else sections[section]?.push(read.record);
    }
  }
  return ok({
    id: view.getUint16(0),
    isResponse: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    isTruncated,
    isAuthoritative: (flags & 0x0400) !== 0,
    isRecursive: (flags & 0x0080) !== 0,
    isAuthenticated: (flags & 0x0020) !== 0,
    rcode: (extendedRcode << 4) | (flags & 15),
    questions,
    answers: sections[0] ?? [],
    authorities: sections[1] ?? [],
    extendedError,
  });
}

interface Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;
}

type ReadRecord =
  | { readonly kind: "record"; readonly record: DnsRecord }
  | { readonly kind: "options"; readonly extendedRcode: number; readonly extendedError: DnsMessage["extendedError"] };

function readRecord(reader: Reader): ReadRecord | undefined {
  const { bytes, view } = reader;
  const name = readName(reader, bytes.length, false);
  if (name === undefined || reader.at + 10 > bytes.length) return undefined;
  const headAt = reader.at;
  const type = view.getUint16(headAt);
  const recordClass = view.getUint16(headAt + 2);
  const endAt = headAt + 10 + view.getUint16(headAt + 8);
  if (endAt > bytes.length) return undefined;
  reader.at = headAt + 10;
  if (type === TYPE_OPT) {
    const extendedError = readExtendedError(reader, endAt);
    reader.at = endAt;
    return { kind: "options", extendedRcode: bytes[headAt + 4] ?? 0, extendedError };
  }
  const data = recordClass === CLASS_IN ? readData(reader, type, endAt) : ({ type: "other", code: type } as const);
  // Whatever the data's own idea of its length: the next record begins where this one said that it ends.
  reader.at = endAt;
  if (data === undefined) return undefined;
  // RFC 2181 section 8: a TTL with the top bit set counts as zero.
  const ttl = view.getUint32(headAt + 4);
  return { kind: "record", record: { name, ttlSeconds: ttl > 0x7fffffff ? 0 : ttl, data } };
}

function readData(reader: Reader, type: number, endAt: number): DnsData | undefined {
  const { bytes, view, at } = reader;
  const length = endAt - at;
  switch (type) {
    case QUESTION_TYPES.A:
      return length === 4
        ? { type: "A", address: formatIpAddress({ family: 4, bytes: bytes.subarray(at, endAt) }) }
        : undefined;
    case QUESTION_TYPES.AAAA:
      return length === 16
        ? { type: "AAAA", address: formatIpAddress({ family: 6, bytes: bytes.subarray(at, endAt) }) }
        : undefined;
    case QUESTION_TYPES.CNAME:
    case QUESTION_TYPES.PTR: {
      const name = readName(reader, endAt, false);
      return name === undefined ? undefined : { type: type === QUESTION_TYPES.PTR ? "PTR" : "CNAME", name };
    }
    case QUESTION_TYPES.MX: {
      if (length < 3) return undefined;
      reader.at += 2;
      const exchange = readName(reader, endAt, false);
      return exchange === undefined ? undefined : { type: "MX", preference: view.getUint16(at), exchange };
    }
    case QUESTION_TYPES.SRV: {
      if (length < 7) return undefined;
      reader.at += 6;
      const target = readName(reader, endAt, false);
      if (target === undefined) return undefined;
      const [priority, weight, port] = [view.getUint16(at), view.getUint16(at + 2), view.getUint16(at + 4)];
      return { type: "SRV", priority, weight, port, target };
    }
    case QUESTION_TYPES.TXT:
      return readText(reader, endAt);
    case TYPE_SOA: {
      if (readName(reader, endAt, false) === undefined || readName(reader, endAt, false) === undefined)
        return undefined;
      return reader.at + 20 > endAt ? undefined : { type: "SOA", minimumSeconds: view.getUint32(reader.at + 16) };
    }
    case TYPE_NS:
      return { type: "NS" };
    case QUESTION_TYPES.TLSA: {
      if (length < 4) return undefined;
      const [usage = 0, selector = 0, match = 0] = bytes.subarray(at, at + 3);
      return { type: "TLSA", usage, selector, match, data: bytes.slice(at + 3, endAt) };
    }
    default:
      return { type: "other", code: type };
  }
}

/** RFC 1035 section 3.3.14; the strings of one record are one text (RFC 7208 section 3.3). */
function readText(reader: Reader, endAt: number): DnsData | undefined {
  const parts: Uint8Array[] = [];
  while (reader.at < endAt) {
    const length = reader.bytes[reader.at] ?? 0;
    if (reader.at + 1 + length > endAt) return undefined;
    parts.push(reader.bytes.subarray(reader.at + 1, reader.at + 1 + length));
    reader.at += 1 + length;
  }
  return { type: "TXT", text: Buffer.concat(parts).toString("utf8") };
}

function readExtendedError(reader: Reader, endAt: number): DnsMessage["extendedError"] {
  for (let at = reader.at; at + 4 <= endAt;) {
    const code = reader.view.getUint16(at);
    const optionEndAt = at + 4 + reader.view.getUint16(at + 2);
    if (optionEndAt > endAt) return undefined;
    if (code === EXTENDED_ERROR && optionEndAt >= at + 6) {
      const text = Buffer.from(reader.bytes.subarray(at + 6, optionEndAt)).toString("utf8");
      return { code: reader.view.getUint16(at + 4), text };
    }
    at = optionEndAt;
  }
  return undefined;
}

/**
 * A name, moving the reader behind it. Each pointer must lead before the place where the name (or the part it led to)
 * began, so a chain of pointers ends; 255 octets bound the rest. `limitAt` bounds only the part that is in place.
 */
function readName(reader: Reader, limitAt: number, keepsCase: boolean): string | undefined {
  const { bytes } = reader;
  const labels: string[] = [];
  let at = reader.at;
  let partAt = at;
  let endAt = limitAt;
  let afterAt: number | undefined;
  let nameBytes = 1;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || at >= endAt) return undefined;
    if (length === 0) {
      reader.at = afterAt ?? at + 1;
      return labels.join(".");
    }
    if ((length & 0xc0) === 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined || at + 2 > endAt) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= partAt || target < HEADER_BYTES) return undefined;
      afterAt ??= at + 2;
      at = target;
      partAt = target;
      endAt = bytes.length;
    } else if ((length & 0xc0) === 0) {
      nameBytes += length + 1;
      if (at + 1 + length > endAt || nameBytes > 255) return undefined;
      labels.push(labelText(bytes.subarray(at + 1, at + 1 + length), keepsCase));
      at += 1 + length;
    } else return undefined;
  }
}
