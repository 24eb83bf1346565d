import type { Closing, TlsFacts } from "../../../service/tls/facts.ts";
import type { TlsFinding } from "../../../service/tls/finding/finding.ts";
import type { Flight } from "../../../service/tls/flight/flight.ts";
import { endOf, findingFieldsOf, isLoss, tlsFieldsOf } from "../../../service/tls/told-text.ts";
import { toldText, type Moment, type TlsPeer } from "../../../service/tls/told.ts";
import type { ConnectRequest, SessionFacts } from "../delivery.ts";
import type { During } from "./failures.ts";

/** Whom and what lines about TLS speak of. */
export interface TlsSubject {
  readonly session: string;
  readonly protocol: string;
  /** `name[address]:port` */
  readonly host: string;
  readonly relay: string;
  readonly address: string | undefined;
  /** Who decides on encryption. */
  readonly rule: string;
  /** Somebody asked that the certificate verifies: only then its problem is told. */
  readonly mustVerify: boolean;
  /** A trace of level 0 holds: people are not told of what works. */
  readonly isQuiet?: boolean | undefined;
}

/** Where the dialogue stands. */
export type Standing = During | "QUIT";

export function subjectOf(request: ConnectRequest, host: string, rule: string, mustVerify: boolean): TlsSubject {
  const { session, protocol, relay } = request;
  const address = "ip" in request.host.address ? request.host.address.ip : undefined;
  return { session, protocol, host, relay, address, rule, mustVerify };
}

export function establishedFields(about: TlsSubject, facts: TlsFacts, flight: Flight | undefined) {
  const { rule } = about;
  return {
    ...shown(about),
    rule,
    ...tlsFieldsOf(facts, about.mustVerify),
    isQuiet: about.isQuiet,
    details: toldText({ told: "up", peer: peerOf(about), facts, rule, flight }),
  };
}

/** `wasUp`: it went wrong after the handshake. */
export function failedFields(about: TlsSubject, finding: TlsFinding, wasUp: boolean) {
  const { rule } = about;
  return {
    ...shown(about),
    rule,
    wasUp,
    ...findingFieldsOf(finding),
    details: toldText({
      told: "failed",
      peer: peerOf(about),
      finding,
      wasUp,
      rule,
      ownCertificate: finding.ownCertificate,
    }),
  };
}

export function closedFields(about: TlsSubject, closing: Closing, during: Standing) {
  const moment = momentOf(during);
  const after = AFTER[during] ?? during;
  return {
    ...shown(about),
    end: endOf(closing) ?? "unknown",
    peerEnd: closing.peer,
    ourEnd: closing.we,
    moment,
    after,
    isLoss: isLoss(closing, moment),
    because: closing.because,
    isQuiet: about.isQuiet,
    details: toldText({ told: "ended", closing, moment, after }),
  };
}

/** Mail went without encryption; undefined when it did not, or nobody could have listened. */
export function unencryptedFields(request: ConnectRequest, facts: SessionFacts, mails: number) {
  const { host, tls, tlsRule } = facts;
  if (mails === 0 || tls !== undefined || tlsRule === undefined) return undefined;
  const rule = `${tlsRule.rule}; ${whyPlain(facts)}`;
  const about = subjectOf(request, host, rule, false);
  return { ...shown(about), rule, mails, details: toldText({ told: "plain", peer: peerOf(about), mails, rule }) };
}

/** A few words that do not differ from one time to the next: the journal counts by them. */
function whyPlain({ plaintextBecause, extensions }: SessionFacts): string {
  if (plaintextBecause !== undefined) return "TLS does not work there";
  return extensions.includes("STARTTLS") ? "STARTTLS is offered, and not used" : "STARTTLS is not offered";
}

function shown({ session, protocol, host, relay }: TlsSubject) {
  return { session, protocol, host, relay };
}

function peerOf({ host, address, relay }: TlsSubject): TlsPeer {
  return { direction: "out", name: host, address, place: relay };
}

/** What the end of the connection would mean now. */
function momentOf(during: Standing): Moment {
  if (during === "QUIT") return "over";
  if (during === "idle") return "between";
  return during === "content" || during === "BDAT" ? "content" : "answer";
}

/** The words of commands for what is none. */
const AFTER: Readonly<Partial<Record<Standing, string>>> = {
  connect: "CONNECT",
  greeting: "CONNECT",
  "TLS handshake": "STARTTLS",
  content: "DATA",
  idle: "the last mail",
};
