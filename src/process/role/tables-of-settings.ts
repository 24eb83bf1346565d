import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { locate } from "../../service/config/config.ts";
import { watchedFile } from "../../service/table/file.io.ts";
import { remoteTable } from "../../service/table/remote-table.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import { createTables, type Tables } from "../../service/table/tables.ts";
import * as events from "../events.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { LookupPort } from "./lookup.ts";
import { lookupTablesOf } from "../settings/lookup-needs.ts";
import { certificateTablesOf } from "../settings/tls-files.ts";

/**
 * The tables of the settings, in whatever process needs them; but for those that only the keeper reads. What the lookup
 * role has open is asked there.
 */
export function tablesOf(loaded: LoadedSettings, clock: Clock, emit: Emit, lookup: LookupPort): Tables {
  const tell = (finding: { table: string; text: string }): void =>
    emit(events.tableTrouble, { table: finding.table, problem: finding.text });
  const keepers = certificateTablesOf(loaded.settings);
  const elsewhere = lookupTablesOf(loaded.settings);
  const sources = Object.entries(loaded.settings.tables).filter(([name]) => !keepers.has(name));
  const own = createTables(
    Object.fromEntries(sources.filter(([name]) => !elsewhere.has(name))),
    (table, path) => watchedFile(table, path, clock, tell, loaded.tableTexts[table]),
    tell,
    (path) => locate(loaded.origins, path),
  );
  const remote = sources.flatMap(([name, source]) => {
    const timeoutMs = isBackendSource(source) ? source.timeoutMs : 5000;
    return elsewhere.has(name) ? [[name, remoteTable(name, lookup, { clock, timeoutMs })] as const] : [];
  });
  return new Map([...own, ...remote]);
}
