import { failureText } from "../../envelope/failure-text.ts";
import type { Connected, Outcome, Resolved } from "../../delivery/delivery.ts";
import type { RelayTarget } from "../../route/next-host.ts";
import type { Action } from "../action.ts";
import type { Expanded } from "../expanded.ts";
import type { SchedulerEvent } from "../scheduler.ts";

/**
 * One step in one line: what happened, and what was decided. For traces and replays.
 *
 *     connected s4: 4.4.1 connect to mx.a.test[192.0.2.1]:25: Connection refused => rests mx.a.test[192.0.2.1]:25 for 15 s; connect s5 to …
 */
export function stepText(event: SchedulerEvent, actions: readonly Action[], now: number): string {
  const told = actions.flatMap((action) => actionText(action, now) ?? []);
  const more = told.length > MOST_TOLD ? [`and ${told.length - MOST_TOLD} more`] : [];
  return `${eventText(event)} => ${[...told.slice(0, MOST_TOLD), ...more].join("; ") || "nothing"}`;
}

const MOST_TOLD = 12;
const MOST_NAMED = 5;

function eventText(event: SchedulerEvent): string {
  if (event.on === "loaded" || event.on === "queued")
    return `${event.on} ${some(event.envelopes.map(({ id, recipient }) => `${id} <${recipient}>`))}`;
  if (event.on === "resolved") return `resolved ${keyText(event.relay)}: ${event.answers.map(resolvedText).join(", ")}`;
  if (event.on === "connected") return `connected ${event.session}: ${connectedText(event.connected)}`;
  if (event.on === "transacted") {
    const { outcomes, ended, isUsable } = event.transacted;
    const end = ended === undefined ? "" : `; ended: ${failureText(ended.failure)}`;
    return `transacted ${event.session}: ${some(outcomes.map(outcomeText))}${end}${isUsable ? "" : "; session over"}`;
  }
  if (event.on === "delivered")
    return `delivered ${event.outcome === undefined ? `${event.envelope} gone` : outcomeText(event.outcome)}`;
  if (event.on === "written" || event.on === "unwritten") return `${event.on} w${event.write}`;
  if (event.on === "settings") return "settings";
  const { on, ...rest } = event;
  return [on, ...Object.entries(rest).map(([name, value]) => `${name}=${plain(value)}`)].join(" ");
}

/** Undefined for what is not worth a word. */
function actionText(action: Action, now: number): string | undefined {
  switch (action.do) {
    case "resolve":
      return `resolve ${some(action.requests.map(({ target }) => targetText(target)))} for ${keyText(action.relay)}`;
    case "connect": {
      const { session, host, sourceAddress } = action.request;
      const at = "path" in host.address ? host.address.path : `${host.address.ip}]:${host.address.port}`;
      const from = sourceAddress === undefined ? "" : ` from ${sourceAddress}`;
      return `connect ${session} to ${host.name}[${at}${"path" in host.address ? "]" : ""}${from}`;
    }
    case "transact":
      return `transact ${action.session}: ${some(action.envelopes)}`;
    case "leave":
      return `leave ${action.session}`;
    case "deliver":
      return `deliver ${action.envelope}, attempt ${action.attempt}`;
    case "write": {
      const told = action.operations.map((one) =>
        one.do === "commit"
          ? `commit ${one.message.id}`
          : one.do === "add"
            ? `add ${some(one.envelopes.map(({ envelope }) => envelope.id))}`
            : one.do === "remove"
              ? `remove ${one.envelope}`
              : `${one.envelope} ${one.progress.state}, due ${inText(one.progress.dueAt, now)}`,
      );
      const notices = action.notices.map(({ kind, message }) => `${kind} notice for ${message}`);
      return `write w${action.write}: ${some([...told, ...notices])}`;
    }
    case "note":
      return `${action.text === undefined ? "drop" : "keep"} ${action.key}`;
    case "answer":
      return `answer ${action.envelopes}`;
    case "timer":
      return `timer ${inText(action.at, now)}`;
    case "tell": {
      // The line is the event's own; `tell` took event and fields together.
      const line = action.event.line(action.fields as never);
      return line === undefined ? undefined : `say ${action.event.name}: ${line}`;
    }
  }
}

function inText(at: number, now: number): string {
  return at <= now ? "now" : `in ${Math.ceil((at - now) / 1000)} s`;
}

function some(texts: readonly string[]): string {
  const more = texts.length > MOST_NAMED ? ` and ${texts.length - MOST_NAMED} more` : "";
  return `${texts.slice(0, MOST_NAMED).join(", ")}${more}`;
}

/** Keys of relays hold the whole plan: of them the domain, the mail exchangers that domains share, or the smarthosts. */
function keyText(key: string): string {
  const domain = /^([^\s["]+) \[/.exec(key)?.[1];
  if (domain !== undefined) return domain;
  // `["mx", plan, ["way preference host port", …], …]`, or the plan alone.
  const [, hosts] = /^\["mx",".*",\[((?:"\d+ \d+ [^"]*",?)*)\]/.exec(key) ?? [];
  if (hosts !== undefined) return [...hosts.matchAll(/"\d+ \d+ (\S+) [^"]*"/g)].map(([, name = ""]) => name).join(", ");
  return /^\[\[\["([^"]*)"/.exec(key)?.[1] ?? key;
}

function targetText(target: RelayTarget): string {
  return target.kind === "domain" ? target.domain : target.kind === "host" ? target.host : target.path;
}

function resolvedText(answer: Resolved): string {
  if (!answer.ok) return failureText(answer.failure);
  const hosts = answer.hosts.map(({ name, preference, address }) => {
    const at = "path" in address ? address.path : address.ip;
    return `${preference} ${name}[${at}]`;
  });
  return some(hosts);
}

function connectedText(connected: Connected): string {
  if (connected.ok) return `ready in ${Math.round(connected.tookMs)} ms`;
  return `${connected.failure.status} ${failureText(connected.failure)} (${connected.scope})`;
}

function outcomeText(outcome: Outcome | Expanded): string {
  if (outcome.kind === "expanded") return `${outcome.envelope} sent on (${outcome.text})`;
  if (outcome.kind === "delivered") return `${outcome.envelope} sent (${outcome.text})`;
  return `${outcome.envelope} failed ${outcome.failure.status} (${failureText(outcome.failure)})`;
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
