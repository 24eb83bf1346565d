import type { Action } from "../action.ts";
import { step, type SchedulerEvent } from "../scheduler.ts";
import { restore, snapshot } from "./snapshot.ts";
import type { SchedulerState } from "../state.ts";

/**
 * The scheduler's inputs as they are journalled, and the scheduler fed with them again: a decision of last week can be
 * looked at as it was made. A record begins with a start, which carries the whole state; each event follows with its
 * instant.
 */
export interface RecordedInput {
  readonly at: number;
  readonly isStart: boolean;
  readonly json: string;
}

/** Where inputs go. Recording never throws, blocks or waits. */
export interface InputJournal {
  /** A start is due: at the beginning, and when older inputs should be let go. Never, where nothing is recorded. */
  readonly wantsStart: boolean;
  recordInput(atMs: number, json: string, isStart: boolean): void;
}

export interface Replayed {
  readonly at: number;
  readonly event: SchedulerEvent;
  readonly actions: readonly Action[];
  /** After the event; changed by the next one. */
  readonly state: SchedulerState;
}

/** Writes a state of this size down in a moment; a greater one would hold up everything else. */
const MOST_TICKETS_IN_A_START = 5000;

/**
 * Decides what is recorded. While the queue is too large to be written down, recording rests: when a start is due, and from
 * where a queue that is read at the start of the server grows beyond that.
 */
export class InputRecorder {
  readonly #journal: InputJournal;
  #isRecording = false;
  /** Since a queue was read that is too large: a start is due as soon as it fits. */
  #isResting = false;

  constructor(journal: InputJournal) {
    this.#journal = journal;
  }

  record(at: number, event: SchedulerEvent, before: SchedulerState): void {
    const size = before.tickets.size;
    if (this.#journal.wantsStart || (this.#isResting && size <= MOST_TICKETS_IN_A_START)) {
      this.#isResting = false;
      this.#isRecording = size <= MOST_TICKETS_IN_A_START;
      if (this.#isRecording) this.#journal.recordInput(at, snapshot(before), true);
    }
    if (!this.#isRecording) return;
    if (event.on === "loaded" && size + event.envelopes.length > MOST_TICKETS_IN_A_START) {
      this.#isRecording = false;
      this.#isResting = true;
    } else this.#journal.recordInput(at, JSON.stringify(event), false);
  }
}

/** Runs the inputs again, from the first start on. */
export function* replay(inputs: Iterable<RecordedInput>): Generator<Replayed> {
  let state: SchedulerState | undefined;
  for (const { at, isStart, json } of inputs) {
    if (isStart) {
      // Only `record` writes starts, and it writes states.
      state = restore(json) as SchedulerState;
      continue;
    }
    if (state === undefined) continue;
    const event = JSON.parse(json) as SchedulerEvent;
    yield { at, event, actions: step(state, event, at), state };
  }
}
