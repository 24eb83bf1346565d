import { readdirSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { CountingSink } from "../../test/peers/counting-sink.ts";
import { cpuSecondsOf, cpuSecondsOfEndedChildren } from "../../test/processes.ts";
import { smtpSource } from "../smtp-source.ts";
import type { RateCell } from "./cells.ts";
import { RECIPIENT, type Contender } from "./contender.ts";
import { portsFor } from "./opensmtpd.ts";
import { processorTime, stolenShare } from "./stolen.ts";
import { tlsLoad, type TlsLoadResult } from "./tls-generator.ts";

export interface Sample {
  readonly perSecond: number;
  readonly cpuMsPerMessage: number;
  /** What the load's own processes took, the sink included, in cores; with TLS the generators say it themselves. */
  readonly clientCores: number;
  /** What the machine's host took of its processors meanwhile, 0 to 1. */
  readonly stolen: number;
  readonly tls?: TlsLoadResult;
}

/** Clients with TLS cost as much as the server: one process of them would be what is measured. */
const GENERATORS = 2;
const ARRIVAL_MS = 180_000;
const LOOK_EVERY_MS = 20;
const LOOK_SHARE = 20;

/** The rate until all is taken (and, with a sink or a mailbox, has come there), and the CPU until the server rests again. */
export async function sampleOf(
  contender: Contender,
  cell: RateCell,
  arrival: "sink" | "mailbox" | undefined,
  sink?: CountingSink,
): Promise<Sample> {
  const arrived = (): number => (arrival === "sink" ? (sink?.messages ?? 0) : filesIn(contender.mailbox));
  const already = arrived();
  const before = cpuOf(contender.pid);
  const clientsBefore = clientCpu(sink);
  const timeBefore = processorTime();
  const startedAt = performance.now();
  const { tookS, sent, tls } = await load(contender, cell);
  let allS = tookS;
  if (arrival !== undefined) {
    await until(() => arrived() - already, sent);
    allS = (performance.now() - startedAt) / 1000;
  }
  const stolen = stolenShare(timeBefore, processorTime());
  const clientsS = tls?.cpuS ?? clientCpu(sink) - clientsBefore;
  const after = await cpuAtRest(contender.pid);
  return {
    perSecond: sent / allS,
    cpuMsPerMessage: ((after - before) * 1000) / sent,
    clientCores: clientsS / allS,
    stolen,
    ...(tls === undefined ? {} : { tls }),
  };
}

function clientCpu(sink: CountingSink | undefined): number {
  return cpuSecondsOfEndedChildren() + (sink === undefined ? 0 : cpuSecondsOf(sink.pid));
}

async function load(
  { ports, name }: Contender,
  cell: RateCell,
): Promise<{ tookS: number; sent: number; tls?: TlsLoadResult }> {
  const { tls: handshake, sessions, messages } = cell;
  if (handshake !== undefined) {
    const orders = { ...cell, port: ports[0], recipient: RECIPIENT };
    const tls = await tlsLoad({ ...orders, handshake: handshake === "resumed" ? "resumed" : "full" }, GENERATORS);
    return { tookS: tls.tookS, sent: messages, tls };
  }
  const over = name === "OpenSMTPD" ? portsFor(ports, sessions) : ports;
  const share = { ...cell, sessions: Math.ceil(sessions / over.length), messages: Math.ceil(messages / over.length) };
  const startedAt = performance.now();
  await Promise.all(over.map((port) => smtpSource({ ...share, port, recipient: RECIPIENT })));
  return { tookS: (performance.now() - startedAt) / 1000, sent: share.messages * over.length };
}

async function until(arrived: () => number, wanted: number): Promise<void> {
  const untilAt = performance.now() + ARRIVAL_MS;
  for (;;) {
    const lookedAt = performance.now();
    const there = arrived();
    if (there >= wanted) return;
    if (lookedAt > untilAt) throw new Error(`${there} of ${wanted} messages arrived`);
    // Looking holds a processor and a folder with many files: at most a twentieth of the time.
    await wait(Math.max(LOOK_EVERY_MS, LOOK_SHARE * (performance.now() - lookedAt)));
  }
}

/** What follows the last 250 (moving to the deferred queue, writing the journal) belongs to the message's price. */
async function cpuAtRest(pid: number): Promise<number> {
  let last = cpuOf(pid);
  for (let looks = 0; looks < 20; looks++) {
    await wait(300);
    const now = cpuOf(pid);
    // Two ticks: what an idle server may take anyway.
    if (now - last < 0.03) return now;
    last = now;
  }
  return last;
}

/** A process that ends while all are read is in neither its own figure nor its parent's, so what counts is the larger of a few readings. */
function cpuOf(pid: number): number {
  return Math.max(...Array.from({ length: 3 }, () => cpuSecondsOf(pid)));
}

function filesIn(folder: string | undefined): number {
  try {
    return folder === undefined ? 0 : readdirSync(folder).length;
  } catch {
    return 0;
  }
}
