import { createHash, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { OwnCertificate, TlsFacts, TlsRole, Verdict } from "./facts.ts";
import type { FlightRecorder } from "./flight-recorder.ts";
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
}): TlsFacts {
  const { role, socket, recorder, shown, verdict, handshakeMs } = given;
  const { hello, serverHello } = recorder;
  const cipher = socket.getCipher();
  const version = socket.getProtocol() ?? cipher.version;
  const isResumed = socket.isSessionReused();
  const alpn = typeof socket.alpnProtocol === "string" && socket.alpnProtocol !== "" ? socket.alpnProtocol : undefined;
  const own = socket.getX509Certificate();
  const shownByServer = role === "server" ? own : certificateIn(shown);
  return {
    role,
    version,
    cipher: cipher.standardName,
    bits: cipherBits(cipher.standardName),
    group: recorder.group,
    signature: isResumed ? undefined : signatureBy(version, shownByServer),
    serverName: hello?.serverName,
    alpn: alpn ?? serverHello?.alpn,
    isResumed,
    clientFingerprint: hello?.ja4,
    handshakeMs,
    ownCertificate: isResumed || own === undefined ? undefined : ownCertificate(own),
    peerCertificate: peerCertificate(shown),
    verdict,
  };
}

function ownCertificate(certificate: X509Certificate): OwnCertificate {
  return {
    fingerprint: createHash("sha256").update(certificate.raw).digest("hex"),
    keyKind: certificate.publicKey.asymmetricKeyType ?? "unknown",
    notAfterAt: certificate.validToDate.getTime(),
  };
}

function certificateIn(shown: ShownChain): X509Certificate | undefined {
  const [der] = shown.certificates;
  try {
    return der === undefined ? undefined : new X509Certificate(der);
  } catch {
    return undefined;
  }
}

/** RFC 8446 section 4.2.3: with these keys TLS 1.3 leaves no choice. Where there was one, it was made unseen. */
function signatureBy(version: string, certificate: X509Certificate | undefined): string | undefined {
  const key = certificate?.publicKey;
  if (version !== "TLSv1.3" || key === undefined) return undefined;
  if (key.asymmetricKeyType === "ec") return BY_CURVE.get(key.asymmetricKeyDetails?.namedCurve ?? "");
  return key.asymmetricKeyType === "ed25519" || key.asymmetricKeyType === "ed448" ? key.asymmetricKeyType : undefined;
}

const BY_CURVE: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "ecdsa_secp256r1_sha256"],
  ["secp384r1", "ecdsa_secp384r1_sha384"],
  ["secp521r1", "ecdsa_secp521r1_sha512"],
]);

/** The key length of a cipher suite by its standard name, in bits; 0 when the name does not say it. */
export function cipherBits(standardName: string): number {
  if (standardName.includes("CHACHA20")) return 256;
  if (standardName.includes("3DES")) return 168;
  return Number(/_(?:AES|ARIA|CAMELLIA|RC4|SEED)_(\d+)/.exec(standardName)?.[1] ?? 0);
}
