import assert from "node:assert/strict";
import { test } from "node:test";
import { mx, startDnsServer } from "../dns-server.ts";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

test("restrictions refuse strangers at RCPT and name themselves in the log; listeners may have their own, or none", async () => {
  await using dns = await startDnsServer({ "good.test": [mx(10, "mail.good.test")], "broken.test": "failed" });
  await using server = await startServer({
    layout: "single",
    wholeSettings: `
hostname: mx.example.test
state: ./state
processes: { layout: single }
dns: { servers: ["${dns.at}"], try-timeout: 500ms, timeout: 2s, tries: 1 }
local: { domains: [example.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback] }
  - { name: second, address: 127.0.0.1, port: {submission}, xclient-from: [loopback], restrictions: [] }
  - { name: third, address: 127.0.0.1, port: {smtps}, xclient-from: [loopback], restrictions: [{ reject: any, name: closed }] }
restrictions:
  - permit: [local]
  - { helo: unqualified, warn-only: true }
  - sender: unknown-domain
`,
  });
  const { ports } = server;
  const give = async (port: number, from: string, address = "203.0.113.9"): Promise<string> => {
    const client = await smtpConnect(port);
    await client.reply();
    await client.say("EHLO proxy.test");
    await client.say(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]`);
    await client.say("EHLO friend");
    assert.match(await client.say(`MAIL FROM:<${from}>`), /^250/, "judged later");
    const answer = await client.say("RCPT TO:<bob@example.test>");
    client.close();
    return answer;
  };
  assert.match(await give(ports.smtp, "a@good.test"), /^250/);
  assert.match(await give(ports.smtp, "a@nowhere.test"), /^450 4\.1\.8 <a@nowhere\.test>: Sender address rejected/);
  assert.match(await give(ports.smtp, "a@broken.test"), /^450 4\.4\.3/);
  assert.match(await give(ports.smtp, "a@nowhere.test", "127.0.0.9"), /^250/);
  assert.match(await give(ports.submission, "a@nowhere.test"), /^250/);
  assert.match(await give(ports.smtps, "a@good.test"), /^554 5\.7\.1/);
  await server.waitForOutput(
    /reject: RCPT from unknown\[203\.0\.113\.9\]: 450 4\.1\.8 <a@nowhere\.test>: .* from=<a@nowhere\.test> to=<bob@example\.test> proto=ESMTP helo=<friend> restriction=<sender unknown-domain>/,
  );
  await server.waitForOutput(/reject_warning: RCPT from .*: 504 5\.5\.2 <friend>: .* restriction=<helo unqualified>/);
  await server.waitForOutput(/reject: RCPT from .* restriction=<closed>/);
});

test("a stranger's session does not open the relay: not by a login that failed, nor by saying to be somebody else", async () => {
  await using server = await startServer({
    layout: "single",
    wholeSettings: `
hostname: mx.example.test
state: ./state
processes: { layout: single }
local: { domains: [example.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, auth: offer, auth-without-tls: loopback, xclient-from: [10.9.8.7] }
  - { name: proxied, address: 127.0.0.1, port: {submission}, proxy-from: [10.9.8.7], xforward-from: [loopback] }
  - { name: acted, address: 127.0.0.1, port: {smtps}, protocol: smtp, tls: off, xclient-from: [loopback] }
accounts: { backends: [{ table: "table:people" }] }
tables: { people: { map: { ada: "{PLAIN}sesame" } } }
restrictions: [{ permit: any }]
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: [auth, 10.0.0.0/8] }, action: relay }
`,
  });
  const plain = (password: string): string => `AUTH PLAIN ${Buffer.from(`\0ada\0${password}`).toString("base64")}`;
  const mayRelay = async (port: number, ...before: readonly string[]): Promise<string> => {
    const client = await smtpConnect(port);
    try {
      await client.reply();
      for (const line of ["EHLO [10.9.8.7]", ...before]) await client.say(line);
      await client.say("MAIL FROM:<ada@example.test>");
      return (await client.say("RCPT TO:<victim@elsewhere.test>")).slice(0, 3);
    } finally {
      client.close();
    }
  };
  const { smtp, submission: proxied, smtps: acted } = server.ports;
  assert.equal(await mayRelay(smtp, plain("sesame")), "250", "whoever may, may");
  assert.equal(await mayRelay(smtp), "550");
  assert.equal(await mayRelay(smtp, plain("wrong")), "550");
  assert.equal(await mayRelay(smtp, "AUTH PLAIN", "*"), "550");
  assert.equal(await mayRelay(smtp, "XCLIENT ADDR=10.9.8.7 LOGIN=ada"), "550");
  assert.equal(await mayRelay(proxied, "XFORWARD ADDR=10.9.8.7 NAME=friend.test"), "550");
  assert.equal(await mayRelay(proxied, "PROXY TCP4 10.9.8.7 127.0.0.1 40000 25"), "550");
  assert.equal(await mayRelay(proxied, "XCLIENT ADDR=10.9.8.7"), "550");
  assert.equal(await mayRelay(acted, "XCLIENT ADDR=10.9.8.7", "EHLO friend.test"), "250", "whom a proxy names, may");
  const named = ["XCLIENT ADDR=203.0.113.9", "EHLO stranger.test"];
  assert.equal(await mayRelay(acted, ...named, "XCLIENT LOGIN=ada ADDR=10.9.8.7", "EHLO stranger.test"), "550");
  assert.equal(
    await mayRelay(smtp, "MAIL FROM:<ada@example.test>", "RCPT TO:<bob@example.test>"),
    "550",
    "with another",
  );
});
