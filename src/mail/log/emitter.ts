import type { Clock, Timer } from "../../foundation/clock.ts";
import type { Emit, Level } from "../../foundation/events.ts";
import { eventsLost } from "./events.ts";
import { DETAILS, isWanted, recordOf, withoutDetails, type EventRecord, type ProcessIdentity } from "./record.ts";

/**
 * Where stages put their events. Emitting appends to a buffer and nothing else; the buffer is handed on in batches. When
 * the next hop says that it cannot take a batch, records wait here, within a bound: debug goes first, and whatever had
 * to go is counted and said (`log.events-lost`).
 */
export interface Emitter {
  readonly emit: Emit;
  /** Hands over what waits, now. For an orderly end, and before a crash report. */
  readonly flush: () => void;
  /** Changes how much is recorded (`-v`, reload). */
  readonly setLevel: (level: Level) => void;
}

export interface EmitterOptions {
  readonly clock: Clock;
  readonly process: { readonly role: string; readonly pid: number };
  readonly level: Level;
  /** Takes a batch. `false` means "not now": the same records come again, with later ones. */
  readonly hand: (records: readonly EventRecord[]) => boolean | void;
  /** Longest wait of a record before it is handed on. */
  readonly batchMs?: number;
  /** Handed on at once when so many wait. */
  readonly batchRecords?: number;
  /** Most records kept while nobody takes them. */
  readonly mostRecords?: number;
}

/**
 * What is recorded: at least `info`, for `log.level` is about the log. The journal, and whoever follows events, hear of
 * mail however little of it is written there.
 */
export function recordedLevel(isVerbose: boolean, { level }: { readonly level: Level }): Level {
  if (isVerbose) return "debug";
  return isWanted("info", level) ? level : "info";
}

const BATCH_MS = 50;
const BATCH_RECORDS = 256;
const MOST_RECORDS = 20_000;
/** Beyond this, details are left behind while their events wait. */
const MOST_DETAIL_CHARACTERS = 16 * 1024 * 1024;

export function createEmitter(options: EmitterOptions): Emitter {
  const { clock, hand } = options;
  const batchMs = options.batchMs ?? BATCH_MS;
  const batchRecords = options.batchRecords ?? BATCH_RECORDS;
  const mostRecords = options.mostRecords ?? MOST_RECORDS;
  const from: ProcessIdentity = { ...options.process, startedAt: clock.now() };
  let level = options.level;
  let waiting: EventRecord[] = [];
  let timer: Timer | undefined;
  let waitingDebug = 0;
  let lostDebug = 0;
  let lostOther = 0;
  let detailCharacters = 0;
  /** After a refusal the size alone no longer triggers: the timer does, so that a busy process is not slowed. */
  let isRefused = false;

  const flush = (): void => {
    timer?.cancel();
    timer = undefined;
    if (lostDebug + lostOther > 0 && waiting.length < mostRecords) {
      waiting.push(recordOf(clock.now(), from, eventsLost, { where: from.role, lost: lostOther, lostDebug }));
      lostDebug = lostOther = 0;
    }
    if (waiting.length === 0) return;
    isRefused = hand(waiting) === false;
    if (isRefused) arm();
    else {
      waiting = [];
      waitingDebug = 0;
      detailCharacters = 0;
      // There was no room to say it behind what has just gone, and the next event may be long in coming.
      if (lostDebug + lostOther > 0) arm();
    }
  };
  const arm = (): void => {
    timer ??= clock.after(batchMs, () => {
      timer = undefined;
      flush();
    });
  };
  const makeRoom = (): boolean => {
    // Looking through all that waits for each event would slow down mail itself.
    if (waitingDebug === 0) return false;
    waiting = waiting.filter((record) => record.level !== "debug");
    lostDebug += waitingDebug;
    waitingDebug = 0;
    return waiting.length < mostRecords;
  };

  return {
    emit(event, fields) {
      if (event.isAsked !== true && !isWanted(event.level, level)) return;
      // Debug makes way for the others, not for later debug: looking for it each time would take longer than anything else.
      if (waiting.length >= mostRecords && (event.level === "debug" || !makeRoom())) {
        if (event.level === "debug") lostDebug++;
        else lostOther++;
        return;
      }
      const record = recordOf(clock.now(), from, event, fields);
      detailCharacters += detailsLength(record);
      if (event.level === "debug") waitingDebug++;
      waiting.push(detailCharacters > MOST_DETAIL_CHARACTERS ? withoutDetails(record) : record);
      if (waiting.length >= batchRecords && !isRefused) flush();
      else arm();
    },
    flush,
    setLevel(wanted) {
      level = wanted;
    },
  };
}

function detailsLength({ fields }: EventRecord): number {
  const details = fields[DETAILS];
  return typeof details === "string" ? details.length : 0;
}
