import { foldDomain } from "../../service/table/pattern.ts";
import { inlineTable } from "../../service/table/tables.ts";
import type { LocalSettings } from "./settings.ts";

/** The domain of names that have none, in tables and lists: the first of `local.domains` that is a name. */
export function primaryDomainOf({ domains }: Pick<LocalSettings, "domains">, hostname: string): string {
  return (domains?.kind === "list" ? domains.items.find((name) => /^[^!*.@]/.test(name)) : undefined) ?? hostname;
}

/** Every host's own name for itself, which says nothing to others; and addresses in the place of a name. */
const NOBODY_ELSES = /^localhost(\.|$)|\.localhost$|\.localdomain$|^\[/i;

/**
 * The domain of postmaster's address in what this host tells him, and others: the first of `local.domains` that is a name to
 * others, too. Always one of this host, whatever name it has.
 */
export function postmasterDomainOf({ domains }: Pick<LocalSettings, "domains">, hostname: string): string {
  if (domains?.kind !== "list") return hostname;
  return primaryDomainOf(
    { domains: { ...domains, items: domains.items.filter((name) => !NOBODY_ELSES.test(name)) } },
    hostname,
  );
}

export function postmasterAt(local: Pick<LocalSettings, "domains">, hostname: string): string {
  return `postmaster@${postmasterDomainOf(local, hostname)}`;
}

/**
 * The domain of users whom a program of this host names without one (`sendmail root`): the host's own name where that is
 * ours, else the primary domain, for at the host's name nobody would be known. A table of domains is not asked.
 */
export async function mailNameOf(local: Pick<LocalSettings, "domains">, hostname: string): Promise<string> {
  const { domains } = local;
  if (domains?.kind !== "list") return hostname;
  const answer = await inlineTable("local.domains", domains).has(foldDomain(hostname), { service: "domain" });
  return answer.kind === "found" && answer.value ? hostname : primaryDomainOf(local, hostname);
}
