import type { TlsFinding } from "../finding/finding.ts";
import type { Flight } from "./flight.ts";
import type { TlsConnection } from "../tls.ts";

/**
 * Which flights are worth keeping beyond their connection: those of failures, up to so many a second, and of working
 * sessions one a peer now and then, so that a failure has something to be compared with. The rest would be megabytes that
 * nobody reads.
 */
export class FlightSampler {
  readonly #peers = new Map<string, { readonly at: number; readonly likeness: string }>();
  #allowance = BURST;
  #refilledAt = 0;

  /** A working session of this peer. `likeness` tells sessions apart that are worth keeping both: fingerprint, version, certificate. */
  wantsWorking(peer: string, likeness: string, now: number): boolean {
    const known = this.#peers.get(peer);
    if (known !== undefined && known.likeness === likeness && now - known.at < AGAIN_MS && now >= known.at)
      return false;
    if (!this.#take(now)) return false;
    this.#peers.delete(peer);
    this.#peers.set(peer, { at: now, likeness });
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > MOST_PEERS && oldest !== undefined) this.#peers.delete(oldest);
    return true;
  }

  wantsFailed(now: number): boolean {
    return this.#take(now);
  }

  /** The flight of a working session, where it is worth keeping. */
  flightOf(connection: TlsConnection, peer: string, now: number): Flight | undefined {
    const { clientFingerprint, version, ownCertificate, isResumed } = connection.facts;
    const likeness = JSON.stringify([clientFingerprint, version, ownCertificate?.fingerprint, isResumed]);
    return this.wantsWorking(peer, likeness, now) ? connection.flight() : undefined;
  }

  /** The finding, without its flight when too many come at once. */
  bounded(finding: TlsFinding, now: number): TlsFinding {
    return finding.flight === undefined || this.wantsFailed(now) ? finding : { ...finding, flight: undefined };
  }

  #take(now: number): boolean {
    const passedMs = Math.max(0, now - this.#refilledAt);
    this.#allowance = Math.min(BURST, this.#allowance + (passedMs / 1000) * A_SECOND);
    this.#refilledAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }
}

const MOST_PEERS = 4096;
const AGAIN_MS = 60 * 60_000;
const BURST = 50;
const A_SECOND = 10;
