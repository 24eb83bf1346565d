/** Certificates over ACME from Debian's pebble: both challenges, renewal, refusals, an authority that hangs, restarts. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { a, startDnsServer } from "../dns-server.ts";
import { makeCertificate } from "./certificate.ts";
import { startPebble, type Pebble, type PebbleOptions } from "./pebble.ts";
import { hasPeer } from "./running.ts";
import { freePort, LAYOUTS, startServer, type TestServer } from "../server.ts";

const NAMES = ["mx.posthorn.test", "mail.posthorn.test"];

interface World extends AsyncDisposable {
  readonly pebble: Pebble;
  readonly httpPort: number;
  readonly alpnPort: number;
}

async function world(options: Partial<PebbleOptions> = {}): Promise<World> {
  const dns = await startDnsServer(
    Object.fromEntries([...NAMES, "other.posthorn.test"].map((name) => [name, [a("127.0.0.1")]])),
  );
  const httpPort = await freePort();
  const alpnPort = await freePort();
  const pebble = await startPebble({ dns: dns.at, httpPort, tlsPort: alpnPort, ...options });
  return {
    pebble,
    httpPort,
    alpnPort,
    async [Symbol.asyncDispose]() {
      await pebble[Symbol.asyncDispose]();
      await dns[Symbol.asyncDispose]();
    },
  };
}

function settings(
  { pebble, httpPort, alpnPort }: Pick<World, "pebble" | "httpPort" | "alpnPort">,
  more: { acme?: string; names?: readonly string[]; certificate?: string } = {},
): string {
  return `certificates:
  - { label: mx, acme: [${(more.names ?? NAMES).join(", ")}]${more.certificate ?? ""} }
acme:
  directory: ${pebble.directory}
  ca-file: ${pebble.caFile}
  email: postmaster@posthorn.test
  terms-agreed: true
  http: { address: 127.0.0.1, port: ${httpPort} }
  tls-alpn: { address: 127.0.0.1, port: ${alpnPort} }
${more.acme ?? ""}`;
}

/** What a client of the listener with implicit TLS sees, and the connection itself. */
async function shownTo(
  server: TestServer,
  servername = "mx.posthorn.test",
): Promise<{ certificate: PeerCertificate; socket: TLSSocket }> {
  const socket = connect({ port: server.ports.smtps, host: "127.0.0.1", servername, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return { certificate: socket.getPeerCertificate(), socket };
}

async function fingerprintOf(server: TestServer, servername?: string): Promise<string> {
  const { certificate, socket } = await shownTo(server, servername);
  socket.destroy();
  return certificate.fingerprint256;
}

function skip(t: TestContext): boolean {
  return !hasPeer("pebble", t);
}

for (const layout of LAYOUTS) {
  test(`${layout}: a certificate is issued over http-01, in force for new connections, renewed on demand, and no connection is dropped`, async (t) => {
    if (skip(t)) return;
    await using ca = await world();
    await using server = await startServer({ layout, settings: settings(ca) });
    // Until then the server's own serves.
    const first = await shownTo(server);
    assert.equal(first.certificate.issuer.CN, "mx.posthorn.test");
    await once(first.socket, "data");

    await server.waitForOutput(
      /certificate mx \(ec\) for mx\.posthorn\.test, mail\.posthorn\.test issued, valid until/,
    );
    const issued = await shownTo(server);
    assert.match(String(issued.certificate.issuer.CN), /Pebble/);
    assert.equal(issued.certificate.subjectaltname, "DNS:mx.posthorn.test, DNS:mail.posthorn.test");
    await once(issued.socket, "data");
    const file = join(server.folder, "data", "tls", "kept", "mx", "ec.pem");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.match(readFileSync(file, "utf8"), /PRIVATE KEY[^]*CERTIFICATE/);

    const listed = await server.posthorn("tls", "certificates");
    assert.match(
      listed.stdout,
      /^mx +mx\.posthorn\.test, mail\.posthorn\.test +ec +in \S.* smtp, submission, smtps +in /m,
    );

    const renewed = await server.posthorn("tls", "renew", "mail.posthorn.test");
    assert.deepEqual([renewed.status, renewed.stdout], [0, "mx: asked for\n"]);
    await server.waitForOutput(/certificate mx \(ec\) for .* renewed \(asked\)/);
    // Two ingress processes take connections by turns.
    for (let connection = 0; connection < 8; connection++)
      assert.notEqual(await fingerprintOf(server), issued.certificate.fingerprint256);
    for (const { socket } of [first, issued]) {
      socket.write("NOOP\r\n");
      const [reply] = await once(socket, "data");
      assert.match(String(reply), /^250/);
      socket.destroy();
    }
    const other = await server.posthorn("tls", "renew", "nobody.test");
    assert.deepEqual([other.status, other.stdout], [1, "no certificate of ACME is called nobody.test\n"]);
  });
}

test("certificates with both kinds of key are issued over tls-alpn-01, and serve together", async (t) => {
  if (skip(t)) return;
  await using ca = await world();
  await using server = await startServer({
    layout: "split",
    settings: settings(ca, { acme: "  challenge: tls-alpn-01", certificate: ", key-kind: both" }),
  });
  await server.waitForOutput(/certificate mx \(ec\).* issued/);
  await server.waitForOutput(/certificate mx \(rsa\).* issued/);
  const kinds = await Promise.all(
    ["ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256"].map(async (sigalgs) => {
      const socket = connect({
        port: server.ports.smtps,
        host: "127.0.0.1",
        servername: NAMES[0],
        rejectUnauthorized: false,
        sigalgs,
      });
      await once(socket, "secureConnect");
      const kind = socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType;
      socket.destroy();
      return kind;
    }),
  );
  assert.deepEqual(kinds, ["ec", "rsa"]);
});

test("where a listener has the port of tls-alpn-01, it answers the authority", async (t) => {
  if (skip(t)) return;
  await using dns = await startDnsServer({ "mx.posthorn.test": [a("127.0.0.1")] });
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  await using pebble = await startPebble({ dns: dns.at, tlsPort: ports.smtps });
  await using server = await startServer({
    layout: "split",
    ports,
    settings: settings(
      { pebble, httpPort: await freePort(), alpnPort: ports.smtps },
      { acme: "  challenge: tls-alpn-01", names: ["mx.posthorn.test"] },
    ),
  });
  await server.waitForOutput(/certificate mx \(ec\) for mx\.posthorn\.test issued/);
  assert.match(String((await shownTo(server)).certificate.issuer.CN), /Pebble/);
});

test("a certificate is renewed in time by itself", async (t) => {
  if (skip(t)) return;
  await using ca = await world({ validSeconds: 20 });
  await using server = await startServer({ layout: "split", settings: settings(ca) });
  await server.waitForOutput(/certificate mx \(ec\).* issued/);
  const first = await fingerprintOf(server);
  await server.waitForOutput(/certificate mx \(ec\).* renewed \(renewal\)/, 20_000);
  assert.notEqual(await fingerprintOf(server), first);
});

test("a restart keeps the certificate and asks for nothing; a reload with other names asks anew", async (t) => {
  if (skip(t)) return;
  await using ca = await world();
  const folder = mkdtempSync(join(tmpdir(), "posthorn-acme-"));
  chmodSync(folder, 0o755);
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const options = { layout: "split", folder, ports, settings: settings(ca) } as const;
  let issued = "";
  {
    await using server = await startServer(options);
    await server.waitForOutput(/certificate mx \(ec\).* issued/);
    issued = await fingerprintOf(server);
    await server.kill();
  }
  await using server = await startServer(options);
  assert.equal(await fingerprintOf(server), issued);
  await wait(1500);
  assert.doesNotMatch(server.output(), /certificate mx .*(issued|renewed)/);
  server.rewrite({ settings: settings(ca, { names: [...NAMES, "other.posthorn.test"] }) });
  assert.equal((await server.posthorn("reload")).status, 0);
  await server.waitForOutput(/certificate mx \(ec\).*other\.posthorn\.test renewed \(names\)/);
  assert.match((await shownTo(server)).certificate.subjectaltname ?? "", /other\.posthorn\.test/);
});

test("an authority that refuses a name, or does not find us, is told of with a cure and a next try; restarts do not shorten the wait", async (t) => {
  if (skip(t)) return;
  await using ca = await world({ refuses: ["other.posthorn.test"] });
  const folder = mkdtempSync(join(tmpdir(), "posthorn-acme-"));
  chmodSync(folder, 0o755);
  const refused = { layout: "single", folder, settings: settings(ca, { names: ["other.posthorn.test"] }) } as const;
  {
    await using server = await startServer(refused);
    const [line] = await server.waitForOutput(/error: certificate mx \(ec\) not issued: .*/);
    assert.match(line, /the authority says: .*other\.posthorn\.test.*; the authority does not issue for this name/);
    assert.match(line, /failure 1, next try in [5-6]m/);
    const listed = await server.posthorn("tls", "certificates");
    assert.match(listed.stdout, /^mx +other\.posthorn\.test +ec +not issued yet +- +in \d/m);
    assert.match(listed.stdout, /cure: the authority does not issue for this name[^]*failures: 1, next try/);
    await server.stop();
  }
  {
    await using server = await startServer(refused);
    await wait(2000);
    assert.doesNotMatch(server.output(), /not issued/);
    await server.posthorn("tls", "renew", "mx");
    await server.waitForOutput(/not issued: .*failure 2, next try in 2\dm/);
    await server.stop();
  }
  // Pebble asks at a port where nobody is.
  await using lost = await world({ httpPort: await freePort() });
  await using server = await startServer({ settings: settings(lost, { acme: "  first-retry: 1s" }) });
  const [line] = await server.waitForOutput(/error: certificate mx \(ec\) not issued: .*/);
  assert.match(
    line,
    /does not believe that m\w+\.posthorn\.test is ours: .*; the authority cannot connect to this host/,
  );
  await server.waitForOutput(/failure 2, next try in [45]s/);
});

test("an authority that wants to know its customers gets the binding of the account, and says so without it", async (t) => {
  if (skip(t)) return;
  const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
  await using ca = await world({ bindings: { "kid-1": key } });
  {
    await using server = await startServer({ settings: settings(ca) });
    await server.waitForOutput(/not issued: the authority says: .*set `acme\.eab`/);
  }
  const folder = mkdtempSync(join(tmpdir(), "posthorn-eab-"));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "eab.key"), `${key}\n`, { mode: 0o600 });
  await using server = await startServer({
    layout: "split",
    settings: settings(ca, { acme: `  eab: { key-id: kid-1, key-file: ${join(folder, "eab.key")} }` }),
  });
  await server.waitForOutput(/certificate mx \(ec\).* issued/);
});

test("an authority that hangs, cannot be reached, or cannot be verified is told apart, and mail flows on", async (t) => {
  if (skip(t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-acme-"));
  const { certificate, key } = await makeCertificate(folder);
  chmodSync(folder, 0o755);
  const hanging = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, () => {}).listen(
    0,
    "127.0.0.1",
  );
  await once(hanging, "listening");
  t.after(() => {
    hanging.closeAllConnections();
    hanging.close();
  });
  const address = hanging.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const at = (directory: string, caFile: string, more = ""): string =>
    settings(
      {
        pebble: { directory, caFile, log: () => "", [Symbol.asyncDispose]: async () => {} },
        httpPort,
        alpnPort: 1,
      },
      { acme: `  deadline: 1500ms\n${more}` },
    );
  const httpPort = await freePort();
  {
    await using server = await startServer({ settings: at(`https://127.0.0.1:${port}/dir`, certificate) });
    await server.waitForOutput(/not issued: the authority had not issued it after 2 s; the authority is slow or gone/);
    const { socket } = await shownTo(server);
    const [greeting] = await once(socket, "data");
    assert.match(String(greeting), /^220/);
    socket.destroy();
    // Stopping does not wait for it either.
    const startedAt = Date.now();
    await server.posthorn("tls", "renew");
    assert.equal(await server.stop(), 0);
    assert.ok(Date.now() - startedAt < 30_000);
  }
  {
    await using server = await startServer({ settings: at(`https://127.0.0.1:${await freePort()}/dir`, certificate) });
    await server.waitForOutput(/not issued: 127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/);
  }
  const other = mkdtempSync(join(tmpdir(), "posthorn-acme-"));
  chmodSync(other, 0o755);
  const { certificate: another } = await makeCertificate(other);
  await using server = await startServer({ settings: at(`https://127.0.0.1:${port}/dir`, another) });
  await server.waitForOutput(
    /not issued: the certificate of 127\.0\.0\.1:\d+ cannot be verified: .*set `acme\.ca-file`/,
  );
});

test("the answerer for http-01 tells nobody anything but the authority's tokens, and lets nobody sit there", async (t) => {
  if (skip(t)) return;
  await using ca = await world();
  await using server = await startServer({ settings: settings(ca) });
  await server.waitForOutput(/certificate mx \(ec\).* issued/);
  const ask = async (text: string): Promise<string> => {
    const socket = connectPlain(ca.httpPort, "127.0.0.1");
    let answer = "";
    socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
    socket.on("error", () => {});
    socket.write(text);
    await once(socket, "close");
    return answer;
  };
  for (const path of [
    "/",
    "/.well-known/acme-challenge/",
    "/.well-known/acme-challenge/x",
    "/.well-known/acme-challenge/../../etc/passwd",
  ])
    assert.match(await ask(`GET ${path} HTTP/1.1\r\nHost: mx.posthorn.test\r\n\r\n`), /^HTTP\/1\.1 404 /);
  assert.match(
    await ask("POST /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"),
    /^HTTP\/1\.1 404 /,
  );
  assert.doesNotMatch(await ask("\x16\x03\x01\x00\x05hello\r\n\r\n"), /200/);
  const startedAt = Date.now();
  await ask("GET / HTTP/1.1\r\nHost: ");
  assert.ok(Date.now() - startedAt < 60_000);
});
