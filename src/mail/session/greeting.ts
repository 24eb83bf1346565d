import { reply as replyOf, type Reply } from "../../protocol/smtp/reply.ts";
import { formatExtensions, limitsExtension, type Extension } from "../../protocol/smtp/extensions.ts";
import { formatRfc3339 } from "../../protocol/message/date-time.ts";
import type { Flight } from "../../service/tls/flight.ts";
import { mechanismsFor } from "./auth.ts";
import { mayWake } from "./etrn.ts";
import { tellStarted, whoIsIt } from "./client-certificate.ts";
import { answer, holdsContent, misuse } from "./refusing.ts";
import { greeting, replies } from "./replies.ts";
import { READY, reply, type Action, type Facts, type Session, type Step, type World } from "./state.ts";
import { XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES } from "./xclient.ts";

/** The greeting, and EHLO, HELO and LHLO with what they offer (RFC 5321 section 4.1.1.1, RFC 2033 section 4.1). */
export function begin(world: World, session: Session, flight: Flight | undefined): Step {
  const { tls } = session.facts;
  if (tls !== undefined) {
    return whoIsIt(world, { ...session, phase: READY }, tellStarted(world, session.facts, tls, flight), true);
  }
  return answer({ ...session, phase: READY }, greeting(world.terms.hostname, world.terms.protocol));
}

export function hello(world: World, session: Session, verb: "EHLO" | "HELO" | "LHLO", domain: string): Step {
  const isLmtp = world.terms.protocol === "lmtp";
  if (isLmtp !== (verb === "LHLO"))
    return misuse(world, session, verb, isLmtp ? replies.wrongGreeting : replies.wrongGreetingSmtp);
  // RFC 5321 section 4.1.4: a later EHLO is a RSET too.
  const actions: Action[] = holdsContent(session) ? [{ do: "abandon" }] : [];
  const facts: Facts = { ...session.facts, greeting: verb, helo: domain };
  const next: Session = { ...session, facts, phase: READY };
  actions.push(reply(verb === "HELO" ? replyOf(250, undefined, world.terms.hostname) : offer(world, facts)));
  return [next, actions];
}

function offer(world: World, facts: Facts): Reply {
  return replyOf(250, undefined, ...formatExtensions(world.terms.hostname, extensionsFor(world, facts)));
}

function extensionsFor(world: World, facts: Facts): readonly Extension[] {
  const { terms } = world;
  const { settings } = terms;
  const mechanisms = facts.account === undefined ? mechanismsFor(terms, facts) : [];
  const holdSeconds = Math.floor(settings.futureRelease / 1000);
  const limits = limitsExtension({
    rcptMax: settings.recipients,
    mailMax: settings.messagesPerSession === 0 ? undefined : settings.messagesPerSession,
  });
  const all: readonly (Extension | undefined | false)[] = [
    { keyword: "PIPELINING" },
    { keyword: "SIZE", parameters: [String(settings.messageSize)] },
    mayStartTls(world, facts) && { keyword: "STARTTLS" },
    mechanisms.length > 0 && { keyword: "AUTH", parameters: mechanisms },
    { keyword: "ENHANCEDSTATUSCODES" },
    { keyword: "8BITMIME" },
    { keyword: "DSN" },
    { keyword: "SMTPUTF8" },
    { keyword: "CHUNKING" },
    { keyword: "BINARYMIME" },
    limits,
    { keyword: "DELIVERBY" },
    terms.protocol === "submission" &&
      holdSeconds > 0 && {
        keyword: "FUTURERELEASE",
        parameters: [String(holdSeconds), formatRfc3339(world.now() + holdSeconds * 1000)],
      },
    terms.expn === "answer" && { keyword: "EXPN" },
    { keyword: "MT-PRIORITY" },
    mayWake(world, facts) && { keyword: "ETRN" },
    terms.mayXclient && { keyword: "XCLIENT", parameters: XCLIENT_ATTRIBUTES },
    terms.mayXforward && { keyword: "XFORWARD", parameters: XFORWARD_ATTRIBUTES },
  ];
  return all.filter((one) => one !== undefined && one !== false);
}

export function mayStartTls(world: World, facts: Facts): boolean {
  const { tls } = world.terms;
  return facts.tls === undefined && (tls === "offer" || tls === "require");
}
