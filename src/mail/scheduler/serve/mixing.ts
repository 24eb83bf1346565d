import type { Outcome } from "../../delivery/delivery.ts";
import type { Failure } from "../../envelope/failure.ts";
import { domainOf } from "../plan.ts";
import { scopeOf } from "../retry/scope.ts";
import type { Batch, MessageEntry, RelayQueue, SchedulerState, Session, Ticket } from "../state.ts";

/**
 * One transaction for a message's recipients in several domains, at a relay that these domains share. RFC 5321 section
 * 3.3 has hosts take recipients of any domains together; some large ones do not, or judge the whole by one domain's
 * policy. So what such a transaction fails with decides nothing where the mixture may be to blame: the domains go one by
 * one, at once and without an attempt counted, and the host gets no mixtures for a day.
 * docs/decisions/0015-shared-exchangers.md.
 */
/** Then it is tried again: hosts and their policies change. */
const UNMIXED_MS = 24 * 3_600_000;
const MOST_HOSTS = 1000;

export function mayMix(s: SchedulerState, { candidate }: Session): boolean {
  return (s.unmixed.get(candidate.host.name) ?? 0) <= s.now;
}

/** The host does not welcome mixtures. Who was learnt first is forgotten when there are too many. */
export function mixNoMore(s: SchedulerState, { candidate }: Session): void {
  const { name } = candidate.host;
  s.unmixed.delete(name);
  s.unmixed.set(name, s.now + UNMIXED_MS);
  const oldest = s.unmixed.keys().next();
  if (s.unmixed.size > MOST_HOSTS && oldest.done !== true) s.unmixed.delete(oldest.value);
}

/** The batch has others of its message at the same relay, in other lines. */
export function noteSibling(relay: RelayQueue, batch: Batch): void {
  if (relay.domain !== undefined || batch.line.domain === "") return;
  relay.byMessage ??= new Map();
  const known = relay.byMessage.get(batch.message);
  if (known === undefined) relay.byMessage.set(batch.message, new Set([batch]));
  else known.add(batch);
}

export function forgetSibling(relay: RelayQueue, batch: Batch): void {
  const known = relay.byMessage?.get(batch.message);
  if (known === undefined) return;
  known.delete(batch);
  if (known.size === 0) relay.byMessage?.delete(batch.message);
  if (relay.byMessage?.size === 0) relay.byMessage = undefined;
}

/** What is ready of the message in other lines of the relay. Taking from one may take it away. */
export function siblingsOf(relay: RelayQueue, message: MessageEntry, own: Batch["line"]): readonly Batch[] {
  return [...(relay.byMessage?.get(message) ?? [])].filter(({ line }) => line !== own && line.parkedAt === undefined);
}

/**
 * Whose failures say nothing yet, because they may be the mixture's: of those who came after the first domain, when they
 * alone were put off or the host speaks of domains; and of all, when the content was refused, for then one domain's
 * policy may have spoken. Not over LMTP, where each recipient's answer is its own.
 */
export function blamedOnMixture(
  session: Session,
  tickets: readonly Ticket[],
  outcomes: readonly Outcome[],
): ReadonlySet<Ticket> {
  const [first] = tickets;
  if (first === undefined || tickets.length === 1 || session.candidate.way.relay.protocol === "lmtp") return NOBODY;
  const firstDomain = domainOf(first.recipient);
  if (tickets.every(({ recipient }) => domainOf(recipient) === firstDomain)) return NOBODY;

  const failures = new Map(
    outcomes.flatMap((outcome) => (outcome.kind === "failed" ? [[outcome.envelope, outcome.failure] as const] : [])),
  );
  const failed = (where: ReadonlySet<string>, failure: Failure | undefined): boolean =>
    failure?.cause.kind === "reply" && where.has(failure.cause.during) && scopeOf(failure, "recipient") === "recipient";
  const atContent = tickets.filter((ticket) => failed(CONTENT, failures.get(ticket.id)));
  if (new Set(atContent.map(({ recipient }) => domainOf(recipient))).size > 1) return new Set(atContent);

  const isFirst = (ticket: Ticket): boolean => domainOf(ticket.recipient) === firstDomain;
  const later = tickets.filter((ticket) => !isFirst(ticket));
  const refused = later.filter((ticket) => failed(RCPT, failures.get(ticket.id)));
  const named = refused.filter((ticket) => namesDomains(failures.get(ticket.id)));
  if (named.length > 0) return new Set(named);
  const firstWasTaken = tickets.some((ticket) => isFirst(ticket) && !failed(RCPT, failures.get(ticket.id)));
  const arePutOff = refused.every((ticket) => failures.get(ticket.id)?.lasting === "temporary");
  return firstWasTaken && arePutOff && refused.length === later.length ? new Set(refused) : NOBODY;
}

export const NOBODY: ReadonlySet<Ticket> = new Set();

const CONTENT: ReadonlySet<string> = new Set(["DATA", "BDAT", "content", "end of DATA"]);
const RCPT: ReadonlySet<string> = new Set(["RCPT"]);
const OF_SEVERAL_DOMAINS =
  /\b(?:multiple|several|different|mixed|more than one|too many|only one|one|single|same)\b[^.]{0,40}\bdomains?\b/i;

function namesDomains(failure: Failure | undefined): boolean {
  const text = failure?.reply?.lines.join(" ").slice(0, 1000) ?? "";
  return OF_SEVERAL_DOMAINS.test(text);
}
