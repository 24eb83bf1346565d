import { X509Certificate } from "node:crypto";
import { generate } from "selfsigned";
import { fingerprintOf } from "../service/tls/fingerprint.ts";

/** Certificates of clients, by an authority of their own and by nobody. */
export interface TestClientCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly fingerprint: string;
}

export interface TestAuthority {
  readonly certificate: string;
  issue(commonName: string, about?: CertificateAbout): Promise<TestClientCertificate>;
}

export interface CertificateAbout {
  readonly emails?: readonly string[];
  readonly names?: readonly string[];
  readonly notAfterDate?: Date;
}

export async function testAuthority(commonName = "Test Authority"): Promise<TestAuthority> {
  const made = await generate([{ name: "commonName", value: commonName }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return {
    certificate: made.cert,
    issue: (name, about = {}) => make(name, about, { key: made.private, cert: made.cert }),
  };
}

/** One that nobody vouches for. */
export function ownClientCertificate(commonName: string, about: CertificateAbout = {}): Promise<TestClientCertificate> {
  return make(commonName, about, undefined);
}

async function make(
  commonName: string,
  { emails = [], names = [], notAfterDate }: CertificateAbout,
  ca: { key: string; cert: string } | undefined,
): Promise<TestClientCertificate> {
  const made = await generate([{ name: "commonName", value: commonName }], {
    keyType: "ec",
    algorithm: "sha256",
    // An hour back, so that one that has expired was once good.
    notBeforeDate: new Date(Math.min(Date.now(), notAfterDate?.getTime() ?? Date.now()) - 3_600_000),
    ...(notAfterDate === undefined ? {} : { notAfterDate }),
    ...(ca === undefined ? {} : { ca }),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", clientAuth: true },
      {
        name: "subjectAltName",
        altNames: [
          ...emails.map((value) => ({ type: 1 as const, value })),
          ...names.map((value) => ({ type: 2 as const, value })),
          // An extension of none is none.
          ...(emails.length + names.length === 0 ? [{ type: 2 as const, value: "client.invalid" }] : []),
        ],
      },
    ],
  });
  return { certificate: made.cert, key: made.private, fingerprint: fingerprintOf(new X509Certificate(made.cert)) };
}
