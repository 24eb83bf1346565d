import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { hostText } from "../../route/route.ts";
import type { ConnectRequest, Connected, NetworkDelivery, SessionFacts, TlsTried } from "../delivery.ts";
import * as events from "./events.ts";
import { TlsHosts, type TlsHost, type TlsHostsSettings, type TlsPlace } from "./tls-hosts.ts";

/** The operator's side of what is remembered. */
export interface TlsMemory {
  tlsHosts(): readonly TlsHost[];
  /** Says how many were forgotten. */
  forgetTlsHost(which: string): number;
}

/** Hosts that are tried at the same time: trials cost the hosts connections and us handshakes. */
const MOST_TRIALS = 4;
/** Hosts that are remembered for having been told of. */
const MOST_NOTED = 10_000;

/**
 * Network delivery that remembers which hosts' handshakes fail and which kind works. It stands before all sending processes
 * and outlives them, so that what one has learnt the next session knows, wherever it is opened. Trials run beside the
 * mail: no session waits for them.
 */
export class RememberingDelivery implements NetworkDelivery, TlsMemory {
  readonly #inner: NetworkDelivery;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #hosts: TlsHosts;
  readonly #noted = new Set<string>();
  #trials = 0;
  #isClosed = false;

  constructor(inner: NetworkDelivery, parts: { clock: Clock; emit: Emit; settings: TlsHostsSettings }) {
    this.#inner = inner;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
    this.#hosts = new TlsHosts(parts.settings);
  }

  resolve: NetworkDelivery["resolve"] = (request) => this.#inner.resolve(request);
  transact: NetworkDelivery["transact"] = (request) => this.#inner.transact(request);
  leave: NetworkDelivery["leave"] = (session) => this.#inner.leave(session);
  tryTls: NetworkDelivery["tryTls"] = (request, variant) => this.#inner.tryTls(request, variant);
  tryRecipient: NetworkDelivery["tryRecipient"] = (session, ask) => this.#inner.tryRecipient(session, ask);
  tlsPolicy: NetworkDelivery["tlsPolicy"] = (question) => this.#inner.tlsPolicy(question);

  async connect(request: ConnectRequest): Promise<Connected> {
    const host = hostText(request.host);
    const known = this.#hosts.known(host, this.#clock.now());
    const connected = await this.#inner.connect({ ...request, known });
    const { learnt } = connected;
    if (connected.ok) this.#notePlaintext(request, connected.facts);
    if (learnt !== undefined && this.#hosts.learn(learnt, this.#clock.now()) && learnt.host === host)
      void this.#try(request, learnt);
    return connected;
  }

  /** Once for each host, whichever process sends. */
  #notePlaintext({ session, protocol }: ConnectRequest, { host, tls, tlsRule, extensions }: SessionFacts): void {
    if (tls !== undefined || tlsRule?.level !== "none" || !extensions.includes("STARTTLS")) return;
    if (this.#noted.has(host)) return;
    if (this.#noted.size >= MOST_NOTED) this.#noted.clear();
    this.#noted.add(host);
    this.#emit(events.plaintextByPolicy, { session, protocol, host, rule: tlsRule.rule });
  }

  tlsHosts(): readonly TlsHost[] {
    return this.#hosts.list(this.#clock.now());
  }

  forgetTlsHost(which: string): number {
    return this.#hosts.forget(which);
  }

  reload(settings: TlsHostsSettings): void {
    this.#hosts.settings = settings;
  }

  /** Begins no more trials. */
  close(): void {
    this.#isClosed = true;
  }

  async #try(request: ConnectRequest, place: TlsPlace): Promise<void> {
    if (this.#trials >= MOST_TRIALS) return;
    this.#trials++;
    try {
      await this.#tryAll(request, place);
    } finally {
      this.#trials--;
    }
  }

  async #tryAll(request: ConnectRequest, place: TlsPlace): Promise<void> {
    const { protocol } = request;
    const { host } = place;
    let count = 0;
    for (;;) {
      const trial = this.#isClosed ? undefined : this.#hosts.nextTrial(place, this.#clock.now());
      if (trial === undefined) break;
      count++;
      const session = `${request.session}-${trial}`;
      const variant = trial === "usual" ? undefined : trial;
      const tried = await this.#inner
        .tryTls({ ...request, session, known: undefined }, variant)
        .catch((thrown: unknown): TlsTried => ({ result: "not-tried", text: messageOf(thrown) }));
      const { result, text } = isElsewhere(tried, place) ? OTHER_TERMS : tried;
      const isSettled = this.#hosts.tried(place, trial, result, text, this.#clock.now());
      this.#emit(events.tlsTrial, { session, protocol, host, trial, result, text });
      if (!isSettled) continue;
      if (result === "worked" && variant !== undefined)
        this.#emit(events.tlsVariantFound, { session, protocol, host, variant, negotiated: text });
      return;
    }
    // Only a whole round says something.
    if (count > 1) this.#emit(events.tlsNothingWorks, { session: request.session, protocol, host, tried: count });
  }
}

/** The policy was changed meanwhile. */
function isElsewhere({ terms }: TlsTried, place: TlsPlace): boolean {
  return terms !== undefined && terms !== place.terms;
}

const OTHER_TERMS: TlsTried = { result: "not-tried", text: "its policy has other terms by now" };
