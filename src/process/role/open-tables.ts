import { locate } from "../../service/config/config.ts";
import { watchedFile } from "../../service/table/file.io.ts";
import { openTable, type BackendWorld } from "../../service/table/open-backend.io.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import type { Table } from "../../service/table/table.ts";
import { createTables, type Tables } from "../../service/table/tables.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

export interface OpenTables {
  readonly tables: Tables;
  /** Lets nothing new begin; what runs fails. */
  close(): Promise<void>;
}

/** Opens tables of the settings in this process, backends included. What is away shows in the answers. */
export async function openTables(
  loaded: LoadedSettings,
  isWanted: (name: string) => boolean,
  world: Omit<BackendWorld, "secrets">,
): Promise<OpenTables> {
  const { clock, onFinding } = world;
  const wanted = Object.entries(loaded.settings.tables).filter(([name]) => isWanted(name));
  const tables = new Map<string, Table>(
    createTables(
      Object.fromEntries(wanted.filter(([, source]) => !isBackendSource(source))),
      (table, path) => watchedFile(table, path, clock, onFinding, loaded.tableTexts[table]),
      onFinding,
      (path) => locate(loaded.origins, path),
    ),
  );
  const backends = { ...world, secrets: loaded.secrets.tables ?? {} };
  const opened = await Promise.all(
    wanted.flatMap(([name, source]) => (isBackendSource(source) ? [openTable(name, source, backends)] : [])),
  );
  for (const { table } of opened) tables.set(table.name, table);
  return {
    tables,
    async close() {
      await Promise.all(opened.map((one) => one.close()));
    },
  };
}
