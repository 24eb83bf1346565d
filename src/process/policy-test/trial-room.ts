import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../foundation/clock.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import type { AnyEvent, Emit } from "../../foundation/events.ts";
import { messageIdMaker } from "../../foundation/ids.ts";
import { noTrace } from "../../foundation/line-trace.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import type { Judgement, SessionFactsForRules } from "../../mail/envelope/policy.ts";
import { rulesPolicy } from "../../mail/envelope/rules.ts";
import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import { makeFilter } from "../../mail/filter/make-filter.io.ts";
import { kindOf } from "../../mail/filter/filter-kind.ts";
import type { SessionServices } from "../../mail/session/services.ts";
import { certificateIdentifier } from "../../service/account/client-certificate.ts";
import type { Logins } from "../../service/account/logins.ts";
import { systemUsers } from "../../service/account/system-users.io.ts";
import { readIncludeFile } from "../../service/table/include-file.io.ts";
import { filtersOf, rulesAskTags } from "../role/filtering.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { openTables } from "../role/open-tables.ts";
import { policySettingsOf, submitting } from "../settings/policy-settings.ts";
import { restricting } from "../role/restricting.ts";
import { ownTrust } from "../role/trust.ts";
import { certificateTablesOf } from "../settings/tls-files.ts";
import { madeUpResolver, noAnswers, NOT_LOOKED_UP, tellUnexpected, type Answers } from "./answers.ts";
import { memoryIntake, type MemoryIntake } from "./memory-intake.ts";
import { answeredFilter } from "./trial-filters.ts";
import { isElsewhere, trialTables } from "./trial-tables.ts";

/**
 * Reception of some settings, with nothing of the world behind it: what the real parts of a server decide, over a queue in
 * memory, a DNS that is made up, and filters that are answered for. Trials are held in it one after the other.
 */
export interface TrialRoom extends AsyncDisposable {
  readonly loaded: LoadedSettings;
  readonly services: SessionServices;
  readonly answers: Answers;
  readonly queue: MemoryIntake;
  readonly clock: Clock & { set(at: number | undefined): void };
  /** What the parts said in the present trial. */
  readonly record: TrialRecord;
}

export interface TrialRecord {
  readonly judged: {
    readonly recipient: string;
    readonly facts: SessionFactsForRules;
    readonly judgement: Judgement;
  }[];
  readonly events: {
    readonly name: string;
    readonly fields: Readonly<Record<string, unknown>>;
    readonly line: string | undefined;
  }[];
  readonly tags: Set<string>;
}

/** Kinds of filter that speak over the network, or with a program: a trial answers for them. */
const ELSEWHERE: ReadonlySet<string> = new Set(["milter", "process", "rspamd", "spamc", "clamd", "http", "smtpProxy"]);

/** Throws a `PosthornError` where the settings' own filters cannot be used. */
export async function openTrialRoom(
  given: LoadedSettings,
  options: { readonly isLenient: boolean },
): Promise<TrialRoom> {
  const loaded = withSomeSecret(given);
  const { settings } = loaded;
  const answers = noAnswers(options.isLenient);
  const clock = trialClock();
  const queue = memoryIntake();
  const record: TrialRecord = { judged: [], events: [], tags: new Set() };
  const emit: Emit = (event, fields) => {
    const { name, line } = event as AnyEvent;
    // The declaration of these very fields.
    record.events.push({ name, fields, line: (line as (of: typeof fields) => string | undefined)(fields) });
  };
  // What would ask a server is not opened here.
  const trust = ownTrust();
  const keepers = certificateTablesOf(settings);
  const opened = await openTables(
    loaded,
    (name) => {
      const source = settings.tables[name];
      return !keepers.has(name) && source !== undefined && !isElsewhere(source);
    },
    { clock, random: systemRandom, trust, onFinding: () => {} },
  );
  const tables = trialTables(settings.tables, opened.tables, answers);
  const resolver = madeUpResolver(answers);
  const users = isSystemUsers(settings.local.users) ? systemUsers(clock) : undefined;
  const rules = rulesPolicy(policySettingsOf(loaded, clock), tables, {
    users,
    readInclude: (path) => readIncludeFile(path, settings.local.includeFolders ?? []),
  });
  const inner = restricting(
    loaded,
    {
      clock,
      tables,
      resolver,
      rules,
      asking: {
        rates: { countRate: () => Promise.resolve({ kind: "counted" }) },
        greylist: {
          askGreylist: ({ terms }) =>
            Promise.resolve(
              answers.trial.greylisted
                ? { kind: "wait", leftMs: terms.delay, isNew: true }
                : { kind: "pass", because: "known" },
            ),
        },
        askPolicy() {
          if (answers.trial.policy === undefined && !answers.isLenient) tellUnexpected(answers, "a policy service");
          return Promise.resolve({ kind: "action", action: answers.trial.policy ?? "DUNNO" });
        },
        callOut({ address }) {
          if (answers.trial.callout === undefined && !answers.isLenient)
            tellUnexpected(answers, `the next host of ${address}, whether it takes mail for it`);
          return Promise.resolve(
            answers.trial.callout === "refused" ? { kind: "refused", text: "the trial says no" } : { kind: "taken" },
          );
        },
      },
      ...(options.isLenient
        ? {
            change: (restriction) => ({
              ...restriction,
              async judge(ask) {
                const found = await restriction.judge(ask);
                const isUnknown = found.kind === "wait" && found.detail.includes(NOT_LOOKED_UP);
                return isUnknown ? { kind: "pass", note: NOT_LOOKED_UP } : found;
              },
            }),
          }
        : {}),
    },
    submitting(loaded, { tables, quota: { spend: () => Promise.resolve({ ok: true }) }, rules, users }),
  );
  const policy: typeof inner = {
    ...inner,
    async judgeRecipient(facts, recipient) {
      const judgement = await inner.judgeRecipient(facts, recipient);
      record.judged.push({ recipient, facts, judgement });
      return judgement;
    },
  };
  const filters = await filtersOf(
    loaded,
    { clock, emit, resolver, tables, trust, trace: noTrace },
    trialFilter(answers, (tag) => record.tags.add(tag)),
  );
  const ids = messageIdMaker(clock, 1);
  const services: SessionServices = {
    clock,
    emit,
    newMessageId: ids,
    intake: queue,
    queue,
    policy,
    judgeAgain: (facts, recipient) => rules.judgeRecipient(facts, recipient),
    rulesAskTags: rulesAskTags(settings),
    chooseTargets: (recipient) => rules.chooseTargets(recipient),
    logins: everybodyKnows,
    certificates: certificateIdentifier(tables),
    tls: { accept: () => Promise.reject(new Error("a trial has no handshake")) },
    filters,
  };
  return {
    loaded,
    services,
    answers,
    queue,
    clock,
    record,
    async [Symbol.asyncDispose]() {
      await filters?.close();
      await opened.close();
      await turn();
    },
  };
}

/** In the place of each filter: what needs no network is the filter itself. */
function trialFilter(answers: Answers, onTag: (tag: string) => void): typeof makeFilter {
  return async (name, settings, world) => {
    const kind = kindOf(settings) ?? "none";
    const own = ELSEWHERE.has(kind) ? undefined : await makeFilter(name, settings, world);
    return answeredFilter(name, kind, answers, own, onTag);
  };
}

/** Whoever logs in, does: whether passwords are right is no matter of policy. */
const everybodyKnows: Logins = {
  answer: (question) =>
    Promise.resolve(
      question.kind === "password" ? { kind: "right", account: question.user } : { kind: "wrong", because: "a trial" },
    ),
};

/** A server that has no secret for SRS makes one when it starts; addresses look the same with any. */
function withSomeSecret(loaded: LoadedSettings): LoadedSettings {
  const { secrets } = loaded;
  return secrets.srs?.length === 0 ? { ...loaded, secrets: { ...secrets, srs: ["none yet"] } } : loaded;
}

/** The machine's clock, shifted to where the trial wants it. */
function trialClock(): TrialRoom["clock"] {
  let shiftMs = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + shiftMs,
    set(at) {
      shiftMs = at === undefined ? 0 : at - systemClock.now();
    },
  };
}
