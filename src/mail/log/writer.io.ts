import type { Writable } from "node:stream";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { addressOutlet } from "./address-outlet.io.ts";
import { bufferedSink } from "./buffered-sink.ts";
import { eventsLost, sinkFailed, sinkRecovered } from "./events.ts";
import { fileOutlet } from "./file-outlet.io.ts";
import { jsonLine } from "./json-line.ts";
import { entryOf, tagOf } from "./line.ts";
import type { Catalogue } from "./log.ts";
import { isWanted, recordOf, type EventRecord, type ProcessIdentity } from "./record.ts";
import type { LogSettings, LogTarget } from "./settings.ts";
import type { Outlet, Sink, SinkEnd, SinkLine } from "./sink.ts";
import { stdoutOutlet, streamOutlet } from "./stream-outlet.io.ts";
import { syslogOutlet } from "./syslog-outlet.io.ts";
import { createStamps } from "./timestamp.io.ts";

/** Writes records to the log that the settings name. */
export interface LogWriter {
  /** Where it ends, as its troubles name it. */
  readonly name: string;
  write(records: readonly EventRecord[]): void;
  /** Settles when it is known whether the log can be written, or when `limitMs` has passed. */
  open(limitMs: number): Promise<void>;
  /** Everything written so far is out; false when `limitMs` passed first. */
  flush(limitMs?: number): Promise<boolean>;
  /** After rotation (SIGHUP): the file by its name again. */
  reopen(): void;
  /**
   * Flushes for at most `limitMs`. `isStuck`: the system's log did not take the rest, and the thread that waits for it
   * would hold up `process.exit`; end the process with `exitAtOnce` (foundation/ffi).
   */
  close(limitMs?: number): Promise<SinkEnd>;
}

export interface LogWriterOptions {
  readonly settings: LogSettings;
  readonly catalogue: Catalogue;
  readonly hostname: string;
  readonly clock: Clock;
  readonly process: { readonly role: string; readonly pid: number };
  /** What `to: auto` means: stdout in the foreground, syslog in the background. */
  readonly auto: "stdout" | "syslog";
  readonly stdout?: Writable;
  /** `-v` writes debug whatever the settings say. */
  readonly isVerbose?: boolean;
  /**
   * With several processes: how long a record may wait for earlier ones of another process, so that lines come out in
   * the order of what happened. 0 (the default) for a single process, whose records come in order anyway.
   */
  readonly mergeMs?: number;
  /** Told of what the log itself has to say, which stands in the log too as soon as it can be written. */
  readonly onReport?: (record: EventRecord) => void;
}

const FLUSH_MS = 5_000;

/** Throws `LIBRARY_UNAVAILABLE` when syslog(3) is asked for and cannot be called. */
export function createLogWriter(options: LogWriterOptions): LogWriter {
  const { settings, catalogue, clock } = options;
  const mergeMs = options.mergeMs ?? 0;
  const from: ProcessIdentity = { ...options.process, startedAt: clock.now() };
  const level = options.isVerbose === true ? "debug" : settings.level;
  const kind = settings.to.kind === "auto" ? options.auto : settings.to.kind;
  const stamps = createStamps();
  const stamp = settings.timestamps === "iso" ? stamps.iso : stamps.classic;
  const host = options.hostname.replace(/[^\u0021-\u007e]/g, "?");
  const isBare = kind !== "stdout" && kind !== "file";
  let held: EventRecord[] = [];
  let timer: Timer | undefined;

  const sink: Sink = bufferedSink({
    name: targetName(settings.to, kind),
    outlet: outletOf(options, kind, stamps.utc),
    clock,
    mostCharacters: settings.buffer,
    reports: {
      trouble: (name, problem) => {
        if (problem === undefined) report(recordOf(clock.now(), from, sinkRecovered, { sink: name }));
        else report(recordOf(clock.now(), from, sinkFailed, { sink: name, problem }));
      },
      lost: (name, counts) => report(recordOf(clock.now(), from, eventsLost, { where: name, ...counts })),
    },
  });
  const report = (record: EventRecord): void => {
    put([record]);
    options.onReport?.(record);
  };

  const lineOf = (record: EventRecord): SinkLine | undefined => {
    const entry = entryOf(record, catalogue.find(record.name));
    const isJson = settings.format === "json";
    if (!isJson && entry.text === undefined) return undefined;
    const body = isJson ? jsonLine(entry, stamps.utc(record.at)) : (entry.text ?? "");
    return {
      text: isBare || isJson ? body : `${stamp(record.at)} ${host} ${tagOf(entry)}: ${body}`,
      isDebug: record.level === "debug",
      level: record.level,
      speaker: entry.speaker,
      number: entry.number,
      at: record.at,
    };
  };
  const put = (records: readonly EventRecord[]): void => {
    const lines: SinkLine[] = [];
    for (const record of records) {
      if (!isWanted(record.level, level) && catalogue.find(record.name)?.isAsked !== true) continue;
      const line = lineOf(record);
      if (line !== undefined) lines.push(line);
    }
    if (lines.length > 0) sink.write(lines);
  };
  /** Writes what is old enough that nothing earlier can still be on its way. */
  const release = (untilAt: number): void => {
    // Sorting is stable: records of one instant keep the order of arrival.
    held.sort((one, other) => one.at - other.at);
    // Told before the clock was set back: they would wait for as long as it was set back.
    const ahead = held.filter((record) => record.at > untilAt + 2 * mergeMs);
    const due = held.filter((record) => record.at <= untilAt);
    held = held.filter((record) => record.at > untilAt && record.at <= untilAt + 2 * mergeMs);
    put([...ahead, ...due]);
    if (held.length > 0) arm();
  };
  const arm = (): void => {
    timer ??= clock.after(mergeMs / 2, () => {
      timer = undefined;
      release(clock.now() - mergeMs);
    });
  };
  const releaseAll = (): void => {
    timer?.cancel();
    timer = undefined;
    release(Number.POSITIVE_INFINITY);
  };

  return {
    name: sink.name,
    write(records) {
      if (mergeMs === 0) {
        put(records);
        return;
      }
      for (const record of records) held.push(record);
      arm();
    },
    open: (limitMs) => sink.open(limitMs),
    flush(limitMs = FLUSH_MS) {
      releaseAll();
      return sink.flush(limitMs);
    },
    reopen: () => sink.reopen(),
    close(limitMs = FLUSH_MS) {
      releaseAll();
      return sink.close(limitMs);
    },
  };
}

function outletOf(
  options: LogWriterOptions,
  kind: Exclude<LogTarget["kind"], "auto">,
  utc: (at: number) => string,
): Outlet {
  const { to } = options.settings;
  switch (to.kind) {
    case "file":
      return fileOutlet(to.path, options.clock);
    case "udp":
    case "tcp":
    case "unix":
      return addressOutlet(to, options.hostname, options.clock, utc);
    case "auto":
    case "stdout":
    case "syslog":
      if (kind === "syslog") return syslogOutlet();
      return options.stdout === undefined ? stdoutOutlet() : streamOutlet(options.stdout);
  }
}

function targetName(target: LogTarget, kind: string): string {
  switch (target.kind) {
    case "file":
    case "unix":
      return target.path;
    case "udp":
    case "tcp":
      return `${target.kind}://${target.host}:${target.port}`;
    case "auto":
    case "stdout":
    case "syslog":
      return kind;
  }
}
