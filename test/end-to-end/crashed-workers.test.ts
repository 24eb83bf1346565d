import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { ServerStatus } from "../../src/admin/control/admin.ts";
import { startServer, type TestServer } from "../server.ts";
import { startSink, type SinkManner } from "../sink.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

const settings = (sinkPort: number): string => `actions: { out: { relay: { to: "smtp://127.0.0.1:${sinkPort}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
scheduler: { retry: { internal: 1s } }
`;

async function until(what: string, holds: () => boolean, withinMs = 60_000): Promise<void> {
  const untilAt = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > untilAt) throw new Error(`not within ${withinMs} ms: ${what}`);
    await wait(25);
  }
}

/** Sends until it is taken; gives what it was told on the way. */
async function sendUntilTaken(server: TestServer, subject: string): Promise<readonly string[]> {
  const told: string[] = [];
  const untilAt = Date.now() + 60_000;
  for (;;) {
    try {
      const to = ["ada@localhost", "x@far.test"];
      const reply = await sendMail(server.ports.smtp, { from: "a@b.test", to, content: `Subject: ${subject}\n\nx` });
      if (reply.startsWith("250 ")) return told;
      told.push(reply);
    } catch (error) {
      told.push(String(error));
    }
    assert.ok(Date.now() < untilAt, `${subject} is not taken: ${told.join(" | ")}\n${server.output().slice(-4000)}`);
    await wait(50);
  }
}

test("split: each process that is killed is started again, mail goes on, and nothing is lost or said in vain", async (t) => {
  await using sink = await startSink();
  await using server = await startServer({ layout: "split", settings: settings(sink.port) });
  const names = ["log", "delivery", "egress-1", "scheduler", "ingress-1"];
  for (const name of names) {
    const before = server.workers().get(name);
    assert.ok(before !== undefined, `${name} is one of ${[...server.workers().keys()].join(", ")}`);
    // A session that is open meanwhile.
    const session = name === "scheduler" ? await smtpConnect(server.ports.smtp) : undefined;
    if (session !== undefined) {
      await session.reply();
      for (const line of ["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<ada@localhost>", "DATA"])
        await session.say(line);
    }
    process.kill(before, "SIGKILL");
    if (session !== undefined) {
      await wait(50);
      session.send("Subject: into the void\r\n\r\nx\r\n.\r\n");
      assert.match(await session.reply(), /^451 4\.3\.0 /, "while the queue is away, clients are told to come again");
      session.close();
    }
    const told = await sendUntilTaken(server, `after ${name}`);
    for (const reply of told.filter((one) => !one.startsWith("Error"))) assert.match(reply, /^451 4\.3\.0 /);
    await until(`${name} is there again`, () => ![undefined, before].includes(server.workers().get(name)));
    t.diagnostic(`${name}: ${told.length} refusals until it was taken`);
  }
  await until("all arrived at the next host", () =>
    names.every((name) => sink.taken.some(({ content }) => content.includes(`Subject: after ${name}\r`))),
  );
  const mails = await server.waitForMails("ada", names.length);
  for (const name of names)
    assert.equal(
      mails.filter((mail) => mail.includes(`Subject: after ${name}\r`) || mail.includes(`Subject: after ${name}\n`))
        .length,
      1,
      name,
    );
  assert.ok(!mails.some((mail) => mail.includes("into the void")), "what was answered 451 is not there");
  for (const name of names)
    await server.waitForOutput(new RegExp(`process ${name} pid \\d+ ended: signal SIGKILL; starting it again`));
  const shown = JSON.parse((await server.posthorn("status", "--json")).stdout) as ServerStatus;
  for (const name of names) {
    const one = shown.processes.find(({ role }) => role === name);
    assert.ok((one?.restarts ?? 0) >= 1 && (one?.startedAt ?? 0) > shown.startedAt, JSON.stringify(one));
  }
  assert.equal(await server.stop(), 0);
});

test("split: mail that was under way to a slow host when the scheduler ended is not sent twice", async () => {
  const manner: SinkManner = { isDown: false, replyAfterMs: 0, recipientAfterMs: 3000, refuses: () => false };
  await using sink = await startSink({ manner });
  await using server = await startServer({ layout: "split", settings: settings(sink.port) });
  const reply = await sendMail(server.ports.smtp, { from: "a@b.test", to: ["x@far.test"], content: "Subject: s\n\nx" });
  assert.match(reply, /^250 /);
  await until("the host was asked", () => sink.begun > 0);
  const before = server.workers().get("scheduler");
  assert.ok(before !== undefined);
  process.kill(before, "SIGKILL");
  manner.recipientAfterMs = 0;
  await until("it arrived", () => sink.taken.length > 0);
  await wait(4000);
  assert.equal(sink.taken.length, 1);
  assert.equal(await server.stop(), 0);
});
