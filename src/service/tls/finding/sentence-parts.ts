import type { TlsFinding, TlsReason } from "./finding.ts";
import type { FlightEvent } from "../flight/flight.ts";
import { lastStepText, peerOf } from "../flight/progress.ts";
import type { Stage } from "../flight/progress.ts";
import type { Evidence } from "./reasons.ts";
import { alertName } from "../flight/wire-names.ts";

export interface Told {
  readonly fault: TlsFinding["fault"];
  readonly sentence: string;
  readonly cure: string;
}

/** One failure, with what the sentences are made of. */
export interface Case extends Evidence {
  readonly stage: Stage;
  readonly alert?: TlsFinding["alert"];
  /** Node's or OpenSSL's own words. */
  readonly words?: string | undefined;
}

export type Sentences<Reasons extends TlsReason> = Readonly<Record<Reasons, (about: Case) => Told>>;

/** `client` or `server`. */
export function peer(about: Case): "client" | "server" {
  return peerOf(about.role);
}

/** `the alert unknown_ca (48)`. */
export function theAlert(about: Case): string {
  return about.alert === undefined ? "an alert" : `the alert ${alertName(about.alert.number)} (${about.alert.number})`;
}

/** The same inside brackets: `alert unknown_ca, 48`. */
export function alertAside(about: Case): string {
  return about.alert === undefined ? "an alert" : `alert ${alertName(about.alert.number)}, ${about.alert.number}`;
}

/** `62 ms`, `10 s`. */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 100) / 10} s`;
}

/** Where a handshake stood, as the end of a sentence: `62 ms into the handshake, after our ServerHelloDone`. */
export function whereItStood(about: Case): string {
  const time = `${duration(about.afterMs)} into the handshake`;
  const { flight } = about;
  const last = flight.events.findLast((event) => event.what.startsWith("part of") || isTelling(event));
  const text = last === undefined ? undefined : lastStepText(flight, last.direction);
  if (last === undefined || text === undefined) return time;
  const whose = text.replace(`the ${peer(about)}'s`, "its");
  return last.what.startsWith("part of") && !last.what.endsWith("record")
    ? `${time}, in the middle of ${whose.replace("part of ", "")}`
    : `${time}, after ${whose}`;
}

function isTelling({ bytes, what }: FlightEvent): boolean {
  return bytes > 0 && what !== "Alert" && what !== "ChangeCipherSpec";
}

/** ` (it asked for mx.example)` when a client sent a server name; else nothing. */
export function askedFor(about: Case): string {
  const name = about.flight.hello?.serverName;
  return name === undefined || about.role === "client" ? "" : ` (it asked for ${name})`;
}

/** What we offer or take, in versions. */
export function ownVersions(about: Case): string {
  if (about.context?.ownVersions !== undefined) return about.context.ownVersions;
  const offered = about.role === "client" ? about.flight.hello?.versions : undefined;
  return offered === undefined || offered.length === 0 ? "the versions set here" : listed(offered);
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(parts: readonly string[]): string {
  const last = parts.at(-1) ?? "";
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(", ")} and ${last}`;
}

export const PROBE = "`posthorn tls probe HOST` tries each version and group and shows what works.";
