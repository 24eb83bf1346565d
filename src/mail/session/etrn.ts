import { parseDomain } from "../../protocol/address/domain.ts";
import { reply as replyOf, replyText, type Reply } from "../../protocol/smtp/reply.ts";
import type { Woken } from "../queue/queue.ts";
import { limitReached, wakeAsked } from "./events.ts";
import { greetFirst, notPermitted } from "./mail.ts";
import { answer, misuse } from "./refusing.ts";
import { replies } from "./replies.ts";
import { clientText, reply, tell, type Facts, type Resting, type Session, type Step, type World } from "./state.ts";

/**
 * ETRN (RFC 1985): a host that was away asks for the mail of its domain. It changes when mail is tried, never where it goes:
 * the domain's mail exchangers get it, whoever asked. For whom a client may ask is the listener's list of domains.
 */
export function etrn(world: World, session: Session, back: Resting, argument: string): Step {
  const { facts } = session;
  if (!mayWake(world, facts)) return misuse(world, session, "ETRN", replies.notImplemented);
  const outOfOrder = greetFirst(world, facts) ?? (back.at === "transaction" ? replies.transactionOpen : undefined);
  const denied = outOfOrder ?? notPermitted(world, facts);
  if (denied !== undefined) return misuse(world, session, "ETRN", denied);
  // RFC 1985 section 5.3: a queue by its name. There are none with names here.
  if (argument.startsWith("#")) return answer(session, unable(argument));
  const withSubdomains = argument.startsWith("@");
  const parsed = parseDomain(withSubdomains ? argument.slice(1) : argument, { isInternational: true });
  if (!parsed.ok || parsed.value.kind !== "name") return misuse(world, session, "ETRN", NOT_A_DOMAIN);
  if (!world.allowance.take("etrn")) {
    const client = clientText(facts.peer);
    const event = tell(limitReached, { session: world.terms.session, client, what: "ETRN in a minute" });
    return [session, [event, reply(replyOf(458, "4.7.1", "You ask too often; come again later"))]];
  }
  const domain = parsed.value.ascii.toLowerCase();
  return [{ ...session, phase: { at: "waking", node: argument, back } }, [{ do: "wake", domain, withSubdomains }]];
}

/** Whether it is offered to this client: where it may be used, in a session that may send mail. */
export function mayWake({ terms }: World, facts: Facts): boolean {
  return terms.mayEtrn(facts.peer) && terms.protocol !== "lmtp" && facts.greeting !== "HELO";
}

const NOT_A_DOMAIN = replyOf(501, "5.5.4", "Syntax: ETRN domain, or ETRN @domain with all below it");

function unable(node: string): Reply {
  return replyOf(458, "4.3.0", `Unable to queue messages for node ${node}`);
}

/** The scheduler has spoken. */
export function woken(world: World, session: Session, outcome: Woken): Step {
  const { phase, facts } = session;
  if (phase.at !== "waking") return [session, []];
  const { node, back } = phase;
  const said = answerOf(node, outcome);
  const event = tell(wakeAsked, {
    session: world.terms.session,
    listener: world.terms.listener,
    client: clientText(facts.peer),
    node,
    reply: replyText(said),
    because: outcome.kind === "failed" ? outcome.text : undefined,
  });
  return [{ ...session, phase: back }, [event, reply(said)]];
}

/** RFC 1985 section 5.2. */
function answerOf(node: string, outcome: Woken): Reply {
  if (outcome.kind === "not-allowed") return replyOf(459, "4.7.1", `Node ${node} not allowed: not for you`);
  if (outcome.kind === "failed") return unable(node);
  const { envelopes } = outcome;
  if (outcome.isStarting === true) return replyOf(250, "2.0.0", `OK, queuing for node ${node} started`);
  if (envelopes === undefined) return replyOf(252, "2.0.0", `OK, pending messages for node ${node} started`);
  if (envelopes === 0) return replyOf(251, "2.0.0", `OK, no messages waiting for node ${node}`);
  return replyOf(253, "2.0.0", `OK, ${envelopes} pending messages for node ${node} started`);
}
