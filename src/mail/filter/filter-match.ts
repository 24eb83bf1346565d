import type { Tables } from "../../service/table/tables.ts";
import { foldKey, NULL_SENDER } from "../../service/table/pattern.ts";
import type { Holds } from "../envelope/local-names.ts";
import { matches } from "../envelope/match.ts";
import type { SessionFactsForRules } from "../envelope/policy.ts";
import type { SessionMatch } from "../envelope/rule-settings.ts";
import type { MailFacts } from "./filter.ts";

/** Whether a filter is for this session or mail. What it asks of the sender does not hold before there is one. */
export async function holdsFor(
  match: SessionMatch,
  facts: SessionFactsForRules,
  mail: MailFacts | undefined,
  tables: Tables,
): Promise<Holds> {
  if (mail === undefined && (match.mailFrom ?? match.not?.mailFrom) !== undefined) return false;
  const sender = mail === undefined || mail.sender === "" ? NULL_SENDER : foldKey(mail.sender);
  return matches(match, { facts, recipient: "", domain: "", isLocal: false, sender, isOurOwn: false }, tables);
}
