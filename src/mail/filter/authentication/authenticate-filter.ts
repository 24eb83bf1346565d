import { domainToASCII } from "node:url";
import type { Clock } from "../../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../../foundation/deadline.ts";
import { checkDmarc, dispositionOf, isVouchedFor, type DmarcResult } from "../../../protocol/authentication/dmarc.ts";
import type { DmarcPolicy } from "../../../protocol/authentication/dmarc-record.ts";
import { createKeyFinder } from "../../../protocol/authentication/key-finder.ts";
import { organizationalDomain } from "../../../protocol/authentication/organizational-domain.ts";
import { rawFields } from "../../../protocol/authentication/raw-fields.ts";
import { checkSpf, type SpfResult } from "../../../protocol/authentication/spf.ts";
import { verifyMessage } from "../../../protocol/authentication/verify-message.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import type {
  Filter,
  FilterDialogue,
  FilterFacts,
  FilterMail,
  FilterStage,
  MailEdit,
  MailFate,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { createTally } from "../scanner/judging-filter.ts";
import {
  receivedSpfValue,
  removeClaims,
  resultsValue,
  type Findings,
  type SpfFinding,
} from "./authentication-results.ts";
import { dmarcObserved } from "./dmarc-observation.ts";
import { fromDomains } from "./from-domains.ts";
import { isOwnClient } from "./is-own-client.ts";
import type { AuthenticateSettings } from "./settings.ts";

/**
 * Whether mail is from whom it says: SPF, DKIM, DMARC and ARC, said in an Authentication-Results field on top and in tags
 * (`dmarc=fail`), and acted upon as the settings want. Nothing of a mail is refused for a signature: a broken one is as good as none.
 */
export function authenticateFilter(name: string, settings: AuthenticateSettings, world: FilterWorld): Filter {
  const { clock } = world;
  const authority = settings.authority ?? world.hostname.toLowerCase();
  const keyFinder = createKeyFinder(world.resolver);
  const trusted = new Set(settings.trustedSealers);
  const tally = createTally("SPF, DKIM, DMARC and ARC, by the DNS", clock);
  const isJudged = (facts: FilterFacts): boolean => settings.submissions || !isOwnClient(facts);
  const spfOf = (facts: FilterFacts, sender: string, signal: AbortSignal): Promise<readonly SpfFinding[]> =>
    settings.spf.check ? askSpf(facts, sender, settings, world, signal) : Promise.resolve([]);

  const judge = async (
    mail: FilterMail,
    known: readonly SpfFinding[] | undefined,
    signal: AbortSignal,
  ): Promise<MailVerdict> => {
    const { facts } = mail;
    const fields = rawFields(mail.header);
    const removals = removeClaims(fields, authority);
    if (!isJudged(facts)) return { fate: { kind: "keep" }, edits: removals };
    const terms = {
      mostSignatures: settings.dkim.mostSignatures,
      acceptPartial: settings.dkim.acceptPartial,
      nowSeconds: Math.floor(clock.now() / 1000),
    };
    const [spf, { dkim, arc }] = await Promise.all([
      known ?? spfOf(facts, facts.mail.sender, signal),
      verifyMessage({ fields, body: () => mail.body.read() }, keyFinder(signal), terms, signal),
    ]);
    const asked = spf.find(({ identity }) => identity === "mailfrom") ?? spf[0];
    const dmarc = await checkDmarc(
      {
        fromDomains: fromDomains(fields),
        dkim,
        spf: { result: asked?.result.result ?? "none", domain: asked?.domain ?? "" },
      },
      world.resolver,
      organizationalDomain,
      signal,
    );
    const vouchedBy = dmarc.result === "fail" ? isVouchedFor(arc, trusted, dmarc.domain ?? "") : undefined;
    const published = vouchedBy === undefined ? dispositionOf(dmarc, world.random.next()) : "none";
    const disposition = appliedPolicy(settings.dmarc, published);
    const findings: Findings = { spf, dkim, arc, dmarc, disposition, vouchedBy };
    if (settings.reports) dmarcObserved(world, facts, findings);
    const edits: MailEdit[] = [...removals];
    if (settings.spf.receivedSpf)
      for (const finding of spf)
        edits.push({
          edit: "add-field",
          name: "Received-SPF",
          value: ` ${receivedSpfValue(finding, { receiver: authority, helo: facts.helo ?? "", address: facts.client.address ?? "" })}`,
          at: 0,
        });
    edits.push({
      edit: "add-field",
      name: "Authentication-Results",
      value: resultsValue(authority, findings, facts.client.address),
      at: 0,
    });
    return {
      fate: fateOf(findings, settings),
      edits,
      tags: tagsOf(findings),
      resultsOf: authority,
      because: summaryOf(findings),
    };
  };

  return {
    name,
    stages: settings.spf.check && settings.spf.at === "rcpt" ? AT_RCPT : MESSAGE_ONLY,
    open(): FilterDialogue {
      /** Of the mail under way, when it was judged at its first recipient. */
      let known: { readonly sender: string; readonly spf: readonly SpfFinding[] } | undefined;
      return {
        async ask({ stage, facts }, signal): Promise<StageVerdict> {
          const sender = facts.mail?.sender;
          if (stage !== "rcpt" || sender === undefined || !isJudged(facts)) return { kind: "proceed" };
          if (facts.mail?.recipients.length === 0 || known?.sender !== sender)
            known = { sender, spf: await tally.count(() => spfOf(facts, sender, signal)) };
          const refusal = spfRefusal(known.spf, settings);
          return refusal === undefined
            ? { kind: "proceed" }
            : { kind: "refuse", reply: refusal, because: `spf=${known.spf[0]?.result.result ?? "none"}` };
        },
        judge(mail, signal) {
          const spf = known?.sender === mail.facts.mail.sender ? known.spf : undefined;
          known = undefined;
          return tally.count(() => judge(mail, spf, signal));
        },
        end() {},
      };
    },
    health: () => tally.health(),
    close: async () => {},
  };
}

const MESSAGE_ONLY: ReadonlySet<FilterStage> = new Set(["message"]);
const AT_RCPT: ReadonlySet<FilterStage> = new Set(["rcpt", "message"]);

/** The sender's domain, and the name in HELO: of a bounce that one alone, in the role of the sender (RFC 7208 section 2.4). */
async function askSpf(
  facts: FilterFacts,
  sender: string,
  settings: AuthenticateSettings,
  world: FilterWorld,
  signal: AbortSignal,
): Promise<readonly SpfFinding[]> {
  const { address } = facts.client;
  const helo = facts.helo ?? "";
  if (address === undefined) return [];
  const ask = async (identity: SpfFinding["identity"], subject: string): Promise<SpfFinding> => {
    const at = subject.lastIndexOf("@");
    const written = subject.slice(at + 1);
    // The DNS, and what DMARC compares, have A-labels.
    const domain = (isAscii(written) ? written : domainToASCII(written) || written).toLowerCase();
    const local = identity === "helo" ? "postmaster" : subject.slice(0, at);
    const question = {
      address,
      domain,
      sender: { local, domain },
      helo,
      receiver: world.hostname,
      nowSeconds: Math.floor(world.clock.now() / 1000),
    };
    const result = await withinSpfTime(world.clock, signal, (within) =>
      checkSpf(question, world.resolver, within, (work) => withinNamesTime(world.clock, within, work)),
    );
    return { result, identity, subject, domain };
  };
  const questions: Promise<SpfFinding>[] = [];
  if (sender !== "") questions.push(ask("mailfrom", sender));
  // A HELO that is no domain says nothing, and a bounce has nothing else.
  if (sender === "" || (settings.spf.helo && /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i.test(helo)))
    questions.push(ask("helo", helo));
  return Promise.all(questions);
}

function isAscii(text: string): boolean {
  return !/[^\x00-\x7f]/.test(text);
}

/** RFC 7208 section 4.6.4: long enough, and no longer than a domain that answers slowly on purpose would like. */
const SPF_MS = 20_000;

/** Of that, what the client's own DNS may take. */
const NAMES_MS = 5_000;

async function withinNamesTime(
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  try {
    await withDeadline(clock, NAMES_MS, "the client's names", work, signal);
  } catch (thrown) {
    if (!(thrown instanceof DeadlinePassed) || signal.aborted) throw thrown;
  }
}

async function withinSpfTime(
  clock: Clock,
  signal: AbortSignal,
  check: (within: AbortSignal) => Promise<SpfResult>,
): Promise<SpfResult> {
  try {
    return await withDeadline(clock, SPF_MS, "SPF", check, signal);
  } catch (thrown) {
    if (thrown instanceof DeadlinePassed) return { result: "temperror", because: "the DNS answers too slowly" };
    throw thrown;
  }
}

/** What the settings make of what the domain publishes. */
function appliedPolicy(wanted: AuthenticateSettings["dmarc"], published: DmarcPolicy): DmarcPolicy {
  if (published === "none" || wanted === "as-published") return published;
  return wanted;
}

function fateOf(findings: Findings, settings: AuthenticateSettings): MailFate {
  const { spf, dmarc, disposition } = findings;
  const refusal = spfRefusal(spf, settings) ?? dmarcRefusal(dmarc, disposition, settings);
  if (refusal !== undefined) return { kind: "refuse", reply: refusal };
  const isSuspect =
    settings.spf.onFail === "quarantine" &&
    spf.some(({ identity, result }) => identity === "mailfrom" && result.result === "fail");
  return disposition === "quarantine" || isSuspect ? { kind: "quarantine" } : { kind: "keep" };
}

function spfRefusal(spf: readonly SpfFinding[], { spf: terms, onTemporary }: AuthenticateSettings): Reply | undefined {
  for (const { identity, result, domain } of spf) {
    if (result.result === "fail" && (identity === "helo" ? terms.onHeloFail : terms.onFail) === "reject") {
      const theirs = result.explanation === undefined ? "" : `; it says: ${result.explanation.slice(0, 200)}`;
      // RFC 7372 section 3.2.
      return reply(550, "5.7.23", `${nameFit(domain)} says that this client may not send for it (SPF)${theirs}`);
    }
    // Of a name in HELO beside a sender nothing is made that it would have to be known for, unless settings refuse for it.
    const isIdle = identity === "helo" && spf.length > 1 && terms.onHeloFail === "accept";
    if (result.result === "temperror" && onTemporary === "defer" && !isIdle)
      return reply(451, "4.4.3", `The SPF record of ${nameFit(domain)} can't be looked up now, come again later`);
  }
  return undefined;
}

function dmarcRefusal(
  dmarc: DmarcResult,
  disposition: DmarcPolicy,
  { onTemporary }: AuthenticateSettings,
): Reply | undefined {
  // RFC 7489 section 6.6.1: it is of so many that no policy was asked for.
  if (disposition === "reject" && dmarc.record === undefined)
    return reply(550, "5.7.26", `${dmarc.because ?? "From is nobody"}, and so nobody's`);
  if (disposition === "reject")
    // RFC 7372 section 3.3: more than one check was asked, and none passed.
    return reply(
      550,
      "5.7.26",
      `Neither SPF nor DKIM passes for ${nameFit(dmarc.domain ?? "")}, whose DMARC policy is ${dmarc.policy ?? "none"}`,
    );
  if (dmarc.result === "temperror" && onTemporary === "defer")
    return reply(451, "4.4.3", "What DMARC needs can't be looked up now, come again later");
  return undefined;
}

function nameFit(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, "?").slice(0, 100);
}

function tagsOf({ spf, dkim, arc, dmarc, vouchedBy }: Findings): readonly string[] {
  const bestDkim = dkim.find(({ result }) => result === "pass") ?? dkim[0];
  return [
    ...spf.map(({ identity, result }) => (identity === "helo" ? `spf-helo=${result.result}` : `spf=${result.result}`)),
    `dkim=${bestDkim?.result ?? "none"}`,
    ...(arc.result === "none" ? [] : [`arc=${arc.result}`]),
    `dmarc=${dmarc.result}`,
    ...(vouchedBy === undefined ? [] : ["dmarc-arc=pass"]),
  ];
}

function summaryOf(findings: Findings): string {
  const { dkim, dmarc, disposition } = findings;
  const signers = dkim.filter(({ result }) => result === "pass").map(({ domain }) => domain ?? "");
  const words = tagsOf(findings).map((tag) =>
    tag === "dkim=pass" ? `dkim=pass (${signers.slice(0, 3).join(", ")})` : tag,
  );
  return `${words.join(" ")}${dmarc.domain === undefined ? "" : ` from=${dmarc.domain}`}${disposition === "none" ? "" : ` policy=${disposition}`}`;
}
