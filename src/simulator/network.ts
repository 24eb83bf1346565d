import { Duplex } from "node:stream";
import type { Clock, Timer } from "../foundation/clock.ts";

/**
 * A network in memory: listeners by address and port (or path), connections with latency, windows that fill up, orderly
 * ends and resets, under any clock. An address nobody listens at refuses; one that was made dark never answers.
 */
export interface SimulatedNetwork {
  /** Fits the `Dial` of the SMTP client. */
  readonly dial: (to: SimulatedTarget, signal: AbortSignal) => Promise<SimulatedDialled>;
  listen(address: string, port: number, accept: (connection: SimulatedSocket) => void): Disposable;
  listenAt(path: string, accept: (connection: SimulatedSocket) => void): Disposable;
  /** From now on connections to this address hang until the dialler gives up; `false` takes it back. */
  setDark(address: string, isDark: boolean): void;
  setUnreachable(address: string, isUnreachable: boolean): void;
  /** Connections that have been accepted, and those of them still open. */
  readonly counters: { readonly accepted: number; readonly open: number };
}

export type SimulatedTarget =
  | { readonly ip: string; readonly port: number; readonly sourceAddress?: string | undefined }
  | { readonly path: string };

export type SimulatedDialled =
  | { readonly ok: true; readonly stream: SimulatedSocket }
  | { readonly ok: false; readonly reason: "refused" | "timeout" | "unreachable"; readonly text: string };

export interface NetworkOptions {
  readonly clock: Clock;
  /** One way. */
  readonly latencyMs?: number | undefined;
  /** Bytes that may be on their way or unread before the writer has to wait. */
  readonly windowBytes?: number | undefined;
  /** The address of diallers that name none. */
  readonly clientAddress?: string | undefined;
}

export function createNetwork(options: NetworkOptions): SimulatedNetwork {
  const { clock, latencyMs = 0, windowBytes = 64 * 1024, clientAddress = "192.0.2.200" } = options;
  const listeners = new Map<string, (connection: SimulatedSocket) => void>();
  const dark = new Set<string>();
  const unreachable = new Set<string>();
  const counters = { accepted: 0, open: 0 };
  let nextPort = 49_152;

  const listenTo = (key: string, accept: (connection: SimulatedSocket) => void): Disposable => {
    listeners.set(key, accept);
    return { [Symbol.dispose]: () => void listeners.delete(key) };
  };

  const connect = (to: SimulatedTarget): SimulatedDialled => {
    const accept = listeners.get("path" in to ? to.path : `${to.ip} ${to.port}`);
    if (accept === undefined) return { ok: false, reason: "refused", text: "Connection refused" };
    const here = "path" in to ? {} : { address: to.sourceAddress ?? clientAddress, port: nextPort++ };
    const there = "path" in to ? {} : { address: to.ip, port: to.port };
    const [client, server] = socketPair({ clock, latencyMs, windowBytes, here, there });
    counters.accepted++;
    counters.open++;
    server.once("close", () => counters.open--);
    accept(server);
    return { ok: true, stream: client };
  };

  return {
    counters,
    listen: (address, port, accept) => listenTo(`${address} ${port}`, accept),
    listenAt: (path, accept) => listenTo(path, accept),
    setDark: (address, isDark) => void (isDark ? dark.add(address) : dark.delete(address)),
    setUnreachable: (address, is) => void (is ? unreachable.add(address) : unreachable.delete(address)),
    dial: (to, signal) =>
      new Promise((resolve) => {
        let timer: Timer | undefined;
        const onAbort = (): void => {
          timer?.cancel();
          resolve({ ok: false, reason: "timeout", text: "Connection timed out" });
        };
        if (signal.aborted) return onAbort();
        signal.addEventListener("abort", onAbort, { once: true });
        const address = "path" in to ? to.path : to.ip;
        if (unreachable.has(address)) resolve({ ok: false, reason: "unreachable", text: "No route to host" });
        else if (!dark.has(address))
          timer = clock.after(2 * latencyMs, () => {
            signal.removeEventListener("abort", onAbort);
            resolve(connect(to));
          });
        return undefined;
      }),
  };
}

/** What arrives at once. */
const SEGMENT_BYTES = 16 * 1024;

interface End {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

interface Medium {
  readonly clock: Clock;
  readonly latencyMs: number;
  readonly windowBytes: number;
  readonly here: End;
  readonly there: End;
}

function socketPair(medium: Medium): readonly [SimulatedSocket, SimulatedSocket] {
  const one = new SimulatedSocket(medium, medium.here, medium.there);
  const other = new SimulatedSocket(medium, medium.there, medium.here);
  one.join(other);
  other.join(one);
  return [one, other];
}

/** One end of a connection; names its ends as `net.Socket` does. */
export class SimulatedSocket extends Duplex {
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly #medium: Medium;
  #peer: SimulatedSocket | undefined;
  /** Bytes sent and not yet read by the peer. */
  #outstanding = 0;
  #waiting: (() => void) | undefined;
  /** What has arrived and was not asked for yet. */
  readonly #arrived: (Buffer | null)[] = [];
  #wantsMore = false;
  #hasPeerEnded = false;
  #isReset = false;

  constructor(medium: Medium, here: End, there: End) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#medium = medium;
    this.localAddress = here.address;
    this.localPort = here.port;
    this.remoteAddress = there.address;
    this.remotePort = there.port;
  }

  join(peer: SimulatedSocket): void {
    this.#peer = peer;
  }

  /** Cuts the connection as a RST does: both ends fail with ECONNRESET, and what was on its way is lost. */
  reset(): void {
    const peer = this.#peer;
    this.#isReset = true;
    this.destroy();
    this.#later(() => peer?.fail("ECONNRESET"));
  }

  /** For parity with `net.Socket`. */
  resetAndDestroy(): this {
    this.reset();
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const peer = this.#peer;
    if (peer === undefined || peer.destroyed) {
      // As a kernel does: the write succeeds, and the answer is a RST.
      done();
      this.#later(() => this.fail("ECONNRESET"));
      return;
    }
    this.#outstanding += chunk.length;
    for (let at = 0; at < chunk.length; at += SEGMENT_BYTES) {
      const bytes = Buffer.from(chunk.subarray(at, at + SEGMENT_BYTES));
      this.#later(() => peer.#arrive(bytes));
    }
    if (this.#outstanding < this.#medium.windowBytes) done();
    else this.#waiting = () => done();
  }

  override _final(done: (error?: Error | null) => void): void {
    const peer = this.#peer;
    this.#later(() => {
      if (peer !== undefined) peer.#arrive(null);
    });
    done();
  }

  override _read(): void {
    this.#wantsMore = true;
    this.#deliver();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const peer = this.#peer;
    // A process that goes away with bytes unread sends RST, otherwise FIN.
    const isRude = this.#arrived.some((item) => item !== null) || this.readableLength > 0;
    if (!this.#isReset && (!this.writableFinished || isRude))
      this.#later(() => {
        if (peer === undefined || peer.destroyed) return;
        if (isRude) peer.fail("ECONNRESET");
        else if (!peer.#hasPeerEnded) peer.#arrive(null);
      });
    done(error);
  }

  /** @internal */
  fail(code: "ECONNRESET"): void {
    if (!this.destroyed) this.destroy(Object.assign(new Error(`read ${code}`), { code }));
  }

  #arrive(item: Buffer | null): void {
    if (this.destroyed) return;
    if (item === null) {
      if (this.#hasPeerEnded) return;
      this.#hasPeerEnded = true;
    }
    this.#arrived.push(item);
    this.#deliver();
  }

  #deliver(): void {
    while (this.#wantsMore && this.#arrived.length > 0) {
      const item = this.#arrived.shift() ?? null;
      if (item !== null && this.#peer !== undefined) this.#peer.#wasRead(item.length);
      this.#wantsMore = this.push(item);
    }
  }

  #wasRead(bytes: number): void {
    this.#outstanding -= bytes;
    const waiting = this.#waiting;
    if (waiting === undefined || this.#outstanding >= this.#medium.windowBytes) return;
    this.#waiting = undefined;
    waiting();
  }

  #later(work: () => void): void {
    if (this.#medium.latencyMs === 0) queueMicrotask(work);
    else this.#medium.clock.after(this.#medium.latencyMs, work);
  }
}
