import { reply as replyOf, type Reply } from "../../protocol/smtp/reply.ts";
import { prepareReply } from "../../protocol/smtp/reply-format.ts";
import { formatExtensions, limitsExtension, type Extension } from "../../protocol/smtp/extensions.ts";
import { formatRfc3339 } from "../../protocol/message/date-time.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import { mechanismsFor } from "./auth.ts";
import { mayWake } from "./etrn.ts";
import { mayVary } from "./mail.ts";
import { tellStarted, whoIsIt } from "./client-certificate.ts";
import { askFilters, type FilterRefusal } from "./ask-filters.ts";
import { answer, holdsContent, misuse, refuse } from "./refusing.ts";
import { greeting, replies } from "./replies.ts";
import { READY, reply, type Action, type Facts, type Session, type Step, type World } from "./state.ts";
import { XFORWARD_ATTRIBUTES } from "../../protocol/smtp/xforward.ts";
import type { SessionSettings } from "./settings.ts";
import { XCLIENT_ATTRIBUTES } from "./xclient.ts";

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
  if (world.filters?.wants("helo") === true)
    return askFilters(world, session, { stage: "helo", verb, domain }, actions);
  return greeted(world, session, verb, domain, actions);
}

/** Filters have heard the name. */
export function helloFiltered(
  world: World,
  session: Session,
  verb: "EHLO" | "HELO" | "LHLO",
  domain: string,
  refused: FilterRefusal | undefined,
): Step {
  if (refused === undefined) return greeted(world, session, verb, domain, []);
  return refuse(world, { ...session, phase: READY }, refused.reply, { stage: verb, ...refused.about });
}

function greeted(
  world: World,
  session: Session,
  verb: "EHLO" | "HELO" | "LHLO",
  domain: string,
  before: readonly Action[],
): Step {
  const facts: Facts = { ...session.facts, greeting: verb, helo: domain };
  const next: Session = { ...session, facts, phase: READY };
  const actions: Action[] = [...before];
  actions.push(reply(verb === "HELO" ? replyOf(250, undefined, world.terms.hostname) : offer(world, next)));
  return [next, actions];
}

/** The same for nearly every client of a listener, so the last one made for a listener's settings is kept. */
function offer(world: World, session: Session): Reply {
  const lines = formatExtensions(world.terms.hostname, extensionsFor(world, session));
  const { settings } = world.terms;
  const last = lastOffers.get(settings);
  if (last !== undefined && last.lines.length === lines.length && last.lines.every((line, at) => line === lines[at]))
    return last;
  const made = prepareReply(replyOf(250, undefined, ...lines));
  lastOffers.set(settings, made);
  return made;
}

const lastOffers = new WeakMap<SessionSettings, Reply>();

function extensionsFor(world: World, session: Session): readonly Extension[] {
  const { terms } = world;
  const { settings } = terms;
  const { facts } = session;
  const mechanisms = facts.account === undefined ? mechanismsFor(world, facts) : [];
  const holdSeconds = Math.floor(settings.futureRelease / 1000);
  const limits = limitsExtension({
    rcptMax: settings.recipients,
    mailMax: settings.messagesPerSession === 0 ? undefined : settings.messagesPerSession,
  });
  const all: readonly (Extension | undefined | false)[] = [
    { keyword: "PIPELINING" },
    { keyword: "SIZE", parameters: [String(settings.messageSize)] },
    mayStartTls(world, session) && { keyword: "STARTTLS" },
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
    mayVary(world, facts) && { keyword: "XVERP" },
    terms.expn === "answer" && { keyword: "EXPN" },
    { keyword: "MT-PRIORITY" },
    mayWake(world, facts) && { keyword: "ETRN" },
    terms.mayXclient(facts.peer) && { keyword: "XCLIENT", parameters: XCLIENT_ATTRIBUTES },
    terms.mayXforward(facts.peer) && { keyword: "XFORWARD", parameters: XFORWARD_ATTRIBUTES },
  ];
  return all.filter((one) => one !== undefined && one !== false);
}

export function mayStartTls(world: World, { facts, isActedFor }: Session): boolean {
  const { tls } = world.terms;
  return facts.tls === undefined && isActedFor !== true && (tls === "offer" || tls === "require");
}
