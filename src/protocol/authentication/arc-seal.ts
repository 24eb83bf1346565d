import { sealedText, type ArcResult } from "./arc.ts";
import { selectFields, type Canonicalization } from "./canonical.ts";
import { foldBase64, foldNames, namesToSign, signText, type SigningKey } from "./dkim-sign.ts";
import { signedText } from "./dkim-verify.ts";
import type { RawField } from "./raw-fields.ts";

/** The form in which a body is hashed for our signature in a chain. */
export const ARC_BODY: Canonicalization = "relaxed";
const LONGEST_CHAIN = 50;

export interface ArcSealTerms {
  /** Names of fields that are signed. ARC's own and the results of others are never among them (RFC 8617 section 4.1.2). */
  readonly sign: readonly string[];
  readonly atSeconds: number;
}

/**
 * The three values to add in front, in this order: seal, signature, results; undefined where nothing is added, to a chain
 * that another found broken before us, or that is full (RFC 8617 sections 5.1 and 5.1.2). `results` is what an
 * Authentication-Results field says, without its name.
 */
export function sealArc(
  fields: readonly RawField[],
  before: ArcResult,
  bodyHash: string,
  results: string,
  { domain, selector, key, kind }: SigningKey,
  terms: ArcSealTerms,
): { readonly seal: string; readonly message: string; readonly results: string } | undefined {
  if (before.result === "temperror") return undefined;
  const chain = before.result;
  const instance = before.result === "none" ? 1 : nextInstance(fields);
  if (instance === undefined || instance > LONGEST_CHAIN) return undefined;
  if (chain === "fail" && saysFail(fields)) return undefined;
  const resultsValue = ` i=${instance};${results}`;
  const names = namesToSign(fields, { sign: terms.sign.filter((name) => !isArcs(name)), oversign: [] });
  const head = ` i=${instance}; a=${kind}-sha256; c=relaxed/${ARC_BODY};\r\n\td=${domain}; s=${selector}; t=${terms.atSeconds}`;
  const unsignedMessage = `${head};\r\n\th=${foldNames(names)};\r\n\tbh=${bodyHash};\r\n\tb=`;
  const messageText = signedText(
    "relaxed",
    selectFields(fields, names),
    field("ARC-Message-Signature", unsignedMessage),
  );
  const message = unsignedMessage + foldBase64(signText(messageText, kind, key));
  const unsignedSeal = ` i=${instance}; a=${kind}-sha256; cv=${chain};\r\n\td=${domain}; s=${selector}; t=${terms.atSeconds};\r\n\tb=`;
  const own = {
    results: field("ARC-Authentication-Results", resultsValue),
    message: field("ARC-Message-Signature", message),
    seal: field("ARC-Seal", unsignedSeal),
  };
  // A seal that says `fail` covers its own set only: of the others nobody can tell what they were.
  const sealed = sealedText(chain === "fail" ? [own] : [...before.sets, own]);
  return { seal: unsignedSeal + foldBase64(signText(sealed, kind, key)), message, results: resultsValue };
}

function isArcs(name: string): boolean {
  return name.startsWith("arc-") || name === "authentication-results" || name === "received";
}

function field(name: string, value: string): RawField {
  return { name: name.toLowerCase(), text: `${name}:${value}` };
}

/** One above the highest that any field of ARC has, whole or not. */
function nextInstance(fields: readonly RawField[]): number | undefined {
  let highest = 0;
  for (const { name, text } of fields) {
    if (!name.startsWith("arc-")) continue;
    const written = /[:;\s]i\s*=\s*([0-9]{1,3})\s*(?:;|$|\()/.exec(text)?.[1];
    if (written !== undefined) highest = Math.max(highest, Number(written));
  }
  return highest + 1;
}

function saysFail(fields: readonly RawField[]): boolean {
  return fields.some(({ name, text }) => name === "arc-seal" && /[;:\s]cv\s*=\s*fail\s*(?:;|$)/i.test(text));
}
