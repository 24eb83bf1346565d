import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { connect as tcpConnect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect, type ConnectionOptions } from "node:tls";
import { makeCertificate } from "../peers/certificate.ts";
import { requirePeer } from "../peers/peer.ts";
import { run } from "../peers/running.ts";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";

/** What an operator sees of TLS at three in the morning: failures are provoked, then the commands are asked. */

async function tcp(port: number): Promise<Socket> {
  const socket = tcpConnect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Says each line when the answer to the one before has come. */
async function talk(socket: Socket, lines: readonly string[]): Promise<void> {
  await once(socket, "data");
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    await once(socket, "data");
  }
}

/** Connects, says STARTTLS and begins a handshake. Settles when it has ended, with whether it worked. */
async function starttls(
  port: number,
  options: ConnectionOptions,
  then: readonly string[] = ["QUIT"],
): Promise<boolean> {
  const raw = await tcp(port);
  await talk(raw, ["EHLO client.test", "STARTTLS"]);
  const secure = tlsConnect({ socket: raw, rejectUnauthorized: false, ...options });
  const worked = await new Promise<boolean>((resolve) => {
    secure.on("error", () => resolve(false));
    secure.on("close", () => resolve(false));
    secure.once("secureConnect", () => resolve(true));
  });
  if (!worked) {
    raw.destroy();
    return false;
  }
  for (const line of then) {
    secure.write(`${line}\r\n`);
    await once(secure, "data");
  }
  secure.end();
  await once(secure, "close");
  return true;
}

interface Cluster {
  readonly reason: string;
  readonly place: string;
  readonly count: number;
  readonly sentence: string;
  readonly cure: string;
  readonly ja4?: string;
  readonly certificate?: string;
  readonly newest: readonly string[];
  readonly justThen: readonly { readonly what: string; readonly text: string }[];
  readonly next: { readonly plaintext: number; readonly tls: number; readonly leftAfter: Record<string, number> };
  readonly lastWorked?: { readonly peer: string };
}

async function failures(server: TestServer, ...more: readonly string[]): Promise<readonly Cluster[]> {
  const { stdout, stderr } = await server.posthorn("tls", "failures", "--json", ...more);
  assert.equal(stderr, "");
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Cluster);
}

/** The journal is a moment behind. */
async function until<Value>(ask: () => Promise<Value>, isGood: (value: Value) => boolean): Promise<Value> {
  for (let tries = 0; ; tries++) {
    const value = await ask();
    if (isGood(value) || tries > 300) return value;
    await wait(100);
  }
}

for (const layout of LAYOUTS) {
  test(`${layout}: each way to fail is found by its cause, with sentence, cure and client software`, async () => {
    await using server = await startServer({ layout });
    const { smtp, smtps } = server.ports;
    // Plain SMTP on the port of implicit TLS.
    const plain = await tcp(smtps);
    plain.write("EHLO plain.test\r\n");
    plain.resume();
    await once(plain, "close");
    // A client that stops behind its ClientHello, half of which it has sent.
    const leaving = await tcp(smtps);
    leaving.end(Buffer.from("16030100c8010000c40303", "hex"));
    leaving.resume();
    await once(leaving, "close");
    // An old client; then one that does not trust us: OpenSSL says so by an alert when it verifies.
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    assert.equal(await starttls(smtp, old), false);

    const found = await until(
      () => failures(server),
      (clusters) => clusters.length >= 3,
    );
    assert.deepEqual(found.map(({ reason, place }) => `${reason} ${place}`).sort(), [
      "peer-closed-mid-record smtps",
      "plain-smtp smtps",
      "version-mismatch smtp",
    ]);
    for (const { sentence, cure, count, newest } of found) {
      assert.match(sentence, /^The client .{20,}\.$/);
      assert.ok(cure.length > 10);
      assert.equal(count, 1);
      assert.equal(newest.length, 1);
    }
    const mismatch = found.find(({ reason }) => reason === "version-mismatch");
    assert.match(mismatch?.ja4 ?? "", /^t11/);
    assert.match(mismatch?.certificate ?? "", /^[0-9a-f]{64}$/);
    assert.equal(found.find(({ reason }) => reason === "plain-smtp")?.certificate, undefined);

    const text = await server.posthorn("tls", "failures");
    assert.match(text.stdout, /^3 failures of 3 kinds since /);
    assert.match(text.stdout, /version-mismatch, clients of smtp\n {6}The client speaks only TLSv1\.1/);
    assert.match(text.stdout, /just then +\S+ \S+ the server started: version /);
    assert.equal((await failures(server, "--place", "smtp")).length, 1);
    assert.equal((await failures(server, "--out")).length, 0);

    const id = mismatch?.newest[0] ?? "";
    const shown = await server.posthorn("tls", "show", id);
    assert.match(shown.stdout, /cause +version-mismatch/);
    assert.match(shown.stdout, /<-- +ClientHello: TLSv1\.1/);
    assert.match(shown.stdout, /--> +Alert: .*protocol_version/);
    assert.match(
      shown.stdout,
      /log +smtpd\[\d+\]: SSL_accept error from localhost\[127\.0\.0\.1\]: The client speaks only/,
    );
    const file = join(server.folder, "failed.pcapng");
    const saved = await server.posthorn("tls", "show", id, "--pcapng", file);
    assert.equal(saved.status, 0, saved.stderr);
    assert.equal(readFileSync(file).subarray(0, 4).toString("hex"), "0a0d0d0a");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const again = await server.posthorn("tls", "show", id, "--pcapng", file);
    assert.match(again.stderr, /cannot be written/);
    assert.ok(existsSync(file));
  });

  test(`${layout}: a client that does not trust our certificate says so, and that is what is told`, async (t) => {
    const openssl = requirePeer("openssl", t);
    if (openssl === undefined) return;
    await using server = await startServer({ layout });
    const at = `127.0.0.1:${server.ports.smtps}`;
    const { certificate: ofOthers } = await makeCertificate(server.folder);
    const { status } = await run(openssl, ["s_client", "-connect", at, "-verify_return_error", "-CAfile", ofOthers]);
    assert.notEqual(status, 0);
    const [cluster] = await until(
      () => failures(server),
      (found) => found.length === 1,
    );
    assert.equal(cluster?.reason, "certificate-unknown-authority");
    assert.match(cluster.sentence, /does not trust the issuer of our certificate/);
    assert.match(cluster.certificate ?? "", /^[0-9a-f]{64}$/);
  });

  test(`${layout}: a client that came back in plaintext and left after MAIL is linked to its failure`, async () => {
    await using server = await startServer({ layout });
    const { smtp } = server.ports;
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    assert.equal(await starttls(smtp, old), false);
    // Another process may take it when it comes back, and the journal links what it has heard of by then.
    await until(
      () => failures(server),
      (found) => found.length === 1,
    );
    const back = await tcp(smtp);
    await talk(back, ["EHLO client.test", "MAIL FROM:<ann@client.test>"]);
    back.destroy();
    const [cluster] = await until(
      () => failures(server),
      ([one]) => one?.next.leftAfter["MAIL"] === 1,
    );
    assert.equal(cluster?.next.plaintext, 1);
    assert.deepEqual(cluster?.next.leftAfter, { MAIL: 1 });
    const shown = await server.posthorn("tls", "show", cluster?.newest[0] ?? "");
    assert.match(shown.stdout, /next +the same client came back in plaintext \(session \S+\), and left after MAIL/);
    const told = await server.posthorn("tls", "failures");
    assert.match(told.stdout, /afterwards +1 came back in plaintext \(1 left after MAIL\)/);
  });

  test(`${layout}: what differed from the last working session, how connections closed, who used no encryption`, async () => {
    await using server = await startServer({ layout });
    const { smtp } = server.ports;
    assert.equal(await starttls(smtp, { servername: "mx.posthorn.test" }), true);
    // Ends TCP behind QUIT without a close_notify, as Python's smtplib does.
    const rude = await tcp(smtp);
    await talk(rude, ["EHLO client.test", "STARTTLS"]);
    const secure = tlsConnect({ socket: rude, rejectUnauthorized: false });
    secure.on("error", () => {});
    await once(secure, "secureConnect");
    secure.write("EHLO client.test\r\nQUIT\r\n");
    await once(secure, "data");
    rude.destroy();
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    assert.equal(await starttls(smtp, old), false);
    const plain = await tcp(smtp);
    await talk(plain, [
      "EHLO client.test",
      "MAIL FROM:<ann@client.test>",
      "RCPT TO:<bob@localhost>",
      "DATA",
      "Hi.\r\n.",
      "QUIT",
    ]);
    plain.destroy();

    const diff = await until(
      () => server.posthorn("tls", "diff", "127.0.0.1"),
      ({ status }) => status === 0,
    );
    assert.match(diff.stdout, /FAILED \w+ .*WORKED \w+ /);
    assert.match(diff.stdout, /versions offered +TLSv1\.1 +TLSv1\.3 TLSv1\.2\n/);
    assert.match(diff.stdout, /Nothing changed on our side between the two/);

    const closes = await until(
      () => server.posthorn("tls", "closes"),
      ({ stdout }) => / 2 +1 +1 +0 /.test(stdout),
    );
    assert.match(closes.stdout, /localhost\[127\.0\.0\.1\] +in +2 +1 +1 +0 +(reset|truncated) 1 /);
    assert.match(closes.stdout, /\nall +in +2 +1 +1 +0 /);

    const plaintext = await until(
      () => server.posthorn("tls", "plaintext"),
      ({ status }) => status === 0,
    );
    assert.match(
      plaintext.stdout,
      /localhost\[127\.0\.0\.1\] +in +smtp +1 .* listener smtp: tls is offered, and the client did not use it/,
    );
    await server.waitForOutput(/TLS connection from localhost\[127\.0\.0\.1\] closed clean after QUIT/);
    await server.waitForOutput(
      /TLS connection from localhost\[127\.0\.0\.1\] closed unclean: the peer .*nothing is lost/,
    );
  });

  test(`${layout}: a connection that ends inside DATA is a loss, and the story of the session says so`, async () => {
    await using server = await startServer({ layout });
    const raw = await tcp(server.ports.smtp);
    await talk(raw, ["EHLO client.test", "STARTTLS"]);
    const secure = tlsConnect({ socket: raw, rejectUnauthorized: false });
    secure.on("error", () => {});
    await once(secure, "secureConnect");
    for (const line of ["EHLO client.test", "MAIL FROM:<ann@client.test>", "RCPT TO:<bob@localhost>", "DATA"]) {
      secure.write(`${line}\r\n`);
      await once(secure, "data");
    }
    secure.write("Half of a line");
    await wait(50);
    raw.end();
    raw.resume();
    await server.waitForOutput(/closed unclean: .*inside DATA: what was being sent is incomplete and void/);
    const closes = await until(
      () => server.posthorn("tls", "closes", "--json"),
      ({ stdout }) => stdout.includes('"losses":1'),
    );
    assert.match(closes.stdout, /"losses":1/);
    const shown = await server.posthorn("tls", "show", "127.0.0.1", "--json");
    const { session } = JSON.parse(shown.stdout) as { session: string };
    const story = await server.posthorn("log", "--session", session);
    assert.match(story.stdout, /TLS connection established from localhost/);
    assert.match(story.stdout, /lost connection after DATA/);
    assert.match(story.stdout, /closed unclean: .*inside DATA/);
  });

  test(`${layout}: what changed just before failures began is told: a reload with the settings it changed`, async () => {
    await using server = await startServer({ layout, wholeSettings: settingsWith(layout, "TLSv1.2") });
    const { smtp } = server.ports;
    const client = { maxVersion: "TLSv1.2" } as const;
    assert.equal(await starttls(smtp, client), true);
    server.rewrite({ wholeSettings: settingsWith(layout, "TLSv1.3") });
    assert.equal((await server.posthorn("reload")).status, 0);
    assert.equal(await starttls(smtp, client), false);
    const [cluster] = await until(
      () => failures(server),
      (found) => found.length === 1,
    );
    assert.equal(cluster?.reason, "version-mismatch");
    assert.match(
      cluster.justThen.at(-1)?.text ?? "",
      /^settings reloaded by posthorn reload; changed: .*tls-min-version/,
    );
    assert.match(cluster.lastWorked?.peer ?? "", /127\.0\.0\.1/);
    const text = await server.posthorn("tls", "failures");
    assert.match(text.stdout, /before +it worked: /);
    const diff = await server.posthorn("tls", "diff", "127.0.0.1");
    assert.match(diff.stdout, /Changed on our side between the two:\n {2}\S+ \S+ settings reloaded/);
  });
}

function settingsWith(layout: Layout, tlsMinVersion: string): string {
  return `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 2 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp, tlsMinVersion: ${tlsMinVersion} }
`;
}

test("handshakes beyond a limit are among the failures, on either kind of port", async () => {
  const limits = "limits: { exempt: [], handshake-rate: 1 }";
  await using server = await startServer({
    layout: "single",
    wholeSettings: `state: ./data
processes: { layout: single }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, ${limits} }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, tls: implicit, protocol: submission, ${limits} }
`,
  });
  const { smtp, smtps } = server.ports;
  assert.equal(await starttls(smtp, {}), true);
  const refused = await tcp(smtp);
  await talk(refused, ["EHLO client.test", "STARTTLS", "QUIT"]);
  refused.destroy();
  for (let at = 0; at < 2; at++) {
    const socket = tlsConnect({ port: smtps, host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once(at === 0 ? "data" : "close", resolve));
    socket.destroy();
  }
  const found = await until(
    () => failures(server),
    (clusters) => clusters.length >= 2,
  );
  assert.deepEqual(found.map(({ reason, place, count }) => `${reason} ${place} ${count}`).sort(), [
    "too-many-handshakes smtp 1",
    "too-many-handshakes smtps 1",
  ]);
  const shown = await server.posthorn("tls", "show", found[0]?.newest[0] ?? "");
  assert.match(shown.stdout, /too-many-handshakes/);
});
