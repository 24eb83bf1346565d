import { X509Certificate } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { OwnCertificate } from "./facts.ts";
import { fingerprintOf } from "./fingerprint.ts";

/** What a connection's facts say of a certificate: of ours, and of the signature that its key made. */
export interface CertificateFacts {
  readonly certificate: OwnCertificate;
  /** In TLS 1.3; undefined where the key leaves a choice. */
  readonly signature: string | undefined;
}

/** Reading a certificate costs more than all else that is told of a handshake, so each of ours is read once. */
const known = new Map<string, CertificateFacts>();
const MOST_KNOWN = 256;

export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  const key = certificate.raw.toString("latin1");
  const before = known.get(key);
  if (before !== undefined) return before;
  const { publicKey } = certificate;
  const facts: CertificateFacts = {
    certificate: {
      fingerprint: fingerprintOf(certificate),
      keyKind: publicKey.asymmetricKeyType ?? "unknown",
      notAfterAt: certificate.validToDate.getTime(),
    },
    signature: signatureBy(publicKey),
  };
  const [oldest] = known.keys();
  if (known.size >= MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  known.set(key, facts);
  return facts;
}

/** What these options show, where they have one certificate; undefined where the connection has to be asked. */
export function soleCertificate(options: SecureContextOptions | undefined): CertificateFacts | undefined {
  if (options === undefined) return undefined;
  if (!soles.has(options)) soles.set(options, readSole(options));
  return soles.get(options);
}

const soles = new WeakMap<SecureContextOptions, CertificateFacts | undefined>();

function readSole({ cert, pfx }: SecureContextOptions): CertificateFacts | undefined {
  const [first, ...others] = [cert ?? []].flat();
  if (first === undefined || others.length > 0 || pfx !== undefined) return undefined;
  try {
    return certificateFacts(new X509Certificate(first));
  } catch {
    return undefined;
  }
}

/** RFC 8446 section 4.2.3: with these keys TLS 1.3 leaves no choice. Where there was one, it was made unseen. */
function signatureBy(key: X509Certificate["publicKey"]): string | undefined {
  if (key.asymmetricKeyType === "ec") return BY_CURVE.get(key.asymmetricKeyDetails?.namedCurve ?? "");
  return key.asymmetricKeyType === "ed25519" || key.asymmetricKeyType === "ed448" ? key.asymmetricKeyType : undefined;
}

const BY_CURVE: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "ecdsa_secp256r1_sha256"],
  ["secp384r1", "ecdsa_secp384r1_sha384"],
  ["secp521r1", "ecdsa_secp521r1_sha512"],
]);
