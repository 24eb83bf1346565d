import type { Clock } from "../../foundation/clock.ts";
import type { Allowance, Rated } from "../session/allowance.ts";
import { clientOf, networkOf, networksOf } from "./networks.ts";
import type { LimitSettings } from "./settings.ts";

/**
 * How many connections are open and how fast a client goes, with the verdict. Memory is bounded: open connections are
 * counted only while open, and rates are counted in fixed minutes, each forgotten when it is over.
 */
export interface Limits {
  /** Counts a new connection, or says which limit refuses it. A connection let in must be `left` exactly once. */
  admit(address: string | undefined): Admission;
  readonly open: number;
  /** New settings hold for what comes; open connections stay counted. */
  reconfigure(settings: LimitSettings): void;
}

export type Admission =
  | { readonly isAdmitted: true; readonly allowance: Allowance; left(): void }
  | { readonly isAdmitted: false; readonly because: "connections" | "per-address" | "per-network" | "rate" };

const MINUTE_MS = 60_000;
/** Clients counted in one minute at most: a flood from more addresses than this forgets the oldest of them. */
const MOST_CLIENTS = 200_000;

type Counts = Record<Rated | "connection", number>;

export function createLimits(initial: LimitSettings, clock: Clock): Limits {
  let settings = initial;
  let exempt = networksOf(settings.exempt);
  let open = 0;
  const perAddress = new Map<string, number>();
  const perNetwork = new Map<string, number>();
  let minute = -1;
  let clients = new Map<string, Counts>();

  const countsOf = (client: string): Counts => {
    const now = Math.floor(clock.monotonicMs() / MINUTE_MS);
    if (now !== minute) {
      minute = now;
      clients = new Map();
    }
    let counts = clients.get(client);
    if (counts === undefined) {
      if (clients.size >= MOST_CLIENTS) for (const [oldest] of clients.entries().take(1)) clients.delete(oldest);
      counts = { connection: 0, command: 0, message: 0, recipient: 0, handshake: 0, "authentication-failure": 0 };
      clients.set(client, counts);
    }
    return counts;
  };

  const limitOf = (what: Rated | "connection"): number => {
    switch (what) {
      case "connection":
        return settings.connectionRate;
      case "command":
        return settings.commandRate;
      case "message":
        return settings.messageRate;
      case "recipient":
        return settings.recipientRate;
      case "handshake":
        return settings.handshakeRate;
      case "authentication-failure":
        return settings.authenticationFailureRate;
    }
  };

  const take = (client: string, what: Rated | "connection"): boolean => {
    const limit = limitOf(what);
    if (limit === 0) return true;
    const counts = countsOf(client);
    if (counts[what] >= limit) return false;
    counts[what]++;
    return true;
  };

  const admitted = (address: string, isExempt: boolean): Admission => {
    const client = clientOf(address);
    const network = networkOf(address);
    open++;
    if (!isExempt) {
      perAddress.set(address, (perAddress.get(address) ?? 0) + 1);
      perNetwork.set(network, (perNetwork.get(network) ?? 0) + 1);
    }
    return {
      isAdmitted: true,
      allowance: isExempt
        ? UNLIMITED
        : {
            take: (what) => take(client, what),
            isSpent: (what) => limitOf(what) !== 0 && countsOf(client)[what] >= limitOf(what),
          },
      left() {
        open--;
        if (isExempt) return;
        lower(perAddress, address);
        lower(perNetwork, network);
      },
    };
  };

  return {
    get open() {
      return open;
    },
    reconfigure(next) {
      settings = next;
      exempt = networksOf(next.exempt);
    },
    admit(address) {
      if (open >= settings.connections) return { isAdmitted: false, because: "connections" };
      // A unix socket's clients are of this machine, chosen by the file's mode.
      if (address === undefined || exempt.has(address)) return admitted(address ?? "", true);
      if (isOver(perAddress.get(address), settings.connectionsPerAddress))
        return { isAdmitted: false, because: "per-address" };
      if (isOver(perNetwork.get(networkOf(address)), settings.connectionsPerNetwork))
        return { isAdmitted: false, because: "per-network" };
      if (!take(clientOf(address), "connection")) return { isAdmitted: false, because: "rate" };
      return admitted(address, false);
    },
  };
}

const UNLIMITED: Allowance = { take: () => true, isSpent: () => false };

function isOver(count: number | undefined, limit: number): boolean {
  return limit !== 0 && (count ?? 0) >= limit;
}

function lower(counts: Map<string, number>, key: string): void {
  const count = counts.get(key) ?? 0;
  if (count > 1) counts.set(key, count - 1);
  else counts.delete(key);
}
