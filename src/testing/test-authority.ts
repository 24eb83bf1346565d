import { generate } from "selfsigned";

/** Certificates for tests: an authority, what it issues, and what those issue. Plain PEM. */
export interface TestAuthority {
  readonly certificatePem: string;
  readonly keyPem: string;
  issue(names: readonly string[], options?: IssueOptions): Promise<{ certificatePem: string; keyPem: string }>;
  /** An authority below this one. */
  below(name: string): Promise<TestAuthority>;
}

export interface IssueOptions {
  readonly notBeforeAt?: number;
  readonly notAfterAt?: number;
}

const YEAR_MS = 365 * 86_400_000;

/** What it issues has keys of the same kind as its own. */
export async function testAuthority(name: string, kind: KeyKind = "ec"): Promise<TestAuthority> {
  const made = await generate([{ name: "commonName", value: name }], { ...common(kind), extensions: [...AUTHORITY] });
  return authorityOf(`${made.cert}\n`, made.private, kind);
}

type KeyKind = "ec" | "rsa";

const AUTHORITY = [
  { name: "basicConstraints", cA: true, critical: true },
  { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
] as const;

function common(kind: KeyKind, options: IssueOptions = {}) {
  const nowAt = Date.now();
  return {
    keyType: kind,
    ...(kind === "rsa" ? { keySize: 2048 } : { curve: "P-256" as const }),
    algorithm: "sha256",
    notBeforeDate: new Date(options.notBeforeAt ?? nowAt - 3_600_000),
    notAfterDate: new Date(options.notAfterAt ?? nowAt + YEAR_MS),
  } as const;
}

function authorityOf(certificatePem: string, keyPem: string, kind: KeyKind): TestAuthority {
  const ca = { cert: certificatePem, key: keyPem };
  return {
    certificatePem,
    keyPem,
    async issue(names, options) {
      const made = await generate([{ name: "commonName", value: names[0] ?? "nobody" }], {
        ...common(kind, options),
        ca,
        extensions: [
          { name: "basicConstraints", cA: false, critical: true },
          { name: "keyUsage", digitalSignature: true, keyEncipherment: true, critical: true },
          {
            name: "subjectAltName",
            altNames: names.map((value) =>
              /^[\d.]+$/.test(value) ? { type: 7 as const, ip: value } : { type: 2 as const, value },
            ),
          },
        ],
      });
      return { certificatePem: `${made.cert}\n`, keyPem: made.private };
    },
    async below(name) {
      const made = await generate([{ name: "commonName", value: name }], {
        ...common(kind),
        ca,
        extensions: [...AUTHORITY],
      });
      return authorityOf(`${made.cert}\n`, made.private, kind);
    },
  };
}
