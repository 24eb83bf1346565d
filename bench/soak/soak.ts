import { mkdtempSync, rmSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { seededRandom } from "../../src/foundation/random.ts";
import { ownCertificate } from "../../src/service/tls/keeper/own-certificate.io.ts";
import { startServer, type Layout, type TestServer } from "../../test/server.ts";
import { Account } from "./account.ts";
import { judge, judgeReloads, restOf, type Judged, type Rest } from "./judge.ts";
import { startLoad, type Load } from "./load.ts";
import { startNextHost, type NextHost } from "./next-host.ts";
import { reap } from "./reaper.ts";
import { PROBE_OPTIONS, Watch } from "./watch.ts";

export interface SoakOptions {
  readonly layout: Layout;
  /** Of the two parts that are judged and the warm-up together. */
  readonly ms: number;
  readonly rate: number;
  readonly seed: number;
  /** Runs emitted JavaScript, as installed servers do. */
  readonly isEmitted: boolean;
  readonly tell: (line: string) => void;
}

export interface SoakReport {
  readonly judged: Judged;
  readonly watch: Watch;
  readonly account: Account;
  readonly kinds: Load["counts"];
  readonly reloads: number;
  readonly commands: number;
  readonly sessionsOut: number;
  /** Empty when all is well. */
  readonly problems: readonly string[];
}

const HOOKS = `import { addHeader, defineHooks, tag } from "posthorn";
export default defineHooks({
  onHelo: ({ name }) => (name === "slow.test" ? tag("slow") : undefined),
  onRcpt: ({ state, recipient }) => { state["last"] = recipient; return undefined; },
  onMessage: (mail) => addHeader("X-Hook", String(mail.subject).slice(0, 40)),
});
`;
/** What people look at while a server works. */
const COMMANDS = [
  ["queue", "list"],
  ["status"],
  ["queue", "count"],
  ["show", "routes"],
  ["show", "stats"],
  ["tls", "closes"],
  ["log", "--from", "soak@origin.test", "--since", "10s"],
];

/** A whole run. Throws when the server does not start. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-soak-"));
  const report = await soakIn(folder, options);
  if (report.problems.length === 0) rmSync(folder, { recursive: true, force: true });
  else options.tell(`the folder of the run is left: ${folder}`);
  return report;
}

async function soakIn(folder: string, options: SoakOptions): Promise<SoakReport> {
  const { layout, seed, tell } = options;
  const account = new Account();
  const random = seededRandom(seed);
  const pair = await ownCertificate(join(folder, "next-host"), ["next.test"], systemClock);
  await using host = await startNextHost(account, pair);
  writeFileSync(join(folder, "hooks.ts"), HOOKS);
  await using server = await startServer({
    layout,
    folder,
    settings: settingsOf(folder, host),
    readyWithinMs: 120_000,
    env: { NODE_OPTIONS: PROBE_OPTIONS, ...(options.isEmitted ? { POSTHORN_EMITTED: "1" } : {}) },
  });
  // The server is in a process group of its own, and would live on.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void server.kill().finally(() => process.exit(1)));
  const state = join(folder, "data");
  const watch = new Watch(server);
  const problems: string[] = [];
  let reloads = 0;
  let commands = 0;
  const command = async (...words: string[]): Promise<void> => {
    commands++;
    const { status, stderr } = await server.posthorn(...words);
    // Like grep, it ends so when there is nothing to list.
    const isNothing = status === 1 && stderr === "nothing in the queue matches\n";
    if (status !== 0 && !isNothing)
      account.problem(`posthorn ${words.join(" ")} ended with ${status}: ${stderr.slice(0, 300)}`);
  };
  const part = async (name: string, ms: number, withReloads: boolean): Promise<Load["counts"]> => {
    const load = startLoad({ ports: server.ports, account, random, rate: options.rate });
    const fromAt = watch.now();
    const every = Math.min(Math.max(ms / 20, 2000), 60_000);
    const [sampleMs, commandMs, reloadMs] = [Math.min(every, 5000), 10_000, Math.max(every, 30_000)];
    const over = new AbortController();
    const operating = (async () => {
      for (let turn = 0; !over.signal.aborted; turn++) {
        const isReload = withReloads && turn % Math.max(1, Math.round(reloadMs / commandMs)) === 0;
        if (isReload) reloads++;
        await command(...(isReload ? ["reload"] : (COMMANDS[commands % COMMANDS.length] ?? ["status"])));
        await wait(commandMs, undefined, { signal: over.signal }).catch(() => {});
      }
    })();
    let [sampled, told] = [0, 0];
    for (let past = 0; past < ms && watch.isRunning; past = watch.now() - fromAt) {
      if (past >= sampled) {
        sampled = past + sampleMs;
        watch.sample(join(state, "queue"));
      }
      if (past >= told) {
        told = past + Math.max(every, 10_000);
        tell(progress(name, watch, account));
      }
      reap(state, account);
      await wait(500);
    }
    over.abort();
    await operating;
    await load.stop();
    return load.counts;
  };
  const rest = async (): Promise<Rest> => {
    for (const untilAt = Date.now() + 180_000; account.owedCount > 0 && Date.now() < untilAt; reap(state, account))
      await wait(500);
    // Kept connections end, and what was removed is forgotten.
    await wait(REST_MS);
    const fromAt = watch.now();
    for (let look = 0; look < 3; look++) {
      await watch.probe();
      watch.sample(join(state, "queue"));
      await wait(1000);
    }
    return restOf(
      watch.samples.filter(({ atMs }) => atMs >= fromAt),
      watch.probes.filter(({ atMs }) => atMs >= fromAt),
    );
  };

  const third = options.ms / 3;
  // In a split server a reload replaces the processes that speak with others, and their memory begins anew: there it is part of
  // the warm-up alone, and of its first half, for those that stay want to be warm, too. One process stays.
  await part("reloads", third / 2, true);
  await part("warm-up", third / 2, layout === "single");
  const before = await rest();
  const startAt = watch.now();
  const middleKinds = await part("middle", third, layout === "single");
  const middleAt = watch.now();
  // Each part begins behind a collection of all garbage: V8 lets it lie for many minutes, and only one part would have it.
  const between = await rest();
  const lastFromAt = watch.now();
  const lastKinds = await part("last", third, layout === "single");
  const lastAt = watch.now();
  const after = await rest();
  // Those that a reload leaves as they are must not keep anything of it.
  for (let turn = 0; turn < LAST_RELOADS; turn++) {
    reloads++;
    await command("reload");
  }
  const reloaded = await rest();
  const judged: Judged = {
    middle: watch.samples.filter(({ atMs }) => atMs >= startAt && atMs < middleAt),
    last: watch.samples.filter(({ atMs }) => atMs >= lastFromAt && atMs < lastAt),
    before,
    between,
    after,
  };
  problems.push(...judge(judged), ...judgeReloads(after, reloaded));
  const kinds = new Map<string, { done: number; failed: number; last: string }>();
  for (const counts of [middleKinds, lastKinds])
    for (const [name, { done, failed, last }] of counts) {
      const sum = kinds.get(name) ?? { done: 0, failed: 0, last: "" };
      kinds.set(name, { done: sum.done + done, failed: sum.failed + failed, last: last || sum.last });
    }
  for (const [name, { failed, last }] of kinds)
    if (failed > 0) problems.push(`${name}: ${failed} times it did not go as it should (${last})`);
  const status = await server.stop();
  if (status !== 0) problems.push(`the server ended with status ${status}`);
  problems.push(...account.verdict(), ...leftIn(join(state, "queue")), ...complaintsIn(server));
  return { judged, watch, account, kinds, reloads, commands, sessionsOut: host.sessions, problems };
}

const LAST_RELOADS = 5;
/** Longer than connections to next hosts are kept, and threads that nobody needs. */
const REST_MS = 75_000;

function settingsOf(folder: string, host: NextHost): string {
  return `local: { domains: [localhost] }
accounts: { backends: [ { table: "table:people" } ] }
tables: { people: { map: { ada: "{PLAIN}sesame" } } }
filters:
  own: { module: "${join(folder, "hooks.ts")}" }
filtered-by: [own]
actions:
  plain: { relay: { to: "smtp://127.0.0.1:${host.smtpPort}" } }
  crypt: { relay: { to: "smtp+tls://127.0.0.1:${host.smtpPort}" } }
  post: { relay: { to: "lmtp://127.0.0.1:${host.lmtpPort}" } }
rules:
  - { match: { for: far.test }, action: plain }
  - { match: { for: tls.test }, action: crypt }
  - { match: { for: lmtp.test }, action: post }
  - { match: { for: local }, action: deliver }
scheduler: { retry: { relay: { by: list, waits: [2s, 5s] } } }
`;
}

function progress(name: string, watch: Watch, account: Account): string {
  const sample = watch.samples.at(-1);
  const total = (sample?.processes ?? []).reduce((sum, { pssKiB }) => sum + pssKiB, 0);
  const descriptors = (sample?.processes ?? []).reduce((sum, process) => sum + process.descriptors, 0);
  return (
    `${String(Math.round(watch.now() / 1000)).padStart(6)} s  ${name.padEnd(8)} ${(total / 1024).toFixed(0).padStart(5)} MiB  ` +
    `${String(descriptors).padStart(4)} descriptors  ${((sample?.spoolBytes ?? 0) / 1e6).toFixed(1).padStart(6)} MB spool  ` +
    `${account.promised} promised, ${account.owedCount} under way`
  );
}

function leftIn(queue: string): readonly string[] {
  const database = new DatabaseSync(join(queue, "queue.db"), { readOnly: true });
  const left = Number(database.prepare("SELECT count(*) AS n FROM envelopes").get()?.["n"]);
  database.close();
  const bodies = readdirSync(join(queue, "bodies"), { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  return [
    ...(left > 0 ? [`${left} envelopes are left in the queue`] : []),
    ...(bodies.length > 0 ? [`${bodies.length} body files are left that nobody owns`] : []),
  ];
}

/** What a server says only when something in it is wrong. */
function complaintsIn(server: TestServer): readonly string[] {
  const lines = server.output().split("\n");
  const found = lines.filter((line) =>
    /\b(panic|fatal|uncaught|unhandled|please report|out of memory|MaxListeners)\b/i.test(line),
  );
  return found.slice(0, 5).map((line) => `the log says: ${line.slice(0, 300)}`);
}
