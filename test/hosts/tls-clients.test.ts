/** What listeners ask of TLS clients, and what they do with those that do not fit, in one process and in many. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import {
  ownClientCertificate,
  testAuthority,
  type TestClientCertificate,
} from "../../src/testing/client-certificates.ts";
import { rawClient, type RawClient } from "../../src/testing/reception.ts";
import { requirePeer } from "../peers/peer.ts";
import { converse } from "../peers/running.ts";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const authority = await testAuthority();
const ann = await authority.issue("ann", { emails: ["ann@example.test"] });
const expired = await authority.issue("late", { notAfterDate: new Date(Date.now() - 60_000) });
/** Says of itself what only the authority may say. */
const liar = await ownClientCertificate("ann", { emails: ["ann@example.test"] });
const listed = await ownClientCertificate("relay");

const colons = (hex: string): string => hex.toUpperCase().match(/../g)?.join(":") ?? "";

/** `smtp` offers STARTTLS and asks; `smtps` asks too, and takes no mail without login; `submission` has to be verified. */
function start(layout: Layout, more = ""): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-certificates-"));
  const authorities = join(folder, "authorities.pem");
  writeFileSync(authorities, authority.certificate, { mode: 0o644 });
  return startServer({
    layout,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 1 }
local: { domains: [here.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, client-authorities: ${authorities}, client-identities: "table:certificates" }
  - name: smtps
    address: 127.0.0.1
    port: {smtps}
    protocol: submission
    tls: implicit
    client-authorities: ${authorities}
    client-identities: table:certificates
    limits: { exempt: [], handshakes-per-second: 1000, handshake-rate: 0, connection-rate: 0 }
  - { name: verified, address: 127.0.0.1, port: {submission}, client-certificate: verify, client-authorities: ${authorities} }
tables:
  certificates:
    map:
      "${colons(listed.fingerprint)}": ""
      "ann@example.test": ann
actions:
  elsewhere: { deliver: discard }
rules:
  - match: { for: local }
    action: deliver
  - match: { from: certificate }
    action: elsewhere
  - match: { auth: ann }
    action: elsewhere
${more}`,
  });
}

async function secure(port: number, certificate?: TestClientCertificate): Promise<RawClient> {
  const options: ConnectionOptions = {
    port,
    host: "127.0.0.1",
    servername: "mx.posthorn.test",
    rejectUnauthorized: false,
    ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
  };
  const socket = connectTls(options);
  const client = rawClient(socket);
  await once(socket, "secureConnect");
  return client;
}

async function afterHello(client: RawClient): Promise<string> {
  await client.expect(/^220 .*\r\n/m);
  return await client.say("EHLO client.test\r\n", /^250 .*\r\n/m);
}

/** However it ends. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => void socket.once("close", () => resolve()));

const reply = (client: RawClient, line: string): Promise<string> => client.say(`${line}\r\n`, /^\d{3} .*\r\n/m);

for (const layout of LAYOUTS) {
  test(`${layout}: a verified certificate logs in by AUTH EXTERNAL; one that says the same of itself does not`, async () => {
    await using server = await start(layout);
    const client = await secure(server.ports.smtps, ann);
    assert.match(await afterHello(client), /AUTH PLAIN LOGIN EXTERNAL\r\n/);
    assert.match(await reply(client, "MAIL FROM:<ann@example.test>"), /^530/);
    assert.match(await reply(client, `AUTH EXTERNAL ${Buffer.from("root").toString("base64")}`), /^535/);
    assert.match(await reply(client, "AUTH EXTERNAL ="), /^235/);
    assert.match(await reply(client, "MAIL FROM:<ann@example.test>"), /^250/);
    assert.match(await reply(client, "RCPT TO:<joe@far.test>"), /^250/);
    assert.match(await reply(client, "RCPT TO:<joe@here.test>"), /^250/);
    assert.match(await reply(client, "DATA"), /^354/);
    assert.match(await reply(client, "Subject: x\r\n\r\nhello\r\n."), /^250/);
    await reply(client, "QUIT");
    const [mail = ""] = await server.waitForMails("joe", 1);
    const received = mail.replace(/\r?\n[ \t]+/g, " ");
    assert.match(
      received,
      /with ESMTPSA id \w+ \(version=TLSv1\.3 cipher=TLS_\w+ bits=(?:128|256) group=\S+ verify=OK\)/,
    );
    await server.waitForOutput(/: client=localhost\[127\.0\.0\.1\], sasl_method=EXTERNAL, sasl_username=ann\n/);
    await server.waitForOutput(/Trusted TLS connection established from localhost\[127\.0\.0\.1\]/);

    const other = await secure(server.ports.smtps, liar);
    assert.doesNotMatch(await afterHello(other), /EXTERNAL/);
    assert.match(await reply(other, "AUTH EXTERNAL ="), /^504/);
    assert.match(await reply(other, "MAIL FROM:<ann@example.test>"), /^530/);
    await reply(other, "QUIT");
    await server.waitForOutput(/Untrusted TLS connection established from localhost\[127\.0\.0\.1\]/);
  });

  test(`${layout}: another server logs in by its certificate where its credentials say so, and waits where it shows none`, async () => {
    await using host = await start("single");
    const folder = mkdtempSync(join(tmpdir(), "posthorn-certificates-"));
    const [certificate, key] = [join(folder, "ann.pem"), join(folder, "ann.key")];
    writeFileSync(certificate, ann.certificate);
    writeFileSync(key, ann.key, { mode: 0o600 });
    const sending = (policy: string): Promise<TestServer> =>
      startServer({
        layout,
        settings: `certificates: [ { label: server, certificate: ${certificate}, key: ${key}, names: [ours.test] } ]
credentials: { branch: { external: yes } }
delivery: { tls: { policy: { "127.0.0.1": ${policy} } } }
actions: { out: { relay: { to: "smtps://branch@127.0.0.1:${host.ports.smtps}", verify: no } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`,
      });
    const send = async (server: TestServer): Promise<void> => {
      const mail = { from: "ann@localhost", to: "joe@here.test", content: "Subject: x\n\nby certificate" };
      assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
    };
    await using server = await sending("{ level: encrypt, certificate: server }");
    await send(server);
    await server.waitForOutput(/status=sent/);
    await host.waitForMails("joe", 1);
    await host.waitForOutput(/: client=localhost\[127\.0\.0\.1\], sasl_method=EXTERNAL, sasl_username=ann\n/);

    await using bare = await sending("encrypt");
    await send(bare);
    await bare.waitForOutput(/status=deferred .*the credentials branch are a certificate, and none is shown there/);
  });

  test(`${layout}: openssl s_client logs in by its certificate`, async (t) => {
    const openssl = requirePeer("openssl", t);
    if (openssl === undefined) return;
    await using server = await start(layout);
    const certificate = join(server.folder, "ann.pem");
    writeFileSync(certificate, `${ann.certificate}\n${ann.key}`);
    const dial = ["s_client", "-quiet", "-connect", `127.0.0.1:${server.ports.smtps}`, "-cert", certificate];
    const { output } = await converse(openssl, dial, [
      [/^220 .*\r?\n/m, "EHLO openssl.test"],
      [/^250 .*\r?\n/m, "AUTH EXTERNAL"],
      [/^334 .*\r?\n/m, Buffer.from("Ann").toString("base64")],
      [/^235 .*\r?\n/m, "MAIL FROM:<ann@example.test>"],
      [/^250 .*\r?\n/m, "QUIT"],
    ]);
    assert.match(output, /^221 /m);
  });

  test(`${layout}: a resumed session is the same client as the first, and no other certificate's`, async () => {
    await using server = await start(layout);
    const sessions: Buffer[] = [];
    const dial = async (session?: Buffer): Promise<{ offer: string; isResumed: boolean }> => {
      const socket = connectTls({
        port: server.ports.smtps,
        host: "127.0.0.1",
        rejectUnauthorized: false,
        maxVersion: "TLSv1.3",
        cert: ann.certificate,
        key: ann.key,
        ...(session === undefined ? {} : { session }),
      });
      socket.on("session", (kept: Buffer) => sessions.push(kept));
      const client = rawClient(socket);
      await once(socket, "secureConnect");
      const offer = await afterHello(client);
      const isResumed = socket.isSessionReused();
      await reply(client, "QUIT");
      return { offer, isResumed };
    };
    assert.match((await dial()).offer, /EXTERNAL/);
    const again = await dial(sessions[0]);
    assert.equal(again.isResumed, true);
    assert.match(again.offer, /EXTERNAL/);
    await server.waitForOutput(/Trusted TLS connection established from .*resumed/);
    // Without any session of that client, nothing of it is left.
    const stranger = await secure(server.ports.smtps);
    assert.doesNotMatch(await afterHello(stranger), /EXTERNAL/);
    await reply(stranger, "QUIT");
  });

  test(`${layout}: a certificate that is listed relays without a login, after STARTTLS, and Received does not call it verified`, async () => {
    await using server = await start(layout);
    const relay = async (certificate: TestClientCertificate | undefined): Promise<string> => {
      const plain = rawClient(server.ports.smtp);
      await afterHello(plain);
      await plain.say("STARTTLS\r\n", /^220 .*\r\n/m);
      plain.socket.removeAllListeners("data");
      const socket = connectTls({
        socket: plain.socket,
        rejectUnauthorized: false,
        ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
      });
      const client = rawClient(socket);
      await once(socket, "secureConnect");
      await client.say("EHLO client.test\r\n", /^250 .*\r\n/m);
      await reply(client, "MAIL FROM:<a@far.test>");
      const far = await reply(client, "RCPT TO:<b@far.test>");
      await reply(client, "RCPT TO:<joe@here.test>");
      await reply(client, "DATA");
      await reply(client, `Subject: ${certificate === undefined ? "none" : "some"}\r\n\r\nhello\r\n.`);
      await reply(client, "QUIT");
      return far;
    };
    assert.match(await relay(listed), /^250/);
    assert.match(await relay(liar), /^550 5\.7\.1/);
    assert.match(await relay(undefined), /^550 5\.7\.1/);
    const mails = await server.waitForMails("joe", 3);
    for (const mail of mails) {
      const verify = /^Subject: none/m.test(mail) ? "NONE" : "FAIL";
      assert.match(mail.replace(/\r?\n[ \t]+/g, " "), new RegExp(`with ESMTPS id .* verify=${verify}\\)`));
      assert.doesNotMatch(mail, /verify=OK/);
    }
  });

  test(`${layout}: where a certificate has to be verified, the client is told in words what is wrong with its own`, async () => {
    await using server = await start(layout);
    const answer = async (certificate: TestClientCertificate | undefined): Promise<string> => {
      const plain = rawClient(server.ports.submission);
      await afterHello(plain);
      assert.match(await reply(plain, "MAIL FROM:<a@b.test>"), /^530 5\.7\.0 Must issue a STARTTLS/);
      await plain.say("STARTTLS\r\n", /^220 .*\r\n/m);
      plain.socket.removeAllListeners("data");
      const socket = connectTls({
        socket: plain.socket,
        rejectUnauthorized: false,
        ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
      });
      const client = rawClient(socket);
      await once(socket, "secureConnect");
      await client.say("EHLO client.test\r\n", /^250 .*\r\n/m);
      const said = await reply(client, "MAIL FROM:<a@b.test>");
      await reply(client, "QUIT");
      return said;
    };
    assert.match(await answer(ann), /^250/);
    assert.match(await answer(undefined), /^530 5\.7\.0 A client certificate is required/);
    assert.match(await answer(liar), /^530 5\.7\.0 Your client certificate is not accepted: .*signed by itself/);
    assert.match(await answer(expired), /^530 5\.7\.0 Your client certificate is not accepted: .*expired on \d{4}-/);
  });

  test(`${layout}: TLS on a plaintext port, plaintext on a TLS port and injections are named and closed; others feel nothing`, async () => {
    await using server = await start(layout);
    const talking = await secure(server.ports.smtps);
    await afterHello(talking);

    const tls = connectTls({ port: server.ports.smtp, host: "127.0.0.1", servername: "asked.example" });
    tls.on("error", () => {});
    await closed(tls);
    const [line] = await server.waitForOutput(/TLS handshake on the plaintext port of smtp from .*\n/);
    assert.match(line, /asked\.example/);
    assert.match(line, /ja4=t13d\w+/);

    for (const [bytes, named] of [
      ["EHLO old.example\r\n", /plain SMTP .*EHLO old\.example/],
      ["GET / HTTP/1.1\r\n\r\n", /HTTP .*GET \//],
      ["\x00\x01\x02garbage", /no TLS/],
    ] as const) {
      const socket = connect(server.ports.smtps, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      socket.write(bytes);
      await closed(socket);
      await server.waitForOutput(named);
    }

    for (const pieces of [["STARTTLS\r\nMAIL FROM:<evil@far.test>\r\n"], ["STARTTLS\r\n", "RSET\r\n"]]) {
      const socket = connect({ port: server.ports.smtp, host: "127.0.0.1", noDelay: true });
      const client = rawClient(socket);
      await afterHello(client);
      for (const piece of pieces) client.send(piece);
      const said = await client.rest();
      // Behind our reply it is no longer ours to see: then it is the first of the handshake, and ends that.
      assert.match(said, /^(?:554 5\.5\.0|220 2\.0\.0)[^\r]*\r\n$/);
    }
    await server.waitForOutput(/injection from \S+\[127\.0\.0\.1\]: 27 bytes of plaintext behind STARTTLS/);
    assert.match(await reply(talking, "NOOP"), /^250/);
    await reply(talking, "QUIT");
  });

  test(`${layout}: a mail cut off inside DATA is none, and the log says how the TLS side ended`, async (t) => {
    const openssl = requirePeer("openssl", t);
    if (openssl === undefined) return;
    await using server = await start(layout);
    const inData = async (): Promise<RawClient> => {
      const client = await secure(server.ports.smtps, listed);
      await afterHello(client);
      await reply(client, "MAIL FROM:<a@far.test>");
      await reply(client, "RCPT TO:<joe@here.test>");
      await reply(client, "DATA");
      client.send("Subject: half\r\n\r\nhalf a line");
      return client;
    };
    const clean = await inData();
    clean.socket.end();
    await server.waitForOutput(/lost connection after DATA from \S+\[127\.0\.0\.1\] \(TLS: ended with close_notify\)/);

    // s_client sends what it read and is killed: its system ends TCP, and nobody says goodbye to TLS.
    const certificate = join(server.folder, "client.pem");
    writeFileSync(certificate, `${listed.certificate}\n${listed.key}`);
    const arguments_ = ["s_client", "-quiet", "-connect", `127.0.0.1:${server.ports.smtps}`, "-cert", certificate];
    const killed = spawn(openssl, arguments_, { stdio: ["pipe", "pipe", "ignore"] });
    let heard = "";
    killed.stdout.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")));
    // Several replies may come in one piece.
    const hears = async (reply: RegExp): Promise<void> => {
      for (let looks = 0; !reply.test(heard); looks++) {
        assert.ok(looks < 500, `waited 10 s for ${reply}, heard ${heard}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    for (const [line, reply] of [
      ["EHLO x", /^250 /m],
      ["MAIL FROM:<a@far.test>", /^250 2\.1\.0/m],
      ["RCPT TO:<joe@here.test>", /^250 2\.1\.5/m],
      ["DATA", /^354 /m],
    ] as const) {
      killed.stdin.write(`${line}\r\n`);
      await hears(reply);
    }
    killed.stdin.write("Subject: cut\r\n\r\nhalf\r\n");
    await new Promise((resolve) => setTimeout(resolve, 300));
    killed.kill("SIGKILL");
    await once(killed, "exit");
    await server.waitForOutput(
      /lost connection after DATA from \S+\[127\.0\.0\.1\] \(TLS: (?:ended without close_notify|reset)\)/,
    );
    assert.deepEqual(server.mailsOf("joe"), []);
    await server.posthorn("queue", "list").then(({ stdout }) => assert.doesNotMatch(stdout, /a@far\.test/));
  });

  test(`${layout}: an idle TLS client that answers nothing holds up a stop by less than its goodbye may take`, async () => {
    await using server = await start(layout, "session: { tls-close-timeout: 1m }\n");
    const raw = connect({ port: server.ports.smtps, host: "127.0.0.1", allowHalfOpen: true });
    const socket = connectTls({ socket: raw, rejectUnauthorized: false });
    socket.on("error", () => {});
    const client = rawClient(socket);
    await afterHello(client);
    const startedAt = performance.now();
    assert.equal(await server.stop(), 0);
    assert.ok(performance.now() - startedAt < 50_000, `the stop took ${Math.round(performance.now() - startedAt)} ms`);
    socket.destroy();
  });
}
