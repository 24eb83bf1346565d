import { createHash, verify } from "node:crypto";
import type { BodyHash, BodyHashes } from "./body-hashes.ts";
import { canonicalField, selectFields } from "./canonical.ts";
import { identityDomain, parseDkimSignature, withoutSignature, type DkimSignature } from "./dkim-signature.ts";
import type { KeyAnswer, KeyFinder } from "./key-finder.ts";
import type { RawField } from "./raw-fields.ts";

/**
 * Verifying DKIM signatures (RFC 6376, RFC 8301, RFC 8463). What a signature means is said by its domain alone: a broken one
 * is as good as none. The body is read once for all signatures, while the keys are looked up.
 */
export interface DkimResult {
  /** RFC 8601 section 2.7.1. */
  readonly result: "pass" | "fail" | "policy" | "neutral" | "temperror" | "permerror";
  readonly because?: string | undefined;
  /** Absent where the signature does not say. */
  readonly domain?: string | undefined;
  readonly selector?: string | undefined;
  readonly identity?: string | undefined;
  readonly algorithm?: string | undefined;
  /** The first characters of the signature, to tell two of the same domain apart (RFC 6008). */
  readonly signature?: string | undefined;
  readonly bits?: number | undefined;
  readonly isTesting?: boolean | undefined;
}

export interface DkimTerms {
  /** How many signatures are looked at; the others are as if they were not there. */
  readonly mostSignatures: number;
  /** Whether a signature over a part of the body only (`l=`) counts. */
  readonly acceptPartial: boolean;
  readonly nowSeconds: number;
}

/** Clocks differ by this much. */
export const SKEW_SECONDS = 300;

/** Asks for the hashes and keys. What comes back finishes when the body has been read, and never rejects but for `signal`'s reason. */
export function verifyDkim(
  fields: readonly RawField[],
  hashes: BodyHashes,
  keys: KeyFinder,
  terms: DkimTerms,
): () => Promise<readonly DkimResult[]> {
  const looked = fields.filter(({ name }) => name === "dkim-signature").slice(0, terms.mostSignatures);
  const finishing = looked.map((field) => prepare(field, fields, hashes, keys, terms));
  return () => Promise.all(finishing.map((finish) => finish()));
}

function prepare(
  field: RawField,
  fields: readonly RawField[],
  hashes: BodyHashes,
  keys: KeyFinder,
  terms: DkimTerms,
): () => Promise<DkimResult> {
  const parsed = parseDkimSignature(field, "dkim");
  if (!parsed.ok) {
    const { text, domain, selector } = parsed.fault;
    return async () => ({ result: "permerror", because: text, domain, selector });
  }
  const signature = parsed.value;
  const hash = hashes.want(signature.body, signature.bodyBytes);
  const key = keys(signature.selector, signature.domain);
  // Awaited after the body only; until then nobody else listens to it.
  key.catch(() => {});
  return async () => ({ ...named(signature), ...judge(signature, fields, hash, await key, terms) });
}

function judge(
  signature: DkimSignature,
  fields: readonly RawField[],
  hash: BodyHash,
  answer: KeyAnswer,
  terms: DkimTerms,
): Pick<DkimResult, "result" | "because" | "bits" | "isTesting"> {
  if (answer.kind === "failed") return { result: "temperror", because: answer.text };
  if (answer.kind === "unusable") return { result: "permerror", because: answer.text };
  const { key } = answer;
  const about = { bits: key.bits, isTesting: key.isTesting };
  if (!signature.algorithm.startsWith(key.kind))
    return { result: "permerror", because: "the key is of another kind than the signature" };
  if (key.isStrict && identityDomain(signature.identity) !== signature.domain)
    return { result: "permerror", because: "the key is not for subdomains in i=", ...about };
  if (signature.expiresAt !== undefined && signature.expiresAt + SKEW_SECONDS < terms.nowSeconds)
    return { result: "fail", because: "the signature has expired", ...about };
  if (hash.digest !== signature.bodyHash) return { result: "fail", because: "the body was changed", ...about };
  if (!isSignedBy(signature, fields, answer.key))
    return { result: "fail", because: "the header was changed, or the key is another one", ...about };
  if (signature.bodyBytes !== undefined && signature.bodyBytes > hash.totalBytes)
    return { result: "permerror", because: "l= is longer than the body", ...about };
  if (signature.bodyBytes !== undefined && signature.bodyBytes < hash.totalBytes && !terms.acceptPartial)
    return { result: "policy", because: "only a part of the body is signed", ...about };
  return { result: "pass", ...about };
}

/** Whether the signature over the header, which covers the body's hash, is of this key. */
export function isSignedBy(
  signature: DkimSignature,
  fields: readonly RawField[],
  key: { readonly kind: "rsa" | "ed25519"; readonly key: Parameters<typeof verify>[2] },
): boolean {
  const text = signedText(signature.header, selectFields(fields, signature.signed), signature.field);
  return isSignatureOf(text, signature.signature, key);
}

/** The signed fields, each with its CRLF, and the signature's own field without one (RFC 6376 section 3.7). */
export function signedText(how: DkimSignature["header"], fields: readonly RawField[], own: RawField): string {
  let text = "";
  for (const field of fields) text += `${canonicalField(field, how)}\r\n`;
  return text + canonicalField(withoutSignature(own), how);
}

export function isSignatureOf(
  text: string,
  signature: Buffer,
  { kind, key }: { readonly kind: "rsa" | "ed25519"; readonly key: Parameters<typeof verify>[2] },
): boolean {
  const bytes = Buffer.from(text, "latin1");
  try {
    // RFC 8463 section 3: what Ed25519 signs is the SHA-256 of the text.
    if (kind === "ed25519") return verify(null, createHash("sha256").update(bytes).digest(), key, signature);
    return verify("sha256", bytes, key, signature);
  } catch {
    return false;
  }
}

function named(signature: DkimSignature): Omit<DkimResult, "result"> {
  return {
    domain: signature.domain,
    selector: signature.selector,
    identity: signature.identity,
    algorithm: signature.algorithm,
    signature: signature.signature.toString("base64").slice(0, 8),
  };
}
