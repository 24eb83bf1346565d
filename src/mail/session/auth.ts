import { unreachable } from "../../foundation/assert.ts";
import {
  decodeResponse,
  saslServer,
  type SaslDenied,
  type SaslServer,
  type SaslStep,
} from "../../protocol/sasl/server.ts";
import type { LoginBlock, SaslAnswer, SaslMechanism } from "../../protocol/sasl/question.ts";
import { reply as replyOf, type Reply } from "../../protocol/smtp/reply.ts";
import { authenticated, authenticationFailed, limitReached, loginsBlocked, loginUnheard } from "./events.ts";
import { encryptionRefusal } from "./mail.ts";
import { askFilters, type FilterRefusal } from "./ask-filters.ts";
import { close, misuse, refuse } from "./refusing.ts";
import { loginDenied, replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Action,
  type Facts,
  type Session,
  type Step,
  type World,
} from "./state.ts";

/**
 * AUTH (RFC 4954): the exchange of a mechanism (`protocol/sasl/server.ts`) inside SMTP, its questions asked of those who
 * know the accounts. All of it under TLS only, unless the listener trusts this machine; EXTERNAL for a client whose
 * certificate makes it somebody, -PLUS where the TLS connection has something to tie the login to.
 */
export function mechanismsFor(world: World, facts: Facts): readonly SaslMechanism[] {
  const { terms } = world;
  if (terms.auth === "off") return [];
  const isSafe = facts.tls !== undefined || terms.mayAuthenticateInPlain;
  let isBound: boolean | undefined;
  return terms.mechanisms.filter((mechanism) => {
    if (mechanism === "EXTERNAL") return mayBeSomebody(facts);
    if (!mechanism.endsWith("-PLUS")) return isSafe;
    return (isBound ??= facts.tls !== undefined && BINDINGS.some((kind) => world.binding(kind) !== undefined));
  });
}

/** What clients bind to; those of TLS 1.2 know tls-unique best. */
const BINDINGS = ["tls-exporter", "tls-server-end-point", "tls-unique"];

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
  const mechanisms = mechanismsFor(world, facts);
  if (mechanisms.length === 0) return misuse(world, session, "AUTH", replies.encryptionForAuth);
  const exchange = saslServer(mechanism, {
    hostname: terms.hostname,
    nonce: () => world.nonce(),
    binding: (kind) => world.binding(kind),
    offersBinding: mechanisms.some((offered) => offered.endsWith("-PLUS")),
  });
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
    case "challenge": {
      const said = replyOf(334, undefined, step.bytes.toString("base64"));
      const counted = step.denied === undefined ? undefined : counting(world, session, exchange.mechanism, step.denied);
      const [next, told] = counted ?? [session, []];
      return [{ ...next, phase: { at: "authenticating", exchange } }, [...told, reply(said)]];
    }
    case "refused":
      return misuse(world, { ...session, phase: READY }, "AUTH", replies.authMalformed);
    case "ask":
      return [
        { ...session, phase: { at: "checking", exchange } },
        [{ do: "check", question: step.question, from: { address: session.facts.peer.address } }],
      ];
    case "done":
      return loggedIn(world, { ...session, phase: READY }, exchange.mechanism, step.account);
    case "denied":
      return denied(world, { ...session, phase: READY }, exchange.mechanism, step);
    case "external":
      return external(world, { ...session, phase: READY }, step.authorization);
  }
}

/** The certificate has proved its owner in the handshake; what is left is whether that is whom the client wants to be. */
function external(world: World, session: Session, authorization: string): Step {
  const identity = session.facts.certificate?.identity ?? { kind: "unknown" };
  const user = authorization === "" ? (session.facts.certificate?.shown.subject ?? "") : authorization;
  if (identity.kind === "failed") return denied(world, session, "EXTERNAL", { user, answer: identity });
  const accounts = identity.kind === "known" ? identity.accounts : [];
  const account = authorization === "" ? accounts[0] : accounts.find((one) => one === authorization.toLowerCase());
  return account === undefined
    ? denied(world, session, "EXTERNAL", { user, answer: { kind: "wrong" } })
    : loggedIn(world, session, "EXTERNAL", account);
}

/** Those who know the accounts have answered. */
export function loginChecked(world: World, session: Session, given: SaslAnswer): Step {
  const { phase } = session;
  if (phase.at !== "checking") return [session, []];
  const [next, actions] = proceed(world, session, phase.exchange, phase.exchange.told(given));
  const began = given.kind === "wrong" ? (given.began ?? []) : [];
  return [next, [...began.map((block) => tellBlock(world, session, block)), ...actions]];
}

function tellBlock(world: World, session: Session, { what, key, failures, untilAt }: LoginBlock): Action {
  const client = clientText(session.facts.peer);
  return tell(loginsBlocked, { session: world.terms.session, client, what, key, failures, untilAt });
}

function loggedIn(world: World, session: Session, mechanism: string, account: string): Step {
  const { facts } = session;
  const about = { session: world.terms.session, client: clientText(facts.peer), mechanism, account };
  const known: Session = { ...session, facts: { ...facts, account, mechanism } };
  const event = tell(authenticated, about);
  if (world.filters?.wants("auth") === true) return askFilters(world, known, { stage: "auth" }, [event]);
  return [known, [event, reply(replies.authenticated)]];
}

/** Filters have heard of the login; where one of them refuses it, it did not happen. */
export function loginFiltered(world: World, session: Session, refused: FilterRefusal | undefined): Step {
  const next: Session = { ...session, phase: READY };
  if (refused === undefined) return [next, [reply(replies.authenticated)]];
  const { account: _account, mechanism: _mechanism, isLocalUser: _isLocalUser, ...facts } = session.facts;
  return refuse(world, { ...next, facts }, refused.reply, { stage: "AUTH", ...refused.about });
}

type Denied = Omit<SaslDenied, "kind">;

/** The reply to a login that did not succeed. A client that goes on guessing has to connect anew. */
function denied(world: World, session: Session, mechanism: string, given: Denied): Step {
  const [counted, told] = given.isTold === true ? [session, []] : counting(world, session, mechanism, given);
  const actions = [...told, reply(replyTo(given))];
  if (counted.authenticationFailures < world.terms.settings.authenticationFailures || given.answer.kind === "failed")
    return [counted, actions];
  return close(counted, replies.tooManyPasswords, ...actions);
}

function replyTo({ answer: { kind }, says }: Denied): Reply {
  if (kind === "wrong") return loginDenied(says);
  return kind === "failed" ? replies.cannotAuthenticate : replies.loginsBlocked;
}

/** It is told, and counts against the client; what could not be found out does not. */
function counting(world: World, session: Session, mechanism: string, { user, answer: why }: Denied): Step {
  const about = { session: world.terms.session, client: clientText(session.facts.peer), mechanism, user };
  const counted: Session = {
    ...session,
    authenticationFailures: session.authenticationFailures + 1,
    deniedUser: user,
  };
  switch (why.kind) {
    case "failed":
      return [session, [tell(authenticationFailed, { ...about, reason: why.text })]];
    case "blocked": {
      const { what, untilAt } = why.block;
      return [counted, [tell(loginUnheard, { ...about, what, untilAt })]];
    }
    case "wrong": {
      world.allowance.take("authentication-failure");
      const reason = why.because === undefined ? "authentication failure" : `authentication failure: ${why.because}`;
      return [counted, [tell(authenticationFailed, { ...about, reason })]];
    }
    default:
      return unreachable(why);
  }
}
