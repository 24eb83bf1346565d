import type { Closing, TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import { refusedCertificate } from "../../service/tls/finding/refused-certificate.ts";
import { endOf, findingFieldsOf, isLoss, tlsFieldsOf } from "../../service/tls/told-text.ts";
import { toldText, type Moment, type TlsPeer } from "../../service/tls/told.ts";
import { encrypted, handshakeFailed, tlsClosed, tlsTrouble } from "./events.ts";
import { clientText, tell, type Action, type Peer, type Phase, type Session, type Terms } from "./state.ts";

/** What a session says of its TLS connection to the log: lines for people, details for the journal. */
export function tellEncrypted(terms: Terms, peer: Peer, tls: TlsFacts, flight: Flight | undefined): Action {
  const isAskedFor = terms.clientCertificate === "require" || terms.clientCertificate === "verify";
  return tell(encrypted, {
    session: terms.session,
    listener: terms.listener,
    client: clientText(peer),
    ...tlsFieldsOf(tls, isAskedFor),
    subject: tls.peerCertificate?.subject,
    isQuiet: terms.isTlsQuiet,
    details: toldText({ told: "up", peer: peerOf(terms, peer), facts: tls, flight }),
  });
}

export function tellHandshakeFailed(terms: Terms, peer: Peer, finding: TlsFinding): Action {
  return tell(handshakeFailed, failureOf(terms, peer, finding, false));
}

/** The client's certificate is not what the listener asks for: it will get no service, and why belongs to the failures. */
export function tellRefused(terms: Terms, peer: Peer, tls: TlsFacts, flight: Flight | undefined): Action {
  return tell(tlsTrouble, failureOf(terms, peer, refusedCertificate(tls, flight), true));
}

/** Something went wrong when TLS was up; the connection is cut. */
export function tellTrouble(terms: Terms, peer: Peer, finding: TlsFinding): Action {
  return tell(tlsTrouble, failureOf(terms, peer, finding, true));
}

export function tellClosed(terms: Terms, peer: Peer, closing: Closing, stand: Stand): Action {
  const { moment, after } = stand;
  return tell(tlsClosed, {
    session: terms.session,
    listener: terms.listener,
    client: clientText(peer),
    end: endOf(closing) ?? "unknown",
    peerEnd: closing.peer,
    ourEnd: closing.we,
    moment,
    after,
    isLoss: isLoss(closing, moment),
    because: closing.because,
    isQuiet: terms.isTlsQuiet,
    details: toldText({ told: "ended", closing, moment, after }),
  });
}

/** A message came without encryption; undefined when it did not. */
export function plainDetails(terms: Terms, { facts }: Session): string | undefined {
  if (facts.tls !== undefined || facts.peer.address === undefined) return undefined;
  const rule =
    terms.tls === "off"
      ? `listener ${terms.listener}: tls is off`
      : `listener ${terms.listener}: tls is offered, and the client did not use it`;
  return toldText({ told: "plain", peer: peerOf(terms, facts.peer), mails: 1, rule });
}

function peerOf(terms: Pick<Terms, "listener">, peer: Peer): TlsPeer {
  return { direction: "in", name: clientText(peer), address: peer.address, place: terms.listener };
}

export function failureOf(terms: Pick<Terms, "session" | "listener">, peer: Peer, finding: TlsFinding, wasUp: boolean) {
  return {
    session: terms.session,
    listener: terms.listener,
    client: clientText(peer),
    ...findingFieldsOf(finding),
    details: toldText({
      told: "failed",
      peer: peerOf(terms, peer),
      finding,
      wasUp,
      ownCertificate: finding.ownCertificate,
    }),
  };
}

/** Where the dialogue stands, should the connection end now. */
export interface Stand {
  readonly moment: Moment;
  readonly after: string;
}

export function standOf({ phase, after }: Pick<Session, "phase" | "after">): Stand {
  return { moment: MOMENTS[phase.at], after };
}

const MOMENTS: Readonly<Record<Phase["at"], Moment>> = {
  connected: "between",
  ready: "between",
  transaction: "between",
  judging: "answer",
  filtering: "answer",
  sifting: "answer",
  asking: "answer",
  waking: "answer",
  data: "content",
  chunk: "content",
  weighing: "answer",
  committing: "answer",
  authenticating: "between",
  checking: "answer",
  identifying: "answer",
  handshake: "between",
  closed: "over",
};
