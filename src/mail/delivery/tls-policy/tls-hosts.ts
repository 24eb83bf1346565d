import type { TlsReason } from "../../../service/tls/finding/finding.ts";
import type { TlsVariant } from "./demand.ts";

/**
 * What is remembered of hosts whose handshakes fail, as a machine without clock or sockets: where plaintext is allowed they
 * get it at once, for a while; and what they are asked in the meantime, without mail, to find a kind of handshake that works.
 *
 * After a failure the usual handshake is tried once more: did it fail by chance, that is forgotten. Else each variant that
 * the policy allows is tried, the least different first, each at most once in `TRIAL_EVERY_MS`, until one works: then it is
 * used for that host. Where no handshake came about at all, the host is left in peace for a while: a minute at first, then longer
 * each time. A variant that stops working is dropped, and the host counts as broken again.
 *
 * All of it holds for handshakes on the same terms (`demand.ts`) only: that a host refuses what one destination's policy asks
 * for says nothing of what the others ask for.
 */
export const VARIANTS: readonly TlsVariant[] = ["no-hybrid-group", "no-tickets", "rsa-only", "tls1.2"];
export type Trial = "usual" | TlsVariant;

/** Handshakes with a host, on the same terms. */
export interface TlsPlace {
  /** `name[address]:port` */
  readonly host: string;
  /** In the words of policies: `min-version=TLSv1.2`. */
  readonly terms: string;
}

/** A host, as operators see it. */
export interface TlsHost extends TlsPlace {
  readonly sinceAt: number;
  /** Until then it is remembered. */
  readonly untilAt: number;
  readonly failures: number;
  /** The last failure of a usual handshake. */
  readonly because: string;
  readonly reason: TlsReason | undefined;
  /** The kind of handshake that works. */
  readonly variant: TlsVariant | undefined;
  /** Trials are under way. */
  readonly isBeingTried: boolean;
  /** The last trial did not come about: when the next one may begin. */
  readonly againAt: number | undefined;
  readonly trials: readonly {
    readonly trial: Trial;
    readonly at: number;
    readonly result: TrialResult;
    readonly text: string;
  }[];
}

/** `not-tried`: no handshake came about (no connection, not offered, not allowed): that says nothing of the variant. */
export type TrialResult = "worked" | "failed" | "not-tried";

/** What an attempt said of a host's handshakes. */
export interface TlsLearnt extends TlsPlace {
  readonly handshake: "worked" | "failed";
  readonly variant?: TlsVariant | undefined;
  readonly because?: string | undefined;
  readonly reason?: TlsReason | undefined;
}

/** What a session should know before it begins, if its handshake is on these terms. */
export interface TlsKnown {
  readonly terms: string;
  /** Why plaintext is better at once, where it is allowed. */
  readonly brokenBecause?: string | undefined;
  readonly variant?: TlsVariant | undefined;
}

export interface TlsHostsSettings {
  /** How long a failing host is remembered; 0: plaintext is never taken at once. */
  readonly brokenKeptMs: number;
  readonly variantKeptMs: number;
  /** Are variants tried at all? */
  readonly triesVariants: boolean;
}

export const TRIAL_EVERY_MS = 3_600_000;
/** After the first trial that did not come about; doubled each time, as far as `TRIAL_EVERY_MS`. */
const AGAIN_AFTER_MS = 60_000;
/** A thousand broken hosts at once is more than anybody meets; the oldest make room. */
const MOST_HOSTS = 1000;
/** Of one host; as many as there are policies for destinations whose mail it takes, and those are few. */
const MOST_TERMS = 20;

type Kept = { -readonly [Key in keyof TlsHost]: TlsHost[Key] } & {
  /** Trials in a row that did not come about. */
  misses: number;
};

export class TlsHosts {
  /** By host, one for each of the terms. */
  readonly #hosts = new Map<string, readonly Kept[]>();
  settings: TlsHostsSettings;

  constructor(settings: TlsHostsSettings) {
    this.settings = settings;
  }

  known(host: string, now: number): readonly TlsKnown[] {
    return this.#current(host, now).flatMap(({ terms, variant, because }): readonly TlsKnown[] => {
      if (variant !== undefined) return [{ terms, variant }];
      return this.settings.brokenKeptMs === 0 ? [] : [{ terms, brokenBecause: because }];
    });
  }

  /** Handshakes failed there, and no kind is known that works. */
  isBroken(place: TlsPlace, now: number): boolean {
    const host = this.#find(place, now);
    return host !== undefined && host.variant === undefined;
  }

  /** Whether trials of the host should begin now: then ask `nextTrial`. */
  learn(learnt: TlsLearnt, now: number): boolean {
    const kept = this.#find(learnt, now);
    if (learnt.handshake === "worked") {
      // With the variant in use nothing new is known; the usual handshake is tried again when its time is over.
      if (kept !== undefined && learnt.variant === undefined) this.#drop(kept);
      return false;
    }
    // Only the kind that is in use says something of it: a late answer of another, or of a usual one from before, does not.
    if (learnt.variant !== kept?.variant) return false;
    const host: Kept = kept ?? {
      host: learnt.host,
      terms: learnt.terms,
      sinceAt: now,
      untilAt: now,
      failures: 0,
      because: "",
      reason: undefined,
      variant: undefined,
      trials: [],
      isBeingTried: false,
      againAt: undefined,
      misses: 0,
    };
    host.failures++;
    host.because = learnt.because ?? "the handshake failed";
    host.reason = learnt.reason;
    host.variant = undefined;
    host.untilAt = now + (this.settings.brokenKeptMs || TRIAL_EVERY_MS);
    this.#drop(host);
    const others = this.#hosts.get(host.host) ?? [];
    this.#hosts.delete(host.host);
    this.#hosts.set(host.host, [...others, host].slice(-MOST_TERMS));
    const [oldest] = this.#hosts.keys();
    if (this.#hosts.size > MOST_HOSTS && oldest !== undefined) this.#hosts.delete(oldest);
    return this.settings.triesVariants && !host.isBeingTried;
  }

  /** What to try at the host next; undefined: nothing, and its trials are over, or rest until `againAt`. */
  nextTrial(place: TlsPlace, now: number): Trial | undefined {
    const host = this.#find(place, now);
    if (host === undefined) return undefined;
    host.isBeingTried = false;
    if (host.variant !== undefined || !this.settings.triesVariants) return undefined;
    host.trials = host.trials.filter((done) => now - done.at < TRIAL_EVERY_MS);
    // Whatever could not even be tried ends the round for now: the host is away, or does not want us.
    if (host.againAt !== undefined && now < host.againAt) return undefined;
    host.againAt = undefined;
    const order: readonly Trial[] = ["usual", ...VARIANTS];
    const next = order.find((trial) => !host.trials.some((done) => done.trial === trial && !isMiss(done)));
    host.isBeingTried = next !== undefined;
    return next;
  }

  /** True when the trial settled the matter. */
  tried(place: TlsPlace, trial: Trial, result: TrialResult, text: string, now: number): boolean {
    const host = this.#find(place, now);
    if (host === undefined) return true;
    host.trials = [...host.trials.filter((done) => done.trial !== trial), { trial, at: now, result, text }];
    host.misses = isMiss({ result, text }) ? host.misses + 1 : 0;
    host.againAt =
      host.misses === 0 ? undefined : now + Math.min(AGAIN_AFTER_MS * 2 ** (host.misses - 1), TRIAL_EVERY_MS);
    if (result !== "worked") return false;
    host.isBeingTried = false;
    if (trial === "usual") this.#drop(host);
    else {
      host.variant = trial;
      host.untilAt = now + this.settings.variantKeptMs;
    }
    return true;
  }

  /** When trials of the host go on that could not come about; undefined: they do not rest. */
  againAt(place: TlsPlace, now: number): number | undefined {
    return this.#find(place, now)?.againAt;
  }

  list(now: number): readonly TlsHost[] {
    return [...this.#hosts.values()]
      .flat()
      .filter((host) => host.untilAt > now)
      .map(({ misses: _misses, ...host }) => host);
  }

  /** By `name[address]:port`, or the name or address in it; `*` is all. Says how many. */
  forget(which: string): number {
    const wanted = which.toLowerCase();
    let count = 0;
    for (const host of this.#hosts.keys()) {
      const [, name = "", address = "", port = ""] = /^(.*)\[(.*)\](?::(\d+))?$/.exec(host.toLowerCase()) ?? [];
      const names = [
        "*",
        host.toLowerCase(),
        name,
        address,
        `${name}:${port}`,
        `${address}:${port}`,
        `[${address}]:${port}`,
      ];
      if (names.includes(wanted) && this.#hosts.delete(host)) count++;
    }
    return count;
  }

  #find({ host, terms }: TlsPlace, now: number): Kept | undefined {
    return this.#current(host, now).find((kept) => kept.terms === terms);
  }

  #drop({ host, terms }: TlsPlace): void {
    this.#keep(host, this.#hosts.get(host)?.filter((kept) => kept.terms !== terms) ?? []);
  }

  #current(host: string, now: number): readonly Kept[] {
    const kept = this.#hosts.get(host) ?? [];
    const left = kept.filter(({ untilAt }) => untilAt > now);
    if (left.length < kept.length) this.#keep(host, left);
    return left;
  }

  #keep(host: string, kept: readonly Kept[]): void {
    if (kept.length === 0) this.#hosts.delete(host);
    else this.#hosts.set(host, kept);
  }
}

/** The text of a trial that the policy forbids: the next one is tried all the same. */
export const NOT_ALLOWED = "the policy does not allow it";

/** No handshake came about. */
function isMiss({ result, text }: { readonly result: TrialResult; readonly text: string }): boolean {
  return result === "not-tried" && text !== NOT_ALLOWED;
}
