import type { CertificatePair } from "./certificate.ts";

type Named = Pick<CertificatePair, "names" | "keyKind">;

/** Which of a list of pairs serve together, one of each kind of key: the handshake takes the one the client can verify. */
export interface ServingPairs<Pair> {
  /**
   * By exact name, then, for kinds of key that are missing, by a wildcard for exactly one label (RFC 9525 section 6.3). Of two
   * with the same name and kind the first counts. Undefined where nobody has the name.
   */
  readonly forName: (name: string) => readonly Pair[] | undefined;
  /** What may be shown to who asks for no name, in the order of the list: each pair, and what serves beside it. */
  readonly defaults: readonly (readonly Pair[])[];
}

export function servingPairs<Pair extends Named>(pairs: readonly Pair[]): ServingPairs<Pair> {
  const byName = new Map<string, Pair[]>();
  for (const pair of pairs)
    for (const name of pair.names) {
      const known = byName.get(name.toLowerCase());
      if (known === undefined) byName.set(name.toLowerCase(), [pair]);
      else addKinds(known, [pair]);
    }
  const forName = (name: string): readonly Pair[] | undefined => {
    const folded = foldedName(name);
    const dot = folded.indexOf(".");
    const exact = byName.get(folded);
    const wild = dot > 0 ? byName.get(`*${folded.slice(dot)}`) : undefined;
    if (exact === undefined || wild === undefined) return exact ?? wild;
    return addKinds([...exact], wild);
  };
  const defaults = pairs.map((pair) => {
    const [name] = pair.names;
    return addKinds([pair], name === undefined ? [] : (forName(name) ?? []));
  });
  return { forName, defaults };
}

function addKinds<Pair extends Named>(among: Pair[], more: readonly Pair[]): Pair[] {
  for (const pair of more) if (!among.some((other) => other.keyKind === pair.keyKind)) among.push(pair);
  return among;
}

/** A name as clients ask for it, as we look it up. */
export function foldedName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
