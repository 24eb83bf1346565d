import { dirname, join } from "node:path";
import type { Actions } from "../../mail/envelope/action-settings.ts";
import type { Filter } from "../../mail/filter/filter.ts";
import type { FilterWorld } from "../../mail/filter/filter-world.ts";
import { Filters, Trouble, type FilterInUse } from "../../mail/filter/filters.ts";
import { makeFilter } from "../../mail/filter/make-filter.io.ts";
import { unchained } from "../../mail/filter/named-chains.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { Settings } from "../settings/settings.ts";
import { version } from "../version.ts";

/** The filters that the settings use, for the process that receives mail. Undefined: nobody is asked anywhere. */
export async function filtersOf(
  { settings, secrets }: LoadedSettings,
  world: Omit<FilterWorld, "random" | "hostname" | "version" | "secrets">,
  /** What stands for a filter: in `posthorn test` something that needs no network. */
  make: typeof makeFilter = makeFilter,
): Promise<Filters | undefined> {
  const names = filtersInUse(settings);
  if (names.length === 0) return undefined;
  const all: FilterInUse[] = [];
  try {
    for (const name of names) {
      const one = settings.filters[name];
      if (one === undefined) continue;
      const filter: Filter = await make(name, one, {
        ...world,
        random: systemRandom,
        hostname: settings.hostname,
        version,
        secrets: secrets.filters ?? {},
      });
      all.push({ filter, settings: one, trouble: new Trouble(name, world.clock, world.emit) });
    }
  } catch (thrown) {
    await Promise.allSettled(all.map(({ filter }) => filter.close()));
    throw thrown;
  }
  const own = settings.listeners.flatMap(({ name, filteredBy }) =>
    filteredBy === undefined ? [] : [[name, unchained(filteredBy, settings.filters)] as const],
  );
  return new Filters(
    all,
    { common: unchained(settings.filteredBy, settings.filters), listeners: new Map(own) },
    { clock: world.clock, tables: world.tables, isAction: isActionOf(settings.actions) },
  );
}

/** What a filter may choose for a mail: an action that takes mail. */
function isActionOf(actions: Actions): (name: string) => boolean {
  return (name) => Object.hasOwn(actions, name) && actions[name]?.kind !== "reject";
}

/** Whether tags that filters give a mail may change what becomes of it. */
export function rulesAskTags({ rules }: Pick<Settings, "rules">): boolean {
  return rules?.some(({ match }) => match.tag !== undefined || match.not?.tag !== undefined) === true;
}

/** By name, chains taken apart; one that no list names is not made. */
export function filtersInUse({
  filters,
  filteredBy,
  listeners,
}: Pick<Settings, "filters" | "filteredBy" | "listeners">): readonly string[] {
  // Users of this host have no listener of their own in the settings: the common list holds for them, too.
  const all = [filteredBy, ...listeners.map((listener) => listener.filteredBy ?? [])];
  return [...new Set(all.flatMap((names) => unchained(names, filters)))];
}

/** What filters need beyond what reception needs: programs, modules of hooks, threads. */
export function filterGrantsOf(settings: Pick<Settings, "filters" | "filteredBy" | "listeners">): {
  readonly read: readonly string[];
  readonly mayRunPrograms: boolean;
  readonly mayUseThreads: boolean;
} {
  const used = filtersInUse(settings).flatMap((name) => settings.filters[name] ?? []);
  const modules = used.flatMap(({ module, hooks }) => [module, hooks].flatMap((one) => one ?? []));
  const folders = modules.map(({ file }) => dirname(file));
  const authorities = used.flatMap(({ rspamd, http }) => [rspamd?.tlsCa ?? [], http?.tlsCa ?? []].flat());
  return {
    // What a module imports stands beside it or below.
    read: [...authorities, ...[...new Set(folders)].flatMap((folder) => [folder, join(folder, "*")])],
    mayRunPrograms: used.some(({ process }) => process !== undefined),
    mayUseThreads: modules.some(({ worker }) => worker),
  };
}
