/** Debian's postgrey as our policy server: what it says to Postfix it says to us. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { hasPeer } from "./running.ts";
import { startPostgrey } from "./postgrey.ts";

const DELAY_S = 3;

for (const layout of LAYOUTS)
  test(`Debian's postgrey greylists our strangers, and its header reaches the mailbox (${layout})`, async (t) => {
    if (!hasPeer("postgrey", t)) return;
    await using grey = await startPostgrey({ delayS: DELAY_S, admitsClientAfter: 0 });
    await using server = await startServer({
      readyWithinMs: 120_000,
      layout,
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 1 }
local: { domains: [posthorn.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback] }
restrictions:
  - permit: [auth, local]
  - { policy: "inet:127.0.0.1:${grey.at}", name: postgrey }
`,
    });
    const give = async (to: string, address = "203.0.113.9"): Promise<string> => {
      const client = await smtpConnect(server.ports.smtp);
      try {
        await client.reply();
        for (const line of [
          "EHLO proxy.test",
          `XCLIENT ADDR=${address} NAME=mail.far.test`,
          "EHLO mail.far.test",
          "MAIL FROM:<al@far.test>",
        ])
          await client.say(line);
        const answer = await client.say(`RCPT TO:<${to}>`);
        if (!answer.startsWith("250")) return answer;
        assert.match(await client.say("DATA"), /^354/);
        client.send("Subject: tea\r\n\r\nhello\r\n.\r\n");
        return await client.reply();
      } finally {
        client.close();
      }
    };
    assert.match(
      await give("bob@posthorn.test"),
      /^450 4\.2\.0 <bob@posthorn\.test>: Recipient address rejected: Greylisted/,
    );
    await server.waitForOutput(
      /reject: RCPT from mail\.far\.test\[203\.0\.113\.9\]: 450 4\.2\.0 .* restriction=<postgrey>/,
    );
    assert.match(await give("bob@posthorn.test", "127.0.0.1"), /^250/);
    await server.waitForMails("bob", 1);
    const untilAt = Date.now() + 60_000;
    let answer = "";
    // It counts whole seconds, each of its own clock.
    while (Date.now() < untilAt && !answer.startsWith("250")) {
      await wait(1000);
      answer = await give("bob@posthorn.test");
    }
    assert.match(answer, /^250/);
    const mails = await server.waitForMails("bob", 2);
    const [greylisted = ""] = mails.filter((mail) => mail.includes("X-Greylist"));
    assert.match(greylisted, /^X-Greylist: delayed \d+ seconds by postgrey-[\d.]+ at /m);
    assert.match(await give("carl@posthorn.test"), /^450/);

    // It ends, and mail waits without it.
    await grey[Symbol.asyncDispose]();
    assert.match(await give("dora@posthorn.test"), /^451 4\.3\.5/);
    await server.waitForOutput(/451 4\.3\.5 .* restriction=<postgrey> because=<policy server /);
    assert.match(await give("dora@posthorn.test", "127.0.0.1"), /^250/);
  });
