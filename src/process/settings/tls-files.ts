import { problemIn, type Origins, type SettingPath, type SettingsProblem } from "../../service/config/config.ts";
import type { ContextTerms } from "../../service/tls/contexts.io.ts";
import type { CertificateProblem, Inspected } from "../../service/tls/keeper/inspect.io.ts";
import type { KeeperSettings } from "../../service/tls/keeper/keeper.io.ts";
import { acmeItemsOf } from "./acme-files.ts";
import type { Folders } from "../folders.ts";
import type { Settings } from "./settings.ts";
import { signingTablesOf } from "./signing-files.ts";

/** What the settings say of certificates, keys and authorities, as the parts of `service/tls` take it. */

type Listener = Settings["listeners"][number];

/** Every file of authorities that the settings name, and where. Nobody may ask the keeper for another. */
export function authoritiesOf(
  settings: Pick<Settings, "listeners" | "delivery" | "actions" | "acme" | "certificates">,
): readonly NamedFile[] {
  const { listeners, delivery, actions } = settings;
  return [
    ...filesUnder(listeners, ["listeners"]),
    ...filesUnder(delivery, ["delivery"]),
    ...filesUnder(actions, ["actions"]),
    ...(acmeItemsOf(settings).length === 0 ? [] : filesUnder(settings.acme, ["acme"])),
    ...delivery.tls.caFiles.map((file, at) => ({ path: ["delivery", "tls", "caFiles", at], file })),
  ];
}

interface NamedFile {
  readonly path: SettingPath;
  readonly file: string;
}

/** Settings that name authorities are called one of these, wherever they stand. */
const AUTHORITY_SETTINGS = new Set(["caFile", "clientAuthorities"]);

function filesUnder(value: unknown, path: SettingPath): readonly NamedFile[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, below]): readonly NamedFile[] => {
    const here = [...path, Array.isArray(value) ? Number(name) : name];
    return typeof below === "string" && AUTHORITY_SETTINGS.has(name)
      ? [{ path: here, file: below }]
      : filesUnder(below, here);
  });
}

/** The tables that hold certificates and keys, or name keys: the keeper's alone. */
export function certificateTablesOf(settings: Pick<Settings, "certificates" | "filters">): ReadonlySet<string> {
  return new Set([
    ...settings.certificates.flatMap((source) => (source.kind === "table" ? [source.table] : [])),
    ...signingTablesOf(settings),
  ]);
}

export function keeperSettingsOf(settings: Settings, folders: Pick<Folders, "tls">): KeeperSettings {
  const listeners = settings.listeners.filter(({ tls }) => tls !== "off");
  return {
    certificates: settings.certificates,
    listeners: listeners.map(({ name, certificates }) => ({ name, certificates })),
    authorities: authoritiesOf(settings).map(({ file }) => file),
    directory: folders.tls,
    ownNames: [
      ...new Set([settings.hostname, ...listeners.flatMap(({ hostname }) => hostNamesIn(hostname)), "localhost"]),
    ],
    expiryWarningMs: settings.tls.expiryWarning,
  };
}

/** A listener may greet with anything; only a host name can stand in a certificate. */
function hostNamesIn(hostname: string | undefined): readonly string[] {
  return hostname !== undefined && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(hostname) ? [hostname.toLowerCase()] : [];
}

export function termsOf(settings: Pick<Settings, "tls">, listener: Listener): ContextTerms {
  return {
    listener: listener.name,
    minVersion: listener.tlsMinVersion,
    maxVersion: listener.tlsMaxVersion,
    ...(listener.tlsCiphers === undefined ? {} : { ciphers: listener.tlsCiphers }),
    ...(listener.tlsGroups === undefined ? {} : { groups: listener.tlsGroups }),
    hasTickets: settings.tls.tickets,
    ticketLifetimeMs: settings.tls.ticketLifetime,
    mostContexts: settings.tls.mostContexts,
  };
}

export function inspectedOf(settings: Settings, nowAt: number): Inspected {
  return {
    certificates: settings.certificates,
    listeners: settings.listeners.map((listener, at) => ({
      at,
      hostname: listener.hostname ?? settings.hostname,
      isUsed: listener.tls !== "off",
      certificates: listener.certificates,
      terms: termsOf(settings, listener),
    })),
    authorities: authoritiesOf(settings),
    tables: settings.tables,
    nowAt,
    expiryWarningMs: settings.tls.expiryWarning,
  };
}

/** With its place in the settings' file, or in the table's. */
export function locatedProblem(problem: CertificateProblem, origins: Origins): SettingsProblem {
  const { at, text, severity } = problem;
  if ("path" in at) return problemIn(origins, at.path, text, severity);
  return { file: at.file, place: { line: at.line, column: 1 }, path: "", text, severity };
}
