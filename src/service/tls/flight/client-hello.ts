import { escapeControls } from "../../../foundation/escape.ts";
import { ByteReader } from "./byte-reader.ts";
import type { ClientHelloFacts } from "./flight.ts";
import { ja4 } from "./ja4.ts";
import { isGrease, versionName } from "./wire-names.ts";

/** What a ClientHello says, as numbers; values of RFC 8701 (GREASE) are left out, for they mean nothing. */
export interface ClientHello {
  /** Of the extension supported_versions in the order sent, else what the old field says. */
  readonly versions: readonly number[];
  readonly ciphers: readonly number[];
  readonly extensions: readonly number[];
  readonly groups: readonly number[];
  readonly keyShares: readonly number[];
  readonly signatures: readonly number[];
  /** As sent, one character a byte. */
  readonly serverName?: string | undefined;
  readonly alpn: readonly string[];
  readonly offersResumption: boolean;
  /** It ended before its own lengths said; what came before that is above. */
  readonly isMalformed: boolean;
}

const SERVER_NAME_LIMIT = 255;
const ALPN_LIMIT = 8;
const LIST_LIMIT = 256;

/** Reads a ClientHello's body (RFC 8446 section 4.1.2). Takes what it can of a broken one; never throws. */
export function readClientHello(body: Uint8Array): ClientHello {
  const reader = new ByteReader(body);
  const legacyVersion = reader.number(2);
  reader.skip(32);
  const sessionId = reader.vector(1);
  const hasSessionId = sessionId.left > 0;
  const ciphers = known(reader.vector(2));
  reader.vector(1);
  const seen: Seen = { groups: [], keyShares: [], signatures: [], alpn: [], hasTicket: false };
  const types: number[] = [];
  const extensions = reader.left > 0 ? reader.vector(2) : new ByteReader(body, body.length);
  let isMalformed = reader.isShort;
  while (extensions.left > 0 && types.length < LIST_LIMIT) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (extensions.isShort) break;
    if (isGrease(type)) continue;
    types.push(type);
    readExtension(type, content, seen);
  }
  isMalformed ||= extensions.isShort;
  const isTls13 = seen.versions?.includes(0x0304) ?? false;
  return {
    versions: seen.versions ?? [legacyVersion],
    ciphers,
    extensions: types,
    groups: seen.groups,
    keyShares: seen.keyShares,
    signatures: seen.signatures,
    serverName: seen.serverName,
    alpn: seen.alpn,
    // In TLS 1.3 the session id is there for old middle boxes and says nothing (RFC 8446 appendix D.4).
    offersResumption: types.includes(41) || seen.hasTicket || (hasSessionId && !isTls13),
    isMalformed,
  };
}

/** The facts that are kept and shown: everything a peer chose is escaped. */
export function clientHelloFacts(hello: ClientHello): ClientHelloFacts {
  return {
    versions: hello.versions.toSorted((a, b) => b - a).map(versionName),
    ciphers: hello.ciphers,
    groups: hello.groups,
    keyShares: hello.keyShares,
    signatures: hello.signatures,
    extensions: hello.extensions,
    serverName: hello.serverName === undefined ? undefined : escapeControls(hello.serverName),
    alpn: hello.alpn.map(escapeControls),
    offersResumption: hello.offersResumption,
    ja4: ja4(hello),
  };
}

interface Seen {
  versions?: readonly number[];
  groups: readonly number[];
  keyShares: readonly number[];
  signatures: readonly number[];
  alpn: readonly string[];
  serverName?: string;
  hasTicket: boolean;
}

function readExtension(type: number, content: ByteReader, seen: Seen): void {
  switch (type) {
    case 0: {
      // RFC 6066 section 3: a list, of which only host names (type 0) were ever defined.
      const names = content.vector(2);
      if (names.left > 0 && names.number(1) === 0) seen.serverName = names.vector(2).text(SERVER_NAME_LIMIT);
      return;
    }
    case 10:
      seen.groups = known(content.vector(2));
      return;
    case 13:
      seen.signatures = known(content.vector(2));
      return;
    case 16: {
      const list = content.vector(2);
      const names: string[] = [];
      while (list.left > 0 && names.length < ALPN_LIMIT) names.push(list.vector(1).text(SERVER_NAME_LIMIT));
      seen.alpn = names;
      return;
    }
    case 35:
      seen.hasTicket = content.left > 0;
      return;
    case 43:
      seen.versions = known(content.vector(1));
      return;
    case 51: {
      const list = content.vector(2);
      const shares: number[] = [];
      while (list.left > 0 && shares.length < LIST_LIMIT) {
        const group = list.number(2);
        list.vector(2);
        if (!list.isShort && !isGrease(group)) shares.push(group);
      }
      seen.keyShares = shares;
      return;
    }
    default:
  }
}

function known(list: ByteReader): readonly number[] {
  const values: number[] = [];
  while (list.left >= 2 && values.length < LIST_LIMIT) {
    const value = list.number(2);
    if (!isGrease(value)) values.push(value);
  }
  return values;
}
