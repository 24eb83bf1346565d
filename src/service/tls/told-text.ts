import type { FieldsOf } from "../../foundation/events.ts";
import { isCleanEnd, type Closing, type TlsFacts } from "./facts.ts";
import type { TlsFinding } from "./finding/finding.ts";
import type { Moment } from "./told.ts";

/** The words and fields in which stages log a TLS connection. Postfix's words where it has them, so that tools and habits work. */
export const tlsFields = {
  /** `Verified`, `Trusted`, `Untrusted`, `Anonymous`: as Postfix says it. */
  trust: "text",
  version: "text",
  cipher: "text",
  bits: "count",
  group: "text?",
  signature: "text?",
  serverName: "text?",
  alpn: "text?",
  resumed: "flag",
  ja4: "text?",
  handshakeMs: "ms",
  /** `OK`, `FAIL`, `NONE`, `DANE`. */
  verify: "text",
  /** Why it does not verify; told only where somebody had asked that it does. */
  problem: "text?",
  certificate: "text?",
  peerCertificate: "text?",
} as const;

export type TlsFields = FieldsOf<typeof tlsFields>;

/** `tellsProblem`: verification was asked for. Without it nobody is bothered with a certificate that nobody required. */
export function tlsFieldsOf(facts: TlsFacts, tellsProblem: boolean): TlsFields {
  const { verdict } = facts;
  return {
    trust: trustOf(facts),
    version: facts.version,
    cipher: facts.cipher,
    bits: facts.bits,
    group: facts.group,
    signature: facts.signature,
    serverName: facts.serverName,
    alpn: facts.alpn,
    resumed: facts.isResumed,
    ja4: facts.clientFingerprint,
    handshakeMs: Math.round(facts.handshakeMs),
    verify: verdict.result,
    problem: tellsProblem ? verdict.problem?.text : undefined,
    certificate: facts.ownCertificate?.fingerprint,
    peerCertificate: facts.peerCertificate?.fingerprint,
  };
}

/**
 * Postfix's four words. Verified: the chain and the name (or a fingerprint, or DANE) are right; trusted: the chain alone;
 * untrusted: there is a certificate and no more is known; anonymous: there is none.
 */
export function trustOf({ role, verdict, peerCertificate }: TlsFacts): string {
  const { result, by, problem } = verdict;
  // A client's certificate has no name to compare: the chain alone is what can be right.
  if (result === "OK") return role === "server" && by === "authorities" ? "Trusted" : "Verified";
  if (result === "DANE") return "Verified";
  if (problem?.kind === "wrong-name") return "Trusted";
  return peerCertificate === undefined ? "Anonymous" : "Untrusted";
}

/** `Trusted TLS connection established to mx.example[192.0.2.1]:25: TLSv1.3 with cipher … (256/256 bits) …`. */
export function establishedText(e: TlsFields, preposition: "from" | "to", peer: string): string {
  const more = [
    e.group === undefined ? undefined : `key-exchange ${e.group}`,
    e.signature === undefined ? undefined : `server-signature ${e.signature}`,
  ].filter((part) => part !== undefined);
  const ours = [
    e.resumed ? "resumed" : undefined,
    e.ja4 === undefined ? undefined : `ja4=${e.ja4}`,
    `handshake=${e.handshakeMs}ms`,
    `verify=${e.verify}`,
    e.problem,
  ].filter((part) => part !== undefined);
  // Postfix's server says the name asked for behind the client; as a client the name is the host's.
  const asked = preposition === "from" && e.serverName !== undefined ? ` to ${e.serverName}` : "";
  return (
    `${e.trust} TLS connection established ${preposition} ${peer}${asked}: ${e.version} with cipher ${e.cipher}` +
    `${e.bits === 0 ? "" : ` (${e.bits}/${e.bits} bits)`}${more.map((part) => ` ${part}`).join("")}; ${ours.join(", ")}`
  );
}

export const findingFields = {
  reason: "text",
  fault: "text",
  problem: "text",
  cure: "text",
  /** `unknown_ca from the peer`. */
  alert: "text?",
  ja4: "text?",
  serverName: "text?",
  tookMs: "ms",
  evidence: "text?",
} as const;

export type FindingFields = FieldsOf<typeof findingFields>;

export function findingFieldsOf(finding: TlsFinding): FindingFields {
  const { alert } = finding;
  return {
    reason: finding.reason,
    fault: finding.fault,
    problem: finding.sentence,
    cure: finding.cure,
    alert: alert === undefined ? undefined : `${alert.name} from ${alert.from === "us" ? "us" : "the peer"}`,
    ja4: finding.ja4,
    serverName: finding.serverName,
    tookMs: Math.round(finding.afterMs),
    evidence: finding.evidence,
  };
}

/** `the client does not trust our certificate … (certificate-unknown-authority); usual cure: …`. */
export function findingText(e: Pick<FindingFields, "reason" | "problem" | "cure">): string {
  const sentence = e.problem.replace(/\.$/, "");
  return `${sentence} (${e.reason})${e.cure === "" ? "" : `; usual cure: ${e.cure.replace(/\.$/, "")}`}`;
}

/** The same of an event's fields. */
export function closedText(e: {
  readonly peerEnd: string;
  readonly ourEnd: string;
  readonly moment: string;
  readonly after: string;
  readonly because?: string | undefined;
}): string {
  // The words were taken from a `Closing` and a `Moment`.
  const closing = { peer: e.peerEnd, we: e.ourEnd, because: e.because } as Closing;
  return closingText(closing, e.moment as Moment, e.after);
}

/** Whether the peer's end was proper; undefined where nobody could see it. */
export function endOf(closing: Closing): "clean" | "unclean" | undefined {
  if (closing.peer === "unknown" || closing.peer === "open") return undefined;
  return isCleanEnd(closing) ? "clean" : "unclean";
}

/** `closed clean`, or `closed unclean: the peer ended TCP (FIN) without close_notify, which loses nothing after QUIT`. */
export function closingText(closing: Closing, moment: Moment, after: string): string {
  const end = endOf(closing);
  if (end === undefined)
    return closing.we === "cut" ? "cut by us; how the peer would have ended is unknown" : "unknown";
  if (end === "clean") {
    return moment === "content"
      ? `clean, but inside ${after}: what was being sent is incomplete and void`
      : `clean after ${after}`;
  }
  const how = ENDS[closing.peer] ?? closing.peer;
  const because = closing.because === undefined ? "" : ` (${closing.because})`;
  return `unclean: ${how}${because}; ${meaningOf(closing, moment, after)}`;
}

const ENDS: Readonly<Partial<Record<Closing["peer"], string>>> = {
  truncated: "the peer ended TCP (FIN) without close_notify",
  "truncated-mid-record": "the peer ended TCP (FIN) inside a TLS record",
  reset: "the peer reset the connection (RST)",
  "no-answer": "the peer did not answer our close_notify in time",
  error: "the connection broke",
};

function meaningOf(closing: Closing, moment: Moment, after: string): string {
  switch (moment) {
    case "over":
      return closing.peer === "truncated-mid-record"
        ? `something after ${after} was cut off, nothing that counted`
        : `after ${after}: nothing is lost`;
    case "between":
      return `after ${after}, with nothing under way: nothing is lost`;
    case "answer":
      return `after ${after}, before its answer: whether that was heard is not known`;
    case "content":
      return `inside ${after}: what was being sent is incomplete and void`;
    default:
      // A record of another version of ours.
      return `after ${after}`;
  }
}

/** A loss: data was under way when the connection ended. */
export function isLoss(closing: Closing, moment: Moment): boolean {
  return moment === "content" && closing.peer !== "open" && closing.peer !== "unknown";
}
