import type { CertificatePair } from "./certificate.ts";

/** Pairs that serve together: of the same names, one of each kind of key. The handshake takes the one the client can verify. */
export interface PairGroup<Pair = CertificatePair> {
  readonly names: readonly string[];
  readonly pairs: readonly Pair[];
}

/** The groups of a list of pairs, in its order; of two with the same names and kind of key the first counts. */
export function groupsOf<Pair extends Pick<CertificatePair, "names" | "keyKind">>(
  pairs: readonly Pair[],
): readonly PairGroup<Pair>[] {
  const groups = new Map<string, { names: readonly string[]; pairs: Pair[] }>();
  for (const pair of pairs) {
    const label = [...pair.names].sort().join(" ");
    const group = groups.get(label);
    if (group === undefined) groups.set(label, { names: pair.names, pairs: [pair] });
    else if (!group.pairs.some((other) => other.keyKind === pair.keyKind)) group.pairs.push(pair);
  }
  return [...groups.values()];
}

/** Finds by exact name, then by a wildcard for exactly one label (RFC 9525 section 6.3). Of two with a name the first counts. */
export function nameIndex<Value>(
  entries: Iterable<readonly [names: readonly string[], value: Value]>,
): (name: string) => Value | undefined {
  const byName = new Map<string, Value>();
  for (const [names, value] of entries)
    for (const name of names) if (!byName.has(name.toLowerCase())) byName.set(name.toLowerCase(), value);
  return (name) => {
    const folded = foldedName(name);
    const dot = folded.indexOf(".");
    return byName.get(folded) ?? (dot > 0 ? byName.get(`*${folded.slice(dot)}`) : undefined);
  };
}

/** A name as clients ask for it, as we look it up. */
export function foldedName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
