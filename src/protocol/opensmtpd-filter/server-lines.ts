import type { FilterPhase, FilterVersion, Report } from "./opensmtpd-filter.ts";

/** What a program is told of us before it says what it wants. */
export function handshakeLines(world: {
  /** As what we introduce ourselves: programs look for features of that version. */
  readonly smtpdVersion: string;
  readonly version: FilterVersion;
  readonly sessionTimeoutSeconds: number;
  /** Whose name stands in Authentication-Results. */
  readonly hostname: string;
}): readonly string[] {
  return [
    `config|smtpd-version|${world.smtpdVersion}`,
    `config|protocol|${world.version}`,
    `config|smtp-session-timeout|${world.sessionTimeoutSeconds}`,
    "config|subsystem|smtp-in",
    `config|admd|${field(world.hostname)}`,
    "config|ready",
  ];
}

/** `session`: 16 hexadecimal digits; `at`: ms since the epoch. */
export function reportLine(version: FilterVersion, at: number, session: string, report: Report): string {
  const parameters = parametersOf(version, report);
  const head = `report|${version}|${timestamp(at)}|smtp-in|${report.event}|${session}`;
  return parameters.length === 0 ? head : `${head}|${parameters.join("|")}`;
}

/** A question other than for a line of content. Questions without a parameter have an empty one. */
export function requestLine(
  version: FilterVersion,
  at: number,
  phase: FilterPhase,
  session: string,
  token: string,
  ...parameters: readonly string[]
): string {
  const fields = parameters.length === 0 ? "" : parameters.map(lastButOne).join("|");
  return `filter|${version}|${timestamp(at)}|smtp-in|${phase}|${session}|${token}|${fields}`;
}

/** What stands in front of each line of content. */
export function dataLinePrefix(version: FilterVersion, at: number, session: string, token: string): string {
  return `filter|${version}|${timestamp(at)}|smtp-in|data-line|${session}|${token}|`;
}

function parametersOf(version: FilterVersion, report: Report): readonly string[] {
  switch (report.event) {
    case "link-connect":
      return [
        report.name === undefined ? "<unknown>" : field(report.name),
        report.confirmed,
        field(report.source),
        last(report.destination),
      ];
    case "link-greeting":
      return [last(report.hostname)];
    case "link-identify":
      return [report.method, last(report.identity)];
    case "link-tls":
      return [last(`${report.version}:${report.cipher}:${report.bits}`)];
    case "link-auth":
      return version < "0.7" ? [last(report.user), report.result] : [report.result, last(report.user)];
    case "link-disconnect":
    case "timeout":
      return [];
    case "tx-begin":
    case "tx-rollback":
      return [report.transaction];
    case "tx-reset":
      return [report.transaction ?? NO_TRANSACTION];
    case "tx-mail":
    case "tx-rcpt":
      return version < "0.6"
        ? [report.transaction, last(report.address), report.result]
        : [report.transaction, report.result, last(report.address)];
    case "tx-envelope":
      return [report.transaction, report.envelope];
    case "tx-data":
      return [report.transaction, report.result];
    case "tx-commit":
      return [report.transaction, String(report.sizeBytes)];
    case "protocol-client":
    case "protocol-server":
      return [last(report.line)];
    case "filter-report":
      return ["proc", field(report.filter), last(report.text)];
    case "filter-response":
      return [
        report.phase === "connect" ? "connected" : report.phase,
        report.response,
        ...(report.parameter === undefined ? [] : [last(report.parameter)]),
      ];
  }
}

const NO_TRANSACTION = "00000000";

/** Seconds and microseconds: `1576146008.006099`. */
function timestamp(at: number): string {
  const seconds = Math.floor(at / 1000);
  return `${seconds}.${String(Math.floor((at - seconds * 1000) * 1000)).padStart(6, "0")}`;
}

/** The last field of a line may have bars in it, and no line's end. Text becomes the bytes that it is in UTF-8. */
function last(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the controls are what must not be said
  return bytesOf(text).replace(/[\u0000-\u0008\u000a-\u001f]/g, "?");
}

/** A field with others behind it. */
function field(text: string): string {
  return last(text).replaceAll("|", "?");
}

function lastButOne(text: string, at: number, all: readonly string[]): string {
  return at === all.length - 1 ? last(text) : field(text);
}

/** Text as it goes over a line: a character for each of its bytes in UTF-8. */
function bytesOf(text: string): string {
  // oxlint-disable-next-line no-control-regex -- all of ASCII, the common case
  return /^[\u0000-\u007f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}
