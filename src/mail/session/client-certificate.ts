import type { TlsFacts } from "../../service/tls/facts.ts";
import type { CertificateIdentity } from "../../service/account/client-certificate.ts";
import type { CertificateForRules } from "../envelope/policy.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import { certificateRefused, greeting, replies } from "./replies.ts";
import { tellEncrypted, tellRefused } from "./tls-lines.ts";
import {
  READY,
  reply,
  type Action,
  type ClientCertificate,
  type Facts,
  type Session,
  type Step,
  type World,
} from "./state.ts";

/**
 * The client's certificate: what was shown, whom it makes the client where the listener identifies by certificates, and
 * what rules may ask of it. `before` is done first; the greeting of implicit TLS waits for the answer.
 */
export function whoIsIt(world: World, session: Session, before: readonly Action[], isGreeting: boolean): Step {
  const { identifyBy, hostname, protocol } = world.terms;
  const { tls } = session.facts;
  const shown = tls === undefined ? undefined : shownIn(tls);
  const rest = isGreeting ? [reply(greeting(hostname, protocol))] : [];
  if (shown === undefined) return [session, [...before, ...rest]];
  if (identifyBy === undefined) {
    const certificate: ClientCertificate = { shown, identity: { kind: "unknown" } };
    return [{ ...session, facts: { ...session.facts, certificate } }, [...before, ...rest]];
  }
  const waiting: Session = { ...session, phase: { at: "identifying", shown, isGreeting } };
  return [waiting, [...before, { do: "identify", by: identifyBy, shown }]];
}

export function identified(world: World, session: Session, identity: CertificateIdentity): Step {
  const { phase, facts } = session;
  if (phase.at !== "identifying") return [session, []];
  const { hostname, protocol } = world.terms;
  const next: Session = {
    ...session,
    facts: { ...facts, certificate: { shown: phase.shown, identity } },
    phase: READY,
  };
  return [next, phase.isGreeting ? [reply(greeting(hostname, protocol))] : []];
}

/** What is wrong with the certificate of a client, where the listener asks for one. */
export function certificateRefusal(
  { clientCertificate }: Pick<World["terms"], "clientCertificate">,
  tls: TlsFacts,
): Reply | undefined {
  if (clientCertificate !== "require" && clientCertificate !== "verify") return undefined;
  if (tls.peerCertificate === undefined) return replies.certificateFirst;
  if (clientCertificate === "require" || tls.verdict.result === "OK") return undefined;
  return certificateRefused(tls.verdict.problem?.text);
}

/** What is told of TLS that is up; also that it will not do, where the listener asks for more of the client. */
export function tellStarted(
  { terms }: World,
  { peer }: Facts,
  tls: TlsFacts,
  flight: Flight | undefined,
): readonly Action[] {
  const told = tellEncrypted(terms, peer, tls, flight);
  return certificateRefusal(terms, tls) === undefined ? [told] : [told, tellRefused(terms, peer, tls, flight)];
}

function shownIn({ peerCertificate, verdict }: TlsFacts): ClientCertificate["shown"] | undefined {
  if (peerCertificate === undefined) return undefined;
  const {
    fingerprint,
    keyFingerprint,
    subject,
    wholeSubject = subject,
    commonName,
    emails = [],
    names,
  } = peerCertificate;
  const isVerified = verdict.result === "OK" && verdict.by === "authorities";
  return { fingerprint, keyFingerprint, isVerified, subject, wholeSubject, commonName, emails, names };
}

export function certificateForRules({ certificate }: Facts): CertificateForRules | undefined {
  if (certificate === undefined) return undefined;
  const { shown, identity } = certificate;
  const { wholeSubject, commonName, names, emails, isVerified } = shown;
  return {
    fingerprints: [shown.fingerprint, shown.keyFingerprint],
    isVerified,
    // Anybody can write any name into a certificate of his own.
    subject: isVerified && wholeSubject !== "" ? wholeSubject : undefined,
    names: isVerified ? [...names, ...emails, ...(commonName === undefined ? [] : [commonName])] : [],
    mayRelay: identity.kind === "failed" ? { failed: identity.text } : identity.kind === "known" && identity.mayRelay,
  };
}
