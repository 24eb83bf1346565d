import { addressBytes } from "./network.ts";
import { atOf, candidates, foldKey, foldName, parsePattern } from "./pattern.ts";
import type { TableService } from "./table.ts";

/** How a keyed backend is asked for more than the key itself. */
export interface CandidateOptions {
  /** Whether `user@`, `@domain`, `.domain`, `*` and, where `hasFirst`, networks are asked for. */
  readonly wildcards: boolean;
  /** Whether a domain in the table stands for its addresses: so in lists, not in maps. */
  readonly isMember: boolean;
  /** Whether asking for many keys costs about what one does: networks have up to 128 shorter ones. */
  readonly hasFirst: boolean;
}

/**
 * The keys that a backend is asked for, the most exact first:
 *
 * | asked for | keys |
 * |---|---|
 * | `joe@mail.example.org` | itself, `joe@`, `@mail.example.org`, (in lists `mail.example.org`,) `.example.org`, `.org`, `*` |
 * | `mail.example.org` | itself, `.example.org`, `.org`, `*` |
 * | `192.0.2.7` | itself, `192.0.2.6/31` … `0.0.0.0/0`, `*` |
 * | `joe` | itself, `*` |
 *
 * Passwords are kept for one name each: for `credentials` only the key itself is asked for. A person's name beyond ASCII
 * (`jürgen`) is asked for as it is, then as tables fold keys.
 */
export function keyedCandidates(key: string, service: TableService, options: CandidateOptions): readonly string[] {
  const address = addressBytes(key);
  const own = address === undefined ? foldKey(key) : networkText(address, address.length * 8);
  const ownForms = address === undefined ? formsOf(key, own, service) : [own];
  if (!options.wildcards || service === "credentials") return ownForms;
  if (address !== undefined) return options.hasFirst ? [own, ...shorterNetworks(address), "*"] : [own, "*"];
  const at = atOf(own);
  const keys = candidates(own)
    .filter(({ below, key: each }) => below || options.isMember || at < 0 || each.includes("@"))
    .map(({ below, key: each }) => (below ? `.${each}` : each));
  return [...ownForms, ...keys.slice(1), "*"];
}

/** Services that are asked for people: a key of theirs without an `@` is no domain, which alone has A-labels. */
const OF_PEOPLE: ReadonlySet<TableService> = new Set(["alias", "credentials", "userinfo", "address"]);

/**
 * A key of people in lower case as it is written, then in the Unicode form of names, then how tables fold it, where those are
 * something else: what was filled from elsewhere may have any of them.
 */
function formsOf(key: string, folded: string, service: TableService): readonly string[] {
  if (!OF_PEOPLE.has(service) || !/[^\u0000-\u007f]/.test(key) || /^[*.@]/.test(key)) return [folded];
  const at = atOf(key);
  if (at < 0) return [...new Set([key.toLowerCase(), foldName(key), folded])];
  const asWritten = `${key.slice(0, at).toLowerCase()}${folded.slice(atOf(folded))}`;
  return asWritten === folded ? [folded] : [asWritten, folded];
}

/** A key that was written by hand, in each form in which a keyed backend may have it for the service; mostly one. */
export function writtenForms(written: string, service: TableService): readonly string[] {
  return formsOf(written, writtenKey(written), service);
}

/** An account as a program hears of it that compares passwords itself. */
export function accountName(account: string): string {
  const [name = account] = formsOf(account, foldKey(account), "credentials");
  return name;
}

/** How a key that was written by hand stands in a keyed backend: folded, `*.domain` as `.domain`, networks at their shortest. */
export function writtenKey(written: string): string {
  const slash = written.lastIndexOf("/");
  const address = addressBytes(slash < 0 ? written : written.slice(0, slash));
  if (address !== undefined) {
    const bits = slash < 0 ? address.length * 8 : Number(written.slice(slash + 1));
    if (Number.isInteger(bits) && bits >= 0 && bits <= address.length * 8) return networkText(address, bits);
  }
  const pattern = parsePattern(written);
  if (!pattern.ok) return foldName(written);
  if (pattern.value.kind === "all") return "*";
  return pattern.value.kind === "below" ? `.${pattern.value.domain}` : pattern.value.key;
}

function shorterNetworks(address: Uint8Array): readonly string[] {
  const found: string[] = [];
  const bytes = Uint8Array.from(address);
  for (let bits = address.length * 8 - 1; bits >= 0; bits--) {
    const at = bits >> 3;
    bytes[at] = (bytes[at] ?? 0) & ((0xff00 >> (bits & 7)) & 0xff);
    found.push(networkText(bytes, bits));
  }
  return found;
}

/** `192.0.2.0/24`, `2001:db8::/32` as RFC 5952 writes them; without a length for a single address. */
function networkText(bytes: Uint8Array, bits: number): string {
  const length = bits === bytes.length * 8 ? "" : `/${bits}`;
  if (bytes.length === 4) return `${bytes.join(".")}${length}`;
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0));
  let best = { at: -1, count: 1 };
  for (let at = 0; at < 8; at++) {
    let count = 0;
    while (at + count < 8 && groups[at + count] === 0) count++;
    if (count > best.count) best = { at, count };
    at += Math.max(count - 1, 0);
  }
  const hex = groups.map((group) => group.toString(16));
  const text =
    best.at < 0 ? hex.join(":") : `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.count).join(":")}`;
  return `${text}${length}`;
}
