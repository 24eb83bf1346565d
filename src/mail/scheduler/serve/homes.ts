import type { Resolved } from "../../delivery/delivery.ts";
import { awakenAll } from "../awaken.ts";
import { sourcesOfDomain } from "./claims.ts";
import { moveLine } from "./lines.ts";
import { goesByMx } from "../plan.ts";
import { newRelayQueue, type Candidate, type RelayQueue, type SchedulerState } from "../state.ts";

/**
 * Which domains share a relay. Ten thousand domains whose mail exchangers are the same are one relay: the same sessions,
 * limits, penalties and turns. A domain's mail waits at a relay of its own until its exchangers are found, then joins the
 * relay of these exchangers, which is its home for as long as the answer is fresh. When the answer changes, all that is
 * ready moves with it.
 *
 * A domain shares nothing when a TLS policy was written for it (`isShareable`). What one transaction may
 * carry of several: `mixing.ts`.
 */
/** A policy's table may change meanwhile, so homes are looked at anew after this. */
const LONGEST_HOME_MS = 300_000;

interface Found {
  readonly candidates: readonly Candidate[];
  readonly answers: readonly Resolved[];
  readonly freshUntilAt: number;
}

/** The hosts for one of a relay's lines were found: here or elsewhere. */
export function settle(s: SchedulerState, relay: RelayQueue, found: Found): void {
  if (!goesByMx(relay.plan)) {
    refresh(relay, found);
    if (wasInVain(relay)) awakenAll(s, relay.key);
    return;
  }
  const domain = relay.asksFor;
  const key = sharedKey(s, relay, domain, found);
  const line = relay.lines.get(domain);
  // Nobody needs to know any more.
  if (line === undefined && key !== relay.key) return;
  let home = s.relays.get(key);
  if (home === undefined) {
    home = newRelayQueue(key, relay.plan, undefined);
    s.relays.set(key, home);
  }
  refresh(home, found);
  const own = ownKey(relay, domain);
  // What waits at an earlier home goes the new way, too.
  const earlier = s.relays.get(s.homes.get(own)?.relay ?? "")?.lines.get(domain);
  if (earlier !== undefined) moveLine(s, earlier, home);
  if (line !== undefined) moveLine(s, line, home);
  awakenAll(s, own);
  sweepHomes(s);
  s.homes.set(own, { relay: key, untilAt: Math.min(found.freshUntilAt, s.now + LONGEST_HOME_MS) });
  s.dirty.add(home);
}

/** Its hosts were looked for and not found the last time; what failed otherwise (a login) a lookup does not mend. */
function wasInVain({ penalty }: RelayQueue): boolean {
  return penalty.count > 0 && LOOKUPS.has(penalty.lastFailure?.cause.kind);
}

const LOOKUPS: ReadonlySet<string | undefined> = new Set(["dns", "no-such-domain", "no-address", "mx-loop"]);

/** The relay at which the domain's mail is, while that is known. `own`: the key of the domain's own relay. */
export function homeOf(s: SchedulerState, own: string): RelayQueue | undefined {
  const home = s.homes.get(own);
  return home === undefined || home.untilAt <= s.now ? undefined : s.relays.get(home.relay);
}

/** The relay at which the domain's mail was last: its exchangers may be others by now. */
export function lastHomeOf(s: SchedulerState, own: string): RelayQueue | undefined {
  return s.relays.get(s.homes.get(own)?.relay ?? "");
}

/** All relays at which mail for this domain was last. */
export function lastHomesOf(s: SchedulerState, domain: string): ReadonlySet<RelayQueue> {
  const found = new Set<RelayQueue>();
  for (const own of s.homes.keys()) {
    const relay = own.startsWith(`${domain} `) ? lastHomeOf(s, own) : undefined;
    if (relay !== undefined) found.add(relay);
  }
  return found;
}

/** Its hosts could not be found: the next of its mail asks for itself. */
export function leaveHome(s: SchedulerState, relay: RelayQueue, domain: string): void {
  s.homes.delete(ownKey(relay, domain));
}

/** Of the relay at which a domain's mail waits until its exchangers are found. */
export function ownKey(relay: RelayQueue, domain: string): string {
  return `${domain} ${relay.plan.key}`;
}

function refresh(relay: RelayQueue, { candidates, freshUntilAt }: Found): void {
  relay.candidates = candidates;
  relay.freshUntilAt = freshUntilAt;
}

/** Names and preferences rather than addresses: those of large providers change with each answer. */
function sharedKey(s: SchedulerState, relay: RelayQueue, domain: string, { candidates, answers }: Found): string {
  const { plan } = relay;
  const isShareable = plan.ways.every((way, at) => {
    const answer = answers[at];
    return way.relay.to.kind !== "mx" || (answer?.ok === true && answer.isShareable === true);
  });
  const hosts = new Set<string>();
  for (const { host, way } of candidates) {
    const place = "path" in host.address ? host.address.path : String(host.address.port);
    hosts.add(`${plan.ways.indexOf(way)} ${host.preference} ${host.name} ${place}`);
  }
  // Sessions from other addresses of ours are other sessions.
  const sources = plan.sources === undefined ? sourcesOfDomain(s, domain) : undefined;
  const own = sources === undefined ? [] : [{ sources }];
  return JSON.stringify(["mx", plan.key, [...hosts].sort(), ...own, ...(isShareable ? [] : [domain])]);
}

/** Whenever there are twice as many as after the last time. */
function sweepHomes(s: SchedulerState): void {
  if (s.homes.size < 2 * s.homesAfterSweep + 1000) return;
  // Where a sender is refused its mail waits in no line: by this a domain's relay is found.
  for (const [key, { untilAt }] of s.homes)
    if (untilAt <= s.now && lastHomeOf(s, key)?.refusedSenders === undefined) s.homes.delete(key);
  s.homesAfterSweep = s.homes.size;
}
