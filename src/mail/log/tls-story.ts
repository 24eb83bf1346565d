import { closingText } from "../../service/tls/told-text.ts";
import type { JournalEntry } from "./journal.ts";
import { WITHIN_MS } from "./tls-returns.ts";
import type { NextConnection, ShownRecord, TlsRecord } from "./tls-journal.ts";

/** One step on the way of a connection, from its wire or from the log. */
export type StoryStep =
  | { readonly kind: "wire"; readonly at: number; readonly from: "us" | "peer"; readonly text: string }
  | { readonly kind: "log"; readonly at: number; readonly entry: JournalEntry }
  | { readonly kind: "note"; readonly at: number; readonly text: string };

/** What happened in a connection, in order: its records on the wire between the log's lines, and what the peer did next. */
export function tlsStory({ record, events }: ShownRecord): readonly StoryStep[] {
  const steps: StoryStep[] = events.map((entry) => ({ kind: "log", at: entry.record.at, entry }));
  const { flight } = record;
  if (flight !== undefined) {
    for (const event of flight.events) {
      const detail = event.detail === undefined ? "" : `: ${event.detail}`;
      const size = event.bytes === 0 ? "" : ` (${event.bytes} bytes)`;
      const at = flight.startedAt + event.atMs;
      steps.push({
        kind: "wire",
        at,
        from: event.direction === "in" ? "peer" : "us",
        text: `${event.what}${detail}${size}`,
      });
    }
    if (flight.omitted > 0) {
      const at = flight.startedAt + (flight.events.at(-1)?.atMs ?? 0);
      steps.push({ kind: "note", at, text: `and ${flight.omitted} more steps, which were only counted` });
    }
  }
  if (record.kind === "failure" && record.row.next !== undefined) {
    const text = nextText(record.row.next, record.row.direction);
    steps.push({ kind: "note", at: record.row.next.at, text });
  }
  // In one millisecond the wire comes before the line that tells of it. Sorting keeps the order of equals.
  const rank = (step: StoryStep): number => (step.kind === "wire" ? 0 : step.kind === "log" ? 1 : 2);
  return steps.sort((one, other) => one.at - other.at || rank(one) - rank(other));
}

/** `came back in plaintext as smtp-5 and left after MAIL`. */
export function nextText(next: NextConnection, direction: "in" | "out"): string {
  const came = direction === "in" ? "the same client came back" : "we tried again";
  const how = { tls: "and TLS worked", plaintext: "in plaintext", failed: "and failed again" }[next.how];
  const mails = next.mails === 0 ? "" : `, with ${next.mails === 1 ? "one mail" : `${next.mails} mails`}`;
  const end =
    next.mails > 0 || next.after === undefined || next.how === "failed" ? "" : `, and left after ${next.after}`;
  return `${came} ${how} (session ${next.session})${mails}${end}`;
}

function nothingNext(sinceMs: number): string {
  return `nothing from this peer ${sinceMs < WITHIN_MS ? "so far" : "within a minute"}`;
}

/** What is known of a record in labelled facts, for people. `instant` writes a time. */
export function factsOf(
  record: TlsRecord,
  instant: (at: number) => string,
  now: number,
): readonly (readonly [string, string | undefined])[] {
  const { row, flight } = record;
  const certificate = record.kind === "session" ? record.row.facts.ownCertificate?.fingerprint : record.row.certificate;
  const common = [
    ["at", instant(row.at)],
    [row.direction === "in" ? "client" : "host", row.peer],
    [row.direction === "in" ? "listener" : "relay", row.place],
    ["session", row.session],
    ["rule", row.rule],
  ] as const;
  if (record.kind === "failure") {
    const { finding, next } = record.row;
    const { alert } = finding;
    return [
      ...common,
      ["cause", `${finding.reason}${record.row.wasUp ? ", after the handshake" : ""}`],
      ["sentence", finding.sentence],
      ["fault", finding.fault],
      ["usual cure", finding.cure === "" ? undefined : finding.cure],
      [
        "alert",
        alert === undefined
          ? undefined
          : `${alert.number} ${alert.name}, from ${alert.from === "us" ? "us" : "the peer"}`,
      ],
      ["last from peer", finding.lastFromPeer],
      ["last from us", finding.lastFromUs],
      ["took", `${Math.round(finding.afterMs)} ms`],
      ["evidence", finding.evidence],
      ["server name", record.row.serverName],
      ["software", record.row.ja4 === undefined ? undefined : `${record.row.ja4} (JA4)`],
      ["our certificate", certificate],
      [
        "next",
        next !== undefined ? nextText(next, row.direction) : record.row.wasUp ? undefined : nothingNext(now - row.at),
      ],
    ];
  }
  const { facts, closed } = record.row;
  const peer = facts.peerCertificate;
  return [
    ...common,
    ["protocol", `${facts.version}, ${facts.cipher}${facts.bits === 0 ? "" : `, ${facts.bits} bits`}`],
    ["key exchange", facts.group],
    ["signature", facts.signature],
    ["resumed", facts.isResumed ? "yes" : "no"],
    ["server name", facts.serverName],
    ["ALPN", facts.alpn],
    ["software", facts.clientFingerprint === undefined ? undefined : `${facts.clientFingerprint} (JA4)`],
    ["handshake", `${Math.round(facts.handshakeMs)} ms`],
    ["our certificate", certificate],
    [
      "its certificate",
      peer === undefined
        ? undefined
        : `${peer.subject}; issued by ${peer.issuer}; until ${instant(peer.notAfterAt)}; sha256 ${peer.fingerprint}`,
    ],
    [
      "verification",
      `${facts.verdict.result}${facts.verdict.by === undefined ? "" : ` by ${facts.verdict.by}`}${facts.verdict.problem === undefined ? "" : `: ${facts.verdict.problem.text}`}`,
    ],
    [
      "bytes",
      flight === undefined ? undefined : `${flight.bytes.in} in, ${flight.bytes.out} out, at the time of the record`,
    ],
    [
      "closed",
      closed === undefined
        ? "not yet, or not seen"
        : `${instant(closed.at)} ${closingText(closed.closing, closed.moment, closed.after)}`,
    ],
  ];
}
