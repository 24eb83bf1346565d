/** Each way a TLS handshake with a client fails, provoked for real, and what people read of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/foundation/clock.io.ts";
import type { TlsFinding } from "../../src/service/tls/finding/finding.ts";
import { NoCertificate } from "../../src/service/tls/keeper/keeper.ts";
import { explain } from "../../src/service/tls/finding/reasons.ts";
import { tlsServer } from "../../src/service/tls/server.io.ts";
import type { ServerProfile, ShownOptions, TlsConnection } from "../../src/service/tls/tls.ts";
import { clientHelloBody, handshake, record } from "../../src/testing/hello-bytes.ts";
import { verify } from "../../src/service/tls/verify.ts";
import { testCertificates } from "./certificates.ts";
import { Golden } from "./golden.ts";
import { cleanups, program } from "./programs.ts";

const golden = new Golden("findings-server.golden.txt");
const certificates = await testCertificates();
const { good, expired, otherName, rsa, authority } = certificates;

interface Setting {
  readonly context?: ShownOptions;
  readonly profile?: Partial<ServerProfile>;
  readonly deadlineMs?: number;
  readonly isUpgrade?: boolean;
  /** What to do with a connection whose handshake succeeded; without it that is an error of the test. */
  readonly after?: (connection: TlsConnection) => Promise<TlsFinding>;
}

/** Accepts one connection with our own server, has `play` be its client, and gives what we made of it. */
async function serverFinds(setting: Setting, play: (port: number) => unknown): Promise<TlsFinding> {
  const options: ShownOptions = {
    cert: good.cert,
    key: good.key,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    ...setting.context,
  };
  const profile: ServerProfile = {
    optionsFor: () => options,
    defaultOptions: options,
    ticketLifetimeMs: 60_000,
    clientCertificate: "none",
    ...setting.profile,
  };
  const server = tlsServer({ profile: () => profile, clock: systemClock });
  const listener = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  // The port stands in no text: it would differ from run to run.
  const accepted = once(listener, "connection");
  const played = play((listener.address() as AddressInfo).port);
  try {
    const [raw] = (await accepted) as [Socket];
    const result = await server.accept(raw, {
      deadlineMs: setting.deadlineMs ?? 30_000,
      isUpgrade: setting.isUpgrade,
    });
    await played;
    if (!result.ok) return result.finding;
    try {
      assert.ok(setting.after !== undefined, "the handshake succeeded");
      return await setting.after(result.connection);
    } finally {
      result.connection.destroy();
    }
  } finally {
    listener.close();
    for (const end of cleanups.splice(0)) end();
  }
}

/** A client of raw bytes. */
function rawClient(act: (socket: Socket) => void | Promise<void>): (port: number) => void {
  return (port) => {
    const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    socket.once("connect", () => void act(socket));
    cleanups.push(() => socket.destroy());
  };
}

/** A client of Node's; what goes wrong for it is not our concern. */
function nodeClient(options: ConnectionOptions): (port: number) => void {
  return (port) => {
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      servername: "mx.example",
      rejectUnauthorized: false,
      ...options,
    });
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
  };
}

const openssl = (t: TestContext, ...args: string[]) =>
  program(t, "openssl", (port) => [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-servername",
    "mx.example",
    "-quiet",
    ...args,
  ]);

/** A ClientHello of Node's, as bytes: what an honest client begins with. */
async function honestHello(options: ConnectionOptions = {}): Promise<Buffer> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const client = connectTls({ port, host: "127.0.0.1", servername: "mx.example", ...options });
  client.on("error", () => {});
  const [socket] = (await once(listener, "connection")) as [Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  listener.close();
  return hello;
}

const hello = await honestHello();
const fatal = (alert: number): Buffer => record(21, Buffer.from([2, alert]));
const warning = (alert: number): Buffer => record(21, Buffer.from([1, alert]));

/** Sends an honest hello, waits for our answer, then does something else than going on. */
function afterAnswer(act: (socket: Socket) => void, first: Buffer = hello): (port: number) => void {
  return rawClient(async (socket) => {
    socket.write(first);
    await once(socket, "data");
    await sleep(150);
    act(socket);
  });
}

const cases: Readonly<Record<string, () => Promise<TlsFinding>>> = {
  "a client connects and closes without a byte": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.end()),
    ),
  "a client connects and resets without a byte": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.resetAndDestroy()),
    ),
  "a client sends nothing": () =>
    serverFinds(
      { deadlineMs: 300 },
      rawClient(() => {}),
    ),
  "a client speaks plain SMTP": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.write("EHLO client.example\r\n")),
    ),
  "a client speaks plain SMTP behind STARTTLS": () =>
    serverFinds(
      { isUpgrade: true },
      rawClient((socket) => void socket.write("EHLO client.example\r\n")),
    ),
  "a client speaks HTTP": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.write("GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n")),
    ),
  "a client asks for a proxy": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.write("CONNECT mx.example:25 HTTP/1.1\r\n\r\n")),
    ),
  "a client speaks SSH, with a terminal's control characters": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.write("SSH-2.0-\u001b[31mscan\r\n")),
    ),
  "a client begins with SSLv2": () =>
    serverFinds(
      {},
      rawClient(
        (socket) =>
          void socket.write(Buffer.from("802e0100020015000000100100800200800300800400800500800600400700c0", "hex")),
      ),
    ),
  "a client stops in its hello": () =>
    serverFinds(
      {},
      rawClient((socket) => void socket.end(hello.subarray(0, 200))),
    ),
  "a client hangs in its hello": () =>
    serverFinds(
      { deadlineMs: 300 },
      rawClient((socket) => void socket.write(hello.subarray(0, 200))),
    ),
  "a client resets in its hello": () =>
    serverFinds(
      {},
      rawClient(async (socket) => {
        socket.write(hello.subarray(0, 200));
        await sleep(150);
        socket.resetAndDestroy();
      }),
    ),
  "a client's hello is broken": () => {
    const body = clientHelloBody({ versions: [0x0304], extensions: [0, 10, 13, 43, 51] });
    body.writeUInt16BE(0xfff0, body.length - 40);
    return serverFinds(
      {},
      rawClient((socket) => void socket.write(record(22, handshake(1, body.subarray(0, body.length - 20))))),
    );
  },
  "a client speaks TLSv1.1 at most": () =>
    serverFinds({}, nodeClient({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" })),
  "a client speaks TLSv1.3 only, the server TLSv1.2": () =>
    serverFinds({ context: { maxVersion: "TLSv1.2" } }, nodeClient({ minVersion: "TLSv1.3" })),
  "a client takes RSA only, the certificate is ECDSA": () =>
    serverFinds(
      {},
      nodeClient({ maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384" }),
    ),
  "a client takes ECDSA only, the certificate is RSA": () =>
    serverFinds(
      { context: { cert: rsa.cert, key: rsa.key } },
      nodeClient({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }),
    ),
  "client and server have no cipher in common": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" } },
      nodeClient({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }),
    ),
  "client and server have no group in common": () =>
    serverFinds({ context: { ecdhCurve: "prime256v1" } }, nodeClient({ ecdhCurve: "X448", minVersion: "TLSv1.3" })),
  "client and server have no signature in common": () =>
    serverFinds({}, nodeClient({ sigalgs: "rsa_pss_rsae_sha256", minVersion: "TLSv1.3" })),
  "the server has no certificate": () => serverFinds({ context: { cert: undefined, key: undefined } }, nodeClient({})),
  "client and server name different protocols (ALPN)": () =>
    serverFinds({ context: { ALPNProtocols: ["smtp"] } }, nodeClient({ ALPNProtocols: ["h2", "http/1.1"] })),
  "a client of Node's does not trust the issuer, TLSv1.3": () =>
    serverFinds({}, nodeClient({ rejectUnauthorized: true, minVersion: "TLSv1.3" })),
  "a client closes after our certificate, TLSv1.2": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end()),
    ),
  "a client closes after our certificate, TLSv1.3": () =>
    serverFinds(
      {},
      afterAnswer((socket) => socket.end()),
    ),
  "a client resets after our certificate": () =>
    serverFinds(
      {},
      afterAnswer((socket) => socket.resetAndDestroy()),
    ),
  "a client hangs after our certificate": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" }, deadlineMs: 400 },
      afterAnswer(() => {}),
    ),
  "a client answers with the alert bad_certificate in clear": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(42))),
    ),
  "a client answers with the alert certificate_revoked": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(44))),
    ),
  "a client answers with the alert illegal_parameter": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(47))),
    ),
  "a client answers with the alert internal_error": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(80))),
    ),
  "a client answers with the alert protocol_version": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(70))),
    ),
  "a client answers with the alert decrypt_error": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(fatal(51))),
    ),
  "a client gives up politely (user_canceled, close_notify)": () =>
    serverFinds(
      { context: { maxVersion: "TLSv1.2" } },
      afterAnswer((socket) => socket.end(Buffer.concat([warning(90), warning(0)]))),
    ),
  "a client tries an older version again (TLS_FALLBACK_SCSV)": () => {
    const body = clientHelloBody({
      ciphers: [0xc02b, 0x5600],
      extensions: [10, 11, 13],
      signatures: [0x0403],
      groups: [23],
    });
    return serverFinds(
      {},
      rawClient((socket) => void socket.write(record(22, handshake(1, body)))),
    );
  },
  "there is no certificate for the name": () =>
    serverFinds(
      {
        profile: {
          optionsFor: () =>
            Promise.reject(new NoCertificate("no-certificate-for-name", "the certificate table has none")),
        },
      },
      nodeClient({}),
    ),
  "the keeper does not answer": () =>
    serverFinds({ profile: { optionsFor: () => Promise.reject(new Error("its process has ended")) } }, nodeClient({})),
  "a client certificate is required and none is sent": () =>
    serverFinds({ profile: { clientCertificate: "require" }, after: byVerdict }, nodeClient({})),
  "a client certificate does not verify": () =>
    serverFinds(
      {
        profile: {
          clientCertificate: "verify",
          verifyClient: (shown) => verify(shown, { by: "authorities", names: "any" }, Date.now()),
        },
        after: byVerdict,
      },
      nodeClient({ cert: certificates.selfSigned.cert, key: certificates.selfSigned.key }),
    ),
  "a record is damaged on the way": () => serverFinds({ after: found }, damaging(record(23, Buffer.alloc(60, 1)))),
  "a client sends more after its close_notify": () =>
    serverFinds({ after: found }, (port) => {
      const raw = connectTcp(port, "127.0.0.1");
      // Between TLS and TCP, so that its close_notify goes out and the FIN does not.
      const between = new Duplex({
        read: () => {},
        write: (chunk: Buffer, _encoding, done) => void raw.write(chunk, () => done()),
        final: (done) => done(),
      });
      raw.on("data", (chunk) => between.push(chunk));
      const socket = connectTls({ socket: between, servername: "mx.example", rejectUnauthorized: false });
      for (const stream of [raw, socket]) stream.on("error", () => {});
      socket.once("secureConnect", () => {
        socket.end();
        setTimeout(() => raw.write(record(23, Buffer.alloc(200, 2))), 50);
      });
      cleanups.push(() => raw.destroy());
    }),
};

for (const [title, provoke] of Object.entries(cases)) golden.case(title, provoke);

golden.case("openssl does not trust the issuer", async (t) => {
  const play = openssl(t, "-verify_return_error");
  return play && serverFinds({}, play);
});
golden.case("openssl does not trust the issuer, TLSv1.2", async (t) => {
  const play = openssl(t, "-verify_return_error", "-tls1_2");
  return play && serverFinds({}, play);
});
golden.case("openssl does not trust a self-signed certificate", async (t) => {
  const play = openssl(t, "-verify_return_error");
  const { cert, key } = certificates.selfSigned;
  return play && serverFinds({ context: { cert, key } }, play);
});
golden.case("openssl does not trust the issuer of a chain", async (t) => {
  const play = openssl(t, "-verify_return_error");
  return play && serverFinds({ context: { cert: `${good.cert}\n${authority.cert}`, key: good.key } }, play);
});
golden.case("openssl finds the certificate expired", async (t) => {
  const play = openssl(t, "-verify_return_error", "-CAfile", authority.certFile);
  return play && serverFinds({ context: { cert: expired.cert, key: expired.key } }, play);
});
golden.case("openssl finds another name in the certificate", async (t) => {
  const play = openssl(t, "-verify_return_error", "-CAfile", authority.certFile, "-verify_hostname", "mx.example");
  return play && serverFinds({ context: { cert: otherName.cert, key: otherName.key } }, play);
});
golden.case("GnuTLS does not trust the issuer", async (t) => {
  const play = program(t, "gnutls-cli", (port) => [
    "-p",
    String(port),
    "--sni-hostname",
    "mx.example",
    "--verify-hostname",
    "mx.example",
    "127.0.0.1",
  ]);
  return play && serverFinds({}, play);
});
golden.case("openssl asks for a renegotiation", async (t) => {
  const play = program(
    t,
    "openssl",
    (port) => ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_2", "-legacy_renegotiation"],
    (child) => setTimeout(() => child.stdin?.write("R\n"), 400),
  );
  return play && serverFinds({ after: found }, play);
});
golden.case("openssl changes keys again and again", async (t) => {
  const play = program(
    t,
    "openssl",
    (port) => ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_3"],
    (child) => {
      const timer = setInterval(() => child.stdin?.write("k\n"), 5);
      cleanups.push(() => clearInterval(timer));
    },
  );
  return play && serverFinds({ after: found }, play);
});

/** What is told of a connection after its handshake. */
function found(connection: TlsConnection): Promise<TlsFinding> {
  connection.socket.resume();
  connection.socket.on("error", () => {});
  return new Promise((resolve) => connection.onFinding(resolve));
}

/** What is told of a client whose certificate did not pass: the handshake succeeded, and the protocol refuses it. */
function byVerdict(connection: TlsConnection): Promise<TlsFinding> {
  const { verdict } = connection.facts;
  const flight = connection.flight();
  return Promise.resolve(
    explain({ role: "server", flight, end: "local", phase: "open", afterMs: 5, context: { verdict } }),
  );
}

/** A good handshake, then bytes that no key of it made. */
function damaging(bytes: Buffer): (port: number) => void {
  return (port) => {
    const raw = connectTcp(port, "127.0.0.1");
    const socket = connectTls({ socket: raw, servername: "mx.example", rejectUnauthorized: false });
    for (const stream of [raw, socket]) stream.on("error", () => {});
    socket.once("secureConnect", () => setTimeout(() => raw.write(bytes), 50));
    cleanups.push(() => raw.destroy());
  };
}
