import { reply } from "../../../protocol/smtp/reply.ts";
import { splitAddress } from "../../../protocol/address/mailbox.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import type { Judgement, SessionFactsForRules } from "../policy.ts";
import type { CalloutSettings } from "./callout-settings.ts";
import { undecided } from "./checks.ts";
import { domainIn } from "./domains.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";

/**
 * Asking the next host whether it would take mail for an address: MAIL, RCPT, and away before any content. What it said is
 * remembered (`callouts.ts`, with the scheduler), for all processes that receive mail.
 */
export interface CalloutPort {
  /** Never rejects; takes as long as the asking, so the caller has a deadline of its own. */
  callOut(ask: CalloutAsk): Promise<CalloutAnswer>;
  /** What the rules would do with a recipient: where its mail goes is asked there. */
  judgeRecipient(facts: SessionFactsForRules, recipient: string): Promise<Judgement>;
  /** Whether mail of this action leaves by SMTP or LMTP. */
  isRelayed(action: string): boolean;
}

export interface CalloutAsk {
  readonly address: string;
  /** Whose route its mail takes; undefined: the mail exchangers of its domain. */
  readonly action?: string | undefined;
  readonly terms: Pick<CalloutSettings, "from" | "wait" | "rememberGood" | "rememberBad" | "atOnce" | "mostRemembered">;
}

export type CalloutAnswer =
  | { readonly kind: "taken" }
  /** The host's own words, with its name. */
  | { readonly kind: "refused"; readonly text: string }
  | { readonly kind: "unknown"; readonly text: string };

export async function calloutFinding(
  world: Pick<RestrictionWorld, "callouts" | "local">,
  settings: CalloutSettings,
  ask: RestrictionAsk,
): Promise<Finding> {
  const subject = await (settings.of === "sender" ? senderOf(world, ask) : recipientOf(world, ask));
  if (subject === undefined) return PASS;
  if ("failed" in subject) return undecided(subject.failed);
  const { from, wait, rememberGood, rememberBad, atOnce, mostRemembered } = settings;
  const answer = await world.callouts.callOut({
    ...subject,
    terms: { from, wait, rememberGood, rememberBad, atOnce, mostRemembered },
  });
  const isSender = settings.of === "sender";
  const what = isSender ? "Sender" : "Recipient";
  const address = isSender ? ask.facts.sender : ask.recipient;
  const says = (text: string): string => `<${address}>: ${what} address rejected: ${printable(text)}`;
  switch (answer.kind) {
    case "taken":
      return PASS;
    case "refused": {
      const text = says(`undeliverable address: ${answer.text}`);
      return {
        kind: "refuse",
        reply: isSender ? reply(450, "4.1.7", text) : reply(550, "5.1.1", text),
        detail: "",
      };
    }
    case "unknown":
      return settings.onUnknown === "pass"
        ? { kind: "pass", aside: `cannot be found out: ${answer.text}` }
        : {
            kind: "wait",
            reply: reply(450, isSender ? "4.1.7" : "4.1.1", says("unverified address; please try again later")),
            detail: answer.text,
          };
  }
}

type Subject = Pick<CalloutAsk, "address" | "action"> | { readonly failed: string } | undefined;

async function senderOf({ local }: Pick<RestrictionWorld, "local">, { facts }: RestrictionAsk): Promise<Subject> {
  const domain = domainIn(facts.sender);
  if (domain === "") return undefined;
  const isLocal = await local.isLocalDomain(domain);
  if (typeof isLocal !== "boolean") return isLocal;
  return isLocal ? undefined : { address: asWritten(facts.sender) };
}

/** What several addresses stand for behind an alias is not asked: one of them may be well. */
async function recipientOf(
  { callouts }: Pick<RestrictionWorld, "callouts">,
  { facts, recipient }: RestrictionAsk,
): Promise<Subject> {
  const judgement = await callouts.judgeRecipient(facts, recipient);
  if (judgement.kind !== "accept") return undefined;
  const [only, ...others] = judgement.targets;
  if (only === undefined || others.length > 0 || !callouts.isRelayed(only.action)) return undefined;
  return { address: asWritten(only.recipient), action: only.action };
}

/** RFC 5321 section 2.4: the local part's case is its host's to know, as in what SRS made. */
function asWritten(address: string): string {
  const { local, domain } = splitAddress(address);
  return `${local}@${foldDomain(domain)}`;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 400);
}
