import type { AccountsSettings } from "./settings.ts";

/** The names of tables that hold passwords: nobody but the lookup role reads them. */
export function passwordTablesOf(accounts: AccountsSettings | undefined): ReadonlySet<string> {
  return new Set(accounts?.backends.flatMap((backend) => (backend.kind === "table" ? [backend.table] : [])));
}
