import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { a, startDnsServer } from "../dns-server.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { freePort, LAYOUTS, ROOT, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

async function eventually(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const untilAt = Date.now() + 60_000; Date.now() < untilAt; await wait(50)) if (await is()) return;
  assert.fail(`not within 15 s: ${what}`);
}

/** Runs a command, which must end with `status`, and gives what it wrote. */
async function run(server: TestServer, status: number, ...argv: readonly string[]): Promise<string> {
  const ran = await server.posthorn(...argv);
  assert.equal(ran.status, status, `posthorn ${argv.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

/** A command that goes on until it is interrupted. */
function follow(server: TestServer, ...argv: readonly string[]) {
  const file = join(server.folder, "posthorn.yaml");
  const child = spawn(process.execPath, [join(ROOT, "bin", "posthorn.js"), ...argv, "--file", file], {
    cwd: server.folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (text += bytes.toString()));
  return {
    text: () => text,
    async end(): Promise<number | null> {
      const over = once(child, "close");
      child.kill("SIGINT");
      const [status] = await over;
      return typeof status === "number" ? status : null;
    },
  };
}

for (const layout of LAYOUTS) {
  test(`${layout}: an operator sees what waits and why, and steers it`, async () => {
    let isWelcome = false;
    await using host = await startScriptedHost({
      answer: (line) => (line.startsWith("RCPT") && !isWelcome ? "450 4.2.1 busy" : undefined),
    });
    const dead = await freePort();
    await using server = await startServer({
      layout,
      settings: `actions:
  out: { relay: { to: "smtp://127.0.0.1:${host.port}" } }
  dead: { relay: { to: "smtp://127.0.0.1:${dead}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local, for: dead.test }, action: dead }
  - { match: { from: local }, action: out }
scheduler: { retry: { relay: { by: quadratic, step: 1h } } }
route: { penalty-step: 5m }
`,
    });
    const send = (...to: readonly string[]): Promise<string> =>
      sendMail(server.ports.smtp, { from: "ann@localhost", to, content: "Subject: x\n\nx" });
    const idsOf = async (...filter: readonly string[]): Promise<readonly string[]> =>
      (await server.posthorn("queue", "list", "--json", ...filter)).stdout
        .split("\n")
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { envelope: string }).envelope);
    await send("1@x.test", "2@x.test", "3@x.test");
    await send("1@dead.test");
    await eventually("all are deferred", async () => (await idsOf("--state", "deferred")).length === 4);

    // What is shown.
    const routes = await run(server, 0, "show", "routes");
    assert.match(routes, /^FLAGS +NAME +CONN /);
    assert.match(
      routes,
      new RegExp(`^--Z-- +\\* > 127\\.0\\.0\\.1\\[127\\.0\\.0\\.1\\]:${dead} +0/1/\\d+ .*refused`, "m"),
    );
    assert.match(await run(server, 0, "show", "hosts", `:${host.port}`), /450 4\.2\.1 busy/);
    const relays = (await run(server, 0, "show", "relays", "--json"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; waiting: number; states: string[] });
    for (const [port, many] of [
      [host.port, 3],
      [dead, 1],
    ] as const) {
      const row = relays.find(({ name }) => name.endsWith(`:${port}`));
      assert.deepEqual([row?.waiting, row?.states.includes("queued")], [many, true], JSON.stringify(relays));
    }
    assert.match(await run(server, 0, "show", "domains", "x.test"), /^---Q- +x\.test .* 3 /m);
    await run(server, 0, "show", "sources");
    await run(server, 1, "show", "relays", "--state", "held");
    assert.match(await run(server, 0, "show", "stats"), /^deferred +4 +\d+ +4$/m);
    assert.match(await run(server, 0, "show", "stats"), /^failure reply +3 /m);
    assert.match(await run(server, 0, "show", "status"), /^flags +RESTING$/m);

    // Why it waits: the setting, where it was written, and when it ends.
    const [first = ""] = await idsOf("--domain", "x.test");
    const why = await run(server, 0, "why", first.split(".")[0] ?? "");
    assert.match(why, /<1@x\.test>, .*<3@x\.test>\n {2}waiting, 1 attempt, expires /);
    assert.match(why, /^ {2}last: .*450 4\.2\.1 busy/m);
    assert.match(
      why,
      /^ {2}1\. waits after attempt 1, until .* \[scheduler\.retry\.relay, .*posthorn\.yaml:\d+:\d+\]$/m,
    );
    assert.match(why, /^ {2}earliest: .* \(in (1h|59m)/m);
    await run(server, 1, "why", "00000000000");

    // When it is tried.
    assert.match(await run(server, 0, "schedule", first, "--in", "2h"), /^1 envelope due at .* \(in (2h|1h59m)\)$/m);
    assert.match(await run(server, 0, "why", first), /\(in (2h|1h59m)/);
    await run(server, 1, "schedule", "nobody.test", "--at", "23:59:59");
    await run(server, 1, "resume", "route", "nobody.test");
    assert.match(await run(server, 0, "resume", "route", `127.0.0.1:${dead}`), /^1 route forgiven$/m);
    assert.match(await run(server, 0, "show", "status"), /^flags +OK$/m);
    isWelcome = true;
    assert.match(await run(server, 0, "schedule", "x.test"), /^3 envelopes due now$/m);
    await host.waitForMails(1);
    await eventually("they are delivered", async () => (await idsOf("--domain", "x.test")).length === 0);

    // What was decided then; the journal is written within a moment.
    await eventually("the recording has it", async () => {
      const { stdout } = await server.posthorn("replay", first, "--since", "10m");
      return /transacted s\w+: .* sent \(/.test(stdout) && /written w\d+/.test(stdout);
    });
    await run(server, 1, "replay", "never.heard.of");

    // What it costs.
    const measuring = Promise.all([
      server.posthorn("profile", "queue", "2", "--json"),
      server.posthorn("profile", "scheduler", "2"),
    ]);
    const state = { isOver: false };
    void measuring.finally(() => (state.isOver = true));
    for (; !state.isOver; await wait(200)) await send("4@x.test");
    const [ofQueue, ofScheduler] = await measuring;
    const { rows } = JSON.parse(ofQueue.stdout) as { rows: { name: string; count: number; p99: number }[] };
    for (const name of ["write commit", "group: written and synced", "batches of a group"]) {
      const row = rows.find((one) => one.name === name);
      assert.ok(row !== undefined && row.count > 0 && row.p99 > 0, `${name}: ${ofQueue.stdout}`);
    }
    assert.match(ofScheduler.stdout, /^step queued +\d+ /m);
  });

  test(`${layout}: traces appear where they are asked for and in the log, for their time, without secrets`, async () => {
    await using host = await startScriptedHost();
    await using dns = await startDnsServer({ "mx.there.test": [a("127.0.0.1")] });
    await using server = await startServer({
      layout,
      settings: `dns: { servers: ["${dns.at}"] }
actions: { out: { relay: { to: "smtp://mx.there.test:${host.port}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`,
    });
    const send = (to: string): Promise<string> =>
      sendMail(server.ports.smtp, { from: "a@b.test", to, content: "Subject: x\n\nthe-body" });
    await run(server, 1, "trace");
    const scheduler = follow(server, "trace", "on", "scheduler", "--for", "1m");
    await run(server, 0, "trace", "mta", "--detach", "--for", "1m");
    await run(server, 0, "trace", "on", "smtp", "--detach", "--filter", "c@d.test");
    await run(server, 0, "trace", "on", "dns", "--detach");
    await eventually(
      "all are on",
      async () => (await server.posthorn("trace", "--json")).stdout.split("\n").length === 5,
    );
    // The processes hear of it.
    await wait(1000);
    await send("c@d.test");
    await host.waitForMails(1);
    await server.waitForOutput(
      /posthorn\/smtp\[\d+\]: trace mta: s\w+ mx\.there\.test\[127\.0\.0\.1\]:\d+ .*C: RCPT TO:<c@d\.test>/,
    );
    await server.waitForOutput(/trace mta: .*C: \[\d+ bytes of content\]/);
    await server.waitForOutput(/trace mta: .*S: 250/);
    await server.waitForOutput(
      /trace dns: A mx\.there\.test @127\.0\.0\.1:\d+: NOERROR: A 127\.0\.0\.1 \(\d+ s\), \d+ ms/,
    );
    await server.waitForOutput(/posthorn\/smtpd\[\d+\]: trace smtp: .*C: RCPT TO:<c@d\.test>/);
    await server.waitForOutput(/posthorn\/qmgr\[\d+\]: trace scheduler: connected s\w+: ready in .* => .*transact/);
    await eventually("the one who asked has it too", async () =>
      /trace scheduler: .*=> .*transact s/.test(scheduler.text()),
    );
    assert.doesNotMatch(server.output(), /the-body|trace smtp: .*C: DATA/);
    assert.equal(await scheduler.end(), 0);
    await eventually(
      "that trace ended with it",
      async () => !(await server.posthorn("trace")).stdout.includes("scheduler"),
    );
    assert.match(await run(server, 0, "trace"), /^mta +all +\d+s$/m);
    assert.match(await run(server, 0, "trace", "off"), /^3 traces ended$/m);
    await wait(1000);
    const before = server.output().match(/trace (mta|smtp|scheduler|dns): /g)?.length;
    await send("e@d.test");
    await host.waitForMails(2);
    await wait(200);
    assert.equal(server.output().match(/trace (mta|smtp|scheduler|dns): /g)?.length, before);

    // A look that goes on survives a restart of what it looks at.
    const stats = follow(server, "show", "stats", "--watch", "0.3");
    await eventually("it looks", async () => /^delivered +2 /m.test(stats.text()));
    const looks = (): number => stats.text().match(/^delivered /gm)?.length ?? 0;
    const few = looks();
    await eventually("it looks again", async () => looks() > few);
    await server.stop();
    await eventually("it waits", async () => stats.text().includes("the server is not there"));
    await using again = await startServer({
      layout,
      folder: server.folder,
      ports: server.ports,
      settings: "rules: [ { match: { for: local }, action: deliver } ]\n",
    });
    const seen = looks();
    await eventually("it looks at the new one", async () => looks() > seen);
    assert.equal(await stats.end(), 0);
    await again.stop();
  });
}

test("split: reception stays paused when a receiving process is started again, and goes on when the scheduler is", async () => {
  await using server = await startServer({ layout: "split" });
  const mail = { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nx" };
  const answers = async (wanted: string): Promise<boolean> =>
    (await sendMail(server.ports.smtp, mail).catch(() => "")).startsWith(wanted);
  const again = async (isMeant: (name: string) => boolean): Promise<void> => {
    const before = [...server.workers()].filter(([name]) => isMeant(name));
    for (const [, pid] of before) process.kill(pid, "SIGKILL");
    await eventually("they are there again", () => {
      const now = server.workers();
      return Promise.resolve(before.every(([name, pid]) => ![undefined, pid].includes(now.get(name))));
    });
  };
  await run(server, 0, "pause", "in", "--because", "a new disk");
  await eventually("mail is put off", () => answers("450 4.3.2 "));
  await again((name) => name.startsWith("ingress-"));
  await eventually("mail is put off again", () => answers("450 4.3.2 "));
  await again((name) => name === "scheduler");
  await eventually("mail is taken", () => answers("250 "));
  const status = await run(server, 0, "show", "status");
  assert.match(status, /^flags +RESTARTED$/m);
  assert.doesNotMatch(status, /^PAUSED/m);
});
