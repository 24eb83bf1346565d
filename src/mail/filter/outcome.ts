import { unreachable } from "../../foundation/assert.ts";
import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import type { RestrictionNote } from "../envelope/policy.ts";
import type { FilterStage, KeptContent, MailVerdict } from "./filter.ts";
import type { FilterSettings } from "./settings.ts";

/** What became of a question to all filters, and of a mail that went through them. */
export type StageOutcome = {
  /** New ones, of all filters that were asked. */
  readonly tags: readonly string[];
  readonly told: readonly Told[];
  /** What restrictions had to say that decided nothing. */
  readonly notes?: readonly RestrictionNote[] | undefined;
} & (
  | { readonly kind: "proceed"; /** Instead of the command's argument. */ readonly rewrite?: string | undefined }
  | { readonly kind: "refuse" | "disconnect"; readonly reply: Reply; readonly by: By }
);

/** Which filter decided, and why. */
export interface By {
  readonly filter: string;
  /** It was no filter, but a restriction of this name. */
  readonly restriction?: string | undefined;
  /** It was a rule, asked again for the tags of filters. */
  readonly rule?: string | undefined;
  readonly because?: string | undefined;
}

/** Something that a filter said, or did not say, for the log. */
export interface Told {
  readonly filter: string;
  readonly stage: FilterStage;
  /** `keep`, `refuse`, `quarantine`, …; `failed` when it gave no answer, `skipped` when it was not shown the mail. */
  readonly verdict: string;
  readonly because?: string | undefined;
  readonly score?: MailVerdict["score"];
}

/** The fate of a mail after the filters; `keep` may mean: changed. */
export type SiftedFate =
  | { readonly kind: "keep" }
  | { readonly kind: "refuse" | "handed-over"; readonly reply: Reply; readonly by: By }
  | { readonly kind: "discard" | "quarantine"; readonly by: By };

export interface SiftedMail {
  readonly fate: SiftedFate;
  readonly header: Buffer;
  readonly body: KeptContent;
  /** Header or body are not as they came. */
  readonly isChanged: boolean;
  readonly sender?: string | undefined;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly action?: (By & { readonly action: string }) | undefined;
  readonly tags: readonly string[];
  readonly told: readonly Told[];
  readonly notes?: readonly RestrictionNote[] | undefined;
}

/** What the client is told of a filter that failed; undefined: it goes on. */
export function failureReply(onFailure: FilterSettings["onFailure"]): Reply | undefined {
  switch (onFailure) {
    case "accept":
      return undefined;
    case "defer":
      return reply(451, "4.7.1", "Cannot judge this at present; come again");
    case "reject":
      return reply(554, "5.7.1", "This cannot be judged here, and is refused");
    default:
      return unreachable(onFailure);
  }
}

/** A filter's reply as one that may be sent: 4xx or 5xx, in lines of printable text. What is no refusal becomes one. */
export function refusalOf(given: Reply, least = 400): Reply {
  const isFit = Number.isInteger(given.code) && given.code >= least && given.code < 600;
  const code = isFit ? given.code : 550;
  const status = given.status?.startsWith(`${String(code).charAt(0)}.`) === true ? given.status : undefined;
  const usual = `${String(code).charAt(0)}.7.1`;
  const lines = given.lines.slice(0, MOST_LINES).map((line) => line.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 480));
  const fit = /^\d\.\d{1,3}\.\d{1,3}$/.test(status ?? "") ? status : usual;
  return { code, status: fit, lines: lines.length === 0 ? [""] : lines };
}

const MOST_LINES = 20;
