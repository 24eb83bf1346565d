import { createSecureContext } from "node:tls";
import { messageOf } from "../../../foundation/error.ts";
import type { SettingPath } from "../../config/config.ts";
import { readTableFile } from "../../table/file.io.ts";
import type { TablesSettings } from "../../table/settings.ts";
import { parseTableText } from "../../table/text.ts";
import { readAnchors } from "./anchors.io.ts";
import { bundleOf } from "./bundle.ts";
import { ageText, servesName, type CertificatePair } from "./certificate.ts";
import { cipherGap } from "../cipher-list.ts";
import { chainGap, knownRoots, type KnownRoots } from "../chain.ts";
import type { ContextTerms } from "../contexts.io.ts";
import { SYSTEM_ANCHORS } from "./keeper.ts";
import type { CertificateSource } from "../settings.ts";
import { loadDirectory, loadFiles, loadPair, namingFile, unreadable } from "./source.io.ts";
import { parseTableValue } from "./table-value.ts";

/** Something wrong with certificates, keys or authorities, at a setting or in a table's file. */
export interface CertificateProblem {
  readonly at:
    | { readonly path: SettingPath }
    /** Lines count from 1. */
    | { readonly file: string; readonly line: number };
  readonly text: string;
  readonly severity: "error" | "warning";
}

export interface Inspected {
  readonly certificates: readonly CertificateSource[];
  readonly listeners: readonly InspectedListener[];
  /** Files of authorities, and where the settings name them. */
  readonly authorities: readonly { readonly path: SettingPath; readonly file: string }[];
  readonly tables: TablesSettings;
  readonly nowAt: number;
  readonly expiryWarningMs: number;
}

export interface InspectedListener {
  /** Its place in the list of the settings. */
  readonly at: number;
  /** What it greets with. */
  readonly hostname: string;
  /** Whether it speaks TLS at all. */
  readonly isUsed: boolean;
  readonly certificates?: readonly string[] | undefined;
  readonly terms: ContextTerms;
}

/**
 * Opens everything that the keeper will, and says all that is wrong: files, keys, dates, chains, names, and contexts that
 * OpenSSL refuses to make. Never throws, changes nothing.
 */
export async function inspectCertificates(given: Inspected): Promise<readonly CertificateProblem[]> {
  const problems: CertificateProblem[] = [];
  const tell: Tell = (at, text, severity = "error") => {
    problems.push({ at: "file" in at ? at : { path: at }, text, severity });
  };
  const system = await readAnchors(SYSTEM_ANCHORS);
  // Only mail that must be verified by them waits.
  if (system.problem !== undefined) {
    const cost = system.pems.length > 0 ? "" : "; no authority of the system is trusted until that is mended";
    tell([], `${system.problem}${cost}`, "warning");
  }
  const anchors = [...system.pems];
  for (const { path, file } of given.authorities) {
    const read = await readAnchors(file);
    if (read.problem !== undefined) tell(path, read.problem);
    anchors.push(...read.pems);
  }
  const roots = knownRoots(anchors);
  const found: Found[] = [];
  for (const [at, source] of given.certificates.entries())
    found.push({ source, ...(await inspectSource(given, source, ["certificates", at], roots, tell)) });
  for (const listener of given.listeners) if (listener.isUsed) inspectListener(listener, found, tell);
  return problems;
}

type Place = SettingPath | { readonly file: string; readonly line: number };
type Tell = (at: Place, text: string, severity?: "error" | "warning") => void;

interface Found {
  readonly source: CertificateSource;
  readonly pairs: readonly Pick<CertificatePair, "names">[];
}

async function inspectSource(
  given: Inspected,
  source: CertificateSource,
  path: SettingPath,
  roots: KnownRoots,
  tell: Tell,
): Promise<Pick<Found, "pairs">> {
  const look = (pair: CertificatePair, at: Place): void => inspectPair(pair, at, given, roots, tell);
  if (source.kind === "table") return { pairs: await inspectTable(given, source, path, look, tell) };
  // Its first certificate may be yet to come.
  if (source.kind === "acme") return { pairs: [{ names: source.names }] };
  if (source.kind === "directory") {
    const { pairs, problems, warnings } = await loadDirectory(source.directory);
    for (const text of problems) tell([...path, "directory"], text);
    for (const text of warnings) tell([...path, "directory"], text, "warning");
    if (pairs.length === 0 && problems.length === 0)
      tell([...path, "directory"], `${source.directory} holds no certificate with its key`, "warning");
    for (const pair of pairs) look(pair, [...path, "directory"]);
    return { pairs };
  }
  const loaded = await loadPair({ certificate: source.certificate, key: source.key });
  if (!loaded.ok) {
    tell([...path, loaded.problem.part], namingFile(loaded.problem, source.certificate, source.key));
    return { pairs: [] };
  }
  const { pair, warnings } = loaded.value;
  for (const warning of warnings) tell([...path, warning.part], warning.text, "warning");
  look(pair, [...path, "certificate"]);
  if (source.names === undefined && pair.names.length === 0)
    tell([...path, "certificate"], `${source.certificate} names no host; set \`names\``, "warning");
  for (const [at, name] of (source.names ?? []).entries())
    if (!covers(pair, name))
      tell([...path, "names", at], `${source.certificate} is not for ${name}, but for ${namesText(pair)}`, "warning");
  return { pairs: [source.names === undefined ? pair : { ...pair, names: source.names }] };
}

/** Dates, chain, and whether OpenSSL takes it (it refuses keys that are too short). */
function inspectPair(pair: CertificatePair, at: Place, given: Inspected, roots: KnownRoots, tell: Tell): void {
  const age = ageText(pair, given.nowAt, given.expiryWarningMs);
  if (age !== undefined) tell(at, `${pair.origin} ${age}`, "warning");
  const gap = chainGap(pair.certificatePem, roots);
  if (gap !== undefined) tell(at, `${pair.origin}: ${gap}`, "warning");
  try {
    createSecureContext({ cert: pair.certificatePem, key: pair.keyPem });
  } catch (thrown) {
    const isToken = pair.keyPem.includes("PKCS#11 PROVIDER");
    tell(
      at,
      isToken
        ? `OpenSSL cannot open the key in the token: ${opensslText(thrown)}. Is its PKCS#11 provider loaded (OPENSSL_CONF)?`
        : `OpenSSL refuses ${pair.origin}: ${opensslText(thrown)}`,
    );
  }
}

/** What a wildcard, or a name, of the settings is covered by. */
function covers(pair: Pick<CertificatePair, "names">, name: string): boolean {
  return name.startsWith("*") ? pair.names.includes(name.toLowerCase()) : servesName(pair, name);
}

function namesText(pair: Pick<CertificatePair, "names">): string {
  const { names } = pair;
  if (names.length === 0) return "nobody";
  return names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`;
}

/** Every entry, as far as a table can be gone through. */
async function inspectTable(
  given: Inspected,
  source: Extract<CertificateSource, { kind: "table" }>,
  path: SettingPath,
  look: (pair: CertificatePair, at: Place) => void,
  tell: Tell,
): Promise<readonly CertificatePair[]> {
  const table = given.tables[source.table];
  if (table === undefined) return [];
  const entries: { key: string; value: string | undefined; at: Place }[] = [];
  if (table.kind === "list") tell([...path, "table"], "expected a table of keys and values, got a list");
  else if (table.kind === "map") {
    for (const [key, value] of Object.entries(table.entries)) {
      const at = ["tables", source.table, "map", key];
      // Settings are read by every process and shown by commands.
      if (value.includes("PRIVATE KEY")) tell(at, "a private key does not belong into the settings: name its file");
      else entries.push({ key, value, at });
    }
  } else if (table.kind !== "file" || table.syntax !== undefined)
    tell([...path, "table"], "expected a table that is a map or a file: the keeper of keys asks no other");
  else {
    try {
      const text = parseTableText(await readTableFile(table.file));
      for (const { line, text: words } of text.problems) tell({ file: table.file, line }, words);
      for (const { key, value, line } of text.entries) entries.push({ key, value, at: { file: table.file, line } });
    } catch (thrown) {
      tell(["tables", source.table, "file"], unreadable(table.file, thrown));
    }
  }
  const all: CertificatePair[] = [];
  for (const { key, value, at } of entries) {
    const parsed = parseTableValue(value ?? "", source.directory);
    if (!parsed.ok) {
      tell(at, `${key} ${parsed.problem}`);
      continue;
    }
    const { pairs, problems } =
      parsed.value.kind === "files" ? await loadFiles(parsed.value.files) : bundleOf(parsed.value.text, key);
    for (const text of problems) tell(at, `${key}: ${text}`);
    for (const pair of pairs) {
      look(pair, at);
      const name = key.replace(/^\./, "*.").toLowerCase();
      if (!covers(pair, name)) tell(at, `${pair.origin} is not for ${key}, but for ${namesText(pair)}`, "warning");
      all.push({ ...pair, names: [name] });
    }
  }
  return all;
}

function inspectListener(listener: InspectedListener, found: readonly Found[], tell: Tell): void {
  const path: SettingPath = ["listeners", listener.at];
  const { terms } = listener;
  const tryOut = (part: string, told: string, options: Parameters<typeof createSecureContext>[0]): void => {
    try {
      createSecureContext(options);
    } catch (thrown) {
      tell([...path, part], `OpenSSL refuses ${told}: ${opensslText(thrown)}`);
    }
  };
  const versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
  if (versions.indexOf(terms.minVersion) > versions.indexOf(terms.maxVersion))
    tell([...path, "tlsMinVersion"], `expected at most tls-max-version (${terms.maxVersion}), got ${terms.minVersion}`);
  if (terms.ciphers !== undefined) {
    tryOut("tlsCiphers", JSON.stringify(terms.ciphers), { ciphers: terms.ciphers });
    const gap = cipherGap(terms.ciphers, terms.minVersion, terms.maxVersion);
    if (gap !== undefined) tell([...path, "tlsCiphers"], gap);
  }
  if (terms.groups !== undefined) tryOut("tlsGroups", JSON.stringify(terms.groups), { ecdhCurve: terms.groups });

  const labels = listener.certificates;
  const shown = found.filter(({ source }) =>
    labels === undefined ? true : source.label !== undefined && labels.includes(source.label),
  );
  const pairs = shown.flatMap((each) => each.pairs);
  if (pairs.length === 0) return;
  if (pairs.some((pair) => covers(pair, listener.hostname))) return;
  tell(
    labels === undefined ? ["certificates"] : [...path, "certificates"],
    `no certificate is for ${listener.hostname}, which the server calls itself: clients that verify names will not accept it`,
    "warning",
  );
}

/** OpenSSL's own words, without its addresses and source lines. */
function opensslText(thrown: unknown): string {
  const text = messageOf(thrown);
  return /^error:[0-9A-F]+:[^:]*:[^:]*:(.+)$/i.exec(text)?.[1] ?? text;
}
