import { createPublicKey, generateKeyPair } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

export interface PublicKeyText {
  readonly kind: "rsa" | "ed25519";
  /** As the DNS has it: SubjectPublicKeyInfo in base64; of Ed25519 only the 32 bytes (RFC 8463 section 4.2). */
  readonly key: string;
}

const generate = promisify(generateKeyPair);

/** Makes a key to sign mail with, and a file of it that only this user may read. Never writes over a file. */
export async function makeSigningKey(kind: "rsa" | "ed25519", bits: number, file: string): Promise<PublicKeyText> {
  const { privateKey, publicKey } =
    kind === "rsa" ? await generate("rsa", { modulusLength: bits }) : await generate("ed25519");
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(privateKey.export({ type: "pkcs8", format: "pem" }));
    await handle.sync();
    await handle.close();
  } catch (thrown) {
    await handle.close().catch(() => {});
    // Half a key would be in the way of the next one.
    await rm(file, { force: true });
    throw thrown;
  }
  // Its name, too: what the DNS is told must not outlive the key.
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  return publicKeyText(publicKey.export({ type: "spki", format: "pem" }).toString());
}

/** The public half of a key in PEM form, public or private. Throws what it holds instead. */
export function publicKeyText(pem: string): PublicKeyText {
  const key = createPublicKey(pem);
  const der = key.export({ type: "spki", format: "der" });
  if (key.asymmetricKeyType === "rsa") return { kind: "rsa", key: der.toString("base64") };
  if (key.asymmetricKeyType === "ed25519") return { kind: "ed25519", key: der.subarray(-32).toString("base64") };
  throw new Error(`a key of kind ${key.asymmetricKeyType ?? "?"}, where DKIM knows rsa and ed25519`);
}
