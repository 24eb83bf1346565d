import { rawFieldsOf } from "../../../protocol/message/raw-fields.ts";
import type { MailEdit } from "../filter.ts";
import { peerValue } from "../scanner/verdicts.ts";
import type { RspamdAnswer } from "./answer.ts";

const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,76}$/;

/**
 * The edits in an answer's `milter` part, in the order in which rspamd's own proxy does them: fields out, fields in, sender,
 * recipients, signatures. Numbers of fields that go out count the mail as it was shown, negative ones from the end. Places of
 * fields that come in count it as it will be delivered, as for all milters, with our Received field as its first: 1, which
 * rspamd says for Authentication-Results and ARC, is right behind that, on top of all that the client sent.
 */
export function milterEdits(answer: RspamdAnswer, header: Buffer): readonly MailEdit[] {
  const { milter } = answer;
  const names = rawFieldsOf(header).map(({ name }) => name.toLowerCase());
  const countOf = (name: string): number => names.filter((each) => each === name.toLowerCase()).length;
  const edits: MailEdit[] = [];
  for (const [name, nth] of Object.entries(milter?.remove_headers ?? {})) {
    if (!FIELD_NAME.test(name)) continue;
    const wanted = nth < 0 ? countOf(name) + nth + 1 : nth;
    // None so far from the end.
    if (nth < 0 && wanted < 1) continue;
    edits.push(nth === 0 ? { edit: "remove-field", name } : { edit: "remove-field", name, nth: wanted });
  }
  let total = names.length - edits.reduce((sum, edit) => sum + (isFor(edit) ? removedBy(edit, countOf) : 0), 0);
  for (const [name, given] of Object.entries(milter?.add_headers ?? {})) {
    if (!FIELD_NAME.test(name)) continue;
    for (const each of Array.isArray(given) ? given : [given]) {
      const { value, order } =
        typeof each === "string" ? { value: each } : { value: each.value, order: each.order ?? each.index };
      const at = order === undefined ? undefined : Math.max(0, order >= 0 ? order - 1 : total + order + 1);
      edits.push({
        edit: "add-field",
        name,
        value: peerValue(value),
        ...(at === undefined || at >= total ? {} : { at }),
      });
      total++;
    }
  }
  if (milter?.change_from !== undefined) edits.push({ edit: "sender", sender: withoutBrackets(milter.change_from) });
  for (const address of milter?.add_rcpt ?? [])
    edits.push({ edit: "add-recipient", recipient: withoutBrackets(address) });
  for (const address of milter?.del_rcpt ?? [])
    edits.push({ edit: "remove-recipient", recipient: withoutBrackets(address) });
  const signatures = answer["dkim-signature"] ?? [];
  for (const [at, value] of (typeof signatures === "string" ? [signatures] : signatures).entries())
    edits.push({ edit: "add-field", name: "DKIM-Signature", value: peerValue(value), at });
  return edits;
}

type Removal = Extract<MailEdit, { edit: "remove-field" }>;

function isFor(edit: MailEdit): edit is Removal {
  return edit.edit === "remove-field";
}

function removedBy({ name, nth }: Removal, countOf: (name: string) => number): number {
  return nth === undefined ? countOf(name) : nth <= countOf(name) ? 1 : 0;
}

function withoutBrackets(address: string): string {
  return address.trim().replace(/^<(.*)>$/s, "$1");
}
