import { isSystemUsers } from "../../mail/envelope/system-users.ts";
import { passwordTablesOf } from "../../service/account/password-tables.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import { restrictionsAt } from "./restrictions-at.ts";
import type { Settings, WrittenSettings } from "./settings.ts";

type TablesAndAccounts = Pick<Settings | WrittenSettings, "tables" | "accounts">;

/** The tables that only the lookup role opens: those with a backend, and those of passwords. */
export function lookupTablesOf({ tables, accounts }: TablesAndAccounts): ReadonlySet<string> {
  const passwords = passwordTablesOf(accounts);
  const limits = accounts?.limits?.table;
  return new Set(
    Object.entries(tables).flatMap(([name, source]) =>
      isBackendSource(source) || passwords.has(name) || name === limits ? [name] : [],
    ),
  );
}

/** Whether there is anything to ask the lookup role. */
export function needsLookup(
  settings: TablesAndAccounts &
    Pick<Settings, "local"> &
    Pick<Settings | WrittenSettings, "restrictions" | "listeners" | "filters" | "dmarcReports">,
): boolean {
  if (countsMail(settings)) return true;
  // What DMARC's reports are made of is kept there.
  if (Object.values(settings.filters).some(({ authenticate }) => authenticate?.reports === true)) return true;
  if (settings.dmarcReports !== undefined) return true;
  // The system's users: through whatever nsswitch.conf(5) names, so not by everybody.
  if (isSystemUsers(settings.local.users)) return true;
  if (settings.local.includeFolders !== undefined) return true;
  return settings.accounts !== undefined || lookupTablesOf(settings).size > 0;
}

/** Whether restrictions remember who sends what. */
function countsMail(settings: Pick<Settings | WrittenSettings, "restrictions" | "listeners">): boolean {
  return settings.listeners.some((listener) =>
    restrictionsAt(settings, listener).some(({ rate, greylist }) => rate !== undefined || greylist !== undefined),
  );
}
