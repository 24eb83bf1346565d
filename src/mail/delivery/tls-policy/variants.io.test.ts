import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { createSecureContext, TLSSocket, type SecureContext } from "node:tls";
import type { Duplex } from "node:stream";
import { generate } from "selfsigned";
import { systemClock } from "../../../foundation/clock.io.ts";
import type { AnyEvent, Emit } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { readClientHello, type ClientHello } from "../../../service/tls/flight/client-hello.ts";
import { createZone } from "../../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import type { ConnectRequest } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import { createNetworkDelivery } from "../smtp/network-delivery.io.ts";
import { tcpDial } from "../smtp/tcp-dial.io.ts";
import { RememberingDelivery } from "./remembering-delivery.ts";

async function contextOf(keyType: "ec" | "rsa"): Promise<SecureContext> {
  const names = [{ name: "commonName", value: "mx.example" }];
  const pair =
    keyType === "ec" ? await generate(names, { keyType }) : await generate(names, { keyType, keySize: 2048 });
  return createSecureContext({ key: pair.private, cert: pair.cert });
}
const ec = await contextOf("ec");
const rsa = await contextOf("rsa");

type Judge = (hello: ClientHello, bytes: number) => "good" | "reset" | "stall";

/** A host that offers STARTTLS, and looks at each ClientHello before it goes on. */
async function startHost(judge: Judge, context: SecureContext = ec) {
  const sockets = new Set<Socket>();
  const counters = { connections: 0, handshakes: 0, mails: 0, encrypted: 0 };
  const talk = (stream: Duplex, isEncrypted: boolean): void => {
    let text = "";
    stream.on("error", () => {});
    const onData = (bytes: Buffer): void => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const verb = text.slice(0, 4).toUpperCase();
        text = text.slice(end + 2);
        if (verb === "EHLO") stream.write(`250-mx.example\r\n250 ${isEncrypted ? "8BITMIME" : "STARTTLS"}\r\n`);
        else if (verb === "MAIL") {
          counters.mails++;
          if (isEncrypted) counters.encrypted++;
          stream.write("250 ok\r\n");
        } else if (verb === "QUIT") stream.end("221 bye\r\n");
        else if (verb === "STAR") {
          stream.removeListener("data", onData);
          stream.write("220 go ahead\r\n");
          stream.once("data", (hello: Buffer) => begin(stream as Socket, hello));
          return;
        } else stream.write("250 ok\r\n");
      }
    };
    stream.on("data", onData);
  };
  const begin = (socket: Socket, bytes: Buffer): void => {
    counters.handshakes++;
    const verdict = judge(readClientHello(bytes.subarray(9)), bytes.length);
    if (verdict === "stall") return;
    if (verdict === "reset") {
      socket.resetAndDestroy();
      return;
    }
    socket.pause();
    socket.unshift(bytes);
    talk(new TLSSocket(socket, { isServer: true, secureContext: context }), true);
  };
  const server = createServer((socket) => {
    counters.connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write("220 mx.example ESMTP\r\n");
    talk(socket, false);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    counters,
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function setUp(written: object = {}, hosts: object = {}) {
  const settings = smtpClientSettings.parse({ tlsTimeout: "20s", quitTimeout: "200ms", ...written });
  const names: string[] = [];
  const lines: string[] = [];
  const emit: Emit = (event, fields) => {
    names.push(event.name);
    const line = (event as AnyEvent).line(fields as never);
    if (line !== undefined) lines.push(line);
  };
  const network = createNetworkDelivery({
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
  const delivery = new RememberingDelivery(network, {
    clock: systemClock,
    emit,
    settings: { brokenKeptMs: 3_600_000, variantKeptMs: 3_600_000, triesVariants: true, ...hosts },
  });
  /** Waits until the trials of the one host are over. */
  const settled = async (): Promise<void> => {
    for (let count = 0; count < 6000 && delivery.tlsHosts().some((host) => host.isBeingTried); count++) await wait(10);
  };
  return {
    delivery,
    names,
    lines,
    settled,
    async [Symbol.asyncDispose]() {
      delivery.close();
      await network[Symbol.asyncDispose]();
    },
  };
}

function request(port: number, changes: Partial<ConnectRequest> = {}): ConnectRequest {
  return {
    session: "s1",
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

const TICKET = 35;
const isNew = (hello: ClientHello): boolean => hello.versions.includes(0x0304);
const FAULTS: readonly (readonly [string, Judge, string, SecureContext])[] = [
  ["a ClientHello of more than one packet", (_, bytes) => (bytes > 1400 ? "reset" : "good"), "no-hybrid-group", ec],
  ["session tickets", (hello) => (hello.extensions.includes(TICKET) ? "reset" : "good"), "no-tickets", ec],
  ["ECDSA", (hello) => (hello.signatures.includes(0x0403) ? "reset" : "good"), "rsa-only", rsa],
  ["TLS 1.3", (hello) => (isNew(hello) ? "reset" : "good"), "tls1.2", ec],
];

for (const [what, judge, variant, context] of FAULTS) {
  test(`a host that chokes on ${what} gets the first mail in plaintext, where that is allowed, and is spoken to in a way that works from then on`, async () => {
    using host = await startHost(judge, context);
    await using world = setUp();
    const first = await world.delivery.connect(request(host.port));
    assert.ok(first.ok && first.facts.tls === undefined && first.facts.plaintextBecause !== undefined);
    await world.settled();
    const [known] = world.delivery.tlsHosts();
    assert.equal(known?.variant, variant, JSON.stringify(known));
    const second = await world.delivery.connect(request(host.port, { session: "s2" }));
    assert.ok(second.ok && second.facts.tls?.variant === variant, JSON.stringify(second));
    assert.equal(world.names.filter((name) => name === "delivery.tls-variant").length, 1);
    assert.match(world.lines.join("\n"), /^warning: mx\.example\[127\.0\.0\.1\]:\d+: TLS handshakes fail, but work /m);
    // No mail and no login went over the trials.
    assert.equal(host.counters.mails, 0);
  });
}

test("where encryption is a must, nothing goes in plaintext meanwhile, and the next session works", async () => {
  using host = await startHost((hello) => (isNew(hello) ? "reset" : "good"));
  await using world = setUp();
  const first = await world.delivery.connect(request(host.port, { tls: "starttls" }));
  assert.ok(!first.ok && first.failure.cause.kind === "tls");
  await world.settled();
  const second = await world.delivery.connect(request(host.port, { tls: "starttls" }));
  assert.ok(second.ok && second.facts.tls?.version === "TLSv1.2", JSON.stringify(second));
});

test("a variant never goes below the policy's oldest version", async () => {
  using host = await startHost((hello) => (isNew(hello) ? "reset" : "good"));
  await using world = setUp({ tls: { policy: { example: "encrypt min-version=TLSv1.3" } } });
  assert.equal((await world.delivery.connect(request(host.port))).ok, false);
  await world.settled();
  const [known] = world.delivery.tlsHosts();
  assert.equal(known?.variant, undefined);
  assert.deepEqual(known?.trials.at(-1)?.text, "the policy does not allow it");
  assert.equal((await world.delivery.connect(request(host.port))).ok, false);
});

test("what one destination's policy asks for in vain leaves the others' encryption at the same host alone", async () => {
  using host = await startHost((hello) => (isNew(hello) && !hello.versions.includes(0x0303) ? "reset" : "good"));
  await using world = setUp({ tls: { policy: { strict: "encrypt min-version=TLSv1.3" } } });
  const strict = { session: "s1", destination: "strict" };
  assert.equal((await world.delivery.connect(request(host.port, strict))).ok, false);
  await world.settled();
  const usual = await world.delivery.connect(request(host.port, { session: "s2" }));
  assert.ok(usual.ok && usual.facts.tls !== undefined && usual.facts.tls.variant === undefined, JSON.stringify(usual));
  const [known, ...others] = world.delivery.tlsHosts();
  assert.equal(known?.terms, "min-version=TLSv1.3");
  assert.deepEqual(others, []);
});

test("a failure by chance is forgotten after one more try", async () => {
  let count = 0;
  using host = await startHost(() => (++count === 1 ? "reset" : "good"));
  await using world = setUp();
  assert.ok((await world.delivery.connect(request(host.port))).ok);
  await world.settled();
  assert.deepEqual(world.delivery.tlsHosts(), []);
  const second = await world.delivery.connect(request(host.port));
  assert.ok(second.ok && second.facts.tls?.variant === undefined && second.facts.tls !== undefined);
});

test("a host where no handshake works costs a bounded number of connections, however much mail there is", async () => {
  using host = await startHost(() => "reset");
  await using world = setUp();
  for (let mail = 0; mail < 20; mail++) {
    assert.ok((await world.delivery.connect(request(host.port, { session: `s${mail}` }))).ok);
    await world.settled();
  }
  // The first mail's, and one of each kind.
  assert.equal(host.counters.handshakes, 6);
  assert.ok(world.names.includes("delivery.tls-nothing-works"));
});

test("a host that stalls handshakes makes the first mail wait, and no other", async () => {
  using host = await startHost(() => "stall");
  await using world = setUp({ tlsTimeout: "3s" });
  const startedMs = performance.now();
  assert.ok((await world.delivery.connect(request(host.port))).ok);
  const firstMs = performance.now() - startedMs;
  assert.ok(firstMs >= 2990 && firstMs < 30_000, String(firstMs));
  for (let mail = 2; mail < 5; mail++) {
    const fromMs = performance.now();
    const next = await world.delivery.connect(request(host.port, { session: `s${mail}` }));
    assert.ok(next.ok && next.facts.plaintextBecause !== undefined);
    assert.ok(performance.now() - fromMs < 2990, `mail ${mail} took ${performance.now() - fromMs} ms`);
  }
  assert.equal(world.delivery.forgetTlsHost("mx.example"), 1);
});
