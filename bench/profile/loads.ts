import { readFileSync } from "node:fs";
import { startCountingSink, type CountingSink } from "../../test/peers/counting-sink.ts";
import { treeOf } from "../../test/processes.ts";
import type { Layout } from "../../test/server.ts";
import type { Contender, Task } from "../comparison/contender.ts";
import { startPosthorn } from "../comparison/posthorn.ts";
import { sampleOf, type Sample } from "../comparison/sampling.ts";

/** What is done to a server while it is looked at, for `bench/profile.ts` and `bench/bytes.ts`: as in `bench/run.ts`. */
const KIB = 1024;
export const LOADS = {
  each: { title: "50 sessions, one message of 1 KiB each", sessions: 50, bytes: KIB, keepsSession: false },
  many: { title: "50 sessions, many messages of 1 KiB each", sessions: 50, bytes: KIB, keepsSession: true },
  relay: { title: "relay to a sink, 10 sessions, 10 KiB", sessions: 10, bytes: 10 * KIB, keepsSession: true },
  local: { title: "delivery into one Maildir, 10 sessions, 4 KiB", sessions: 10, bytes: 4 * KIB, keepsSession: true },
} as const;
export type Load = keyof typeof LOADS;
export const LOAD_NAMES: readonly Load[] = ["each", "many", "relay", "local"];

export interface WarmServer extends AsyncDisposable {
  /** Each process of it, with what it is for: `ingress`. */
  readonly roles: ReadonlyMap<number, string>;
  /** Gives it so many messages, and waits until it rests. */
  under(messages: number): Promise<Sample>;
}

/** A server as it is installed, behind so many messages. `nodeOptions` are NODE_OPTIONS of all its processes. */
export async function startWarm(
  layout: Layout,
  load: Load,
  warmUp: { nodeOptions: string; messages: number },
): Promise<WarmServer> {
  await using stack = new AsyncDisposableStack();
  const { title: _, ...cell } = LOADS[load];
  const sink = load === "relay" ? stack.use(await startCountingSink()) : undefined;
  const before = process.env["NODE_OPTIONS"];
  process.env["NODE_OPTIONS"] = warmUp.nodeOptions;
  let server: Contender;
  try {
    server = stack.use(await startPosthorn(layout, { task: taskOf(load, sink) }));
  } finally {
    if (before === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = before;
  }
  const arrival = load === "relay" ? "sink" : load === "local" ? "mailbox" : undefined;
  const under = (messages: number): Promise<Sample> => sampleOf(server, { ...cell, messages }, arrival, sink);
  for (let warm = 0; warm < warmUp.messages; warm += 4000) await under(Math.min(4000, warmUp.messages - warm));
  const roles = new Map(treeOf(server.pid).map(({ pid }) => [pid, roleOf(pid, layout)]));
  const owned = stack.move();
  return { roles, under, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function taskOf(load: Load, sink: CountingSink | undefined): Task {
  if (sink !== undefined) return { kind: "relay", to: sink.port };
  return { kind: load === "local" ? "local" : "keep" };
}

function roleOf(pid: number, layout: Layout): string {
  if (layout === "single") return "server";
  const title = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  return /^posthorn: ([a-z]+)/.exec(title)?.[1] ?? "supervisor";
}

export function titleOf(layout: Layout, load: Load): string {
  return `${LOADS[load].title}, ${layout === "single" ? "one process" : "several processes"}`;
}

/** The words of an option that takes several, with commas. */
export function chosen<Name extends string>(written: string, known: readonly Name[], what: string): readonly Name[] {
  return written.split(",").map((word) => {
    const found = known.find((one) => one === word);
    if (found === undefined) throw new Error(`no ${what} ${word}: ${known.join(", ")}`);
    return found;
  });
}
