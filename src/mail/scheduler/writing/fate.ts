import type { Failure } from "../../envelope/failure.ts";
import type { AttemptRecord, NewEnvelope } from "../../queue/store.ts";
import type { NoticePlan } from "../action.ts";
import type { Ticket } from "../state.ts";
import type { Suspension } from "../suspension/suspension.ts";

/**
 * What is to be written about one envelope: the end of an attempt, or a change. The ticket is `writing` until the store
 * has it; nothing else is done with it meanwhile.
 */
export interface Fate {
  readonly ticket: Ticket;
  /** `gone`: the envelope leaves the queue. `kept`: its progress changes to what the ticket says. */
  readonly kind: "gone" | "kept";
  /** What is kept as its last one; of one that was not tried, that of others. */
  readonly failure?: Failure | undefined;
  readonly attempt?: AttemptRecord | undefined;
  readonly notice?: NoticeWish | undefined;
  /** What comes in its place, of the same message. */
  readonly added?: readonly NewEnvelope[] | undefined;
  /** The operator's command that wanted it. */
  readonly command?: number | undefined;
  /** That it was held by, and is over. */
  readonly lifted?: Suspension | undefined;
  /** The queue refused to write it, so many times in a row: it is written alone. */
  readonly refused?: { readonly times: number } | undefined;
}

export interface NoticeWish {
  readonly kind: NoticePlan["kind"];
  readonly to?: string | undefined;
  readonly about: NoticePlan["about"][number];
}
