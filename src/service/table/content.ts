import { addressBytes, networkContainsBytes, parseNetwork, type Network } from "./network.ts";
import type { TableEntry } from "./table.ts";
import { atOf, candidates, foldKey, foldName, parsePattern } from "./pattern.ts";

/** A table's content, prepared for lookups; replaced as a whole when the table changes. */
export interface TableContent {
  /** A list knows members; a map has a value for each key. */
  readonly kind: "list" | "map" | "empty";
  /** As they were written, in their order. */
  readonly entries: readonly TableEntry[];
  /** `isOwnOnly`: no wildcards, nor networks; a password is kept for one name. */
  lookup(key: string, isOwnOnly?: boolean): Found | undefined;
  /** What is written under this key itself; `*.domain` and `*` are keys like others here. */
  exact(key: string): Found | undefined;
  has(key: string): { readonly is: boolean; readonly where: string } | undefined;
}

export interface Found {
  readonly value: string;
  readonly where: string;
  /** Why there is no value after all. */
  readonly failure?: string | undefined;
}

interface Kept {
  readonly value: string;
  readonly where: string;
  readonly isNegated: boolean;
}

/**
 * Of the entries that fit a key the most exact decides: the key itself, then a network with the longer prefix, then the
 * domain with more labels, at last `*`. One with `!` in front says no.
 */
export function tableContent(entries: readonly TableEntry[]): {
  readonly content: TableContent;
  /** `at`: which of the entries. */
  readonly problems: readonly { readonly at: number; readonly where: string; readonly text: string }[];
} {
  const problems: { at: number; where: string; text: string }[] = [];
  const exact = new Map<string, Kept>();
  const below = new Map<string, Kept>();
  const networks: { network: Network; kept: Kept }[] = [];
  const byBytes = new Map<string, Kept>();
  const all = new Map<string, Kept>();
  for (const [at, { key: written, value, where }] of entries.entries()) {
    const isNegated = written.startsWith("!");
    const key = isNegated ? written.slice(1) : written;
    const kept: Kept = { value: value ?? "", where, isNegated };
    const keep = (map: Map<string, Kept>, folded: string, shown = folded): void => {
      const earlier = map.get(folded);
      if (earlier === undefined) map.set(folded, kept);
      else if (earlier.value !== kept.value || earlier.isNegated !== kept.isNegated)
        problems.push({
          at,
          where,
          text: `${shown} stands twice, ${earlier.isNegated === isNegated ? "with different values" : "once with ! in front"}; first at ${earlier.where}`,
        });
    };
    const keepNetwork = (network: Network): void => {
      networks.push({ network, kept });
      keep(byBytes, `${network.bytes.join(".")}/${network.bits}`, key);
    };
    if (/^[\da-f:.]+\/\d+$/i.test(key)) {
      const network = parseNetwork(key);
      if (network.ok) keepNetwork(network.value);
      else problems.push({ at, where, text: `${key}: expected ${network.problem.expected}` });
      continue;
    }
    const address = addressBytes(key);
    if (address !== undefined) {
      keepNetwork({ bytes: address, bits: address.length * 8 });
      // Of an address written in two ways each is a key of its own, too.
      if (!exact.has(foldKey(key))) exact.set(foldKey(key), kept);
      continue;
    }
    const pattern = parsePattern(key);
    // A key with spaces or stars in it is no address, but may be a user's or anything's name.
    if (!pattern.ok) keep(exact, foldName(key));
    else if (pattern.value.kind === "exact") keep(exact, pattern.value.key);
    else if (pattern.value.kind === "below") keep(below, pattern.value.domain);
    else keep(all, "*");
  }
  const everything = all.get("*");
  networks.sort((a, b) => b.network.bits - a.network.bits);

  const find = (key: string, isMember: boolean, isOwnOnly = false): Kept | undefined => {
    const folded = foldKey(key);
    const direct = exact.get(folded);
    if (direct !== undefined || isOwnOnly) return direct;
    const bytes = networks.length === 0 ? undefined : addressBytes(folded);
    if (bytes !== undefined) {
      const network = networks.find((each) => networkContainsBytes(each.network, bytes));
      if (network !== undefined) return network.kept;
    }
    const at = atOf(folded);
    for (const candidate of at >= 0 || below.size > 0 ? candidates(folded) : []) {
      // A domain is a member's way to say "and everybody in it"; a map's value for a domain is not one for its users.
      if (!candidate.below && at >= 0 && !isMember && !candidate.key.includes("@")) continue;
      const found = (candidate.below ? below : exact).get(candidate.key);
      if (found !== undefined) return found;
    }
    return everything;
  };
  const valued = entries.filter((entry) => entry.value !== undefined).length;
  const kind = entries.length === 0 ? "empty" : valued === 0 ? "list" : "map";
  return {
    problems,
    content: {
      kind,
      entries,
      lookup(key, isOwnOnly) {
        const found = find(key, false, isOwnOnly);
        return found === undefined || found.isNegated ? undefined : found;
      },
      exact(key) {
        const pattern = parsePattern(key);
        const found = !pattern.ok
          ? exact.get(foldName(key))
          : pattern.value.kind === "exact"
            ? exact.get(pattern.value.key)
            : pattern.value.kind === "below"
              ? below.get(pattern.value.domain)
              : everything;
        const bytes = found === undefined ? addressBytes(key) : undefined;
        if (bytes !== undefined)
          return networks.find(
            ({ network, kept }) =>
              network.bits === bytes.length * 8 && !kept.isNegated && networkContainsBytes(network, bytes),
          )?.kept;
        return found === undefined || found.isNegated ? undefined : found;
      },
      has(key) {
        const found = find(key, true);
        return found === undefined ? undefined : { is: !found.isNegated, where: found.where };
      },
    },
  };
}
