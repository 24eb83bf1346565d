import { unreachable } from "../../foundation/assert.ts";
import type { Command, CommandProblem } from "../../protocol/smtp/command.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import { reply as replyOf } from "../../protocol/smtp/reply.ts";
import { auth, authResponse, loginChecked } from "./auth.ts";
import { identified } from "./client-certificate.ts";
import { authorWeighed, committed, contentEnded, contentHopeless, notCommitted } from "./content.ts";
import { bdat, chunkEnded, data, pipelinedImproperly, tellPipelining } from "./data.ts";
import { barelyEnded, connectionLost, limitReached, timedOut, tlsOnPlaintextPort } from "./events.ts";
import { endText } from "./encryption.ts";
import { etrn, woken } from "./etrn.ts";
import { askFilters } from "./ask-filters.ts";
import { filtered } from "./filtering.ts";
import { notesOf } from "./filter-notes.ts";
import { begin, hello } from "./greeting.ts";
import { mail, rcpt, recipientJudged } from "./mail.ts";
import { help, query, queryJudged } from "./queries.ts";
import { answer, close, holdsContent, misuse } from "./refusing.ts";
import { replies, stopping, timeout } from "./replies.ts";
import { notSifted, sifted } from "./sifted.ts";
import { injected, startTls, tlsFailed, tlsStarted } from "./starttls.ts";
import {
  clientText,
  READY,
  tell,
  type Input,
  type Peer,
  type Resting,
  type Session,
  type Step,
  type World,
} from "./state.ts";
import { failureOf } from "./tls-lines.ts";
import { xclient, xforward } from "./xclient.ts";

/**
 * The session stage: one SMTP or LMTP dialogue, server side. Before it: connection; after it: envelope and queue.
 *
 * A pure machine: `step(world, session, input)` gives the next session and what to do. `session.io.ts` obeys: it reads
 * the socket, feeds the receivers of `protocol/smtp`, and gives back what it heard. One file a group of verbs:
 *
 * | file | verbs |
 * |---|---|
 * | `greeting.ts` | the greeting, EHLO, HELO, LHLO and what they offer |
 * | `mail.ts` | MAIL, RCPT |
 * | `data.ts`, `content.ts` | DATA, BDAT; the end of the content, the commit |
 * | `auth.ts`, `starttls.ts`, `xclient.ts` | AUTH; STARTTLS; XCLIENT, XFORWARD |
 * | `client-certificate.ts` | who the client is by what it showed in the handshake |
 * | `queries.ts` | VRFY, EXPN, HELP |
 * | `etrn.ts` | ETRN |
 * | `filtering.ts`, `sifted.ts` | what filters say at the stages, and of whole mails |
 *
 * Invariants: 250 for content is said only after `committed`. While a phase waits for an answer (judging, asking,
 * checking, committing, handshake) no command is given in. Every command gets its replies in order. Whatever way a
 * session ends, content that was not committed is abandoned. Where RFC 2920 wants the client to wait, bytes behind a
 * command end the session, so that nobody can make one of us read as commands what the other sent as data.
 *
 * RFC 5321; 1985 ETRN; 2033 LMTP; 1870 SIZE; 2034 ENHANCEDSTATUSCODES; 2852 DELIVERBY; 2920 PIPELINING; 3030 CHUNKING, BINARYMIME;
 * 3207 STARTTLS; 3461 DSN; 4865 FUTURERELEASE; 4954 AUTH; 6152 8BITMIME; 6409 submission; 6531 SMTPUTF8; 9422 LIMITS.
 */
export function step(world: World, session: Session, input: Input): Step {
  if (session.phase.at === "closed") return [session, []];
  const [next, decided] = react(world, session, input);
  const actions =
    world.filters?.wantsNotes === true ? [...decided, ...notesOf(world, session, input, next, decided)] : decided;
  // A server that stops lets a transaction end, and not a moment more.
  if (!next.isStopping || next.phase.at !== "ready") return [next, actions];
  const [closed, last] = close(next, stopping(world.terms.hostname));
  return [closed, [...actions, ...last]];
}

export function newSession(
  peer: Peer,
  tls?: Session["facts"]["tls"],
  /** A user of this host. */
  known?: { readonly account: string; readonly mechanism: string },
): Session {
  return {
    origin: peer,
    facts: { peer, greeting: "none", tls, ...(known === undefined ? {} : { ...known, isLocalUser: true }) },
    phase: { at: "connected" },
    after: "CONNECT",
    errors: 0,
    idleCommands: 0,
    authenticationFailures: 0,
    messages: 0,
    isStopping: false,
  };
}

function react(world: World, session: Session, input: Input): Step {
  const { phase } = session;
  switch (input.kind) {
    case "begin":
      if (world.filters?.wants("connect") === true)
        return askFilters(world, session, { stage: "connect", flight: input.flight });
      return begin(world, session, input.flight);
    case "command":
      return onCommand(world, session, input.command, input.bytesBehind);
    case "malformed":
      return onMalformed(world, { ...session, after: nameOf(input.problem.verb) }, input.problem);
    case "line-too-long":
      return misuse(world, { ...session, phase: restOf(session) }, "line", replies.lineTooLong);
    case "bare-line-end": {
      const client = clientText(session.facts.peer);
      const event = tell(barelyEnded, { session: world.terms.session, client, after: session.after });
      return close(session, replies.bareLineEndInCommand, event);
    }
    case "response":
      if (input.bytesBehind > 0) return pipelinedImproperly(world, session, input.bytesBehind);
      return phase.at === "authenticating" ? authResponse(world, session, phase.exchange, input.line) : [session, []];
    case "judged":
      if (phase.at === "asking") return queryJudged(session, input.judgement);
      return phase.at === "judging" ? recipientJudged(world, session, phase, input.judgement) : [session, []];
    case "weighed":
      return authorWeighed(world, session, input.verdict);
    case "filtered":
      return filtered(world, session, input.outcome);
    case "sifted":
      return sifted(world, session, input.sifted);
    case "not-sifted":
      return notSifted(world, session, input);
    case "woken":
      return woken(world, session, input.outcome);
    case "checked":
      return loginChecked(world, session, input.answer);
    case "identified":
      return identified(world, session, input.identity);
    case "injected":
      return phase.at === "handshake" ? injected(world, session, input.bytes) : [session, []];
    case "content-ended":
      return contentEnded(world, session, input.content);
    case "chunk-ended":
      return chunkEnded(world, session);
    case "content-hopeless":
      return contentHopeless(world, session);
    case "committed":
      return committed(world, session);
    case "not-committed":
      return notCommitted(world, session, input);
    case "tls-started":
      return tlsStarted(world, session, input.tls, input.flight);
    case "tls-failed":
      return tlsFailed(world, session, input.finding);
    case "spoke-too-soon":
      return close(session, replies.spokeTooSoon, tellPipelining(world, session, input.bytes));
    case "tls-hello": {
      const about = failureOf(world.terms, session.facts.peer, input.finding, false);
      return close(session, undefined, tell(tlsOnPlaintextPort, about));
    }
    case "timeout":
    case "lost": {
      const isTimeout = input.kind === "timeout";
      const client = clientText(session.facts.peer);
      const about = { session: world.terms.session, client, after: session.after, reason: input.reason };
      const event = isTimeout ? tell(timedOut, about) : tell(connectionLost, { ...about, tls: endText(input.tls) });
      return close(session, isTimeout ? timeout(world.terms.hostname) : undefined, event);
    }
    case "stop":
      return [{ ...session, isStopping: true }, []];
    default:
      return unreachable(input);
  }
}

/** The verbs that bring no mail forward. */
const IDLE: ReadonlySet<string> = new Set([
  "EHLO",
  "HELO",
  "LHLO",
  "RSET",
  "NOOP",
  "VRFY",
  "EXPN",
  "HELP",
  "ETRN",
  "unknown",
]);
const OTHER_PROTOCOLS: ReadonlySet<string> = new Set(["CONNECT", "GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH"]);
/** RFC 2920 section 3.1 and RFC 4954 section 4: what follows depends on the answer. */
const LAST_OF_GROUP: ReadonlySet<string> = new Set(["EHLO", "HELO", "LHLO", "AUTH", "XCLIENT"]);

function onCommand(world: World, before: Session, command: Command, bytesBehind: number): Step {
  const session: Session = { ...before, after: nameOf(command.verb) };
  const { phase } = session;
  if (phase.at !== "ready" && phase.at !== "transaction") return [session, []];
  if (!world.allowance.take("command")) {
    const client = clientText(session.facts.peer);
    const event = tell(limitReached, { session: world.terms.session, client, what: "commands in a minute" });
    return close(session, replies.tooFastClosing, event);
  }
  // PIPELINING is offered in the answer to EHLO, so a client of HELO has no permission; QUIT ahead harms nobody.
  const mustWait = LAST_OF_GROUP.has(command.verb) || session.facts.greeting === "HELO";
  if (bytesBehind > 0 && mustWait && command.verb !== "QUIT") return pipelinedImproperly(world, session, bytesBehind);
  if (!IDLE.has(command.verb)) return obey(world, session, phase, command, bytesBehind);
  const idleCommands = session.idleCommands + 1;
  if (idleCommands > world.terms.settings.idleCommands) return close(session, replies.tooManyIdleCommands);
  return obey(world, { ...session, idleCommands }, phase, command, bytesBehind);
}

function obey(world: World, session: Session, phase: Resting, command: Command, bytesBehind: number): Step {
  switch (command.verb) {
    case "EHLO":
    case "HELO":
    case "LHLO":
      return hello(world, session, command.verb, command.domain);
    case "MAIL":
      return mail(world, session, command);
    case "RCPT":
      return rcpt(world, session, command);
    case "DATA":
      return data(world, session, bytesBehind);
    case "BDAT":
      return bdat(world, session, command.sizeBytes, command.isLast);
    case "RSET":
      return [
        {
          ...session,
          ...(session.facts.forwarded === undefined ? {} : { facts: { ...session.facts, forwarded: undefined } }),
          phase: READY,
        },
        [...(holdsContent(session) ? [{ do: "abandon" } as const] : []), { do: "reply", reply: replies.ok }],
      ];
    case "NOOP":
      return answer(session, replies.ok);
    case "QUIT":
      return close(session, replies.bye);
    case "STARTTLS":
      return startTls(world, session, bytesBehind);
    case "AUTH":
      return auth(world, session, command.mechanism, command.initial);
    case "VRFY":
    case "EXPN":
      return query(world, session, phase, command.verb, command.argument);
    case "HELP":
      return help(session);
    case "ETRN":
      return etrn(world, session, phase, command.argument);
    case "XCLIENT":
      return xclient(world, session, command.attributes);
    case "XFORWARD":
      return xforward(world, session, command.attributes);
    case "unknown":
      // A browser made to talk to us must not get as far as a body of its choice.
      if (OTHER_PROTOCOLS.has(command.word.toUpperCase())) return close(session, replies.notHttp);
      return misuse(world, session, command.word, replies.unknownCommand);
    default:
      return unreachable(command);
  }
}

function onMalformed(world: World, session: Session, problem: CommandProblem): Step {
  // How many octets of content follow is not known, so what follows cannot be read.
  if (problem.verb === "BDAT") return close(session, malformed(problem));
  return misuse(world, session, problem.verb, malformed(problem));
}

function nameOf(verb: string): string {
  return verb === "unknown" ? "UNKNOWN" : verb;
}

/** Where a session goes on after a line that was nothing: an AUTH exchange is over then. */
function restOf({ phase }: Session): Session["phase"] {
  return phase.at === "authenticating" ? READY : phase;
}

function malformed(problem: CommandProblem): Reply {
  switch (problem.kind) {
    case "encoding":
      return replies.badEncoding;
    case "argument":
    case "parameter":
      return replyOf(501, "5.5.4", `Syntax: expected ${problem.expected}`);
    case "sender":
      return replyOf(501, "5.1.7", `Bad sender address: expected ${problem.expected}`);
    case "recipient":
      return replyOf(501, "5.1.3", `Bad recipient address: expected ${problem.expected}`);
    case "unknown-parameter":
      return replyOf(555, "5.5.4", "Parameter not offered");
    default:
      return unreachable(problem.kind);
  }
}
