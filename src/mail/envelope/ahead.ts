import type { AliasTarget } from "../../protocol/address/alias-targets.ts";
import { foldKey } from "../../service/table/pattern.ts";
import { findInBook, MOST_AHEAD, type BookAnswer, type Known } from "./address-book.ts";
import type { ExpansionWorld, Origin, Placed } from "./expansion.ts";

/** What an address will be asked, with its answers on the way. Neither rejects before it is waited for. */
export interface Asked {
  readonly placed: Promise<Placed>;
  /** `none` also where it has no book to ask. */
  readonly answer: Promise<BookAnswer>;
}

/** What an expansion asks ahead of its turn. */
export interface Ahead {
  /** Begins to ask for the first of these targets that are addresses. `addressOf`: undefined where nothing will be asked. */
  begin(
    targets: readonly AliasTarget[],
    from: Origin,
    addressOf: (target: AliasTarget) => string | undefined,
    known?: Known,
  ): void;
  of(address: string, from: Origin | undefined): Asked | undefined;
}

/**
 * An expansion goes its way step by step, and each step may wait for a table. What it will ask for anyway is asked while
 * it waits: the next targets of an entry, beside each other and beside the owner of the list. Which questions are asked
 * does not change, nor what comes of them; only few are under way at once, for a long list is no reason to flood a database.
 */
export function askingAhead(world: ExpansionWorld): Ahead {
  const asked = new Map<string, Asked>();
  const begun = new Set<string>();
  const keyOf = (address: string, from: Origin | undefined): string => `${from ?? ""} ${address}`;
  const begin = (address: string, from: Origin, known: Known | undefined): void => {
    // Another writing of the same is not visited twice.
    const folded = keyOf(foldKey(address), from);
    if (begun.has(folded)) return;
    begun.add(folded);
    const placed = world.place(address, from);
    const answer = placed.then((found): BookAnswer | Promise<BookAnswer> =>
      found.kind === "placed" && found.book !== undefined
        ? findInBook(found.book, address, { known })
        : { kind: "none" },
    );
    // Its turn may never come, where another target ends the expansion.
    placed.catch(() => {});
    answer.catch(() => {});
    asked.set(keyOf(address, from), { placed, answer });
  };
  return {
    begin(targets, from, addressOf, known) {
      if (world.isTold === true) return;
      for (const target of targets.slice(0, MOST_AHEAD)) {
        const address = addressOf(target);
        if (address !== undefined) begin(address, from, known);
      }
    },
    of: (address, from) => asked.get(keyOf(address, from)),
  };
}
