import { X509Certificate } from "node:crypto";
import { oneLineName } from "./chain.ts";
import { pemBlocks } from "./keeper/pem.ts";
import type { OwnIssue } from "./finding/reasons.ts";

/** Who issued the certificate that these options show, and what they send with it; undefined where that cannot be told. */
export function ownIssue(options: { readonly cert?: unknown } | undefined): OwnIssue | undefined {
  const [shown] = [options?.cert ?? []].flat();
  if (typeof shown !== "string" && !Buffer.isBuffer(shown)) return undefined;
  try {
    const sent = pemBlocks(shown.toString()).certificates.map((pem) => new X509Certificate(pem));
    const [first] = sent;
    const last = sent.at(-1);
    if (first === undefined || last === undefined) return undefined;
    // `checkIssued` says no of a certificate that may not sign others, and that is what self-signed ones are like.
    const isSelfSigned = first.subject === first.issuer && first.verify(first.publicKey);
    return { isSelfSigned, lastIssuer: oneLineName(last.issuer), sent: sent.length };
  } catch {
    return undefined;
  }
}
