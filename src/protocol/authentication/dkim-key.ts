import { createPublicKey, type KeyObject } from "node:crypto";
import { base64Bytes, parseTagList, withoutBlanks } from "./tag-list.ts";

/** A public key as the DNS has it (RFC 6376 section 3.6.1, RFC 8463 section 4). */
export interface DkimKey {
  readonly kind: "rsa" | "ed25519";
  readonly key: KeyObject;
  /** Of an RSA key. */
  readonly bits?: number | undefined;
  /** `t=y`: the domain only tries it out. */
  readonly isTesting: boolean;
  /** `t=s`: the domain of `i=` must be the one of `d=`. */
  readonly isStrict: boolean;
}

export type DkimKeyReading =
  | { readonly kind: "key"; readonly key: DkimKey }
  /** Why nobody can verify with it. */
  | { readonly kind: "unusable"; readonly text: string };

/** RFC 8301: below 1024 bits nothing is proven; above 8192 the reader is kept busy. */
const FEWEST_BITS = 1024;
const MOST_BITS = 8192;
/** In front of the 32 octets of an Ed25519 key, to make a SubjectPublicKeyInfo of it (RFC 8410). */
const ED25519_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

export function readDkimKey(record: string): DkimKeyReading {
  const unusable = (text: string): DkimKeyReading => ({ kind: "unusable", text });
  const tags = parseTagList(record);
  if (tags === undefined) return unusable("the key's record is no list of tags");
  const version = tags.get("v");
  if (version !== undefined && (version !== "DKIM1" || tags.keys().next().value !== "v"))
    return unusable("the key's record is of another version");
  const kind = (tags.get("k") ?? "rsa").toLowerCase();
  if (kind !== "rsa" && kind !== "ed25519") return unusable(`the key's kind ${kind.slice(0, 20)} is unknown`);
  const hashes = tags.get("h");
  if (hashes !== undefined && !listed(hashes).includes("sha256")) return unusable("the key is not for SHA-256");
  const services = tags.get("s");
  if (services !== undefined && !listed(services).some((service) => service === "*" || service === "email"))
    return unusable("the key is not for mail");
  const written = tags.get("p");
  if (written === undefined) return unusable("the key's record has no key");
  if (withoutBlanks(written) === "") return unusable("the key was revoked");
  const bytes = base64Bytes(written);
  const key = bytes === undefined ? undefined : keyOf(kind, bytes);
  if (key === undefined) return unusable("the key's record holds no key that can be read");
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < FEWEST_BITS) return unusable(`the key has only ${bits} bits`);
  if (bits !== undefined && bits > MOST_BITS) return unusable(`the key has ${bits} bits`);
  const flags = listed(tags.get("t") ?? "");
  return { kind: "key", key: { kind, key, bits, isTesting: flags.includes("y"), isStrict: flags.includes("s") } };
}

function keyOf(kind: "rsa" | "ed25519", bytes: Buffer): KeyObject | undefined {
  if (kind === "ed25519") {
    // The RFC's form is the bare key; some publish it as a SubjectPublicKeyInfo.
    if (bytes.length === 32) return tryKey(Buffer.concat([ED25519_PREFIX, bytes]), "spki", kind);
    return tryKey(bytes, "spki", kind);
  }
  // SubjectPublicKeyInfo is what everybody publishes, RSAPublicKey what RFC 6376 writes; both are met.
  return tryKey(bytes, "spki", kind) ?? tryKey(bytes, "pkcs1", kind);
}

function tryKey(der: Buffer, type: "spki" | "pkcs1", kind: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: der, format: "der", type });
    return key.asymmetricKeyType === kind ? key : undefined;
  } catch {
    return undefined;
  }
}

function listed(value: string): readonly string[] {
  return withoutBlanks(value).toLowerCase().split(":");
}
