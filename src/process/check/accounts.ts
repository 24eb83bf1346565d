import type { Origins, SettingPath } from "../../service/config/config.ts";
import type { WrittenSettings } from "../settings/settings.ts";

/** Where a backend's setting was written: accounts may be a table's name, a list of backends, or have them in `backends`. */
export function backendPath(origins: Origins, at: number, ...setting: readonly string[]): SettingPath {
  if (origins.places[`accounts.backends.${at}`] !== undefined) return ["accounts", "backends", at, ...setting];
  return origins.places[`accounts.${at}`] === undefined ? ["accounts"] : ["accounts", at, ...setting];
}

/** What no single backend of `accounts` can see: tables of another kind, users that the keeper cannot ask about. */
export function accountProblems(
  { accounts, tables, keeperUser }: Pick<WrittenSettings, "accounts" | "tables" | "keeperUser">,
  origins: Origins,
): readonly { readonly path: SettingPath; readonly text: string; readonly severity?: "error" | "warning" }[] {
  return (accounts?.backends ?? []).flatMap((backend, at) => {
    const path = (setting: string): SettingPath => backendPath(origins, at, setting);
    if (backend.kind === "ldap") {
      const source = tables[backend.table];
      if (source === undefined) return [];
      if (source.kind !== "ldap")
        return [{ path: path("ldap"), text: `table ${backend.table} is no directory: expected one with ldap` }];
      if (source.options.searches.credentials === undefined)
        return [
          {
            path: path("ldap"),
            text: `table ${backend.table} has no search for credentials, by which users' entries are found`,
          },
        ];
    }
    if (backend.kind === "table") {
      const source = tables[backend.table];
      if (source?.kind === "file" && source.syntax !== undefined && source.syntax !== "file")
        return [{ path: path("table"), text: `table ${backend.table} holds ${source.syntax}, not passwords` }];
    }
    if ((backend.kind === "shadow" || backend.kind === "pam") && keeperUser !== undefined)
      return [
        {
          path: path("system"),
          text: `the keeper runs as ${keeperUser}, who may hardly check other users' passwords: leave out keeper-user, or ask saslauthd`,
          severity: "warning" as const,
        },
      ];
    return [];
  });
}
