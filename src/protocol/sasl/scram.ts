import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { ScramHash } from "./question.ts";

/** What both sides of SCRAM reckon with (RFC 5802 section 3), after the password has been hashed. */
export interface ScramVerifier {
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

export interface ScramHashFacts {
  /** As Node's crypto calls it. */
  readonly digest: "sha1" | "sha256";
  readonly bytes: number;
}

export const SCRAM_HASHES: Readonly<Record<ScramHash, ScramHashFacts>> = {
  "SHA-1": { digest: "sha1", bytes: 20 },
  "SHA-256": { digest: "sha256", bytes: 32 },
};

/** `salted` is PBKDF2 of the prepared password. */
export function scramVerifier(hash: ScramHash, salted: Buffer): ScramVerifier {
  return {
    storedKey: scramDigest(hash, scramHmac(hash, salted, "Client Key")),
    serverKey: scramHmac(hash, salted, "Server Key"),
  };
}

export function scramProof(hash: ScramHash, salted: Buffer, authMessage: string): Buffer {
  const clientKey = scramHmac(hash, salted, "Client Key");
  return xor(clientKey, scramHmac(hash, scramDigest(hash, clientKey), authMessage));
}

export function isScramProof(hash: ScramHash, storedKey: Uint8Array, authMessage: string, proof: Uint8Array): boolean {
  if (proof.length !== SCRAM_HASHES[hash].bytes || storedKey.length !== proof.length) return false;
  const clientKey = xor(proof, scramHmac(hash, storedKey, authMessage));
  return timingSafeEqual(scramDigest(hash, clientKey), storedKey);
}

export function scramHmac(hash: ScramHash, key: Uint8Array, text: string): Buffer {
  return createHmac(SCRAM_HASHES[hash].digest, key).update(text).digest();
}

function scramDigest(hash: ScramHash, bytes: Uint8Array): Buffer {
  return createHash(SCRAM_HASHES[hash].digest).update(bytes).digest();
}

function xor(one: Uint8Array, other: Uint8Array): Buffer {
  return Buffer.from(one.map((byte, at) => byte ^ (other[at] ?? 0)));
}

/** RFC 5802 section 5.1: comma and equals sign are the protocol's own. */
export function encodeSaslName(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

/** Undefined where an equals sign stands for anything else. */
export function decodeSaslName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text)) return undefined;
  return text.replaceAll("=2C", ",").replaceAll("=3D", "=");
}
