import type { Random } from "../../foundation/random.ts";

/**
 * The order in which next hosts are tried (RFC 5321 section 5.1): by preference, those of equal preference shuffled, so
 * that they share the load. The addresses of one host stay together, in the order in which they were given. Every one
 * stays in the list: the third is tried as well.
 */
export function orderHosts<Host extends { readonly name: string; readonly preference: number }>(
  hosts: readonly Host[],
  random: Random,
): readonly Host[] {
  const byName = new Map<string, Host[]>();
  for (const host of hosts) {
    // The same name at two preferences is two entries of the list.
    const key = `${host.preference} ${host.name}`;
    const known = byName.get(key);
    if (known === undefined) byName.set(key, [host]);
    else known.push(host);
  }
  const groups = shuffled([...byName.values()], random);
  return groups.toSorted((a, b) => (a[0]?.preference ?? 0) - (b[0]?.preference ?? 0)).flat();
}

/** Fisher and Yates. */
export function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random.next() * (last + 1));
    const kept = result[last];
    const moved = result[other];
    if (kept === undefined || moved === undefined) continue;
    result[last] = moved;
    result[other] = kept;
  }
  return result;
}
