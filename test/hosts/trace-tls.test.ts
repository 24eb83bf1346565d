import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { connect as tcpConnect } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { LAYOUTS, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Through implicit TLS: each line when the answer to the one before has come. */
async function dialogue(port: number, lines: readonly string[]): Promise<void> {
  const socket = tlsConnect({ socket: tcpConnect(port, "127.0.0.1"), rejectUnauthorized: false });
  socket.on("error", () => {});
  await once(socket, "data");
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    await once(socket, "data");
  }
  socket.end();
  await once(socket, "close");
}

const tracesIn = (server: TestServer): number => server.output().match(/TLS trace /g)?.length ?? 0;

for (const layout of LAYOUTS) {
  test(`${layout}: a trace shows connections of its target from now on, until it is ended`, async () => {
    await using server = await startServer({ layout });
    await dialogue(server.ports.smtps, ["QUIT"]);
    await server.waitForOutput(/TLS connection established from/);
    assert.equal(tracesIn(server), 0);
    assert.equal((await server.posthorn("trace", "tls")).status, 1);

    const mistyped = await server.posthorn("trace", "tls", "3", "--listener", "smpts");
    assert.equal(mistyped.status, 64, mistyped.stdout);
    assert.match(mistyped.stderr, /there is no listener "smpts"\n.*the listeners are: smtp, submission, smtps\n/);

    const set = await server.posthorn("trace", "tls", "3", "--peer", "127.0.0.0/8", "--for", "5m");
    assert.equal(set.status, 0, set.stderr);
    assert.match(set.stdout, /^TLS of peer 127\.0\.0\.0\/8 is traced at level 3 until /);
    const listed = await server.posthorn("trace", "tls", "--json");
    assert.deepEqual(
      listed.stdout
        .trimEnd()
        .split("\n")
        .map((line) => {
          const { target, level } = JSON.parse(line) as Record<string, unknown>;
          return { target, level };
        }),
      [{ target: { by: "peer", value: "127.0.0.0/8" }, level: 3 }],
    );
    await wait(1000);
    await dialogue(server.ports.smtps, ["QUIT"]);
    await server.waitForOutput(/TLS trace \S+ \w+\[127\.0\.0\.1\]: <-- \d+ ms ClientHello: TLSv1\.3 TLSv1\.2/);
    await server.waitForOutput(/TLS trace .*: <-- 00000000 {2}16 03 01 /);
    await server.waitForOutput(/TLS trace .*: --> \d+ ms ServerHello: TLSv1\.3, TLS_AES/);

    const off = await server.posthorn("trace", "tls", "off", "--peer", "127.0.0.0/8");
    assert.equal(off.stdout, "1 trace ended\n");
    await wait(1000);
    const before = tracesIn(server);
    await dialogue(server.ports.smtps, ["QUIT"]);
    await wait(1000);
    assert.equal(tracesIn(server), before);
  });

  test(`${layout}: decrypted dialogues go into a file of their owner's alone, without AUTH, and nowhere else`, async () => {
    await using server = await startServer({ layout });
    const set = await server.posthorn("trace", "tls", "1", "--listener", "smtps", "--decrypted", "--size", "100KiB");
    assert.equal(set.status, 0, set.stderr);
    const path = /decrypted content goes into (\S+)\n$/.exec(set.stdout)?.[1] ?? "";
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await wait(1000);
    await dialogue(server.ports.smtps, [
      "EHLO client.test",
      "AUTH PLAIN AGFubgBzM2NyM3Q=",
      "NOOP for-the-file-only",
      "QUIT",
    ]);
    for (let tries = 0; tries < 600 && !readFileSync(path, "utf8").includes("221 "); tries++) await wait(100);
    const text = readFileSync(path, "utf8");
    assert.match(text, / C: EHLO client\.test\n/);
    assert.match(text, / S: 250-/);
    assert.match(text, / C: AUTH PLAIN \[hidden\]\n/);
    assert.match(text, / C: NOOP for-the-file-only\n/);
    assert.match(text, / S: 221 /);
    assert.doesNotMatch(text, /AGFu|s3cr3t/);
    assert.doesNotMatch(server.output(), /for-the-file-only|AGFu/);
    const told = await server.posthorn("log", "--since", "10m", "--json");
    assert.doesNotMatch(told.stdout, /for-the-file-only|AGFu/);
  });

  test(`${layout}: what we send is traced by relay, and settings trace without a command`, async () => {
    await using receiver = await startServer({
      layout,
      settings: "local: { domains: [there.test] }\ntls: { trace: { listeners: { smtp: 0 } } }\n",
    });
    await using sender = await startServer({
      layout,
      settings: `actions: { out: { relay: { to: "smtp+tls://127.0.0.1:${receiver.ports.smtp}" } } }
rules: [ { match: { from: local }, action: out } ]
tls: { trace: { relays: { "127.0.0.1:${receiver.ports.smtp}": 2 } } }
`,
    });
    await sendMail(sender.ports.smtp, { from: "a@here.test", to: "ada@there.test", content: "Subject: x\n\nx" });
    await receiver.waitForMails("ada", 1);
    await sender.waitForOutput(/TLS trace \S+ .*127\.0\.0\.1.*: --> \d+ ms ClientHello: TLSv1\.3/);
    // Level 0: the receiver says nothing of a handshake that works.
    assert.doesNotMatch(receiver.output(), /TLS connection established from/);
  });
}

test("a trace needs a target, one, and a level", async () => {
  await using server = await startServer();
  for (const [argv, words] of [
    [["3"], /--peer, --listener or --relay is missing/],
    [["5", "--peer", "a.example"], /expected a level from 0 to 4/],
    [["2", "--peer", "a.example", "--listener", "smtp"], /do not go together/],
    [["2", "--peer", "a.example", "--for", "2d"], /between 1s and 1d/],
    [["2", "--peer", "a.example", "--size", "1KiB"], /goes with --decrypted/],
  ] as const) {
    const { status, stderr } = await server.posthorn("trace", "tls", ...argv);
    assert.equal(status, 64, stderr);
    assert.match(stderr, words);
  }
});
