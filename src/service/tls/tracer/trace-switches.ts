import type { Clock } from "../../../foundation/clock.ts";
import { networkContains, parseNetwork } from "../../table/network.ts";

/**
 * How much of a connection's TLS the log shows: 0 nothing but failures; 1 one line a handshake and one at the end; 2 the steps of
 * the handshake; 3 hex and ASCII of the handshake too; 4 hex and ASCII of everything, as on the wire.
 */
export type TraceLevel = 0 | 1 | 2 | 3 | 4;

/** Which connections are meant: those of a peer (address, network, host name or domain), of a listener, to a relay. */
export interface TraceTarget {
  readonly by: "peer" | "listener" | "relay";
  readonly value: string;
}

/** Set at run time, for a time. */
export interface TraceSwitch {
  readonly target: TraceTarget;
  readonly level: TraceLevel;
  readonly untilAt: number;
  /** The decrypted content goes into this file, of so many bytes at most. */
  readonly decrypted?: { readonly file: string; readonly bytes: number } | undefined;
}

/** What the settings say. */
export interface TraceSettings {
  readonly level: TraceLevel;
  readonly peers: Readonly<Record<string, TraceLevel>>;
  readonly listeners: Readonly<Record<string, TraceLevel>>;
  readonly relays: Readonly<Record<string, TraceLevel>>;
}

/** A connection, as far as it is known when its handshake begins. */
export interface TracedConnection {
  readonly address?: string | undefined;
  /** Host names: what the DNS says of a client; the next host's name. */
  readonly names: readonly string[];
  /** The listener it came to. */
  readonly listener?: string | undefined;
  /** What we connect for: the relay as written, the domain, `host:port`. */
  readonly relays: readonly string[];
  /** What the policy for it says; it counts as a setting for its relay does. */
  readonly policyLevel?: TraceLevel | undefined;
}

export interface TraceFound {
  readonly level: TraceLevel;
  /** The switch that wants the decrypted content; it has a file. */
  readonly decrypted?: TraceSwitch | undefined;
}

/** The most that hold at once; the oldest goes when one more is set. */
export const MOST_SWITCHES = 50;

/**
 * Which level holds for a connection. A switch goes before the settings, also to show less; among switches and among
 * settings a peer goes before a listener or relay, and of several of one kind the most telling level.
 */
export function traceFor(
  connection: TracedConnection,
  settings: TraceSettings,
  switches: readonly TraceSwitch[],
  now: number,
): TraceFound {
  const matching = switches.filter((one) => one.untilAt > now && isMeant(one.target, connection));
  const decrypted = matching.find((one) => one.decrypted !== undefined);
  const rules = [
    ...matching.map(({ target, level }) => ({ rank: target.by === "peer" ? 0 : 1, level })),
    ...rulesOf("peer", settings.peers, 2, connection),
    ...rulesOf("listener", settings.listeners, 3, connection),
    ...rulesOf("relay", settings.relays, 3, connection),
    ...(connection.policyLevel === undefined ? [] : [{ rank: 3, level: connection.policyLevel }]),
    { rank: 4, level: settings.level },
  ];
  const best = Math.min(...rules.map(({ rank }) => rank));
  const levels = rules.filter(({ rank }) => rank === best).map(({ level }) => level);
  const level = levels.reduce((highest, one) => (one > highest ? one : highest));
  return decrypted === undefined ? { level } : { level, decrypted };
}

function rulesOf(
  by: TraceTarget["by"],
  levels: Readonly<Record<string, TraceLevel>>,
  rank: number,
  connection: TracedConnection,
): readonly { readonly rank: number; readonly level: TraceLevel }[] {
  return Object.entries(levels)
    .filter(([value]) => isMeant({ by, value }, connection))
    .map(([, level]) => ({ rank, level }));
}

function isMeant({ by, value }: TraceTarget, connection: TracedConnection): boolean {
  if (by === "listener") return connection.listener === value;
  if (by === "relay") return connection.relays.some((relay) => isSameOrBelow(relay, value));
  const { address, names } = connection;
  const network = parseNetwork(value);
  if (network.ok) return address !== undefined && networkContains(network.value, address);
  return names.some((name) => isSameOrBelow(name, value));
}

/** `mx.example.org` is meant by itself and by `example.org`; case and a dot at either end do not count. */
function isSameOrBelow(name: string, wanted: string): boolean {
  const [one, other] = [name, wanted].map((text) => text.toLowerCase().replace(/^\.|\.$/g, ""));
  if (one === undefined || other === undefined || other === "") return false;
  return one === other || one.endsWith(`.${other}`);
}

/** Adds a switch; one for the same target is replaced. What has ended goes. */
export function withSwitch(switches: readonly TraceSwitch[], added: TraceSwitch, now: number): readonly TraceSwitch[] {
  return [...withoutSwitch(switches, added.target, now), added].slice(-MOST_SWITCHES);
}

/** Without a target all go. */
export function withoutSwitch(
  switches: readonly TraceSwitch[],
  target: TraceTarget | undefined,
  now: number,
): readonly TraceSwitch[] {
  if (target === undefined) return [];
  return switches.filter(
    (one) => one.untilAt > now && (one.target.by !== target.by || one.target.value !== target.value),
  );
}

/** `peer 192.0.2.1`. */
export function targetText({ by, value }: TraceTarget): string {
  return `${by} ${value}`;
}

/** What holds in one process: the settings' part and the switches, as they were last told. */
export class TraceBoard {
  readonly #clock: Clock;
  #settings: TraceSettings;
  #switches: readonly TraceSwitch[] = [];

  /** The settings make no difference between connections. */
  #isPlain: boolean;
  #everyOne: TraceFound;

  constructor(clock: Clock, settings: TraceSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#isPlain = isPlain(settings);
    this.#everyOne = { level: settings.level };
  }

  take(switches: readonly TraceSwitch[]): void {
    this.#switches = switches;
  }

  settings(settings: TraceSettings): void {
    this.#settings = settings;
    this.#isPlain = isPlain(settings);
    this.#everyOne = { level: settings.level };
  }

  for(connection: TracedConnection): TraceFound {
    if (this.#isPlain && this.#switches.length === 0 && connection.policyLevel === undefined) return this.#everyOne;
    return traceFor(connection, this.#settings, this.#switches, this.#clock.now());
  }
}

function isPlain({ peers, listeners, relays }: TraceSettings): boolean {
  return [peers, listeners, relays].every((levels) => Object.keys(levels).length === 0);
}
