import { join } from "node:path";
import { unchained } from "../../mail/filter/named-chains.ts";
import type { AuthenticateSettings, SignSettings } from "../../mail/filter/authentication/settings.ts";
import { messageOf } from "../../foundation/error.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { keyFilesIn, readSigningKey } from "../../service/signing/signing-keys.io.ts";
import { domainsAbove } from "../../service/signing/signing-keys.ts";
import type { SigningSource } from "../../service/signing/settings.ts";
import { readTableFile } from "../../service/table/file.io.ts";
import { readContent } from "../../service/table/read-content.ts";
import type { Settings, WrittenSettings } from "./settings.ts";

/** What the settings say of keys that mail is signed with. Only the keeper reads them, and the tables that name them. */

export interface SigningProblem {
  readonly path: SettingPath;
  readonly text: string;
  /**
   * It stands in a table's file, or that file cannot be read: data, which is read anew while the server runs. There it defers the
   * mail of one domain, and must not keep a process from being started for all of them.
   */
  readonly isData?: "line" | "file" | undefined;
}

type Signing = Pick<Settings | WrittenSettings, "filters">;

/** Of each filter that signs, where its keys are. */
export function signingSourcesOf({ filters }: Signing): ReadonlyMap<string, SigningSource> {
  return new Map(
    Object.entries(filters).flatMap(([name, { sign }]) => (sign === undefined ? [] : [[name, sign] as const])),
  );
}

export function signingTablesOf(settings: Signing): ReadonlySet<string> {
  return new Set([...signingSourcesOf(settings).values()].flatMap(({ keyTable }) => keyTable ?? []));
}

/** Files and folders, for the permissions of the process that reads them. */
export function signingFilesOf(settings: Signing): readonly string[] {
  return [...signingSourcesOf(settings).values()].flatMap(({ keys, keyFolder }) => [
    ...keys.map(({ key }) => key),
    ...(keyFolder === undefined ? [] : [keyFolder, join(keyFolder, "*")]),
  ]);
}

/** Opens every key that the settings name, in place or in a table written in place, and reads the lines of tables in files. */
export async function inspectSigning(
  settings: Pick<Settings, "filters" | "tables">,
): Promise<readonly SigningProblem[]> {
  const problems: SigningProblem[] = [];
  const look = async (path: SettingPath, selector: string, file: string): Promise<void> => {
    try {
      await readSigningKey(selector, file);
    } catch (thrown) {
      problems.push({ path, text: messageOf(thrown) });
    }
  };
  for (const [name, source] of signingSourcesOf(settings)) {
    const place: SettingPath = ["filters", name, "sign"];
    for (const [at, { selector, key }] of source.keys.entries())
      // oxlint-disable-next-line no-await-in-loop -- in the order of the settings, and few
      await look([...place, "keys", at, "key"], selector, key);
    try {
      // oxlint-disable-next-line no-await-in-loop -- as above
      for (const { path, where, files } of await keyTableLines(source, settings.tables)) {
        if (typeof files === "string")
          problems.push(
            where === undefined ? { path, text: files } : { path, text: `${where}: ${files}`, isData: "line" },
          );
        // Lines of a file are told of when they can be no key's; which of many domains has a key is for `dkim check` to say.
        else if (where === undefined)
          // oxlint-disable-next-line no-await-in-loop -- as above
          for (const { selector, file } of files) await look(path, selector, file);
      }
    } catch (thrown) {
      problems.push({ path: [...place, "keyTable"], text: messageOf(thrown), isData: "file" });
    }
  }
  return problems;
}

export interface KeyTableLine {
  readonly domain: string;
  /** In the settings. */
  readonly path: SettingPath;
  /** Of a table in a file: file, line and key. */
  readonly where: string | undefined;
  /** A text says what is wrong with the line. */
  readonly files: ReturnType<typeof keyFilesIn>;
}

/** What stands in the table of a filter that signs. Throws where its file can't be read. */
export async function keyTableLines(
  { keyTable, keyFolder = "" }: SigningSource,
  tables: Settings["tables"],
): Promise<readonly KeyTableLine[]> {
  const table = keyTable === undefined ? undefined : tables[keyTable];
  if (keyTable === undefined || table === undefined) return [];
  if (table.kind === "map")
    return Object.entries(table.entries).map(([domain, value]) => ({
      domain,
      path: ["tables", keyTable, "map", domain],
      where: undefined,
      files: keyFilesIn(value, keyFolder),
    }));
  if (table.kind !== "file") return [];
  const { content } = await readContent(table.file, await readTableFile(table.file), table.syntax);
  return content.entries.map(({ key, value = "", where }) => ({
    domain: key,
    path: ["tables", keyTable, "file"],
    where: `${where}: ${key}`,
    files: keyFilesIn(value, keyFolder),
  }));
}

/** What can be said of filters that sign without opening anything. */
export function signingProblems(
  settings: Pick<WrittenSettings, "filters" | "filteredBy" | "listeners" | "tables">,
): readonly SigningProblem[] {
  const problems: SigningProblem[] = [];
  for (const [name, { keyTable }] of signingSourcesOf(settings)) {
    if (keyTable === undefined) continue;
    const path: SettingPath = ["filters", name, "sign", "keyTable"];
    const table = settings.tables[keyTable];
    if (table === undefined) problems.push({ path, text: `there is no table ${keyTable}` });
    else if (table.kind !== "file" && table.kind !== "map")
      problems.push({
        path,
        text: `table ${keyTable} is ${table.kind}: keys can be named in a file or in place, which the keeper reads`,
      });
  }
  for (const [name, { sign }] of Object.entries(settings.filters)) {
    if (sign?.seal === undefined || sign.keyTable !== undefined) continue;
    const able = new Set(sign.subdomains ? domainsAbove(sign.seal) : [sign.seal]);
    // All mail of others would have to come again, for ever.
    if (sign.keys.every(({ domain }) => !able.has(domain)))
      problems.push({ path: ["filters", name, "sign", "seal"], text: `no key of ${sign.seal} is there to seal with` });
  }
  for (const { path, name, judges } of sealersOf(settings))
    if (judges.length === 0)
      problems.push({ path, text: `${name} seals what an authenticate filter found, and none stands before it` });
  return problems;
}

/**
 * Whose results are sealed has to be a name that an authenticate filter before the seal keeps to itself: of any other name
 * strangers bring results of their own, and those would bear our seal.
 */
export function sealedNameProblems(
  settings: Pick<Settings, "filters" | "filteredBy" | "listeners" | "hostname">,
): readonly SigningProblem[] {
  const problems = new Map<string, SigningProblem>();
  const hostname = settings.hostname.toLowerCase();
  for (const { name, sign, judges } of sealersOf(settings)) {
    const sealed = sign.authority ?? hostname;
    const kept = judges.map(({ authority }) => authority ?? hostname);
    const [nearest] = kept.slice(-1);
    if (nearest === undefined || kept.includes(sealed)) continue;
    const path: SettingPath = ["filters", name, "sign", ...(sign.authority === undefined ? ["seal"] : ["authority"])];
    problems.set(name, {
      path,
      text:
        `${name} seals what Authentication-Results of ${sealed} say, and no authenticate filter before it takes out those ` +
        `that strangers wrote in that name: write \`authority: ${nearest}\` here, as that filter has it`,
    });
  }
  return [...problems.values()];
}

interface Sealer {
  /** Of the list of filters that it stands in. */
  readonly path: SettingPath;
  readonly name: string;
  readonly sign: SignSettings;
  /** The authenticate filters before it. */
  readonly judges: readonly AuthenticateSettings[];
}

/** Each place in a list of filters where mail of others is sealed. */
function sealersOf(settings: Pick<WrittenSettings, "filters" | "filteredBy" | "listeners">): readonly Sealer[] {
  const lists: (readonly [SettingPath, readonly string[]])[] = [
    [["filteredBy"], settings.filteredBy],
    ...settings.listeners.flatMap(({ filteredBy }, at): (readonly [SettingPath, readonly string[]])[] =>
      filteredBy === undefined ? [] : [[["listeners", at, "filteredBy"], filteredBy]],
    ),
  ];
  return lists.flatMap(([path, written]) => {
    const names = unchained(written, settings.filters);
    return names.flatMap((name, at): readonly Sealer[] => {
      const sign = settings.filters[name]?.sign;
      if (sign?.seal === undefined) return [];
      const judges = names.slice(0, at).flatMap((before) => settings.filters[before]?.authenticate ?? []);
      return [{ path, name, sign, judges }];
    });
  });
}
