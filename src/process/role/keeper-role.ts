import { randomBytes } from "node:crypto";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { locate } from "../../service/config/config.ts";
import { signingKeeper } from "../../service/signing/signing-keys.io.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import { watchedFile } from "../../service/table/file.io.ts";
import { createTables } from "../../service/table/tables.ts";
import { startKeeper, type KeeperFinding, type RunningKeeper } from "../../service/tls/keeper/keeper.io.ts";
import { ticketKeys, type TicketKeys } from "../../service/tls/keeper/tickets.ts";
import * as events from "../events.ts";
import type { Folders } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { signingSourcesOf } from "../settings/signing-files.ts";
import { certificateTablesOf, keeperSettingsOf } from "../settings/tls-files.ts";

/** The keeper with what it reads: certificates, keys, authorities, and the tables that hold certificates. */
export interface KeeperRole {
  readonly keeper: RunningKeeper & SigningKeeper;
  /** For the next keeper of this process, so that tickets outlive a reload. */
  readonly tickets: TicketKeys;
  /** Without the tickets. */
  close(): void;
}

/** `tickets` of the keeper before, in the same process. */
export async function startKeeperRole(parts: {
  loaded: LoadedSettings;
  folders: Folders;
  clock: Clock;
  emit: Emit;
  tickets?: TicketKeys | undefined;
}): Promise<KeeperRole> {
  const { loaded, clock, emit } = parts;
  const { settings } = loaded;
  const names = certificateTablesOf(settings);
  const tell = (finding: { table: string; text: string }): void =>
    emit(events.tableTrouble, { table: finding.table, problem: finding.text });
  const tables = createTables(
    Object.fromEntries(Object.entries(settings.tables).filter(([name]) => names.has(name))),
    (table, path) => watchedFile(table, path, clock, tell),
    tell,
    (path) => locate(loaded.origins, path),
  );
  const lifetimeMs = settings.tls.ticketLifetime;
  const tickets = parts.tickets ?? ticketKeys({ clock, lifetimeMs, randomBytes });
  tickets.setLifetime(lifetimeMs);
  const keeper = await startKeeper({
    settings: keeperSettingsOf(settings, parts.folders),
    clock,
    table: (name) => tables.get(name),
    tickets,
    onFinding: (finding) => tellFinding(emit, finding),
  });
  return {
    keeper: { ...keeper, ...signingKeeper(signingSourcesOf(settings), (name) => tables.get(name)) },
    tickets,
    close: () => keeper.close(),
  };
}

function tellFinding(emit: Emit, finding: KeeperFinding): void {
  const { source } = finding;
  if (finding.kind === "trouble") emit(events.certificateTrouble, { source, problem: finding.text });
  else if (finding.kind === "age") emit(events.certificateAge, { source, problem: finding.text });
  else
    emit(events.certificateTaken, {
      source,
      names: finding.names,
      until: new Date(finding.notAfterAt).toISOString().slice(0, 10),
    });
}
