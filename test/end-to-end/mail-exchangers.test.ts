import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { a, aaaa, cname, mx, startDnsServer, type TestRecord } from "../dns-server.ts";
import { inOwnNetwork } from "../own-network.ts";
import { SILENCE, startScriptedHost } from "../scripted-host.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Where nobody listens. */
const REFUSING = "198.51.100.1";
const SILENT = "198.51.100.2";
const GOOD = "198.51.100.3";
const OTHER = "198.51.100.4";

const settings = (dnsServer: string, more = ""): string => `dns: { servers: ["${dnsServer}"] }
delivery: { greeting-timeout: 1s, connect-timeout: 2s }
route: { keep-open: 0s }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: relay } ]
${more}`;

const hosts: Readonly<Record<string, readonly TestRecord[]>> = {
  "refusing.test": [a(REFUSING)],
  "silent.test": [a(SILENT)],
  "good.test": [a(GOOD)],
  "other.test": [a(OTHER)],
};

async function send(port: number, domain: string, from = "writer@localhost"): Promise<void> {
  const reply = await sendMail(port, { from, to: `rcpt@${domain}`, content: "Subject: x\n\nx" });
  assert.match(reply, /^250 /, domain);
}

inOwnNetwork(import.meta.filename, () => {
  test("with the first exchanger refusing and the second silent, the third has the mail in one round", async () => {
    await using dns = await startDnsServer({
      ...hosts,
      "three.test": [mx(30, "good.test"), mx(10, "refusing.test"), mx(20, "silent.test")],
    });
    await using silent = await startScriptedHost({ address: SILENT, port: 25, greeting: SILENCE });
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    const told = await server.posthorn("explain", "rcpt@three.test", "--client", "local");
    assert.match(
      told.stdout,
      /host +10 refusing\.test\[198\.51\.100\.1:25\]\n +host +20 silent\.test\[198\.51\.100\.2:25\]\n +host +30 good\.test\[198\.51\.100\.3:25\]\n/,
    );
    assert.equal(silent.sessions.length + good.sessions.length, 0, "explaining connects to nobody");
    await send(server.ports.smtp, "three.test");
    const [mail] = await good.waitForMails(1);
    assert.deepEqual(mail?.recipients, ["rcpt@three.test"]);
    const [line] = await server.waitForOutput(/to=<rcpt@three\.test>, .*/);
    assert.match(line, /relay=good\.test\[198\.51\.100\.3\]:25, .* status=sent \(250 2\.0\.0 taken\)/);
    assert.equal(silent.sessions.length, 1);
    assert.doesNotMatch(server.output(), /status=deferred/);
    assert.match(server.output(), /connect to refusing\.test\[198\.51\.100\.1\]:25: Connection refused/);
  });

  test("a domain that takes no mail, one that is not there, and one that leads back here come back at once, each with its reason", async () => {
    await using dns = await startDnsServer({
      ...hosts,
      "null.test": [mx(0, ".")],
      "circle.test": [mx(10, "mx.posthorn.test"), mx(20, "good.test")],
      "mx.posthorn.test": [a("198.51.100.200")],
      "back.test": [mx(10, "here.test")],
      "here.test": [a("127.0.0.9")],
    });
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    const told = await server.posthorn("explain", "rcpt@circle.test", "--client", "local");
    assert.match(told.stdout, /hosts +none: .*circle\.test/);
    for (const domain of ["null.test", "nowhere.test", "circle.test", "back.test"])
      await send(server.ports.smtp, domain);
    const notices = await server.waitForMails("writer", 4);
    for (const [domain, status] of [
      ["null.test", "5.1.10"],
      ["nowhere.test", "5.1.2"],
      ["circle.test", "5.4.6"],
      ["back.test", "5.4.6"],
    ] as const) {
      const notice = notices.find((text) => text.includes(`Final-Recipient: rfc822; rcpt@${domain}`)) ?? "";
      assert.match(notice, new RegExp(`^Status: ${status.replaceAll(".", "\\.")}\r?$`, "m"), domain);
    }
    // Whoever is no better than ourselves would only send it back.
    assert.equal(good.sessions.length, 0);
    await server.waitForOutput(
      /to=<rcpt@null\.test>, relay=none, .*dsn=5\.1\.10, status=bounced \(domain null\.test does not accept mail/,
    );
  });

  test("only exchangers better than ourselves are tried, and mail waits while they are down", async () => {
    await using dns = await startDnsServer({
      ...hosts,
      "backup.test": [mx(5, "refusing.test"), mx(10, "mx.posthorn.test"), mx(20, "good.test")],
      "mx.posthorn.test": [a("198.51.100.200")],
    });
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    await send(server.ports.smtp, "backup.test");
    await server.waitForOutput(
      /to=<rcpt@backup\.test>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to refusing/,
    );
    assert.equal(good.sessions.length, 0);
  });

  test("aliases are followed, a domain without exchangers is its own, and a broken IPv6 address does not stop IPv4", async () => {
    await using dns = await startDnsServer({
      ...hosts,
      "alias.test": [cname("real.test")],
      "real.test": [mx(10, "named.test")],
      "named.test": [cname("good.test")],
      "implicit.test": [a(GOOD)],
      "six.test": [mx(10, "both.test")],
      "both.test": [aaaa("2001:db8::1"), a(GOOD)],
    });
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    for (const domain of ["alias.test", "implicit.test", "six.test"]) await send(server.ports.smtp, domain);
    await good.waitForMails(3);
    await server.waitForOutput(/to=<rcpt@implicit\.test>, relay=implicit\.test\[198\.51\.100\.3\]:25/);
    await server.waitForOutput(/to=<rcpt@six\.test>, relay=both\.test\[198\.51\.100\.3\]:25/);
    await server.waitForOutput(/to=<rcpt@alias\.test>, relay=named\.test\[198\.51\.100\.3\]:25/);
    assert.doesNotMatch(server.output(), /status=(?:deferred|bounced)/);
  });

  test("exchangers of equal preference share the mail; a worse one gets none of it", async () => {
    await using dns = await startDnsServer({
      ...hosts,
      "equal.test": [mx(10, "good.test"), mx(10, "other.test"), mx(20, "silent.test")],
    });
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using other = await startScriptedHost({ address: OTHER, port: 25 });
    await using spare = await startScriptedHost({ address: SILENT, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    for (let count = 0; count < 24; count++) await send(server.ports.smtp, "equal.test");
    const untilAt = Date.now() + 60_000;
    while (good.mails.length + other.mails.length < 24 && Date.now() < untilAt) await wait(20);
    assert.equal(good.mails.length + other.mails.length, 24);
    // All 24 at one of the two would be a chance of one in eight millions.
    assert.ok(good.mails.length > 0 && other.mails.length > 0, `${good.mails.length} and ${other.mails.length}`);
    assert.equal(spare.sessions.length, 0);
  });

  test("an answer cut short over UDP is asked for over TCP; a name server that fails means later, not never", async () => {
    await using dns = await startDnsServer({ ...hosts, "long.test": [mx(10, "good.test")], "broken.test": "failed" }, [
      "long.test",
    ]);
    await using good = await startScriptedHost({ address: GOOD, port: 25 });
    await using server = await startServer({ settings: settings(dns.at) });
    await send(server.ports.smtp, "long.test");
    await good.waitForMails(1);
    assert.ok(dns.questions.includes("udp mx long.test") && dns.questions.includes("tcp mx long.test"));
    await send(server.ports.smtp, "broken.test");
    await server.waitForOutput(
      /to=<rcpt@broken\.test>, relay=none, .*dsn=4\.4\.3, status=deferred \(.*broken\.test type=MX/,
    );
  });
});
