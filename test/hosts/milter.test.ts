import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { MILTER_STEPS } from "../../src/protocol/milter/negotiation.ts";
import { says, startScriptedMilter, type ScriptedMilter } from "../../src/testing/scripted-milter.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";

const LOCAL = "local: { domains: [example.test], users: [joe, ann] }";

async function greeted(port: number): Promise<TestClient> {
  const client = await smtpConnect(port);
  await client.reply();
  assert.match(await client.say("EHLO client.test"), /^250/);
  return client;
}

/** The answer to the end of a mail. */
async function send(client: TestClient, body: string, to = "joe@example.test"): Promise<string> {
  assert.match(await client.say("MAIL FROM:<a@client.test>"), /^250/);
  assert.match(await client.say(`RCPT TO:<${to}>`), /^250/);
  assert.match(await client.say("DATA"), /^354/);
  return client.say(`Subject: ${body}\r\n\r\n${body}\r\n.`);
}

const codes = (milter: ScriptedMilter): string =>
  milter
    .commands()
    .map((line) => line.charAt(0))
    .join("");

for (const layout of LAYOUTS) {
  test(
    `a milter hears a session, changes, refuses and discards its mails (${layout})`,
    { timeout: 240_000 },
    async () => {
      let body = "";
      await using milter = await startScriptedMilter({
        unix: true,
        steps: MILTER_STEPS.refusedRecipients,
        on({ code, text }) {
          if (code === "B") body = text;
          if (code !== "E") return undefined;
          if (body.startsWith("bad")) return [says.reply("554-5.7.1 Not\r\n554 5.7.1 wanted")];
          if (body.startsWith("away")) return [says.discard];
          return [
            says.insertHeader(1, "X-Seen", "by the\n\tmilter"),
            says.changeHeader(1, "Subject", "changed"),
            says.replaceBody("another body\n"),
            says.addRecipient("<ann@example.test>"),
            says.continue,
          ];
        },
      });
      await using server = await startServer({
        layout,
        readyWithinMs: 90_000,
        settings: `${LOCAL}\nfilters: { seeing: { milter: "${milter.address}" } }\nfilteredBy: [seeing]\n`,
      });
      const client = await greeted(server.ports.smtp);
      assert.match(await client.say("HULLO"), /^500/);
      assert.match(await client.say("MAIL FROM:<a@client.test>"), /^250/);
      assert.match(await client.say("RCPT TO:<nobody@example.test>"), /^550/);
      assert.match(await client.say("RSET"), /^250/);
      await milter.sees("A");
      assert.equal(codes(milter), "CHUMRA");
      assert.match(milter.heard.find((line) => line.includes("error")) ?? "", /^D R.*\{rcpt_mailer\}\|error\|$/);

      assert.match(await send(client, "good"), /^250/);
      for (const user of ["joe", "ann"]) {
        const [mail = ""] = await server.waitForMails(user, 1);
        // Behind our own fields, in front of the client's.
        assert.match(
          mail,
          /\nReceived: (?:.*\n)+?X-Seen: by the\r?\n\tmilter\r?\nSubject: changed\r?\n\r?\nanother body\r?\n$/,
        );
      }
      assert.match(await send(client, "bad"), /^554-5\.7\.1 Not\n554 5\.7\.1 wanted$/);
      assert.match(await send(client, "away"), /^250/);
      assert.match(await send(client, "good"), /^250/);
      await client.say("QUIT");
      await milter.sees("Q");
      await server.waitForMails("joe", 2);
      assert.equal(milter.connections, 1);
      assert.equal(codes(milter), `CHUMRA${"MRTLNBE".repeat(4)}Q`);
      const [macros = ""] = milter.heard.filter((line) => line.startsWith("D E"));
      assert.match(macros, /^D Ei\|[0-9A-Za-z-]+\|/);
      assert.equal(server.mailsOf("joe").length, 2);
      assert.equal(await server.stop(), 0);
    },
  );

  test(
    `a milter that hangs delays nobody else, and its mail is deferred or goes on (${layout})`,
    { timeout: 240_000 },
    async () => {
      let hangs = true;
      await using milter = await startScriptedMilter({
        on: ({ code }) => (code === "E" && hangs ? "silence" : undefined),
      });
      await using server = await startServer({
        layout,
        readyWithinMs: 90_000,
        settings: `${LOCAL}
filters:
  strict: { milter: { address: "${milter.address}", contentTimeout: 4s }, match: { mailFrom: ["@client.test"] } }
filteredBy: [strict]
`,
      });
      const { smtp } = server.ports;
      const slow = send(await greeted(smtp), "held up");
      await milter.sees("E");
      const client = await greeted(smtp);
      assert.match(await client.say("MAIL FROM:<b@other.test>"), /^250/);
      assert.match(await client.say("RCPT TO:<ann@example.test>"), /^250/);
      assert.match(await client.say("DATA"), /^354/);
      assert.match(await client.say("Subject: quick\r\n\r\nquick\r\n."), /^250/);
      await server.waitForMails("ann", 1);
      assert.match(await slow, /^451 4\.\d\.\d /);
      await server.waitForOutput(/strict: .*the milter strict at inet:127\.0\.0\.1:\d+ said nothing for 4s/);
      hangs = false;
      assert.match(await send(await greeted(smtp), "again"), /^250/);
      assert.match((await server.waitForMails("joe", 1)).join(), /Subject: again/);
      assert.equal(await server.stop(), 0);
      for (let look = 0; milter.open() > 0; look++) {
        assert.ok(look < 500, "no connection is left");
        await wait(10);
      }
    },
  );
}

test("a milter that is killed in the middle of a session is as its settings say", { timeout: 240_000 }, async () => {
  const first = await startScriptedMilter();
  await using second = await startScriptedMilter();
  await using server = await startServer({
    settings: `${LOCAL}
filters:
  lax: { milter: "${first.address}", onFailure: accept }
  strict: { milter: "${second.address}", onFailure: reject }
filteredBy: [lax, strict]
`,
  });
  const client = await greeted(server.ports.smtp);
  assert.match(await send(client, "both"), /^250/);
  await first[Symbol.asyncDispose]();
  assert.match(await send(client, "one of them"), /^250/);
  await server.waitForMails("joe", 2);
  await second[Symbol.asyncDispose]();
  assert.match(await client.say("MAIL FROM:<a@client.test>"), /^554 /);
  assert.equal(await server.stop(), 0);
  assert.equal(server.mailsOf("joe").length, 2);
});
