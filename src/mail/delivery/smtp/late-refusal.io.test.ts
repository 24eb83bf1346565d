import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import { generate } from "selfsigned";
import { systemClock } from "../../../foundation/clock.io.ts";
import type { AnyEvent, Emit } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { createZone } from "../../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import type { ConnectRequest } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import { createNetworkDelivery } from "./network-delivery.io.ts";
import { tcpDial } from "./tcp-dial.io.ts";

const pair = await generate([{ name: "commonName", value: "mx.example" }], { keyType: "ec" });
const context = createSecureContext({ key: pair.private, cert: pair.cert });

interface HostOptions {
  /** Under TLS 1.2, and then without asking for a certificate; told when its handshake is done. */
  readonly onOlder?: (tls: TLSSocket, raw: Duplex) => void;
}

/** A host that takes nobody without a certificate under TLS, and anybody in plaintext. */
async function startHost({ onOlder }: HostOptions = {}) {
  const older = createSecureContext({ key: pair.private, cert: pair.cert, maxVersion: "TLSv1.2" });
  const sockets = new Set<Socket>();
  const talk = (stream: Duplex): void => {
    stream.on("error", () => {});
    stream.on("data", function onData(bytes: Buffer): void {
      const verb = bytes.toString("latin1").slice(0, 4).toUpperCase();
      if (verb === "EHLO") stream.write("250-mx.example\r\n250 STARTTLS\r\n");
      else if (verb === "STAR") {
        stream.off("data", onData);
        stream.write("220 go ahead\r\n");
        const options =
          onOlder === undefined
            ? { secureContext: context, requestCert: true, rejectUnauthorized: true }
            : { secureContext: older };
        const tls = new TLSSocket(stream, { isServer: true, ...options });
        tls.on("secure", () => onOlder?.(tls, stream));
        talk(tls);
      } else stream.write("250 ok\r\n");
    });
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.write("220 mx.example ESMTP\r\n");
    talk(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function setUp() {
  const settings = smtpClientSettings.parse({ tlsTimeout: "20s", quitTimeout: "200ms", commandTimeout: "20s" });
  const lines: string[] = [];
  const emit: Emit = (event, fields) => {
    const line = (event as AnyEvent).line(fields as never);
    if (line !== undefined) lines.push(line);
  };
  const delivery = createNetworkDelivery({
    clock: systemClock,
    random: seededRandom(1),
    emit,
    settings,
    resolver: createZone({}),
    dial: tcpDial,
    openBody: async function* () {},
    credentials: () => undefined,
    hostname: "us.example",
    localAddresses: [],
    keeper: testKeeper(),
    policies: policiesOf(settings.tls),
  });
  return { delivery, lines };
}

function request(port: number, changes: Partial<ConnectRequest> = {}): ConnectRequest {
  return {
    session: "s",
    host: { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 },
    protocol: "smtp",
    tls: "may",
    verify: false,
    helo: "us.example",
    relay: "example",
    destination: "example",
    ...changes,
  };
}

test("a host that refuses our part of a TLS 1.3 handshake gets its mail in plaintext where that is allowed, and is known for it", async () => {
  using host = await startHost();
  const { delivery, lines } = setUp();
  const connected = await delivery.connect(request(host.port));
  assert.ok(connected.ok, JSON.stringify(connected));
  assert.equal(connected.facts.tls, undefined);
  assert.match(connected.facts.plaintextBecause ?? "", /requires a client certificate/);
  assert.equal(connected.learnt?.handshake, "failed");
  assert.equal(connected.learnt?.reason, "client-certificate-missing");
  const log = lines.join("\n");
  assert.match(log, /^TLS error to mx\.example\[127\.0\.0\.1\]:\d+: .*\(client-certificate-missing\)/m);
  assert.match(log, /closed unclean: the connection broke \(tlsv13 alert certificate required\)/);
  await delivery.leave("s");
  await delivery[Symbol.asyncDispose]();
});

test("where encryption is a must the mail waits, with what the host said for its reason", async () => {
  using host = await startHost();
  const { delivery } = setUp();
  const connected = await delivery.connect(request(host.port, { tls: "starttls" }));
  assert.ok(!connected.ok);
  const { failure, learnt } = connected;
  assert.equal(failure.status, "4.7.5");
  assert.ok(failure.cause.kind === "tls" && /requires a client certificate/.test(failure.cause.text ?? ""));
  assert.equal(learnt?.reason, "client-certificate-missing");
  await delivery[Symbol.asyncDispose]();
});

test("what goes wrong behind the end of a TLS 1.2 handshake, which both have judged by then, is none that failed", async () => {
  // A record that no key made.
  const record = Buffer.concat([Buffer.from("1703030030", "hex"), Buffer.alloc(0x30, 7)]);
  const onOlder: HostOptions["onOlder"] = (tls, raw) => tls.prependOnceListener("data", () => raw.write(record));
  using host = await startHost({ onOlder });
  const { delivery, lines } = setUp();
  const connected = await delivery.connect(request(host.port));
  assert.ok(!connected.ok, "nothing is said in plaintext");
  assert.equal(connected.failure.cause.kind, "lost");
  assert.equal(connected.learnt, undefined);
  assert.match(lines.join("\n"), /^TLS error to mx\.example\[127\.0\.0\.1\]:\d+: .*\(bad-record\)/m);
  await delivery[Symbol.asyncDispose]();
});

test("a host that leaves with the last words of its TLS 1.2 handshake is not waited for", async () => {
  using host = await startHost({ onOlder: (tls) => void tls.end() });
  const { delivery, lines } = setUp();
  const connected = await delivery.connect(request(host.port));
  assert.ok(!connected.ok);
  const { cause } = connected.failure;
  assert.ok(cause.kind === "lost" && cause.reason === "closed", JSON.stringify(cause));
  assert.match(lines.join("\n"), /^lost connection with mx\.example/m);
  await delivery[Symbol.asyncDispose]();
});
