import type { SettingPath } from "../../service/config/config.ts";
import { isContentFilterAction } from "../envelope/content-filter.ts";
import type { Failure } from "../envelope/failure.ts";
import type { Action as ConfiguredAction } from "../envelope/action-settings.ts";
import type { SourceChoice } from "../envelope/source.ts";
import { formatRelay, parseRelay, relayByMx, type Relay } from "../route/relay.ts";

/**
 * What the scheduler makes of an action's settings. Plain data: it is part of the journalled inputs, so that a replay
 * knows it. Envelopes carry the action's name only; changing the settings re-plans everything that waits.
 */
export type Plan = RelayPlan | LocalPlan | FailPlan;

export interface RelayPlan {
  readonly kind: "relay";
  /** Equal for actions that go the same way: their envelopes share queues and sessions. */
  readonly key: string;
  /** Tried in this order; the hosts of the second are tried after those of the first. */
  readonly ways: readonly Way[];
  readonly helo: string;
  /** Our addresses to connect from, where the action says; else shaping and the settings of routes do. */
  readonly sources?: SourceChoice | undefined;
  /** Most connections, where the action says, and which setting that is; else as the settings of routes say. */
  readonly connections?: { readonly value: number; readonly path: SettingPath } | undefined;
  /** Next hosts that want to know are told who gave us the mail. */
  readonly xforward?: boolean | undefined;
  /** The mail comes back: a program near by, which is soon there again when it was not. */
  readonly isContentFilter?: boolean | undefined;
}

export interface Way {
  readonly relay: Relay;
  readonly verify: boolean;
  /** As people know it, for the log. */
  readonly text: string;
}

export interface LocalPlan {
  readonly kind: "local";
  /** Who speaks in the log's lines. */
  readonly speaker: "local" | "discard";
}

/** The action refuses, or its settings cannot be used. */
export interface FailPlan {
  readonly kind: "fail";
  readonly failure: Failure;
}

/** The name of `posthorn`'s host in EHLO is `helo` unless the action says another. `path`: where the action is written. */
export function planOf(action: ConfiguredAction, helo: string, path: SettingPath = []): Plan {
  if (action.kind === "deliver") return { kind: "local", speaker: action.as === "discard" ? "discard" : "local" };
  if (action.kind === "reject") {
    return {
      kind: "fail",
      failure: {
        lasting: action.code >= 500 ? "permanent" : "temporary",
        status: action.status,
        cause: { kind: "settings", text: action.text },
      },
    };
  }
  const ways: Way[] = [];
  for (const url of action.to) {
    const parsed = parseRelay(url);
    if (!parsed.ok) return unusable(`relay ${JSON.stringify(url)}: expected ${parsed.problem.expected}`);
    ways.push(wayOf(parsed.value, action));
  }
  if (ways.length === 0) ways.push(wayOf(relayByMx, action));
  const { sources, connections, xforward, isContentFilter } = action;
  const plan = {
    ways,
    helo: action.helo ?? helo,
    ...(sources === undefined ? {} : { sources }),
    ...(connections === undefined ? {} : { connections: { value: connections, path: [...path, "connections"] } }),
    ...(xforward === true ? { xforward } : {}),
    ...(isContentFilter === true ? { isContentFilter } : {}),
  };
  const more = [connections, plan.xforward, plan.isContentFilter].some((one) => one !== undefined)
    ? [{ connections, xforward: plan.xforward, isContentFilter: plan.isContentFilter }]
    : [];
  return {
    kind: "relay",
    key: JSON.stringify([ways.map((way) => [way.text, way.verify]), plan.helo, plan.sources, ...more]),
    ...plan,
  };
}

export function planAll(actions: Readonly<Record<string, ConfiguredAction>>, helo: string): Record<string, Plan> {
  return Object.fromEntries(
    Object.entries(actions).map(([name, action]) => [
      name,
      planOf(action, helo, isContentFilterAction(name) ? ["contentFilter"] : ["actions", name, "relay"]),
    ]),
  );
}

/** What is done with mail of this action. Of a content filter that is gone: the rules place it, as a final delivery. */
export function planFor(plans: Readonly<Record<string, Plan>>, action: string): Plan | undefined {
  // A name of everybody's, such as `constructor`, is no action.
  const plan = Object.hasOwn(plans, action) ? plans[action] : undefined;
  return plan ?? (isContentFilterAction(action) ? BY_RULES : undefined);
}

const BY_RULES: LocalPlan = { kind: "local", speaker: "local" };

/** True when the next hosts depend on the recipient's domain. */
export function goesByMx(plan: RelayPlan): boolean {
  return plan.ways.some((way) => way.relay.to.kind === "mx");
}

/** The part behind the last @, folded: quoted local parts may hold an @ of their own. */
export function domainOf(recipient: string): string {
  return recipient.slice(recipient.lastIndexOf("@") + 1).toLowerCase();
}

/** In which line of a relay an envelope waits: by its domain where the way depends on that, else all in one. */
export function lineOf(plan: RelayPlan, recipient: string): string {
  return goesByMx(plan) ? domainOf(recipient) : "";
}

function wayOf(
  parsed: Relay,
  action: { credentials?: string | undefined; verify?: boolean | undefined; backup: boolean },
): Way {
  let relay = parsed;
  if (action.credentials !== undefined && relay.credentials === undefined)
    relay = { ...relay, credentials: action.credentials };
  if (action.backup && relay.to.kind === "mx" && relay.backupAs === undefined) relay = { ...relay, backupAs: "" };
  return { relay, verify: action.verify ?? relay.credentials !== undefined, text: formatRelay(relay) };
}

function unusable(text: string): FailPlan {
  // Temporary: fixing the settings frees the mail.
  return { kind: "fail", failure: { lasting: "temporary", status: "4.3.5", cause: { kind: "settings", text } } };
}

/** The envelope's action is not in the settings any more. */
export function missingAction(name: string): Failure {
  return {
    lasting: "temporary",
    status: "4.3.5",
    cause: { kind: "settings", text: `there is no action ${JSON.stringify(name)}` },
  };
}
