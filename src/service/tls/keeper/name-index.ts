import type { CertificatePair } from "./certificate.ts";

type Dated = Pick<CertificatePair, "keyKind" | "notBeforeAt" | "notAfterAt">;
type Named = Dated & Pick<CertificatePair, "names">;

/** Which of a list of pairs serve together, one of each kind of key: the handshake takes the one the client can verify. */
export interface ServingPairs<Pair> {
  /**
   * By exact name, then, for kinds of key that are missing, by a wildcard for exactly one label (RFC 9525 section 6.3), chosen
   * among those as `servingTogether` does. Undefined where nobody has the name.
   */
  readonly forName: (name: string, nowAt: number) => readonly Pair[] | undefined;
  /** What is shown to who asks for no name where this pair is the default: it and what serves beside it, or in its place. */
  readonly asDefault: (pair: Pair, nowAt: number) => readonly Pair[];
}

export function servingPairs<Pair extends Named>(pairs: readonly Pair[]): ServingPairs<Pair> {
  const byName = new Map<string, Pair[]>();
  for (const pair of pairs)
    for (const name of pair.names) {
      const known = byName.get(name.toLowerCase());
      if (known === undefined) byName.set(name.toLowerCase(), [pair]);
      else known.push(pair);
    }
  const having = (name: string): readonly Pair[] => {
    const folded = foldedName(name);
    const dot = folded.indexOf(".");
    const exact = byName.get(folded) ?? [];
    const wild = dot > 0 ? byName.get(`*${folded.slice(dot)}`) : undefined;
    return wild === undefined ? exact : [...exact, ...wild];
  };
  return {
    forName(name, nowAt) {
      const among = having(name);
      return among.length === 0 ? undefined : servingTogether(among, nowAt);
    },
    asDefault(pair, nowAt) {
      const [name] = pair.names;
      return servingTogether([pair, ...(name === undefined ? [] : having(name))], nowAt);
    },
  };
}

/**
 * The first of each kind of key, of those that are valid where there are any: a renewal may have been filed beside what it
 * renews. What is not valid serves only where nothing stands in for it: RSA, which every client takes, stands in for every kind.
 */
export function servingTogether<Pair extends Dated>(pairs: readonly Pair[], nowAt: number): readonly Pair[] {
  const valid = firstOfEachKind(pairs.filter((pair) => nowAt >= pair.notBeforeAt && nowAt <= pair.notAfterAt));
  return valid.some(({ keyKind }) => keyKind === "rsa") ? valid : firstOfEachKind([...valid, ...pairs]);
}

function firstOfEachKind<Pair extends Dated>(pairs: readonly Pair[]): readonly Pair[] {
  return pairs.filter((pair, at) => pairs.findIndex(({ keyKind }) => keyKind === pair.keyKind) === at);
}

/** A name as clients ask for it, as we look it up. */
export function foldedName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
