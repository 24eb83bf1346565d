import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { createKeyFinder } from "../../src/protocol/authentication/key-finder.ts";
import { rawFields } from "../../src/protocol/authentication/raw-fields.ts";
import { verifyMessage } from "../../src/protocol/authentication/verify-message.ts";
import { zoneResolver } from "../../src/testing/dns-zone.ts";
import { startDnsServer, txt } from "../dns-server.ts";
import { LAYOUTS, ROOT, startServer } from "../server.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { sendMail } from "../smtp-client.ts";

/** No Date, no Message-ID: what reception adds is signed as well. */
const mail = (from: string): string => `From: ${from}\r\nTo: x@there.test\r\nSubject: tea\r\n\r\nhello \r\n\r\n`;

for (const layout of LAYOUTS)
  test(`mail of our own is signed with keys that reception never sees, and others' is judged (${layout})`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "posthorn-dkim-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    // As an operator does it; what it prints is what is published.
    const records = ["rsa", "ed25519"].map((kind) => {
      const wish = [
        "--domain",
        "posthorn.test",
        "--selector",
        kind,
        "--kind",
        kind,
        "--output",
        join(folder, `${kind}.pem`),
      ];
      const line = execFileSync("node", [join(ROOT, "bin/posthorn.js"), "dkim", "key", "make", ...wish], {
        encoding: "utf8",
        stdio: "pipe",
        timeout: 60_000,
      });
      const [name = "", text = ""] = line.trim().split(". IN TXT ");
      return [name, text.replaceAll('" "', "").replaceAll('"', "")] as const;
    });
    writeFileSync(join(folder, "keys"), "# of customers\n");
    await using dns = await startDnsServer({
      ...Object.fromEntries(records.map(([name, text]) => [name, [txt(text)]])),
      "strict.test": [txt("v=spf1 ip4:192.0.2.1 -all")],
      "_dmarc.strict.test": [txt("v=DMARC1; p=reject")],
    });
    await using host = await startScriptedHost();
    await using server = await startServer({
      layout,
      settings: `dns: { servers: ["${dns.at}"] }
local: { domains: [posthorn.test], users: [ann] }
tables: { keys: { file: "${folder}/keys" } }
filters:
  judge: { authenticate: { submissions: true } }
  sign:
    sign:
      key-table: table:keys
      key-folder: ${folder}
      keys:
        - { domain: posthorn.test, selector: rsa, key: ${folder}/rsa.pem }
        - { domain: posthorn.test, selector: ed25519, key: ${folder}/ed25519.pem }
filtered-by: [judge, sign]
actions: { out: { relay: { to: "smtp://127.0.0.1:${host.port}" } } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: out }
`,
    });
    const { smtp } = server.ports;
    const checked = await server.posthorn("dkim", "check");
    assert.deepEqual([checked.status, checked.stdout.match(/^ok /gm)?.length], [0, 2], checked.stdout);
    const advised = await server.posthorn("dns", "posthorn.test", "--zone");
    for (const [name, text] of records)
      assert.ok(advised.stdout.includes(`${name}. IN TXT "${text.slice(0, 40)}`), advised.stdout);

    // Data, which somebody gets wrong while the server runs: it is a matter of that one domain, whoever is started anew.
    appendFileSync(join(folder, "keys"), "third.test nonsense\n");
    const keeper = server.workers().get("keeper-1");
    if (keeper !== undefined) {
      process.kill(keeper, "SIGKILL");
      await server.waitForOutput(/keys:2: third\.test: expected selector:file/);
    }
    assert.match(
      await sendMail(smtp, { from: "ann@posthorn.test", to: "x@there.test", content: mail("Ann <ann@posthorn.test>") }),
      /^250 /,
    );
    const [sent] = await host.waitForMails(1);
    const content = sent?.content ?? "";
    const end = content.indexOf("\r\n\r\n");
    const { dkim } = await verifyMessage(
      {
        fields: rawFields(content.slice(0, end + 2)),
        body: async function* () {
          yield Buffer.from(content.slice(end + 4), "latin1");
        },
      },
      createKeyFinder(zoneResolver(Object.fromEntries(records.map(([name, text]) => [`${name} TXT`, [text]]))))(),
      { mostSignatures: 5, acceptPartial: false, nowSeconds: Math.floor(Date.now() / 1000) },
    );
    assert.deepEqual(
      dkim.map(({ result, selector }) => `${selector} ${result}`).toSorted(),
      ["ed25519 pass", "rsa pass"],
      content,
    );

    const forged = `Authentication-Results: mx.posthorn.test; dmarc=pass\r\n${mail("bob@other.test")}`;
    assert.match(await sendMail(smtp, { from: "bob@other.test", to: "ann@posthorn.test", content: forged }), /^250 /);
    const [kept = ""] = await server.waitForMails("ann", 1);
    assert.equal(kept.match(/^Authentication-Results: mx\.posthorn\.test/gm)?.length, 1, kept);
    assert.match(kept, /dmarc=none/);
    assert.match(
      await sendMail(smtp, { from: "x@strict.test", to: "ann@posthorn.test", content: mail("x@strict.test") }),
      /^550 5\.7\.26 Neither SPF nor DKIM passes for strict\.test/,
    );
  });

for (const layout of LAYOUTS)
  test(`a domain that asks for reports gets one, as mail of ours (${layout})`, async () => {
    await using dns = await startDnsServer({
      "asks.test": [txt("v=spf1 ip4:127.0.0.1 -all")],
      "_dmarc.asks.test": [txt("v=DMARC1; p=none; rua=mailto:in@asks.test,mailto:no@victim.test")],
    });
    await using host = await startScriptedHost();
    await using server = await startServer({
      layout,
      settings: `dns: { servers: ["${dns.at}"] }
local: { domains: [posthorn.test], users: [ann] }
filters:
  judge: { authenticate: { submissions: true, reports: true } }
filtered-by: [judge]
dmarc-reports: { from: dmarc@posthorn.test, organization: "Posthorn & Co" }
actions: { out: { relay: { to: "smtp://127.0.0.1:${host.port}" } } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: out }
`,
    });
    for (const _ of [1, 2])
      assert.match(
        await sendMail(server.ports.smtp, {
          from: "x@asks.test",
          to: "ann@posthorn.test",
          content: mail("x@asks.test"),
        }),
        /^250 /,
      );
    // Collected behind the mail.
    let shown = { status: 1, stdout: "", stderr: "" };
    for (let tries = 0; tries < 240 && !shown.stdout.includes("<count>2<"); tries++) {
      await sleep(250);
      shown = await server.posthorn("dmarc", "reports", "show", "asks.test");
    }
    assert.match(shown.stdout, /<source_ip>127\.0\.0\.1<\/source_ip><count>2<\/count>/, shown.stderr);
    assert.match((await server.posthorn("dmarc", "reports", "send")).stdout, /^1 due now/);
    const [report] = await host.waitForMails(1, 240_000);
    assert.match(report?.mail ?? "", /^MAIL FROM:<dmarc@posthorn\.test>/);
    assert.deepEqual(report?.recipients, ["in@asks.test"]);
    const encoded = /base64\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--/.exec(report?.content ?? "")?.[1] ?? "";
    const xml = gunzipSync(Buffer.from(encoded, "base64")).toString();
    assert.match(xml, /<org_name>Posthorn &amp; Co<\/org_name>/);
    assert.match(xml, /<policy_evaluated><disposition>none<\/disposition><dkim>fail<\/dkim><spf>pass<\/spf>/);
    let list = "";
    for (let tries = 0; tries < 240 && !list.includes("sent on"); tries++) {
      await sleep(250);
      list = (await server.posthorn("dmarc", "reports", "list")).stdout;
    }
    assert.match(list, /asks\.test\s+0\s+sent on 2 mails to in@asks\.test/);
  });
