import { messageOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import type { FiltersSettings } from "../../mail/filter/settings.ts";
import { kindOf } from "../../mail/filter/filter-kind.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { readAuthorities } from "../../service/table/pool/authorities.io.ts";

/** Each secret of a filter's kind, and the setting that names a file with it. */
const SECRETS = { password: "passwordFile", secret: "secretFile" } as const;

/**
 * The passwords and signing secrets of filters, by the filter's name: from the settings or the first line of the file that they
 * name. What is wrong with a file is told, also with one of authorities, which only the filter itself reads.
 */
export async function loadFilterSecrets(
  filters: FiltersSettings,
  tell: (path: SettingPath, text: string) => void,
): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const [name, settings] of Object.entries(filters)) {
    const kind = kindOf(settings);
    const options = kind === undefined ? undefined : settings[kind];
    if (kind === undefined || typeof options !== "object") continue;
    const path = (setting: string): SettingPath => ["filters", name, kind, setting];
    const authorities = textIn(options, "tlsCa");
    if (authorities !== undefined) await tryToRead(authorities, (text) => tell(path("tlsCa"), text), readAuthorities);
    for (const [plain, file] of Object.entries(SECRETS)) {
      const written = textIn(options, plain);
      const from = textIn(options, file);
      if (written !== undefined) secrets[name] = written;
      if (from === undefined) continue;
      if (written !== undefined) tell(path(file), `expected either ${plain} or ${file}, not both`);
      const text = await tryToRead(from, (problem) => tell(path(file), problem));
      if (text === undefined) continue;
      const first = text.split(/\r?\n/, 1)[0] ?? "";
      if (first === "") tell(path(file), `${from} has an empty first line`);
      else secrets[name] = first;
    }
  }
  return secrets;
}

/** The same filters without what is secret: that is only for the process that asks them. */
export function withoutFilterSecrets(filters: FiltersSettings): FiltersSettings {
  return Object.fromEntries(
    Object.entries(filters).map(([name, settings]) => {
      const kind = kindOf(settings);
      const options = kind === undefined ? undefined : settings[kind];
      if (kind === undefined || typeof options !== "object") return [name, settings];
      const isSecret = Object.keys(SECRETS).some((plain) => textIn(options, plain) !== undefined);
      if (!isSecret) return [name, settings];
      const kept = Object.fromEntries(Object.entries(options).filter(([setting]) => !(setting in SECRETS)));
      return [name, { ...settings, [kind]: kept }];
    }),
  );
}

async function tryToRead(
  file: string,
  tell: (text: string) => void,
  read: (file: string) => Promise<string> = readSecretFile,
): Promise<string | undefined> {
  try {
    return await read(file);
  } catch (thrown) {
    tell(`cannot read ${file}: ${messageOf(thrown)}`);
    return undefined;
  }
}

function textIn(options: object, setting: string): string | undefined {
  const value: unknown = Object.entries(options).find(([name]) => name === setting)?.[1];
  return typeof value === "string" ? value : undefined;
}
