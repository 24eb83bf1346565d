import type { Level } from "../../foundation/events.ts";
import type { SinkLine } from "./sink.ts";

/** Where syslog(3) speaks to the system's log under Linux. */
export const SYSLOG_SOCKET = "/dev/log";

/** RFC 5424 section 6.2.1. */
export const FACILITY_MAIL = 2;
const SEVERITY: Readonly<Record<Level, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

function priorityOf(level: Level): number {
  return FACILITY_MAIL * 8 + SEVERITY[level];
}

export function severityOf(level: Level): number {
  return SEVERITY[level];
}

/**
 * RFC 5424 section 6: `<22>1 TIME HOST APP-NAME PROCID MSGID SD MSG`. The text is UTF-8 without a byte order mark, which
 * receivers expect more often than they understand the mark. `time` is an RFC 3339 instant.
 */
export function rfc5424Message(line: SinkLine, hostname: string, time: string): string {
  const host = hostname === "" ? "-" : hostname.replace(/[^\u0021-\u007e]/g, "?").slice(0, 255);
  return `<${priorityOf(line.level)}>1 ${time} ${host} posthorn/${line.speaker} ${line.number} - - ${line.text}`;
}

/** RFC 6587 section 3.4.1 octet counting, for streams. */
export function octetCounted(message: string): string {
  return `${Buffer.byteLength(message)} ${message}`;
}
