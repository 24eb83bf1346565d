import type { Clock } from "../../foundation/clock.ts";
import type { Allowance, Rated } from "../session/allowance.ts";
import { clientOf, networkOf, networksOf } from "../../service/table/networks.ts";
import type { LimitSettings } from "./settings.ts";
import { OthersCounts, UntoldCounts, type CountChanges } from "./shared-counts.ts";

/**
 * How many connections are open and how fast a client goes, with the verdict. Memory is bounded: open connections are
 * counted only while open, and rates are counted in fixed minutes (handshakes in fixed seconds, too), each forgotten when
 * it is over.
 */
export interface Limits {
  /** Counts a new connection, or says which limit refuses it. A connection let in must be `left` exactly once. */
  admit(address: string | undefined): Admission;
  readonly open: number;
  /** New settings hold for what comes; open connections stay counted. */
  reconfigure(settings: LimitSettings): void;
  /**
   * From now on other processes that serve the same listener are to know what is counted here. `onUntold` is called when
   * there is something to tell, once until `changes` are taken.
   */
  share(onUntold: () => void): void;
  changes(): CountChanges | undefined;
  /** What another process told. */
  learn(from: string, changes: CountChanges): void;
  /** Another process has ended. */
  forget(from: string): void;
  /** The next `changes` are told to somebody who knows nothing yet. */
  tellAll(): void;
}

export type Admission =
  | { readonly isAdmitted: true; readonly allowance: Allowance; left(): void }
  | { readonly isAdmitted: false; readonly because: "connections" | "per-address" | "per-network" | "rate" };

const MINUTE_MS = 60_000;
const SECOND_MS = 1000;
/** Clients counted in one minute at most: a flood from more addresses than this forgets the oldest of them. */
const MOST_CLIENTS = 200_000;

type Counts = Record<Rated | "connection", number>;
const NO_COUNTS: Counts = {
  connection: 0,
  command: 0,
  message: 0,
  recipient: 0,
  handshake: 0,
  "authentication-failure": 0,
  etrn: 0,
};

export function createLimits(initial: LimitSettings, clock: Clock): Limits {
  let settings = initial;
  let exempt = networksOf(settings.exempt);
  let open = 0;
  const perAddress = new Map<string, number>();
  const perNetwork = new Map<string, number>();
  let minute = -1;
  let clients = new Map<string, Counts>();
  let second = -1;
  /** Handshakes of this second, by client. */
  let handshakes = new Map<string, number>();
  const others = new OthersCounts();
  let untold: UntoldCounts | undefined;

  const countsOf = (client: string): Counts => {
    const now = Math.floor(clock.monotonicMs() / MINUTE_MS);
    if (now !== minute) {
      minute = now;
      clients = new Map();
    }
    let counts = clients.get(client);
    if (counts === undefined) {
      if (clients.size >= MOST_CLIENTS) for (const [oldest] of clients.entries().take(1)) clients.delete(oldest);
      counts = { ...NO_COUNTS };
      clients.set(client, counts);
    }
    return counts;
  };

  const handshakesOf = (client: string): number => {
    const now = Math.floor(clock.monotonicMs() / SECOND_MS);
    if (now !== second) {
      second = now;
      handshakes = new Map();
    }
    return handshakes.get(client) ?? 0;
  };
  const countHandshakes = (client: string, times: number): void => {
    const count = handshakesOf(client) + times;
    if (count === times && handshakes.size >= MOST_CLIENTS)
      for (const oldest of handshakes.keys().take(1)) handshakes.delete(oldest);
    handshakes.set(client, count);
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
      case "etrn":
        return settings.etrnRate;
    }
  };

  const take = (client: string, what: Rated | "connection"): boolean => {
    const limit = limitOf(what);
    const isPaced = what === "handshake" && settings.handshakesPerSecond !== 0;
    if (limit === 0 && !isPaced) return true;
    const counts = countsOf(client);
    if (limit !== 0 && counts[what] >= limit) return false;
    if (isPaced) {
      if (handshakesOf(client) >= settings.handshakesPerSecond) return false;
      countHandshakes(client, 1);
    }
    counts[what]++;
    untold?.took(client, what);
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
    const note = (): void => untold?.opened(isExempt ? undefined : address, isExempt ? undefined : network);
    note();
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
        note();
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
      if (open + others.open >= settings.connections) return { isAdmitted: false, because: "connections" };
      // A unix socket's clients are of this machine, chosen by the file's mode.
      if (address === undefined || exempt.has(address)) return admitted(address ?? "", true);
      const ofAddress = (perAddress.get(address) ?? 0) + others.ofAddress(address);
      if (isOver(ofAddress, settings.connectionsPerAddress)) return { isAdmitted: false, because: "per-address" };
      const network = networkOf(address);
      const ofNetwork = (perNetwork.get(network) ?? 0) + others.ofNetwork(network);
      if (isOver(ofNetwork, settings.connectionsPerNetwork)) return { isAdmitted: false, because: "per-network" };
      if (!take(clientOf(address), "connection")) return { isAdmitted: false, because: "rate" };
      return admitted(address, false);
    },
    share(onUntold) {
      untold = new UntoldCounts(onUntold);
      noteAll(untold);
    },
    changes: () => untold?.take(open, perAddress, perNetwork),
    learn(from, changes) {
      others.learn(from, changes);
      for (const [client, what, times] of changes.taken) {
        const counts = countsOf(client);
        if (isRated(what)) counts[what] += times;
        if (what === "handshake") countHandshakes(client, times);
      }
    },
    forget: (from) => others.forget(from),
    tellAll() {
      if (untold !== undefined) noteAll(untold);
    },
  };

  /** Rates are not repeated: they were told when they were taken, and are over in a minute. */
  function noteAll(notes: UntoldCounts): void {
    notes.opened(undefined, undefined);
    for (const address of perAddress.keys()) notes.opened(address, undefined);
    for (const network of perNetwork.keys()) notes.opened(undefined, network);
  }
}

const UNLIMITED: Allowance = { take: () => true, isSpent: () => false };

function isOver(count: number, limit: number): boolean {
  return limit !== 0 && count >= limit;
}

function isRated(what: string): what is keyof Counts {
  return what in NO_COUNTS;
}

function lower(counts: Map<string, number>, key: string): void {
  const count = counts.get(key) ?? 0;
  if (count > 1) counts.set(key, count - 1);
  else counts.delete(key);
}
