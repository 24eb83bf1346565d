import { stat } from "node:fs/promises";
import type { ShownTable } from "../../admin/control/admin.ts";
import { messageOf } from "../../foundation/error.ts";
import { readTableFile } from "../../service/table/file.io.ts";
import type { BackendHealth } from "../../service/table/keyed-backend.ts";
import { readContent } from "../../service/table/read-content.ts";
import type { TextSource } from "../../service/table/settings.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { TableHealth } from "../role/lookup.ts";
import { lookupTablesOf } from "../settings/lookup-needs.ts";

/**
 * All tables of the settings, in their order. Those of the lookup role as it tells; a text file, which each process reads for
 * itself, as it is on the disk now. `health` rejects when the role cannot be asked.
 */
export async function shownTables(
  { settings }: Pick<LoadedSettings, "settings">,
  health: () => Promise<readonly TableHealth[] | undefined>,
): Promise<readonly ShownTable[]> {
  const elsewhere = lookupTablesOf(settings);
  let told: readonly TableHealth[] = [];
  let failure = "the lookup process does not know it";
  if (elsewhere.size > 0) {
    try {
      told = (await health()) ?? [];
    } catch (thrown) {
      failure = messageOf(thrown);
    }
  }
  return await Promise.all(
    Object.entries(settings.tables).map(async ([table, source]): Promise<ShownTable> => {
      const kind = source.kind === "file" ? (source.syntax ?? "file") : source.kind;
      if (elsewhere.has(table)) {
        const known = told.find((one) => one.table === table)?.health;
        return { table, kind, health: known ?? { state: "down", text: failure, queries: 0, failures: 0 } };
      }
      if (source.kind === "file") return { table, kind, health: await fileHealth(source) };
      const entries =
        source.kind === "list" ? source.items.length : source.kind === "map" ? Object.keys(source.entries).length : 0;
      return { table, kind, health: { state: "up", text: "in the settings", queries: 0, failures: 0, entries } };
    }),
  );
}

async function fileHealth({ file, syntax }: TextSource): Promise<BackendHealth> {
  const counts = { queries: 0, failures: 0 };
  try {
    const { mtimeMs } = await stat(file);
    const { content, problems } = await readContent(file, await readTableFile(file), syntax);
    const [first] = problems;
    if (first !== undefined)
      return {
        ...counts,
        state: "down",
        text: `${file}:${first.line}: ${first.text}; an earlier version may be in force`,
        changedAt: mtimeMs,
      };
    return { ...counts, state: "up", text: file, entries: content.entries.length, changedAt: mtimeMs };
  } catch (thrown) {
    return { ...counts, state: "down", text: `${messageOf(thrown)}; an earlier version may be in force` };
  }
}
