import type { GreylistAnswer, GreylistAsk } from "./greylist.ts";

/** Where greylisting keeps what it saw. Methods throw when the disk does not do what it should. */
export interface GreylistStore {
  ask(ask: GreylistAsk): GreylistAnswer;
  list(wanted: GreylistWanted): readonly GreylistRow[];
  /** Forgets what is named: a network, a sender, a recipient, or a domain of either. How many rows that were. */
  remove(which: string): number;
  /** Lets a network in at once from now on, until it is removed. */
  allow(network: string): void;
  close(): void;
}

export interface GreylistWanted {
  readonly state?: "waiting" | "passed" | "networks" | undefined;
  /** Part of a network, a sender or a recipient. */
  readonly text?: string | undefined;
}

export interface GreylistRow {
  readonly state: "waiting" | "passed" | "network" | "allowed";
  readonly network: string;
  readonly sender?: string | undefined;
  readonly recipient?: string | undefined;
  readonly firstAt?: number | undefined;
  readonly lastAt: number;
  /** Of a network: how many of its triplets came again. */
  readonly passes?: number | undefined;
}
