import { verifyArc, type ArcResult } from "./arc.ts";
import { BodyHashes } from "./body-hashes.ts";
import { verifyDkim, type DkimResult, type DkimTerms } from "./dkim-verify.ts";
import type { KeyFinder } from "./key-finder.ts";
import type { RawField } from "./raw-fields.ts";

/** What the signatures of a message prove. The body is read once, and not at all when nothing was signed. */
export async function verifyMessage(
  message: { readonly fields: readonly RawField[]; body(): AsyncIterable<Buffer> },
  keys: KeyFinder,
  terms: DkimTerms,
  signal?: AbortSignal,
): Promise<{ readonly dkim: readonly DkimResult[]; readonly arc: ArcResult }> {
  const hashes = new BodyHashes();
  const dkim = verifyDkim(message.fields, hashes, keys, terms);
  const arc = verifyArc(message.fields, hashes, keys, terms.nowSeconds);
  if (hashes.isWanted) {
    for await (const piece of message.body()) {
      signal?.throwIfAborted();
      hashes.update(piece);
    }
    hashes.finish();
  }
  return { dkim: await dkim(), arc: await arc() };
}
