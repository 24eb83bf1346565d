import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../../src/foundation/random.ts";
import { freePort, startServer, type Layout, type TestServer } from "../../server.ts";
import { pictureOf } from "../../processes.ts";
import { startLoad, type Account, type Addressed } from "../server-load.ts";
import { until, type Life, type Victim } from "./fault.ts";
import { ALIAS, NEXT_HOST, REFUSED, startNeighbours, type Neighbours } from "./neighbours.ts";

/**
 * A server under load, and somebody who watches over it as systemd does: whenever its first process ends, for whatever
 * reason, it is started again after a moment.
 */
export interface WatchedLife extends Life, AsyncDisposable {
  /** How often the server ended without having been asked to. */
  ends(): number;
  /** All that its processes wrote, over all starts. */
  output(): string;
  /** Its processes now: what each is, what it does or waits for, who traces it. For whoever asks why it stands still. */
  picture(): string;
  /** Waits until it is up. */
  up(withinMs: number): Promise<TestServer>;
  /** No more watching: stops it in good order. Gives the exit status. */
  stop(): Promise<number | null>;
}

const SENDER = "sender@localhost";
const CLIENTS = 5;
const RESTART_MS = 300;
/** On a slow machine, with others beside it. */
const STARTS_WITHIN_MS = 180_000;
/** Recordings of writes are read as a whole. */
const LARGEST_BYTES = 90_000;

/** Mail of all kinds: Maildirs, one mbox, a next host found by DNS, an alias that a backend knows, somebody unknown there. */
function recipientsOf(random: Random): readonly Addressed[] {
  const is = (to: string): Addressed => ({ to, arrivesAt: to });
  const user = is(`${["ada", "bob", "cid"][Math.floor(random.next() * 3)] ?? "ada"}@localhost`);
  const draw = random.next();
  if (draw < 0.25) return [user];
  if (draw < 0.35) return [is("box@box.test")];
  if (draw < 0.6) return [is("one@far.test")];
  if (draw < 0.72) return [is("one@far.test"), is("two@far.test")];
  if (draw < 0.77) return [is(REFUSED)];
  if (draw < 0.87) return [{ to: ALIAS.from, arrivesAt: ALIAS.to }];
  return [user, is("box@box.test"), is("one@far.test")];
}

function settingsFor(neighbours: Neighbours, sinkPort: number): string {
  return `local:
  domains: [localhost, box.test]
  virtual: [{ domains: [tab.test], aliases: "table:people" }]
tables:
  people: { socketmap: { hosts: "127.0.0.1:${neighbours.tables.port}", query-timeout: 500ms, longest-pause: 1s } }
dns: { servers: ["127.0.0.1:${neighbours.dns.port}"], longest-ttl: 0s, failure-ttl: 0s, try-timeout: 200ms, timeout: 1s }
actions:
  box: { deliver: mbox }
  out: { relay: { to: "smtp://${NEXT_HOST}:${sinkPort}" } }
rules:
  - { match: { for: box.test }, action: box }
  - { match: { for: far.test }, action: out }
  - { match: { for: local }, action: deliver }
queue: { min-free-bytes: 0, min-free-inodes: 0 }
scheduler:
  warn-after: 0s
  retry:
    internal: 1s
    relay: { by: list, waits: [1s] }
    local: { by: list, waits: [1s] }
route: { penaltyStep: 1s, longestRest: 1s }
`;
}

export async function beginLife(options: { layout: Layout; folder: string; random: Random }): Promise<WatchedLife> {
  const { layout, folder, random } = options;
  const neighbours = await startNeighbours();
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const account: Account = await startLoad({
    port: ports.smtp,
    clients: CLIENTS,
    random,
    pauseMs: 20,
    sender: SENDER,
    recipients: recipientsOf,
    largestBytes: LARGEST_BYTES,
    manner: neighbours.manner,
  });
  const starting: Life["starting"] = { wrapper: [], env: {} };
  let server: TestServer | undefined;
  let root: number | undefined;
  const over = new AbortController();
  let ends = 0;
  let earlier = "";
  /** What must be done before the next start. */
  let holdBack: Promise<unknown> = Promise.resolve();

  const watch = async (): Promise<void> => {
    while (!over.signal.aborted) {
      try {
        const started = await startServer({
          layout,
          folder,
          ports,
          settings: settingsFor(neighbours, account.sink.port),
          readyWithinMs: STARTS_WITHIN_MS,
          wrapper: starting.wrapper,
          env: starting.env,
          onSpawn: (pid) => (root = pid),
        });
        server = started;
        if (started.process.exitCode === null && started.process.signalCode === null)
          await once(started.process, "exit");
        server = undefined;
        root = undefined;
        // Workers of a server that has gone are taken along.
        await started.kill();
        earlier += started.output();
      } catch (thrown) {
        earlier += `${String(thrown)}\n`;
      }
      root = undefined;
      if (over.signal.aborted) return;
      ends++;
      earlier += "---- the server has ended\n";
      await wait(RESTART_MS);
      await holdBack;
    }
  };
  let watching: Promise<void> | undefined;

  const life: WatchedLife = {
    layout,
    folder,
    random,
    account,
    neighbours,
    starting,
    server: () => server,
    root: () => root,
    processes(): readonly Victim[] {
      if (server === undefined || root === undefined) return [];
      if (layout === "single") return [{ name: "server", pid: root }];
      return [...server.workers()].map(([name, pid]) => ({ name, pid }));
    },
    async killServer() {
      if (root === undefined) return;
      const group = root;
      try {
        process.kill(-group, "SIGKILL");
      } catch {
        // It has gone by itself.
      }
      await until(() => root !== group, 15_000);
    },
    async killServerAnd(kill, work) {
      const done = Promise.withResolvers<void>();
      holdBack = done.promise;
      try {
        await kill();
        await until(() => root === undefined, 30_000);
        work();
      } finally {
        done.resolve();
      }
    },
    ends: () => ends,
    output: () => earlier + (server?.output() ?? ""),
    picture: () => (root === undefined ? "no process of the server is there" : pictureOf(root)),
    async up(withinMs) {
      watching ??= watch();
      await until(() => server !== undefined, withinMs);
      if (server === undefined) throw new Error(`the server is not up:\n${earlier.slice(-6000)}`);
      return server;
    },
    async stop() {
      // One that ended by itself is being started again: whoever stopped watching now would leave it running.
      const last = await life.up(STARTS_WITHIN_MS);
      over.abort();
      const status = await last.stop();
      await watching;
      return status;
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await life.killServer();
      await watching;
      await account[Symbol.asyncDispose]();
      await neighbours[Symbol.asyncDispose]();
      appendFileSync(join(folder, "all-output.log"), earlier);
    },
  };
  return life;
}
