import { setTimeout as wait } from "node:timers/promises";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { cpuSecondsOf, pssKiBOf } from "../test/processes.ts";
import { RECIPIENT, type Contender } from "./contenders.ts";
import type { CountingSink } from "../test/peers/counting-sink.ts";
import { smtpSource } from "./smtp-source.ts";

export interface Load {
  readonly sessions: number;
  readonly messages: number;
  readonly bytes: number;
  /** Many messages a session, or one each. */
  readonly keepsSession: boolean;
}

export interface Sample {
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
}

/** The rate until all is taken (and, with a sink, until all has come there), and the CPU until the server rests again. */
export async function sampleOf(contender: Contender, load: Load, sink?: CountingSink): Promise<Sample> {
  const before = cpuSecondsOf(contender.pid);
  const already = sink?.messages ?? 0;
  const startedAt = performance.now();
  let tookS = await smtpSource({ ...load, port: contender.port, recipient: RECIPIENT });
  if (sink !== undefined) {
    await sink.waitFor(already + load.messages, 120_000);
    tookS = (performance.now() - startedAt) / 1000;
  }
  const after = await cpuAtRest(contender.pid);
  return { perSecond: load.messages / tookS, cpuMsPerMessage: ((after - before) * 1000) / load.messages };
}

/** What follows the last 250 (moving to the deferred queue, writing the journal) belongs to the message's price. */
async function cpuAtRest(pid: number): Promise<number> {
  let last = cpuSecondsOf(pid);
  for (let looks = 0; looks < 20; looks++) {
    await wait(300);
    const now = cpuSecondsOf(pid);
    // Two ticks: what an idle server may take anyway.
    if (now - last < 0.03) return now;
    last = now;
  }
  return last;
}

export interface MemoryUse {
  readonly idleMB: number;
  readonly perSessionKB: number;
}

/** Memory of all processes as proportional set size: idle, and what each of `sessions` open plaintext sessions adds. */
export async function memoryOf(contender: Contender, sessions: number): Promise<MemoryUse> {
  await wait(5000);
  const idleKiB = pssKiBOf(contender.pid);
  const sockets: Socket[] = [];
  for (let at = 0; at < sessions; at += 50)
    sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => openSession(contender.port)))));
  await wait(2000);
  const loadedKiB = pssKiBOf(contender.pid);
  for (const socket of sockets) socket.destroy();
  return { idleMB: (idleKiB * 1024) / 1e6, perSessionKB: ((loadedKiB - idleKiB) * 1024) / sessions / 1000 };
}

/** A session that has said EHLO, and waits. */
async function openSession(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.setEncoding("latin1");
  let heard = "";
  for (const [says, pattern] of [
    ["EHLO client.bench.test\r\n", /^220 .*\r\n/m],
    ["", /^250 .*\r\n/m],
  ] as const) {
    while (!pattern.test(heard)) {
      const [text] = await once(socket, "data", { signal: AbortSignal.timeout(30_000) });
      heard += String(text);
    }
    if (says !== "") socket.write(says);
  }
  return socket;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = low] = sorted.length % 2 === 1 ? [sorted[middle]] : sorted.slice(middle - 1);
  return (low + high) / 2;
}
