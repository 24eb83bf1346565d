import assert from "node:assert/strict";
import { pbkdf2Sync } from "node:crypto";
import { test } from "node:test";
import { makeClient } from "../../src/protocol/sasl/make-client.ts";
import { SCRAM_HASHES } from "../../src/protocol/sasl/scram.ts";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { throttledLogins } from "../../src/service/account/throttled-logins.ts";
import { throttleSettings } from "../../src/service/account/throttle-settings.ts";
import { onePerson } from "../../src/testing/one-person.ts";
import { testCertificate, testListener } from "../../src/testing/test-listener.ts";
import { startServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

test("split: failed logins are counted for all processes that receive, slowed, blocked, shown and cleared", async () => {
  await using server = await startServer({
    layout: "split",
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 2, egress: 1 }
listeners:
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission, auth-without-tls: loopback }
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: submission, auth-without-tls: loopback, auth-mechanisms: [scram-sha-256] }
accounts:
  backends: [ { table: "table:people" } ]
  mechanisms: [scram-sha-256, plain]
  throttle: { exempt: [], delay: 100ms, address-failures: 6, account-failures: 0 }
tables:
  people: { map: { ann: "{PLAIN}pa ss" } }
`,
  });
  const plain = async (password: string): Promise<string> => {
    const client = await smtpConnect(server.ports.submission);
    await client.reply();
    const offer = await client.say("EHLO me.example");
    assert.match(offer, /^250-AUTH SCRAM-SHA-256 PLAIN$/m);
    const reply = await client.say(`AUTH PLAIN ${Buffer.from(`\0ann\0${password}`).toString("base64")}`);
    client.close();
    return reply;
  };
  const scram = async (password: string): Promise<string> => {
    const client = await smtpConnect(server.ports.smtp);
    await client.reply();
    assert.match(await client.say("EHLO me.example"), /^250-AUTH SCRAM-SHA-256$/m);
    const sasl = makeClient("SCRAM-SHA-256", { user: "ann", password }, () => ({
      nonce: "a-nonce-of-the-client",
      derive: async (text, salt, iterations, hash) =>
        pbkdf2Sync(text, salt, iterations, SCRAM_HASHES[hash].bytes, SCRAM_HASHES[hash].digest),
    }));
    let reply = await client.say(`AUTH SCRAM-SHA-256 ${sasl.initial?.toString("base64")}`);
    while (reply.startsWith("334 ")) {
      const response = await sasl.respond(Buffer.from(reply.slice(4), "base64"));
      assert.ok(response.ok);
      reply = await client.say(response.value.toString("base64"));
    }
    client.close();
    return reply;
  };

  assert.match(await plain("pa ss"), /^235 2\.7\.0/);
  assert.match(await scram("pa ss"), /^235 2\.7\.0/);
  assert.deepEqual(await server.posthorn("show", "logins"), {
    status: 1,
    stdout: "no logins are slowed down or blocked\n",
    stderr: "",
  });
  for (let at = 0; at < 5; at++) assert.match(await (at % 2 === 0 ? plain(`${at}`) : scram(`${at}`)), /^535 5\.7\.8/);
  const slowed = await server.posthorn("show", "logins", "--json");
  assert.equal(slowed.status, 0, slowed.stderr);
  const [row] = slowed.stdout.split("\n");
  const shown = JSON.parse(row ?? "");
  assert.deepEqual([shown.what, shown.key, shown.state, shown.failures], ["address", "127.0.0.1", "slowed", 5]);
  assert.equal(shown.delayMs, 800);
  const beganAt = performance.now();
  assert.match(await plain("5"), /^535 5\.7\.8/);
  assert.ok(performance.now() - beganAt >= 790, `answered after ${performance.now() - beganAt} ms`);
  await server.waitForOutput(/warning: logins from 127\.0\.0\.1 are blocked after 6 failures until /);
  assert.match(await plain("pa ss"), /^454 4\.7\.0 Too many failed/);
  assert.match(await scram("pa ss"), /^454 4\.7\.0 Too many failed/);
  const blocked = await server.posthorn("show", "logins");
  assert.match(blocked.stdout, /^blocked +address +127\.0\.0\.1 +6 /m);
  assert.equal(server.output().match(/ are blocked after /g)?.length, 1);
  assert.equal((await server.posthorn("logins", "clear", "127.0.0.1")).stdout, "1 record forgotten\n");
  assert.match(await plain("pa ss"), /^235 2\.7\.0/);
});

test("single: our login at a next host is tied to the TLS connection, where the host offers that", async () => {
  const tls = await testCertificate();
  const logins = throttledLogins({
    clock: systemClock,
    authenticator: onePerson("pa ss"),
    throttle: throttleSettings.parse({}),
    secret: Buffer.alloc(32),
  });
  const protocol = "submission";
  const world = { tls: () => tls, logins };
  await using host = await testListener(
    { protocol, authMechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "PLAIN"] },
    { world },
  );
  await using plain = await testListener({ protocol, authMechanisms: ["SCRAM-SHA-256"] }, { world });
  await using server = await startServer({
    verbose: true,
    settings: `credentials: { peer: { user: ann, password: "pa ss" } }
actions:
  tied: { relay: { to: "tls://localhost:${host.port}", credentials: peer, verify: no } }
  loose: { relay: { to: "tls://localhost:${plain.port}", credentials: peer, verify: no } }
rules: [ { match: { for: tied.test }, action: tied }, { match: { from: local }, action: loose } ]
`,
  });
  for (const [to, mechanism] of [
    ["box@tied.test", "SCRAM-SHA-256-PLUS"],
    ["box@loose.test", "SCRAM-SHA-256"],
  ] as const) {
    await sendMail(server.ports.smtp, { from: "ann@here.test", to, content: "Subject: in\n\nx\n" });
    await server.waitForOutput(new RegExp(`logged in at \\S+ as ann by ${mechanism}(?!-)`));
    await server.waitForOutput(new RegExp(`to=<${to}>.*status=sent`));
  }
});
