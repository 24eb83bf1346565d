import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { systemClock } from "../../foundation/clock.io.ts";
import { testAuthority } from "../../testing/test-authority.ts";
import { testProfile } from "../../testing/tls-profile.ts";
import { channelBinding, type BindingKind } from "./bindings.ts";
import { tlsClientEngine, type ClientEngine } from "./client.io.ts";
import { parsePair } from "./keeper/certificate.ts";
import type { Closing } from "./facts.ts";
import type { TlsFinding } from "./finding/finding.ts";
import { NoCertificate } from "./keeper/keeper.ts";
import { ownCertificate } from "./keeper/own-certificate.io.ts";
import { cipherBits } from "./read-facts.ts";
import { tlsServer } from "./server.io.ts";
import type { ConnectOptions, Handshaken, ServerProfile, ShownChain, TlsConnection, TlsServer } from "./tls.ts";

const folder = await mkdtemp(join(tmpdir(), "posthorn-engine-"));
const pair = await ownCertificate(folder, ["mx.example"], systemClock);
await rm(folder, { recursive: true });
const profile = testProfile([pair]);
const serverOf = (given: ServerProfile | undefined): TlsServer =>
  tlsServer({ profile: () => given, clock: systemClock });
const contexts = {
  "TLSv1.2": createSecureContext({ maxVersion: "TLSv1.2" }),
  "TLSv1.3": createSecureContext({ minVersion: "TLSv1.3" }),
} as const;
const asking = (version: keyof typeof contexts, changes: Partial<ConnectOptions> = {}): ConnectOptions => ({
  deadlineMs: 5000,
  serverName: "mx.example",
  context: contexts[version],
  verify: () => ({ result: "NONE" }),
  ...changes,
});

/** Both ends of a TCP connection. */
async function wire(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true });
  const [far] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [near, far]) socket.on("error", () => {});
  return { near, far };
}

async function shake(
  options: ConnectOptions,
  given: { server?: TlsServer; client?: ClientEngine } = {},
): Promise<{ client: Handshaken; server: Handshaken; near: Socket; far: Socket }> {
  const { near, far } = await wire();
  const { server = serverOf(profile), client = tlsClientEngine({ clock: systemClock }) } = given;
  const accepting = server.accept(far, { deadlineMs: 5000 });
  const connected = await client.connect(near, options);
  return { client: connected, server: await accepting, near, far };
}

function up(shaken: Handshaken): TlsConnection {
  assert.ok(shaken.ok, shaken.ok ? "" : shaken.finding.sentence);
  return shaken.connection;
}

function down(shaken: Handshaken): TlsFinding {
  assert.ok(!shaken.ok, "the handshake succeeded");
  return shaken.finding;
}

async function both(
  options: ConnectOptions,
  given: Parameters<typeof shake>[1] = {},
): Promise<{ client: TlsConnection; server: TlsConnection }> {
  const shaken = await shake(options, given);
  return { client: up(shaken.client), server: up(shaken.server) };
}

async function parted({ client, server }: { client: TlsConnection; server: TlsConnection }): Promise<void> {
  server.socket.on("end", () => void server.close(1000)).resume();
  await client.close(1000);
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`${version}: both sides know the same of a connection, the group too`, async () => {
    const { client, server } = await both(asking(version, { alpn: undefined }));
    const [ours, theirs] = [client.facts, server.facts];
    for (const name of [
      "version",
      "cipher",
      "bits",
      "group",
      "signature",
      "serverName",
      "clientFingerprint",
      "isResumed",
    ] as const)
      assert.deepEqual(ours[name], theirs[name], name);
    assert.equal(ours.version, version);
    assert.equal(ours.group, version === "TLSv1.3" ? "X25519MLKEM768" : "X25519");
    assert.equal(ours.serverName, "mx.example");
    assert.equal(theirs.ownCertificate?.fingerprint, ours.peerCertificate?.fingerprint);
    assert.deepEqual(ours.peerCertificate?.names, ["mx.example"]);
    assert.deepEqual([theirs.peerCertificate, ours.ownCertificate], [undefined, undefined]);
    await parted({ client, server });
  });

  test(`${version}: whoever closes first, both say close_notify and end in order`, async () => {
    for (const first of ["client", "server"] as const) {
      const ends = await both(asking(version));
      const [one, other] = first === "client" ? [ends.client, ends.server] : [ends.server, ends.client];
      other.socket.on("end", () => void other.close(1000)).resume();
      const told = new Promise((resolve) => other.onClosed(resolve));
      const clean = { peer: "close_notify", we: "close_notify+fin" };
      assert.deepEqual(await one.close(1000), clean);
      assert.deepEqual(await told, clean);
      assert.ok(one.socket.destroyed && other.socket.destroyed);
      assert.deepEqual(await one.close(1000), clean, "a second time changes nothing");
    }
  });

  test(`${version}: a reply that was due when the peer closed still arrives`, async () => {
    const { client, server } = await both(asking(version));
    let answer = "";
    client.socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    client.socket.end("QUIT\r\n");
    await once(server.socket.resume(), "end");
    assert.equal(server.closing().peer, "close_notify");
    await new Promise((resolve) => setTimeout(resolve, 20));
    server.socket.write("221 2.0.0 Bye\r\n");
    const closing = server.close(1000);
    await once(client.socket, "end");
    assert.equal(answer, "221 2.0.0 Bye\r\n");
    await client.close(1000);
    assert.equal((await closing).we, "close_notify+fin");
  });

  test(`${version}: what came before a reset is read, also by somebody who is slow to read`, async () => {
    const { client: shaken, server, near, far } = await shake(asking(version));
    const client = up(shaken);
    const reply = Buffer.alloc(40_000, "552 ");
    client.socket.pause();
    up(server).socket.write(reply);
    for (let waited = 0; far.writableLength > 0 || waited < 50; waited += 10)
      await new Promise((go) => setTimeout(go, 10));
    far.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    let got = 0;
    client.socket.on("data", (chunk: Buffer) => (got += chunk.length));
    client.socket.resume();
    await once(client.socket, "end");
    assert.equal(got, reply.length);
    assert.equal(client.closing().peer, "reset");
    await client.close(100);
    assert.ok(near.destroyed && client.socket.destroyed);
  });

  test(`${version}: channel bindings are the same on both sides, and those of their version only`, async () => {
    const { client, server } = await both(asking(version));
    const certificate = server.socket.getX509Certificate()?.raw;
    assert.ok(certificate !== undefined);
    const kinds: readonly BindingKind[] = ["tls-exporter", "tls-unique", "tls-server-end-point"];
    for (const kind of kinds) {
      const ours = channelBinding(kind, client, certificate);
      assert.deepEqual(channelBinding(kind, server), ours, kind);
      const isThere = kind === "tls-server-end-point" || (kind === "tls-exporter") === (version === "TLSv1.3");
      assert.equal(ours !== undefined, isThere, kind);
    }
    assert.deepEqual(channelBinding("tls-server-end-point", server), createHash("sha256").update(certificate).digest());
    await parted({ client, server });
  });

  test(`${version}: a resumed session is judged like the first, by what that one showed`, async () => {
    const client = tlsClientEngine({ clock: systemClock });
    const server = serverOf(profile);
    const seen: ShownChain[] = [];
    const options = asking(version, {
      sessionKey: "mx.example verify",
      verify: (shown) => {
        seen.push(shown);
        return { result: "FAIL", by: "authorities", problem: { kind: "self-signed", text: "signed by itself" } };
      },
    });
    for (let round = 0; round < 3; round++) {
      const ends = await both(options, { client, server });
      assert.equal(ends.client.facts.isResumed, round > 0, `round ${round}`);
      assert.equal(ends.server.facts.isResumed, round > 0);
      assert.equal(ends.client.facts.verdict.result, "FAIL");
      assert.equal(ends.client.facts.peerCertificate?.subject, "CN=mx.example");
      const first = channelBinding("tls-unique", ends.client);
      assert.deepEqual(first, channelBinding("tls-unique", ends.server));
      // The tickets of TLS 1.3 come with or after the first data.
      ends.server.socket.write("220 hello\r\n");
      await once(ends.client.socket, "data");
      await parted(ends);
    }
    assert.equal(seen.length, 3);
    assert.ok(
      seen.every(
        (shown) =>
          shown.certificates.length === 1 && shown.certificates[0]?.equals(seen[0]?.certificates[0] ?? Buffer.alloc(0)),
      ),
    );
  });

  test(`${version}: other names, other policies, other ticket keys: a full handshake, never a failure`, async () => {
    const client = tlsClientEngine({ clock: systemClock });
    const first = serverOf(profile);
    const visit = async (options: ConnectOptions, server: TlsServer): Promise<boolean> => {
      const ends = await both(options, { client, server });
      ends.server.socket.write("220 hello\r\n");
      await once(ends.client.socket, "data");
      await parted(ends);
      return ends.client.facts.isResumed;
    };
    const options = asking(version, { sessionKey: "a" });
    assert.equal(await visit(options, first), false);
    assert.equal(await visit({ ...options, sessionKey: "b" }, first), false);
    assert.equal(await visit({ ...options, serverName: "mx2.example" }, first), false);
    assert.equal(await visit(options, first), false, "asked under another name in between");
    assert.equal(await visit(options, first), true);
    const rotated = serverOf(testProfile([pair], {}, randomBytes(48)));
    assert.equal(await visit(options, rotated), false);
    assert.equal(await visit(options, rotated), true);
    assert.equal(await visit({ ...options, sessionKey: undefined }, rotated), false);
  });
}

test("a client that says nothing, or stops half way, is given up at the deadline, and nothing is left", async () => {
  for (const bytes of ["", "1603010200010001fc0303"]) {
    const { near, far } = await wire();
    near.write(Buffer.from(bytes, "hex"));
    const finding = down(await serverOf(profile).accept(far, { deadlineMs: 200 }));
    assert.equal(finding.reason, "stalled");
    assert.ok(far.destroyed);
    near.destroy();
  }
});

test("a client that begins with something else than a ClientHello is told at once, however little it is", async () => {
  const record = (...content: number[]): Buffer => Buffer.from([22, 3, 1, 0, content.length, ...content]);
  for (const [name, bytes, reason] of [
    ["an empty line", "\r\n", "not-tls"],
    ["a short line", "x\r\n", "not-tls"],
    ["a ServerHello", record(2, 0, 0, 0), "malformed"],
    ["the beginning of a ServerHello", record(2, 0, 1, 0), "malformed"],
    ["a Finished", record(20, 0, 0, 0), "malformed"],
    ["a ClientHello that is too long for any", record(1, 9, 0, 0), "malformed"],
  ] as const) {
    const { near, far } = await wire();
    const startedMs = systemClock.monotonicMs();
    const accepting = serverOf(profile).accept(far, { deadlineMs: 20_000, isUpgrade: true });
    for (const byte of Buffer.from(bytes)) {
      near.write(Buffer.from([byte]));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const finding = down(await accepting);
    assert.equal(finding.reason, reason, `${name}: ${finding.sentence}`);
    assert.ok(systemClock.monotonicMs() - startedMs < 10_000, name);
    if (reason === "malformed") assert.match(finding.sentence, /began TLS with something that is no ClientHello/);
    near.destroy();
  }
});

test("a server that never answers is given up at the deadline", async () => {
  const { near, far } = await wire();
  far.resume();
  const finding = down(
    await tlsClientEngine({ clock: systemClock }).connect(near, asking("TLSv1.3", { deadlineMs: 200 })),
  );
  assert.equal(finding.reason, "stalled");
  assert.ok(near.destroyed);
  far.destroy();
});

test("without anything to show there is no handshake, and the client is not blamed", async () => {
  const { near, far } = await wire();
  const finding = down(await serverOf(undefined).accept(far, { deadlineMs: 1000 }));
  assert.equal(finding.reason, "no-own-certificate");
  assert.ok(far.destroyed);
  near.destroy();
});

test("a certificate that cannot be had for a name is said, with who did not have it", async () => {
  const unavailable = (): Promise<never> =>
    Promise.reject(new NoCertificate("keeper-unavailable", "the keeper does not answer"));
  const { client, server } = await shake(asking("TLSv1.3"), {
    server: serverOf({ ...profile, optionsFor: unavailable }),
  });
  assert.equal(down(server).reason, "keeper-unavailable");
  assert.equal(client.ok, false);
});

test("what is said of our certificates is said of those for the name that was asked for", async () => {
  const issued = [
    await (await testAuthority("RSA CA", "rsa")).issue(["mx.example"]),
    await (await testAuthority("EC CA")).issue(["other.example"]),
  ];
  const pairs = issued.flatMap((made) => {
    const parsed = parsePair({ ...made, origin: "test" });
    return parsed.ok ? [parsed.value] : [];
  });
  const server = serverOf(testProfile(pairs));
  const context = createSecureContext({ maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" });
  await parted(await both(asking("TLSv1.2", { context }), { server }));
  const shaken = await shake(asking("TLSv1.2", { context, serverName: "other.example" }), { server });
  const finding = down(shaken.server);
  assert.equal(finding.reason, "no-shared-cipher");
  assert.match(finding.sentence, /^The client accepts RSA certificates only, .* \(it has ECDSA\)\.$/);
});

test("a certificate that takes its time delays its own connection only", async () => {
  const isThere = Promise.withResolvers<void>();
  const slow: ServerProfile = { ...profile, optionsFor: () => isThere.promise.then(() => profile.defaultOptions) };
  const server = serverOf(slow);
  let isLateDone = false;
  const waiting = both(asking("TLSv1.3"), { server }).then((ends) => {
    isLateDone = true;
    return ends;
  });
  await parted(await both(asking("TLSv1.3", { serverName: undefined }), { server: serverOf(profile) }));
  assert.equal(isLateDone, false);
  isThere.resolve();
  await parted(await waiting);
});

test("a client without a certificate is let in, and the verdict says whether it had to have one", async () => {
  const verdicts = [];
  for (const clientCertificate of ["none", "ask", "require"] as const) {
    const ends = await both(asking("TLSv1.3"), { server: serverOf({ ...profile, clientCertificate }) });
    verdicts.push(ends.server.facts.verdict);
    await parted(ends);
  }
  assert.deepEqual(
    verdicts.map(({ result, problem }) => [result, problem?.kind]),
    [
      ["NONE", undefined],
      ["NONE", undefined],
      ["FAIL", "no-certificate"],
    ],
  );
});

test("what is destroyed from beneath is told as a cut of ours", async () => {
  const { client, server, near } = await shake(asking("TLSv1.3"));
  up(server)
    .socket.on("end", () => void up(server).close(500))
    .resume();
  const told = new Promise((resolve) => up(client).onClosed(resolve));
  near.destroy();
  assert.deepEqual(await told, { peer: "open", we: "cut" });
});

for (const version of ["TLSv1.2", "TLSv1.3"] as const)
  test(`${version}: whoever asked hears what went wrong later, and the end is told with it, though the first to hear cuts`, async () => {
    const { client, server, far } = await shake(asking(version));
    const heard: string[] = [];
    up(client).onFinding(({ reason }) => {
      heard.push(reason);
      up(client).destroy();
    });
    up(client).onFinding(({ reason }) => heard.push(reason));
    const told = new Promise<Closing>((resolve) => up(client).onClosed(resolve));
    // A record that no key made.
    far.write(Buffer.concat([Buffer.from("1703030030", "hex"), randomBytes(0x30)]));
    const { peer, because } = await told;
    assert.deepEqual(heard, ["bad-record", "bad-record"]);
    assert.equal(peer, "error");
    assert.ok(because !== undefined);
    up(server).destroy();
  });

test("the strength of a cipher is in its name", () => {
  assert.equal(cipherBits("TLS_AES_256_GCM_SHA384"), 256);
  assert.equal(cipherBits("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), 128);
  assert.equal(cipherBits("TLS_CHACHA20_POLY1305_SHA256"), 256);
  assert.equal(cipherBits("TLS_RSA_WITH_3DES_EDE_CBC_SHA"), 168);
  assert.equal(cipherBits("TLS_RSA_WITH_NULL_SHA"), 0);
});
