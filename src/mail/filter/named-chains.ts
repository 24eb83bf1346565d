import type { FiltersSettings } from "./settings.ts";

/** What is wrong with the chains of filters: names that there are not, and chains that come back to themselves. */
export function chainProblems(
  filters: FiltersSettings,
): readonly { readonly path: readonly (string | number)[]; readonly text: string }[] {
  return Object.entries(filters).flatMap(([name, { chain = [] }]) =>
    chain.flatMap((member, at) => {
      const path = ["filters", name, "chain", at];
      if (filters[member] === undefined) return [{ path, text: `there is no filter ${member}` }];
      return leadsTo(member, name, filters) ? [{ path, text: `the chain ${name} would be in itself` }] : [];
    }),
  );
}

/** Names of filters, with those of chains in their places; one that stands there twice is asked once, where it comes first. */
export function unchained(names: readonly string[], filters: FiltersSettings): readonly string[] {
  const found = new Set<string>();
  const walk = (name: string, above: readonly string[]): void => {
    const chain = filters[name]?.chain;
    if (chain === undefined) found.add(name);
    else if (!above.includes(name)) for (const member of chain) walk(member, [...above, name]);
  };
  for (const name of names) walk(name, []);
  return [...found];
}

function leadsTo(from: string, to: string, filters: FiltersSettings, seen = new Set<string>()): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return (filters[from]?.chain ?? []).some((member) => leadsTo(member, to, filters, seen));
}
