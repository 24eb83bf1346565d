import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** Clients of a TLS listener for the measurements: who stalls in the handshake, who never answers a close, who measures. */

/** The beginning of a ClientHello and no more: a record of 512 bytes is announced, ten of them come. */
export async function stalledHandshake(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(Buffer.from("16030102000100", "hex"));
  return socket;
}

/** One handshake as a new client makes it, from the connection to its end; milliseconds. */
export async function handshakeMs(port: number): Promise<number> {
  const startedAt = performance.now();
  const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => {});
  await once(socket, "secureConnect", { signal: AbortSignal.timeout(30_000) });
  const tookMs = performance.now() - startedAt;
  socket.destroy();
  return tookMs;
}

/** A session past its greeting. */
export async function greeted(port: number): Promise<TLSSocket> {
  // Half open: a close_notify is not answered unless we say so.
  const raw = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const socket = connectTls({ socket: raw, rejectUnauthorized: false });
  socket.on("error", () => {});
  await heard(socket, /^220 .*\r\n/m);
  return socket;
}

/** Reads until it matches. */
export async function heard(socket: TLSSocket, pattern: RegExp): Promise<void> {
  let text = "";
  for (;;) {
    const [bytes] = await once(socket, "data", { signal: AbortSignal.timeout(30_000) });
    text += String(bytes);
    if (pattern.test(text)) return;
  }
}

/** Round trips of NOOP, one every `everyMs` for `forMs`: how long each took, in milliseconds. */
export async function roundTrips(socket: TLSSocket, everyMs: number, forMs: number): Promise<readonly number[]> {
  const taken: number[] = [];
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs) {
    const startedAt = performance.now();
    const answer = heard(socket, /^250 .*\r\n/m);
    socket.write("NOOP\r\n");
    await answer;
    taken.push(performance.now() - startedAt);
    await wait(everyMs);
  }
  return taken;
}

/** What the process and all its threads have had of a core, in milliseconds, to the nanosecond that the kernel counts. */
export function cpuMsOf(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ", 1)[0]) / 1e6;
    } catch {
      // It has just ended.
    }
  }
  return sum;
}

/** Connections of a port of this machine that neither side has ended, as the kernel has them. */
export function establishedOn(port: number): number {
  const here = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(here) === true && state === "01").length;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** In groups, so that no queue of connections overflows. */
export async function inGroups<Value>(count: number, make: () => Promise<Value>, group = 50): Promise<Value[]> {
  const all: Value[] = [];
  while (all.length < count)
    all.push(...(await Promise.all(Array.from({ length: Math.min(group, count - all.length) }, make))));
  return all;
}

/** For measurements: no limit that a thousand clients of one address would meet. */
export function openHanded(closeTimeout: string): string {
  return `session: { tls-close-timeout: ${closeTimeout}, handshake-timeout: 5m, idle-commands: 1000000 }
`;
}
