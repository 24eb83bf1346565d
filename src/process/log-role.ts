import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../foundation/clock.ts";
import { createJournal, type Journal } from "../mail/log/journal.io.ts";
import { eventsLost, sinkFailed, sinkRecovered } from "../mail/log/events.ts";
import { recordOf, withoutDetails, type EventRecord } from "../mail/log/record.ts";
import { createLogWriter, type LogWriter } from "../mail/log/writer.io.ts";
import { catalogue } from "./catalogue.ts";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";

/** Where all that is said ends up: the log, the journal, and whoever listens. */
export interface LogRole {
  write(records: readonly EventRecord[]): void;
  /** One input of the scheduler, as JSON. */
  recordInput(atMs: number, json: string, isStart: boolean): void;
  readonly wantsStart: boolean;
  /** Calls `listener` with each batch until the returned function is called. */
  subscribe(listener: (records: readonly EventRecord[]) => void): () => void;
  /** After rotation: files by their names again. */
  reopen(): void;
  reload(loaded: LoadedSettings): void;
  /** Everything out, within the limit. `isStuck`: a thread waits for the system's log and would hold up an ordinary end. */
  close(limitMs: number): Promise<{ readonly isStuck: boolean }>;
}

export interface LogParts {
  readonly loaded: LoadedSettings;
  readonly folders: Folders;
  readonly clock: Clock;
  readonly isVerbose: boolean;
  readonly isForeground: boolean;
  /** More than one process writes: lines are put in order over this time. */
  readonly mergeMs: number;
}

export function startLog(parts: LogParts): LogRole {
  const { clock, folders } = parts;
  const identity = { role: "log", pid: process.pid };
  const from = { ...identity, startedAt: clock.now() };
  const listeners = new Set<(records: readonly EventRecord[]) => void>();
  const writerOf = (loaded: LoadedSettings): LogWriter =>
    createLogWriter({
      settings: loaded.settings.log,
      catalogue,
      hostname: loaded.settings.hostname,
      clock,
      process: identity,
      auto: parts.isForeground ? "stdout" : "syslog",
      isVerbose: parts.isVerbose,
      mergeMs: parts.mergeMs,
    });
  let loaded = parts.loaded;
  let writer = writerOf(loaded);
  /** Writers of earlier settings until they are done. */
  const leaving = new Set<Promise<void>>();
  let wasLeftStuck = false;
  const leave = (old: LogWriter): void => {
    const left: Promise<void> = old
      .close()
      .then(({ isStuck }) => void (wasLeftStuck ||= isStuck))
      .finally(() => leaving.delete(left));
    leaving.add(left);
  };
  const journal: Journal = createJournal({
    path: folders.journalFile,
    settings: loaded.settings.journal,
    clock,
    isVerbose: parts.isVerbose,
    reports: {
      trouble(sink, problem) {
        if (problem === undefined) writer.write([recordOf(clock.now(), from, sinkRecovered, { sink })]);
        else writer.write([recordOf(clock.now(), from, sinkFailed, { sink, problem })]);
      },
      lost: (sink, counts) => writer.write([recordOf(clock.now(), from, eventsLost, { where: sink, ...counts })]),
    },
  });
  return {
    write(records) {
      writer.write(records);
      journal.write(records);
      if (listeners.size === 0) return;
      const shown = records.map(withoutDetails);
      for (const listener of listeners) listener(shown);
    },
    recordInput: (atMs, json, isStart) => journal.recordInput(atMs, json, isStart),
    get wantsStart() {
      return journal.wantsStart;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reopen: () => writer.reopen(),
    reload(next) {
      const isSame = isDeepStrictEqual(loaded.settings.log, next.settings.log);
      const isSameHost = loaded.settings.hostname === next.settings.hostname;
      loaded = next;
      // What waits for a sink that is behind stays with it, and a stuck one is not met by a second.
      if (isSame && isSameHost) return;
      const old = writer;
      writer = writerOf(loaded);
      leave(old);
    },
    async close(limitMs) {
      const [log, kept] = await Promise.all([writer.close(limitMs), journal.close(limitMs), ...leaving]);
      return { isStuck: log.isStuck || kept.isStuck || wasLeftStuck };
    },
  };
}
