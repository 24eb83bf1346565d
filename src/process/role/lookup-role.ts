import type { Clock } from "../../foundation/clock.ts";
import { renewedStore } from "../../foundation/damaged-database.io.ts";
import type { DatabaseKind } from "../../foundation/database-format.ts";
import type { Emit } from "../../foundation/events.ts";
import type { Random } from "../../foundation/random.ts";
import { aliasKeysAhead } from "../../mail/envelope/address-book.ts";
import { dmarcDatabase } from "../../mail/filter/authentication/dmarc-database.ts";
import { openDmarcStore } from "../../mail/filter/authentication/dmarc-store.io.ts";
import { greylistDatabase } from "../../mail/envelope/restrictions/greylist-database.ts";
import { openGreylistStore } from "../../mail/envelope/restrictions/greylist-store.io.ts";
import { networkKey } from "../../mail/envelope/restrictions/network-key.ts";
import type { Rates } from "../../mail/envelope/restrictions/rates.ts";
import { accountKey } from "../../service/account/account-key.ts";
import { makeAuthenticator } from "../../service/account/make-authenticator.io.ts";
import { nobodyMayLogIn } from "../../service/account/table-authenticator.ts";
import type { ThrottleSettings } from "../../service/account/throttle-settings.ts";
import type { AccountsSettings } from "../../service/account/settings.ts";
import { passwordTablesOf } from "../../service/account/password-tables.ts";
import type { SendingLimits } from "../../service/account/sending-limits.ts";
import { sendingQuota } from "../../service/account/sending-quota.ts";
import type { SystemPasswords } from "../../service/account/system-passwords.ts";
import { throttledLogins, type ThrottledLogins } from "../../service/account/throttled-logins.ts";
import { systemUsers } from "../../service/account/system-users.io.ts";
import { readIncludeFile } from "../../service/table/include-file.io.ts";
import { tablePort } from "../../service/table/remote-table.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import type { Keeper } from "../../service/tls/keeper/keeper.ts";
import * as events from "../events.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { LookupPort } from "./lookup.ts";
import { lookupTablesOf } from "../settings/lookup-needs.ts";
import { openTables } from "./open-tables.ts";
import { keptTrust } from "./trust.ts";
import { restrictionsAt } from "../settings/restrictions-at.ts";

/**
 * The role that asks others: databases, directories, programs, and whoever knows passwords. It reads what people elsewhere
 * wrote, so it is nobody in particular and holds no key; passwords to compare with, and those of databases, are only here.
 */
export interface LookupRole {
  readonly port: LookupPort;
  /** From now on logins are decided by these settings. */
  takeLogins(): void;
  /** Lets nothing new begin; what runs fails. */
  close(): Promise<void>;
}

export async function startLookup(parts: {
  loaded: LoadedSettings;
  clock: Clock;
  emit: Emit;
  random: Random;
  /** The keeper's: only root can read them. */
  system: SystemPasswords;
  /** For the authorities of the system. */
  keeper: Pick<Keeper, "anchors" | "onChange">;
  /** What it has counted outlives a reload, where the process does. */
  logins: ThrottledLogins;
  /** As `logins`. */
  sending: SendingLimits;
  /** As `logins`. */
  rates: Rates;
  /** What greylisting keeps; opened when it is asked for. */
  greylistFile: string;
  /** What DMARC's reports are made of; opened when there is something. */
  dmarcFile: string;
  loginSecret: Uint8Array;
}): Promise<LookupRole> {
  const { loaded, clock, emit, random, logins, sending } = parts;
  const { settings } = loaded;
  const onFinding = (finding: { table: string; text: string }): void =>
    emit(events.tableTrouble, { table: finding.table, problem: finding.text });
  const names = lookupTablesOf(settings);
  const trust = keptTrust(parts.keeper);
  const opened = await openTables(loaded, (name) => names.has(name), { clock, random, trust, onFinding });
  const { tables } = opened;
  const { authenticator, close: closeAccounts } = await makeAuthenticator(settings.accounts, {
    clock,
    random,
    table: (name) => tables.get(name),
    source: (name) => settings.tables[name],
    system: parts.system,
    trust,
    secrets: { accounts: loaded.secrets.accounts ?? {}, tables: loaded.secrets.tables ?? {} },
    loginSecret: parts.loginSecret,
  });
  const { limits } = settings.accounts ?? {};
  const quota = sendingQuota(limits, sending, limits?.table === undefined ? undefined : tables.get(limits.table));
  const users = systemUsers(clock);
  const { rates } = parts;
  const memoryOf = <Store extends { close(): void }>(file: string, { holds }: DatabaseKind, open: () => Store) =>
    renewedStore(file, open, (what) => emit(events.databaseSetAside, { holds, ...what }));
  const greylist = memoryOf(parts.greylistFile, greylistDatabase, () => openGreylistStore(parts.greylistFile, clock));
  const dmarc = memoryOf(parts.dmarcFile, dmarcDatabase, () => openDmarcStore(parts.dmarcFile, clock));
  const passwordTables = passwordTablesOf(settings.accounts);
  const port: LookupPort = {
    ...tablePort(
      tables,
      (name, service) => {
        const source = settings.tables[name];
        if (!passwordTables.has(name)) return false;
        // A database answers other services by other queries; a text has one value for all.
        return source === undefined || !isBackendSource(source) || service === "credentials" || service === undefined;
      },
      aliasKeysAhead,
    ),
    answer: (question, from) => logins.answer(question, from),
    shownLogins: () => logins.shown(),
    clearLogins: (which) => logins.clear(which),
    spend: (account, what) => quota.spend(account, what),
    shownSenders: () => Promise.resolve(sending.shown()),
    clearSender: (account) => Promise.resolve({ cleared: sending.clear(account) }),
    countRate: (ask) => Promise.resolve(rates.count(ask)),
    shownRates: () => Promise.resolve(rates.shown()),
    // An account's key is not always its name.
    clearRate: (key) => Promise.resolve({ cleared: rates.clear(key) || rates.clear(accountKey(key)) }),
    askGreylist: (ask) => Promise.try(() => greylist.use((store) => store.ask(ask))),
    greylistRows: (wanted) => Promise.try(() => greylist.use((store) => store.list(wanted))),
    removeFromGreylist: (which) => Promise.try(() => ({ removed: greylist.use((store) => store.remove(which)) })),
    allowInGreylist: (address) =>
      Promise.try(() => {
        const networks = new Set(
          settings.listeners
            .flatMap((listener) => restrictionsAt(settings, listener))
            .flatMap(({ greylist: terms }) => terms ?? [])
            .map(({ ipv4Prefix, ipv6Prefix }) => networkKey(address, ipv4Prefix, ipv6Prefix)),
        );
        for (const network of networks) greylist.use((store) => store.allow(network));
        return { networks: [...networks] };
      }),
    noteDmarc: (observations) => Promise.try(() => dmarc.use((store) => store.note(observations))),
    claimDmarcReport: () => Promise.try(() => dmarc.use((store) => store.claim())),
    dmarcReportEnded: (...ended) => Promise.try(() => dmarc.use((store) => store.ended(...ended))),
    dmarcReports: () => Promise.try(() => dmarc.use((store) => store.list())),
    dmarcReport: (domain, day) => Promise.try(() => dmarc.use((store) => store.read(domain, day))),
    hastenDmarcReports: (domain) => Promise.try(() => ({ due: dmarc.use((store) => store.hasten(domain)) })),
    findUser: (name) => users.find(name),
    readInclude: (path) => readIncludeFile(path, settings.local.includeFolders ?? []),
    async tableHealth() {
      await Promise.all([...tables.values()].flatMap((table) => (table.look === undefined ? [] : [table.look()])));
      return [...tables].flatMap(([name, table]) => {
        const health = table.health?.();
        return health === undefined ? [] : [{ table: name, kind: settings.tables[name]?.kind ?? "", health }];
      });
    },
  };
  return {
    port,
    takeLogins: () => logins.reconfigure(authenticator, throttleOf(settings.accounts)),
    async close() {
      closeAccounts();
      greylist.close();
      dmarc.close();
      await opened.close();
      trust.close();
    },
  };
}

/** Before the backends are there nobody may log in. */
export function loginsFor(accounts: AccountsSettings | undefined, clock: Clock, secret: Uint8Array): ThrottledLogins {
  return throttledLogins({ clock, authenticator: nobodyMayLogIn, throttle: throttleOf(accounts), secret });
}

/** Without accounts nobody gets in, however often: there is nothing to slow down. */
const NO_THROTTLE: ThrottleSettings = {
  freeFailures: 0,
  delay: 0,
  longestDelay: 0,
  waiting: 1,
  addressFailures: 0,
  accountFailures: 0,
  block: 1000,
  forget: 1000,
  exempt: [],
};

function throttleOf(accounts: AccountsSettings | undefined): ThrottleSettings {
  return accounts?.throttle ?? NO_THROTTLE;
}
