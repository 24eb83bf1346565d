import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { ConnectRequest, NetworkDelivery, TlsTried } from "../delivery.ts";
import * as events from "./events.ts";
import type { TlsHosts, TlsPlace } from "./tls-hosts.ts";

/** Hosts that are tried at the same time: trials cost the hosts connections and us handshakes. */
const MOST_AT_ONCE = 4;
/** Rounds that wait for their turn, run or rest: as many as hosts are remembered. */
const MOST_ROUNDS = 1000;

export interface TlsTrialsParts {
  readonly hosts: TlsHosts;
  readonly network: Pick<NetworkDelivery, "tryTls">;
  readonly clock: Clock;
  readonly emit: Emit;
}

/** The trials of one host, as far as its memory wants them. */
interface Round {
  /** The one that failed: trials are made as it was. */
  readonly request: ConnectRequest;
  readonly place: TlsPlace;
  tried: number;
}

/**
 * Asks hosts which kind of handshake works, beside the mail: a few at a time, the others when it is their turn. A host that
 * could not be asked is asked again later. What comes next and what follows from it is for `TlsHosts` to say.
 */
export class TlsTrials {
  readonly #parts: TlsTrialsParts;
  /** By place: one each, whether it waits, runs or rests. */
  readonly #rounds = new Map<string, Round>();
  readonly #waiting: Round[] = [];
  readonly #rests = new Set<Timer>();
  #running = 0;
  #isClosed = false;

  constructor(parts: TlsTrialsParts) {
    this.#parts = parts;
  }

  begin(request: ConnectRequest, place: TlsPlace): void {
    const key = keyOf(place);
    if (this.#isClosed || this.#rounds.has(key) || this.#rounds.size >= MOST_ROUNDS) return;
    const round: Round = { request, place, tried: 0 };
    this.#rounds.set(key, round);
    this.#enqueue(round);
  }

  /** Begins no more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    for (const rest of this.#rests) rest.cancel();
    this.#rests.clear();
  }

  #enqueue(round: Round): void {
    this.#waiting.push(round);
    this.#runNext();
  }

  #runNext(): void {
    const round = this.#running < MOST_AT_ONCE ? this.#waiting.shift() : undefined;
    if (round === undefined) return;
    this.#running++;
    void this.#run(round).finally(() => {
      this.#running--;
      this.#runNext();
    });
  }

  async #run(round: Round): Promise<void> {
    const { hosts, clock } = this.#parts;
    const isSettled = await this.#tryAll(round);
    const againAt = hosts.againAt(round.place, clock.now());
    if (!isSettled && againAt !== undefined && !this.#isClosed) {
      this.#rest(round, againAt - clock.now());
      return;
    }
    this.#rounds.delete(keyOf(round.place));
    const { request, place, tried } = round;
    // Only a whole round says something, and only of a host that has not worked since.
    if (isSettled || this.#isClosed || tried <= 1 || !hosts.isBroken(place, clock.now())) return;
    this.#parts.emit(events.tlsNothingWorks, {
      session: request.session,
      protocol: request.protocol,
      host: place.host,
      tried,
    });
  }

  #rest(round: Round, forMs: number): void {
    const rest = this.#parts.clock.after(forMs, () => {
      this.#rests.delete(rest);
      this.#enqueue(round);
    });
    this.#rests.add(rest);
  }

  /** True when one of them settled the matter. Never rejects. */
  async #tryAll(round: Round): Promise<boolean> {
    const { hosts, network, clock, emit } = this.#parts;
    const { request, place } = round;
    const { protocol } = request;
    const { host } = place;
    for (;;) {
      const trial = this.#isClosed ? undefined : hosts.nextTrial(place, clock.now());
      if (trial === undefined) return false;
      const session = `${request.session}-${trial}`;
      const variant = trial === "usual" ? undefined : trial;
      const tried = await network
        .tryTls({ ...request, session, known: undefined }, variant)
        .catch((thrown: unknown): TlsTried => ({ result: "not-tried", text: messageOf(thrown) }));
      const { result, text } = isElsewhere(tried, place) ? OTHER_TERMS : tried;
      const isSettled = hosts.tried(place, trial, result, text, clock.now());
      if (hosts.againAt(place, clock.now()) === undefined) round.tried++;
      emit(events.tlsTrial, { session, protocol, host, trial, result, text });
      if (!isSettled) continue;
      if (result === "worked" && variant !== undefined)
        emit(events.tlsVariantFound, { session, protocol, host, variant, negotiated: text });
      return true;
    }
  }
}

function keyOf({ host, terms }: TlsPlace): string {
  return JSON.stringify([host, terms]);
}

/** The policy was changed meanwhile. */
function isElsewhere({ terms }: TlsTried, place: TlsPlace): boolean {
  return terms !== undefined && terms !== place.terms;
}

const OTHER_TERMS: TlsTried = { result: "not-tried", text: "its policy has other terms by now" };
