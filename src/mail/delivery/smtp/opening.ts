import { CLIENT_MECHANISMS, type ClientMechanism } from "../../../protocol/sasl/client.ts";
import {
  authMechanisms,
  noExtensions,
  offers,
  parseExtensions,
  type Extensions,
} from "../../../protocol/smtp/extensions.ts";
import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { TlsMode } from "../../route/next-host.ts";
import { lostFailure, sessionFailure, type During } from "./failures.ts";

/**
 * From the greeting to being ready for MAIL (RFC 5321 section 3.1, RFC 3207, RFC 4954; LMTP: RFC 2033), as a machine:
 * what came in, and what is to be done next. Each input gives exactly one action.
 *
 * Invariants: nothing learnt in the clear is used under TLS; credentials leave only over a confidential connection whose
 * certificate was judged good enough; where encryption is a must there is no way past it.
 */
export interface OpeningPlan {
  readonly protocol: "smtp" | "lmtp";
  readonly helo: string;
  readonly tls: TlsMode;
  /** The certificate must verify; then plaintext is no way out either, unless the mode is `never`. */
  readonly mustVerify: boolean;
  readonly hasCredentials: boolean;
  /** The login is by our certificate (AUTH EXTERNAL), and by nothing else. */
  readonly isExternal?: boolean | undefined;
  /** Nobody else can listen: a unix socket. */
  readonly isConfidential: boolean;
  /** `name[address]:port` */
  readonly host: string;
}

type State =
  | { readonly at: "greeting" | "handshake" | "hello" | "plain-hello" | "starttls" | "ended" }
  | { readonly at: "auth"; readonly mechanism: ClientMechanism; readonly isCancelled: boolean };

export interface Opening {
  readonly plan: OpeningPlan;
  readonly state: State;
  readonly isEncrypted: boolean;
  /** The TLS connection has something that a login can be tied to. */
  readonly canBind?: boolean | undefined;
  readonly extensions: Extensions;
  /** EHLO was refused, and not as a server from before extensions does it: another time it may be taken. */
  readonly isEhloRefused: boolean;
  /** Mechanisms that were tried and refused, and what was said to the last. */
  readonly tried: readonly ClientMechanism[];
  readonly refusal?: Reply | undefined;
}

export type OpeningInput =
  | { readonly on: "reply"; readonly reply: Reply }
  /** The handshake went through; `problem` says why the certificate does not verify. */
  | { readonly on: "encrypted"; readonly problem?: string | undefined; readonly canBind?: boolean | undefined }
  | { readonly on: "handshake-failed"; readonly text: string }
  /** The mechanism's next response in base 64; `undefined`: it wants to give up. */
  | { readonly on: "response"; readonly text: string | undefined; readonly isFirst: boolean }
  /** The mechanism does not believe the server. */
  | { readonly on: "untrusted" };

export type OpeningAction =
  | { readonly do: "send"; readonly text: string; readonly during: During }
  | { readonly do: "startTls" }
  | { readonly do: "beginAuth"; readonly mechanism: ClientMechanism }
  | { readonly do: "answerChallenge"; readonly challenge: string }
  /** The server said yes: ask the mechanism whether it believes that; `untrusted` otherwise. */
  | { readonly do: "ready" }
  | { readonly do: "fail"; readonly failure: Failure; readonly scope: "address" | "host" | "relay" }
  /** Not on this connection, but on a new one with this encryption. */
  | { readonly do: "another"; readonly tls: "never" | "implicit"; readonly because: string };

export type Step = readonly [Opening, OpeningAction | undefined];

export function beginOpening(plan: OpeningPlan): Step {
  const opening: Opening = {
    plan,
    state: { at: "greeting" },
    isEncrypted: false,
    extensions: noExtensions,
    isEhloRefused: false,
    tried: [],
  };
  if (plan.tls !== "implicit") return [opening, undefined];
  return [{ ...opening, state: { at: "handshake" } }, { do: "startTls" }];
}

export function onOpeningInput(opening: Opening, input: OpeningInput): Step {
  switch (input.on) {
    case "reply":
      return onReply(opening, input.reply);
    case "encrypted":
      return onEncrypted({ ...opening, canBind: input.canBind }, input.problem);
    case "handshake-failed":
      if (mayGoPlain(opening.plan)) return end(opening, { do: "another", tls: "never", because: input.text });
      if (opening.plan.tls === "starttls-or-implicit")
        return end(opening, { do: "another", tls: "implicit", because: input.text });
      return fail(opening, tlsFailure(opening, "handshake", input.text), "address");
    case "response":
      return onResponse(opening, input.text, input.isFirst);
    case "untrusted":
      return fail(
        opening,
        authFailure(opening, "refused", "the server did not prove that it knows the password"),
        "relay",
      );
    default:
      return [opening, undefined];
  }
}

function onReply(opening: Opening, reply: Reply): Step {
  const { state } = opening;
  // RFC 5321 section 3.8: 421 may answer anything; the connection is over.
  if (reply.code === 421 && state.at !== "ended") return refuse(opening, reply, duringOf(opening));
  switch (state.at) {
    case "greeting":
      return reply.code === 220 ? hello(opening) : refuse(opening, reply, "greeting");
    case "hello":
      if (isPositive(reply)) return onHello({ ...opening, extensions: parseExtensions(reply) });
      // RFC 5321 section 3.2: a server from before extensions refuses EHLO and knows HELO.
      if (reply.code >= 500 && opening.plan.protocol === "smtp" && !needsExtensions(opening.plan, opening.isEncrypted))
        return to(
          { ...opening, isEhloRefused: !NOT_KNOWN.has(reply.code) },
          { at: "plain-hello" },
          { do: "send", text: `HELO ${opening.plan.helo}\r\n`, during: "HELO" },
        );
      return refuse(opening, reply, duringOf(opening));
    case "plain-hello":
      return isPositive(reply) ? onHello({ ...opening, extensions: noExtensions }) : refuse(opening, reply, "HELO");
    case "starttls":
      if (reply.code === 220) return to(opening, { at: "handshake" }, { do: "startTls" });
      return withoutTls(opening, "refused", `STARTTLS was answered with ${replyText(reply)}`);
    case "auth":
      return onAuthReply(opening, state, reply);
    case "handshake":
    case "ended":
      return fail(opening, unexpected(opening, reply), "address");
    default:
      return [opening, undefined];
  }
}

/** RFC 5321 section 4.2.4: the command is not known, or there is no such thing here. */
const NOT_KNOWN: ReadonlySet<number> = new Set([500, 502]);

function hello(opening: Opening): Step {
  const verb = opening.plan.protocol === "lmtp" ? "LHLO" : "EHLO";
  return to(opening, { at: "hello" }, { do: "send", text: `${verb} ${opening.plan.helo}\r\n`, during: verb });
}

function onHello(opening: Opening): Step {
  const { plan, extensions, isEncrypted } = opening;
  if (isEncrypted || plan.tls === "never" || plan.tls === "implicit") return login(opening);
  if (offers(extensions, "STARTTLS"))
    return to(opening, { at: "starttls" }, { do: "send", text: "STARTTLS\r\n", during: "STARTTLS" });
  return withoutTls(opening, "not-offered", "STARTTLS is not offered");
}

/** STARTTLS is not to be had on this connection, which goes on in plaintext where that is allowed. */
function withoutTls(opening: Opening, reason: "not-offered" | "refused", text: string): Step {
  if (opening.plan.tls === "starttls-or-implicit")
    return end(opening, { do: "another", tls: "implicit", because: text });
  const { tls, mustVerify, isConfidential } = opening.plan;
  // Whether the login may go on in plaintext is the login's own matter.
  if (tls === "may" && (!mustVerify || isConfidential)) return login(opening);
  return fail(opening, tlsFailure(opening, reason, text), "host");
}

function onEncrypted(opening: Opening, problem: string | undefined): Step {
  const { plan } = opening;
  if (problem !== undefined && plan.mustVerify)
    return fail(opening, tlsFailure(opening, "unverified", problem), "host");
  // RFC 3207 section 4.2: what was said in the clear is forgotten.
  const encrypted: Opening = { ...opening, isEncrypted: true, extensions: noExtensions };
  return plan.tls === "implicit" ? to(encrypted, { at: "greeting" }, undefined) : hello(encrypted);
}

function login(opening: Opening): Step {
  const { plan, isEncrypted, extensions } = opening;
  if (!plan.hasCredentials) return ready(opening);
  if (!isEncrypted && !plan.isConfidential)
    return fail(opening, authFailure(opening, "not-encrypted", "credentials never travel in plaintext"), "relay");
  const offered = authMechanisms(extensions);
  if (offered.length === 0) return fail(opening, authFailure(opening, "not-offered", "AUTH is not offered"), "host");
  const mechanisms: readonly ClientMechanism[] = plan.isExternal === true ? ["EXTERNAL"] : CLIENT_MECHANISMS;
  const mechanism = mechanisms.find(
    (name) =>
      offered.includes(name) && !opening.tried.includes(name) && (opening.canBind === true || !name.endsWith("-PLUS")),
  );
  if (mechanism !== undefined)
    return to(opening, { at: "auth", mechanism, isCancelled: false }, { do: "beginAuth", mechanism });
  if (opening.refusal === undefined) {
    const why = plan.isExternal === true ? "EXTERNAL is not, so the host takes no login from our certificate; " : "";
    return fail(opening, authFailure(opening, "no-mechanism", `${why}offered: ${offered.join(" ")}`), "relay");
  }
  return fail(opening, authFailure(opening, "refused", replyText(opening.refusal), opening.refusal), "relay");
}

function onAuthReply(opening: Opening, state: Extract<State, { at: "auth" }>, reply: Reply): Step {
  const { code } = reply;
  if (code === 334 && !state.isCancelled) return [opening, { do: "answerChallenge", challenge: reply.lines.join("") }];
  if (code === 235 && !state.isCancelled) return ready(opening);
  // 504 and 534: not this mechanism; 501 answers our own cancelling (RFC 4954 sections 4 and 6).
  if (code === 504 || code === 534 || code === 501 || state.isCancelled) {
    const refusal = state.isCancelled ? (opening.refusal ?? reply) : reply;
    return login({ ...opening, tried: [...opening.tried, state.mechanism], refusal });
  }
  // 535 may mean that the server keeps the password in a form unfit for a challenge, so it is shown the password itself,
  // once. More tries would look like somebody guessing, and servers make those wait or lock the account.
  if (code === 535 && CHALLENGES.includes(state.mechanism))
    return login({ ...opening, tried: [...opening.tried, ...CHALLENGES], refusal: reply });
  return fail(opening, authFailure(opening, "refused", replyText(reply), reply), code < 500 ? "address" : "relay");
}

const CHALLENGES: readonly ClientMechanism[] = CLIENT_MECHANISMS.filter(
  (name) => name.startsWith("SCRAM-") || name === "CRAM-MD5",
);

function onResponse(opening: Opening, text: string | undefined, isFirst: boolean): Step {
  const { state } = opening;
  if (state.at !== "auth") return [opening, undefined];
  // RFC 4954 section 4: a single asterisk cancels.
  if (!isFirst && text === undefined)
    return to(opening, { ...state, isCancelled: true }, { do: "send", text: "*\r\n", during: "AUTH" });
  if (!isFirst) return [opening, { do: "send", text: `${text}\r\n`, during: "AUTH" }];
  const initial = text === undefined ? "" : text === "" ? " =" : ` ${text}`;
  return [opening, { do: "send", text: `AUTH ${state.mechanism}${initial}\r\n`, during: "AUTH" }];
}

function ready(opening: Opening): Step {
  return end(opening, { do: "ready" });
}

function mayGoPlain(plan: OpeningPlan): boolean {
  return plan.tls === "may" && !plan.hasCredentials && !plan.mustVerify;
}

function needsExtensions(plan: OpeningPlan, isEncrypted: boolean): boolean {
  const needsTls = !isEncrypted && (plan.tls === "starttls" || plan.tls === "starttls-or-implicit");
  return needsTls || plan.hasCredentials || (plan.mustVerify && !isEncrypted && plan.tls !== "never");
}

/** Which command waits for its answer, for whoever has to tell that none came. */
export function duringOf(opening: Opening): During {
  switch (opening.state.at) {
    case "greeting":
      return "greeting";
    case "hello":
      return opening.plan.protocol === "lmtp" ? "LHLO" : "EHLO";
    case "plain-hello":
      return "HELO";
    case "starttls":
      return "STARTTLS";
    case "handshake":
      return "TLS handshake";
    case "auth":
      return "AUTH";
    case "ended":
      return "idle";
    default:
      return "connect";
  }
}

function refuse(opening: Opening, reply: Reply, during: During): Step {
  return fail(opening, sessionFailure(reply, during, opening.plan.host), "address");
}

function tlsFailure(
  opening: Opening,
  reason: Extract<Failure["cause"], { kind: "tls" }>["reason"],
  text: string,
): Failure {
  return { lasting: "temporary", status: "4.7.5", cause: { kind: "tls", reason, text }, host: opening.plan.host };
}

function authFailure(
  opening: Opening,
  reason: Extract<Failure["cause"], { kind: "auth" }>["reason"],
  text: string,
  reply?: Reply,
): Failure {
  // Never for good: a wrong password in our settings is no fault of the mail.
  const status = reason === "refused" ? "4.7.8" : "4.7.0";
  return { lasting: "temporary", status, cause: { kind: "auth", reason, text }, reply, host: opening.plan.host };
}

function unexpected(opening: Opening, reply: Reply): Failure {
  const ended = { reason: "protocol", text: `a reply nobody asked for: ${replyText(reply)}` } as const;
  return lostFailure(ended, duringOf(opening), opening.plan.host, reply);
}

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}

function to(opening: Opening, state: State, action: OpeningAction | undefined): Step {
  return [{ ...opening, state }, action];
}

function end(opening: Opening, action: OpeningAction): Step {
  return to(opening, { at: "ended" }, action);
}

function fail(opening: Opening, failure: Failure, scope: "address" | "host" | "relay"): Step {
  return end(opening, { do: "fail", failure, scope });
}
