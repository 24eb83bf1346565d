import { append, newChain, unlink, type Chain } from "../chain.ts";
import type { Batch, DomainLine } from "../state.ts";

/**
 * Mail with a priority (RFC 6710) beside the rest of its line. Of four turns three are for urgent mail, of sixteen one is for
 * what may wait; who is not there leaves its turn to the next. So higher ones go first, and nobody waits for ever for them.
 */
export interface Ranked {
  readonly urgent: Chain<Batch>;
  readonly low: Chain<Batch>;
  turns: number;
}

const OTHERS_EVERY = 4;
const LOW_EVERY = 16;

/** Whether the batch waits here rather than among the others: with a priority, and where no probes of greylisters are sent. */
export function takeRankedPlace(line: DomainLine, batch: Batch): boolean {
  const { priority = 0 } = batch.message;
  if (priority === 0 || line.relay.greylist !== undefined) return false;
  line.ranked ??= { urgent: newChain(), low: newChain(), turns: 0 };
  batch.rank = priority > 0 ? "urgent" : "low";
  append(line.ranked[batch.rank], batch);
  return true;
}

/** To the end of its own; false: it waits among the others. */
export function giveRankedTurn(line: DomainLine, batch: Batch): boolean {
  const { ranked } = line;
  if (batch.rank === undefined || ranked === undefined) return false;
  unlink(ranked[batch.rank], batch);
  append(ranked[batch.rank], batch);
  return true;
}

export function loseRankedPlace(line: DomainLine, batch: Batch): boolean {
  const { ranked } = line;
  if (batch.rank === undefined || ranked === undefined) return false;
  unlink(ranked[batch.rank], batch);
  batch.rank = undefined;
  if (ranked.urgent.size + ranked.low.size === 0) line.ranked = undefined;
  return true;
}

/** Whose turn it is in a line. Counts: call it when the turn is taken. */
export function nextInLine(line: DomainLine): Batch | undefined {
  const { ranked, batches } = line;
  if (ranked === undefined) return batches.first;
  const turn = ++ranked.turns;
  const { urgent, low } = ranked;
  const order =
    turn % LOW_EVERY === 0
      ? [low, urgent, batches]
      : turn % OTHERS_EVERY === 0
        ? [batches, urgent, low]
        : [urgent, batches, low];
  for (const { first } of order) if (first !== undefined) return first;
  return undefined;
}

/** For those who take them in any order. */
export function firstRanked({ ranked }: DomainLine): Batch | undefined {
  return ranked?.urgent.first ?? ranked?.low.first;
}

export function* rankedIn({ ranked }: DomainLine): Generator<Batch, void, void> {
  if (ranked === undefined) return;
  for (const chain of [ranked.urgent, ranked.low])
    for (let batch = chain.first; batch !== undefined; batch = batch.next) yield batch;
}
