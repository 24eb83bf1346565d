import type { Clock } from "../../../foundation/clock.ts";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { Resolver } from "../../../protocol/dns/resolver.ts";
import type { Tables } from "../../../service/table/tables.ts";
import type { LocalNames } from "../local-names.ts";
import type { SessionFactsForRules } from "../policy.ts";
import type { CalloutPort } from "./callout.ts";
import type { GreylistPort } from "./greylist.ts";
import type { MailChange, RestrictionStage } from "./mail-change.ts";
import type { AskPolicy } from "./policy-service.ts";
import type { RatePort } from "./rates.ts";

/** One thing that is asked before the rules, of one recipient of one session. */
export interface Restriction {
  /** `dns-list zen.example.org`, for the log. */
  readonly name: string;
  readonly isWarnOnly: boolean;
  /** At which stages it is asked. */
  readonly stages: ReadonlySet<RestrictionStage>;
  /** It refuses nobody: alone it is no reason to ask at a stage. */
  readonly isPermitOnly: boolean;
  /** What it refuses before RCPT is told at once, and not at the next RCPT. */
  readonly isAtOnce: boolean;
  judge(ask: RestrictionAsk): Promise<Finding>;
}

export interface RestrictionAsk {
  readonly facts: SessionFactsForRules;
  readonly stage: RestrictionStage;
  /** As it was given; empty at every stage but RCPT. */
  readonly recipient: string;
  /** It is refused for now already, and asked on only for what may refuse it for good: what counts mail does not count this. */
  readonly isWaiting?: boolean | undefined;
}

export type Finding =
  /** It has nothing to say. */
  | {
      readonly kind: "pass";
      /** For the log. */
      readonly note?: string | undefined;
      /** For whoever wants it explained. */
      readonly aside?: string | undefined;
      readonly changes?: readonly MailChange[] | undefined;
    }
  /** Nothing behind it is asked. */
  | {
      readonly kind: "permit";
      readonly note?: string | undefined;
      readonly changes?: readonly MailChange[] | undefined;
    }
  | { readonly kind: "refuse"; readonly reply: Reply; readonly detail: string }
  /** Refused for the moment, unless something behind it, or the rules, refuse for good. */
  | {
      readonly kind: "wait";
      readonly reply: Reply;
      readonly detail: string;
      /** That is what was found; otherwise something could not be found out. */
      readonly isFound?: true | undefined;
      /** Found out, it might have permitted: what stands behind it then refuses nobody for good. */
      readonly mayPermit?: true | undefined;
    }
  /** If something behind it, or the rules, refuse for good, the mail is refused for the moment, with this. */
  | { readonly kind: "soften"; readonly reply: Reply; readonly detail: string };

export const PASS: Finding = { kind: "pass" };

/** What restrictions ask others. */
export interface RestrictionWorld {
  readonly clock: Clock;
  readonly tables: Tables;
  readonly resolver: Pick<Resolver, "mx" | "ipv4" | "ipv6" | "ptr" | "txt">;
  readonly local: Pick<LocalNames, "isLocalDomain">;
  /** Whether somebody has this address of ours: a mailbox, an alias; 4xx trouble is `failed`. */
  readonly isListed: (address: string) => Promise<boolean | { readonly failed: string }>;
  /** Names that only this host may give in EHLO. */
  readonly ownNames: readonly string[];
  /** Addresses of this host, as text. */
  readonly ownAddresses: readonly string[];
  /** The names of the settings' actions. */
  readonly actions: ReadonlySet<string>;
  readonly rates: RatePort;
  readonly greylist: GreylistPort;
  readonly callouts: CalloutPort;
  /** Somebody who speaks the policy delegation protocol. */
  readonly askPolicy: AskPolicy;
}
