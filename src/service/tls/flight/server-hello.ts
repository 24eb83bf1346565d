import { escapeControls } from "../../../foundation/escape.ts";
import { ByteReader } from "./byte-reader.ts";

/** What a ServerHello says, or a HelloRetryRequest, which has the same form. */
export interface ServerHello {
  readonly version: number;
  readonly cipher: number;
  readonly group?: number | undefined;
  readonly alpn?: string | undefined;
  readonly isRetryRequest: boolean;
  /** It chose one of the client's offered sessions (TLS 1.3); in TLS 1.2 that shows in what follows. */
  readonly hasChosenSession: boolean;
  readonly sessionId: string;
}

/** RFC 8446 section 4.1.3: a ServerHello with this as its random is a HelloRetryRequest. */
const RETRY_RANDOM = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");

/** Reads a ServerHello's body. Takes what it can of a broken one; never throws. */
export function readServerHello(body: Uint8Array): ServerHello {
  const reader = new ByteReader(body);
  let version = reader.number(2);
  const isRetryRequest = RETRY_RANDOM.equals(reader.bytes(32));
  const sessionId = reader.vector(1).text(32);
  const cipher = reader.number(2);
  reader.skip(1);
  let group: number | undefined;
  let alpn: string | undefined;
  let hasChosenSession = false;
  const extensions = reader.left > 0 ? reader.vector(2) : new ByteReader(body, body.length);
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (extensions.isShort) break;
    if (type === 43 && content.left >= 2) version = content.number(2);
    else if (type === 51 && content.left >= 2) group = content.number(2);
    else if (type === 41) hasChosenSession = true;
    else if (type === 16) alpn = escapeControls(content.vector(2).vector(1).text(255));
  }
  return { version, cipher, group, alpn, isRetryRequest, hasChosenSession, sessionId };
}
