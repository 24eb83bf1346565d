import type { Clock } from "../../foundation/clock.ts";
import type { SetAside } from "../../foundation/damaged-database.ts";
import { bufferedSink } from "./buffered-sink.ts";
import {
  batchOf,
  boundsOf,
  eventLine,
  inputLine,
  lineWithoutDetails,
  type JournalAnswer,
  type JournalBatch,
  type JournalLine,
  type JournalThreadSettings,
  type RefusedRow,
} from "./journal.ts";
import { isWanted, type EventRecord, type ProcessIdentity } from "./record.ts";
import type { JournalSettings } from "./settings.ts";
import type { Outlet, SinkReports } from "./sink.ts";
import { createThread } from "./thread.io.ts";

/** The writing side of the journal. Nothing here waits for the disk; what cannot be taken is dropped and counted. */
export interface Journal {
  write(records: readonly EventRecord[]): void;
  /**
   * One input of the scheduler, as JSON. `isStart`: it carries the whole state, so that a replay can begin with it;
   * older inputs may go from here on.
   */
  recordInput(atMs: number, json: string, isStart?: boolean): void;
  /** So much was recorded since the last start that a new one would let old inputs go. True also at the beginning. */
  readonly wantsStart: boolean;
  flush(limitMs?: number): Promise<boolean>;
  close(limitMs?: number): Promise<{ readonly isStuck: boolean }>;
}

export interface JournalOptions {
  /** `<state>/journal/journal.db`. */
  readonly path: string;
  readonly settings: JournalSettings;
  readonly clock: Clock;
  readonly reports: SinkReports;
  /** Told of what can never be kept, and was left out. */
  readonly onRefused?: (refused: readonly RefusedRow[]) => void;
  /** Told when a new database was begun in the place of a damaged one. */
  readonly onSetAside?: (what: SetAside) => void;
  readonly isVerbose?: boolean;
}

const FLUSH_MS = 5_000;
const BATCH_CHARACTERS = 512 * 1024;
/** Waking the thread and a transaction cost as much as many rows. */
const LINGER_MS = 50;

export function createJournal(options: JournalOptions): Journal {
  const { settings, clock } = options;
  const processes: ProcessIdentity[] = [];
  const indexes = new Map<string, number>();
  const known = new WeakMap<ProcessIdentity, number>();
  const bounds = boundsOf(settings);
  let charactersSinceStart = Number.POSITIVE_INFINITY;

  const sink = bufferedSink<JournalLine>({
    name: "journal",
    outlet: threadOutlet({ path: options.path, ...bounds }, processes, options),
    clock,
    mostCharacters: settings.buffer,
    lingerMs: LINGER_MS,
    lean: lineWithoutDetails,
    reports: options.reports,
  });
  const indexOf = (process: ProcessIdentity): number => {
    const index = known.get(process);
    if (index !== undefined) return index;
    // Records that crossed a process boundary carry equal identities as different objects.
    const key = `${process.role} ${process.pid} ${process.startedAt}`;
    let number = indexes.get(key);
    if (number === undefined) {
      number = processes.push(process) - 1;
      indexes.set(key, number);
    }
    known.set(process, number);
    return number;
  };
  const most = options.isVerbose === true ? "debug" : "info";

  return {
    write(records) {
      if (!settings.enabled) return;
      const lines: JournalLine[] = [];
      for (const record of records) {
        if (!isWanted(record.level, most)) continue;
        lines.push(eventLine(indexOf(record.from), record));
      }
      sink.write(lines);
    },
    recordInput(atMs, json, isStart = false) {
      if (!settings.enabled || !settings.inputs.enabled) return;
      charactersSinceStart = isStart ? 0 : charactersSinceStart + json.length;
      sink.write([inputLine(atMs, json, isStart)]);
    },
    get wantsStart() {
      return settings.enabled && settings.inputs.enabled && charactersSinceStart > bounds.mostInputBytes / 4;
    },
    flush: (limitMs = FLUSH_MS) => sink.flush(limitMs),
    close: (limitMs = FLUSH_MS) => sink.close(limitMs),
  };
}

function threadOutlet(
  settings: JournalThreadSettings,
  processes: readonly ProcessIdentity[],
  { onRefused, onSetAside }: Pick<JournalOptions, "onRefused" | "onSetAside">,
): Outlet<JournalLine> {
  const thread = createThread<JournalBatch | "close", JournalAnswer>("journal-worker.io", settings);
  return {
    batchCharacters: BATCH_CHARACTERS,
    async send(lines) {
      // The thread keeps what it learnt of processes by index; the list only grows, so sending it whole is cheap.
      const answer = await thread.ask(batchOf(processes, lines));
      for (const what of answer.asides) onSetAside?.(what);
      if (!answer.ok) throw new Error(answer.problem);
      if (answer.refused.length > 0) onRefused?.(answer.refused);
    },
    reopen: () => {},
    async close() {
      if (!thread.isRunning) return;
      await thread.ask("close").catch(() => {});
      await thread.end();
    },
  };
}
