import type { TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import { knownFinding } from "../../service/tls/finding/known-finding.ts";
import { connectionLost, injection, limitReached } from "./events.ts";
import { mayStartTls } from "./greeting.ts";
import { tellStarted, whoIsIt } from "./client-certificate.ts";
import { pipelinedImproperly, tellPipelining } from "./data.ts";
import { greetFirst } from "./mail.ts";
import { close, holdsContent, misuse } from "./refusing.ts";
import { replies } from "./replies.ts";
import { clientText, READY, reply, tell, type Facts, type Session, type Step, type World } from "./state.ts";
import { failureOf, tellHandshakeFailed } from "./tls-lines.ts";

/** STARTTLS (RFC 3207). */
export function startTls(world: World, session: Session, bytesBehind: number): Step {
  const { terms } = world;
  const { facts } = session;
  if (bytesBehind > 0) {
    if (facts.tls !== undefined || !mayStartTls(world, session))
      return pipelinedImproperly(world, session, bytesBehind);
    return injected(world, session, bytesBehind);
  }
  if (facts.tls !== undefined) return misuse(world, session, "STARTTLS", replies.alreadyEncrypted);
  if (!mayStartTls(world, session)) {
    const why = session.isActedFor === true ? replies.tlsBehindXclient : replies.notImplemented;
    return misuse(world, session, "STARTTLS", why);
  }
  const first = greetFirst(world, facts);
  if (first !== undefined) return misuse(world, session, "STARTTLS", first);
  if (!world.allowance.take("handshake")) {
    const finding = knownFinding("too-many-handshakes", { role: "server", startedAt: world.now() });
    const { details } = failureOf(terms, facts.peer, finding, false);
    const about = { session: terms.session, client: clientText(facts.peer), what: "TLS handshakes", details };
    return [session, [tell(limitReached, about), reply(replies.tlsNotAvailable)]];
  }
  const before = holdsContent(session) ? [{ do: "abandon" } as const] : [];
  return [{ ...session, phase: { at: "handshake" } }, [...before, reply(replies.readyForTls), { do: "startTls" }]];
}

/**
 * Bytes that came before the handshake were not encrypted and would be taken for commands that are: an attacker's way in.
 * `handshake` is the phase once STARTTLS is accepted, with our reply still unsent.
 */
export function injected(world: World, session: Session, bytes: number): Step {
  const { terms } = world;
  const { peer } = session.facts;
  const when = session.phase.at === "handshake" ? "between STARTTLS and our reply" : "behind STARTTLS";
  const finding = knownFinding("injection", { role: "server", startedAt: world.now(), detail: `${bytes} bytes` });
  const event = tell(injection, { ...failureOf(terms, peer, finding, false), bytes, when });
  return close(session, replies.improperPipelining, event, tellPipelining(world, session, bytes));
}

/**
 * RFC 3207 section 4.2: what was said before is forgotten, for anybody on the way may have said it: greeting, login,
 * transaction, XFORWARD. What XCLIENT says could be neither kept nor forgotten, for then whoever it named would be the proxy:
 * so behind it no TLS is started.
 */
export function tlsStarted(world: World, session: Session, tls: TlsFacts, flight: Flight | undefined): Step {
  const { origin: peer, connectionTags: tags } = session;
  const facts: Facts = { peer, greeting: "none", tls };
  const told = tellStarted(world, facts, tls, flight);
  const known = tags === undefined ? facts : { ...facts, tags };
  return whoIsIt(world, { ...session, facts: known, phase: READY }, told, false);
}

export function tlsFailed(world: World, session: Session, finding: TlsFinding): Step {
  const { peer } = session.facts;
  const about = { session: world.terms.session, client: clientText(peer), reason: finding.sentence };
  const lost = tell(connectionLost, { ...about, after: session.after });
  return close(session, undefined, tellHandshakeFailed(world.terms, peer, finding), lost);
}
