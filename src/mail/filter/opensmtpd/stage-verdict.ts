import { parsePath, addressOfPath } from "../../../protocol/address/path.ts";
import type { Decision } from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import { filterFailed } from "../failed.ts";
import type { FilterQuestion, MailFate, StageVerdict } from "../filter.ts";
import { JUNK } from "./junk-mark.ts";

/** What a decision means at a stage before the content. Throws when the program wants what cannot be. */
export function stageVerdict(decision: Decision, stage: FilterQuestion["stage"]): StageVerdict {
  switch (decision.kind) {
    case "proceed":
    case "report":
      return { kind: "proceed" };
    case "junk":
      return { kind: "proceed", tags: [JUNK], because: "it is junk" };
    case "reject": {
      const said = replyOf(decision.parameter);
      // smtpd-filters(7): a 421 ends the session.
      return { kind: said.code === 421 ? "disconnect" : "refuse", reply: said };
    }
    case "disconnect":
      return { kind: "disconnect", reply: replyOf(decision.parameter) };
    case "rewrite":
      return { kind: "rewrite", to: argumentOf(decision.parameter, stage) };
  }
}

/** What the last decision about a mail means. A 421 ends the session behind it. */
export function mailFate(decision: Decision): MailFate {
  switch (decision.kind) {
    case "proceed":
    case "report":
    case "junk":
      return { kind: "keep" };
    case "reject":
    case "disconnect":
      return { kind: "refuse", reply: replyOf(decision.parameter) };
    case "rewrite":
      throw violated(`it wants to rewrite the end of the content to ${quoted(decision.parameter)}`);
  }
}

/** `550 5.7.1 text`, `550 text`; without a code of a refusal it is 550. */
export function replyOf(text: string): Reply {
  const found = /^([45]\d\d)(?: ([45]\.\d{1,3}\.\d{1,3}))?(?: |$)(.*)$/s.exec(text);
  const [, code = "550", status, rest = text] = found ?? [];
  const isAgreed = status === undefined || status.charAt(0) === code.charAt(0);
  const words = (isAgreed ? rest : `${status} ${rest}`)
    .replace(/[^\x20-\x7e]+/g, "?")
    .slice(0, MOST_REPLY)
    .trim();
  return reply(
    Number(code),
    isAgreed && status !== undefined ? status : `${code.charAt(0)}.7.1`,
    words === "" ? "refused by policy" : words,
  );
}

const MOST_REPLY = 400;

function argumentOf(parameter: string, stage: FilterQuestion["stage"]): string {
  switch (stage) {
    case "helo": {
      const name = parameter.trim();
      if (/^[\x21-\x7e]{1,255}$/.test(name)) return name;
      break;
    }
    case "mail":
    case "rcpt": {
      // As in the command, brackets and parameters may be there or not; the parameters stay the client's.
      const path = /^<[^>]*>/.exec(parameter)?.[0] ?? `<${parameter.trim()}>`;
      const parsed = parsePath(path);
      if (parsed.ok && (stage === "mail" || parsed.value.kind !== "null")) return addressOfPath(parsed.value);
      break;
    }
    case "connect":
    case "auth":
    case "data":
      break;
  }
  throw violated(`it wants to rewrite ${stage} to ${quoted(parameter)}, which cannot be`);
}

function violated(message: string): Error {
  return filterFailed(message, "see what the program says at this phase");
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
