import { splitAddress } from "../../protocol/address/mailbox.ts";
import { foldDomain, foldKey, NULL_SENDER } from "../../service/table/pattern.ts";
import type { Tables } from "../../service/table/tables.ts";
import { findInBook, type Book } from "./address-book.ts";
import type { Origin, Placed } from "./expansion.ts";
import type { Holds, LocalNames } from "./local-names.ts";
import type { Candidate } from "./match.ts";
import type { PolicyTrace } from "./policy-trace.ts";
import type { SessionFactsForRules } from "./policy.ts";
import type { Senders } from "./rewrite/senders.ts";
import type { Action } from "./action-settings.ts";
import type { LocalSettings } from "./settings.ts";

/**
 * Places an address: whether it is ours, what the rules say about it, which book knows its names. An address that SRS made
 * stands for the one in it; postmaster stands for whom the settings name, unless an alias says otherwise.
 */
export function placing({
  settings,
  local,
  tables,
  senders,
  decide,
  trace,
}: PlacingParts): (giver: Giver, address: string, from: Origin | undefined) => Promise<Placed> {
  const { extensionDelimiter: delimiters } = settings;
  const primary: Book = { kind: "primary", tables: local.aliases, delimiters };

  const isLocalAddress = async (domain: string, giver: Giver, from: Origin | undefined): Promise<Holds> => {
    // A name without a domain is of this host, whatever the table of domains says.
    if (from === undefined ? giver.isBare : foldDomain(domain) === foldDomain(local.primaryDomain)) return true;
    return local.isLocalDomain(domain);
  };

  /** The tables that an action names for the mail it takes. */
  const bookOf = (action: Action | undefined): Book | undefined => {
    const named = action?.book;
    if (named === undefined) return undefined;
    return { kind: named.kind, tables: named.tables.flatMap((name) => tables.get(name) ?? []), delimiters };
  };

  return async (giver, address, from) => {
    const returned = senders.returned(address);
    if (returned.kind === "address") return { kind: "instead", address: returned.address, rule: "srs", isSame: true };
    if (returned.kind === "refused")
      return refused(550, "5.1.1", RETURN_REFUSED[returned.reason], `srs: ${returned.reason}`);
    const { local: localPart, domain } = splitAddress(address);
    const isLocal = await isLocalAddress(domain, giver, from);
    if (typeof isLocal !== "boolean") return { kind: "failed", text: isLocal.failed };
    const isPostmaster = isLocal && local.isPostmaster(localPart);
    const isOurOwn = giver.isOurOwn || isPostmaster || from !== undefined;
    const facts = from === undefined && !isPostmaster ? giver.facts : { ...OURSELVES, sender: giver.facts.sender };
    trace?.({ step: "address", address, isLocal, isOurOwn });
    const candidate = {
      facts,
      recipient: foldKey(address),
      domain: foldDomain(domain),
      sender: facts.sender === "" ? NULL_SENDER : foldKey(facts.sender),
      isLocal,
      isOurOwn,
    };
    const decided = await decide(candidate, giver.facts);
    if (decided.kind === "failed") return decided;
    if (decided.kind === "none" && !isOurOwn) return refused(550, "5.7.1", "relaying denied", "no rule matches");
    if (decided.kind === "matched" && decided.action.kind === "reject" && !isPostmaster)
      return {
        ...refused(decided.action.code, decided.action.status, decided.action.text, decided.rule),
        rule: decided.rule,
      };
    const chosen =
      decided.kind === "matched" && decided.action.kind !== "reject"
        ? decided
        : { rule: "no rule", name: isLocal ? "deliver" : "relay", action: undefined };
    const { action } = chosen;
    const entry = isLocal ? await local.virtualOf(domain) : "none";
    if (entry !== "none" && "failed" in entry) return { kind: "failed", text: entry.failed };
    const own = bookOf(action);
    const book =
      own ??
      (entry !== "none"
        ? ({ kind: "virtual", tables: entry.aliases, delimiters } as const)
        : isLocal
          ? primary
          : undefined);
    if (isPostmaster && !isMailboxOfPostmaster(settings)) {
      const alias = book === undefined ? { kind: "none" as const } : await findInBook(book, address);
      if (alias.kind === "failed") return alias;
      if (alias.kind === "none")
        return {
          kind: "instead",
          address: local.postmasterOf(giver.isBare ? "" : domain),
          rule: "postmaster",
          isSame: false,
        };
    }
    const endsHere = action === undefined ? isLocal : action.kind === "deliver";
    const name = entry !== "none" && endsHere && entry.action !== undefined ? entry.action : chosen.name;
    return {
      kind: "placed",
      action: name,
      rule: isPostmaster ? "postmaster" : chosen.rule,
      localAction: endsHere ? name : "deliver",
      isLocal,
      book,
      onlyAliases: action?.kind === "deliver" && action.as === "expand-only",
      user: async () => {
        if (isPostmaster) return { name: undefined };
        const user = await (entry === "none" ? local : entry).userOf(address);
        trace?.({ step: "user", address, holds: user === false || "failed" in user ? user : true });
        return user;
      },
    };
  };
}

/** Who gives a mail, as far as one expansion asks: the client, or ourselves. */
export interface Giver {
  readonly facts: SessionFactsForRules;
  readonly isOurOwn: boolean;
  /** The recipient was given without a domain: it is of this host. */
  readonly isBare: boolean;
}

/** What the rules say. */
export type Decided =
  | { readonly kind: "matched"; readonly rule: string; readonly name: string; readonly action: Action }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

/** Who gives mail that we make, or that an alias sends on. */
export const OURSELVES: SessionFactsForRules = { listener: "bounce", isEncrypted: false, sender: "" };

export interface PlacingParts {
  readonly settings: LocalSettings;
  readonly local: LocalNames;
  readonly tables: Tables;
  readonly senders: Senders;
  /** `who` gives the mail that is asked about as if it were our own. */
  readonly decide: (candidate: Candidate, who: SessionFactsForRules) => Promise<Decided>;
  readonly trace?: PolicyTrace | undefined;
}

const RETURN_REFUSED = {
  forged: "this return address was not made here",
  expired: "this return address has expired",
  malformed: "this is no return address of ours",
} as const;

/** Postmaster's mail is for the mailbox of that name, in each domain. */
function isMailboxOfPostmaster({ postmaster }: LocalSettings): boolean {
  return postmaster.toLowerCase() === "postmaster";
}

function refused(code: number, status: string, text: string, because: string): Extract<Placed, { kind: "refused" }> {
  return { kind: "refused", code, status, text, because };
}
