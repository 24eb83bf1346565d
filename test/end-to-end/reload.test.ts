import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { hangUp } from "../hang-up.ts";
import { freePort, LAYOUTS, ROOT, startServer, type TestServer } from "../server.ts";
import { startSink } from "../sink.ts";
import { sendMail, smtpConnect, type TestClient } from "../smtp-client.ts";

const refusing = (code: number): string =>
  `rules: [ { match: { for: refused.test }, action: no }, { match: { for: local }, action: deliver } ]
actions: { no: { reject: { code: ${code}, text: as the settings say } } }
`;

for (const layout of LAYOUTS)
  test(`${layout}: a reload takes all of the new settings, or none; a running session keeps those it began with`, async (t) => {
    await using server = await startServer({ layout, settings: refusing(550) });
    const session = await smtpConnect(server.ports.smtp);
    t.after(() => session.close());
    await session.reply();
    await session.say("EHLO c.test");
    await session.say("MAIL FROM:<a@b.test>");
    assert.match(await session.say("RCPT TO:<x@refused.test>"), /^550 5\.7\.1 as the settings say/);

    server.rewrite({ settings: refusing(553) });
    assert.match(await hangUp(server), /^reload -- settings .*posthorn\.yaml in force, asked by SIGHUP/);
    assert.match(await session.say("RCPT TO:<x@refused.test>"), /^550 /, "the session began under the old ones");
    const mail = { from: "a@b.test", to: "x@refused.test", content: "x" };
    assert.match(await sendMail(server.ports.smtp, mail), /^553 /);

    // Broken: refused with the words of `posthornd -n`, and nothing changes.
    server.rewrite({ settings: `${refusing(554)}quue: {}\nscheduler: { expireAfter: soon }\n` });
    const checked = spawnSync(
      process.execPath,
      [join(ROOT, "bin", "posthornd.js"), "-n", "-f", join(server.folder, "posthorn.yaml")],
      { encoding: "utf8" },
    );
    assert.equal(checked.status, 78);
    const refused = await hangUp(server);
    const problems = checked.stderr.trim().split("\n");
    assert.ok(problems.length >= 2, checked.stderr);
    for (const problem of problems) {
      assert.match(problem, /posthorn\.yaml:\d+:\d+/);
      assert.ok(refused.includes(problem), `${problem}\nis not in\n${refused}`);
    }
    assert.match(await sendMail(server.ports.smtp, mail), /^553 /);

    // A port that another program has: refused, and the listener that is new beside it is gone again.
    const [extra, taken] = [await freePort(), await freePort()];
    const other = createServer().listen(taken, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const whole = (more: string, code: number): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 2 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp }
${more}${refusing(code)}`;
    const listener = (name: string, port: number): string =>
      `  - { name: ${name}, address: 127.0.0.1, port: ${port}, protocol: smtp }\n`;
    server.rewrite({ wholeSettings: whole(listener("extra", extra) + listener("taken", taken), 554) });
    assert.match(
      await hangUp(server),
      new RegExp(`reload refused.*listener taken.* 127\\.0\\.0\\.1:${taken}: .*EADDRINUSE`),
    );
    await assert.rejects(smtpConnect(extra), { code: "ECONNREFUSED" });
    assert.match(await sendMail(server.ports.submission, mail), /^5/, "the old listeners are still there");
    assert.match(await sendMail(server.ports.smtp, mail), /^553 /);

    // A listener more, two less.
    server.rewrite({ wholeSettings: whole(listener("extra", extra), 551) });
    assert.match(await hangUp(server), /^reload -- /);
    assert.match(await sendMail(extra, mail), /^551 /);
    assert.match(await sendMail(server.ports.smtp, mail), /^551 /);
    await assert.rejects(smtpConnect(server.ports.submission), { code: "ECONNREFUSED" });

    // The old session is still alive, and its mail goes through.
    await session.say("RCPT TO:<ada@localhost>");
    await session.say("DATA");
    session.send("Subject: of the old session\r\n\r\nx\r\n.\r\n");
    assert.match(await session.reply(), /^250 /);
    await server.waitForMails("ada", 1);
    assert.match(await session.say("QUIT"), /^221 /);
    assert.equal(await server.stop(), 0);
  });

for (const layout of LAYOUTS)
  test(`${layout}: a listener goes to another address of its port, and back, and to another name; a refused reload leaves the one before`, async (t) => {
    const whole = (listeners: readonly string[], code: number): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 2 }
listeners:
${listeners.map((listener) => `  - { ${listener}, protocol: smtp }\n`).join("")}${refusing(code)}`;
    const at = (address: string, name = "smtp"): string => `name: ${name}, address: ${address}, port: {smtp}`;
    await using server = await startServer({ layout, wholeSettings: whole([at("127.0.0.1")], 550) });
    const mail = { from: "a@b.test", to: "x@refused.test", content: "x" };
    const session = await smtpConnect(server.ports.smtp);
    t.after(() => session.close());
    await session.reply();
    // At no moment of it does nobody listen. (Who connects in the very moment in which a socket closes may be cut off.)
    const over = new AbortController();
    const knocking = (async () => {
      const heard = { served: 0, turnedAway: 0 };
      while (!over.signal.aborted)
        try {
          await sendMail(server.ports.smtp, mail);
          heard.served++;
        } catch (error) {
          if (error instanceof Error && "code" in error && error.code === "ECONNREFUSED") heard.turnedAway++;
        }
      return heard;
    })();
    t.after(() => over.abort());

    let code = 550;
    for (const listeners of [
      [at("0.0.0.0")],
      ["name: mx, port: {smtp}"],
      ["name: renamed, port: {smtp}"],
      [at("127.0.0.1"), at("127.0.0.2", "b")],
    ]) {
      server.rewrite({ wholeSettings: whole(listeners, ++code) });
      assert.match(await hangUp(server), /^reload -- /, JSON.stringify(listeners));
      assert.match(await sendMail(server.ports.smtp, mail), new RegExp(`^${code} `));
    }
    // Two of which each takes what the other wants: refused, as at a start.
    server.rewrite({ wholeSettings: whole([at("0.0.0.0"), at("127.0.0.1", "mx")], 560) });
    assert.match(await hangUp(server), /^reload refused.*EADDRINUSE/);
    assert.match(await sendMail(server.ports.smtp, mail), /^554 /);
    // Another program is in the way of the new one.
    const other = createServer().listen(server.ports.submission, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const taken = "name: taken, address: 127.0.0.1, port: {submission}";
    server.rewrite({ wholeSettings: whole([at("0.0.0.0"), taken], 560) });
    assert.match(await hangUp(server), /^reload refused.*listener taken.*EADDRINUSE/);
    assert.match(await sendMail(server.ports.smtp, mail), /^554 /);
    over.abort();
    const { served, turnedAway } = await knocking;
    assert.ok(served > 0);
    assert.equal(turnedAway, 0);
    // No other server gets in beside ours.
    const second = createServer().listen(server.ports.smtp, "127.0.0.1");
    const [refused] = await once(second, "error");
    assert.match(String(refused), /EADDRINUSE/);
    assert.match(await session.say("NOOP"), /^250 /);
    assert.equal(await server.stop(), 0);
  });

test("split: what the first process with new settings receives goes the way of those, while others still start", async (t) => {
  await using before = await startSink();
  await using after = await startSink();
  // The modules of hooks ask this one whether they may go on: the first may at once, the second when it is said.
  const waiting: Socket[] = [];
  let asked = 0;
  const gate = createServer((socket) => {
    socket.on("error", () => {});
    if (++asked === 1) socket.end("go");
    else waiting.push(socket);
  }).listen(0, "127.0.0.1");
  t.after(() => gate.close());
  await once(gate, "listening");
  const address = gate.address();
  assert.ok(address !== null && typeof address === "object");
  const settings = (relay: number, code: number, more = ""): string =>
    `rules:
  - { match: { for: refused.test }, action: no }
  - { match: { for: far.test }, action: out }
actions:
  no: { reject: { code: ${code}, text: as the settings say } }
  out: { relay: { to: "smtp://127.0.0.1:${relay}" } }
${more}`;
  await using server = await startServer({ layout: "split", settings: settings(before.port, 550) });
  const more = "filters: { own: { module: ./hooks.ts, timeout: 60s } }\nfiltered-by: [own]\n";
  const file = join(server.folder, "hooks.ts");
  // Refused when the scheduler has heard of the new ones already: it goes back to the old ones.
  writeFileSync(file, 'import { defineHooks } from "posthorn";\nexport default defineHooks({});\n');
  server.rewrite({ settings: settings(after.port, 551, more) });
  assert.match(await hangUp(server), /^reload refused/);
  assert.match(await sendMail(server.ports.smtp, { from: "a@b.test", to: "old@far.test", content: "x" }), /^250 /);
  await waitFor(() => before.taken.length + after.taken.length === 1, server);
  assert.equal(before.taken[0]?.recipient, "old@far.test");

  writeFileSync(
    file,
    `import { once } from "node:events";
import { connect } from "node:net";
import { defineHooks } from "posthorn";
const socket = connect(${address.port}, "127.0.0.1");
socket.resume();
await once(socket, "close");
export default defineHooks({ onHelo: () => undefined });
`,
  );
  server.rewrite({ settings: settings(after.port, 553, more) });
  server.process.kill("SIGHUP");
  await waitFor(() => waiting.length === 1, server);
  // As many as it takes for one of them to come to the process with the new settings.
  const way = await receivedByNew(server);
  assert.equal(waiting.length, 1, "the other one is still to come");
  for (const socket of waiting) socket.end("go");
  await server.waitForOutput(/reload -- /);
  await waitFor(() => [...before.taken, ...after.taken].some(({ recipient }) => recipient === way), server);
  assert.deepEqual(
    before.taken.filter(({ recipient }) => recipient === way),
    [],
  );
  assert.equal(await server.stop(), 0);
});

/** A recipient of a mail in a session that has shown that it has the new settings. Many knock at once, for all processes to get some. */
async function receivedByNew(server: TestServer): Promise<string> {
  const untilAt = Date.now() + 60_000;
  for (let round = 0; ; round++) {
    const sessions = await Promise.all(Array.from({ length: 40 }, () => smtpConnect(server.ports.smtp)));
    try {
      for (const session of sessions) {
        await session.reply();
        await session.say("EHLO c.test");
        await session.say("MAIL FROM:<a@b.test>");
        if (!(await session.say("RCPT TO:<x@refused.test>")).startsWith("553 ")) continue;
        const to = `new-${round}@far.test`;
        assert.match(await session.say(`RCPT TO:<${to}>`), /^250 /);
        await session.say("DATA");
        session.send("Subject: x\r\n\r\nx\r\n.\r\n");
        assert.match(await session.reply(), /^250 /);
        return to;
      }
    } finally {
      for (const session of sessions) session.close();
    }
    assert.ok(Date.now() < untilAt, "no session has the new settings");
  }
}

async function waitFor(is: () => boolean, server: TestServer): Promise<void> {
  const untilAt = Date.now() + 60_000;
  while (!is()) {
    assert.ok(Date.now() < untilAt, server.output().slice(-3000));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether reception is paused is told to the processes one by one: asks until it is as it should be. */
async function untilMailIs(session: TestClient, expected: RegExp): Promise<void> {
  const untilAt = Date.now() + 20_000;
  for (;;) {
    const said = await session.say("MAIL FROM:<a@b.test>");
    if (said.startsWith("2")) await session.say("RSET");
    if (expected.test(said)) return;
    if (Date.now() > untilAt) throw new Error(`MAIL is answered ${said}, not ${String(expected)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

for (const layout of LAYOUTS)
  test(`${layout}: a pause of reception, and its end, reach the sessions that began before a reload`, async (t) => {
    await using server = await startServer({ layout, settings: refusing(550) });
    const session = await smtpConnect(server.ports.smtp);
    t.after(() => session.close());
    await session.reply();
    await session.say("EHLO c.test");
    server.rewrite({ settings: refusing(553) });
    assert.match(await hangUp(server), /^reload -- /);

    assert.equal((await server.posthorn("pause", "in", "--because", "a new disk")).status, 0);
    await untilMailIs(session, /^450 4\.3\.2 /);
    server.rewrite({ settings: refusing(554) });
    assert.match(await hangUp(server), /^reload -- /);
    assert.equal((await server.posthorn("resume", "in")).status, 0);
    await untilMailIs(session, /^250 /);
    assert.match(await session.say("QUIT"), /^221 /);
    assert.equal(await server.stop(), 0);
  });

for (const layout of LAYOUTS)
  test(`${layout}: settings that mend the way of mail free it at once, however long it would wait by its schedule`, async () => {
    await using sink = await startSink();
    const nobody = await freePort();
    const settings = (
      more: string,
    ): string => `scheduler: { retry: { relay: { by: list, waits: [12h] }, internal: 1h } }
${more}`;
    const leadingTo = (port: number): string =>
      settings(`rules: [ { match: { for: away.test }, action: later } ]
actions: { later: { relay: { to: "smtp://127.0.0.1:${port}" } } }
`);
    await using server = await startServer({ layout, settings: leadingTo(nobody) });
    const mail = { from: "a@b.test", to: "x@away.test", content: "x" };
    assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
    await server.waitForOutput(/status=deferred.*refused/);

    server.rewrite({ settings: settings("rules: [ { match: { for: local }, action: deliver } ]\n") });
    assert.match(await hangUp(server), /^reload -- /);
    await server.waitForOutput(/status=deferred.*there is no action "later"/);

    server.rewrite({ settings: leadingTo(sink.port) });
    assert.match(await hangUp(server), /^reload -- /);
    await server.waitForOutput(/status=sent/);
    assert.deepEqual(
      sink.taken.map(({ recipient }) => recipient),
      ["x@away.test"],
    );
    assert.equal(await server.stop(), 0);
  });

test("split: a log that its process may not move stays where it is, and the reload says what takes a restart", async () => {
  const logTo = (path: string): string => `log: { to: "file:${path}" }\n`;
  await using server = await startServer({ layout: "split" });
  const first = join(server.folder, "first");
  mkdirSync(first);
  chmodSync(first, 0o777);
  server.rewrite({ settings: logTo(join(first, "log")) });
  assert.match(await hangUp(server), /^reload -- .* in force, asked by SIGHUP; only after a restart: log\.to/);
  const mail = { from: "a@b.test", to: "ada@localhost", content: "x" };
  assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
  await server.waitForMails("ada", 1);
  const untilAt = Date.now() + 60_000;
  while (!/disconnect from/.test(server.output().split("reload --").at(-1) ?? "")) {
    assert.ok(Date.now() < untilAt, "the log goes on where it was");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.match(server.output(), /error: log: .*first\/log: this process may write only where it was told at its start/);
  assert.equal(existsSync(join(first, "log")), false);

  // What is told is told against the start, not against settings that never came into force.
  server.rewrite({ settings: logTo(join(first, "other")) });
  assert.match(await hangUp(server), /; only after a restart: log\.to/);
  const writer = server.workers().get("log");
  assert.ok(writer !== undefined);
  process.kill(writer, "SIGKILL");
  await server.waitForOutput(/process log pid \d+ ended: signal SIGKILL/);
  server.rewrite({ settings: "" });
  assert.doesNotMatch(await hangUp(server), /restart/);
  assert.equal(await server.stop(), 0);
});

test("single: what the check warns of is told at a reload as it is at a start", async () => {
  await using server = await startServer({ layout: "single" });
  server.rewrite({
    settings: 'filters: { idle: { builtin: { phase: connect, match: { rdns: "x" }, action: junk } } }\n',
  });
  assert.match(await hangUp(server), /^reload -- /);
  await server.waitForOutput(/posthorn\.yaml:\d+:\d+: warning: filters\.idle: this filter is never asked/);
  assert.equal(await server.stop(), 0);
});
