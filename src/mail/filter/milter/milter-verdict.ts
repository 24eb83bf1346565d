import type { MilterChange, MilterDecision } from "../../../protocol/milter/answer.ts";
import { valueOfMilter } from "../../../protocol/milter/field-value.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import type { MailEdit, MailFate, StageVerdict } from "../filter.ts";
import { MilterBroken } from "./link.ts";

/** The replies of Postfix for a milter that only says no. */
const REJECTED = reply(550, "5.7.1", "Command rejected");
const LATER = reply(451, "4.7.1", "Service unavailable - try again later");
const CLOSING = reply(421, "4.7.0", "Service unavailable - closing connection");

/** What a milter decided at a stage before the content. */
export function stageVerdictOf(decision: MilterDecision, isInMail: boolean): StageVerdict {
  switch (decision.says) {
    case "continue":
      return { kind: "proceed" };
    case "accept":
      return { kind: "content" };
    case "reject":
      return { kind: "refuse", reply: REJECTED };
    case "tempfail":
      return { kind: "refuse", reply: LATER };
    case "reply":
      return { kind: decision.reply.code === 421 ? "disconnect" : "refuse", reply: decision.reply };
    case "shutdown":
      return { kind: "disconnect", reply: CLOSING };
    case "discard":
      if (!isInMail) throw new MilterBroken("wants to discard a mail before there is one");
      return { kind: "discard" };
    case "skip":
      throw new MilterBroken("wants to skip a body before there is one");
  }
}

/** What it decided about a mail whose content it saw, or some of it. */
export function fateOf(decision: MilterDecision): MailFate {
  switch (decision.says) {
    case "continue":
    case "accept":
      return { kind: "keep" };
    case "reject":
      return { kind: "refuse", reply: REJECTED };
    case "tempfail":
      return { kind: "refuse", reply: LATER };
    case "reply":
      return { kind: "refuse", reply: decision.reply };
    case "shutdown":
      return { kind: "refuse", reply: CLOSING };
    case "discard":
      return { kind: "discard" };
    case "skip":
      throw new MilterBroken("wants to skip a body that is over");
  }
}

/** What its quarantine means by the settings. */
export function quarantineFate(means: "quarantine" | "accept" | "reject" | "discard", reason: string): MailFate {
  switch (means) {
    case "quarantine":
      return { kind: "quarantine" };
    case "accept":
      return { kind: "keep" };
    case "discard":
      return { kind: "discard" };
    case "reject":
      return { kind: "refuse", reply: quarantineReply(reason) };
  }
}

function quarantineReply(reason: string): Reply {
  const text = reason.replace(/[^\x20-\x7e]+/g, " ").trim();
  return reply(550, "5.7.1", text === "" ? "Message refused" : `Message refused: ${text}`);
}

const BYTES = { encoding: "latin1" } as const;

/** A change of the mail; a replaced body is handled where its pieces come in. */
export function editOf(
  change: Exclude<MilterChange, { says: "replace-body" | "quarantine" }>,
  keepsSpace: boolean,
): MailEdit {
  switch (change.says) {
    case "add-header":
      return { edit: "add-field", name: change.name, value: valueOfMilter(change.value, keepsSpace), ...BYTES };
    case "insert-header":
      // Milters count the mail as it will be delivered, with our Received field as its first, which nobody shows them: 1 is
      // behind it, in front of all that the client sent. So is 0 here, for nothing is put in front of our own field.
      return {
        edit: "add-field",
        name: change.name,
        value: valueOfMilter(change.value, keepsSpace),
        at: Math.max(0, change.index - 1),
        ...BYTES,
      };
    case "change-header": {
      // Counted as the client sent them, from 1; Sendmail takes 0 for the first too.
      const nth = Math.max(1, change.index);
      if (change.value === "") return { edit: "remove-field", name: change.name, nth };
      return { edit: "change-field", name: change.name, nth, value: valueOfMilter(change.value, keepsSpace), ...BYTES };
    }
    case "add-recipient":
      return { edit: "add-recipient", recipient: change.recipient };
    case "remove-recipient":
      return { edit: "remove-recipient", recipient: change.recipient };
    case "change-sender":
      return { edit: "sender", sender: change.sender };
  }
}
