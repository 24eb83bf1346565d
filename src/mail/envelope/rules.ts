import { defaultRules, ownActions } from "./default-rules.ts";
import { splitAddress } from "../../protocol/address/mailbox.ts";
import { reply } from "../../protocol/smtp/reply.ts";
import type { UserDirectory } from "../../service/account/users.ts";
import { foldDomain } from "../../service/table/pattern.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { ContentFilterChoice } from "./content-filter.ts";
import type { Message, Envelope } from "./envelope.ts";
import { draftOf, type EnvelopeDraft } from "./draft.ts";
import { expandForward, expandRecipient } from "./expand.ts";
import type { ExpandedTarget, Expansion, ExpansionWorld, ReadInclude, WrongTarget } from "./expansion.ts";
import { nameOfRecipient } from "./extension.ts";
import type { Failure } from "./failure.ts";
import { localNames, type Holds } from "./local-names.ts";
import { postmasterDomainOf } from "./mail-name.ts";
import { matches, type Candidate, type Miss } from "./match.ts";
import type { PolicyStep, PolicyTrace } from "./policy-trace.ts";
import { OURSELVES, placing, type Decided, type Giver } from "./placing.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules, Target } from "./policy.ts";
import { createSenders } from "./rewrite/senders.ts";
import type { SrsSettings, VerpSettings } from "./rewrite/settings.ts";
import type { SenderOverride } from "./rewrite/sender-override.ts";
import type { Actions } from "./action-settings.ts";
import type { Rule } from "./rule-settings.ts";
import type { LocalSettings } from "./settings.ts";
import type { AliasTarget } from "../../protocol/address/alias-targets.ts";

/**
 * Rules: the first that matches decides what becomes of a recipient; without a match it is refused. So relaying is
 * closed unless a rule opens it. A table that cannot be asked is a temporary refusal, never a no.
 *
 * What the rules let in is expanded (`expand.ts`): by the aliases of the domain or of the action. Where that leads elsewhere
 * the rules are asked again, for mail of our own: whoever wrote the alias may send there, not the client.
 *
 * Before the rules: postmaster is accepted always (RFC 5321 section 4.5.1). After them: an unknown user of a local
 * domain is refused, whatever the action.
 */
export interface RulesPolicy extends EnvelopePolicy {
  /** Where mail that we make ourselves goes, bounces and notices. Questions about who gives the mail do not apply. */
  chooseTargets(recipient: string): Promise<ChosenTargets>;
  /** Where what a user's `.forward` names leads. */
  expandForward(ask: ForwardAsk): Promise<ForwardAnswer>;
  /** Where mail goes whose content filter is not in the settings any more: it was accepted, so only its way is asked for. */
  placeUnfiltered(message: Pick<Message, "sender" | "origin">, envelope: Envelope): Promise<ForwardAnswer>;
}

export type ChosenTargets =
  | { readonly kind: "targets"; readonly targets: readonly Target[] }
  /** `isEmptyList`: there is such an address, and just now nobody is behind it. */
  | { readonly kind: "none"; readonly because: string; readonly isEmptyList?: true }
  | { readonly kind: "failed"; readonly text: string };

export interface ForwardAsk {
  readonly message: Pick<Message, "sender">;
  readonly envelope: Envelope;
  readonly user: string;
  /** Where the targets stand. */
  readonly where: string;
  readonly targets: readonly AliasTarget[];
}

export type ForwardAnswer =
  | { readonly kind: "envelopes"; readonly envelopes: readonly EnvelopeDraft[] }
  | { readonly kind: "failed"; readonly failure: Failure };

export interface RulesPolicySettings {
  readonly hostname: string;
  readonly local: LocalSettings;
  readonly actions: Actions;
  readonly rules?: readonly Rule[] | undefined;
  /** Where a rule was written, for the log. */
  readonly whereIs?: ((rule: number) => string) | undefined;
  /** What mail goes through before it goes where the rules say. */
  readonly contentFilters?: ContentFilterChoice | undefined;
  /** Without it, and without its secrets, forwarded mail keeps its sender. */
  readonly srs?: SrsSettings | undefined;
  readonly srsSecrets?: readonly string[] | undefined;
  readonly verp?: VerpSettings | undefined;
  /** For the age of addresses that SRS made. */
  readonly now?: (() => number) | undefined;
  /** The tags of listeners, folded. Without it, any tag may be a listener's. */
  readonly listenerTags?: ReadonlySet<string> | undefined;
}

/** What the rules ask beside tables. */
export interface RulesPolicyParts {
  /** Whom `local.users: system` means. */
  readonly users?: UserDirectory | undefined;
  /** The targets in a file that an alias includes. */
  readonly readInclude?: ReadInclude | undefined;
  /** Is told each step to a decision. Tables are told of by `tracedTables`. */
  readonly trace?: PolicyTrace | undefined;
}

export function rulesPolicy(settings: RulesPolicySettings, tables: Tables, parts: RulesPolicyParts = {}): RulesPolicy {
  const { rules = defaultRules, hostname } = settings;
  const { trace } = parts;
  const actions: Actions = { ...ownActions, ...settings.actions };
  const local = localNames(settings.local, hostname, tables, parts.users);
  const { extensionDelimiter: delimiters } = settings.local;
  const senders = createSenders({
    ...settings,
    tables,
    isLocalDomain: (domain) => local.isLocalDomain(domain),
    now: settings.now ?? (() => 0),
  });
  const names = rules.map((rule, at) =>
    settings.rules === undefined ? `default rule ${at + 1}` : (rule.name ?? settings.whereIs?.(at) ?? `rule ${at + 1}`),
  );
  const nameOf = (at: number): string => names[at] ?? `rule ${at + 1}`;
  const overrides = new Map<string, SenderOverride | undefined>(rules.map((rule, at) => [nameOf(at), rule.as]));

  /**
   * The first rule that matches. Our own mail is refused only by a rule that asks for nothing it cannot answer.
   *
   * `who`, of mail of our own to somebody here: the client behind an alias, or ourselves. A rule that takes mail from them, as it
   * is, has the word: who may send where is not asked here, and a rule about other clients may file mail where nobody looks.
   */
  const decide = async (candidate: Candidate, who: SessionFactsForRules): Promise<Decided> => {
    const { listenerTags } = settings;
    const given = who.tags ?? [];
    const own = { ...candidate, ownTags: listenerTags && { given, ofListeners: listenerTags } };
    if (!candidate.isOurOwn) return firstOf(candidate, trace);
    if (!candidate.isLocal) return firstOf(own, trace);
    const steps: PolicyStep[] = [];
    const found = await firstOf({ ...candidate, facts: who, isOurOwn: false }, trace && ((step) => steps.push(step)));
    // Refused, or not to be found out: mail of our own asks less.
    if (found.kind !== "matched" || found.action.kind === "reject") return firstOf(own, trace);
    for (const step of steps) trace?.(step);
    return found;
  };

  const firstOf = async (candidate: Candidate, told: PolicyTrace | undefined): Promise<Decided> => {
    let miss: Miss | undefined;
    const traced = told === undefined ? candidate : { ...candidate, onMiss: (one: Miss) => void (miss = one) };
    const tell = (at: number, holds: Holds): void => {
      const because = holds === true || miss === undefined ? {} : { miss };
      told?.({ step: "rule", rule: nameOf(at), action: rules[at]?.action ?? "", holds, ...because });
      miss = undefined;
    };
    for (const [at, rule] of rules.entries()) {
      const action = actions[rule.action];
      if (action === undefined) {
        const holds = await matches(rule.match, traced, tables);
        tell(at, holds);
        if (holds === false) continue;
        return { kind: "failed", text: `${nameOf(at)}: there is no action ${rule.action}` };
      }
      const asked = candidate.isOurOwn && action.kind === "reject" ? { ...traced, isOurOwn: false } : traced;
      const holds = await matches(rule.match, asked, tables);
      tell(at, holds);
      if (typeof holds !== "boolean") return { kind: "failed", text: holds.failed };
      if (holds) return { kind: "matched", rule: nameOf(at), name: rule.action, action };
    }
    return { kind: "none" };
  };

  const place = placing({ settings: settings.local, local, tables, senders, decide, trace });

  const ofRules = new Map(names.map((name, at) => [name, settings.contentFilters?.ofRule(at)]));

  const worldFor = (giver: Giver, onPlaced?: (rule: string) => void): ExpansionWorld => ({
    place:
      onPlaced === undefined
        ? (address, from) => place(giver, address, from)
        : async (address, from) => {
            const placed = await place(giver, address, from);
            if (from === undefined && placed.kind === "placed") onPlaced(placed.rule);
            return placed;
          },
    readInclude:
      parts.readInclude ?? (async (path) => ({ kind: "failed", text: `${path}: lists in files cannot be read here` })),
    primaryDomain: local.primaryDomain,
    isTold: trace !== undefined,
    limits: {
      depth: settings.local.expansionDepth,
      targets: settings.local.expansionTargets,
      commandsFrom: settings.local.commandsFrom,
      filesFrom: settings.local.filesFrom,
      includesFrom: settings.local.includesFrom,
      hasOwners: settings.local.ownerAliases,
    },
  });

  /** Targets as envelopes carry them, with the sender that each leaves with. */
  const finish = async (
    expanded: readonly ExpandedTarget[],
    giver: Giver,
    given: string,
    ownSender?: string,
  ): Promise<readonly Target[] | { readonly failed: string }> => {
    const targets: Target[] = [];
    for (const { recipient, action, rule, target, via, owner, isReceipt } of expanded) {
      // RFC 5321 section 6.1: what has no sender keeps none, lists or not.
      const { sender } = giver.facts;
      const listOwner = sender === "" ? undefined : owner;
      const answer = await senders.senderFor({
        sender: ownSender ?? sender,
        owner: listOwner,
        given,
        action: actions[action],
        as: overrides.get(rule),
        // What answers forwarded mail goes from elsewhere to elsewhere too.
        isForwarded: via.length > 0 || rule === "srs",
        verp: giver.facts.verp,
      });
      if (answer.kind === "failed") return { failed: answer.text };
      const own = answer.sender;
      trace?.({ step: "sender", recipient, sender: own ?? ownSender ?? sender, by: answer.by });
      targets.push({
        recipient,
        action,
        ...(own === undefined ? {} : { sender: own }),
        ...(target === undefined ? {} : { target }),
        ...(via.length === 0 ? {} : { via }),
        ...(owner === undefined ? {} : { isListMember: true }),
        ...(isReceipt === true ? { isReceipt } : {}),
      });
    }
    return targets;
  };

  /** `postmaster` without a domain is of the server; other names without one are of this host. */
  const addressed = (given: string): { address: string; isBare: boolean } => {
    const { local: localPart, domain } = splitAddress(given);
    if (domain !== "") return { address: given, isBare: false };
    return { address: `${given}@${local.isPostmaster(localPart) ? local.primaryDomain : hostname}`, isBare: true };
  };

  const postmasterDomain = postmasterDomainOf(settings.local, hostname);
  const ownDomains = new Set([local.primaryDomain, postmasterDomain].map(foldDomain));
  /** The server's own, where it is told what concerns him: of this host, whatever a table of domains says. */
  const isOurPostmaster = (address: string): boolean => {
    const { local: localPart, domain } = splitAddress(address);
    return local.isPostmaster(localPart) && ownDomains.has(foldDomain(domain));
  };

  /** Who takes it elsewhere knows us by another name than localhost. */
  const forOthers = (target: Target): Target => {
    const { local: localPart, domain } = splitAddress(target.recipient);
    if (actions[target.action]?.kind !== "relay" || foldDomain(domain) !== foldDomain(local.primaryDomain))
      return target;
    return { ...target, recipient: `${localPart}@${postmasterDomain}` };
  };

  /** The postmaster's mailbox, where the rules, the aliases or the table of users forgot it. */
  const lastResort = async (given: string, isBare: boolean): Promise<Target | undefined> => {
    const { local: localPart, domain } = splitAddress(given);
    if (!local.isPostmaster(localPart)) return undefined;
    if (!isBare && (await local.isLocalDomain(domain)) !== true) return undefined;
    const recipient = local.postmasterOf(domain);
    const isOurs = recipient.endsWith(`@${domain}`) || !settings.local.postmaster.includes("@");
    const isLocal = isOurs || (await local.isLocalDomain(splitAddress(recipient).domain)) === true;
    return { recipient, action: isLocal ? "deliver" : "relay" };
  };

  const expandFor = async (
    giver: Giver,
    given: string,
    onPlaced?: (rule: string) => void,
  ): Promise<Expansion & { readonly failed?: string }> =>
    expandRecipient(worldFor(giver, onPlaced), addressed(given).address);

  /** By which content filter accepted mail goes: what the recipient's rule says, or else its listener. */
  const filterFor = (listener: string, rule: string | undefined): string | undefined => {
    const said = rule === undefined ? undefined : ofRules.get(rule);
    return said === "none" ? undefined : (said ?? settings.contentFilters?.at(listener));
  };

  /** A return address of ours is another matter: it was known by its signature. */
  const isPassedOn = ({ action, rule }: ExpandedTarget): boolean => rule !== "srs" && actions[action]?.kind === "relay";

  return {
    async judgeRecipient(facts, given): Promise<Judgement> {
      const { isBare } = addressed(given);
      const giver: Giver = { facts, isOurOwn: false, isBare };
      let ownRule: string | undefined;
      const onPlaced = settings.contentFilters && ((rule: string) => void (ownRule ??= rule));
      const expansion = await expandFor(giver, given, onPlaced);
      if (expansion.kind === "not-now") {
        const { because, status = "4.3.0", text } = expansion;
        return text === undefined ? notNow(because) : refuse(450, status, text, because);
      }
      if (expansion.kind === "refused") {
        const { code, status, text, because, rule } = expansion.wrong;
        const postmaster = await lastResort(given, isBare);
        if (postmaster !== undefined) return { kind: "accept", targets: [postmaster], rule: "postmaster" };
        return { ...refuse(code, status, text, because), ...(rule === undefined ? {} : { rule }) };
      }
      const { steps } = expansion;
      const isUnverified = steps.length === 0 && expansion.targets.every(isPassedOn);
      const unverified = isUnverified ? ({ isUnverified: true } as const) : {};
      const filter = settings.contentFilters && filterFor(facts.listener, ownRule);
      // As it was given: who it stands for is asked again when it comes back.
      if (filter !== undefined)
        return {
          kind: "accept",
          targets: [{ recipient: addressed(given).address, action: filter }],
          rule: ownRule ?? expansion.targets[0]?.rule ?? "",
          ...unverified,
        };
      const targets = await finish(expansion.targets, giver, given);
      if ("failed" in targets) return notNow(targets.failed);
      const rule = expansion.targets[0]?.rule ?? "";
      return { kind: "accept", targets, rule, ...unverified, ...(steps.length === 0 ? {} : { steps }) };
    },

    async chooseTargets(given): Promise<ChosenTargets> {
      const isOurs = isOurPostmaster(given);
      const isBare = isOurs || addressed(given).isBare;
      const giver: Giver = { facts: OURSELVES, isOurOwn: true, isBare };
      // By the name that aliases without a domain have, too.
      const expansion = await expandFor(giver, isOurs ? `postmaster@${local.primaryDomain}` : given);
      if (expansion.kind === "not-now") return { kind: "failed", text: expansion.because };
      if (expansion.kind === "refused") {
        const postmaster = await lastResort(given, isBare);
        if (postmaster !== undefined) return { kind: "targets", targets: [postmaster] };
        const { because, reason, text } = expansion.wrong;
        const isEmptyList = reason === "nobody" ? ({ isEmptyList: true } as const) : {};
        return { kind: "none", because: reason === "unknown" ? text : because, ...isEmptyList };
      }
      const targets = await finish(expansion.targets, giver, given);
      if ("failed" in targets) return { kind: "failed", text: targets.failed };
      // Nobody is to be told of a notice that did not arrive: a member that is wrong is left out.
      const good = targets.filter(({ target, isReceipt }) => target?.kind !== "error" && isReceipt !== true);
      return { kind: "targets", targets: isOurs ? good.map(forOthers) : good };
    },

    async placeUnfiltered({ sender, origin }, envelope): Promise<ForwardAnswer> {
      const { recipient, givenRecipient: given = recipient, originalRecipient, notify } = envelope;
      const { listener, address, clientName, helo, account } = origin;
      const facts: SessionFactsForRules = {
        listener,
        clientAddress: address,
        clientName,
        helo,
        isEncrypted: false,
        account,
        sender,
      };
      const giver: Giver = { facts, isOurOwn: true, isBare: addressed(given).isBare };
      const expansion = await expandRecipient(worldFor(giver), recipient);
      if (expansion.kind === "not-now") return failedForNow(expansion);
      if (expansion.kind === "refused") return failedFor(expansion.wrong);
      const finished = await finish(expansion.targets, giver, given);
      if ("failed" in finished) return failed("temporary", "4.3.0", "not-now", finished.failed);
      const envelopes = finished.flatMap(
        (target) => draftOf(target, { given, originalRecipient, notify, sender: envelope.sender }) ?? [],
      );
      return { kind: "envelopes", envelopes };
    },

    async expandForward({ message, envelope, user, where, targets }): Promise<ForwardAnswer> {
      const sender = envelope.sender ?? message.sender;
      const giver: Giver = { facts: { ...OURSELVES, sender }, isOurOwn: true, isBare: false };
      const expansion = await expandForward(worldFor(giver), {
        recipient: envelope.recipient,
        name: nameOfRecipient(envelope, delimiters),
        action: envelope.action,
        via: envelope.via ?? [],
        user,
        where,
        targets,
        delimiters,
      });
      if (expansion.kind === "not-now") return failedForNow(expansion);
      if (expansion.kind === "refused") return failedFor(expansion.wrong);
      const given = envelope.givenRecipient ?? envelope.recipient;
      const finished = await finish(expansion.targets, giver, given, sender);
      if ("failed" in finished) return failed("temporary", "4.3.0", "not-now", finished.failed);
      const { originalRecipient, notify, isListMember } = envelope;
      const wishes = { given, originalRecipient, notify, sender: envelope.sender, isListMember };
      const envelopes = finished.flatMap((target) => draftOf(target, wishes) ?? []);
      return { kind: "envelopes", envelopes };
    },
  };
}

function failed(
  lasting: Failure["lasting"],
  status: string,
  reason: Extract<Failure["cause"], { kind: "alias" }>["reason"],
  text: string,
  told?: string,
): ForwardAnswer {
  const cause = { kind: "alias", reason, text, ...(told === undefined ? {} : { told }) } as const;
  return { kind: "failed", failure: { lasting, status, cause } };
}

/** Its sender reads that a list is empty or an address is closed, also for now, in its own words, and never in which file anything stands. */
function failedFor({ code, status, reason, text, because }: WrongTarget): ForwardAnswer {
  const shown = reason === "nobody" || reason === "refused" ? text : because;
  return failed(code < 500 ? "temporary" : "permanent", status, reason, shown, text);
}

function failedForNow({ status = "4.3.0", text, because }: Extract<Expansion, { kind: "not-now" }>): ForwardAnswer {
  return failed("temporary", status, "not-now", text ?? because, text);
}

function refuse(code: number, status: string, text: string, because: string): Extract<Judgement, { kind: "reject" }> {
  return { kind: "reject", reply: reply(code, status, text), because };
}

/** RFC 3463 X.3.0: our own system's trouble; the client comes again. */
function notNow(because: string): Judgement {
  return refuse(451, "4.3.0", "a lookup failed here; please try again later", because);
}
