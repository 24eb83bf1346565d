import { isIP } from "node:net";

/**
 * The PROXY protocol's header, versions 1 and 2: one unit in front of everything else, in which a trusted proxy says who
 * the client is. Read as a whole from what has arrived so far; bounded, so that no peer makes us wait for more.
 */
export type ProxyHeader =
  | { readonly kind: "incomplete" }
  | { readonly kind: "refused"; readonly expected: string }
  /** `lengthBytes` belong to the header; `client` is absent for LOCAL and UNKNOWN: the proxy speaks for itself. */
  | { readonly kind: "header"; readonly lengthBytes: number; readonly client?: ProxiedClient | undefined };

export interface ProxiedClient {
  readonly address: string;
  readonly port: number;
  /** Where the client had connected to. */
  readonly toAddress: string;
  readonly toPort: number;
}

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** CRLF included, as the protocol's text sets it. */
const LONGEST_V1 = 107;
/** Beyond the addresses come optional fields; no proxy sends as much as this. */
const LONGEST_V2_REST = 4096;

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return { kind: "incomplete" };
  const isV2 = bytes
    .subarray(0, SIGNATURE.length)
    .equals(SIGNATURE.subarray(0, Math.min(bytes.length, SIGNATURE.length)));
  return isV2 ? parseV2(bytes) : parseV1(bytes);
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, LONGEST_V1).indexOf("\r\n");
  const text = bytes.toString("latin1", 0, end < 0 ? Math.min(bytes.length, LONGEST_V1) : end);
  if (!text.startsWith("PROXY ".slice(0, text.length))) return { kind: "refused", expected: "a PROXY header" };
  if (end < 0) {
    if (bytes.length >= LONGEST_V1)
      return { kind: "refused", expected: `a PROXY line of at most ${LONGEST_V1} octets` };
    return { kind: "incomplete" };
  }
  const lengthBytes = end + 2;
  const words = text.split(" ");
  if (words[1] === "UNKNOWN") return { kind: "header", lengthBytes };
  const version = words[1] === "TCP4" ? 4 : words[1] === "TCP6" ? 6 : 0;
  const [address = "", toAddress = ""] = words.slice(2, 4);
  const [port, toPort] = words.slice(4, 6).map(portOf);
  const isRight = version !== 0 && words.length === 6 && isIP(address) === version && isIP(toAddress) === version;
  if (!isRight || port === undefined || toPort === undefined)
    return { kind: "refused", expected: "PROXY TCP4 or TCP6, two addresses and two ports" };
  return { kind: "header", lengthBytes, client: { address, port, toAddress, toPort } };
}

function parseV2(bytes: Buffer): ProxyHeader {
  if (bytes.length < 16) return { kind: "incomplete" };
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 0x0f;
  const family = bytes.readUInt8(13) >> 4;
  const transport = bytes.readUInt8(13) & 0x0f;
  const rest = bytes.readUInt16BE(14);
  if (version !== 2 || command > 1) return { kind: "refused", expected: "PROXY version 2, LOCAL or PROXY" };
  if (rest > LONGEST_V2_REST)
    return { kind: "refused", expected: `a PROXY header of at most ${LONGEST_V2_REST} octets` };
  const lengthBytes = 16 + rest;
  if (bytes.length < lengthBytes) return { kind: "incomplete" };
  // LOCAL is the proxy's own health check. Of families only IPv4 and IPv6 over a stream say anything to us.
  if (command === 0 || transport !== 1 || (family !== 1 && family !== 2)) return { kind: "header", lengthBytes };
  const width = family === 1 ? 4 : 16;
  if (rest < 2 * width + 4) return { kind: "refused", expected: "two addresses and two ports" };
  return {
    kind: "header",
    lengthBytes,
    client: {
      address: addressText(bytes.subarray(16, 16 + width)),
      toAddress: addressText(bytes.subarray(16 + width, 16 + 2 * width)),
      port: bytes.readUInt16BE(16 + 2 * width),
      toPort: bytes.readUInt16BE(18 + 2 * width),
    },
  };
}

function portOf(text: string): number | undefined {
  const port = /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : 65_536;
  return port > 65_535 ? undefined : port;
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  // The canonical shortening (RFC 5952 section 4.2): the longest run of zero groups, the first of equals.
  const text = groups.join(":");
  const runs = [...text.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.reduce((best, run) => (run[0].length > best.length ? run[0] : best), "");
  if (longest === "") return text;
  const at = runs.find((run) => run[0] === longest)?.index ?? 0;
  return `${text.slice(0, at).replace(/:$/, "")}::${text.slice(at + longest.length).replace(/^:/, "")}`;
}
