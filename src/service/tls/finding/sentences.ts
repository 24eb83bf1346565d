import type { TlsReason } from "./finding.ts";
import { certificateSentences } from "./sentences-certificates.ts";
import { endSentences } from "./sentences-ends.ts";
import { helloSentences } from "./sentences-hello.ts";
import { laterSentences } from "./sentences-later.ts";
import type { Case, Told } from "./sentence-parts.ts";

/**
 * What people read of a failure: one sentence that names what happened and who has to change something, and what usually
 * cures it. Made from what is certain; where only the peer knows, the sentence says so.
 */
export function sentenceOf(reason: TlsReason, about: Case): Told {
  return SENTENCES[reason](about);
}

const SENTENCES: Readonly<Record<TlsReason, (about: Case) => Told>> = {
  ...helloSentences,
  ...certificateSentences,
  ...endSentences,
  ...laterSentences,
};
