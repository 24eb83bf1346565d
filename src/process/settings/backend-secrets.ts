import { messageOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import type { SettingPath } from "../../service/config/config.ts";
import type { TablesSettings } from "../../service/table/settings.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";

/**
 * The passwords of databases and directories, by the table's name: from the settings or the first line of the file that
 * they name. What is wrong with a file is told.
 */
export async function loadBackendPasswords(
  tables: TablesSettings,
  tell: (path: SettingPath, text: string) => void,
): Promise<Record<string, string>> {
  const passwords: Record<string, string> = {};
  for (const [name, source] of Object.entries(tables)) {
    if (!isBackendSource(source)) continue;
    const { password, passwordFile } = passwordSettingsOf(source.options);
    const path = (setting: string): SettingPath => ["tables", name, source.kind, setting];
    if (password !== undefined) {
      passwords[name] = password;
      if (passwordFile !== undefined) tell(path("passwordFile"), "expected either password or password-file, not both");
      continue;
    }
    if (passwordFile === undefined) continue;
    try {
      const first = (await readSecretFile(passwordFile)).split(/\r?\n/, 1)[0] ?? "";
      if (first === "") tell(path("passwordFile"), `${passwordFile} has an empty first line`);
      else passwords[name] = first;
    } catch (thrown) {
      tell(path("passwordFile"), `cannot read ${passwordFile}: ${messageOf(thrown)}`);
    }
  }
  return passwords;
}

/** The same tables without passwords: these are only for the process that asks the backends. */
export function withoutBackendPasswords(tables: TablesSettings): TablesSettings {
  return Object.fromEntries(
    Object.entries(tables).map(([name, source]) => {
      if (!isBackendSource(source) || !("password" in source.options)) return [name, source];
      const { password: _, ...options } = source.options;
      // Of the same kind: only an optional setting is gone.
      return [name, { ...source, options } as typeof source];
    }),
  );
}

function passwordSettingsOf(options: object): { readonly password?: string; readonly passwordFile?: string } {
  const text = (name: "password" | "passwordFile"): string | undefined => {
    const value: unknown = Object.entries(options).find(([key]) => key === name)?.[1];
    return typeof value === "string" ? value : undefined;
  };
  const password = text("password");
  const passwordFile = text("passwordFile");
  return { ...(password === undefined ? {} : { password }), ...(passwordFile === undefined ? {} : { passwordFile }) };
}
