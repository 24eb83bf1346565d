import { existsSync } from "node:fs";
import type { AliasFile, TableQuestion, TableStory } from "../../admin/cli/tables/table-world.ts";
import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import { nearestName } from "../../service/config/names.ts";
import { foldKey } from "../../service/table/pattern.ts";
import type { TablesSettings } from "../../service/table/settings.ts";
import type { TableAnswer, TableStep } from "../../service/table/table.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { openTables } from "../role/open-tables.ts";
import { ownTrust } from "../role/trust.ts";

/** Asks one table in this process, as whoever asks in the server would, and notes each step. */
export async function explainTable(question: TableQuestion, loaded: LoadedSettings, clock: Clock): Promise<TableStory> {
  const { tables } = loaded.settings;
  const source = Object.hasOwn(tables, question.table) ? tables[question.table] : undefined;
  if (source === undefined) {
    const names = Object.keys(tables);
    const near = nearestName(question.table, names);
    throw new PosthornError("USAGE", {
      message: `the settings have no table ${question.table}`,
      advice:
        near !== undefined
          ? `did you mean ${near}?`
          : names.length > 0
            ? `there are: ${names.join(", ")}`
            : "they have none",
    });
  }
  const findings: string[] = [];
  const steps: TableStep[] = [];
  const opened = await openTables(loaded, (name) => name === question.table, {
    clock,
    random: systemRandom,
    trust: ownTrust(),
    onFinding: ({ text }) => void findings.push(text),
  });
  try {
    const table = opened.tables.get(question.table);
    if (table === undefined) throw new Error(`table ${question.table} was not opened`);
    const began = clock.monotonicMs();
    const { service, key, verb } = question;
    const answer: TableAnswer<string | boolean> = await table[verb](key, {
      service,
      onStep: (step) => void steps.push(step),
    });
    const tookMs = clock.monotonicMs() - began;
    return {
      table: question.table,
      kind: source.kind === "file" ? (source.syntax ?? "file") : source.kind,
      text: table.health?.().text ?? source.kind,
      folded: foldKey(key),
      steps,
      answer,
      ...(source.kind === "file" || source.kind === "list" || source.kind === "map"
        ? { entry: await entryAt(table, answer) }
        : {}),
      findings,
      tookMs,
    };
  } finally {
    await opened.close();
  }
}

/** The key that stands where the answer is from. */
async function entryAt(
  table: { entries?(): Promise<TableAnswer<readonly { readonly key: string; readonly where: string }[]>> },
  answer: TableAnswer<string | boolean>,
): Promise<string | undefined> {
  if (answer.kind !== "found") return undefined;
  const entries = await table.entries?.();
  return entries?.kind === "found" ? entries.value.find(({ where }) => where === answer.where)?.key : undefined;
}

/** Texts in the form of /etc/aliases: those that are read as they are, and those that an indexed file is made of. */
export function aliasFilesOf(tables: TablesSettings): readonly AliasFile[] {
  return Object.entries(tables).flatMap(([table, source]): AliasFile[] => {
    if (source.kind === "file") return source.syntax === "aliases" ? [{ table, source: source.file }] : [];
    if (source.kind !== "cdb" || !source.options.file.endsWith(".cdb")) return [];
    const text = source.options.file.slice(0, -".cdb".length);
    return existsSync(text) ? [{ table, source: text, indexed: source.options.file }] : [];
  });
}
