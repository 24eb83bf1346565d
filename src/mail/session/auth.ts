import {
  decodeResponse,
  PASSWORD_MECHANISMS,
  saslServer,
  type SaslServer,
  type SaslStep,
} from "../../protocol/sasl/server.ts";
import { reply as replyOf } from "../../protocol/smtp/reply.ts";
import type { PasswordVerdict } from "../../service/account/authenticator.ts";
import { authenticated, authenticationFailed, limitReached } from "./events.ts";
import { encryptionRefusal } from "./mail.ts";
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

/**
 * AUTH (RFC 4954) with PLAIN and LOGIN, and with EXTERNAL (RFC 4422 appendix A) for a client whose certificate makes it
 * somebody. Passwords travel under TLS only, unless the listener trusts this machine.
 */
export function mechanismsFor(terms: Terms, facts: Facts): readonly string[] {
  if (terms.auth === "off") return [];
  const isSafe = facts.tls !== undefined || terms.mayAuthenticateInPlain;
  return [...(isSafe ? PASSWORD_MECHANISMS : []), ...(mayBeSomebody(facts) ? ["EXTERNAL"] : [])];
}

/** Where that could not be found out the client is let try, and told that it may come again. */
function mayBeSomebody({ certificate }: Facts): boolean {
  const identity = certificate?.identity;
  return identity?.kind === "failed" || (identity?.kind === "known" && identity.accounts.length > 0);
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
  // No password is heard from a client that may not use it.
  const insecure = facts.tls === undefined ? undefined : encryptionRefusal(world, facts);
  if (insecure !== undefined) return misuse(world, session, "AUTH", insecure);
  const mechanisms = mechanismsFor(terms, facts);
  if (mechanisms.length === 0) return misuse(world, session, "AUTH", replies.encryptionForAuth);
  const exchange = saslServer(mechanism);
  if (exchange === undefined || !mechanisms.includes(exchange.mechanism))
    return misuse(world, session, "AUTH", replies.unknownMechanism);
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
    case "external":
      return external(world, { ...session, phase: READY }, step.authorization);
  }
}

/** The certificate has proved its owner in the handshake; what is left is whether that is whom the client wants to be. */
function external(world: World, session: Session, authorization: string): Step {
  const identity = session.facts.certificate?.identity ?? { kind: "unknown" };
  const user = authorization === "" ? (session.facts.certificate?.shown.subject ?? "") : authorization;
  if (identity.kind === "failed") return loginRefused(world, session, "EXTERNAL", user, identity.text);
  const accounts = identity.kind === "known" ? identity.accounts : [];
  const account = authorization === "" ? accounts[0] : accounts.find((one) => one === authorization.toLowerCase());
  return account === undefined
    ? loginRefused(world, session, "EXTERNAL", user, undefined)
    : loggedIn(world, session, "EXTERNAL", account);
}

export function passwordChecked(world: World, session: Session, verdict: PasswordVerdict): Step {
  const { phase } = session;
  if (phase.at !== "checking") return [session, []];
  const { mechanism, user } = phase;
  const back: Session = { ...session, phase: READY };
  if (verdict.kind === "right") return loggedIn(world, back, mechanism, verdict.account);
  return loginRefused(world, back, mechanism, user, verdict.kind === "failed" ? verdict.text : undefined);
}

function loggedIn(world: World, session: Session, mechanism: string, account: string): Step {
  const { facts } = session;
  const about = { session: world.terms.session, client: clientText(facts.peer), mechanism, account };
  const known: Session = { ...session, facts: { ...facts, account, mechanism } };
  return [known, [tell(authenticated, about), reply(replies.authenticated)]];
}

/** `trouble` is why it could not be found out; without it the answer is no. */
function loginRefused(
  world: World,
  session: Session,
  mechanism: string,
  user: string,
  trouble: string | undefined,
): Step {
  const reason = trouble ?? "authentication failure";
  const client = clientText(session.facts.peer);
  const event = tell(authenticationFailed, { session: world.terms.session, client, mechanism, user, reason });
  if (trouble !== undefined) return [session, [event, reply(replies.cannotAuthenticate)]];
  world.allowance.take("authentication-failure");
  const authenticationFailures = session.authenticationFailures + 1;
  const counted: Session = { ...session, authenticationFailures };
  if (authenticationFailures >= world.terms.settings.authenticationFailures)
    return close(counted, replies.tooManyPasswords, event, reply(replies.wrongPassword));
  return [counted, [event, reply(replies.wrongPassword)]];
}
