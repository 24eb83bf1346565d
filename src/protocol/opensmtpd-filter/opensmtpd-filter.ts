/**
 * The filter protocol of OpenSMTPD (smtpd-filters(7)): lines over the standard input and output of a program that lives as
 * long as the server. First both introduce themselves (`config|…`, `register|…`); then the server tells events (`report|…`)
 * and asks questions (`filter|…`), and the program answers (`filter-result|…`, `filter-dataline|…`). All sessions share the
 * one stream: each line names its session, each question has a token.
 *
 * The pieces: the vocabulary here, `server-lines.ts` (what we say), `program-lines.ts` (what a program says), `data-lines.ts`
 * (content as lines, and back). A line is text of which each character is a byte (latin1), for content may stand in it.
 *
 * Versions differ in the order of fields; the program does not say which one it knows, it is told with each line:
 *
 * | version | OpenSMTPD | is different in |
 * |---|---|---|
 * | 0.4 | 6.6 | answers name the token before the session |
 * | 0.5 | 6.6.1 | answers name the session first |
 * | 0.6 | 6.7, 6.8 | `tx-mail` and `tx-rcpt` have the result before the address |
 * | 0.7 | 7.4 to 7.8 | `link-auth` has the result before the name |
 */
export const FILTER_VERSIONS = ["0.4", "0.5", "0.6", "0.7"] as const;
export type FilterVersion = (typeof FILTER_VERSIONS)[number];

/** What a program may want to be asked about. */
export const FILTER_PHASES = [
  "connect",
  "helo",
  "ehlo",
  "starttls",
  "auth",
  "mail-from",
  "rcpt-to",
  "data",
  "data-line",
  "rset",
  "quit",
  "noop",
  "help",
  "wiz",
  "commit",
] as const;
export type FilterPhase = (typeof FILTER_PHASES)[number];

/** What a program may want to be told. */
export const REPORT_EVENTS = [
  "link-connect",
  "link-greeting",
  "link-identify",
  "link-tls",
  "link-auth",
  "link-disconnect",
  "tx-reset",
  "tx-begin",
  "tx-mail",
  "tx-rcpt",
  "tx-envelope",
  "tx-data",
  "tx-commit",
  "tx-rollback",
  "protocol-client",
  "protocol-server",
  "filter-report",
  "filter-response",
  "timeout",
] as const;
export type ReportEvent = (typeof REPORT_EVENTS)[number];

export function isFilterPhase(text: string): text is FilterPhase {
  return (FILTER_PHASES as readonly string[]).includes(text);
}

export function isReportEvent(text: string): text is ReportEvent {
  return (REPORT_EVENTS as readonly string[]).includes(text);
}

/** What became of an address, or of DATA. */
export type TransactionResult = "ok" | "permfail" | "tempfail";

/** An event of an incoming session, with its fields. `transaction` is 8 hexadecimal digits. */
export type Report =
  | {
      readonly event: "link-connect";
      /** Without it: the address has no name. */
      readonly name?: string | undefined;
      /** Whether the name has the address too. */
      readonly confirmed: "pass" | "fail" | "error";
      readonly source: string;
      readonly destination: string;
    }
  | { readonly event: "link-greeting"; readonly hostname: string }
  | { readonly event: "link-identify"; readonly method: "HELO" | "EHLO"; readonly identity: string }
  | { readonly event: "link-tls"; readonly version: string; readonly cipher: string; readonly bits: number }
  | { readonly event: "link-auth"; readonly user: string; readonly result: "pass" | "fail" | "error" }
  | { readonly event: "link-disconnect" | "timeout" }
  | { readonly event: "tx-begin" | "tx-rollback"; readonly transaction: string }
  /** Without a transaction: there was none. */
  | { readonly event: "tx-reset"; readonly transaction?: string | undefined }
  | {
      readonly event: "tx-mail" | "tx-rcpt";
      readonly transaction: string;
      /** Without brackets and parameters. */
      readonly address: string;
      readonly result: TransactionResult;
    }
  /** `envelope`: 16 hexadecimal digits. */
  | { readonly event: "tx-envelope"; readonly transaction: string; readonly envelope: string }
  | { readonly event: "tx-data"; readonly transaction: string; readonly result: TransactionResult }
  | { readonly event: "tx-commit"; readonly transaction: string; readonly sizeBytes: number }
  | { readonly event: "protocol-client" | "protocol-server"; readonly line: string }
  | { readonly event: "filter-report"; readonly filter: string; readonly text: string }
  | {
      readonly event: "filter-response";
      readonly phase: FilterPhase;
      readonly response: string;
      readonly parameter?: string | undefined;
    };

/** What a program says to a question. */
export type Decision =
  | { readonly kind: "proceed" | "junk" }
  | { readonly kind: "reject" | "disconnect" | "rewrite" | "report"; readonly parameter: string };
