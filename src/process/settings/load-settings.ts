import { hostname, networkInterfaces } from "node:os";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import { ok, refused, type Result } from "../../foundation/result.ts";
import { parsePasswordHash } from "../../service/account/password.ts";
import type { Credentials } from "../../service/account/settings.ts";
import { passwordTablesOf } from "../../service/account/password-tables.ts";
import { inOrder, type Origins, type SettingsProblem } from "../../service/config/config.ts";
import { parseSettings, type ParsedSettings, type SettingsSource } from "../../service/config/parse.ts";
import { readTableFile } from "../../service/table/file.io.ts";
import { readContent } from "../../service/table/read-content.ts";
import { parseTableText } from "../../service/table/text.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import { inspectCertificates } from "../../service/tls/keeper/inspect.io.ts";
import { isSplit, isSplitForRoot } from "../layout.ts";
import { loadAccountSecrets } from "./account-secrets.ts";
import { loadBackendPasswords } from "./backend-secrets.ts";
import { checkSettings } from "../check/check.ts";
import { identityProblems } from "../check/identities.ts";
import { logProblem } from "../check/log.ts";
import { hiddenTableFiles } from "../check/table-files.ts";
import { checkTlsPolicy } from "../check/tls-policy.ts";
import { checkRoutes, shapingWithTable } from "../check/routes.ts";
import { loadFilterSecrets } from "./filter-secrets.ts";
import { completeSettings, posthornSettings, type Secrets, type Settings, type WrittenSettings } from "./settings.ts";
import { withStanding } from "./restart-only.ts";
import { onlyOf, readSource, type SettingsFile } from "./settings-file.ts";
import { inspectSigning, sealedNameProblems } from "./signing-files.ts";
import { localListener } from "./local-listener.ts";
import { loadSrsSecrets } from "./srs-secret.ts";
import { certificateTablesOf, inspectedOf } from "./tls-files.ts";

/** Everything the processes need of the settings, as plain data. */
export interface LoadedSettings {
  readonly settings: Settings;
  readonly origins: Origins;
  readonly secrets: Secrets;
  /** The text of each table file, for processes that may not read it themselves. */
  readonly tableTexts: Readonly<Record<string, string>>;
  /** The one behind the socket for users of this host; here, so that processes need not know how settings are read. */
  readonly localListener: ListenerSettings;
  /** Paths of settings that were written otherwise, and wait for a restart. */
  readonly awaitsRestart: readonly string[];
  readonly warnings: readonly SettingsProblem[];
}

export interface LoadOptions extends SettingsFile {
  /** Whether somebody else opens certificates, keys and authorities: then nobody here does. */
  readonly isKeptElsewhere?: ((settings: Settings) => boolean) | undefined;
  /** Somebody wants to know what is wrong, and nobody goes without mail for it: lines of data count as settings do. */
  readonly isCheck?: boolean | undefined;
  /** Those with which the server that is to take these was started. */
  readonly atStart?: Settings | undefined;
}

/**
 * Reads and checks the settings: the file, then every certificate, key, password file and table that it names. All
 * problems are told at once. Touches nothing, and keeps no key: in use, those are the keeper's.
 */
export async function loadSettings(options: LoadOptions): Promise<Result<LoadedSettings, readonly SettingsProblem[]>> {
  const source = await readSource(options);
  if (!source.ok) return source;
  const parsed = parseSettings(posthornSettings, source.value);
  if (!parsed.ok) return parsed;

  const problems = [...checkSettings(parsed.value)];
  if (options.isCheck === true && isSplitForRoot(parsed.value.settings, options.file))
    for (const { path, text, severity } of identityProblems(parsed.value.settings, process.getuid?.() === 0))
      problems.push(parsed.value.problemAt(path, text, severity));
  const written = completeSettings(parsed.value.settings, { hostname: hostname() });
  const { settings, awaitsRestart } = withStanding(written, options.atStart ?? written);
  if (options.isKeptElsewhere?.(settings) !== true)
    for (const { at, text, severity } of await inspectCertificates(inspectedOf(settings, options.clock.now())))
      problems.push(
        "path" in at
          ? parsed.value.problemAt(at.path, text, severity)
          : { file: at.file, place: { line: at.line, column: 1 }, path: "", text, severity },
      );
  for (const { path, text } of sealedNameProblems(settings)) problems.push(parsed.value.problemAt(path, text));
  if (options.isKeptElsewhere?.(settings) !== true)
    for (const { path, text, isData } of await inspectSigning(settings)) {
      // A file that cannot be read is told with the tables.
      if (isData === "file") continue;
      const isWarning = isData === "line" && options.isCheck !== true;
      problems.push(parsed.value.problemAt(path, text, isWarning ? "warning" : "error"));
    }
  const credentials = await loadCredentials(parsed.value, problems);
  const tableTexts = await loadTables(parsed.value, problems);
  if (process.getuid?.() === 0 && isSplit(settings, options.file))
    for (const { path, text } of await hiddenTableFiles(parsed.value.settings))
      problems.push(parsed.value.problemAt(path, text, "warning"));
  const acmeBindingKey = await loadBindingKey(parsed.value, problems);
  const accounts = await loadAccountSecrets(parsed.value, problems);
  const srs = await loadSrsSecrets(settings, (path, text, severity) => {
    problems.push(parsed.value.problemAt(path, text, severity));
  });
  const tables = await loadBackendPasswords(parsed.value.settings.tables, (path, text) => {
    problems.push(parsed.value.problemAt(path, text));
  });
  const filters = await loadFilterSecrets(parsed.value.settings.filters, (path, text) => {
    problems.push(parsed.value.problemAt(path, text));
  });
  problems.push(...checkTlsPolicy(parsed.value, tableTexts));
  const noLog = await logProblem(settings.log.to);
  if (noLog !== undefined) problems.push(parsed.value.problemAt(["log", "to"], noLog, "warning"));
  const shaping = shapingWithTable(parsed.value, tableTexts);
  problems.push(...shaping.problems, ...checkRoutes(parsed.value, shaping.rules, ownAddresses()));
  if (problems.some((problem) => problem.severity === "error")) return refused(inOrder(problems));
  const { file, places } = parsed.value.origins;
  return ok({
    settings: { ...settings, route: { ...settings.route, shaping: shaping.rules } },
    origins:
      options.file === undefined ? { file: undefined, places: {} } : { file, places: { ...places, ...shaping.places } },
    secrets: {
      accounts,
      credentials,
      ...(acmeBindingKey === undefined ? {} : { acmeBindingKey }),
      ...(srs === undefined ? {} : { srs }),
      ...(Object.keys(tables).length === 0 ? {} : { tables }),
      ...(Object.keys(filters).length === 0 ? {} : { filters }),
    },
    tableTexts,
    localListener: localListener(),
    awaitsRestart,
    warnings: inOrder(problems),
  });
}

/** Where the server listens, for whoever hands in mail there. Listeners that are wrong count as none; the rest need not be right. */
export function listenersIn(source: SettingsSource): Settings["listeners"] {
  const parsed = parseSettings(posthornSettings, onlyOf(source, ["listeners"]));
  return parsed.ok ? parsed.value.settings.listeners : [];
}

/** Only what `tables` says: for whoever makes files anew, which nothing else of the settings may keep from it. */
export async function loadTableSources(
  options: SettingsFile,
): Promise<Result<Settings["tables"], readonly SettingsProblem[]>> {
  const source = await readSource(options);
  if (!source.ok) return source;
  const parsed = parseSettings(posthornSettings, onlyOf(source.value, ["tables"]));
  return parsed.ok ? ok(parsed.value.settings.tables) : parsed;
}

/** The addresses of this machine, with the length of their network's prefix: `192.0.2.1/24`. */
function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).flatMap(({ cidr }) => cidr ?? []));
}

type Parsed = ParsedSettings<WrittenSettings>;

async function loadCredentials(parsed: Parsed, problems: SettingsProblem[]): Promise<Record<string, Credentials>> {
  const credentials: Record<string, Credentials> = {};
  for (const [name, entry] of Object.entries(parsed.settings.credentials)) {
    const { user = "" } = entry;
    if (entry.external) credentials[name] = { user, password: "", isExternal: true };
    if (entry.password !== undefined) credentials[name] = { user, password: entry.password };
    if (entry.passwordFile === undefined) continue;
    try {
      const password = (await readSecretFile(entry.passwordFile)).split(/\r?\n/, 1)[0] ?? "";
      if (password === "")
        problems.push(
          parsed.problemAt(["credentials", name, "passwordFile"], `${entry.passwordFile} has an empty first line`),
        );
      credentials[name] = { user, password };
    } catch (thrown) {
      problems.push(parsed.problemAt(["credentials", name, "passwordFile"], unreadable(entry.passwordFile, thrown)));
    }
  }
  return credentials;
}

async function loadBindingKey(parsed: Parsed, problems: SettingsProblem[]): Promise<string | undefined> {
  const { eab } = parsed.settings.acme;
  if (eab === undefined) return undefined;
  const tell = (text: string): void => {
    problems.push(parsed.problemAt(["acme", "eab", "keyFile"], text));
  };
  try {
    const key = (await readSecretFile(eab.keyFile)).split(/\r?\n/, 1)[0]?.trim() ?? "";
    if (/^[A-Za-z0-9_+/-]{16,}=*$/.test(key)) return key;
    tell(`expected the key in base64url form on the first line of ${eab.keyFile}`);
  } catch (thrown) {
    tell(unreadable(eab.keyFile, thrown));
  }
  return undefined;
}

async function loadTables(parsed: Parsed, problems: SettingsProblem[]): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  const { tables } = parsed.settings;
  const passwordTables = passwordTablesOf(parsed.settings.accounts);
  const certificateTables = certificateTablesOf(parsed.settings);
  for (const [name, source] of Object.entries(tables)) {
    if (certificateTables.has(name)) continue;
    if (source.kind !== "file") {
      const hasBadHash =
        passwordTables.has(name) &&
        source.kind === "map" &&
        Object.values(source.entries).some((hash) => parsePasswordHash(hash) === undefined);
      if (hasBadHash || (passwordTables.has(name) && source.kind === "list"))
        problems.push(parsed.problemAt(["tables", name], NO_HASH));
      continue;
    }
    try {
      const text = await readTableFile(source.file);
      texts[name] = text;
      for (const { line, text: words } of (await readContent(name, text, source.syntax)).problems)
        problems.push({ file: source.file, place: { line, column: 1 }, path: "", text: words, severity: "error" });
      if (!passwordTables.has(name)) continue;
      if (source.syntax !== undefined) {
        problems.push(
          parsed.problemAt(["tables", name, source.syntax], "passwords stand in a file of keys and values"),
        );
        continue;
      }
      for (const { line, value } of parseTableText(text).entries)
        if (value === undefined || parsePasswordHash(value) === undefined)
          problems.push({ file: source.file, place: { line, column: 1 }, path: "", text: NO_HASH, severity: "error" });
    } catch (thrown) {
      problems.push(parsed.problemAt(["tables", name, source.syntax ?? "file"], unreadable(source.file, thrown)));
    }
  }
  return texts;
}

const NO_HASH = "expected a password hash as `posthorn account hash` makes it, or {PLAIN} and the password";

function unreadable(file: string, thrown: unknown): string {
  const code = systemCodeOf(thrown);
  if (code === "ENOENT") return `${file} does not exist`;
  if (code === "EACCES") return `${file} may not be read by this user`;
  if (code === "EISDIR") return `${file} is a directory`;
  return `${file} cannot be read: ${messageOf(thrown)}`;
}
