import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startScriptedHost } from "../scripted-host.ts";
import { freePort, LAYOUTS, startServer, type TestServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

async function posthorn(server: TestServer, status: number, ...argv: readonly string[]): Promise<string> {
  const ran = await server.posthorn(...argv);
  assert.equal(ran.status, status, `posthorn ${argv.join(" ")}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

const settings = (port: number): string => `actions:
  out: { relay: { to: "smtp://127.0.0.1:${port}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: out }
`;

const mail = (to: string, from = "ann@localhost") => ({ from, to, content: "Subject: tea\n\nthe body\n" });

for (const layout of LAYOUTS) {
  test(`${layout}: what is suspended stays, over a restart too, is shown with its reason, and goes when that is lifted`, async () => {
    await using host = await startScriptedHost();
    const first = await startServer({ layout, settings: settings(host.port) });
    let server = first;
    try {
      const said = await posthorn(
        server,
        0,
        "suspend",
        "domain",
        "X.test",
        "--for",
        "2h",
        "--because",
        "their incident",
      );
      assert.match(said, /^suspended domain X\.test until .*; 0 envelopes held by it now, others when they are due$/m);
      await posthorn(server, 0, "suspend", "sender", "<>");
      await posthorn(server, 64, "suspend", "nonsense", "x");
      await posthorn(server, 1, "unsuspend", "tenant", "nobody");
      await sendMail(server.ports.smtp, mail("1@x.test"));
      await sendMail(server.ports.smtp, mail("1@y.test"));
      await host.waitForMails(1);

      await first.stop();
      server = await startServer({ layout, folder: first.folder, ports: first.ports, settings: settings(host.port) });
      await sendMail(server.ports.smtp, mail("2@x.test"));
      await sendMail(server.ports.smtp, mail("2@y.test"));
      await host.waitForMails(2);
      assert.deepEqual(new Set(host.mails.map(({ recipients }) => recipients[0])), new Set(["1@y.test", "2@y.test"]));
      let rows: readonly { level: string; key: string; held: number; because: string }[] = [];
      for (let tries = 0; tries < 100 && rows.every(({ held }) => held < 2); tries++) {
        const text = await posthorn(server, 0, "holds", "--json");
        rows = text
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line) as (typeof rows)[number]);
        await wait(50);
      }
      assert.deepEqual(
        rows.map(({ level, key, held, because }) => [level, key, held, because]),
        [
          ["sender", "<>", 0, "no reason given"],
          ["domain", "x.test", 2, "their incident"],
        ],
      );
      assert.match(await posthorn(server, 0, "holds"), /^domain +x\.test +2 .*their incident/m);
      const list = await posthorn(server, 0, "queue", "list", "--json");
      const { envelope = "" } = JSON.parse(list.split("\n")[0] ?? "") as { envelope?: string };
      assert.match(
        await posthorn(server, 0, "queue", "show", envelope),
        /domain x\.test is suspended by .*: their incident/,
      );

      const lifted = await posthorn(server, 0, "unsuspend", "domain", "x.test");
      assert.match(lifted, /^domain x\.test is not suspended any more; 2 envelopes due now$/m);
      await host.waitForMails(4);
      assert.match(first.output(), /suspended domain x\.test by .*: their incident/);
      await server.waitForOutput(/suspension of domain x\.test lifted by .*, 2 envelopes held/);
    } finally {
      if (server !== first) await server[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
    }
  });

  test(`${layout}: a host that is back asks with ETRN for its mail, and gets it at once`, async () => {
    const port = await freePort();
    await using server = await startServer({
      layout,
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout} }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, etrn: { allow: [loopback], domains: [mine.test] } }
  - { name: other, address: 127.0.0.1, port: {submission} }
${settings(port)}`,
    });
    await sendMail(server.ports.smtp, mail("1@mine.test"));
    await sendMail(server.ports.smtp, mail("1@theirs.test"));
    await server.waitForOutput(/to=<1@mine\.test>.*status=deferred/);
    await using host = await startScriptedHost({ port });
    const stranger = await smtpConnect(server.ports.submission);
    await stranger.reply();
    assert.doesNotMatch(await stranger.say("EHLO mine.test"), /ETRN/);
    assert.match(await stranger.say("ETRN mine.test"), /^502 /);
    stranger.close();
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    assert.match(await client.say("EHLO mine.test"), /^250[- ]ETRN$/m);
    assert.match(await client.say("ETRN theirs.test"), /^459 /);
    assert.match(
      await client.say("ETRN mine.test"),
      /^253 2\.0\.0 OK, 1 pending messages for node mine\.test started$/,
    );
    // The other one follows by itself: its relay works again.
    const mails = await host.waitForMails(2);
    assert.deepEqual(new Set(mails.map(({ recipients }) => recipients[0])), new Set(["1@mine.test", "1@theirs.test"]));
    assert.match(await client.say("ETRN mine.test"), /^252 /);
    await client.say("QUIT");
    client.close();
    await server.waitForOutput(/ETRN mine\.test from .*: 253 /);
  });
}
