/** Each way a TLS handshake with a server fails, provoked for real, and what people read of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { createSecureContext, createServer as createTlsServer } from "node:tls";
import type { SecureContextOptions, TlsOptions } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { tlsClientEngine } from "../../src/service/tls/client.io.ts";
import type { TlsFinding } from "../../src/service/tls/finding/finding.ts";
import { explain } from "../../src/service/tls/finding/reasons.ts";
import type { ConnectOptions, TlsConnection } from "../../src/service/tls/tls.ts";
import { verify } from "../../src/service/tls/verify.ts";
import { record } from "../../src/testing/hello-bytes.ts";
import { testCertificates } from "./certificates.ts";
import { Golden } from "./golden.ts";
import { cleanups, program } from "./programs.ts";

const golden = new Golden("findings-client.golden.txt");
const certificates = await testCertificates();
const { good, selfSigned, expired, otherName, authority } = certificates;
const engine = tlsClientEngine({ clock: systemClock });

interface Setting extends Partial<Omit<ConnectOptions, "context" | "verify">> {
  readonly context?: SecureContextOptions;
  readonly fingerprints?: readonly string[];
  /** What to do with a connection whose handshake succeeded; without it its verdict has to be a bad one. */
  readonly after?: (connection: TlsConnection) => Promise<TlsFinding>;
}

/** Connects with our own client and gives what we made of the server. */
async function clientFinds(setting: Setting, port: number): Promise<TlsFinding> {
  const { after, context = {}, fingerprints, ...options } = setting;
  const raw = connectTcp(port, "127.0.0.1");
  await once(raw, "connect");
  try {
    const result = await engine.connect(raw, {
      deadlineMs: 30_000,
      serverName: "mx.example",
      ...options,
      context: createSecureContext({ minVersion: "TLSv1.2", ca: authority.cert, ...context }),
      verify: (shown) =>
        verify(
          shown,
          fingerprints === undefined
            ? { by: "authorities", names: ["mx.example"] }
            : { by: "fingerprint", fingerprints },
          Date.now(),
        ),
    });
    if (!result.ok) return result.finding;
    try {
      return await (after ?? byVerdict)(result.connection);
    } finally {
      result.connection.destroy();
    }
  } finally {
    raw.destroy();
    for (const end of cleanups.splice(0)) end();
  }
}

/** What is told of a server whose certificate did not pass: the handshake succeeded, and policy decides. */
function byVerdict(connection: TlsConnection): Promise<TlsFinding> {
  const { verdict } = connection.facts;
  assert.equal(verdict.result, "FAIL", "the handshake succeeded and the certificate is good");
  const flight = connection.flight();
  return Promise.resolve(
    explain({ role: "client", flight, end: "local", phase: "open", afterMs: 5, context: { verdict } }),
  );
}

/** What is told of a connection after its handshake. */
function found(connection: TlsConnection): Promise<TlsFinding> {
  connection.socket.resume();
  connection.socket.on("error", () => {});
  return new Promise((resolve) => connection.onFinding(resolve));
}

/** A server of raw bytes; `act` comes when the client has sent its hello. */
async function rawServer(act: (socket: Socket) => void): Promise<number> {
  const listener = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => act(socket));
    cleanups.push(() => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  cleanups.push(() => listener.close());
  return (listener.address() as AddressInfo).port;
}

/** A server of Node's; what goes wrong for it is not our concern. */
async function nodeServer(options: TlsOptions = {}, serve?: (raw: Socket) => void): Promise<number> {
  const listener = createTlsServer({ cert: good.cert, key: good.key, minVersion: "TLSv1.2", ...options });
  listener.on("tlsClientError", (_error, socket) => socket.destroy());
  listener.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.resume();
  });
  listener.on("connection", (raw: Socket) => {
    raw.on("error", () => {});
    serve?.(raw);
    cleanups.push(() => raw.destroy());
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  cleanups.push(() => listener.close());
  return (listener.address() as AddressInfo).port;
}

/** An honest server behind a relay that lets so many bytes of its answer through, then does something else. */
async function cutServer(passed: number, act: (socket: Socket) => void, options: TlsOptions = {}): Promise<number> {
  const behind = await nodeServer(options);
  const listener = createServer((client) => {
    const server = connectTcp(behind, "127.0.0.1");
    for (const socket of [client, server]) socket.on("error", () => {});
    client.pipe(server);
    let sent = 0;
    server.on("data", (chunk) => {
      const piece = chunk.subarray(0, passed - sent);
      if (piece.length === 0) return;
      client.write(piece);
      sent += piece.length;
      if (sent >= passed) setTimeout(() => act(client), 30);
    });
    cleanups.push(() => {
      client.destroy();
      server.destroy();
    });
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  cleanups.push(() => listener.close());
  return (listener.address() as AddressInfo).port;
}

const fatal = (alert: number): Buffer => record(21, Buffer.from([2, alert]));
const says =
  (bytes: Buffer | string) =>
  (socket: Socket): void =>
    void socket.end(bytes);

const cases: Readonly<Record<string, () => Promise<TlsFinding>>> = {
  "a server closes after our hello": async () => clientFinds({}, await rawServer((socket) => socket.end())),
  "a server resets after our hello": async () => clientFinds({}, await rawServer((socket) => socket.resetAndDestroy())),
  "a server does not answer a hello larger than a packet": async () =>
    clientFinds({ deadlineMs: 300 }, await rawServer(() => {})),
  "a server does not answer a small hello": async () =>
    clientFinds({ deadlineMs: 300, context: { ecdhCurve: "X25519" } }, await rawServer(() => {})),
  "a server speaks plain SMTP": async () => clientFinds({}, await rawServer(says("220 mx.example ESMTP ready\r\n"))),
  "a server refuses in plain SMTP": async () =>
    clientFinds({}, await rawServer(says("454 4.7.0 TLS not available due to local problem\r\n"))),
  "a server speaks HTTP": async () => clientFinds({}, await rawServer(says("HTTP/1.1 400 Bad Request\r\n\r\n"))),
  "a server speaks something else": async () => clientFinds({}, await rawServer(says("* OK IMAP4rev1 ready\r\n"))),
  "a server refuses with handshake_failure at once": async () => clientFinds({}, await rawServer(says(fatal(40)))),
  "a server refuses the name": async () => clientFinds({}, await rawServer(says(fatal(112)))),
  "a server meets an internal error": async () => clientFinds({}, await rawServer(says(fatal(80)))),
  "a server cannot read our hello": async () => clientFinds({}, await rawServer(says(fatal(50)))),
  "a server suspects a downgrade": async () => clientFinds({}, await rawServer(says(fatal(86)))),
  "a server finds our ciphers too weak": async () => clientFinds({}, await rawServer(says(fatal(71)))),
  "a server answers with an alert nobody has named": async () => clientFinds({}, await rawServer(says(fatal(199)))),
  "a server takes TLSv1.3 only, we offer TLSv1.2": async () =>
    clientFinds({ context: { maxVersion: "TLSv1.2" } }, await nodeServer({ minVersion: "TLSv1.3" })),
  "a server speaks TLSv1.1 at most": async () =>
    clientFinds({}, await nodeServer({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" })),
  "a server shares no cipher with us": async () =>
    clientFinds(
      { context: { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" } },
      await nodeServer({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" }),
    ),
  "a server shares no group with us": async () =>
    clientFinds(
      { context: { ecdhCurve: "X448", minVersion: "TLSv1.3" } },
      await nodeServer({ ecdhCurve: "prime256v1" }),
    ),
  "a server does not speak the protocol we named (ALPN)": async () =>
    clientFinds({ alpn: ["h2"] }, await nodeServer({ ALPNProtocols: ["smtp"] })),
  "a server wants a client certificate, TLSv1.3": async () =>
    clientFinds(
      { after: found },
      await nodeServer({ requestCert: true, rejectUnauthorized: true, ca: authority.cert }),
    ),
  "a server of Node's does not accept our client certificate, TLSv1.2": async () =>
    clientFinds(
      { context: { cert: selfSigned.cert, key: selfSigned.key, maxVersion: "TLSv1.2" }, after: ended },
      await nodeServer({ requestCert: true, rejectUnauthorized: true, ca: authority.cert }),
    ),
  "a server closes in its answer": async () => clientFinds({}, await cutServer(60, (socket) => socket.end())),
  "a server hangs in its answer": async () => clientFinds({ deadlineMs: 400 }, await cutServer(60, () => {})),
  "a server resets after its first message, TLSv1.2": async () =>
    clientFinds({ context: { maxVersion: "TLSv1.2" } }, await cutServer(90, (socket) => socket.resetAndDestroy())),
  "a server hangs before its certificate, TLSv1.3": async () =>
    clientFinds({ deadlineMs: 400, context: { ecdhCurve: "X25519" } }, await cutServer(133, () => {})),
  "a server's certificate is self-signed": async () =>
    clientFinds({}, await nodeServer({ cert: selfSigned.cert, key: selfSigned.key })),
  "a server's certificate is of an unknown authority": async () =>
    clientFinds({ context: { ca: selfSigned.cert } }, await nodeServer()),
  "a server's certificate has expired": async () =>
    clientFinds({}, await nodeServer({ cert: expired.cert, key: expired.key })),
  "a server's certificate has another name": async () =>
    clientFinds({}, await nodeServer({ cert: otherName.cert, key: otherName.key })),
  "a server's certificate has another fingerprint": async () =>
    clientFinds({ fingerprints: ["00".repeat(32)] }, await nodeServer()),
  "a server's record is damaged on the way": async () =>
    clientFinds(
      { after: found },
      await nodeServer({}, (raw) => void sleep(200).then(() => raw.write(record(23, Buffer.alloc(60, 1))))),
    ),
};

for (const [title, provoke] of Object.entries(cases)) golden.case(title, provoke);

/** How a connection ended that nobody has told a reason of. */
function ended(connection: TlsConnection): Promise<TlsFinding> {
  connection.socket.resume();
  connection.socket.on("error", () => {});
  return new Promise((resolve) => {
    connection.onFinding(resolve);
    connection.onClosed(({ peer }) => {
      const end = peer === "reset" ? "rst" : peer === "truncated-mid-record" ? "fin-mid-record" : "fin";
      resolve(explain({ role: "client", flight: connection.flight(), end, phase: "open", afterMs: 5 }));
    });
  });
}

/** openssl as the server, on a port of its own choice. */
async function opensslServer(t: TestContext, ...args: string[]): Promise<number | undefined> {
  const play = program(t, "openssl", () => ["s_server", "-accept", "127.0.0.1:0", ...args]);
  if (play === undefined) return undefined;
  const child = play(0);
  return new Promise((resolve) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      const port = /ACCEPT [^ ]*:([0-9]+)/.exec(chunk.toString())?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  });
}

const files = ["-cert", good.certFile, "-key", good.keyFile];

golden.case("openssl has no certificate", async (t) => {
  const port = await opensslServer(t, "-nocert");
  return port === undefined ? undefined : clientFinds({}, port);
});
golden.case("openssl wants a client certificate, TLSv1.2", async (t) => {
  const port = await opensslServer(t, ...files, "-Verify", "1", "-tls1_2");
  return port === undefined ? undefined : clientFinds({}, port);
});
golden.case("openssl does not accept our client certificate", async (t) => {
  const port = await opensslServer(t, ...files, "-Verify", "1", "-verify_return_error");
  const context = { cert: selfSigned.cert, key: selfSigned.key };
  return port === undefined ? undefined : clientFinds({ context, after: found }, port);
});
golden.case("openssl speaks TLSv1.3 only, we TLSv1.2", async (t) => {
  const port = await opensslServer(t, ...files, "-tls1_3");
  return port === undefined ? undefined : clientFinds({ context: { maxVersion: "TLSv1.2" } }, port);
});
