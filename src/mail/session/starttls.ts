import type { TlsFacts } from "../../service/tls/facts.ts";
import { tellEncrypted } from "./encryption.ts";
import { connectionLost, handshakeFailed, limitReached } from "./events.ts";
import { mayStartTls } from "./greeting.ts";
import { pipelinedImproperly } from "./content.ts";
import { greetFirst } from "./mail.ts";
import { close, holdsContent, misuse } from "./refusing.ts";
import { replies } from "./replies.ts";
import { clientText, READY, reply, tell, type Session, type Step, type World } from "./state.ts";

/** STARTTLS (RFC 3207). */
export function startTls(world: World, session: Session, isMoreBehind: boolean): Step {
  const { terms } = world;
  const { facts } = session;
  // Bytes behind the command were not encrypted and would be taken for commands that are: an attacker's way in.
  if (isMoreBehind) return pipelinedImproperly(world, session);
  if (facts.tls !== undefined) return misuse(world, session, "STARTTLS", replies.alreadyEncrypted);
  if (!mayStartTls(world, facts)) return misuse(world, session, "STARTTLS", replies.notImplemented);
  const first = greetFirst(world, facts);
  if (first !== undefined) return misuse(world, session, "STARTTLS", first);
  if (!world.allowance.take("handshake")) {
    const client = clientText(facts.peer);
    const event = tell(limitReached, { session: terms.session, client, what: "TLS handshakes in a minute" });
    return [session, [event, reply(replies.tlsNotAvailable)]];
  }
  const before = holdsContent(session) ? [{ do: "abandon" } as const] : [];
  return [{ ...session, phase: { at: "handshake" } }, [...before, reply(replies.readyForTls), { do: "startTls" }]];
}

/** RFC 3207 section 4.2: what was said before is forgotten, for anybody on the way may have said it. */
export function tlsStarted(world: World, session: Session, tls: TlsFacts): Step {
  const { peer } = session.facts;
  return [{ ...session, facts: { peer, greeting: "none", tls }, phase: READY }, [tellEncrypted(world, peer, tls)]];
}

export function tlsFailed(world: World, session: Session, reason: string): Step {
  const client = clientText(session.facts.peer);
  const about = { session: world.terms.session, client, reason };
  const lost = tell(connectionLost, { ...about, after: session.after });
  return close(session, undefined, tell(handshakeFailed, about), lost);
}
