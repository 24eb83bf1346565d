import { splitAddress } from "../../protocol/address/mailbox.ts";
import { reply } from "../../protocol/smtp/reply.ts";
import { foldDomain, foldKey, NULL_SENDER } from "../../service/table/pattern.ts";
import type { Tables } from "../../service/table/tables.ts";
import { localNames, type Holds } from "./local-names.ts";
import { matches, type Candidate } from "./match.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules } from "./policy.ts";
import type { Action, Actions, LocalSettings, Rule } from "./settings.ts";

/**
 * Rules: the first that matches decides what becomes of a recipient; without a match it is refused. So relaying is
 * closed unless a rule opens it. A table that cannot be asked is a temporary refusal, never a no.
 *
 * Before the rules: postmaster is accepted always (RFC 5321 section 4.5.1). After them: an unknown user of a local
 * domain is refused, whatever the action.
 */
export interface RulesPolicy extends EnvelopePolicy {
  /** The action for mail that we make ourselves: bounces and notices. Questions about who gives the mail do not apply. */
  chooseAction(recipient: string): Promise<ChosenAction>;
}

export type ChosenAction =
  | { readonly kind: "action"; readonly action: string; readonly recipient: string }
  | { readonly kind: "none"; readonly because: string }
  | { readonly kind: "failed"; readonly text: string };

export interface RulesPolicySettings {
  readonly hostname: string;
  readonly local: LocalSettings;
  readonly actions: Actions;
  readonly rules?: readonly Rule[] | undefined;
  /** Where a rule was written, for the log. */
  readonly whereIs?: ((rule: number) => string) | undefined;
}

/** What rules can choose without anybody having written it: local mailboxes, and relaying by MX. */
export const ownActions: Actions = {
  deliver: { kind: "deliver", as: "maildir" },
  relay: { kind: "relay", to: [], backup: false },
};

export const defaultRules: readonly Rule[] = [
  { match: { for: [{ kind: "local", isNegated: false }] }, action: "deliver" },
  {
    match: {
      from: [
        { kind: "local", isNegated: false },
        { kind: "auth", isNegated: false },
        { kind: "certificate", isNegated: false },
      ],
    },
    action: "relay",
  },
];

export function rulesPolicy(settings: RulesPolicySettings, tables: Tables): RulesPolicy {
  const { rules = defaultRules } = settings;
  const actions: Actions = { ...ownActions, ...settings.actions };
  const local = localNames(settings.local, settings.hostname, tables);
  const names = rules.map((_rule, at) =>
    settings.rules === undefined ? `default rule ${at + 1}` : (settings.whereIs?.(at) ?? `rule ${at + 1}`),
  );
  const nameOf = (at: number): string => names[at] ?? `rule ${at + 1}`;

  /** The first rule that matches. Our own mail is refused only by a rule that asks for nothing it cannot answer. */
  const decide = async (candidate: Candidate): Promise<Decided> => {
    for (const [at, rule] of rules.entries()) {
      const action = actions[rule.action];
      if (action === undefined) {
        const holds = await matches(rule.match, candidate, tables);
        if (holds === false) continue;
        return { kind: "failed", text: `${nameOf(at)}: there is no action ${rule.action}` };
      }
      const asked = candidate.isOurOwn && action.kind === "reject" ? { ...candidate, isOurOwn: false } : candidate;
      const holds = await matches(rule.match, asked, tables);
      if (typeof holds !== "boolean") return { kind: "failed", text: holds.failed };
      if (holds) return { kind: "matched", rule: nameOf(at), name: rule.action, action };
    }
    return { kind: "none" };
  };

  const candidateOf = (
    facts: SessionFactsForRules,
    recipient: string,
    isLocal: boolean,
    isOurOwn: boolean,
  ): Candidate => ({
    facts,
    recipient: foldKey(recipient),
    domain: foldDomain(splitAddress(recipient).domain),
    sender: facts.sender === "" ? NULL_SENDER : foldKey(facts.sender),
    isLocal,
    isOurOwn,
  });

  const choose = async (recipient: string, isLocal: boolean): Promise<ChosenAction> => {
    const decided = await decide(candidateOf(OURSELVES, recipient, isLocal, true));
    if (decided.kind === "failed") return decided;
    if (decided.kind === "none") return { kind: "action", action: isLocal ? "deliver" : "relay", recipient };
    if (decided.action.kind === "reject") return { kind: "none", because: `${decided.rule}: ${decided.action.text}` };
    return { kind: "action", action: decided.name, recipient };
  };

  /** The postmaster's mailbox, delivered even where the rules or the table of users forgot it. */
  const postmaster = async (domain: string): Promise<ChosenAction> => {
    const recipient = local.postmasterOf(domain);
    const isOurs = recipient.endsWith(`@${domain}`) || !settings.local.postmaster.includes("@");
    const isLocal = isOurs || (await local.isLocalDomain(splitAddress(recipient).domain));
    if (typeof isLocal !== "boolean") return { kind: "failed", text: isLocal.failed };
    const chosen = await choose(recipient, isLocal);
    return chosen.kind === "none" ? { kind: "action", action: isLocal ? "deliver" : "relay", recipient } : chosen;
  };

  /** Where an address belongs: `<postmaster>` has no domain, and other bare names are of this host. */
  const classify = async (given: string): Promise<{ address: string; isLocal: Holds; isPostmaster: boolean }> => {
    const { local: localPart, domain } = splitAddress(given);
    const isLocal = domain === "" || (await local.isLocalDomain(domain));
    const isPostmaster = isLocal === true && local.isPostmaster(localPart);
    return { address: domain === "" ? `${given}@${settings.hostname}` : given, isLocal, isPostmaster };
  };

  return {
    async judgeRecipient(facts, given): Promise<Judgement> {
      const { address, isLocal, isPostmaster } = await classify(given);
      if (typeof isLocal !== "boolean") return notNow(isLocal.failed);
      if (isPostmaster) {
        const chosen = await postmaster(splitAddress(given).domain);
        if (chosen.kind === "failed") return notNow(chosen.text);
        if (chosen.kind === "action")
          return {
            kind: "accept",
            targets: [{ recipient: chosen.recipient, action: chosen.action }],
            rule: "postmaster",
          };
      }
      const decided = await decide(candidateOf(facts, address, isLocal, false));
      if (decided.kind === "failed") return notNow(decided.text);
      if (decided.kind === "none") return refuse(550, "5.7.1", "relaying denied", "no rule matches");
      const { action, name, rule } = decided;
      if (action.kind === "reject") return refuse(action.code, action.status, action.text, rule);
      const isKnown = isLocal ? await local.isKnownUser(address) : true;
      if (typeof isKnown !== "boolean") return notNow(isKnown.failed);
      if (!isKnown) return refuse(550, "5.1.1", "no such user here", "not among local.users");
      return { kind: "accept", targets: [{ recipient: address, action: name }], rule };
    },

    async chooseAction(given): Promise<ChosenAction> {
      const { address, isLocal, isPostmaster } = await classify(given);
      if (typeof isLocal !== "boolean") return { kind: "failed", text: isLocal.failed };
      if (isPostmaster) return postmaster(splitAddress(given).domain);
      const isKnown = isLocal ? await local.isKnownUser(address) : true;
      if (typeof isKnown !== "boolean") return { kind: "failed", text: isKnown.failed };
      if (!isKnown) return { kind: "none", because: "no such user here" };
      return choose(address, isLocal);
    },
  };
}

type Decided =
  | { readonly kind: "matched"; readonly rule: string; readonly name: string; readonly action: Action }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

const OURSELVES: SessionFactsForRules = { listener: "bounce", isEncrypted: false, sender: "" };

function refuse(code: number, status: string, text: string, because: string): Judgement {
  return { kind: "reject", reply: reply(code, status, text), because };
}

/** RFC 3463 X.3.0: our own system's trouble; the client comes again. */
function notNow(because: string): Judgement {
  return refuse(451, "4.3.0", "a lookup failed here; please try again later", because);
}
