import { isIP } from "node:net";
import { XFORWARD_ATTRIBUTES } from "../../protocol/smtp/xforward.ts";
import { plainAddress } from "../../service/table/networks.ts";
import { askFilters } from "./ask-filters.ts";
import { actedFor } from "./events.ts";
import { encryptionRefusal } from "./mail.ts";
import { answer, misuse } from "./refusing.ts";
import { greeting, replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Action,
  type Facts,
  type Peer,
  type Session,
  type Step,
  type World,
} from "./state.ts";

/**
 * XCLIENT and XFORWARD, as Postfix defined them: a trusted client says for whom it speaks. XCLIENT changes who the
 * client is for every check that follows, and starts the dialogue anew; XFORWARD is about the next mail. From there on the
 * one that was named may be speaking, so the listener's lists of who may say either are asked about that one.
 */
export const XCLIENT_ATTRIBUTES = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"];

type Attributes = ReadonlyMap<string, string>;

export function xclient(world: World, session: Session, attributes: Attributes): Step {
  if (!world.terms.mayXclient(session.facts.peer)) return misuse(world, session, "XCLIENT", replies.xclientRefused);
  if (session.phase.at === "transaction") return misuse(world, session, "XCLIENT", replies.transactionOpen);
  // Behind XCLIENT no TLS is started, so whom it names could never give mail here.
  const insecure = encryptionRefusal(world, session.facts);
  if (insecure !== undefined) return misuse(world, session, "XCLIENT", insecure);
  const facts = factsAfter(session, attributes);
  if (facts === undefined || [...attributes.keys()].some((name) => !XCLIENT_ATTRIBUTES.includes(name)))
    return misuse(world, session, "XCLIENT", replies.xclientMalformed);
  const event = tell(actedFor, {
    session: world.terms.session,
    client: clientText(session.facts.peer),
    for: clientText(facts.peer),
  });
  const namesClient = attributes.has("ADDR") || attributes.has("NAME");
  const next: Session = { ...session, facts, isActedFor: true, ...(namesClient ? { isClientNamed: true } : {}) };
  if (world.filters !== undefined) return askFilters(world, next, { stage: "connect", isAgain: true }, [event]);
  return greetAgain(world, next, [event]);
}

/** Whoever the client is now, it is greeted. */
export function greetAgain(world: World, session: Session, before: readonly Action[] = []): Step {
  const again = greeting(world.terms.hostname, world.terms.protocol);
  return [{ ...session, phase: READY }, [...before, reply(again)]];
}

/**
 * The unspecified address: a client whose address the proxy does not know is a stranger. Having no address at all is the mark of
 * programs on this host, who may relay.
 */
const NOT_SAID = "0.0.0.0";

/** The facts as the attributes change them, the greeting forgotten; undefined when a value makes no sense. */
function factsAfter(session: Session, attributes: Attributes): Facts | undefined {
  const { facts } = session;
  let peer: Peer = facts.peer;
  const address = given(attributes, "ADDR");
  if (address !== undefined) {
    const plain = address.value?.replace(/^IPV6:/i, "");
    if (plain !== undefined && isIP(plain) === 0) return undefined;
    // A name belongs to the address it was verified for.
    peer = { address: plain === undefined ? NOT_SAID : plainAddress(plain), port: undefined, name: undefined };
  }
  const port = given(attributes, "PORT");
  if (port !== undefined) {
    if (port.value !== undefined && (!/^\d{1,5}$/.test(port.value) || Number(port.value) > 65_535)) return undefined;
    peer = { ...peer, port: port.value === undefined ? undefined : Number(port.value) };
  }
  const name = given(attributes, "NAME");
  if (name !== undefined) peer = { ...peer, name: name.value };
  const login = given(attributes, "LOGIN") ?? loginSaidAhead(session);
  const helo = given(attributes, "HELO");
  return {
    peer,
    greeting: "none",
    tls: facts.tls,
    helo: helo?.value,
    account: login?.value,
    mechanism: login?.value === undefined ? undefined : "XCLIENT",
  };
}

/**
 * What is too long for one command comes in several, the address perhaps last. Any other login is the proxy's own, or that of
 * whom it named, or gave mail for, before.
 */
function loginSaidAhead({
  facts,
  isClientNamed,
  messages,
}: Session): { readonly value: string | undefined } | undefined {
  const isAhead = facts.mechanism === "XCLIENT" && isClientNamed !== true && messages === 0;
  return isAhead ? { value: facts.account } : undefined;
}

/** Whether the attribute was said, and its value when it has one. */
function given(attributes: Attributes, name: string): { readonly value: string | undefined } | undefined {
  const value = attributes.get(name);
  if (value === undefined) return undefined;
  const isAbsent = value === "" || value === "[UNAVAILABLE]" || value === "[TEMPUNAVAIL]";
  return { value: isAbsent ? undefined : value };
}

export function xforward(world: World, session: Session, attributes: Attributes): Step {
  if (!world.terms.mayXforward(session.facts.peer)) return misuse(world, session, "XFORWARD", replies.xclientRefused);
  if (session.phase.at === "transaction") return misuse(world, session, "XFORWARD", replies.transactionOpen);
  if ([...attributes.keys()].some((name) => !XFORWARD_ATTRIBUTES.includes(name)))
    return misuse(world, session, "XFORWARD", replies.xclientMalformed);
  const forwarded = new Map([...(session.facts.forwarded ?? []), ...attributes]);
  return answer({ ...session, facts: { ...session.facts, forwarded } }, replies.ok);
}
