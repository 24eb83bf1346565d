import type { Clock } from "../../../foundation/clock.ts";
import type { Emit } from "../../../foundation/events.ts";
import { hostText } from "../../route/route.ts";
import type { ConnectRequest, Connected, NetworkDelivery, SessionFacts } from "../delivery.ts";
import * as events from "./events.ts";
import { TlsHosts, type TlsHost, type TlsHostsSettings } from "./tls-hosts.ts";
import { TlsTrials } from "./tls-trials.ts";

/** The operator's side of what is remembered. */
export interface TlsMemory {
  tlsHosts(): readonly TlsHost[];
  /** Says how many were forgotten. */
  forgetTlsHost(which: string): number;
}

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
  readonly #trials: TlsTrials;
  readonly #noted = new Set<string>();

  constructor(inner: NetworkDelivery, parts: { clock: Clock; emit: Emit; settings: TlsHostsSettings }) {
    this.#inner = inner;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
    this.#hosts = new TlsHosts(parts.settings);
    this.#trials = new TlsTrials({ hosts: this.#hosts, network: inner, clock: parts.clock, emit: parts.emit });
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
      this.#trials.begin(request, learnt);
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
    this.#trials.close();
  }
}
