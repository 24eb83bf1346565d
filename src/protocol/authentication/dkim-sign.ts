import { createHash, sign, type KeyObject } from "node:crypto";
import { selectFields, type Canonicalization } from "./canonical.ts";
import { signedText } from "./dkim-verify.ts";
import type { RawField } from "./raw-fields.ts";

/** A key to sign with. */
export interface SigningKey {
  readonly domain: string;
  readonly selector: string;
  readonly key: KeyObject;
  readonly kind: "rsa" | "ed25519";
}

export interface SigningTerms {
  readonly header: Canonicalization;
  readonly body: Canonicalization;
  /** Names of fields that are signed where they stand in the message, every one of them. */
  readonly sign: readonly string[];
  /** Of these one more than there are is signed, so that none can be added later (RFC 6376 section 8.15). */
  readonly oversign: readonly string[];
  readonly atSeconds: number;
  /** `x=`: from then on nobody is to take it for valid. */
  readonly expiresAtSeconds?: number | undefined;
  readonly identity?: string | undefined;
}

/** The value of a DKIM-Signature field, folded; `bodyHash` was made with `terms.body` (RFC 6376 section 5). */
export function signDkim(
  fields: readonly RawField[],
  bodyHash: string,
  { domain, selector, key, kind }: SigningKey,
  terms: SigningTerms,
): string {
  const names = namesToSign(fields, terms);
  const tags = [
    `v=1; a=${kind}-sha256; c=${terms.header}/${terms.body}; d=${domain}`,
    `s=${selector}; t=${terms.atSeconds}${terms.expiresAtSeconds === undefined ? "" : `; x=${terms.expiresAtSeconds}`}`,
    ...(terms.identity === undefined ? [] : [`i=${terms.identity}`]),
    `h=${foldNames(names)}`,
    `bh=${bodyHash}`,
  ];
  const unsigned = ` ${tags.join(";\r\n\t")};\r\n\tb=`;
  const own: RawField = { name: "dkim-signature", text: `DKIM-Signature:${unsigned}` };
  return unsigned + foldBase64(signText(signedText(terms.header, selectFields(fields, names), own), kind, key));
}

/** Every field of the names to be signed once for each time it stands there, and those that are oversigned once more. */
export function namesToSign(fields: readonly RawField[], terms: Pick<SigningTerms, "sign" | "oversign">): string[] {
  const counts = new Map<string, number>();
  for (const { name } of fields) counts.set(name, (counts.get(name) ?? 0) + 1);
  const over = new Set(terms.oversign);
  return [...new Set([...terms.oversign, ...terms.sign])].flatMap((name) =>
    Array.from({ length: (counts.get(name) ?? 0) + (over.has(name) ? 1 : 0) }, () => name),
  );
}

export function signText(text: string, kind: "rsa" | "ed25519", key: KeyObject): string {
  const bytes = Buffer.from(text, "latin1");
  const signature =
    kind === "ed25519" ? sign(null, createHash("sha256").update(bytes).digest(), key) : sign("sha256", bytes, key);
  return signature.toString("base64");
}

/** In lines of at most 72 characters, each behind a tab. */
export function foldBase64(text: string): string {
  return (text.match(/.{1,72}/g) ?? []).join("\r\n\t");
}

export function foldNames(names: readonly string[]): string {
  let text = "";
  let length = 2;
  for (const [at, name] of names.entries()) {
    const piece = at === 0 ? name : `:${name}`;
    if (length + piece.length > 70) {
      text += `:\r\n\t${name}`;
      length = name.length;
      continue;
    }
    text += piece;
    length += piece.length;
  }
  return text;
}
