import { unreachable } from "../../foundation/assert.ts";
import type { RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Judgement } from "../envelope/policy.ts";
import { filterVerdict } from "../filter/events.ts";
import type { FilterQuestion } from "../filter/filter.ts";
import type { By, Told } from "../filter/outcome.ts";
import { factsForRules } from "./facts-for-rules.ts";
import { filterFactsOf, filterRecipient } from "./filter-facts.ts";
import type { Refused } from "./refusing.ts";
import { tell, type Action, type Session, type Step, type Transaction, type World } from "./state.ts";

/** What was to be done, and waits for what filters say of it; `filtering.ts` goes on with it. */
export type Pending =
  /** `isAgain`: XCLIENT has named another client. */
  | { readonly stage: "connect"; readonly flight?: Flight | undefined; readonly isAgain?: true | undefined }
  | { readonly stage: "helo"; readonly verb: "HELO" | "EHLO" | "LHLO"; readonly domain: string }
  | { readonly stage: "auth" }
  | { readonly stage: "mail"; readonly transaction: Transaction }
  | {
      readonly stage: "rcpt";
      readonly transaction: Transaction;
      readonly recipient: string;
      readonly parameters: RcptParameters;
      readonly judgement: Extract<Judgement, { kind: "accept" }>;
    }
  | { readonly stage: "data"; readonly transaction: Transaction }
  /** The first chunk of BDAT. */
  | {
      readonly stage: "chunk";
      readonly transaction: Transaction;
      readonly sizeBytes: number;
      readonly isLast: boolean;
    };

export function askFilters(world: World, session: Session, then: Pending, before: readonly Action[] = []): Step {
  const { facts } = session;
  const transaction = "transaction" in then ? then.transaction : undefined;
  const who = factsForRules(world, facts, transaction ?? { sender: "", parameters: {} });
  const question = questionOf(world, session, then, transaction);
  const anew = then.stage === "connect" && then.isAgain === true ? ({ isAnew: true } as const) : {};
  const asking: Action = { do: "filter", question, who, ...anew };
  return [{ ...session, phase: { at: "filtering", pending: then } }, [...before, asking]];
}

function questionOf(
  world: World,
  { facts }: Session,
  then: Pending,
  transaction: Transaction | undefined,
): FilterQuestion {
  const about = filterFactsOf(world, facts, transaction);
  switch (then.stage) {
    case "helo":
      return { stage: "helo", verb: then.verb, name: then.domain, facts: about };
    case "rcpt": {
      const isInternational = then.transaction.parameters.isInternational === true;
      return {
        stage: "rcpt",
        recipient: filterRecipient(then.recipient, then.parameters, isInternational),
        facts: about,
      };
    }
    case "chunk":
      return { stage: "data", facts: about };
    case "connect":
    case "auth":
    case "mail":
    case "data":
      return { stage: then.stage, facts: about };
    default:
      return unreachable(then);
  }
}

/** A filter's no: the reply, and what the log says of it. */
export interface FilterRefusal {
  readonly reply: Reply;
  readonly about: Pick<Refused, "restriction" | "rule" | "because">;
}

export function byFilter({ filter, restriction, rule, because }: By): FilterRefusal["about"] {
  if (rule !== undefined) return { rule, because };
  return { restriction: restriction ?? `filter ${filter}`, because };
}

export function tellVerdict({ terms }: World, message: string | undefined, told: Told): Action {
  const { filter, stage, verdict, because, score } = told;
  return tell(filterVerdict, {
    session: terms.session,
    message,
    filter,
    stage,
    verdict,
    because,
    score: score === undefined ? undefined : scoreText(score),
    symbols: score?.symbols,
  });
}

function scoreText({ value, wanted }: NonNullable<Told["score"]>): string {
  return wanted === undefined ? String(value) : `${value}/${wanted}`;
}
