import { formatDuration, formatRate, formatSize } from "../../../foundation/units.ts";
import { reply, replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import type { Condition } from "../condition.ts";
import { matches } from "../match.ts";
import type { PolicyTrace } from "../policy-trace.ts";
import type {
  EnvelopePolicy,
  Judgement,
  RestrictionNote,
  SessionFactsForRules,
  StageJudgement,
  Target,
} from "../policy.ts";
import { calloutFinding } from "./callout.ts";
import { clientNameFinding, heloFinding, recipientFinding, refuse, senderFinding, undecided } from "./checks.ts";
import { dnsListFinding } from "./dns-lists.ts";
import { greylistFinding } from "./greylist.ts";
import type { MailChange, RestrictionStage } from "./mail-change.ts";
import { policyFinding } from "./policy-service.ts";
import { rateFinding } from "./rate-finding.ts";
import { PASS, type Finding, type Restriction, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";
import type { Check, RestrictionSettings } from "./settings.ts";
import { stagesOf } from "./stages-of.ts";

/**
 * Restrictions: what is asked of a client, its names and its mail before the rules, in the order of the settings. The first
 * that permits or refuses decides. They can close, never open: who may relay is for the rules to say, whatever was permitted.
 *
 * Most are judged when a recipient is given, so that the log knows sender and recipient of what was refused. Questions
 * (VRFY) carry no mail and are not judged. Those of another stage are a list of that stage's, in the same order.
 *
 * What cannot be found out makes the mail wait, but only when nothing behind it, the rules included, refuses it for good. Where it
 * is whether somebody is permitted, only the rules can: had he been, nothing behind it would have been asked.
 */
export function restrictionsPolicy(
  inner: EnvelopePolicy,
  parts: {
    /** In force at a listener; none: everything goes to the rules. */
    readonly restrictionsAt: (listener: string) => readonly Restriction[];
    /** Where mail goes that a restriction sends somewhere else: by the rules, as if we had written it. */
    readonly targetsOf: (recipient: string) => Promise<readonly Target[] | { readonly failed: string }>;
    readonly trace?: PolicyTrace | undefined;
  },
): EnvelopePolicy {
  const tell = (restriction: Restriction, stage: RestrictionStage, found: Finding): void =>
    parts.trace?.({
      step: "restriction",
      restriction: restriction.name,
      stage,
      finding: found.kind,
      text: passes(found) ? (found.note ?? asideOf(found)) : toldText(found),
      isWarnOnly: restriction.isWarnOnly,
    });
  const ask = async (
    facts: SessionFactsForRules,
    stage: RestrictionStage,
    recipient: string,
    isWaiting = false,
  ): Promise<Asked> => {
    const notes: RestrictionNote[] = [];
    const changes: MailChange[] = [];
    let waits: Refusal | undefined;
    let softens: Refusal | undefined;
    let permittedAt: number | undefined;
    /** The first permit that could not be found out, and how many changes there were by then. */
    let unknown: { readonly no: Refusal; readonly changes: number } | undefined;
    let mayBePermitted = false;
    for (const [at, restriction] of parts.restrictionsAt(facts.listener).entries()) {
      if (!restriction.stages.has(stage)) continue;
      // It has permitted the recipient that this one stands for, and may not be one to be asked twice.
      if (at === facts.instead?.permittedAt) break;
      const found = await restriction.judge({ facts, recipient, stage, isWaiting: isWaiting || waits !== undefined });
      tell(restriction, stage, found);
      const note = (text: string): void =>
        void notes.push({
          restriction: restriction.name,
          text,
          ...(restriction.isWarnOnly ? { isWarning: true } : {}),
        });
      if (passes(found)) {
        if (restriction.isWarnOnly && found.changes !== undefined) {
          note(`would change the mail: ${found.note ?? found.changes.map(({ change }) => change).join(", ")}`);
          continue;
        }
        if (found.note !== undefined) note(found.note);
        changes.push(...(found.changes ?? []).map((change) => ({ ...change, by: restriction.name, place: at })));
        if (found.kind !== "permit") continue;
        permittedAt = at;
        break;
      }
      if (restriction.isWarnOnly) {
        note(toldText(found));
        continue;
      }
      const isAtOnce = restriction.isAtOnce || LATE.includes(stage);
      const no: Refusal = { ...refusal(restriction.name, found), isAtOnce, place: at };
      if (found.kind === "refuse") {
        if (mayBePermitted && no.reply.code >= 500) {
          // It is this one that a permit in front of it may yet take back.
          if (unknown !== undefined) waits ??= { ...unknown.no, place: at };
          break;
        }
        return { notes, changes, refused: softened(no, softens), waits };
      }
      if (found.kind === "wait" && found.mayPermit === true) mayBePermitted = true;
      if (found.kind === "soften") softens ??= no;
      // Permitted or not, it makes no difference where nothing behind it has anything to say.
      else if (restriction.isPermitOnly) unknown ??= { no, changes: changes.length };
      else waits ??= no;
    }
    if (unknown !== undefined && changes.length > unknown.changes) waits ??= unknown.no;
    return { notes, changes, waits, softens, permittedAt };
  };
  /**
   * The worst of what earlier stages refused, but for what stands behind somebody who permits the client by now: nobody can
   * have logged in at EHLO. The same goes for what they want done to the mail.
   */
  const standing = async (
    facts: SessionFactsForRules,
    recipient: string,
  ): Promise<{ readonly no?: Extract<Judgement, { kind: "reject" }> | undefined; readonly excusedFrom?: number }> => {
    const { earlier = [], wanted = [] } = facts;
    if (earlier.length === 0 && wanted.length === 0) return {};
    let excusedFrom: number | undefined;
    /** From where on nobody knows whether the client is permitted. */
    let unknown: { readonly at: number; readonly no: Extract<Judgement, { kind: "reject" }> } | undefined;
    for (const [at, restriction] of parts.restrictionsAt(facts.listener).entries()) {
      if (!restriction.isPermitOnly || !restriction.stages.has("rcpt")) continue;
      const isPermitted = at === facts.instead?.permittedAt;
      const found = isPermitted ? PERMIT : await restriction.judge({ facts, recipient, stage: "rcpt" });
      if (found.kind === "wait") unknown ??= { at, no: refusal(restriction.name, found) };
      if (found.kind !== "permit") continue;
      excusedFrom = at;
      break;
    }
    const stands = ({ place = -1 }: Placed): boolean => excusedFrom === undefined || place < excusedFrom;
    const unknownIn = ({ place = -1 }: Placed) =>
      unknown !== undefined && place > unknown.at ? unknown.no : undefined;
    const [
      no = wanted
        .filter(stands)
        .map(unknownIn)
        .find((one) => one !== undefined),
    ] = earlier
      .flatMap((one) => (one.before === undefined ? [one] : [one, one.before]))
      .filter(stands)
      .map((one) => unknownIn(one) ?? one)
      .toSorted((a, b) => b.reply.code - a.reply.code);
    return excusedFrom === undefined ? { no } : { no, excusedFrom };
  };
  return {
    ...inner,
    async judgeRecipient(facts, recipient): Promise<Judgement> {
      if (facts.accepted === undefined) return inner.judgeRecipient(facts, recipient);
      const { no: earlier, excusedFrom } = await standing(facts, recipient);
      if (earlier !== undefined && earlier.reply.code >= 500) return earlier;
      const asked = await ask(facts, "rcpt", recipient, earlier !== undefined);
      const { notes, changes, refused, waits, softens, permittedAt } = asked;
      // What stands behind restrictions has something to say, too.
      const withNotes = (judgement: Judgement): Judgement =>
        notes.length === 0 ? judgement : { ...judgement, notes: [...notes, ...(judgement.notes ?? [])] };
      if (refused !== undefined) return withNotes(refused);
      const judgement = await inner.judgeRecipient(facts, recipient);
      if (judgement.kind === "reject" && judgement.reply.code >= 500) return withNotes(softened(judgement, softens));
      if (earlier !== undefined || waits !== undefined) return withNotes(earlier ?? waits ?? judgement);
      if (judgement.kind === "reject") return withNotes(judgement);
      return withNotes({
        ...judgement,
        ...(changes.length > 0 ? { changes } : {}),
        ...(permittedAt === undefined ? {} : { permittedAt }),
        ...(excusedFrom === undefined ? {} : { excusedFrom }),
      });
    },
    stagesAt: (listener) =>
      new Set(parts.restrictionsAt(listener).flatMap(({ stages, isPermitOnly }) => (isPermitOnly ? [] : [...stages]))),
    async judgeStage(facts, stage, before = []): Promise<StageJudgement> {
      const { notes, changes, refused, waits } = await ask(facts, stage, "");
      const told = notes.length === 0 ? {} : { notes };
      const kept = changes.length === 0 ? {} : { changes };
      if (refused !== undefined) return { ...refused, ...told, ...kept, ...(waits && { before: waits }) };
      if (waits !== undefined) return { ...waits, ...told, ...kept };
      if (stage !== "end-of-data") return { kind: "accept", ...told, ...kept };
      const lost = await lostBy([...before, ...changes], parts.targetsOf);
      return lost === undefined ? { kind: "accept", ...told, ...kept } : { ...lost, ...told, isAtOnce: true };
    },
  };
}

type Refusal = Extract<Judgement, { kind: "reject" }> & { readonly isAtOnce: boolean };

/** Something that an earlier stage found. */
interface Placed {
  readonly place?: number | undefined;
}

const PERMIT: Finding = { kind: "permit" };

interface Asked {
  readonly notes: readonly RestrictionNote[];
  readonly changes: readonly MailChange[];
  readonly refused?: Refusal | undefined;
  readonly waits?: Refusal | undefined;
  readonly softens?: Refusal | undefined;
  readonly permittedAt?: number | undefined;
}

/** A refusal for good, where one before it asked that there be none. */
function softened<No extends Extract<Judgement, { kind: "reject" }>>(no: No, softens: Refusal | undefined): No {
  if (softens === undefined || no.reply.code < 500) return no;
  const { reply: wait, restriction, because } = softens;
  return {
    ...no,
    reply: wait,
    restriction,
    because: `${because === "" ? "" : `${because}; `}else ${replyText(no.reply)}`,
  };
}

/** A redirection or copy to an address that the rules do not take leaves the mail to come again: nobody may lose it. */
async function lostBy(
  changes: readonly MailChange[],
  targetsOf: (recipient: string) => Promise<readonly Target[] | { readonly failed: string }>,
): Promise<Extract<Judgement, { kind: "reject" }> | undefined> {
  for (const change of changes) {
    if (change.change !== "redirect" && change.change !== "copy") continue;
    const targets = await targetsOf(change.to);
    if (!("failed" in targets)) continue;
    return {
      kind: "reject",
      reply: reply(451, "4.3.5", "Server configuration problem; please try again later"),
      because: `<${change.to}>: ${targets.failed}`,
      restriction: change.by,
    };
  }
  return undefined;
}

function passes(found: Finding): found is Extract<Finding, { kind: "pass" | "permit" }> {
  return found.kind === "pass" || found.kind === "permit";
}

function asideOf(found: Finding): string {
  return found.kind === "pass" ? (found.aside ?? "") : "";
}

type No = Extract<Finding, { kind: "refuse" | "wait" | "soften" }>;

function refusal(name: string, found: No): Extract<Judgement, { kind: "reject" }> {
  return { kind: "reject", reply: found.reply, because: found.detail, restriction: name };
}

function toldText({ reply: no, detail }: No): string {
  return detail === "" || replyText(no).includes(detail) ? replyText(no) : `${replyText(no)} (${detail})`;
}

/** What the settings say, ready to be asked. */
export function restrictionsOf(
  settings: readonly RestrictionSettings[],
  world: RestrictionWorld,
): readonly Restriction[] {
  return settings.map((written) => {
    const { ask, says } = kindOf(written, world);
    return {
      name: written.name ?? says,
      isWarnOnly: written.warnOnly,
      stages: new Set(stagesOf(written)),
      isPermitOnly: written.permit !== undefined || written.verdict === "permit",
      isAtOnce: written.answer === "at-once",
      judge: async (asked) => worded(written, await ask(asked)),
    };
  });
}

interface Kind {
  readonly ask: (ask: RestrictionAsk) => Promise<Finding>;
  readonly says: string;
}

function kindOf(written: RestrictionSettings, world: RestrictionWorld): Kind {
  const { permit, reject, clientName, helo, sender, recipient, dnsLists, nullSenderRecipients } = written;
  if (permit !== undefined) return source("permit", permit, world, () => ({ kind: "permit" }));
  if (reject !== undefined)
    return source("reject", reject, world, ({ facts: { clientName: name = "unknown", clientAddress = "local" } }) =>
      refuse(reply(554, "5.7.1", `<${name}[${clientAddress}]>: Client host rejected: Access denied`), clientAddress),
    );
  if (clientName !== undefined)
    return inTurn("client-name", clientName, (check, ask) => clientNameFinding(world, check, ask));
  if (helo !== undefined) return inTurn("helo", helo, (check, ask) => heloFinding(world, check, ask));
  if (sender !== undefined) return inTurn("sender", sender, (check, ask) => senderFinding(world, check, ask));
  if (recipient !== undefined)
    return inTurn("recipient", recipient, (check, ask) => recipientFinding(world, check, ask));
  if (dnsLists !== undefined)
    return {
      says: `dns-lists ${dnsLists.lists.map(({ zone }) => zone).join(",")}`.slice(0, MOST_NAME),
      ask: (ask) => dnsListFinding(world, dnsLists, ask),
    };
  const other = askingOthers(written, world);
  if (other !== undefined) return other;
  const most = nullSenderRecipients ?? 1;
  const tooMany = refuse(reply(550, "5.5.3", "Multi-recipient bounce: a notice has one recipient"), "");
  return {
    says: `null-sender-recipients ${most}`,
    ask: ({ facts }) => Promise.resolve(facts.sender === "" && (facts.accepted ?? 0) >= most ? tooMany : PASS),
  };
}

/** What more than the session, tables and the DNS are asked for. */
function askingOthers(written: RestrictionSettings, world: RestrictionWorld): Kind | undefined {
  const { policy, greylist, rate, callout } = written;
  if (policy !== undefined)
    return {
      says: `policy ${policy.at.join(",")}`.slice(0, MOST_NAME),
      ask: once((ask) => policyFinding(world, policy, ask)),
    };
  if (greylist !== undefined) return { says: "greylist", ask: once((ask) => greylistFinding(world, greylist, ask)) };
  if (callout !== undefined)
    return { says: `callout ${callout.of}`, ask: (ask) => calloutFinding(world, callout, ask) };
  if (rate === undefined) return undefined;
  const { count, limit } = rate;
  const most = count === "bytes" ? `${formatSize(limit.count)}/${formatDuration(limit.perMs)}` : formatRate(limit);
  const says = `rate ${rate.by.join("+")} ${count} ${most}`;
  // Under its own name, if it has one: so it goes on counting when the limit is changed.
  return { says, ask: once((ask) => rateFinding(world, written.name ?? says, rate, ask)) };
}

/** Who counts or remembers mail has heard of a recipient as it was given, and not again of what a filter put in its place. */
function once(ask: Kind["ask"]): Kind["ask"] {
  return (asked) => (asked.facts.instead !== undefined ? Promise.resolve(PASS) : ask(asked));
}

/** Stages behind RCPT: the refusal is of the mail. */
const LATE: readonly RestrictionStage[] = ["data", "end-of-data"];

/** Of names made from many lists. */
const MOST_NAME = 200;

/** Who the client is, in the words of the rules' `from`. */
function source(
  word: string,
  from: readonly Condition[],
  { tables }: RestrictionWorld,
  found: (ask: RestrictionAsk) => Finding,
): Kind {
  const says = `${word} ${from.map(sourceText).join(",")}`;
  return {
    says,
    async ask(ask) {
      const { facts, recipient } = ask;
      const candidate = { facts, recipient, domain: "", isLocal: false, sender: facts.sender, isOurOwn: false };
      const holds = await matches({ from }, candidate, tables);
      if (typeof holds !== "boolean") return undecided(holds.failed);
      return holds ? found(ask) : PASS;
    },
  };
}

function sourceText(condition: Condition): string {
  const not = condition.isNegated ? "!" : "";
  if (condition.kind === "table") return `${not}table:${condition.name}`;
  if (condition.kind !== "network") return `${not}${condition.kind}`;
  const { bytes, bits } = condition.network;
  const address =
    bytes.length === 4
      ? bytes.join(".")
      : Buffer.from(bytes)
          .toString("hex")
          .replace(/.{4}(?!$)/g, "$&:");
  return `${not}${address}${bits === bytes.length * 8 ? "" : `/${bits}`}`;
}

/** Several tests in one entry: the first that refuses; what one could not find out waits for the others. */
function inTurn<Word extends string>(
  word: string,
  checks: readonly Check<Word>[],
  find: (check: Check<Word>, ask: RestrictionAsk) => Promise<Finding>,
): Kind {
  const says = `${word} ${checks.map((one) => (one.kind === "word" ? one.word : one.kind === "table" ? `table:${one.name}` : one.text)).join(",")}`;
  return {
    says,
    async ask(ask) {
      let waits: Finding | undefined;
      for (const check of checks) {
        const found = await find(check, ask);
        if (found.kind === "refuse") return found;
        if (found.kind === "wait") waits ??= found;
      }
      return waits ?? PASS;
    },
  };
}

/** `verdict`, `code` and `text` of the settings, over what was found. */
function worded(written: RestrictionSettings, found: Finding): Finding {
  const { permit, verdict, policy, text } = written;
  if (found.kind === "wait" && (permit !== undefined || verdict === "permit")) return { ...found, mayPermit: true };
  const isForNow = found.kind === "wait" && found.isFound === true;
  if (found.kind !== "refuse" && !isForNow) return found;
  if (verdict === "permit") return { kind: "permit" };
  // A refusal for now stays one, whatever the code for those for good is; so does what a policy server says is for now.
  const isKept = isForNow || (policy !== undefined && found.reply.code < 500);
  const code = isKept && (written.code ?? 0) >= 500 ? undefined : written.code;
  return code === undefined && text === undefined ? found : { ...found, reply: reworded(found.reply, code, text) };
}

function reworded(found: Reply, code: number = found.code, text?: string): Reply {
  const isSameClass = String(code).charAt(0) === String(found.code).charAt(0);
  const status = isSameClass ? found.status : found.status?.replace(/^\d/, String(code).charAt(0));
  return reply(code, status, ...(text === undefined ? found.lines : [text]));
}
