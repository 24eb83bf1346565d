import type { SaslAnswer } from "../../protocol/sasl/question.ts";
import type { Logins, ShownLogin } from "../../service/account/logins.ts";
import type { ShownSender } from "../../service/account/sending-limits.ts";
import type { SendingQuota } from "../../service/account/sending-quota.ts";
import type { UserAnswer, UserDirectory } from "../../service/account/users.ts";
import { messageOf } from "../../foundation/error.ts";
import type { DmarcReportAdmin, DmarcReportPort } from "../../mail/filter/authentication/dmarc-collector.ts";
import type { GreylistAnswer, GreylistPort } from "../../mail/envelope/restrictions/greylist.ts";
import type { GreylistRow, GreylistWanted } from "../../mail/envelope/restrictions/greylist-store.ts";
import type { RateAnswer, RatePort, ShownRate } from "../../mail/envelope/restrictions/rates.ts";
import type { IncludeAnswer } from "../../mail/envelope/expansion.ts";
import type { RulesPolicyParts } from "../../mail/envelope/rules.ts";
import type { BackendHealth } from "../../service/table/keyed-backend.ts";
import type { TablePort } from "../../service/table/remote-table.ts";

/**
 * What the lookup role does for the others: tables that a database, a directory or a program answers, users, passwords.
 * Plain data, so that it may be in another process. Methods reject only when that process is gone.
 */
export interface LookupPort
  extends TablePort, Logins, SendingQuota, RatePort, GreylistPort, DmarcReportPort, DmarcReportAdmin {
  shownLogins(): Promise<readonly ShownLogin[]>;
  clearLogins(which: string | undefined): Promise<{ readonly cleared: number }>;
  /** What accounts have sent, where that is limited. */
  shownSenders(): Promise<readonly ShownSender[]>;
  clearSender(account: string): Promise<{ readonly cleared: number }>;
  /** What is counted by restrictions. */
  shownRates(): Promise<readonly ShownRate[]>;
  clearRate(key: string): Promise<{ readonly cleared: number }>;
  greylistRows(wanted: GreylistWanted): Promise<readonly GreylistRow[]>;
  removeFromGreylist(which: string): Promise<{ readonly removed: number }>;
  /** The networks that this address counts towards, by the settings of greylists. */
  allowInGreylist(address: string): Promise<{ readonly networks: readonly string[] }>;
  findUser(name: string): Promise<UserAnswer>;
  /** The targets in a file that an alias includes. */
  readInclude(path: string): Promise<IncludeAnswer>;
  /** Of the tables that are open here. */
  tableHealth(): Promise<readonly TableHealth[]>;
}

export interface TableHealth {
  readonly table: string;
  readonly kind: string;
  readonly health: BackendHealth;
}

/** Asks whatever role is there at the moment. */
export function followingPort(current: () => LookupPort): LookupPort {
  return {
    lookupTable: (...args) => current().lookupTable(...args),
    tableEntries: (...args) => current().tableEntries(...args),
    answer: (...args) => current().answer(...args),
    shownLogins: () => current().shownLogins(),
    clearLogins: (...args) => current().clearLogins(...args),
    spend: (...args) => current().spend(...args),
    shownSenders: () => current().shownSenders(),
    clearSender: (...args) => current().clearSender(...args),
    countRate: (...args) => current().countRate(...args),
    askGreylist: (...args) => current().askGreylist(...args),
    shownRates: () => current().shownRates(),
    clearRate: (...args) => current().clearRate(...args),
    greylistRows: (...args) => current().greylistRows(...args),
    removeFromGreylist: (...args) => current().removeFromGreylist(...args),
    allowInGreylist: (...args) => current().allowInGreylist(...args),
    noteDmarc: (...args) => current().noteDmarc(...args),
    claimDmarcReport: () => current().claimDmarcReport(),
    dmarcReportEnded: (...args) => current().dmarcReportEnded(...args),
    dmarcReports: () => current().dmarcReports(),
    dmarcReport: (...args) => current().dmarcReport(...args),
    hastenDmarcReports: (...args) => current().hastenDmarcReports(...args),
    findUser: (...args) => current().findUser(...args),
    readInclude: (...args) => current().readInclude(...args),
    tableHealth: () => current().tableHealth(),
  };
}

/** Logins there; while the role is away nobody knows. */
export function remoteLogins(port: LookupPort): Logins {
  return {
    async answer(question, from): Promise<SaslAnswer> {
      try {
        return await port.answer(question, from);
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}

/** What accounts may send is counted there; while the role is away nobody knows. */
export function remoteQuota(port: LookupPort): SendingQuota {
  return {
    async spend(account, what) {
      try {
        return await port.spend(account, what);
      } catch (thrown) {
        return { ok: "failed", text: messageOf(thrown) };
      }
    },
  };
}

/** What restrictions count and remember there; while the role is away nobody knows. */
export function remoteMemory(port: LookupPort): { readonly rates: RatePort; readonly greylist: GreylistPort } {
  return {
    rates: {
      async countRate(ask): Promise<RateAnswer> {
        try {
          return await port.countRate(ask);
        } catch (thrown) {
          return { kind: "failed", text: messageOf(thrown) };
        }
      },
    },
    greylist: {
      async askGreylist(ask): Promise<GreylistAnswer> {
        try {
          return await port.askGreylist(ask);
        } catch (thrown) {
          return { kind: "failed", text: messageOf(thrown) };
        }
      },
    },
  };
}

/** What rules ask beside tables, there. */
export function remotePolicyParts(port: LookupPort): RulesPolicyParts {
  return {
    users: remoteUsers(port),
    async readInclude(path): Promise<IncludeAnswer> {
      try {
        return await port.readInclude(path);
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}

function remoteUsers(port: LookupPort): UserDirectory {
  return {
    async find(name): Promise<UserAnswer> {
      try {
        return await port.findUser(name);
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}
