import type { KeptContent, MailEdit, MailFate, MailVerdict } from "../filter.ts";
import { deferred, ownField, peerValue, refused, replyWords } from "../scanner/verdicts.ts";
import { knownAction, type RspamdAnswer } from "./answer.ts";
import type { RspamdSettings } from "./settings.ts";
import { milterEdits } from "./milter-edits.ts";

type Meanings = Pick<
  RspamdSettings,
  "onReject" | "onSoftReject" | "onGreylist" | "onAddHeader" | "onRewriteSubject" | "spamHeader" | "edits" | "action"
>;

/** What rspamd's answer means for a mail. `header`: the section as it is; `body`: what rspamd made of the body. */
export function rspamdVerdict(
  answer: RspamdAnswer,
  settings: Meanings,
  mail: { readonly header: Buffer; readonly body?: KeptContent | undefined },
): MailVerdict {
  const { milter } = answer;
  const meaning = meaningOf(answer, settings);
  const edits: MailEdit[] = [];
  if (settings.edits) {
    edits.push(...milterEdits(answer, mail.header));
    if (mail.body !== undefined) edits.push({ edit: "replace-body", body: mail.body });
  }
  if (meaning.isMarked) edits.push(...markOf(milter?.spam_header, settings));
  if (meaning.subject !== undefined)
    edits.push({ edit: "change-field", name: "Subject", nth: 1, value: peerValue(meaning.subject) });
  if (milter?.no_action === true) edits.push(...ownField("X-Rspamd-Action", answer.action));
  return {
    fate: meaning.fate,
    score: { value: answer.score, wanted: answer.required_score, symbols: symbolsOf(answer) },
    ...(answer.action === "no action" ? {} : { because: `${answer.action}, score ${rounded(answer.score)}` }),
    ...(edits.length === 0 ? {} : { edits }),
    ...(meaning.isMarked ? { tags: ["spam"] } : {}),
    ...(meaning.isMarked && settings.action !== undefined ? { action: settings.action } : {}),
  };
}

interface Meaning {
  readonly fate: MailFate;
  readonly isMarked?: boolean;
  readonly subject?: string;
}

const KEEP: Meaning = { fate: { kind: "keep" } };
const MARK: Meaning = { fate: { kind: "keep" }, isMarked: true };

function meaningOf(answer: RspamdAnswer, settings: Meanings): Meaning {
  const { milter } = answer;
  const action = knownAction(answer.action);
  // "Accept, and only say what would have been done."
  if (milter?.no_action === true) return KEEP;
  const words = answer.messages?.smtp_message ?? "";
  const fateOf = (what: "refuse" | "quarantine" | "discard" | "mark" | "accept" | "defer"): Meaning => {
    if (what === "accept") return KEEP;
    if (what === "mark") return MARK;
    if (what === "refuse") return { fate: refused(replyWords(words, "The mail looks like spam")) };
    if (what === "defer") return { fate: deferred(replyWords(words, "Try again later")) };
    return { fate: { kind: what } };
  };
  switch (action) {
    case "reject": {
      // Its own rules may soften it for a mail; they can't make it sterner than the settings.
      const { onReject } = settings;
      const asked = milter?.reject;
      return fateOf(onReject === "refuse" && (asked === "discard" || asked === "quarantine") ? asked : onReject);
    }
    case "soft reject":
      return fateOf(settings.onSoftReject);
    case "greylist":
      return fateOf(settings.onGreylist);
    case "add header":
      return fateOf(settings.onAddHeader);
    case "rewrite subject":
      if (settings.onRewriteSubject !== "rewrite") return fateOf(settings.onRewriteSubject);
      return answer.subject === undefined ? MARK : { ...KEEP, subject: answer.subject };
    case "quarantine":
    case "discard":
      return fateOf(action);
    case "no action":
      return KEEP;
    // An action of the operator's own: as in rspamd's proxy the mail goes on, with the fields that rspamd gives it.
    case undefined:
      return KEEP;
  }
}

/** rspamd may give the mark's value, or other fields altogether. */
function markOf(
  given: NonNullable<RspamdAnswer["milter"]>["spam_header"],
  { spamHeader, edits }: Pick<Meanings, "spamHeader" | "edits">,
): readonly MailEdit[] {
  if (given === undefined || !edits) return ownField(spamHeader, "Yes");
  if (typeof given === "string") return ownField(spamHeader, given);
  return Object.entries(given).flatMap(([name, value]) => (FIELD_NAME.test(name) ? ownField(name, value) : []));
}

const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,76}$/;

/** `BAYES_SPAM(3.5) GTUBE(0)`, the weightiest first. */
function symbolsOf({ symbols }: RspamdAnswer): string {
  return Object.entries(symbols)
    .map(([name, { score = 0 }]) => [name, score] as const)
    .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
    .map(([name, score]) => `${name}(${rounded(score)})`)
    .join(" ");
}

function rounded(score: number): number {
  return Math.round(score * 100) / 100;
}
