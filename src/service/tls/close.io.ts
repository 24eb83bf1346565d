import type { TLSSocket } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import type { Closing } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import type { Tap } from "./tap.io.ts";

/**
 * The closes under way: nobody waits for them and no limit of connections counts them, so they have a bound of their own.
 * Beyond it the oldest is cut: its close_notify has long been sent.
 */
export class Lingering {
  readonly #most: number;
  readonly #cuts = new Set<() => void>();

  constructor(most = 4000) {
    this.#most = most;
  }

  add(cut: () => void): void {
    this.#cuts.add(cut);
    const [oldest] = this.#cuts;
    if (this.#cuts.size <= this.#most || oldest === undefined) return;
    this.#cuts.delete(oldest);
    oldest();
  }

  remove(cut: () => void): void {
    this.#cuts.delete(cut);
  }
}

/**
 * The end of a connection in good order: our close_notify, the peer's or the deadline, then TCP's end (RFC 8446 section
 * 6.1, RFC 5246 section 7.2.1). The FIN waits for the peer's answer, so that the answer finds an open connection.
 */
export class TwoWayClose {
  readonly #tap: Tap;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #lingering: Lingering;
  readonly #waiting: (() => void)[] = [];
  /** Set when we have begun to close. */
  #socket: TLSSocket | undefined;
  #isOver = false;

  constructor(options: { tap: Tap; ledger: Ledger; clock: Clock; lingering: Lingering }) {
    this.#tap = options.tap;
    this.#ledger = options.ledger;
    this.#clock = options.clock;
    this.#lingering = options.lingering;
  }

  /** We are closing, or have closed. */
  get hasBegun(): boolean {
    return this.#socket !== undefined;
  }

  /** Settles when the transport is closed, at the deadline at the latest. `cut` is called when that passes first. */
  begin(socket: TLSSocket, deadlineMs: number, cut: () => void): Promise<Closing> {
    if (this.#isOver) {
      socket.destroy();
      return Promise.resolve(this.#ledger.closing());
    }
    const giveUp = (): void => {
      this.#ledger.notAnswered();
      cut();
    };
    const timer = this.#clock.after(deadlineMs, giveUp);
    const settled = new Promise<Closing>((resolve) => {
      this.#waiting.push(() => {
        timer.cancel();
        this.#lingering.remove(giveUp);
        resolve(this.#ledger.closing());
      });
    });
    this.#lingering.add(giveUp);
    if (this.#socket === undefined) {
      this.#socket = socket;
      socket.end();
      // What still comes is read and dropped, down to the peer's own end.
      socket.resume();
    }
    if (this.#ledger.peer !== "open") this.#tap.allowFin();
    return settled;
  }

  /** The peer's end is known. */
  peerEnded(): void {
    if (this.hasBegun) this.#tap.allowFin();
  }

  /** The transport is closed. */
  over(): void {
    this.#isOver = true;
    // Nobody reads on from what we have closed; without a user of its own it would never come to its end.
    this.#socket?.destroy();
    for (const tell of this.#waiting.splice(0)) tell();
  }
}
