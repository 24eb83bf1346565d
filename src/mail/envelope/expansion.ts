import type { AliasTarget } from "../../protocol/address/alias-targets.ts";
import type { Book } from "./address-book.ts";
import type { EnvelopeTarget } from "./envelope.ts";
import type { Failure } from "./failure.ts";
import type { MailboxUser } from "./local-names.ts";

/** What an expansion (`expand.ts`) asks, and what comes of it. */
export interface ExpansionWorld {
  /** `from` is undefined for the recipient that was given. */
  place(address: string, from: Origin | undefined): Promise<Placed>;
  /** The text of an included list. */
  readonly readInclude: ReadInclude;
  /** The domain of names without one. */
  readonly primaryDomain: string;
  readonly limits: ExpansionLimits;
  /** Somebody is told each step: they are made in their order then, one by one. */
  readonly isTold?: boolean | undefined;
}

export interface ExpansionLimits {
  readonly depth: number;
  readonly targets: number;
  /** Which kinds of entries may name commands, files and further lists. */
  readonly commandsFrom: readonly Origin[];
  readonly filesFrom: readonly Origin[];
  readonly includesFrom: readonly Origin[];
  /** Whether `owner-NAME` beside an alias NAME gets the bounces of what went to NAME. */
  readonly hasOwners: boolean;
}

/** Where an entry stands: aliases of a primary domain, a virtual table, a list in a file, a user's `.forward`. */
export type Origin = "alias" | "virtual" | "include" | "forward";

export type Placed =
  | {
      readonly kind: "placed";
      readonly action: string;
      /** The rule that chose it. */
      readonly rule: string;
      /** Another action when the mail ends here: a command or file needs one that delivers. */
      readonly localAction: string;
      readonly isLocal: boolean;
      readonly book?: Book | undefined;
      /** Who of that name has a mailbox. */
      readonly user: () => Promise<MailboxUser>;
      /** For what no alias names: why it is not delivered here all the same. */
      readonly onlyAliases?: boolean | undefined;
    }
  /** It stands for another address, and nothing is asked about it itself. */
  | {
      readonly kind: "instead";
      readonly address: string;
      readonly rule: string;
      /** It is only another writing of it, no step on a way. */
      readonly isSame: boolean;
    }
  | {
      readonly kind: "refused";
      readonly code: number;
      readonly status: string;
      readonly text: string;
      readonly because: string;
      /** The rule that refuses, where it was one. */
      readonly rule?: string | undefined;
    }
  | { readonly kind: "failed"; readonly text: string };

/** Must not reject. */
export type ReadInclude = (path: string) => Promise<IncludeAnswer>;

export type IncludeAnswer =
  | { readonly kind: "found"; readonly targets: readonly AliasTarget[] }
  | { readonly kind: "failed"; readonly text: string };

export interface ExpandedTarget {
  readonly recipient: string;
  readonly action: string;
  readonly rule: string;
  readonly target?: EnvelopeTarget | undefined;
  /** The addresses that led here, the given one first, without the recipient itself. */
  readonly via: readonly string[];
  /** The owner of the list that it is a member of. */
  readonly owner?: string | undefined;
  /** The list itself: an envelope of it is only for whoever wants to hear that the list has the mail. */
  readonly isReceipt?: boolean | undefined;
}

/** One entry on the way, for the log and for `posthorn explain`. */
export interface ExpansionStep {
  readonly address: string;
  /** `/etc/aliases:12`, a rule or whatever else said so. */
  readonly where: string;
  readonly to: readonly string[];
}

export type Expansion = { readonly steps: readonly ExpansionStep[] } & (
  | { readonly kind: "targets"; readonly targets: readonly ExpandedTarget[] }
  /** Every target is wrong: what the first one is. */
  | { readonly kind: "refused"; readonly wrong: WrongTarget }
  /** `text` is for whoever sent it, where the table has words for that. */
  | { readonly kind: "not-now"; readonly because: string; readonly status?: string; readonly text?: string }
);

export interface WrongTarget {
  readonly code: number;
  readonly status: string;
  /** For whoever sent it. */
  readonly text: string;
  readonly because: string;
  /** The rule that refuses, where it was one. */
  readonly rule?: string | undefined;
  readonly reason: Extract<Failure["cause"], { kind: "alias" }>["reason"];
}

export interface ForwardToExpand {
  /** Of the envelope that is forwarded. */
  readonly recipient: string;
  /** What the recipient is called, without the extension, in lower case. */
  readonly name: string;
  readonly action: string;
  readonly via: readonly string[];
  readonly user: string;
  readonly where: string;
  readonly targets: readonly AliasTarget[];
  readonly delimiters: string;
}
