import { replyText } from "../../../protocol/smtp/reply.ts";
import type { FilterMail, MailVerdict, StageVerdict } from "../filter.ts";

/** A question about a mail, for the trace: which one, never what is in it. */
export function mailInWords({ facts, sizeBytes }: Pick<FilterMail, "facts" | "sizeBytes">): string {
  return `mail ${facts.mail.message ?? "of"} from <${facts.mail.sender}>, ${sizeBytes} bytes`;
}

/** A verdict, for the trace: `refuse 550 5.7.1 No; score 9.5 of 5; X-Spam-Flag, a new body`. */
export function verdictInWords({ fate, score, because, edits = [], tags = [], action }: MailVerdict): string {
  const changes = edits.map((edit) => {
    if ("name" in edit) return edit.edit === "remove-field" ? `no ${edit.name}` : edit.name;
    return edit.edit === "replace-body" ? "a new body" : edit.edit;
  });
  return [
    "reply" in fate ? `${fate.kind} ${replyText(fate.reply)}` : fate.kind,
    ...(score === undefined
      ? []
      : [`score ${score.value}${score.wanted === undefined ? "" : ` of ${score.wanted}`} ${score.symbols}`.trimEnd()]),
    ...(because === undefined ? [] : [because]),
    ...(changes.length === 0 ? [] : [changes.join(", ")]),
    ...(tags.length === 0 ? [] : [`tags ${tags.join(" ")}`]),
    ...(action === undefined ? [] : [`action ${action}`]),
  ].join("; ");
}

/** The same for a verdict before the content. */
export function stageVerdictInWords(verdict: StageVerdict): string {
  const more = [
    ...(verdict.because === undefined ? [] : [verdict.because]),
    ...(verdict.tags === undefined ? [] : [`tags ${verdict.tags.join(" ")}`]),
  ];
  const what =
    "reply" in verdict
      ? `${verdict.kind} ${replyText(verdict.reply)}`
      : verdict.kind === "rewrite"
        ? `rewrite to <${verdict.to}>`
        : verdict.kind;
  return [what, ...more].join("; ");
}
