import { append, newChain, unlink, type Chain } from "../chain.ts";
import { giveRankedTurn, loseRankedPlace, rankedIn, takeRankedPlace } from "./priorities.ts";
import type { Batch, DomainLine } from "../state.ts";

/**
 * Turns of senders inside a line: whoever sends three hundred thousand messages has one of them among the line's batches
 * at a time, the others wait behind it. When its turn is over the next one goes to the end of the line. So a single mail
 * waits for one transaction of each other sender, however much they send.
 *
 * A short line needs no turns, and nothing is remembered for it.
 */
export interface SenderTurn {
  readonly kind: "sender";
  readonly sender: string;
  /** The one that stands among the line's batches. */
  head: Batch;
  readonly waiting: Chain<Batch>;
}

const SHORT_LINE = 16;

/**
 * Who counts as one sender. Lists write the recipient into their address (`list+jane=example.org@list.example`), so what
 * follows the first of the marks used for it is left out. Bounces, which have no sender, are one sender together.
 */
export function senderOf(reversePath: string): string {
  const at = reversePath.lastIndexOf("@");
  for (let place = 1; place < at; place++) {
    const letter = reversePath.charCodeAt(place);
    if (letter !== PLUS && letter !== HYPHEN && letter !== EQUALS) continue;
    return (reversePath.slice(0, place) + reversePath.slice(at)).toLowerCase();
  }
  return reversePath.toLowerCase();
}

const PLUS = 0x2b;
const HYPHEN = 0x2d;
const EQUALS = 0x3d;

/** A new batch goes to the end of the line, or behind what its sender has there already. */
export function takePlace(line: DomainLine, batch: Batch): void {
  if (takeRankedPlace(line, batch)) return;
  // Once senders have turns, nobody goes past what waits behind them.
  if (line.senders === undefined && line.batches.size < SHORT_LINE) {
    append(line.batches, batch);
    return;
  }
  line.senders ??= new Map();
  const sender = senderOf(batch.message.sender);
  const there = line.senders.get(sender);
  if (there === undefined) {
    line.senders.set(sender, batch);
    append(line.batches, batch);
    return;
  }
  const turn = there.kind === "sender" ? there : newTurn(sender, there);
  if (turn !== there) line.senders.set(sender, turn);
  batch.turn = turn;
  append(turn.waiting, batch);
}

function newTurn(sender: string, head: Batch): SenderTurn {
  const turn: SenderTurn = { kind: "sender", sender, head, waiting: newChain() };
  head.turn = turn;
  return turn;
}

/** Something of it was served, and something is left: its sender's next has the next turn, or itself, at the end. */
export function giveTurn(line: DomainLine, batch: Batch): void {
  if (giveRankedTurn(line, batch)) return;
  unlink(line.batches, batch);
  const { turn } = batch;
  const next = turn?.head === batch ? turn.waiting.first : undefined;
  if (turn === undefined || next === undefined) {
    append(line.batches, batch);
    return;
  }
  advance(line, turn, next);
  append(turn.waiting, batch);
}

/** Nothing is left of it. */
export function losePlace(line: DomainLine, batch: Batch): void {
  if (loseRankedPlace(line, batch)) return;
  const { turn } = batch;
  if (turn !== undefined && turn.head !== batch) {
    unlink(turn.waiting, batch);
    return;
  }
  unlink(line.batches, batch);
  if (line.senders === undefined) return;
  const next = turn?.waiting.first;
  if (turn !== undefined && next !== undefined) {
    advance(line, turn, next);
    return;
  }
  const sender = turn?.sender ?? senderOf(batch.message.sender);
  // One that came while the line was short, or that has a place in front, is in nobody's books.
  if (line.senders.get(sender) === (turn ?? batch)) line.senders.delete(sender);
  if (line.senders.size === 0) line.senders = undefined;
}

function advance(line: DomainLine, turn: SenderTurn, next: Batch): void {
  unlink(turn.waiting, next);
  turn.head = next;
  append(line.batches, next);
}

/** All of them: those with a priority, those of the line, then those behind. */
export function* batchesIn(line: DomainLine): Generator<Batch, void, void> {
  yield* rankedIn(line);
  for (let batch = line.batches.first; batch !== undefined; batch = batch.next) yield batch;
  for (const one of line.senders?.values() ?? []) {
    if (one.kind !== "sender") continue;
    for (let batch = one.waiting.first; batch !== undefined; batch = batch.next) yield batch;
  }
}
