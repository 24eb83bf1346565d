import { foldDomain, foldWritten } from "../../../service/table/pattern.ts";
import type { Chain } from "../chain.ts";
import type { Ticket } from "../state.ts";
import type { Wakeable } from "../wake-heap.ts";

/** What a suspension is: `suspensions.ts` says what it does. */
export const SUSPENSION_LEVELS = [
  "envelope",
  "message",
  "sender",
  "domain",
  "relay",
  "host",
  "route",
  "tenant",
  "all",
] as const;
export type SuspensionLevel = (typeof SUSPENSION_LEVELS)[number];

/** What is durable of it, and told. */
export interface SuspensionFacts {
  readonly level: SuspensionLevel;
  /** What is suspended: an id, an address or `@domain`, a domain, a name; `*` for all. */
  readonly key: string;
  readonly because: string;
  /** Who set it. */
  readonly by: string;
  readonly setAt: number;
  /** Absent: until somebody lifts it. */
  readonly untilAt?: number | undefined;
}

export interface Suspension extends Wakeable {
  readonly kind: "suspension";
  facts: SuspensionFacts;
  /** Its shelf. */
  readonly tickets: Chain<Ticket>;
  /** It is over, and so many that it held are not written yet. */
  unwritten: number;
}

export type Suspensions = Readonly<Record<SuspensionLevel, Map<string, Suspension>>>;

export function noSuspensions(): Suspensions {
  return {
    envelope: new Map(),
    message: new Map(),
    sender: new Map(),
    domain: new Map(),
    relay: new Map(),
    host: new Map(),
    route: new Map(),
    tenant: new Map(),
    all: new Map(),
  };
}

/**
 * In the one writing in which keys are compared: ids and tenants as they are, the null sender `<>`, all else folded, domains to
 * A-labels as the addresses in the queue have them.
 */
export function suspensionKey(level: SuspensionLevel, written: string): string {
  const text = written.trim();
  if (level === "all") return "*";
  if (level === "tenant") return text;
  if (level === "envelope" || level === "message") return text.toUpperCase();
  if (level === "sender") return text === "" ? "<>" : foldWritten(text).toLowerCase();
  // A relay's name may be a URL.
  const isName = level === "domain" || level === "relay" || (level === "host" && !/[[:/]/.test(text));
  return isName ? foldDomain(text) : text.toLowerCase();
}

/** The answer of a command that lifts what is not there. */
export const NO_SUCH_SUSPENSION = -1;

/** Under which key of the store it is kept. */
export const SUSPENSION_NOTES = "suspension ";

export function noteKeyOf({ level, key }: Pick<SuspensionFacts, "level" | "key">): string {
  return `${SUSPENSION_NOTES}${level} ${key}`;
}
