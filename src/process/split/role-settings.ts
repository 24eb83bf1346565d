import { passwordTablesOf } from "../../service/account/password-tables.ts";
import { tablesOfDeliveries } from "../settings/delivers-as-others.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { lookupTablesOf } from "../settings/lookup-needs.ts";
import type { Role } from "./roles.ts";

/** Settings as a role may see them: without the secrets that are not its business. */
export function loadedFor(role: Role, loaded: LoadedSettings): LoadedSettings {
  const credentials = role === "egress" ? loaded.secrets.credentials : {};
  const { policyTable } = loaded.settings.delivery.tls;
  const policyText = policyTable === undefined ? undefined : loaded.tableTexts[policyTable];
  const lookups = lookupTablesOf(loaded.settings);
  const recipients = tablesOfDeliveries(loaded.settings.local);
  const texts = (isTheirs: (name: string) => boolean): Record<string, string> =>
    Object.fromEntries(Object.entries(loaded.tableTexts).filter(([name]) => isTheirs(name)));
  const tableTexts =
    role === "lookup"
      ? texts((name) => lookups.has(name))
      : role === "ingress" || role === "scheduler"
        ? texts((name) => !lookups.has(name))
        : role === "egress" && policyTable !== undefined && policyText !== undefined
          ? { [policyTable]: policyText }
          : role === "delivery"
            ? texts((name) => recipients.has(name) && !lookups.has(name))
            : {};
  const { acmeBindingKey } = loaded.secrets;
  const secrets =
    role === "lookup"
      ? { credentials, tables: loaded.secrets.tables, accounts: loaded.secrets.accounts }
      : role === "acme" && acmeBindingKey !== undefined
        ? { credentials, acmeBindingKey }
        : { credentials };
  const { settings } = loaded;
  const { srs } = loaded.secrets;
  // Who asks the rules: reception unpacks return addresses, the scheduler's forwards make them.
  const signing = srs !== undefined && (role === "ingress" || role === "scheduler") ? { srs } : {};
  const filters = role === "ingress" ? { filters: loaded.secrets.filters } : {};
  return {
    ...loaded,
    settings: { ...settings, tables: tablesFor(role, settings) },
    secrets: { ...secrets, ...signing, ...filters },
    tableTexts,
  };
}

/** Passwords that stand in the settings themselves are the lookup role's business too: others see the names. */
function tablesFor(role: Role, settings: LoadedSettings["settings"]): LoadedSettings["settings"]["tables"] {
  if (role === "lookup") return settings.tables;
  const passwords = passwordTablesOf(settings.accounts);
  return Object.fromEntries(
    Object.entries(settings.tables).map(([name, source]) => [
      name,
      source.kind === "map" && passwords.has(name) ? { ...source, entries: {} } : source,
    ]),
  );
}
