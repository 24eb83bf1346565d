import { requireFfi } from "./ffi.io.ts";

/** RFC 5424 section 6.2.1: severities, as syslog(3) numbers them. */
export const syslogPriorities = {
  emerg: 0,
  alert: 1,
  crit: 2,
  err: 3,
  warning: 4,
  notice: 5,
  info: 6,
  debug: 7,
} as const;
export type SyslogPriority = keyof typeof syslogPriorities;

/** RFC 5424 section 6.2.1: facilities, as syslog(3) numbers them. */
export const syslogFacilities = {
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  authpriv: 10,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const;
export type SyslogFacility = keyof typeof syslogFacilities;

export interface Syslog {
  /**
   * Hands one line over, without waiting for it. Lines keep their order. `ident` is who speaks, where that is not the
   * one given at opening. False when so many lines wait that this one is dropped (and counted), or after `close`.
   */
  log(priority: SyslogPriority, text: string, ident?: string): boolean;
  /** Lines dropped since the start. */
  dropped(): number;
  /** Lines handed over and not yet taken by the system. */
  waiting(): number;
  /** Takes no further lines and gives the waiting ones `withinMs`. False when the system's log did not take them. */
  close(withinMs?: number): Promise<boolean>;
}

interface Line {
  readonly priority: number;
  readonly text: string;
  readonly ident: string;
}

/** The process id follows the ident: `posthorn/smtpd[812]: `. The socket is opened by openlog, not by the first line. */
const LOG_PID = 0x01;
const LOG_NDELAY = 0x08;

/**
 * The system's log through syslog(3), so that whatever the machine has (journald, rsyslog, a chroot's /dev/log) is met
 * as every other program meets it. syslog(3) blocks while the log's socket is full; it therefore runs on Node's pool,
 * one call at a time: a stuck log costs one thread of the pool and a bounded number of kept lines, never the event loop.
 * Node's own exit waits for that thread; after a `close` that gave false, end with `exitAtOnce`.
 * A process has one syslog connection. Throws `LIBRARY_UNAVAILABLE`.
 */
export function openSyslog(ident: string, facility: SyslogFacility, mostWaiting = 10_000): Syslog {
  const ffi = requireFfi("writing to the system's log through syslog(3)");
  const openlog = ffi.declare("void openlog(const void *ident, int option, int facility)");
  // Declared with its one argument rather than `...`: the binding runs only plain calls on the pool. On x86-64 and ARM64
  // under Linux a pointer travels alike in both kinds of call.
  const syslog = ffi.declare("void syslog(int priority, const char *format, const char *text)");
  const closelog = ffi.declare("void closelog()");

  // openlog(3) keeps the pointer it is given, so the bytes of every ident in use stay referenced here.
  const idents = new Map<string, Buffer>();
  let current: string | undefined;
  const speakAs = (name: string): void => {
    if (name === current) return;
    let bytes = idents.get(name);
    if (bytes === undefined) {
      bytes = Buffer.from(`${withoutNul(name)}\0`);
      idents.set(name, bytes);
    }
    openlog(bytes, LOG_PID | LOG_NDELAY, syslogFacilities[facility] << 3);
    current = name;
  };

  let lines: Line[] = [];
  // Where in `lines` the next one stands: taking from the front of a long array would cost its length each time.
  let next = 0;
  let dropped = 0;
  let isBusy = false;
  let isClosed = false;
  let onEmpty: (() => void) | undefined;
  const waiting = (): number => lines.length - next + (isBusy ? 1 : 0);

  const takeNext = (): void => {
    const line = lines[next];
    if (line === undefined) {
      lines = [];
      next = 0;
      onEmpty?.();
      return;
    }
    next++;
    if (next === 1024) {
      lines = lines.slice(next);
      next = 0;
    }
    isBusy = true;
    speakAs(line.ident);
    syslog.async(line.priority, "%s", line.text, () => {
      isBusy = false;
      takeNext();
    });
  };

  speakAs(ident);
  return {
    log(priority, text, by = ident) {
      if (isClosed || waiting() >= mostWaiting) {
        dropped++;
        return false;
      }
      lines.push({ priority: syslogPriorities[priority], text: withoutNul(text), ident: by });
      if (!isBusy) takeNext();
      return true;
    },
    dropped: () => dropped,
    waiting,
    async close(withinMs = 2000) {
      if (isClosed) return waiting() === 0;
      isClosed = true;
      if (waiting() > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, withinMs);
          onEmpty = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      if (waiting() > 0) return false;
      // With a call under way closelog(3) would wait for its lock, and the event loop with it.
      closelog();
      return true;
    },
  };
}

/** C's text ends at a NUL; a peer's would cut the line. */
function withoutNul(text: string): string {
  return text.replaceAll("\0", "\\0");
}
