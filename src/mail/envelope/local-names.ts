import { splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { foldDomain } from "../../service/table/pattern.ts";
import { inlineTable, tableFor, type Tables } from "../../service/table/tables.ts";
import type { Table } from "../../service/table/table.ts";
import type { LocalSettings } from "./settings.ts";

/** Yes, no, or a table could not be asked. */
export type Holds = boolean | { readonly failed: string };

/** What is ours: domains, users, and who is postmaster. */
export interface LocalNames {
  isLocalDomain(domain: string): Promise<Holds>;
  /** Whether the user may receive mail; always true when no users are set. `address` is in a local domain. */
  isKnownUser(address: string): Promise<Holds>;
  isPostmaster(localPart: string): boolean;
  /** The mailbox of the postmaster of a domain of ours; without one, of the server. */
  postmasterOf(domain: string): string;
}

export function localNames(settings: LocalSettings, hostname: string, tables: Tables): LocalNames {
  const ownNames = ["localhost", hostname, "[127.0.0.1]", "[IPv6:::1]"];
  const domains =
    settings.domains === undefined
      ? inlineTable("local.domains", { kind: "list", items: ownNames })
      : tableFor(tables, settings.domains, "local.domains");
  const users = settings.users === undefined ? undefined : tableFor(tables, settings.users, "local.users");
  const firstDomain =
    settings.domains?.kind === "list" ? settings.domains.items.find((name) => /^[^!*.@]/.test(name)) : undefined;

  return {
    isLocalDomain: (domain) => member(domains, "local.domains", foldDomain(domain)),
    async isKnownUser(address) {
      if (settings.users === undefined) return true;
      const { local, domain } = splitAddress(address);
      const name = unquote(local).toLowerCase();
      const delimiterAt = settings.extensionDelimiter === "" ? -1 : name.indexOf(settings.extensionDelimiter, 1);
      const names = delimiterAt < 0 ? [name] : [name, name.slice(0, delimiterAt)];
      for (const key of names.flatMap((each) => [`${each}@${domain}`, each])) {
        const holds = await member(users, "local.users", key);
        if (holds !== false) return holds;
      }
      return false;
    },
    // RFC 5321 section 4.5.1: in any case, with or without a domain.
    isPostmaster: (localPart) => unquote(localPart).toLowerCase() === "postmaster",
    postmasterOf(domain) {
      if (settings.postmaster.includes("@")) return settings.postmaster;
      return `${settings.postmaster}@${domain === "" ? (firstDomain ?? hostname) : domain}`;
    },
  };
}

/** Asks a table; one that the settings name but do not have was refused when they were checked. */
export async function member(table: Table | undefined, name: string, key: string): Promise<Holds> {
  if (table === undefined) return { failed: `${name}: there is no such table` };
  const answer = await table.has(key);
  if (answer.kind === "failed") return { failed: answer.text };
  return answer.kind === "found" && answer.value;
}
