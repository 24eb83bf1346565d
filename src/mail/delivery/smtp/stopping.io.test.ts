import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { emitNothing } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { createZone } from "../../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import type { ConnectRequest, TransactRequest } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import type { Dial, DialTarget } from "./dial.ts";
import { createNetworkDelivery } from "./network-delivery.io.ts";
import { tcpDial } from "./tcp-dial.io.ts";

const OFFER = "250-mx.example\r\n250 PIPELINING\r\n";
const PLAIN: ConnectRequest = {
  session: "s1",
  host: { name: "mx.example", address: { ip: "127.0.0.1", port: 0 }, preference: 0 },
  protocol: "smtp",
  tls: "may",
  verify: false,
  helo: "us.example",
  relay: "example",
};

function deliveryBy(dial: Dial) {
  const settings = smtpClientSettings.parse({ quitTimeout: "200ms" });
  return createNetworkDelivery({
    clock: systemClock,
    random: seededRandom(1),
    emit: emitNothing,
    settings,
    resolver: createZone({}),
    dial,
    openBody: async function* () {},
    credentials: () => undefined,
    hostname: "us.example",
    localAddresses: [],
    keeper: testKeeper(),
    policies: policiesOf(settings.tls),
  });
}

/** A host that answers each line as `answer` says; undefined: it is silent. `heard` has who said what, by connection. */
async function hostThat(answer: (line: string, connection: number) => string | undefined) {
  const heard: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const number = sockets.push(socket);
    let isContent = false;
    socket.on("error", () => {});
    socket.setEncoding("latin1").on("data", (text: string) => {
      for (const line of text.split("\r\n").slice(0, -1)) {
        if (isContent && line !== ".") continue;
        heard.push(`${number} ${line}`);
        const said = answer(line, number);
        isContent = said?.startsWith("354") === true;
        if (said !== undefined) socket.write(said);
      }
    });
    const greeting = answer("", number);
    if (greeting !== undefined) socket.write(greeting);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const request: ConnectRequest = { ...PLAIN, host: { ...PLAIN.host, address: { ip: "127.0.0.1", port } } };
  return {
    heard,
    request,
    async until(line: string): Promise<void> {
      while (!heard.includes(line)) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    say(connection: number, text: string): void {
      sockets[connection - 1]?.write(text);
    },
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const polite = (line: string): string => {
  if (line === "") return "220 mx.example ESMTP\r\n";
  if (line.startsWith("EHLO")) return OFFER;
  if (line === "QUIT") return "221 bye\r\n";
  return line === "DATA" ? "354 go on\r\n" : "250 2.0.0 fine\r\n";
};

function mail(id: string): TransactRequest {
  const content = "Subject: hello\r\n\r\nHello.\r\n";
  return {
    session: "s1",
    message: {
      id,
      sender: "a@us.example",
      receivedAt: 0,
      sizeBytes: content.length,
      content: "7bit",
      isInternational: false,
      origin: { listener: "l", protocol: "ESMTP", session: "x" },
    },
    envelopes: [{ id: `${id}.1`, message: id, recipient: "b@there.example", notify: [], action: "relay" }],
    body: { kind: "inline", bytes: Buffer.from(content) },
  };
}

async function settlesSoon<Value>(work: Promise<Value>): Promise<Value> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error("it is still at it")), 3000).unref();
  });
  return Promise.race([work, late]);
}

test("a mail on a kept session that is cut at the end is not sent anew", async () => {
  let mails = 0;
  using host = await hostThat((line, connection) => {
    if (connection === 1 && mails === 1) return undefined;
    if (line === ".") mails++;
    return polite(line);
  });
  const delivery = deliveryBy(tcpDial);
  assert.ok((await delivery.connect(host.request)).ok);
  assert.equal((await delivery.transact(mail("M1"))).outcomes[0]?.kind, "delivered");
  const second = delivery.transact(mail("M2"));
  while (host.heard.filter((line) => line.startsWith("1 MAIL")).length < 2)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await delivery[Symbol.asyncDispose]();
  const { outcomes, isUsable } = await settlesSoon(second);
  assert.ok(outcomes[0]?.kind === "failed" && outcomes[0].failure.lasting === "temporary");
  assert.equal(isUsable, false);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(mails, 1);
  assert.ok(host.heard.every((line) => line.startsWith("1 ")));
});

test("sessions of whoever is gone are cut in the middle of a mail or left, and new ones can be had", async () => {
  using host = await hostThat((line, connection) => (connection === 1 && line === "DATA" ? undefined : polite(line)));
  await using delivery = deliveryBy(tcpDial);
  assert.ok((await delivery.connect(host.request)).ok);
  assert.ok((await delivery.connect({ ...host.request, session: "s2" })).ok);
  const running = delivery.transact(mail("M1"));
  await host.until("1 DATA");
  const opening = delivery.connect({ ...host.request, session: "s3" });
  delivery.forsake();
  const { outcomes, isUsable } = await settlesSoon(running);
  assert.ok(outcomes[0]?.kind === "failed" && outcomes[0].failure.lasting === "temporary");
  assert.equal(isUsable, false);
  await settlesSoon(host.until("2 QUIT"));
  assert.equal((await settlesSoon(opening)).ok, false, "it was asked for by who is gone");
  await settlesSoon(host.until("3 QUIT"));
  assert.ok((await delivery.connect(host.request)).ok);
  assert.equal((await delivery.transact(mail("M2"))).outcomes[0]?.kind, "delivered");
});

test("a session of one name is not taken for that of who is gone, which was still being opened or used", async () => {
  // Its first connection waits for the answer to DATA, its second for the greeting.
  using old = await hostThat((line, connection) =>
    line === (connection === 1 ? "DATA" : "") ? undefined : polite(line),
  );
  using other = await hostThat(polite);
  const made: Duplex[] = [];
  await using delivery = deliveryBy(async (to, signal) => {
    const one = await tcpDial(to, signal);
    if (one.ok) made.push(one.stream);
    return one;
  });
  assert.ok((await delivery.connect(old.request)).ok);
  const used = delivery.transact(mail("M1"));
  await old.until("1 DATA");
  const opening = delivery.connect({ ...old.request, session: "s2" });
  while (made.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  delivery.forsake();
  assert.ok((await delivery.connect(other.request)).ok);
  assert.ok((await delivery.connect({ ...other.request, session: "s2" })).ok);
  old.say(2, "220 mx.example ESMTP\r\n");
  assert.equal((await settlesSoon(opening)).ok, false);
  await settlesSoon(used);
  for (const session of ["s1", "s2"])
    assert.equal((await delivery.transact({ ...mail("M2"), session })).outcomes[0]?.kind, "delivered");
  assert.ok(!old.heard.some((line) => line.startsWith("2 MAIL")));
  assert.equal(other.heard.filter((line) => line.endsWith(" .")).length, 2);
});

test("a session that is being opened at the end is cut wherever it is, and no other one is tried", async () => {
  for (const silentAt of ["", "EHLO us.example", "STARTTLS", "a handshake"]) {
    using host = await hostThat((line) => {
      if (line === silentAt) return undefined;
      if (line.startsWith("EHLO")) return "250-mx.example\r\n250 STARTTLS\r\n";
      return line === "STARTTLS" ? "220 go on\r\n" : polite(line);
    });
    const dialled: Duplex[] = [];
    const delivery = deliveryBy(async (to, signal) => {
      const made = await tcpDial(to, signal);
      if (made.ok) dialled.push(made.stream);
      return made;
    });
    const connecting = delivery.connect(host.request);
    if (silentAt === "a handshake") await host.until("1 STARTTLS");
    else if (silentAt !== "") await host.until(`1 ${silentAt}`);
    while (dialled.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await delivery[Symbol.asyncDispose]();
    const connected = await settlesSoon(connecting);
    assert.ok(!connected.ok && connected.failure.cause.kind === "internal", silentAt);
    assert.equal(connected.learnt, undefined);
    assert.ok(dialled.every((stream) => stream.destroyed));
    assert.equal(dialled.length, 1, silentAt);
  }
});

test("a connection that is being made at the end is given up, and none is made afterwards", async () => {
  const dialled: DialTarget[] = [];
  const delivery = deliveryBy((to, signal) => {
    dialled.push(to);
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve({ ok: false, reason: "timeout", text: "given up" }));
    });
  });
  const connecting = delivery.connect(PLAIN);
  while (dialled.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await delivery[Symbol.asyncDispose]();
  for (const connected of [await settlesSoon(connecting), await delivery.connect(PLAIN)])
    assert.ok(
      !connected.ok && connected.failure.cause.kind === "internal" && connected.failure.lasting === "temporary",
    );
  assert.equal((await delivery.tryTls(PLAIN, undefined)).result, "not-tried");
  assert.equal(dialled.length, 1);
});
