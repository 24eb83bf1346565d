import { foldDomain } from "../../service/table/pattern.ts";
import { inlineTable } from "../../service/table/tables.ts";
import type { LocalSettings } from "./settings.ts";

/** The domain of names that have none, in tables and lists: the first of `local.domains` that is a name. */
export function primaryDomainOf({ domains }: Pick<LocalSettings, "domains">, hostname: string): string {
  return (domains?.kind === "list" ? domains.items.find((name) => /^[^!*.@]/.test(name)) : undefined) ?? hostname;
}

/** The address at which postmaster gets what this host has to tell him: always one of this host, whatever name it has. */
export function postmasterAt(local: Pick<LocalSettings, "domains">, hostname: string): string {
  return `postmaster@${primaryDomainOf(local, hostname)}`;
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
