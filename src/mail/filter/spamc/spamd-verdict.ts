import type { SpamdScore } from "../../../protocol/spamc/reply.ts";
import { rawFieldsOf, unfoldedValue } from "../../../protocol/message/raw-fields.ts";
import type { FilterMail, MailEdit, MailFate, MailVerdict } from "../filter.ts";
import { ownField, refused, valueOf } from "../scanner/verdicts.ts";
import type { SpamcSettings } from "./settings.ts";

type Thresholds = Pick<
  SpamcSettings,
  "markAbove" | "quarantineAbove" | "rejectAbove" | "discardAbove" | "mark" | "action"
>;

/** What spamd's score means for a mail. `edits`: what SpamAssassin itself would write; without it our own fields. */
export function spamdVerdict(
  answer: { readonly spam: SpamdScore; readonly symbols: string; readonly edits?: readonly MailEdit[] | undefined },
  settings: Thresholds,
): MailVerdict {
  const { spam, symbols } = answer;
  const reaches = (threshold: number | "threshold" | undefined): boolean =>
    threshold === "threshold" ? spam.isSpam : threshold !== undefined && spam.score >= threshold;
  const isMarked = reaches(settings.markAbove);
  const fate: MailFate = reaches(settings.discardAbove)
    ? { kind: "discard" }
    : reaches(settings.rejectAbove)
      ? refused(`The mail looks like spam (score ${spam.score})`)
      : reaches(settings.quarantineAbove)
        ? { kind: "quarantine" }
        : { kind: "keep" };
  return {
    fate,
    score: { value: spam.score, wanted: spam.threshold, symbols },
    ...(isMarked || fate.kind !== "keep" ? { because: `spam, score ${spam.score} of ${spam.threshold}` } : {}),
    ...(isMarked ? { tags: ["spam"] } : {}),
    ...(isMarked && settings.action !== undefined ? { action: settings.action } : {}),
    ...(settings.mark ? { edits: answer.edits ?? ownMarks(spam, symbols, isMarked) } : {}),
  };
}

/** Fields that SpamAssassin's users know, as it writes them. */
function ownMarks(spam: SpamdScore, symbols: string, isMarked: boolean): readonly MailEdit[] {
  const tests = symbols === "" ? "" : ` tests=${symbols.replace(/,/g, ", ")}`;
  const level = "*".repeat(Math.min(MOST_STARS, Math.max(0, Math.floor(spam.score))));
  return [
    ...(isMarked ? ownField("X-Spam-Flag", "YES") : [{ edit: "remove-field", name: "X-Spam-Flag" } as const]),
    ...ownField(
      "X-Spam-Status",
      `${isMarked ? "Yes" : "No"}, score=${spam.score.toFixed(1)} required=${spam.threshold.toFixed(1)}${tests}`,
    ),
    ...ownField("X-Spam-Score", spam.score.toFixed(1)),
    ...(level === "" ? [{ edit: "remove-field", name: "X-Spam-Level" } as const] : ownField("X-Spam-Level", level)),
  ];
}

const MOST_STARS = 50;

/**
 * From a header section as SpamAssassin would have it: its X-Spam fields instead of those that came with the mail, and its
 * Subject, From and To where it has others. All else stays as the client sent it.
 */
export function editsToward(theirs: Buffer, own: Buffer): readonly MailEdit[] {
  const ownFields = rawFieldsOf(own);
  const theirFields = rawFieldsOf(theirs);
  const isMark = (name: string): boolean => /^x-spam-[a-z0-9-]{1,60}$/i.test(name);
  const names = new Set(ownFields.flatMap(({ name }) => (isMark(name) ? [name.toLowerCase()] : [])));
  const edits: MailEdit[] = [...names].map((name) => ({ edit: "remove-field", name }));
  for (const field of theirFields)
    if (isMark(field.name)) edits.push({ edit: "add-field", name: field.name, value: valueOf(field) });
  for (const name of ["Subject", "From", "To"]) {
    const isNamed = (field: { readonly name: string }): boolean => field.name.toLowerCase() === name.toLowerCase();
    const new_ = theirFields.find(isNamed);
    const old = ownFields.find(isNamed);
    if (new_ === undefined || (old !== undefined && unfoldedValue(old) === unfoldedValue(new_))) continue;
    edits.push({ edit: "change-field", name, nth: 1, value: valueOf(new_) });
  }
  return edits;
}

/** SpamAssassin's header section without what was put in front of the mail for it alone. */
export function withoutPreface(header: Buffer, preface: string): Buffer {
  const unwanted = rawFieldsOf(Buffer.from(preface)).map(
    (field) => `${field.name.toLowerCase()}:${unfoldedValue(field)}`,
  );
  return Buffer.concat(
    rawFieldsOf(header).flatMap((field) => {
      const at = unwanted.indexOf(`${field.name.toLowerCase()}:${unfoldedValue(field)}`);
      if (at < 0) return [field.raw];
      unwanted.splice(at, 1);
      return [];
    }),
  );
}

/**
 * What SpamAssassin is shown in front of the mail: the envelope's sender, which it takes from there for SPF and its lists, and
 * our Received field, which says where the mail came from.
 */
export function prefaceOf({ facts, trace }: Pick<FilterMail, "facts" | "trace">): string {
  const sender = facts.mail.sender.replace(/[^\x21-\x7e\u0080-\uffff]/g, "");
  return `Return-Path: <${sender}>\r\n${trace}`;
}
