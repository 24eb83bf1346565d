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
  /** Whether this process may write a file there, as far as it was given leave at its start. Absent: anywhere. */
  readonly mayWrite?: ((path: string) => boolean) | undefined;
}

/** What of the settings the log is made of. */
type Shape = Pick<LoadedSettings["settings"], "log" | "hostname">;

export function startLog(parts: LogParts): LogRole {
  const { clock, folders } = parts;
  const identity = { role: "log", pid: process.pid };
  const from = { ...identity, startedAt: clock.now() };
  const listeners = new Set<(records: readonly EventRecord[]) => void>();
  const writerOf = ({ log, hostname }: Shape): LogWriter =>
    createLogWriter({
      settings: log,
      catalogue,
      hostname,
      clock,
      process: identity,
      auto: parts.isForeground ? "stdout" : "syslog",
      isVerbose: parts.isVerbose,
      mergeMs: parts.mergeMs,
    });
  const say = (record: EventRecord): void => {
    writer.write([record]);
    journal.write([record]);
  };
  /** A log that this process may not open stays where it is: one that fails at its new place would be none at all. */
  const shapeOf = ({ settings: { log, hostname } }: LoadedSettings): Shape => {
    if (log.to.kind !== "file" || parts.mayWrite?.(log.to.path) !== false) return { log, hostname };
    const problem =
      "this process may write only where it was told at its start: the log stays where it was until a restart";
    say(recordOf(clock.now(), from, sinkFailed, { sink: log.to.path, problem }));
    return { log: { ...log, to: shape.log.to }, hostname };
  };
  let shape: Shape = parts.loaded.settings;
  let writer = writerOf(shape);
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
    settings: parts.loaded.settings.journal,
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
      const before = shape;
      shape = shapeOf(next);
      // What waits for a sink that is behind stays with it, and a stuck one is not met by a second.
      if (isDeepStrictEqual(before.log, shape.log) && before.hostname === shape.hostname) return;
      const old = writer;
      writer = writerOf(shape);
      leave(old);
    },
    async close(limitMs) {
      const [log, kept] = await Promise.all([writer.close(limitMs), journal.close(limitMs), ...leaving]);
      return { isStuck: log.isStuck || kept.isStuck || wasLeftStuck };
    },
  };
}
