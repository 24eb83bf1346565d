import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { generate } from "selfsigned";
import { systemClock } from "../../../foundation/clock.io.ts";
import type { AnyEvent, Emit } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { parsePair } from "../../../service/tls/keeper/certificate.ts";
import { fingerprintOf, keyFingerprintOf } from "../../../service/tls/fingerprint.ts";
import { createZone } from "../../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import type { ConnectRequest } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import { createNetworkDelivery } from "../smtp/network-delivery.io.ts";
import { tcpDial } from "../smtp/tcp-dial.io.ts";
import type { PolicyFinder } from "./find-policy.ts";

const directory = mkdtempSync(join(tmpdir(), "posthorn-policies-"));
after(() => rmSync(directory, { recursive: true }));

async function pairFor(...names: string[]) {
  return generate([{ name: "commonName", value: names[0] ?? "" }], {
    keyType: "ec",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: names.map((value) => ({ type: 2, value })) },
    ],
  });
}
const pair = await pairFor("mx.example", "mail.dest.example");
const leaf = new X509Certificate(pair.cert);
const caFile = join(directory, "ca.pem");
writeFileSync(caFile, pair.cert);
const ourPair = await pairFor("us.example");
const ours = parsePair({ certificatePem: ourPair.cert, keyPem: ourPair.private, origin: "test" });
assert.ok(ours.ok);

/** Speaks TLS from the first byte, asks for a certificate, and notes what it saw. */
async function startHost(options: { maxVersion?: "TLSv1.2" } = {}) {
  const seen: { serverName: string; client: string | undefined; isResumed: boolean; version: string | null }[] = [];
  const sockets = new Set<TLSSocket>();
  const server = createServer(
    { key: pair.private, cert: pair.cert, requestCert: true, rejectUnauthorized: false, ...options },
    (socket) => {
      sockets.add(socket);
      const client = socket.getPeerX509Certificate();
      seen.push({
        serverName: String((socket as { servername?: unknown }).servername),
        client: client?.subject,
        isResumed: socket.isSessionReused(),
        version: socket.getProtocol(),
      });
      socket.on("error", () => {});
      socket.write("220 mx.example ESMTP\r\n");
      socket.on("data", (bytes: Buffer) => {
        for (const line of bytes.toString().split("\r\n"))
          if (line.startsWith("EHLO")) socket.write("250 mx.example\r\n");
          else if (line === "QUIT") socket.end("221 bye\r\n");
      });
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    seen,
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function setUp(policy: string | object | undefined, more: object = {}, policies?: PolicyFinder, tls: object = {}) {
  const settings = smtpClientSettings.parse({
    quitTimeout: "200ms",
    caFile,
    ...more,
    tls: { ...tls, ...(policy === undefined ? {} : { policy: { "dest.example": policy } }) },
  });
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
    keeper: testKeeper(ours.ok ? { ours: ours.value } : {}),
    policies: policies ?? policiesOf(settings.tls),
  });
  return { delivery, lines };
}

function request(port: number, changes: Partial<ConnectRequest> = {}): ConnectRequest {
  return {
    session: "s",
    host: { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 },
    protocol: "smtp",
    tls: "implicit",
    verify: false,
    helo: "us.example",
    relay: "dest.example",
    destination: "dest.example",
    ...changes,
  };
}

test("each level takes the certificates that it should, and no others", async () => {
  using host = await startHost();
  const colons = fingerprintOf(leaf).toUpperCase().match(/../g)?.join(":") ?? "";
  for (const [policy, changes, expected] of [
    ["encrypt", {}, "OK"],
    ["verify", {}, "OK"],
    ["secure", {}, "OK"],
    ["verify match=mail.dest.example", {}, "OK"],
    ["verify match=other.example", {}, "wrong-name"],
    ["verify", { host: { name: "other.example" } }, "wrong-name"],
    // The DNS may say what it likes: the destination's own name, or one below it, is in the certificate.
    ["secure", { host: { name: "other.example" } }, "OK"],
    ["encrypt", { host: { name: "other.example" } }, "FAIL"],
    [{ level: "fingerprint", fingerprints: colons }, {}, "OK"],
    [{ level: "fingerprint", fingerprints: ["00".repeat(32), keyFingerprintOf(leaf)] }, {}, "OK"],
    [{ level: "fingerprint", fingerprints: "00".repeat(32) }, {}, "wrong-fingerprint"],
  ] as const) {
    const { delivery, lines } = setUp(policy);
    await using _ = delivery;
    const asked = request(host.port);
    const name = "host" in changes ? changes.host.name : asked.host.name;
    const connected = await delivery.connect({ ...asked, host: { ...asked.host, name } });
    const about = `${JSON.stringify(policy)} ${name} ${JSON.stringify(connected)}`;
    if (expected === "OK" || expected === "FAIL") {
      assert.ok(connected.ok, about);
      assert.equal(connected.facts.tls?.verdict.result, expected, about);
      assert.match(connected.facts.tlsRule?.rule ?? "", /dest\.example/);
    } else {
      assert.ok(!connected.ok, about);
      assert.deepEqual(
        [connected.failure.lasting, connected.failure.cause.kind === "tls" && connected.failure.cause.reason],
        ["temporary", "unverified"],
        about,
      );
      assert.equal(host.seen.length > 0, true);
    }
    assert.match(lines[0] ?? "", /^TLS policy for \S+: \w+, by dest\.example \(posthorn\.yaml:dest\.example\)$/);
  }
});

test("the policy's name is asked for, its certificate is shown, its versions are spoken", async () => {
  using host = await startHost();
  const { delivery } = setUp({
    level: "encrypt",
    serverName: "sni.example",
    certificate: "ours",
    maxVersion: "TLSv1.2",
  });
  await using _ = delivery;
  assert.ok((await delivery.connect(request(host.port))).ok);
  assert.deepEqual(host.seen, [
    { serverName: "sni.example", client: "CN=us.example", isResumed: false, version: "TLSv1.2" },
  ]);
});

test("a certificate of ours that cannot be had is a deferral, not a handshake without it", async () => {
  using host = await startHost();
  const { delivery } = setUp("encrypt certificate=gone");
  await using _ = delivery;
  const connected = await delivery.connect(request(host.port));
  assert.ok(!connected.ok && connected.failure.cause.kind === "settings", JSON.stringify(connected));
  assert.equal(host.seen.length, 0);
});

test("ciphers that leave nothing for a version that may be spoken are a deferral, and silently narrow nothing", async () => {
  using host = await startHost();
  const ciphers = "ciphers=TLS_AES_128_GCM_SHA256";
  for (const policy of [`may ${ciphers}`, `encrypt ${ciphers} max-version=TLSv1.2`]) {
    const { delivery } = setUp(policy);
    await using _ = delivery;
    const connected = await delivery.connect(request(host.port));
    assert.ok(!connected.ok && connected.failure.cause.kind === "settings", JSON.stringify(connected));
    assert.match(connected.failure.cause.text, /names suites of TLS 1\.3 only, and none for TLSv1\.2/);
  }
  assert.equal(host.seen.length, 0);
  const { delivery } = setUp(`encrypt ${ciphers} min-version=TLSv1.3`);
  await using _ = delivery;
  assert.ok((await delivery.connect(request(host.port))).ok);
});

test("sessions are resumed, judged again each time, and never shared between policies or destinations", async () => {
  for (const options of [{}, { maxVersion: "TLSv1.2" } as const]) {
    using host = await startHost(options);
    const { delivery } = setUp("secure");
    await using _ = delivery;
    const open = async (session: string, changes: Partial<ConnectRequest> = {}) => {
      const connected = await delivery.connect(request(host.port, { session, ...changes }));
      // Tickets of TLS 1.3 come behind the handshake.
      await new Promise((resolve) => setTimeout(resolve, 150));
      if (connected.ok) await delivery.leave(session);
      return connected;
    };
    const first = await open("a");
    assert.ok(first.ok && first.facts.tls?.isResumed === false);
    const again = await open("b");
    assert.ok(again.ok && again.facts.tls?.isResumed === true, JSON.stringify(again));
    assert.equal(again.facts.tls.verdict.result, "OK");
    // Another destination with the same host has no policy here, and a session of its own.
    const other = await open("c", { destination: "elsewhere.example" });
    assert.ok(other.ok && other.facts.tls?.isResumed === false);
  }
  using host = await startHost();
  const without = setUp("encrypt tickets=no");
  await using _ = without.delivery;
  for (const session of ["a", "b"]) {
    const connected = await without.delivery.connect(request(host.port, { session }));
    assert.ok(connected.ok && connected.facts.tls?.isResumed === false);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await without.delivery.leave(session);
  }
});

test("a session is resumed for as long as the settings say, from its first handshake", async () => {
  using host = await startHost();
  const { delivery } = setUp("secure", {}, undefined, { sessionLifetime: "6s" });
  await using _ = delivery;
  const isResumed = async (session: string): Promise<boolean | undefined> => {
    const connected = await delivery.connect(request(host.port, { session }));
    await new Promise((resolve) => setTimeout(resolve, 150));
    await delivery.leave(session);
    return connected.ok ? connected.facts.tls?.isResumed : undefined;
  };
  assert.equal(await isResumed("a"), false);
  await new Promise((resolve) => setTimeout(resolve, 6000));
  assert.equal(await isResumed("b"), false);
  assert.equal(await isResumed("c"), true);
});

test("a policy that cannot be found out defers the whole relay, and nothing is connected to", async () => {
  using host = await startHost();
  for (const policies of [
    { find: () => Promise.resolve({ kind: "failed", text: "table tls: no connection" } as const) },
    { find: () => Promise.reject(new Error("no connection")) },
  ] satisfies readonly PolicyFinder[]) {
    const { delivery, lines } = setUp(undefined, {}, policies);
    await using _ = delivery;
    const connected = await delivery.connect(request(host.port, { tls: "may" }));
    assert.ok(!connected.ok && connected.scope === "relay" && connected.failure.lasting === "temporary");
    assert.ok(connected.failure.cause.kind === "tls" && connected.failure.cause.reason === "policy");
    assert.match(lines.join("\n"), /^warning: TLS policy for dest\.example: .*no connection$/);
    assert.equal((await delivery.tlsPolicy({ destination: "dest.example" })).kind, "failed");
  }
  assert.equal(host.seen.length, 0);
});
