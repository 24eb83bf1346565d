import {
  decodeResponse,
  saslServer,
  SERVER_MECHANISMS,
  type SaslServer,
  type SaslStep,
} from "../../protocol/sasl/server.ts";
import { reply as replyOf } from "../../protocol/smtp/reply.ts";
import type { PasswordVerdict } from "../../service/account/authenticator.ts";
import { authenticated, authenticationFailed, limitReached } from "./events.ts";
import { answer, close, misuse } from "./refusing.ts";
import { replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Facts,
  type Session,
  type Step,
  type Terms,
  type World,
} from "./state.ts";

/** AUTH (RFC 4954) with PLAIN and LOGIN. Passwords travel under TLS only, unless the listener trusts this machine. */
export function mechanismsFor(terms: Terms, facts: Facts): readonly string[] {
  if (terms.auth === "off") return [];
  return facts.tls !== undefined || terms.mayAuthenticateInPlain ? SERVER_MECHANISMS : [];
}

export function auth(world: World, session: Session, mechanism: string, initial: string | undefined): Step {
  const { terms } = world;
  const { facts } = session;
  if (terms.auth === "off") return misuse(world, session, "AUTH", replies.notImplemented);
  if (facts.greeting === "none" || facts.greeting === "HELO")
    return misuse(world, session, "AUTH", terms.protocol === "lmtp" ? replies.greetFirstLmtp : replies.greetFirst);
  if (facts.account !== undefined) return misuse(world, session, "AUTH", replies.alreadyAuthenticated);
  // RFC 4954 section 4.
  if (session.phase.at === "transaction") return misuse(world, session, "AUTH", replies.transactionOpen);
  if (mechanismsFor(terms, facts).length === 0) return misuse(world, session, "AUTH", replies.encryptionForAuth);
  const exchange = saslServer(mechanism);
  if (exchange === undefined) return misuse(world, session, "AUTH", replies.unknownMechanism);
  if (world.allowance.isSpent("authentication-failure")) {
    const client = clientText(facts.peer);
    const event = tell(limitReached, { session: terms.session, client, what: "wrong passwords in a minute" });
    return [session, [event, reply(replies.cannotAuthenticate)]];
  }
  if (initial === undefined) return proceed(world, session, exchange, exchange.start(undefined));
  const decoded = decodeResponse(initial);
  if (!decoded.ok || decoded.value === "cancel") return misuse(world, session, "AUTH", replies.authMalformed);
  return proceed(world, session, exchange, exchange.start(decoded.value));
}

/** A line of the client within the exchange. */
export function authResponse(world: World, session: Session, exchange: SaslServer, line: string): Step {
  const back: Session = { ...session, phase: READY };
  const decoded = decodeResponse(line);
  if (!decoded.ok) return misuse(world, back, "AUTH", replies.authMalformed);
  if (decoded.value === "cancel") return misuse(world, back, "AUTH", replies.authCancelled);
  return proceed(world, session, exchange, exchange.next(decoded.value));
}

function proceed(world: World, session: Session, exchange: SaslServer, step: SaslStep): Step {
  switch (step.kind) {
    case "challenge":
      return answer(
        { ...session, phase: { at: "authenticating", exchange } },
        replyOf(334, undefined, step.bytes.toString("base64")),
      );
    case "refused":
      return misuse(world, { ...session, phase: READY }, "AUTH", replies.authMalformed);
    case "credentials":
      return [
        { ...session, phase: { at: "checking", mechanism: exchange.mechanism, user: step.user } },
        [{ do: "check", user: step.user, password: step.password }],
      ];
  }
}

export function passwordChecked(world: World, session: Session, verdict: PasswordVerdict): Step {
  const { phase, facts } = session;
  if (phase.at !== "checking") return [session, []];
  const { mechanism, user } = phase;
  const back: Session = { ...session, phase: READY };
  const about = { session: world.terms.session, client: clientText(facts.peer), mechanism };
  if (verdict.kind === "right") {
    const { account } = verdict;
    const known: Session = { ...back, facts: { ...facts, account, mechanism } };
    return [known, [tell(authenticated, { ...about, account }), reply(replies.authenticated)]];
  }
  const reason = verdict.kind === "wrong" ? "authentication failure" : verdict.text;
  const event = tell(authenticationFailed, { ...about, user, reason });
  if (verdict.kind === "failed") return [back, [event, reply(replies.cannotAuthenticate)]];
  world.allowance.take("authentication-failure");
  const authenticationFailures = session.authenticationFailures + 1;
  const counted: Session = { ...back, authenticationFailures };
  if (authenticationFailures >= world.terms.settings.authenticationFailures)
    return close(counted, replies.tooManyPasswords, event, reply(replies.wrongPassword));
  return [counted, [event, reply(replies.wrongPassword)]];
}
