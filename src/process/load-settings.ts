import { lstat, readFile, stat } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { ownModule } from "../foundation/own-module.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../foundation/error.ts";
import { escapeControls } from "../foundation/escape.ts";
import { ok, refused, type Result } from "../foundation/result.ts";
import { parsePasswordHash } from "../service/account/password.ts";
import type { Credentials } from "../service/account/settings.ts";
import { passwordTablesOf } from "../service/account/password-tables.ts";
import { inOrder, type Origins, type SettingsProblem } from "../service/config/config.ts";
import { parseSettings, type ParsedSettings, type SettingsSource } from "../service/config/parse.ts";
import { readSettingsFile } from "../service/config/read.io.ts";
import { readTableFile } from "../service/table/file.io.ts";
import { readContent } from "../service/table/read-content.ts";
import { parseTableText } from "../service/table/text.ts";
import type { ListenerSettings } from "../mail/connection/settings.ts";
import { inspectCertificates } from "../service/tls/inspect.io.ts";
import { loadAccountSecrets } from "./account-secrets.ts";
import { loadBackendPasswords } from "./backend-secrets.ts";
import { checkSettings } from "./check-settings.ts";
import { checkTlsPolicy } from "./check-tls-policy.ts";
import { checkRoutes, shapingWithTable } from "./check-routes.ts";
import { loadFilterSecrets } from "./filter-secrets.ts";
import { completeSettings, posthornSettings, type Secrets, type Settings, type WrittenSettings } from "./settings.ts";
import { inspectSigning } from "./signing-files.ts";
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
  readonly warnings: readonly SettingsProblem[];
}

export interface LoadOptions {
  /** Undefined: the server's own defaults, with paths relative to `directory`. */
  readonly file: string | undefined;
  readonly directory: string;
  readonly clock: Clock;
  /** Whether somebody else opens certificates, keys and authorities: then nobody here does. */
  readonly isKeptElsewhere?: ((settings: Settings) => boolean) | undefined;
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
  const settings = completeSettings(parsed.value.settings, { hostname: hostname() });
  if (options.isKeptElsewhere?.(settings) !== true)
    for (const { at, text, severity } of await inspectCertificates(inspectedOf(settings, options.clock.now())))
      problems.push(
        "path" in at
          ? parsed.value.problemAt(at.path, text, severity)
          : { file: at.file, place: { line: at.line, column: 1 }, path: "", text, severity },
      );
  if (options.isKeptElsewhere?.(settings) !== true)
    for (const { path, text } of await inspectSigning(settings)) problems.push(parsed.value.problemAt(path, text));
  const credentials = await loadCredentials(parsed.value, problems);
  const tableTexts = await loadTables(parsed.value, problems);
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
    warnings: inOrder(problems),
  });
}

/**
 * Only what tells a client of a running server where things are: state directory, control sockets, listeners. Nothing
 * else of the settings has to be right, nor its keys and passwords be readable, for an operator to look after the queue.
 * Listeners that are wrong count as none.
 */
export async function loadPlaces(options: LoadOptions): Promise<Result<Settings, readonly SettingsProblem[]>> {
  const source = await readSource(options);
  if (!source.ok) return source;
  const { root } = source.value;
  const only = (...names: readonly string[]) =>
    parseSettings(posthornSettings, {
      ...source.value,
      root: root.kind === "map" ? { ...root, entries: root.entries.filter(({ name }) => names.includes(name)) } : root,
    });
  const complete = ({ settings }: Parsed): Settings => completeSettings(settings, { hostname: hostname() });
  const needed = ["state", "hostname", "user", "group", "control", "localSubmission"];
  for (const besides of [["listeners", "local"], ["listeners"], ["local"]]) {
    const found = only(...needed, ...besides);
    if (!found.ok) continue;
    const settings = complete(found.value);
    return ok(besides.includes("listeners") ? settings : { ...settings, listeners: [] });
  }
  const rest = only(...needed);
  return rest.ok ? ok({ ...complete(rest.value), listeners: [] }) : rest;
}

/** Only what `tables` says: for whoever makes files anew, which nothing else of the settings may keep from it. */
export async function loadTableSources(
  options: LoadOptions,
): Promise<Result<Settings["tables"], readonly SettingsProblem[]>> {
  const source = await readSource(options);
  if (!source.ok) return source;
  const { root } = source.value;
  const entries = root.kind === "map" ? root.entries.filter(({ name }) => name === "tables") : [];
  const parsed = parseSettings(posthornSettings, {
    ...source.value,
    root: root.kind === "map" ? { ...root, entries } : root,
  });
  return parsed.ok ? ok(parsed.value.settings.tables) : parsed;
}

/** The addresses of this machine, with the length of their network's prefix: `192.0.2.1/24`. */
function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).flatMap(({ cidr }) => cidr ?? []));
}

function readSource(options: LoadOptions): Promise<Result<SettingsSource, readonly SettingsProblem[]>> {
  const library = ownModule("process/library");
  if (options.file !== undefined) return readSettingsFile(options.file, { clock: options.clock, library });
  return Promise.resolve(
    ok({
      root: { kind: "map", entries: [] },
      file: "defaults",
      directory: resolve(options.directory),
      spelling: "kebab",
    }),
  );
}

/**
 * The settings where nobody names any. Root never takes code or data from wherever it stands. For others `directory` is where somebody happens to be, in /tmp perhaps: a file there counts only
 * when nobody else could have laid it, for it may be code, and it says to whom a `sendmail` gives its mail. `tell` hears of
 * one that is passed over.
 */
export async function findSettingsFile(
  directory: string,
  isRoot: boolean,
  tell: (text: string) => void = (text) => void process.stderr.write(`${text}\n`),
): Promise<string | undefined> {
  for (const place of isRoot ? [SYSTEM_PLACE] : [directory, SYSTEM_PLACE]) {
    for (const name of ["posthorn.yaml", "posthorn.config.ts"]) {
      const file = join(place, name);
      if (!(await exists(file))) continue;
      const doubt = place === SYSTEM_PLACE ? undefined : await foreignness(file);
      if (doubt === undefined) return file;
      tell(`${escapeControls(file)} is passed over: ${doubt}; name it with its option if it is meant`);
    }
  }
  return undefined;
}

const SYSTEM_PLACE = "/etc/posthorn";

/** Why somebody else may have written the file, or laid the link that is in its place; undefined where nobody did. */
async function foreignness(file: string): Promise<string | undefined> {
  const own = process.getuid?.();
  if (own === undefined) return undefined;
  // What cannot be looked at is told by whoever reads it.
  const found = await Promise.all([lstat(file), stat(file)]).catch(() => []);
  const foreign = found.find(({ uid }) => uid !== own && uid !== 0);
  if (foreign !== undefined) return `it belongs to somebody else (uid ${foreign.uid})`;
  return found.some((each) => each.isFile() && (each.mode & 0o002) !== 0) ? "everybody may write to it" : undefined;
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (thrown) {
    // One that is there but may not be looked at must be told, not passed over.
    return systemCodeOf(thrown) !== "ENOENT" && systemCodeOf(thrown) !== "ENOTDIR";
  }
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
      const password = (await readFile(entry.passwordFile, "utf8")).split(/\r?\n/, 1)[0] ?? "";
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
    const key = (await readFile(eab.keyFile, "utf8")).split(/\r?\n/, 1)[0]?.trim() ?? "";
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
