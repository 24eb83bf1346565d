import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";

/** A pair in PEM form, and the same as files for programs that want files. */
export interface TestPair {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

const DAY_MS = 86_400_000;

/** Certificates for tests, in a folder of their own that goes with the process. */
export async function testCertificates() {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-tls-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const make = async (
    name: string,
    options: {
      names?: readonly string[];
      kind?: "ec" | "rsa";
      days?: readonly [from: number, to: number];
      ca?: TestPair | "self";
    } = {},
  ): Promise<TestPair> => {
    const { names = [name], kind = "ec", days = [-1, 30], ca } = options;
    const made = await generate([{ name: "commonName", value: name }], {
      keyType: kind,
      ...(kind === "rsa" ? { keySize: 2048 } : { curve: "P-256" as const }),
      algorithm: "sha256",
      notBeforeDate: new Date(Date.now() + days[0] * DAY_MS),
      notAfterDate: new Date(Date.now() + days[1] * DAY_MS),
      extensions: [
        { name: "basicConstraints", cA: ca === "self", critical: true },
        {
          name: "keyUsage",
          digitalSignature: true,
          keyCertSign: ca === "self",
          keyEncipherment: kind === "rsa",
          critical: true,
        },
        { name: "subjectAltName", altNames: names.map((value) => ({ type: 2, value })) },
      ],
      ...(ca === undefined || ca === "self" ? {} : { ca: { key: ca.key, cert: ca.cert } }),
    });
    const file = join(folder, `${name}-${Math.random().toString(36).slice(2)}`);
    const pair = { cert: made.cert, key: made.private, certFile: `${file}.pem`, keyFile: `${file}.key` };
    writeFileSync(pair.certFile, pair.cert);
    writeFileSync(pair.keyFile, pair.key, { mode: 0o600 });
    return pair;
  };
  const authority = await make("Test Authority", { ca: "self" });
  return {
    folder,
    make,
    authority,
    good: await make("mx.example", { ca: authority }),
    selfSigned: await make("mx.example"),
    expired: await make("mx.example", { ca: authority, days: [-30, -1] }),
    otherName: await make("other.example", { ca: authority }),
    rsa: await make("mx.example", { kind: "rsa" }),
  };
}
