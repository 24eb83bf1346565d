import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../../foundation/clock.ts";
import { PosthornError, messageOf } from "../../../foundation/error.ts";
import { writeWhole } from "../../../foundation/whole-file.io.ts";
import { ageOf, parsePair, servesName, type CertificatePair } from "./certificate.ts";
import { loadPair } from "./source.io.ts";

const VALID_DAYS = 365;

/**
 * The certificate that the server makes for itself: ECDSA P-256, in `directory`, the key readable by its owner only. Made
 * anew when it expires soon or no longer has the names. Nobody can verify it; it serves opportunistic encryption and
 * the first steps. Throws `SETTINGS_INVALID` when the directory cannot be written.
 */
export async function ownCertificate(
  directory: string,
  names: readonly string[],
  clock: Clock,
): Promise<CertificatePair> {
  const certificate = join(directory, "self-signed.pem");
  const key = join(directory, "self-signed.key");
  const kept = await loadPair({ certificate, key });
  if (
    kept.ok &&
    ageOf(kept.value.pair, clock.now()) === undefined &&
    names.every((name) => servesName(kept.value.pair, name))
  )
    return { ...kept.value.pair, origin: "self-signed" };

  // A large library that is needed once a year.
  const { generate } = await import("selfsigned");
  const nowAt = clock.now();
  // An hour back, for clients whose clock is behind.
  const notBeforeDate = new Date(nowAt - 3_600_000);
  const notAfterDate = new Date(nowAt + VALID_DAYS * 86_400_000);
  const made = await generate([{ name: "commonName", value: names[0]?.slice(0, 64) ?? "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    notBeforeDate,
    notAfterDate,
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: names.map((value) => ({ type: 2, value })) },
    ],
  });
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // The key first: a crash in between leaves a pair that does not match, which the next start replaces.
    await writeWhole(key, made.private, 0o600);
    await writeWhole(certificate, made.cert, 0o644);
  } catch (thrown) {
    throw new PosthornError("SETTINGS_INVALID", {
      message: `the server's own certificate cannot be written into ${directory}: ${messageOf(thrown)}`,
      advice: "make the directory of `state` writable, or set `certificates`",
      cause: thrown,
    });
  }
  const parsed = parsePair({ certificatePem: made.cert, keyPem: made.private, origin: "self-signed" });
  if (!parsed.ok) throw new TypeError(`our own certificate ${parsed.problem.text}`);
  return parsed.value;
}
