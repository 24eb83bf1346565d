import { parseAliasTargets, type AliasTargets } from "../../protocol/address/alias-targets.ts";
import { formatLocal, splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { firstExact } from "../../service/table/first-exact.ts";
import type { AnswerAhead, FirstAnswer } from "../../service/table/keyed-backend.ts";
import { foldDomain, foldKey } from "../../service/table/pattern.ts";
import type { AliasAhead, Table } from "../../service/table/table.ts";
import { namesOf, splitExtension } from "./extension.ts";

/**
 * Where the names of a domain are looked up. In a primary domain names are users of this host, and tables speak of
 * `jane`; in a virtual one they are addresses, and tables speak of `jane@example.com`. The order, for
 * `jane+lists@example.org`:
 *
 * | key | primary | virtual |
 * |---|---|---|
 * | `jane+lists@example.org`, `jane@example.org` | yes | yes |
 * | `jane+lists`, `jane` | yes | no |
 * | then, if nobody of that name has a mailbox: `@example.org` | yes | yes |
 *
 * Of several tables the first that has a key counts. A virtual alias passes an extension that its key does not name on to
 * its targets, as Postfix does; an alias of a primary domain does not.
 */
export interface Book {
  readonly kind: "primary" | "virtual";
  readonly tables: readonly Table[];
  /** What separates a user from an extension. */
  readonly delimiters: string;
}

export type BookAnswer = BookEntry | { readonly kind: "none" } | { readonly kind: "failed"; readonly text: string };

export interface BookEntry {
  readonly kind: "found";
  readonly key: string;
  readonly where: string;
  readonly value: AliasTargets;
  /** What the key does not name of the recipient, delimiter included: `+lists`. */
  readonly unmatched: string;
  /** What the table said besides: of its owner, of its targets. */
  readonly known?: Known | undefined;
}

/** What a table has answered before it was asked. */
export interface Known {
  readonly table: string;
  readonly answers: readonly AnswerAhead[];
}

/** What an expansion knows when it looks a name up. */
export interface BookAsk {
  readonly known?: Known | undefined;
  /** What the entry names will be looked up, too, names without a domain in this one, and the owner of the list. */
  readonly next?: { readonly domain: string; readonly hasOwners: boolean } | undefined;
}

/** The entry of a name itself. Never rejects. */
export function findInBook(book: Book, address: string, { known, next }: BookAsk = {}): Promise<BookAnswer> {
  if (book.tables.length === 0) return Promise.resolve({ kind: "none" });
  const ahead: AliasAhead | undefined =
    next === undefined
      ? undefined
      : {
          address,
          book: book.kind,
          delimiters: book.delimiters,
          domain: next.domain,
          hasOwner: next.hasOwners,
        };
  return first(book, keysOf(book, address), { known, ahead });
}

interface BookKey {
  readonly key: string;
  /** What it leaves out of the name. */
  readonly unmatched: string;
}

function keysOf(book: Pick<Book, "kind" | "delimiters">, address: string): readonly BookKey[] {
  const { local, domain } = splitAddress(address);
  const plain = unquote(local);
  const names = namesOf(plain, book.delimiters);
  // The name without its extension, as it was written: what is left out begins there.
  const [, bare] = names;
  const unmatched = bare === undefined ? "" : plain.slice(splitExtension(plain, book.delimiters).user.length);
  const folded = foldDomain(domain);
  const keys = names.map((name, at) => ({
    key: `${formatLocal(name)}@${folded}`,
    unmatched: at === 0 ? "" : unmatched,
  }));
  if (book.kind === "primary")
    for (const [at, name] of names.entries())
      if (!MEANS_MORE.test(name)) keys.push({ key: name, unmatched: at === 0 ? "" : unmatched });
  return keys;
}

/** The name of whoever keeps a list; an owner has none. `unmatched`: what the list's key does not name of the address. */
export function ownerOf(address: string, unmatched: string): string | undefined {
  const { local, domain } = splitAddress(address);
  const plain = unquote(local);
  const name = plain.slice(0, plain.length - unmatched.length);
  return /^owner-/i.test(name) ? undefined : `${formatLocal(`owner-${name}`)}@${domain}`;
}

/**
 * The keys that an expansion asks a table for when it has found there what an alias stands for: of the list's owner, and of
 * its first targets. For whoever is near the table (`TableAsk.ahead`). Where a target is another book's the guess is wrong,
 * and its answer is of no use.
 */
export function aliasKeysAhead(
  ask: AliasAhead,
  { key, value }: { readonly key: string; readonly value: string },
): readonly (readonly string[])[] {
  const book = { kind: ask.book, delimiters: ask.delimiters };
  const domain = foldDomain(splitAddress(ask.address).domain);
  const { unmatched = "" } = keysOf(book, ask.address).find((one) => one.key === key) ?? {};
  const owner = ask.hasOwner ? ownerOf(ask.address, unmatched) : undefined;
  const addresses = owner === undefined ? [] : [owner];
  const most = addresses.length + MOST_AHEAD;
  for (const target of parseAliasTargets(value).targets) {
    if (addresses.length === most) break;
    if (target.kind !== "address" || target.isFinal) continue;
    const parts = splitAddress(target.address);
    const isName = parts.domain === "";
    if (foldDomain(isName ? ask.domain : parts.domain) !== domain) continue;
    addresses.push(isName ? `${parts.local}@${ask.domain}` : target.address);
  }
  const own = foldKey(ask.address);
  return addresses.filter((one) => foldKey(one) !== own).map((one) => keysOf(book, one).map(({ key }) => key));
}

/** Targets that are asked for at the same time. */
export const MOST_AHEAD = 2;

/** The entry of all names of a domain that nobody else has. */
export async function findCatchAll(book: Book, address: string): Promise<BookAnswer> {
  const key = `@${foldDomain(splitAddress(address).domain)}`;
  return first(book, [{ key, unmatched: "" }]);
}

/** Local parts that as keys of a table would say something about other names, too; one with an `@` is another's address. */
const MEANS_MORE = /^[*!.]|@|^$/;

/**
 * Tables are asked in their order, each for all keys that would be better than what was found. So a table far away costs
 * one wait, and what stands in a table before it costs none.
 */
async function first(
  book: Book,
  keys: readonly BookKey[],
  { known, ahead }: { readonly known?: Known | undefined; readonly ahead?: AliasAhead | undefined } = {},
): Promise<BookAnswer> {
  let best: (FirstAnswer & { readonly kind: "found"; readonly table: string }) | undefined;
  let wanted = keys.map(({ key }) => key);
  for (const table of book.tables) {
    if (wanted.length === 0) break;
    const answer =
      (known?.table === table.name ? answerOf(known, wanted) : undefined) ??
      (await firstExact(table, wanted, { service: "alias", ahead }));
    if (answer.kind === "failed") return answer;
    if (answer.kind === "none") continue;
    best = { ...answer, table: table.name };
    wanted = wanted.slice(0, wanted.indexOf(answer.key));
  }
  if (best === undefined) return { kind: "none" };
  const { key, where } = best;
  const value = parseAliasTargets(best.value);
  const [problem] = value.problems;
  // In doubt nothing goes astray: a broken entry is mended, and the mail comes again.
  if (problem !== undefined) return { kind: "failed", text: `${where}: ${key}: ${problem.text}` };
  if (value.targets.length === 0) return { kind: "failed", text: `${where}: ${key} has no targets` };
  const { unmatched = "" } = keys.find((each) => each.key === key) ?? {};
  const more = best.ahead === undefined ? {} : { known: { table: best.table, answers: best.ahead } };
  return { kind: "found", key, where, value, unmatched, ...more };
}

function answerOf({ answers }: Known, keys: readonly string[]): FirstAnswer | undefined {
  return answers.find((one) => one.keys.length === keys.length && one.keys.every((key, at) => key === keys[at]))
    ?.answer;
}
