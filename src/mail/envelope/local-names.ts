import { formatLocal, splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import type { UserDirectory } from "../../service/account/users.ts";
import { foldDomain, foldKey } from "../../service/table/pattern.ts";
import { inlineTable, tableFor, type Tables } from "../../service/table/tables.ts";
import type { Table, TableService } from "../../service/table/table.ts";
import { namesOf } from "./extension.ts";
import { primaryDomainOf } from "./mail-name.ts";
import type { LocalSettings } from "./settings.ts";
import { isSystemUsers } from "./system-users.ts";

/** Yes, no, or a table could not be asked. */
export type Holds = boolean | { readonly failed: string };

/**
 * Whose mailbox an address has: nobody's, or that of a user. `name` is what of the local part is the user's name, in lower case;
 * undefined where nothing says what users there are: then it is what stands before the delimiter.
 */
export type MailboxUser = false | { readonly name: string | undefined } | { readonly failed: string };

/** What is ours: domains, users, and who is postmaster. */
export interface LocalNames {
  /** Primary or virtual. */
  isLocalDomain(domain: string): Promise<Holds>;
  /** One whose names are users of this host: local, and not virtual. */
  isPrimaryDomain(domain: string): Promise<Holds>;
  /** The entry of `local.virtual` that has the domain. */
  virtualOf(domain: string): Promise<VirtualDomain | "none" | { readonly failed: string }>;
  /** Who of this host gets its mail; anybody does where no users are set. `address` is in a primary domain. */
  userOf(address: string): Promise<MailboxUser>;
  isPostmaster(localPart: string): boolean;
  /** The mailbox of the postmaster of a domain of ours; without one, of the server. */
  postmasterOf(domain: string): string;
  /** Of names without one. */
  readonly primaryDomain: string;
  /** What `local.aliases` names. */
  readonly aliases: readonly Table[];
}

export interface VirtualDomain {
  readonly aliases: readonly Table[];
  readonly action?: string | undefined;
  /** Somebody has a mailbox of his own there. */
  readonly hasMailboxes: boolean;
  /** Who has a mailbox of his own there. */
  userOf(address: string): Promise<MailboxUser>;
}

export function localNames(
  settings: LocalSettings,
  hostname: string,
  tables: Tables,
  directory?: UserDirectory,
): LocalNames {
  const ownNames = ["localhost", hostname, "[127.0.0.1]", "[IPv6:::1]"];
  const domains =
    settings.domains === undefined
      ? inlineTable("local.domains", { kind: "list", items: ownNames })
      : tableFor(tables, settings.domains, "local.domains");
  const { users: written } = settings;
  const asksSystem = isSystemUsers(written);
  const users = written === undefined || asksSystem ? undefined : tableFor(tables, written, "local.users");
  const primaryDomain = primaryDomainOf(settings, hostname);
  const { extensionDelimiter: delimiters } = settings;
  const virtual = settings.virtual.map((entry, at) => {
    const name = `local.virtual[${at}]`;
    const mailboxes = entry.users === undefined ? undefined : tableFor(tables, entry.users, `${name}.users`);
    const domain: VirtualDomain = {
      aliases: tablesNamed(tables, entry.aliases),
      action: entry.action,
      hasMailboxes: entry.users !== undefined,
      userOf: async (address) =>
        entry.users === undefined ? false : listedUser(mailboxes, `${name}.users`, address, delimiters, "address"),
    };
    return { name, domains: tableFor(tables, entry.domains, `${name}.domains`), domain };
  });

  const virtualOf = async (domain: string): Promise<VirtualDomain | "none" | { readonly failed: string }> => {
    for (const entry of virtual) {
      const holds = await member(entry.domains, `${entry.name}.domains`, foldDomain(domain), "domain");
      if (typeof holds !== "boolean") return holds;
      if (holds) return entry.domain;
    }
    return "none";
  };

  const isLocalDomain = async (domain: string): Promise<Holds> => {
    const holds = await member(domains, "local.domains", foldDomain(domain), "domain");
    if (holds !== false || virtual.length === 0) return holds;
    const entry = await virtualOf(domain);
    return entry === "none" ? false : "failed" in entry ? entry : true;
  };

  return {
    primaryDomain,
    aliases: tablesNamed(tables, settings.aliases),
    virtualOf,
    isLocalDomain,
    async isPrimaryDomain(domain) {
      const holds = await member(domains, "local.domains", foldDomain(domain), "domain");
      if (holds !== true) return holds;
      // A domain in both is the virtual entry's.
      const entry = await virtualOf(domain);
      return entry === "none" ? true : "failed" in entry ? entry : false;
    },
    async userOf(address) {
      if (written === undefined) return { name: undefined };
      if (!asksSystem) return listedUser(users, "local.users", address, delimiters, "userinfo");
      if (directory === undefined) return { failed: "local.users: the system's users cannot be asked here" };
      for (const name of namesOf(unquote(splitAddress(address).local), delimiters)) {
        const answer = await directory.find(name);
        if (answer.kind === "failed") return { failed: answer.text };
        if (answer.kind === "found") return { name };
      }
      return false;
    },
    // RFC 5321 section 4.5.1: in any case, with or without a domain.
    isPostmaster: (localPart) => unquote(localPart).toLowerCase() === "postmaster",
    postmasterOf(domain) {
      if (settings.postmaster.includes("@")) return settings.postmaster;
      return `${settings.postmaster}@${domain === "" ? primaryDomain : domain}`;
    },
  };
}

/** An extension that nobody has. */
const STRANGE = "nosuchextension";

/**
 * Whom the list has of the address: its name with the extension, or without. What stands there for the
 * address counts for more than what stands there for the name; and what a list leaves out, it leaves out with every extension
 * that has no entry of its own, whatever a wildcard says. Where an extension that nobody has would be found as well (a query
 * that takes extensions off by itself, or that asks for whole domains), that the name is there with its own says nothing.
 */
async function listedUser(
  table: Table | undefined,
  name: string,
  address: string,
  delimiters: string,
  service: TableService,
): Promise<MailboxUser> {
  if (table === undefined) return missing(name);
  const { local, domain } = splitAddress(address);
  const [given = "", bare] = namesOf(unquote(local), delimiters);
  const keyOf = (user: string, as: Standing["as"]): string =>
    as === "name" ? user : foldKey(`${formatLocal(user)}@${domain}`);
  const standing = async (user: string): Promise<Standing | undefined> => {
    const ofAddress = await table.has(keyOf(user, "address"), { service });
    if (ofAddress.kind === "failed") return { as: "address", found: { failed: ofAddress.text } };
    if (ofAddress.kind === "found") return { as: "address", found: ofAddress.value && { name: user } };
    if (!isNameKey(user)) return undefined;
    // A name is no domain and no client: `*.example.org` and networks, which stand for those, are not asked.
    const ofName = await table.hasExact(user, { service });
    if (ofName.kind === "failed") return { as: "name", found: { failed: ofName.text } };
    return ofName.kind === "found" ? { as: "name", found: ofName.value && { name: user } } : undefined;
  };
  const isEntry = async (user: string, as: Standing["as"]): Promise<Holds> => {
    const answer = await table.hasExact(keyOf(user, as), { service });
    return answer.kind === "failed" ? { failed: answer.text } : answer.kind === "found";
  };
  const first = await standing(given);
  if (bare === undefined) return first?.found ?? false;
  if (first !== undefined && first.found !== false) {
    if ("failed" in first.found) return first.found;
    // Behind a wildcard for the domain the name may stand by itself.
    for (const as of first.as === "address" && isNameKey(given) ? KEYS : [first.as]) {
      const own = await isEntry(given, as);
      if (typeof own !== "boolean") return own;
      if (!own) continue;
      const isForAny = await isEntry(given.slice(0, bare.length + 1) + STRANGE, as);
      if (typeof isForAny !== "boolean") return isForAny;
      const known = isForAny ? await standing(bare) : undefined;
      return known === undefined || known.found === false ? first.found : known.found;
    }
  }
  return ((await standing(bare)) ?? first)?.found ?? false;
}

/** The keys of a user: what stands under the first counts for more. */
const KEYS = ["address", "name"] as const;

/** What a list says of a user, and under which of the user's keys. */
interface Standing {
  readonly as: (typeof KEYS)[number];
  readonly found: MailboxUser;
}

/** As a key, a name with an @ in it is another's address, and one like `.example.org` is all domains below. */
function isNameKey(user: string): boolean {
  return !/^\*?\.|@/.test(user);
}

/** Those that are not there were refused when the settings were checked. */
function tablesNamed(tables: Tables, names: readonly string[] = []): readonly Table[] {
  return names.flatMap((name) => tables.get(name) ?? []);
}

function missing(name: string): { readonly failed: string } {
  return { failed: `${name}: there is no such table` };
}

/** Asks a table; one that the settings name but do not have was refused when they were checked. */
export async function member(
  table: Table | undefined,
  name: string,
  key: string,
  service?: TableService,
): Promise<Holds> {
  if (table === undefined) return missing(name);
  const answer = await table.has(key, service === undefined ? undefined : { service });
  if (answer.kind === "failed") return { failed: answer.text };
  return answer.kind === "found" && answer.value;
}

/** The same of the key as it is, whatever it has in it that other keys could stand for. */
export async function memberItself(table: Table | undefined, name: string, key: string): Promise<Holds> {
  if (table === undefined) return missing(name);
  const answer = await table.hasExact(key);
  return answer.kind === "failed" ? { failed: answer.text } : answer.kind === "found" && answer.value;
}
