import type { Clock } from "../../foundation/clock.ts";
import { contentFilterChoice } from "../../mail/envelope/content-filter.ts";
import { localNames } from "../../mail/envelope/local-names.ts";
import type { EnvelopePolicy } from "../../mail/envelope/policy.ts";
import { senderRights, type SenderRights } from "../../mail/envelope/sender-rights.ts";
import { submissionPolicy } from "../../mail/envelope/submission.ts";
import type { UserDirectory } from "../../service/account/users.ts";
import type { SendingQuota } from "../../service/account/sending-quota.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { RulesPolicySettings } from "../../mail/envelope/rules.ts";
import { locate } from "../../service/config/config.ts";
import type { LoadedSettings } from "./load-settings.ts";
import { TRUSTED_ACCOUNT } from "./local-users.ts";
import { LOCAL_LISTENER } from "./local-users.ts";

/** What rules go by, for all who ask them: reception, notices and forwards, `posthorn explain`. */
export function policySettingsOf({ settings, origins, secrets }: LoadedSettings, clock: Clock): RulesPolicySettings {
  return {
    hostname: settings.hostname,
    local: settings.local,
    actions: settings.actions,
    rules: settings.rules,
    contentFilters: contentFilterChoice(settings),
    srs: settings.srs,
    srsSecrets: secrets.srs,
    verp: settings.verp,
    now: () => clock.now(),
    listenerTags: new Set(settings.listeners.flatMap(({ tag }) => tag?.toLowerCase() ?? [])),
    whereIs: (rule) => locate(origins, ["rules", rule]),
  };
}

/** What logged-in clients may send, in front of the rules. `users`: whom `local.users: system` means. */
export function submitting(
  { settings }: LoadedSettings,
  { tables, quota, rules, users }: SubmittingParts,
): EnvelopePolicy {
  const local = localNames(settings.local, settings.hostname, tables, users);
  const rights = new Map(
    settings.listeners.flatMap(({ name, senderRights: written }) =>
      written === undefined
        ? []
        : [[name, senderRights(written, tables, local, settings.local.extensionDelimiter)] as const],
    ),
  );
  const { senderRights: ofUsers } = settings.localSubmission;
  if (ofUsers !== undefined) {
    // Programs without settings of their own call their user user@host.
    const isPrimaryDomain: typeof local.isPrimaryDomain = (domain) =>
      domain === settings.hostname ? Promise.resolve(true) : local.isPrimaryDomain(domain);
    const known = senderRights(ofUsers, tables, { ...local, isPrimaryDomain }, settings.local.extensionDelimiter);
    const mayUse: SenderRights["mayUse"] = (account, address) =>
      account === TRUSTED_ACCOUNT ? Promise.resolve(true) : known.mayUse(account, address);
    rights.set(LOCAL_LISTENER, { ...known, mayUse, allowsNullSender: true });
  }
  const isLimited = settings.accounts?.limits !== undefined;
  if (rights.size === 0 && !isLimited) return rules;
  return submissionPolicy(rules, {
    rightsAt: (listener) => rights.get(listener),
    quota: isLimited ? quota : { spend: () => Promise.resolve({ ok: true }) },
  });
}

interface SubmittingParts {
  readonly tables: Tables;
  readonly quota: SendingQuota;
  readonly rules: EnvelopePolicy;
  readonly users: UserDirectory | undefined;
}
