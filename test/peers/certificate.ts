import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generate } from "selfsigned";

/**
 * A certificate for `localhost` and 127.0.0.1 that is its own authority, in two files that every user may read: peers
 * read them as users of their own.
 */
export async function makeCertificate(folder: string): Promise<{ certificate: string; key: string }> {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
        ],
      },
    ],
  });
  const certificate = join(folder, "certificate.pem");
  const key = join(folder, "key.pem");
  writeFileSync(certificate, made.cert);
  writeFileSync(key, made.private);
  for (const path of [certificate, key]) chmodSync(path, 0o644);
  return { certificate, key };
}
