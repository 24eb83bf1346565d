import type { SettingPath } from "../../service/config/config.ts";
import type { TableOrList } from "../../service/config/kinds.ts";
import { tableContent } from "../../service/table/content.ts";
import { parseNetwork } from "../../service/table/network.ts";
import type { TableEntry } from "../../service/table/table.ts";
import type { WhereIs } from "../../service/table/tables.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface InlineProblem {
  readonly path: SettingPath;
  readonly text: string;
}

interface Written {
  readonly path: SettingPath;
  readonly key: string;
  readonly value: string | undefined;
}

/** What lists and maps that stand in the settings say that is nothing, or no and yes: of a file the same is refused when it is read. */
export function inlineTableProblems(
  settings: Pick<WrittenSettings, "tables" | "local" | "listeners" | "verp" | "autoconfig">,
  whereIs: WhereIs,
): readonly InlineProblem[] {
  return [...tablesIn(settings), ...listsIn(settings)].flatMap((written) => problemsOf(written, whereIs));
}

function problemsOf(written: readonly Written[], whereIs: WhereIs): readonly InlineProblem[] {
  const problems: InlineProblem[] = [];
  const good: (TableEntry & Written)[] = [];
  for (const one of written) {
    const key = one.key.replace(/^!/, "");
    const network = /^[\da-f:.]+\/\d+$/i.test(key) ? parseNetwork(key) : undefined;
    if (network?.ok === false)
      problems.push({ path: one.path, text: `expected ${network.problem.expected}, got ${JSON.stringify(key)}` });
    else good.push({ ...one, where: whereIs(one.path) });
  }
  for (const { at, text } of tableContent(good).problems) problems.push({ path: good[at]?.path ?? [], text });
  return problems;
}

function tablesIn({ tables }: Pick<WrittenSettings, "tables">): readonly (readonly Written[])[] {
  return Object.entries(tables).map(([name, source]) =>
    source.kind === "list"
      ? itemsOf(source.items, ["tables", name, "list"])
      : source.kind === "map"
        ? Object.entries(source.entries).map(([key, value]) => ({ path: ["tables", name, "map", key], key, value }))
        : [],
  );
}

function listsIn({
  local,
  listeners,
  verp,
  autoconfig,
}: Pick<WrittenSettings, "local" | "listeners" | "verp" | "autoconfig">): readonly (readonly Written[])[] {
  const settings: readonly (readonly [TableOrList | undefined, SettingPath])[] = [
    [local.domains, ["local", "domains"]],
    [local.users, ["local", "users"]],
    ...local.virtual.flatMap(({ domains, users }, at): [TableOrList | undefined, SettingPath][] => [
      [domains, ["local", "virtual", at, "domains"]],
      [users, ["local", "virtual", at, "users"]],
    ]),
    ...listeners.map(({ etrn }, at): [TableOrList | undefined, SettingPath] => [
      etrn.domains,
      ["listeners", at, "etrn", "domains"],
    ]),
    [verp.senders, ["verp", "senders"]],
    [autoconfig.domains, ["autoconfig", "domains"]],
  ];
  return settings.map(([setting, path]) => (setting?.kind === "list" ? itemsOf(setting.items, path) : []));
}

function itemsOf(items: readonly string[], path: SettingPath): readonly Written[] {
  return items.map((key, at) => ({ path: [...path, at], key, value: undefined }));
}
