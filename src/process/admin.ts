import { readFileSync } from "node:fs";
import type { Admin, ReloadReport } from "../admin/control/admin.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf, PosthornError } from "../foundation/error.ts";
import type { Result } from "../foundation/result.ts";
import { openJournalReader } from "../mail/log/journal-reader.io.ts";
import { problemLine, type SettingsProblem } from "../service/config/config.ts";
import { changedPaths, reloader } from "../service/config/reload.ts";
import { writtenNames } from "../service/config/written-names.ts";
import type { TraceTarget } from "../service/tls/tracer/trace-switches.ts";
import { bodyOpener } from "./role/open-body.ts";
import * as events from "./events.ts";
import type { Folders } from "./folders.ts";
import { posthornSettings } from "./settings/settings.ts";
import type { LoadedSettings } from "./settings/load-settings.ts";
import { canMoveLog } from "./split/log-place.ts";
import type { Server } from "./server.ts";
import { SettingsRefused } from "./settings/settings-refused.ts";
import { shownTables } from "./explain/show-tables.ts";
import { version } from "./version.ts";

/** The admin interface of a running server, and what SIGHUP uses of it. */
export interface ServerAdmin extends Admin {
  reloadFor(by: string): Promise<ReloadReport>;
}

export function buildAdmin(parts: {
  server: Server;
  folders: Folders;
  startedAt: number;
  settingsFile: string | undefined;
  read: () => Promise<Result<LoadedSettings, readonly SettingsProblem[]>>;
  /** Puts them in force. Rejects, and has changed nothing, when something of them cannot be had. */
  swap: (next: LoadedSettings) => Promise<void>;
  stop: () => void;
  clock: Clock;
}): ServerAdmin {
  const { server, clock } = parts;
  const journal = openJournalReader(parts.folders.journalFile);
  const open = bodyOpener(parts.folders);
  const logAtStart = server.loaded.settings.log.to;
  let loadedAt = parts.startedAt;
  const settingsName = parts.settingsFile ?? "built in";

  const reload = reloader<LoadedSettings>({
    build: parts.read,
    swap: parts.swap,
  });
  const reloadFor = async (by: string): Promise<ReloadReport> => {
    const startedAtMs = clock.monotonicMs();
    const before = server.loaded;
    const result = await reload();
    const refuse = (errors: readonly string[]): ReloadReport => {
      server.emit(events.reloadFailed, { settings: settingsName, by, errors });
      return { kind: "refused", problems: errors };
    };
    switch (result.kind) {
      case "swapped": {
        loadedAt = clock.now();
        const { settings, awaitsRestart } = server.loaded;
        const news = awaitsRestart.filter((path) => !before.awaitsRestart.includes(path));
        const paths = [...news, ...changedPaths(before.settings, settings)];
        const spelling = /\.[cm]?[jt]s$/.test(settingsName) ? "camel" : "kebab";
        const inWords = (some: readonly string[]): readonly string[] => writtenNames(posthornSettings, some, spelling);
        const changed = inWords(paths);
        const tookMs = Math.round(clock.monotonicMs() - startedAtMs);
        const staysInPlace = server.layout === "split" && !canMoveLog(logAtStart, settings.log.to);
        const logPaths = staysInPlace ? paths.filter((path) => path.startsWith("log.to")) : [];
        const needsRestart = inWords([...awaitsRestart, ...logPaths]);
        server.emit(events.settingsReloaded, { settings: settingsName, by, tookMs, changed, needsRestart });
        for (const problem of server.loaded.warnings)
          server.emit(events.settingsWarning, { problem: problemLine(problem) });
        return { kind: "swapped", changed, needsRestart };
      }
      case "refused":
        return refuse(result.problems.map(problemLine));
      case "failed":
        return refuse(
          result.error instanceof SettingsRefused ? result.error.problems.map(problemLine) : [messageOf(result.error)],
        );
      case "busy":
        return { kind: "refused", problems: ["another reload is under way: ask again when it has ended"] };
    }
  };

  return {
    queue: server.admin,
    journal,
    async content(message) {
      const shown = await server.admin
        .show(`${message}.1`, { withBody: true })
        .then((found) => found ?? server.admin.show(message, { withBody: true }));
      return shown?.body === undefined ? undefined : open(shown.body);
    },
    async status() {
      return {
        version,
        layout: server.layout,
        startedAt: parts.startedAt,
        settingsFile: parts.settingsFile,
        settingsLoadedAt: loadedAt,
        processes: server.processes().map((one) => ({ ...one, memoryBytes: residentBytes(one.pid) })),
        listeners: server.loaded.settings.listeners.map((listener) => ({
          name: listener.name,
          at:
            server.listening.find((text) => text.startsWith(`${listener.name}=`))?.slice(listener.name.length + 1) ??
            "nowhere",
          protocol: listener.protocol,
        })),
        queue: await server.admin.status(),
        logTroubles: server.logTroubles(),
      };
    },
    certificates: () => server.certificates(),
    async renewCertificates(label) {
      return { labels: server.renewCertificates(label) };
    },
    logins: {
      shown: async () => (await server.askLookup((port) => port.shownLogins())) ?? [],
      clear: async (which) => (await server.askLookup((port) => port.clearLogins(which))) ?? { cleared: 0 },
    },
    senders: {
      shown: async () => (await server.askLookup((port) => port.shownSenders())) ?? [],
      clear: async (account) => {
        needsSetting(server.loaded.settings.accounts?.limits, "accounts.limits", "nothing is counted of anybody");
        return (await server.askLookup((port) => port.clearSender(account))) ?? { cleared: 0 };
      },
    },
    rates: {
      shown: async () => (await server.askLookup((port) => port.shownRates())) ?? [],
      clear: async (key) => (await server.askLookup((port) => port.clearRate(key))) ?? { cleared: 0 },
    },
    greylist: {
      list: async (wanted) => (await server.askLookup((port) => port.greylistRows(wanted))) ?? [],
      remove: async (which) => (await server.askLookup((port) => port.removeFromGreylist(which))) ?? { removed: 0 },
      allow: async (address) => (await server.askLookup((port) => port.allowInGreylist(address))) ?? { networks: [] },
    },
    dmarc: {
      list: async () => (await server.askLookup((port) => port.dmarcReports())) ?? [],
      read: (domain, day) => server.askLookup((port) => port.dmarcReport(domain, day)),
      hasten: async (domain) => {
        needsSetting(server.loaded.settings.dmarcReports, "dmarc-reports", "no reports are collected or sent");
        return (await server.askLookup((port) => port.hastenDmarcReports(domain))) ?? { due: 0 };
      },
    },
    filters: async () => server.filters(),
    tables: () => shownTables(server.loaded, () => server.askLookup((port) => port.tableHealth())),
    traces: {
      list: () => server.traces.list(),
      remove: (target) => server.traces.remove(target),
      async set(wish) {
        refuseUnknownListener(wish.target, server.loaded.settings.listeners);
        return server.traces.set(wish);
      },
    },
    topics: server.topics,
    reload: () => reloadFor("posthorn reload"),
    reloadFor,
    async reopenLog() {
      server.reopen();
    },
    async stop() {
      parts.stop();
    },
    subscribe: (listener) => server.subscribe(listener),
  };
}

function needsSetting(value: unknown, name: string, so: string): void {
  if (value !== undefined) return;
  throw new PosthornError("USAGE", {
    message: `${so}: the settings have no ${name}`,
    advice: "set it, then posthorn reload",
  });
}

/** Peers and relays may come to be; listeners are those of the settings. */
function refuseUnknownListener({ by, value }: TraceTarget, listeners: readonly { readonly name: string }[]): void {
  if (by !== "listener" || listeners.some(({ name }) => name === value)) return;
  const names = listeners.map(({ name }) => name).join(", ");
  throw new PosthornError("USAGE", {
    message: `there is no listener ${JSON.stringify(value)}`,
    advice: names === "" ? "the settings have no listeners" : `the listeners are: ${names}`,
  });
}

/** Resident memory; undefined where the system does not say. */
function residentBytes(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}
