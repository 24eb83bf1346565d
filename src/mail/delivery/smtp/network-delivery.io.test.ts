import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createSecureContext } from "node:tls";
import { generate } from "selfsigned";
import { systemClock } from "../../../foundation/clock.io.ts";
import type { Emit } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { createPeer, USUAL_EXTENSIONS, type Peer, type PeerOptions } from "../../../simulator/peer.ts";
import { createZone } from "../../../simulator/zone.ts";
import type { Envelope, Message } from "../../envelope/envelope.ts";
import type { ConnectRequest, TransactRequest } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import { RememberingDelivery } from "../tls-policy/remembering-delivery.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import { createNetworkDelivery } from "./network-delivery.io.ts";
import { tcpDial } from "./tcp-dial.io.ts";

const directory = mkdtempSync(join(tmpdir(), "posthorn-delivery-"));
after(() => rmSync(directory, { recursive: true }));
const pair = await generate([{ name: "commonName", value: "mx.example" }], {
  keyType: "ec",
  extensions: [
    { name: "basicConstraints", cA: true },
    { name: "subjectAltName", altNames: [{ type: 2, value: "mx.example" }] },
  ],
});
const context = createSecureContext({ key: pair.private, cert: pair.cert });
const caFile = join(directory, "ca.pem");
writeFileSync(caFile, pair.cert);

async function listenOn(accept: (socket: Socket) => void, at: number | string = 0) {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    accept(socket);
  });
  if (typeof at === "string") server.listen(at);
  else server.listen(at, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "string" ? 0 : (address as AddressInfo).port,
    sockets,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function* endlessly(): AsyncIterable<Uint8Array> {
  await Promise.resolve();
  for (let count = 0; count < 400; count++) yield Buffer.from(`${"x".repeat(65_534)}\r\n`);
}

function setUp(settings: object = {}, openBody = endlessly) {
  const lines: string[] = [];
  const emit: Emit = (event, fields) => {
    const line = event.line(fields);
    if (line !== undefined && event.level !== "debug") lines.push(line);
  };
  const parsed = smtpClientSettings.parse({
    connectTimeout: "2s",
    tlsTimeout: "2s",
    greetingTimeout: "3s",
    quitTimeout: "500ms",
    ...settings,
  });
  const delivery = createNetworkDelivery({
    clock: systemClock,
    random: seededRandom(1),
    emit,
    settings: parsed,
    resolver: createZone({}),
    dial: tcpDial,
    openBody,
    credentials: () => ({ user: "me", password: "secret" }),
    hostname: "us.example",
    localAddresses: [],
    keeper: testKeeper(),
    policies: policiesOf(parsed.tls),
  });
  return { delivery, emit, lines };
}

async function peerOn(options: Partial<PeerOptions>) {
  const peer = createPeer({ clock: systemClock, ...options });
  return { peer, server: await listenOn((socket) => peer.accept(socket)) };
}

function request(port: number, changes: Partial<ConnectRequest> = {}): ConnectRequest {
  const host = { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 };
  return {
    session: "s",
    host,
    protocol: "smtp",
    tls: "may",
    verify: false,
    helo: "us.example",
    relay: "example",
    ...changes,
  };
}

const message: Message = {
  id: "M1",
  sender: "a@us.example",
  receivedAt: 0,
  sizeBytes: 100,
  content: "7bit",
  isInternational: false,
  origin: { listener: "l", protocol: "ESMTP", session: "x" },
};
const envelope: Envelope = { id: "M1.1", message: "M1", recipient: "b@there.example", notify: [], action: "relay" };
const transaction: TransactRequest = {
  session: "s",
  message,
  envelopes: [envelope],
  body: { kind: "inline", bytes: Buffer.from("Subject: x\r\n\r\nhello\r\n") },
};

async function sendsOne(delivery: ReturnType<typeof setUp>["delivery"], peer: Peer): Promise<void> {
  const before = peer.messages.length;
  const transacted = await delivery.transact(transaction);
  assert.equal(transacted.outcomes[0]?.kind, "delivered", JSON.stringify(transacted));
  assert.equal(peer.messages.length, before + 1);
}

test("STARTTLS with a certificate that nobody vouches for is encryption all the same, and said to be no more", async () => {
  const { peer, server } = await peerOn({ tls: { context } });
  using _ = server;
  const { delivery, lines } = setUp();
  await using __ = delivery;
  const connected = await delivery.connect(request(server.port));
  assert.ok(connected.ok);
  assert.equal(connected.facts.tls?.version, "TLSv1.3");
  assert.equal(connected.facts.tls?.verdict.result, "FAIL");
  await sendsOne(delivery, peer);
  assert.equal(peer.messages[0]?.isEncrypted, true);
  assert.match(
    lines.join("\n"),
    /^Untrusted TLS connection established to mx\.example\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher TLS_AES/,
  );
  // RFC 3207 section 4.2: what was said before is asked for again.
  assert.deepEqual(peer.commands.slice(0, 3), ["EHLO us.example", "STARTTLS", "EHLO us.example"]);
});

test("a certificate of a trusted authority for the right name verifies, for another name it does not", async () => {
  const { server } = await peerOn({ tls: { context } });
  using _ = server;
  const { delivery, lines } = setUp({ caFile });
  await using __ = delivery;
  const connected = await delivery.connect(request(server.port, { tls: "starttls", verify: true }));
  assert.ok(connected.ok && connected.facts.tls?.verdict.result === "OK", JSON.stringify(connected));
  assert.match(lines[0] ?? "", /^Verified TLS connection/);
  const host = { name: "other.example", address: { ip: "127.0.0.1", port: server.port }, preference: 0 };
  const other = await delivery.connect(request(server.port, { session: "t", host, tls: "starttls", verify: true }));
  assert.ok(!other.ok);
  assert.ok(other.failure.cause.kind === "tls" && other.failure.cause.reason === "unverified");
  assert.match(other.failure.cause.text, /other\.example/);
  assert.match(lines[1] ?? "", /^Trusted TLS connection/);
  assert.match(
    lines[2] ?? "",
    /^TLS error to other\.example\[127\.0\.0\.1\]:\d+: The server's certificate does not pass the check .*other\.example \(verification-failed\); usual cure: /,
  );
});

test("authorities that cannot be read defer what must verify, are read again, and leave other encryption alone", async () => {
  const { peer, server } = await peerOn({ tls: { context } });
  using _ = server;
  const late = join(directory, "late.pem");
  const { delivery } = setUp({ caFile: late });
  await using __ = delivery;
  const demanding = request(server.port, { session: "v", tls: "starttls", verify: true });
  const connected = await delivery.connect(demanding);
  assert.ok(!connected.ok);
  assert.deepEqual([connected.failure.status, connected.scope], ["4.3.5", "relay"]);
  assert.ok(connected.failure.cause.kind === "settings");
  assert.match(connected.failure.cause.text, new RegExp(`^the certificate authorities: ${late} does not exist`));
  const other = await delivery.connect(request(server.port));
  assert.ok(other.ok && other.facts.tls?.verdict.result === "FAIL", JSON.stringify(other));
  await sendsOne(delivery, peer);
  writeFileSync(late, pair.cert);
  const mended = await delivery.connect(demanding);
  assert.ok(mended.ok && mended.facts.tls?.verdict.result === "OK", JSON.stringify(mended));
});

test("a certificate that must verify and does not is a deferral, with a QUIT under TLS", async () => {
  const { peer, server } = await peerOn({ tls: { context } });
  using _ = server;
  const { delivery } = setUp();
  await using __ = delivery;
  for (const tls of ["may", "starttls"] as const) {
    const connected = await delivery.connect(request(server.port, { tls, verify: true }));
    assert.ok(!connected.ok);
    assert.equal(connected.failure.lasting, "temporary");
    assert.ok(connected.failure.cause.kind === "tls" && connected.failure.cause.reason === "unverified");
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(peer.commands.at(-1), "QUIT");
  assert.ok(!peer.commands.some((line) => line.startsWith("MAIL")));
});

test("when the handshake fails and plaintext is allowed, the mail goes in plaintext over a new connection, and this is said", async () => {
  const broken = createPeer({
    clock: systemClock,
    extensions: [...USUAL_EXTENSIONS, "STARTTLS"],
    at: (point) => (point === "STARTTLS" ? { do: "reply", text: "220 go ahead", thenClose: true } : undefined),
  });
  using server = await listenOn((socket) => broken.accept(socket));
  const { delivery, emit, lines } = setUp();
  await using _ = delivery;
  const remembering = new RememberingDelivery(delivery, {
    clock: systemClock,
    emit,
    settings: { brokenKeptMs: 3_600_000, variantKeptMs: 0, triesVariants: false },
  });
  for (let round = 1; round <= 3; round++) {
    const connected = await remembering.connect(request(server.port));
    assert.ok(connected.ok);
    assert.equal(connected.facts.tls, undefined);
    assert.match(connected.facts.plaintextBecause ?? "", /closed the TCP connection \(FIN\) .* into the handshake/);
    await sendsOne(delivery, broken);
    await remembering.leave("s");
  }
  assert.match(
    lines.join("\n"),
    /^SSL_connect error to .*\nwarning: mx\.example\[127\.0\.0\.1\]:\d+: going on in plaintext/,
  );
  // The failure cost a second connection; all later rounds know.
  assert.equal(broken.counters.connections, 4);
  assert.equal(remembering.tlsHosts()[0]?.host, `mx.example[127.0.0.1]:${server.port}`);
  assert.equal(remembering.forgetTlsHost("mx.example"), 1);
  assert.ok((await remembering.connect(request(server.port))).ok);
  assert.equal(broken.counters.connections, 6);
});

test("that mail goes in plaintext to a host that offers encryption is told once for the host, not where it offers none", async () => {
  const { server } = await peerOn({ extensions: [...USUAL_EXTENSIONS, "STARTTLS"] });
  const { server: plain } = await peerOn({});
  using _ = server;
  using __ = plain;
  const { delivery, emit, lines } = setUp();
  await using ___ = delivery;
  const remembering = new RememberingDelivery(delivery, {
    clock: systemClock,
    emit,
    settings: { brokenKeptMs: 0, variantKeptMs: 0, triesVariants: false },
  });
  for (const port of [server.port, server.port, plain.port]) {
    const connected = await remembering.connect(request(port, { tls: "never" }));
    assert.ok(connected.ok, JSON.stringify(connected));
    await remembering.leave("s");
  }
  assert.deepEqual(
    lines.filter((line) => line.includes("offers STARTTLS")),
    [`mx.example[127.0.0.1]:${server.port} offers STARTTLS, but mail goes there in plaintext: relay example: none`],
  );
});

test("when the handshake fails and encryption is a must, nothing goes", async () => {
  const broken = createPeer({
    clock: systemClock,
    extensions: [...USUAL_EXTENSIONS, "STARTTLS"],
    at: (point) => (point === "STARTTLS" ? { do: "reply", text: "220 go ahead\r\nnonsense" } : undefined),
  });
  using server = await listenOn((socket) => broken.accept(socket));
  const { delivery } = setUp();
  await using _ = delivery;
  const connected = await delivery.connect(request(server.port, { tls: "starttls" }));
  assert.ok(!connected.ok);
  assert.equal(connected.failure.lasting, "temporary");
  assert.equal(broken.counters.connections, 1);
});

test("a host that offers STARTTLS and then refuses it gets plaintext with a warning, never in silence", async () => {
  const { peer, server } = await peerOn({
    extensions: [...USUAL_EXTENSIONS, "STARTTLS"],
    at: (point) => (point === "STARTTLS" ? { do: "reply", text: "454 4.7.0 not now" } : undefined),
  });
  using _ = server;
  const { delivery, lines } = setUp();
  await using __ = delivery;
  const connected = await delivery.connect(request(server.port));
  assert.ok(connected.ok && connected.facts.tls === undefined, JSON.stringify(connected));
  assert.deepEqual(lines, [
    `warning: mx.example[127.0.0.1]:${server.port}: going on in plaintext: STARTTLS is offered, and was refused`,
  ]);
  await sendsOne(delivery, peer);
});

test("bytes behind the answer to STARTTLS end the connection, and plaintext is no way out of an attack", async () => {
  const evil = createPeer({
    clock: systemClock,
    extensions: [...USUAL_EXTENSIONS, "STARTTLS"],
    at: (point) =>
      point === "STARTTLS" ? { do: "reply", text: "220 go ahead\r\n250-evil\r\n250 AUTH PLAIN" } : undefined,
  });
  using server = await listenOn((socket) => evil.accept(socket));
  const { delivery } = setUp();
  await using _ = delivery;
  const connected = await delivery.connect(request(server.port));
  assert.ok(!connected.ok);
  assert.equal(connected.failure.cause.kind, "protocol");
  assert.equal(evil.counters.connections, 1);
});

test("a handshake that never goes on ends at its deadline", async () => {
  using server = await listenOn((socket) => {
    socket.write("220 hello\r\n");
    socket.on("data", (bytes) => {
      const line = bytes.toString("latin1");
      if (line.startsWith("EHLO")) socket.write("250-me\r\n250 STARTTLS\r\n");
      else if (line.startsWith("STARTTLS")) socket.write("220 go ahead\r\n");
    });
  });
  const { delivery } = setUp({ tlsTimeout: "1s" });
  await using _ = delivery;
  const connected = await delivery.connect(request(server.port, { tls: "starttls" }));
  assert.ok(!connected.ok && connected.failure.cause.kind === "tls" && connected.failure.cause.reason === "handshake");
  assert.ok(connected.tookMs > 900 && connected.tookMs < 20_000);
});

test("implicit TLS is spoken from the first byte; STARTTLS or else implicit finds it, too", async () => {
  const { peer, server } = await peerOn({ tls: { context, isImplicit: true } });
  using _ = server;
  const { delivery } = setUp({ connectTimeout: "1s" });
  await using __ = delivery;
  for (const tls of ["implicit", "starttls-or-implicit"] as const) {
    const connected = await delivery.connect(request(server.port, { tls }));
    assert.ok(connected.ok && connected.facts.tls !== undefined, JSON.stringify(connected));
    await sendsOne(delivery, peer);
    await delivery.leave("s");
  }
});

for (const why of ["it was told to", "it was idle", "the host takes no more mails"] as const)
  test(`closing waits for a session that leaves because ${why}, until how its connection ended is told`, async () => {
    const { promise: quitting, resolve: onQuit } = Promise.withResolvers<void>();
    const { peer, server } = await peerOn({
      tls: { context },
      extensions: why === "the host takes no more mails" ? ["STARTTLS", "LIMITS MAILMAX=1"] : USUAL_EXTENSIONS,
      at: (point) => {
        if (point !== "QUIT") return undefined;
        onQuit();
        return { do: "slow", afterMs: 200 };
      },
    });
    using _ = server;
    const { delivery, lines } = setUp({
      quitTimeout: "30s",
      ...(why === "it was idle" ? { idleTimeout: "1s" } : {}),
    });
    const connected = await delivery.connect(request(server.port, { tls: "starttls" }));
    assert.ok(connected.ok, JSON.stringify(connected));
    const sent = sendsOne(delivery, peer);
    if (why === "it was told to") void sent.then(() => delivery.leave("s"));
    await quitting;
    await delivery[Symbol.asyncDispose]();
    await sent;
    assert.match(lines.join("\n"), /TLS connection to mx\.example\[127\.0\.0\.1\]:\d+ closed clean after QUIT/);
  });

test("a host of `ssl` that never greeted is spoken to in TLS at once the next time, for an hour", async () => {
  const { peer, server } = await peerOn({ tls: { context, isImplicit: true } });
  using _ = server;
  const { delivery } = setUp({ connectTimeout: "3s" });
  await using __ = delivery;
  const took: number[] = [];
  for (let session = 0; session < 3; session++) {
    const startedAt = performance.now();
    const connected = await delivery.connect(request(server.port, { tls: "starttls-or-implicit" }));
    took.push(performance.now() - startedAt);
    assert.ok(connected.ok && connected.facts.tls !== undefined, JSON.stringify(connected));
    await sendsOne(delivery, peer);
    await delivery.leave("s");
  }
  assert.ok((took[0] ?? 0) >= 2990, "the first waits for a greeting");
  assert.ok((took[1] ?? 0) < 2990 && (took[2] ?? 0) < 2990, `the others do not: ${took.join(", ")}`);
});

test("the login goes under a verified certificate, and a refused mechanism gives way to the next", async () => {
  for (const offered of ["AUTH PLAIN", "AUTH LOGIN", "AUTH=LOGIN", "AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN"]) {
    const { peer, server } = await peerOn({
      tls: { context },
      extensions: [...USUAL_EXTENSIONS, offered],
      login: { user: "me", password: "secret" },
    });
    using _ = server;
    const { delivery } = setUp({ caFile });
    await using __ = delivery;
    const connected = await delivery.connect(
      request(server.port, { tls: "starttls", verify: true, credentials: "office" }),
    );
    assert.ok(connected.ok, JSON.stringify(connected));
    await sendsOne(delivery, peer);
    assert.equal(peer.messages[0]?.account, "me");
  }
});

test("a wrong password is a deferral for the whole relay", async () => {
  const { peer, server } = await peerOn({
    tls: { context },
    extensions: [...USUAL_EXTENSIONS, "AUTH PLAIN LOGIN"],
    login: { user: "me", password: "changed" },
  });
  using _ = server;
  const { delivery } = setUp();
  await using __ = delivery;
  const connected = await delivery.connect(request(server.port, { tls: "starttls", credentials: "office" }));
  assert.ok(!connected.ok);
  assert.equal(connected.scope, "relay");
  assert.equal(connected.failure.status, "4.7.8");
  assert.equal(connected.failure.reply?.code, 535);
  assert.equal(peer.commands.filter((line) => line.startsWith("AUTH")).length, 1);
});

test("a refusal sent ahead of a reset is read, although our own writing notices the reset first", async () => {
  for (const isEncrypted of [false, true]) {
    let socket: Socket | undefined;
    const peer = createPeer({
      clock: systemClock,
      ...(isEncrypted ? { tls: { context } } : {}),
      contentPointBytes: 1,
      at: (point) => (point === "content" ? { do: "hang" } : undefined),
    });
    using server = await listenOn((accepted) => {
      socket = accepted;
      peer.accept(accepted);
    });
    async function* content(): AsyncIterable<Uint8Array> {
      yield Buffer.alloc(30_000, "x\r\n");
      await new Promise((resolve) => setTimeout(resolve, 50));
      yield Buffer.alloc(60_000, "x\r\n");
      await new Promise((resolve) => setTimeout(resolve, 50));
      // The server reads no more, refuses and goes: with our bytes unread, its kernel sends a reset. All this happens
      // before our event loop turns, so that the next write meets it first.
      if (isEncrypted) socket?.destroy();
      else socket?.end("552 5.3.4 too big for us\r\n").destroy();
      for (let count = 0; count < 10; count++) yield Buffer.alloc(10_000, "x\r\n");
    }
    const { delivery } = setUp({}, content);
    await using _ = delivery;
    const connected = await delivery.connect(request(server.port, { tls: isEncrypted ? "starttls" : "never" }));
    assert.ok(connected.ok);
    const startedAt = performance.now();
    const { outcomes } = await delivery.transact({ ...transaction, body: { kind: "file", name: "f", sizeBytes: 1 } });
    const [outcome] = outcomes;
    assert.ok(outcome?.kind === "failed");
    if (isEncrypted) assert.equal(outcome.failure.cause.kind, "lost");
    else assert.equal(outcome.failure.reply?.code, 552, JSON.stringify(outcome));
    assert.equal(outcome.failure.lasting, isEncrypted ? "temporary" : "permanent");
    assert.ok(performance.now() - startedAt < 60_000);
  }
});

test("LMTP over a unix socket delivers to each recipient", async () => {
  const peer = createPeer({ clock: systemClock, protocol: "lmtp" });
  const path = join(directory, "lmtp");
  using _ = await listenOn((socket) => peer.accept(socket), path);
  const { delivery } = setUp();
  await using __ = delivery;
  const host = { name: path, address: { path }, preference: 0 };
  const connected = await delivery.connect(request(0, { host, protocol: "lmtp" }));
  assert.ok(connected.ok, JSON.stringify(connected));
  assert.equal(connected.facts.host, `localhost[${path}]`);
  const transacted = await delivery.transact({
    ...transaction,
    envelopes: [envelope, { ...envelope, id: "M1.2", recipient: "c@x.example" }],
  });
  assert.ok(transacted.outcomes.every((one) => one.kind === "delivered" && one.isFinal));
  const gone = await delivery.connect(
    request(0, {
      session: "t",
      host: { name: "/nowhere", address: { path: "/nowhere" }, preference: 0 },
      protocol: "lmtp",
    }),
  );
  assert.ok(!gone.ok && gone.failure.cause.kind === "connect" && gone.failure.cause.reason === "refused");
});

test("whether a host would take mail for an address is asked by MAIL and RCPT, encrypted as mail would be, and no content", async () => {
  const { peer, server } = await peerOn({
    tls: { context },
    at: (point, { line }) =>
      point === "RCPT" && line.includes("nobody@") ? { do: "reply", text: "550 5.1.1 no such user" } : undefined,
  });
  using _ = server;
  const { delivery } = setUp();
  await using __ = delivery;
  for (const [recipient, code] of [
    ["ada@x.example", 250],
    ["nobody@x.example", 550],
  ] as const) {
    assert.ok((await delivery.connect(request(server.port, { tls: "starttls" }))).ok);
    const tried = await delivery.tryRecipient("s", { from: "", recipient });
    assert.ok(tried.kind === "answered" && tried.to === "RCPT" && tried.reply.code === code, JSON.stringify(tried));
    await delivery.leave("s");
  }
  assert.equal(peer.messages.length, 0);
  assert.deepEqual(
    peer.commands.filter((line) => /^(MAIL|RCPT|DATA|QUIT)/.test(line)),
    ["MAIL FROM:<>", "RCPT TO:<ada@x.example>", "QUIT", "MAIL FROM:<>", "RCPT TO:<nobody@x.example>", "QUIT"],
  );
  assert.equal((await delivery.tryRecipient("s", { from: "", recipient: "a@x.example" })).kind, "failed");
});

test("a host that closes, resets or goes silent while it is asked for an address says nothing about it", async () => {
  for (const point of ["MAIL", "RCPT"] as const)
    for (const what of ["close", "reset", "hang"] as const) {
      const { server } = await peerOn({ at: (at) => (at === point ? { do: what } : undefined) });
      using _ = server;
      const { delivery } = setUp({ commandTimeout: "1s" });
      await using __ = delivery;
      assert.ok((await delivery.connect(request(server.port, { tls: "never" }))).ok);
      const tried = await delivery.tryRecipient("s", { from: "", recipient: "ada@x.example" });
      assert.equal(tried.kind, "failed", `${point} ${what}`);
      await delivery.leave("s");
    }
});

test("a port where nobody listens is told in the words people know", async () => {
  // Nobody listens there; a port that was just given back may be anybody's.
  const port = 1;
  const { delivery, lines } = setUp();
  await using _ = delivery;
  const connected = await delivery.connect(request(port));
  assert.ok(!connected.ok && connected.failure.cause.kind === "connect");
  assert.deepEqual(lines, [`connect to mx.example[127.0.0.1]:${port}: Connection refused`]);
});

test("under TLS, too, a peer that closes, resets or goes silent anywhere leaves nothing open", async () => {
  for (const point of ["EHLO", "MAIL", "DATA", "content", "end", "QUIT"] as const) {
    for (const what of ["close", "reset", "hang"] as const) {
      const { peer, server } = await peerOn({
        tls: { context },
        contentPointBytes: 70_000,
        at: (at) => (at === point ? { do: what } : undefined),
      });
      using _ = server;
      const { delivery } = setUp({
        commandTimeout: "1s",
        dataTimeout: "1s",
        blockTimeout: "1s",
        endOfDataTimeout: "1s",
      });
      await using __ = delivery;
      const connected = await delivery.connect(request(server.port, { tls: "starttls" }));
      if (connected.ok) {
        const body = point === "content" ? ({ kind: "file", name: "f", sizeBytes: 1 } as const) : transaction.body;
        const { outcomes } = await delivery.transact({ ...transaction, body });
        assert.equal(outcomes[0]?.kind, peer.messages.length > 0 ? "delivered" : "failed", `${point} ${what}`);
      }
      await delivery.leave("s");
      if (what !== "hang")
        assert.equal(server.sockets.size === 0 || (await closes(server.sockets)), true, `${point} ${what}`);
    }
  }
});

async function closes(sockets: ReadonlySet<Socket>): Promise<boolean> {
  for (let wait = 0; wait < 6000 && sockets.size > 0; wait++) await new Promise((resolve) => setTimeout(resolve, 10));
  return sockets.size === 0;
}
