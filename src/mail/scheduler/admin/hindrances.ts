import { domainOf, goesByMx, planFor, type RelayPlan } from "../plan.ts";
import { failureText } from "../../envelope/failure-text.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Greylist } from "../../route/greylist.ts";
import { addressText, hostText, routeKey, type Route } from "../../route/route.ts";
import type { NextHost } from "../../route/next-host.ts";
import type { Hindrance } from "./admin.ts";
import { sourceRest } from "../serve/choose.ts";
import { sourcesTo } from "../serve/claims.ts";
import { homeOf } from "../serve/homes.ts";
import { fullFor, limitText } from "./limits-of.ts";
import { relaySchedule } from "../retry/retry.ts";
import { relayKeyOf } from "../ready.ts";
import { relayText } from "../relay-text.ts";
import type { DomainLine, RelayQueue, SchedulerState, Ticket } from "../state.ts";
import { isOfOneMail, mayBeGreylisting, scopeOf } from "../retry/scope.ts";
import { suspensionOfRoute, suspensionsOn } from "../suspension/suspensions.ts";
import type { SuspensionFacts } from "../suspension/suspension.ts";
import { TOLD_BELIEVED, toldWaitMs } from "../retry/told-wait.ts";
import { formatRfc3339 } from "../../../protocol/message/date-time.ts";
import { dueAtOf, expiresAtOf } from "../ticket-times.ts";
import { wakeAtOf } from "../wake-heap.ts";
import { wishText } from "../wishes.ts";

/**
 * "Why is it still here?": all that holds an envelope up, in the order in which it would have to clear, with the earliest
 * moment at which each can clear by itself, and the setting that it follows from. `lastFailure` is the envelope's, as the
 * store has it: a wait that a host asked for follows from no setting.
 */
export function hindrancesOf(s: SchedulerState, ticket: Ticket, lastFailure?: Failure): readonly Hindrance[] {
  const found: Hindrance[] = [];
  if (!s.isStoreUsable) found.push({ what: "store", text: "the queue's store failed and is being recovered" });
  if (s.isStopping) found.push({ what: "paused", text: "the server is stopping" });
  switch (ticket.place) {
    case "active":
      return [...found, { what: "attempt", text: `${attemptText(s, ticket)}${wishText(ticket)}` }];
    case "writing":
      return [...found, whileWriting(s, ticket)];
    case "waiting": {
      const holding = suspendedBy(s, ticket);
      const waits = whileWaiting(s, ticket, lastFailure);
      // It was due long ago, had somebody not suspended it.
      const left = waits.filter(({ what, untilAt = Infinity }) => what !== "not-due" || untilAt > s.now);
      return [...found, ...holding, ...(holding.length === 0 ? waits : left)];
    }
    case "ready":
      return [...found, ...suspendedBy(s, ticket), ...whileReady(s, ticket)];
  }
}

function suspendedBy(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  if (ticket.state !== "queued") return [];
  return suspensionsOn(s, ticket).map(suspendedUntil);
}

export function suspendedUntil({ level, key, by, because, setAt, untilAt }: SuspensionFacts): Hindrance {
  return {
    what: "suspended",
    text: `${level === "all" ? "everything" : `${level} ${key}`} is suspended by ${by} since ${formatRfc3339(setAt)}: ${because}`,
    untilAt,
  };
}

/** When it can go on by itself; undefined when something must be done first, or nobody knows. */
export function earliestOf(hindrances: readonly Hindrance[], now: number): number | undefined {
  let earliest: number | undefined;
  for (const { what, untilAt: own, otherWay } of hindrances) {
    // Then it is removed: that is no beginning.
    if (what === "quarantine" || what === "dead") return undefined;
    const untilAt = otherWay === undefined || own === undefined ? own : soonerOf(own, otherWay.untilAt);
    if (untilAt !== undefined) earliest = Math.max(earliest ?? 0, untilAt, now);
    // Its turn comes, and what runs ends, soon enough to say nothing about it.
    else if (!["queue", "attempt", "limit", "rate"].includes(what)) return undefined;
  }
  return earliest;
}

/** Unknown where the other way may open at any moment. */
function soonerOf(at: number, other: number | undefined): number | undefined {
  return other === undefined ? undefined : Math.min(at, other);
}

function attemptText(s: SchedulerState, ticket: Ticket): string {
  for (const session of s.sessions.values()) {
    if (!session.tickets.includes(ticket)) continue;
    const forMs = s.now - session.handedAt;
    return `it is being tried at ${session.route.text}, session ${session.id}, for ${Math.round(forMs / 1000)} s now`;
  }
  return "it is being tried just now";
}

function whileWriting(s: SchedulerState, ticket: Ticket): Hindrance {
  const refused = s.rewrites.get(ticket.id);
  if (refused === undefined)
    return { what: "store", text: `what was decided about it is being written${wishText(ticket)}` };
  const text = `the queue refuses what became of it: ${refused.because}; that is written again${wishText(ticket)}`;
  return { what: "store", text, untilAt: wakeAtOf(s.rewriteWakes, refused) };
}

function whileWaiting(s: SchedulerState, ticket: Ticket, lastFailure: Failure | undefined): readonly Hindrance[] {
  if (ticket.state === "held" && ticket.quarantine !== undefined)
    return [
      {
        what: "quarantine",
        text: `${ticket.heldBecause ?? "in quarantine"} (\`posthorn quarantine release\` lets it go, else it is removed)`,
        untilAt: ticket.heldUntilAt,
        setting: ["scheduler", "quarantineFor"],
      },
    ];
  if (ticket.state === "held")
    return [{ what: "held", text: `held: ${ticket.heldBecause ?? "nobody said why"}`, untilAt: ticket.heldUntilAt }];
  if (ticket.state === "dead")
    return [
      {
        what: "dead",
        text: `it can neither be delivered nor returned${ticket.heldBecause === undefined ? "" : ` (${ticket.heldBecause})`}; removed then`,
        untilAt: expiresAtOf(ticket),
        setting: ["scheduler", "deadLetters", "keepFor"],
      },
    ];
  const plan = planFor(s.settings.plans, ticket.action);
  if (plan?.kind !== "relay") return [notDue(s, ticket, plan?.kind === "local", lastFailure), ...pausedFor(s, ticket)];
  const { key } = relayKeyOf(plan, ticket.recipient);
  const relay = homeOf(s, key) ?? s.relays.get(key);
  const domain = goesByMx(plan) ? domainOf(ticket.recipient) : "";
  if (relay === undefined) {
    // Nobody remembers a relay that nothing is ready for; the hosts that its mail met last may rest all the same.
    const hosts =
      ticket.lastRound?.way === plan.key ? ticket.lastRound.tried.flatMap((text) => hostOf(text) ?? []) : [];
    const next = allRest(s, plan, domain, hosts).filter(({ untilAt = 0 }) => untilAt > dueAtOf(ticket));
    return [notDue(s, ticket, false, lastFailure), ...pausedFor(s, ticket), ...next];
  }
  const refused = relay.refusedSenders?.get(ticket.message.sender);
  const found: Hindrance[] =
    refused === undefined || refused.untilAt <= s.now
      ? [notDue(s, ticket, false, lastFailure, relay.greylist)]
      : [
          {
            what: "not-due",
            text: `its sender <${ticket.message.sender}> is refused at ${relayText(relay)}: ${failureText(refused.failure)}`,
            untilAt: Math.max(dueAtOf(ticket), refused.untilAt),
          },
        ];
  found.push(...pausedFor(s, ticket));
  // What would hold it up next, if it were due now: only what has an end later than that matters.
  const rests = restsOf(s, relay, domain);
  // Greylisting is why it is not due: those that were not even tried are due when its rest ends.
  const greylisted = rests.filter(({ what }) => what === "greylisted");
  const next = rests.filter(({ what, untilAt = 0 }) => what !== "greylisted" && untilAt > dueAtOf(ticket));
  return [...greylisted, ...found, ...next];
}

/** Why it is not due, where no failed attempt, of its own or of others, says so. */
export function whyNotDue(s: SchedulerState, ticket: Ticket): string | undefined {
  if (ticket.isScheduled === true) return "an operator chose when it is due";
  if (ticket.unreturned !== undefined) return ticket.unreturned;
  return (ticket.notBeforeAt ?? 0) > s.now && ticket.attempts === 0 ? "its sender wants it sent no earlier" : undefined;
}

function notDue(
  s: SchedulerState,
  ticket: Ticket,
  isLocal: boolean,
  lastFailure: Failure | undefined,
  greylist?: Greylist,
): Hindrance {
  const { attempts } = ticket;
  const untilAt = dueAtOf(ticket);
  if (ticket.lastRound?.under !== undefined) {
    const why = lastFailure === undefined ? "" : `: ${failureText(lastFailure)}`;
    return { what: "not-due", text: `the settings are in its way, and others free it at once${why}`, untilAt };
  }
  if ((ticket.mishaps ?? 0) > 0) {
    const setting = ["scheduler", "retry", "internal"];
    return {
      what: "not-due",
      text: `waits after a failure of our own side, ${ticket.mishaps} in a row`,
      untilAt,
      setting,
    };
  }
  const because = whyNotDue(s, ticket);
  if (because !== undefined) return { what: "not-due", text: because, untilAt };
  if (attempts === 0) return { what: "not-due", text: untriedText(ticket, lastFailure), untilAt };
  const text = `waits after attempt ${attempts}`;
  if (!isLocal && lastFailure !== undefined) {
    const toldMs = attempts > TOLD_BELIEVED ? undefined : toldWaitMs(lastFailure.reply);
    if (toldMs !== undefined)
      return { what: "not-due", text: `${text}; the host asked for ${Math.round(toldMs / 1000)} s`, untilAt };
    const isPresented = greylist?.phase === "presenting" || greylist?.keys === "recipient";
    if (isPresented && attempts === 1 && mayBeGreylisting(lastFailure)) {
      const setting = ["route", "greylisting", "probe"];
      return { what: "not-due", text: `${text}; the host seems to greylist`, untilAt, setting };
    }
  }
  const setting = isLocal ? ["scheduler", "retry", "local"] : relaySchedule(s, ticket).path;
  return { what: "not-due", text, untilAt, setting };
}

/** It was never tried itself: others were, before it or before this start. */
function untriedText({ message }: Ticket, lastFailure: Failure | undefined): string {
  if (lastFailure === undefined) return "not due yet";
  const text = failureText(lastFailure);
  return scopeOf(lastFailure, "recipient") === "sender" ? `its sender <${message.sender}> was refused: ${text}` : text;
}

function whileReady(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  const found = [...pausedFor(s, ticket)];
  const { queue } = ticket;
  if (queue === undefined) return found;
  if (queue.kind === "local") {
    const { atOnce, perRecipient } = s.settings.scheduler.local;
    if (queue.active >= perRecipient)
      found.push({
        what: "limit",
        text: `${queue.active} of ${perRecipient} deliveries for this recipient run`,
        setting: ["scheduler", "local", "perRecipient"],
      });
    if (s.localActive >= atOnce)
      found.push({
        what: "limit",
        text: `${s.localActive} of ${atOnce} final deliveries run`,
        setting: ["scheduler", "local", "atOnce"],
      });
    found.push({ what: "queue", text: `its turn comes: ${queue.tickets.size} ready for this recipient` });
    return found;
  }
  if (queue.kind !== "batch") return found;
  found.push(...atRelay(s, queue.line));
  found.push({
    what: "queue",
    text: `its turn comes: ${queue.line.relay.readyCount} ready for ${relayText(queue.line.relay)} in ${queue.line.relay.batchCount} messages, ${queue.line.relay.sessions.size} sessions`,
  });
  return found;
}

/** Users see why their own mail waits: the addresses in what a host said to somebody else's are left out. */
function restReason(failure: Failure): string {
  const { reply } = failure;
  if (reply === undefined || !isOfOneMail(failure)) return failureText(failure);
  return failureText({ ...failure, reply: { ...reply, lines: reply.lines.map(withoutAddresses) } });
}

function withoutAddresses(line: string): string {
  return line
    .split(" ")
    .map((word) => (word.includes("@") ? "<...>" : word))
    .join(" ");
}

/** What of a relay, or of all its next hosts, rests. */
function restsOf(s: SchedulerState, relay: RelayQueue, domain: string): readonly Hindrance[] {
  if (relay.penalty.restsUntilAt > s.now) {
    const last = relay.penalty.lastFailure;
    const why = last === undefined ? "" : `: ${restReason(last)}`;
    return [
      {
        what: "relay-rests",
        text: `${relayText(relay)} rests, penalty ${relay.penalty.count}${why}`,
        untilAt: relay.penalty.restsUntilAt,
        setting: ["route", "penaltyStep"],
      },
    ];
  }
  const { greylist } = relay;
  if (greylist !== undefined && greylist.phase === "resting" && greylist.restsUntilAt > s.now)
    return [
      {
        what: "greylisted",
        text:
          `${relayText(relay)} greylists: ${greylist.refused + greylist.refusedAgain} refused, ` +
          `${greylist.holds === "all" ? "nobody" : "nobody who was refused"} is tried` +
          (greylist.lastFailure === undefined ? "" : `: ${restReason(greylist.lastFailure)}`),
        untilAt: greylist.restsUntilAt,
        setting: ["route", "greylisting"],
      },
    ];
  const hosts = relay.candidates.map(({ host }) => host);
  return allRest(s, relay.plan, domain, hosts);
}

/** That these hosts rest, where none of them is open. */
function allRest(s: SchedulerState, plan: RelayPlan, domain: string, hosts: readonly NextHost[]): readonly Hindrance[] {
  const connectors = connectorsOf(s, plan, domain, hosts);
  const resting = connectors.filter(({ restsUntilAt }) => restsUntilAt > s.now);
  const first = resting.reduce<Connector | undefined>(
    (soonest, one) => (soonest === undefined || one.restsUntilAt < soonest.restsUntilAt ? one : soonest),
    undefined,
  );
  if (first === undefined || resting.length < connectors.length) return [];
  return [
    {
      what: "route-rests",
      text: restingText(resting),
      untilAt: first.restsUntilAt,
      // How long it asked for stands in its reply.
      setting: toldWaitMs(first.route?.penalty.lastFailure?.reply) === undefined ? ["route", "penaltyStep"] : undefined,
    },
  ];
}

/** One of our addresses to one address of a next host, with what is known of it. A look makes nothing. */
interface Connector {
  readonly text: string;
  readonly source: string;
  readonly route: Route | undefined;
  /** The route, or our address altogether. */
  readonly restsUntilAt: number;
}

function connectorsOf(
  s: SchedulerState,
  plan: RelayPlan,
  domain: string,
  hosts: readonly NextHost[],
): readonly Connector[] {
  return hosts.flatMap((host) =>
    sourcesTo(s, plan, domain, host).flatMap((source) => {
      const text = hostText(host);
      // What is suspended is open to nobody: what does not rest there is no way.
      const on = suspensionOfRoute(s, { host, address: addressText(host) }, { source: source?.address, text });
      if (on !== undefined) return [];
      const route = s.routes.get(routeKey(source?.address, host));
      const restsUntilAt = Math.max(route?.penalty.restsUntilAt ?? 0, sourceRest(s, source));
      return [{ text, source: source?.address ?? "*", route, restsUntilAt }];
    }),
  );
}

/** From how `hostText` wrote it. */
function hostOf(text: string): NextHost | undefined {
  const [, name, ip, port] = /^([^[]*)\[([^\]]+)\]:(\d+)$/.exec(text) ?? [];
  if (name === undefined || ip === undefined) return undefined;
  return { name, address: { ip, port: Number(port) }, preference: 0 };
}

/** What of its relay, or of a limit, holds up all that is ready in a line. */
export function atRelay(s: SchedulerState, { relay, domain }: DomainLine): readonly Hindrance[] {
  if (relay.isResolving) return [{ what: "queue", text: `the next hosts of ${relayText(relay)} are being looked up` }];
  const rests = restsOf(s, relay, domain);
  if (rests.length > 0) return rests;
  return fullFor(s, relay, domain).map((one) => ({
    what: one.unit === "connections" ? "limit" : "rate",
    text: limitText(one),
    untilAt: one.untilAt,
    setting: one.setting,
    ...(one.otherWay === undefined ? {} : { otherWay: one.otherWay }),
  }));
}

const MOST_TOLD = 5;

function restingText(resting: readonly Connector[]): string {
  const told = resting.slice(0, MOST_TOLD).map(({ text, source, route }) => {
    const from = source === "*" ? "" : ` from ${source}`;
    const last = route?.penalty.lastFailure;
    return `${text}${from}, penalty ${route?.penalty.count ?? 0}${last === undefined ? "" : ` (${restReason(last)})`}`;
  });
  const more = resting.length > MOST_TOLD ? `; and ${resting.length - MOST_TOLD} more` : "";
  return `every next host rests: ${told.join("; ")}${more}`;
}

export function pausedFor(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  const direction = planFor(s.settings.plans, ticket.action)?.kind === "local" ? "local" : "out";
  const pause = s.paused.get(direction);
  return pause === undefined ? [] : [{ what: "paused", text: `${direction} is paused: ${pause.because}` }];
}
