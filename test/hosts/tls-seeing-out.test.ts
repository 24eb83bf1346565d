import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** What an operator sees of TLS towards next hosts. */

async function sender(layout: Layout, relay: string): Promise<TestServer> {
  return await startServer({
    layout,
    settings: `actions:
  out: { relay: { to: "${relay}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: out }
`,
  });
}

async function send(server: TestServer): Promise<string> {
  const reply = await sendMail(server.ports.smtp, { from: "ann@localhost", to: ["bob@far.test"], content: "Hi" });
  return / as (\w+)/.exec(reply)?.[1] ?? "";
}

/** The journal is a moment behind. */
async function until(
  ask: () => Promise<{ stdout: string; status: number }>,
  pattern: RegExp,
): Promise<{ stdout: string; status: number }> {
  for (let tries = 0; ; tries++) {
    const answer = await ask();
    if (pattern.test(answer.stdout) || tries > 300) return answer;
    await wait(100);
  }
}

for (const layout of LAYOUTS) {
  test(`${layout}: a host whose TLS is broken: the failure, the plaintext after it, and the rule that allowed it`, async () => {
    // It offers STARTTLS and then goes on in plaintext: what a broken middlebox makes of it.
    await using host = await startScriptedHost({
      extensions: ["STARTTLS", "PIPELINING"],
      answer(line, session) {
        if (line !== "STARTTLS") return undefined;
        setTimeout(() => session.socket.write("500 5.5.2 what was that?\r\n"), 200);
        return "220 go on";
      },
    });
    await using server = await sender(layout, `smtp+tls://127.0.0.1:${host.port}`);
    const message = await send(server);
    await server.waitForOutput(/status=sent/);

    const failures = await until(() => server.posthorn("tls", "failures", "--out"), /afterwards .*in plaintext/);
    assert.match(failures.stdout, /^1 failure of 1 kind since /);
    assert.match(
      failures.stdout,
      /plain-smtp, sending by smtp\+tls:\/\/\[127\.0\.0\.1\]:\d+\n {6}The server spoke plain SMTP .*\n {6}fault +both sides/,
    );
    assert.match(failures.stdout, /hosts +127\.0\.0\.1\[127\.0\.0\.1\]:\d+ 1x/);
    assert.match(failures.stdout, /afterwards +1 went on in plaintext, 1 of them took mail/);
    const shown = await server.posthorn("tls", "show", "127.0.0.1");
    assert.match(shown.stdout, /--> +ClientHello: /);
    assert.match(shown.stdout, /rule +relay /);

    const plaintext = await until(() => server.posthorn("tls", "plaintext", "--out"), /TLS does not work there/);
    assert.match(plaintext.stdout, /127\.0\.0\.1\[127\.0\.0\.1\]:\d+ +out .* 1 .*; TLS does not work there/);

    const policy = await server.posthorn("tls", "policy", `127.0.0.1:${host.port}`);
    assert.match(policy.stdout, /level +no policy is about it/);
    assert.match(policy.stdout, /last +\S+ \S+ 127\.0\.0\.1\[127\.0\.0\.1\]:\d+ failed: The server /);
    assert.match(policy.stdout, /plaintext +1 mail to 127\.0\.0\.1/);

    const story = await server.posthorn("log", message);
    assert.match(story.stdout, /SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: The server .*usual cure: /);
    assert.match(story.stdout, /going on in plaintext/);
    assert.match(story.stdout, /status=sent/);
  });

  test(`${layout}: mail that waits because encryption cannot be had: its story says what happened to TLS`, async () => {
    await using host = await startScriptedHost({
      extensions: ["STARTTLS"],
      answer(line, { socket }) {
        if (line !== "STARTTLS") return undefined;
        setTimeout(() => socket.end(), 20);
        return "220 go on";
      },
    });
    await using server = await sender(layout, `tls://127.0.0.1:${host.port}`);
    const message = await send(server);
    await server.waitForOutput(/dsn=4\.7\.5, status=deferred/);
    const story = await until(() => server.posthorn("log", message), /SSL_connect/);
    assert.match(
      story.stdout,
      /SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: The server closed the TCP connection \(FIN\) .*\(peer-closed\); usual cure: /,
    );
    assert.match(story.stdout, /status=deferred/);
    assert.ok(!host.sessions.some(({ lines }) => lines.some((line) => line.startsWith("MAIL"))));
  });

  test(`${layout}: a session that works: its line, its end, and the message's story with both`, async () => {
    await using host = await startServer({ layout: "single", settings: "local: { domains: [far.test, localhost] }\n" });
    await using server = await sender(layout, `tls://localhost:${host.ports.smtp}`);
    const message = await send(server);
    await server.waitForOutput(/status=(sent|deferred|bounced)/);
    // The session is kept for a while for more mail; an orderly stop ends it.
    const established =
      /Untrusted TLS connection established to localhost\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher \S+ \(256\/256 bits\) key-exchange X25519MLKEM768 server-signature ecdsa_secp256r1_sha256; ja4=\S+ handshake=\d+ms, verify=FAIL\n/;
    await server.waitForOutput(established);
    assert.equal(await server.stop(), 0);
    await server.waitForOutput(/TLS connection to localhost\[127\.0\.0\.1\]:\d+ closed clean after QUIT/);

    // Without a server the commands read the journal's file themselves.
    const story = await server.posthorn("log", message);
    assert.match(story.stdout, established);
    assert.match(story.stdout, /closed clean after QUIT/);
    const closes = await server.posthorn("tls", "closes", "--out");
    assert.match(closes.stdout, /localhost\[127\.0\.0\.1\]:\d+ +out +1 +1 +0 +0 /);
    const shown = await server.posthorn("tls", "show", "127.0.0.1");
    assert.match(shown.stdout, /rule +relay tls:\/\/localhost:\d+: encrypt/);
    assert.match(shown.stdout, /its certificate +CN=mx\.posthorn\.test; issued by /);
    assert.match(shown.stdout, /verification +FAIL by authorities: /);
    assert.equal((await server.posthorn("tls", "plaintext")).status, 0);
    assert.equal((await server.posthorn("tls", "plaintext", "--out")).status, 1);
  });
}
