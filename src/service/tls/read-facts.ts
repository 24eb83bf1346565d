import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { TlsFacts, TlsRole, Verdict } from "./facts.ts";
import type { FlightRecorder } from "./flight/flight-recorder.ts";
import { certificateFacts, type CertificateFacts } from "./own-facts.ts";
import type { ShownChain } from "./tls.ts";
import { peerCertificate } from "./verify.ts";

/** Nobody's chain is longer; what comes behind is not looked at. */
const LONGEST_CHAIN = 20;

/**
 * What the peer showed, as sent. To be called once and first of all: some versions of Node let the chain go when they are
 * asked for it, and a second question gets less.
 */
export function shownChain(socket: TLSSocket): ShownChain {
  const certificates: Buffer[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && certificates.length < LONGEST_CHAIN) {
    certificates.push(Buffer.from(next.raw));
    next = next.issuerCertificate;
  }
  const isTrusted = certificates.length > 0 && socket.authorized;
  // A string, whatever its declared type; for a client that showed nothing it speaks of no certificate at all.
  const problem: unknown = socket.authorizationError;
  const trustProblem = typeof problem === "string" ? problem : codeOf(problem);
  return { certificates, isTrusted, ...(isTrusted || certificates.length === 0 ? {} : { trustProblem }) };
}

function codeOf(problem: unknown): string | undefined {
  return problem instanceof Error && "code" in problem ? String(problem.code) : undefined;
}

export function readFacts(given: {
  role: TlsRole;
  socket: TLSSocket;
  recorder: FlightRecorder;
  shown: ShownChain;
  verdict: Verdict;
  handshakeMs: number;
  /** Our own certificate, where no other can have been shown. */
  own?: CertificateFacts | undefined;
}): TlsFacts {
  const { role, socket, recorder, shown, verdict, handshakeMs } = given;
  const { hello, serverHello } = recorder;
  const cipher = socket.getCipher();
  const version = socket.getProtocol() ?? cipher.version;
  const isResumed = socket.isSessionReused();
  const alpn = typeof socket.alpnProtocol === "string" && socket.alpnProtocol !== "" ? socket.alpnProtocol : undefined;
  const own = isResumed ? undefined : (given.own ?? factsOf(socket.getX509Certificate()));
  const shownByServer = role === "server" ? own : isResumed ? undefined : factsOf(certificateIn(shown));
  return {
    role,
    version,
    cipher: cipher.standardName,
    bits: cipherBits(cipher.standardName),
    group: recorder.group,
    signature: version === "TLSv1.3" ? shownByServer?.signature : undefined,
    serverName: hello?.serverName,
    alpn: alpn ?? serverHello?.alpn,
    isResumed,
    clientFingerprint: hello?.ja4,
    handshakeMs,
    ownCertificate: own?.certificate,
    peerCertificate: peerCertificate(shown),
    verdict,
  };
}

function factsOf(certificate: X509Certificate | undefined): CertificateFacts | undefined {
  return certificate === undefined ? undefined : certificateFacts(certificate);
}

function certificateIn(shown: ShownChain): X509Certificate | undefined {
  const [der] = shown.certificates;
  try {
    return der === undefined ? undefined : new X509Certificate(der);
  } catch {
    return undefined;
  }
}

/** The key length of a cipher suite by its standard name, in bits; 0 when the name does not say it. */
export function cipherBits(standardName: string): number {
  const before = bitsByName.get(standardName);
  if (before !== undefined) return before;
  const bits = readBits(standardName);
  bitsByName.set(standardName, bits);
  return bits;
}

/** As many as OpenSSL has ciphers. */
const bitsByName = new Map<string, number>();

function readBits(standardName: string): number {
  if (standardName.includes("CHACHA20")) return 256;
  if (standardName.includes("3DES")) return 168;
  return Number(/_(?:AES|ARIA|CAMELLIA|RC4|SEED)_(\d+)/.exec(standardName)?.[1] ?? 0);
}
