import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../foundation/clock.ts";
import { createJournal, type Journal } from "../../mail/log/journal.io.ts";
import { eventRefused, eventsLost, sinkFailed, sinkRecovered } from "../../mail/log/events.ts";
import { recordOf, withoutDetails, type EventRecord } from "../../mail/log/record.ts";
import { troublesAfter, type SinkTrouble } from "../../mail/log/sink-troubles.ts";
import { createLogWriter, type LogWriter } from "../../mail/log/writer.io.ts";
import { journalDatabase } from "../../mail/log/journal.ts";
import { catalogue } from "../catalogue.ts";
import { databaseSetAside } from "../events.ts";
import type { Folders } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/** Where all that is said ends up: the log, the journal, and whoever listens. */
export interface LogRole {
  write(records: readonly EventRecord[]): void;
  /** One input of the scheduler, as JSON. */
  recordInput(atMs: number, json: string, isStart: boolean): void;
  readonly wantsStart: boolean;
  /** Calls `listener` with each batch until the returned function is called. */
  subscribe(listener: (records: readonly EventRecord[]) => void): () => void;
  /** Settles when it is known whether the log can be written, or after a second. */
  open(): Promise<void>;
  /** What of it cannot be written now. */
  troubles(): readonly SinkTrouble[];
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
  /** Told whenever it changes. */
  readonly onTroubles?: ((troubles: readonly SinkTrouble[]) => void) | undefined;
  /** Says to people what the log itself cannot say: where there is no log, its silence must not be all there is. */
  readonly complain?: ((text: string) => void) | undefined;
}

const OPEN_MS = 1000;

let isStderrHeard = false;

function toStderr(text: string): void {
  // Whoever read it may be gone; that ends no server.
  if (!isStderrHeard) process.stderr.on("error", () => {});
  isStderrHeard = true;
  process.stderr.write(`posthornd: ${text}\n`);
}

/** What of the settings the log is made of. */
type Shape = Pick<LoadedSettings["settings"], "log" | "hostname">;

export function startLog(parts: LogParts): LogRole {
  const { clock, folders } = parts;
  const identity = { role: "log", pid: process.pid };
  const from = { ...identity, startedAt: clock.now() };
  const listeners = new Set<(records: readonly EventRecord[]) => void>();
  const complain = parts.complain ?? toStderr;
  let troubles: readonly SinkTrouble[] = [];
  const setTroubles = (next: readonly SinkTrouble[]): void => {
    troubles = next;
    parts.onTroubles?.(troubles);
  };
  const follow = (record: EventRecord): void => {
    const next = troublesAfter(troubles, record);
    if (next !== undefined) setTroubles(next);
  };
  /** What the log has to say of itself, for those who read it elsewhere. */
  const tellOthers = (record: EventRecord): void => {
    journal.write([record]);
    for (const listener of listeners) listener([record]);
  };
  const writerOf = ({ log, hostname }: Shape): LogWriter => {
    const made: LogWriter = createLogWriter({
      settings: log,
      catalogue,
      hostname,
      clock,
      process: identity,
      auto: parts.isForeground ? "stdout" : "syslog",
      isVerbose: parts.isVerbose,
      mergeMs: parts.mergeMs,
      onReport(record) {
        // One of earlier settings that says its last: what becomes of it is nobody's trouble any more.
        if (made === writer) {
          follow(record);
          const { sink, problem } = record.fields;
          if (record.name === sinkFailed.name) complain(complaintOf(String(sink), String(problem), log.buffer));
          if (record.name === sinkRecovered.name) complain(`the log ${String(sink)} is written again`);
        }
        tellOthers(record);
      },
    });
    return made;
  };
  const say = (record: EventRecord): void => {
    writer.write([record]);
    tellOthers(record);
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
      .then(({ isStuck, lost, lostDebug }) => {
        wasLeftStuck ||= isStuck;
        if (lost + lostDebug > 0) say(recordOf(clock.now(), from, eventsLost, { where: old.name, lost, lostDebug }));
      })
      .finally(() => leaving.delete(left));
    leaving.add(left);
  };
  const journal: Journal = createJournal({
    path: folders.journalFile,
    settings: parts.loaded.settings.journal,
    clock,
    isVerbose: parts.isVerbose,
    onSetAside: (what) => say(recordOf(clock.now(), from, databaseSetAside, { holds: journalDatabase.holds, ...what })),
    onRefused([first, ...others]) {
      if (first === undefined) return;
      // Not into the journal: if that one could not be kept either, there would be no end of them.
      const record = recordOf(clock.now(), from, eventRefused, { ...first, more: others.length });
      writer.write([record]);
      for (const listener of listeners) listener([record]);
    },
    reports: {
      trouble(sink, problem) {
        const record =
          problem === undefined
            ? recordOf(clock.now(), from, sinkRecovered, { sink })
            : recordOf(clock.now(), from, sinkFailed, { sink, problem });
        follow(record);
        say(record);
      },
      lost: (sink, counts) => say(recordOf(clock.now(), from, eventsLost, { where: sink, ...counts })),
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
    open: () => writer.open(OPEN_MS),
    troubles: () => troubles,
    reopen: () => writer.reopen(),
    reload(next) {
      const before = shape;
      shape = shapeOf(next);
      // What waits for a sink that is behind stays with it, and a stuck one is not met by a second.
      if (isDeepStrictEqual(before.log, shape.log) && before.hostname === shape.hostname) return;
      const old = writer;
      writer = writerOf(shape);
      setTroubles(troubles.filter(({ sink }) => sink !== old.name));
      void writer.open(OPEN_MS);
      leave(old);
    },
    async close(limitMs) {
      const [log, kept] = await Promise.all([writer.close(limitMs), journal.close(limitMs), ...leaving]);
      return { isStuck: log.isStuck || kept.isStuck || wasLeftStuck };
    },
  };
}

/** Of a sink that has just failed. */
function complaintOf(sink: string, problem: string, bufferBytes: number): string {
  return `the log ${sink} cannot be written: ${problem}; ${Math.floor(bufferBytes / 1024)} KiB of lines wait for it, more are lost, mail goes on: mend it, or set \`log.to\` and reload`;
}
