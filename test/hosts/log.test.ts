import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { JournalQuery } from "../../src/mail/log/journal-query.io.ts";
import { replay } from "../../src/mail/scheduler/replay/replay.ts";
import { HANG_UP, startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

const CONTROLS = "\u001b[31mred\u001b[0m\u0007\u009b2J";
/** Whatever a terminal or a log reader would act on, line ends apart. */
// eslint-disable-next-line no-control-regex -- that is what is looked for
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

function assertHarmless(text: string, where: string): void {
  const found = ACTING.exec(text);
  assert.equal(
    found,
    null,
    `${where}: ${JSON.stringify(text.slice(Math.max(0, (found?.index ?? 0) - 100)).slice(0, 200))}`,
  );
}

/** A server whose next host takes `good@`, refuses `bad@`, has `later@` come again, and hangs up on `421@` after speaking. */
async function worldOf(
  layout: Layout,
  more = "",
  words = "",
): Promise<{ server: TestServer; lmtpPath: string } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const lmtpPath = join(tmpdir(), `posthorn-lmtp-${process.pid}-${layout}`);
  const host = stack.use(
    await startScriptedHost({
      answer(line, session) {
        if (line.startsWith("RCPT TO:<bad@")) return `550 5.1.1 nobody ${words}here`;
        if (line.startsWith("RCPT TO:<later@")) return `450 4.2.1 not ${words}now`;
        if (line === "." && session.lines.some((one) => one.startsWith("RCPT TO:<bye@"))) {
          session.socket.end(`554 5.6.0 ${words}no more of this\r\n`);
          return HANG_UP;
        }
        return undefined;
      },
    }),
  );
  const readyWhen = more.includes("format: json") ? /"event":"server\.started"/ : undefined;
  const server = await startServer({
    layout,
    ...(readyWhen === undefined ? {} : { readyWhen }),
    settings: `actions:
  out: { relay: { to: "smtp://127.0.0.1:${host.port}" } }
  down: { relay: { to: "smtp://127.0.0.1:9" } }
  lmtp-down: { relay: { to: "lmtp://127.0.0.2:9" } }
  lmtp: { relay: { to: "lmtp+unix:${lmtpPath}" } }
  nowhere: { deliver: discard }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { for: lmtp.test }, action: lmtp }
  - { match: { for: lmtp-down.test }, action: lmtp-down }
  - { match: { for: discard.test }, action: nowhere }
  - { match: { for: down.test }, action: down }
  - { match: { from: local }, action: out }
${more}`,
  }).catch(async (error: unknown) => {
    await stack.disposeAsync();
    throw error;
  });
  stack.use(server);
  return { server, lmtpPath, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

for (const layout of LAYOUTS) {
  test(`${layout}: each end of an attempt has Postfix's line, by who made it`, async () => {
    await using world = await worldOf(layout);
    const { server } = world;
    await using lmtp = await startScriptedHost({
      path: world.lmtpPath,
      isLmtp: true,
      extensions: ["PIPELINING", "ENHANCEDSTATUSCODES"],
      answer: (line, session) =>
        line === "." && session.lines.filter((one) => one.startsWith("RCPT")).length === 2
          ? "250 2.1.5 kept one\r\n452 4.2.2 the other is full"
          : undefined,
    });
    const send = async (...to: readonly string[]): Promise<void> => {
      const reply = await sendMail(server.ports.smtp, {
        from: "ann@localhost",
        to,
        content: "Message-ID: <m@here.test>\n\nx",
      });
      assert.match(reply, /^250 /);
    };
    await send("good@x.test");
    await send("bad@x.test");
    await send("later@x.test");
    await send("bye@x.test");
    await send("bob+lists@localhost");
    await send("one@lmtp.test", "two@lmtp.test");
    await send("any@discard.test");
    await send("any@down.test");
    await send("any@lmtp-down.test");
    const timing = String.raw`delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+`;
    const relay = String.raw`relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+`;
    for (const line of [
      `smtp\\[\\d+\\]: \\w+: to=<good@x\\.test>, ${relay}, ${timing}, dsn=2\\.0\\.0, status=sent \\(250 2\\.0\\.0 taken\\)`,
      `smtp\\[\\d+\\]: \\w+: to=<bad@x\\.test>, ${relay}, ${timing}, dsn=5\\.1\\.1, status=bounced \\(host \\S+ said: 550 5\\.1\\.1 nobody here \\(in reply to RCPT`,
      `smtp\\[\\d+\\]: \\w+: to=<later@x\\.test>, ${relay}, ${timing}, dsn=4\\.2\\.1, status=deferred \\(host \\S+ said: 450 4\\.2\\.1 not now \\(in reply to RCPT`,
      // The reply came together with the hang-up: it is the answer.
      `smtp\\[\\d+\\]: \\w+: to=<bye@x\\.test>, ${relay}, ${timing}, dsn=5\\.6\\.0, status=bounced \\(host \\S+ said: 554 5\\.6\\.0 no more of this`,
      `local\\[\\d+\\]: \\w+: to=<bob\\+lists@localhost>, relay=\\S+, ${timing}, dsn=2\\.\\d\\.\\d, status=sent`,
      `lmtp\\[\\d+\\]: \\w+: to=<one@lmtp\\.test>, relay=\\S*\\[/\\S+\\], ${timing}, dsn=2\\.1\\.5, status=sent \\(250 2\\.1\\.5 kept one\\)`,
      `lmtp\\[\\d+\\]: \\w+: to=<two@lmtp\\.test>, relay=\\S*\\[/\\S+\\], ${timing}, dsn=4\\.2\\.2, status=deferred \\(host \\S+ said: 452 4\\.2\\.2 the other is full`,
      `discard\\[\\d+\\]: \\w+: to=<any@discard\\.test>, relay=\\S+, ${timing}, dsn=2\\.\\d\\.\\d, status=sent`,
      `smtp\\[\\d+\\]: connect to 127\\.0\\.0\\.1\\[127\\.0\\.0\\.1\\]:9: Connection refused`,
      `smtp\\[\\d+\\]: \\w+: to=<any@down\\.test>, relay=none, ${timing}, dsn=4\\.4\\.1, status=deferred \\(connect to 127\\.0\\.0\\.1\\[127\\.0\\.0\\.1\\]:9: Connection refused\\)`,
      String.raw`lmtp\[\d+\]: connect to 127\.0\.0\.2\[127\.0\.0\.2\]:9: Connection refused`,
      String.raw`smtpd\[\d+\]: \w+: client=localhost\[127\.0\.0\.1\]`,
      String.raw`cleanup\[\d+\]: \w+: message-id=<m@here\.test>`,
      String.raw`qmgr\[\d+\]: \w+: from=<ann@localhost>, size=\d+, nrcpt=2 \(queue active\)`,
      String.raw`qmgr\[\d+\]: \w+: removed`,
      String.raw`smtpd\[\d+\]: disconnect from localhost\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6`,
    ])
      await server.waitForOutput(new RegExp(`posthorn/${line}`));
    assert.equal(lmtp.mails.length, 1);
    assert.ok(lmtp.sessions[0]?.lines[0]?.startsWith("LHLO "));

    for (const [verb, after] of [
      [["EHLO c.test", "MAIL FROM:<a@b.test>"], "MAIL"],
      [["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@localhost>"], "RCPT"],
      [["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@localhost>", "DATA"], "DATA"],
      [["EHLO c.test", "STARTTLS"], "STARTTLS"],
      [[], "CONNECT"],
    ] as const) {
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      for (const line of verb) await client.say(line);
      client.close();
      await server.waitForOutput(new RegExp(`lost connection after ${after}.* from localhost\\[127\\.0\\.0\\.1\\]`));
    }
  });

  test(`${layout}: nothing that a peer says acts on a terminal, in any sink or command`, async () => {
    await using world = await worldOf(layout, "", CONTROLS);
    const { server } = world;
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    for (const line of [
      `EHLO ${CONTROLS}`,
      "EHLO evil.test",
      `MAIL FROM:<"${CONTROLS}"@b.test>`,
      `VRFY ${CONTROLS}`,
      `NONSENSE${CONTROLS}`,
      "MAIL FROM:<ann@localhost>",
      `RCPT TO:<${CONTROLS}@localhost>`,
    ])
      await client.say(line);
    for (const line of ["RCPT TO:<bad@x.test>", "RCPT TO:<later@x.test>", "RCPT TO:<bye@x.test>", "DATA"])
      assert.match(await client.say(line), /^[23]/);
    client.send(Buffer.from(`Message-ID: <${CONTROLS}@m>\r\nSubject: ${CONTROLS}\r\n\r\nx\r\n.\r\n`, "latin1"));
    const message = /as (\w+)/.exec(await client.reply())?.[1] ?? "";
    await client.say("QUIT");
    await server.waitForOutput(/to=<later@x\.test>.*status=deferred/);
    await server.waitForOutput(/\\x1b\[31mred/);
    assertHarmless(server.output(), "standard output");
    for (const argv of [
      ["log", message],
      ["log", message, "--json"],
      ["log", "--to", "later@x.test"],
      ["log", "--sql", "SELECT * FROM events"],
      ["queue", "list"],
      ["queue", "list", "--json"],
      ["queue", "show", message, "--headers"],
      ["queue", "show", message, "--json"],
      ["routes"],
      ["status"],
    ]) {
      const { stdout, stderr, status } = await server.posthorn(...argv);
      assert.equal(status, 0, `${argv.join(" ")}: ${stderr}`);
      assertHarmless(stdout.replaceAll("\t", " "), argv.join(" "));
      assertHarmless(stderr, argv.join(" "));
    }
  });

  test(`${layout}: as JSON the log has the same events, one object a line`, async () => {
    await using world = await worldOf(layout, "log: { format: json }\n", CONTROLS);
    const { server } = world;
    await sendMail(server.ports.smtp, {
      from: "ann@localhost",
      to: ["good@x.test", "bad@x.test"],
      content: `Message-ID: <${CONTROLS}@m>\n\nx`,
    });
    await server.waitForOutput(/"event":"queue\.removed"/);
    assertHarmless(server.output(), "standard output");
    const events = server
      .output()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const sent = events.find((event) => event["event"] === "delivery.smtp");
    assert.deepEqual(
      [sent?.["to"], sent?.["status"], sent?.["dsn"], sent?.["reply"]],
      ["good@x.test", "sent", "2.0.0", "250 2.0.0 taken"],
    );
    assert.match(String(sent?.["time"]), /^\d{4}-\d\d-\d\dT/);
  });

  test(`${layout}: a run's journal, replayed, gives the same decisions`, async () => {
    await using world = await worldOf(layout, "scheduler: { retry: { relay: { by: list, waits: [1s] } } }\n");
    const { server } = world;
    for (const to of [
      ["good@x.test", "bad@x.test", "later@x.test"],
      ["bob@localhost"],
      ["any@down.test"],
      ["bye@x.test"],
    ])
      await sendMail(server.ports.smtp, { from: "ann@localhost", to, content: "x" });
    await server.waitForOutput(/to=<later@x\.test>.*status=deferred[\s\S]*to=<later@x\.test>.*status=deferred/);
    await server.posthorn("queue", "hold", "--domain", "x.test", "--because", "a look");
    await server.posthorn("queue", "release", "--domain", "x.test");
    await server.posthorn("queue", "bounce", "--domain", "down.test");
    await wait(1000);
    assert.equal(await server.stop(), 0);

    const journal = new JournalQuery(join(server.folder, "data", "journal", "journal.db"));
    const replayed: string[] = [];
    for (const { actions } of replay(journal.inputs(Date.now())))
      for (const action of actions)
        if (action.do === "tell") replayed.push(JSON.stringify([action.event.name, action.fields]));
    const names = new Set(replayed.map((each) => String((JSON.parse(each) as unknown[])[0])));
    const { rows } = journal.sql(
      `SELECT event, fields FROM events WHERE event IN (${[...names].map((name) => `'${name}'`).join(", ")}) ORDER BY id`,
    );
    journal.close();
    const said = rows.map(([name, fields]) => JSON.stringify([name, JSON.parse(String(fields))]));
    for (const name of [
      "queue.active",
      "delivery.smtp",
      "delivery.local",
      "queue.held",
      "queue.released",
      "route.rests",
    ])
      assert.ok(names.has(name), `${name} among ${[...names].join(", ")}`);
    assert.deepEqual(replayed, said);
  });
}

for (const layout of LAYOUTS) {
  test(`${layout}: a log that cannot be written is told on stderr, in the status and in the journal, until it can`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "posthorn-test-"));
    try {
      const file = join(folder, "none", "mail.log");
      await using server = await startServer({
        layout,
        folder,
        settings: `log: { to: "file:${file}", level: warning }\n`,
        readyWhen:
          /posthornd: the log \S+mail\.log cannot be written: ENOENT.* mail goes on: mend it, or set `log\.to` and reload/,
      });
      assert.match(server.output(), /posthorn\.yaml:\d+:\d+: warning: .*there is no folder \S+none/);
      let status = await server.posthorn("status");
      while (status.status !== 0) status = await server.posthorn("status");
      assert.match(status.stdout, /^NO LOG {5}\S+mail\.log cannot be written since .*: ENOENT/m);
      mkdirSync(join(folder, "none"));
      // The workers of a split server are somebody else.
      chmodSync(join(folder, "none"), 0o777);
      assert.equal((await server.posthorn("reopen")).status, 0);
      await server.waitForOutput(/posthornd: the log \S+mail\.log is written again/);
      assert.doesNotMatch((await server.posthorn("status")).stdout, /NO LOG/);
      assert.match(readFileSync(file, "utf8"), /error: log: \S+mail\.log: ENOENT/);
      const question = "SELECT event FROM events WHERE event LIKE 'log.sink%' ORDER BY id";
      let told = "";
      while (!told.includes("log.sink-recovered")) told = (await server.posthorn("log", "--sql", question)).stdout;
      assert.match(told, /log\.sink-failed\s+log\.sink-recovered/);
      // `log.level` is about the log: the journal has every mail all the same.
      await sendMail(server.ports.smtp, { from: "ann@localhost", to: ["bob@localhost"], content: "x" });
      let story = "";
      for (let turn = 0; turn < 30 && !story.includes("status=sent"); turn++)
        story = (await server.posthorn("log", "--to", "bob@localhost")).stdout;
      assert.match(story, /to=<bob@localhost>.* status=sent/);
      assert.doesNotMatch(readFileSync(file, "utf8"), /bob@localhost/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
