import type { Closing, TlsFacts } from "./facts.ts";
import type { TlsFinding } from "./finding/finding.ts";
import type { Flight } from "./flight/flight.ts";

/**
 * What a service tells of one TLS connection, as data for the journal: it travels with the event whose line people read,
 * and from it `posthorn tls` answers. Free of any mail protocol.
 */
export type TlsTold = TlsUp | TlsFailed | TlsEnded | SentPlain;

export interface TlsUp {
  readonly told: "up";
  readonly peer: TlsPeer;
  readonly facts: TlsFacts;
  /** The rule that decided that there is TLS, for people: `tls-policy.txt:3 (key example.org): encrypt`. */
  readonly rule?: string | undefined;
  /** For some sessions only (`flight-sampler.ts`). */
  readonly flight?: Flight | undefined;
}

export interface TlsFailed {
  readonly told: "failed";
  readonly peer: TlsPeer;
  /** With its flight where one was kept. */
  readonly finding: TlsFinding;
  /** The handshake was done: what went wrong came later. */
  readonly wasUp: boolean;
  /** SHA-256 of our certificate, where it is known which one was to be shown. */
  readonly ownCertificate?: string | undefined;
  readonly rule?: string | undefined;
}

export interface TlsEnded {
  readonly told: "ended";
  readonly closing: Closing;
  readonly moment: Moment;
  /** The last command, in the protocol's words: `QUIT`, `DATA`. */
  readonly after: string;
}

/** Something worth protecting went by without TLS. */
export interface SentPlain {
  readonly told: "plain";
  readonly peer: TlsPeer;
  readonly mails: number;
  /** Why there was no encryption: the rule that allowed it, or that the client did not ask. */
  readonly rule: string;
}

export interface TlsPeer {
  readonly direction: "in" | "out";
  /** For people: `mail.example[192.0.2.1]`, with the port where we connected. */
  readonly name: string;
  /** Absent for a unix socket. */
  readonly address?: string | undefined;
  /** The listener it came to, or the relay or domain that we went to. */
  readonly place: string;
}

/**
 * Where the dialogue stood when the connection ended: `over` after a goodbye, `between` with nothing under way, `content`
 * inside something that was being sent, `answer` while one side owed the other an answer.
 */
export type Moment = "over" | "between" | "content" | "answer";

/** In characters. */
export const LONGEST_TOLD = 96 * 1024;

/** As the text of an event's `details`. What would be too long goes without its wire bytes, then without its flight. */
export function toldText(told: TlsTold): string {
  const text = JSON.stringify(told);
  if (text.length <= LONGEST_TOLD) return text;
  const [flight, withFlight] = flightIn(told);
  if (flight === undefined) return JSON.stringify({ told: told.told }).slice(0, LONGEST_TOLD);
  const lean = JSON.stringify(withFlight({ ...flight, wire: [] }));
  return lean.length <= LONGEST_TOLD ? lean : JSON.stringify(withFlight(undefined));
}

/** Reads what `toldText` wrote; undefined for anything else. Text of our own processes, of another version perhaps. */
export function parseTold(text: unknown): TlsTold | undefined {
  if (typeof text !== "string") return undefined;
  try {
    const parsed = JSON.parse(text) as { readonly told?: unknown } | null;
    const kind = parsed?.told;
    // The writer was one of our processes: the kind stands for the rest.
    return kind === "up" || kind === "failed" || kind === "ended" || kind === "plain" ? (parsed as TlsTold) : undefined;
  } catch {
    return undefined;
  }
}

/** The flight of what is told, and the same told with another one. */
export function flightIn(told: TlsTold): readonly [Flight | undefined, (other: Flight | undefined) => TlsTold] {
  if (told.told === "up") return [told.flight, (flight) => ({ ...told, flight })];
  if (told.told === "failed")
    return [told.finding.flight, (flight) => ({ ...told, finding: { ...told.finding, flight } })];
  return [undefined, () => told];
}
