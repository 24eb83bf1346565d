import type { MilterAnswer } from "../../../protocol/milter/answer.ts";
import type { MilterAgreement } from "../../../protocol/milter/negotiation.ts";

/**
 * A connection to a milter on which both sides have agreed. Each call rejects with a `MilterBroken` once the milter is gone,
 * spoke nonsense, or was silent for too long; from then on the connection is closed.
 */
export interface MilterLink {
  readonly agreement: MilterAgreement;
  /** A promise is back-pressure; for how long is bounded by `limitMs`. */
  write(packets: Buffer, limitMs: number): void | Promise<void>;
  /** The next thing that it says. One at a time. */
  answer(limitMs: number): Promise<MilterAnswer>;
  /** Whether it said something that nobody asked about. */
  readonly hasUnheard: boolean;
  readonly isOpen: boolean;
  /** Says goodbye, and closes. */
  quit(): void;
  /** Closes without a word; whoever waits gets `why`. */
  drop(why: string): void;
}

/** What went wrong with a milter, to be put behind its name: "closed the connection". */
export class MilterBroken extends Error {
  override readonly name = "MilterBroken";
}
