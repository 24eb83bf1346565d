import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { test } from "node:test";
import * as dnsPacket from "dns-packet";
import { systemClock } from "../../foundation/clock.io.ts";
import { createResolver } from "./resolver.io.ts";
import { dnsSettings } from "./settings.ts";

type Query = ReturnType<typeof dnsPacket.decode>;
type Answerer = (query: Query, bytes: Buffer, over: "udp" | "tcp") => readonly Uint8Array[];

/** A DNS server on loopback, UDP and TCP at one port, that says whatever the test wants. */
async function dnsServer(answer: Answerer) {
  const tcp = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      const query = bytes.subarray(2);
      for (const reply of answer(dnsPacket.decode(query), query, "tcp")) {
        const head = Buffer.alloc(2);
        head.writeUInt16BE(reply.length);
        // One octet at a time would be slow; in two halves is enough to show that halves are put together.
        socket.write(Buffer.concat([head, reply.subarray(0, 5)]));
        setTimeout(() => socket.write(reply.subarray(5)), 5);
      }
    });
  });
  const udp = await boundAlike(tcp);
  udp.on("message", (bytes, from) => {
    for (const reply of answer(dnsPacket.decode(bytes), bytes, "udp")) udp.send(reply, from.port, from.address);
  });
  return {
    server: `127.0.0.1:${udp.address().port}`,
    [Symbol.dispose]() {
      udp.close();
      tcp.close();
    },
  };
}

/** A port that is free for TCP may be somebody's for UDP: then another. */
async function boundAlike(tcp: Server): Promise<UdpSocket> {
  for (;;) {
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const udp = createSocket("udp4");
    const { port } = tcp.address() as AddressInfo;
    const isBound = await new Promise<boolean>((resolve) => {
      udp.once("error", () => resolve(false));
      udp.bind(port, "127.0.0.1", () => resolve(true));
    });
    if (isBound) return udp;
    udp.close();
    tcp.close();
    await once(tcp, "close");
  }
}

function reply(query: Query, address: string, changes: object = {}): Buffer {
  const [question] = query.questions;
  return dnsPacket.encode({
    type: "response",
    id: query.id,
    flags: 0x8180,
    questions: query.questions,
    answers: [{ name: question?.name, type: "A", ttl: 60, data: address }],
    ...changes,
  });
}

/** For servers from which no answer comes. */
const IMPATIENT = { tryTimeout: "150ms", timeout: "1s" };

const resolverFor = (server: string, settings: object = {}) =>
  createResolver({
    clock: systemClock,
    settings: dnsSettings.parse({ servers: [server], tryTimeout: "10s", timeout: "30s", tries: 2, ...settings }),
  });

test("an address is found over UDP", async () => {
  using server = await dnsServer((query) => [reply(query, "192.0.2.1")]);
  await using resolver = resolverFor(server.server);
  const found = await resolver.ipv4("host.example");
  assert.ok(found.kind === "found");
  assert.deepEqual(found.records, ["192.0.2.1"]);
  assert.equal(found.ttlMs, 60_000);
});

test("a truncated answer is asked for again over TCP", async () => {
  using server = await dnsServer((query, _, over) => [
    over === "udp" ? reply(query, "192.0.2.99", { flags: 0x8380, answers: [] }) : reply(query, "192.0.2.2"),
  ]);
  await using resolver = resolverFor(server.server);
  const found = await resolver.ipv4("host.example");
  assert.ok(found.kind === "found");
  assert.deepEqual(found.records, ["192.0.2.2"]);
});

test("an answer that was cut within a record is asked for again over TCP, at once", async () => {
  const answers = [1, 2, 3].map((n) => ({ name: "host.example", type: "A", ttl: 60, data: `192.0.2.9${n}` }));
  using server = await dnsServer((query, _, over) => [
    over === "udp" ? reply(query, "", { flags: 0x8380, answers }).subarray(0, -7) : reply(query, "192.0.2.2"),
  ]);
  await using resolver = resolverFor(server.server);
  const found = await resolver.ipv4("host.example");
  assert.ok(found.kind === "found");
  assert.deepEqual(found.records, ["192.0.2.2"]);
  assert.equal(resolver.counters.asked, 1);
});

test("an answer that is cut over TCP, too, is not that there is none", async () => {
  using server = await dnsServer((query) => [reply(query, "", { flags: 0x8380, answers: [] })]);
  await using resolver = resolverFor(server.server, IMPATIENT);
  const result = await resolver.ipv4("host.example");
  assert.ok(result.kind === "failed");
  assert.equal(result.finding.reason, "malformed");
  assert.match(result.finding.text, /cut short/);
});

test("forgeries ahead of the true answer are passed over", async () => {
  using server = await dnsServer((query) => [
    Buffer.from("garbage"),
    reply({ ...query, id: (query.id + 1) & 0xffff }, "192.0.2.66"),
    reply({ ...query, questions: [{ name: "other.example", type: "A", class: "IN" }] }, "192.0.2.67"),
    reply(query, "192.0.2.68", { questions: [] }),
    Buffer.from(reply(query, "192.0.2.69")).subarray(0, 20),
    dnsPacket.encode({ type: "query", id: query.id, questions: query.questions }),
    reply(query, "192.0.2.1"),
  ]);
  await using resolver = resolverFor(server.server);
  const found = await resolver.ipv4("host.example");
  assert.ok(found.kind === "found");
  assert.deepEqual(found.records, ["192.0.2.1"]);
});

test("lies alone end as a finding at the deadline, and nothing throws", async () => {
  for (const lie of [
    (query: Query) => reply({ ...query, questions: [{ name: "other.example", type: "A", class: "IN" }] }, "192.0.2.67"),
    (_: Query, bytes: Buffer) => Buffer.concat([bytes.subarray(0, 2), Buffer.alloc(300, 0xff)]),
    (query: Query) => reply(query, "192.0.2.1").subarray(0, -3),
  ]) {
    using server = await dnsServer((query, bytes) => [lie(query, bytes)]);
    await using resolver = resolverFor(server.server, IMPATIENT);
    const result = await resolver.ipv4("host.example");
    assert.ok(result.kind === "failed");
    assert.equal(result.finding.reason, "malformed");
    assert.equal(result.finding.server, server.server);
  }
});

test("silence ends as a timeout within the bounds", async () => {
  using server = await dnsServer(() => []);
  await using resolver = resolverFor(server.server, IMPATIENT);
  const startedAt = performance.now();
  const result = await resolver.ipv4("host.example");
  assert.ok(result.kind === "failed");
  assert.equal(result.finding.reason, "timeout");
  assert.ok(performance.now() - startedAt < 20_000);
});

test("a truncated answer whose TCP half never comes is a finding, too", async () => {
  using server = await dnsServer((query, _, over) =>
    over === "udp" ? [reply(query, "192.0.2.99", { flags: 0x8380, answers: [] })] : [],
  );
  await using resolver = resolverFor(server.server, IMPATIENT);
  assert.equal((await resolver.ipv4("host.example")).kind, "failed");
});

test("a port where nobody listens is known at once", async () => {
  await using resolver = resolverFor("127.0.0.1:1", { tryTimeout: "1m", timeout: "1m" });
  const result = await resolver.ipv4("host.example");
  assert.ok(result.kind === "failed");
  assert.equal(result.finding.reason, "unreachable");
});

test("a server from before EDNS is asked without it", async () => {
  using server = await dnsServer((query) => [
    query.additionals.length > 0 ? reply(query, "", { flags: 0x8181, answers: [] }) : reply(query, "192.0.2.5"),
  ]);
  await using resolver = resolverFor(server.server);
  assert.equal((await resolver.ipv4("host.example")).kind, "found");
});

test("that one question is no good says nothing of the server and EDNS", async () => {
  const sizes: number[] = [];
  using server = await dnsServer((query) => {
    sizes.push(query.additionals.length);
    const isOdd = query.questions[0]?.name === "odd.example";
    return [isOdd ? reply(query, "", { flags: 0x8181, answers: [] }) : reply(query, "192.0.2.5")];
  });
  await using resolver = resolverFor(server.server, { tries: 1 });
  assert.equal((await resolver.ipv4("odd.example")).kind, "failed");
  assert.equal((await resolver.ipv4("host.example")).kind, "found");
  assert.deepEqual(sizes, [1, 0, 1]);
});

test("a server is asked without EDNS for a while, and then as before", async () => {
  const sizes: number[] = [];
  using server = await dnsServer((query) => {
    sizes.push(query.additionals.length);
    const isTooMuch = query.additionals.length > 0 && sizes.length === 1;
    return [isTooMuch ? reply(query, "", { flags: 0x8181, answers: [] }) : reply(query, "192.0.2.5")];
  });
  let aheadMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  await using resolver = createResolver({ clock, settings: dnsSettings.parse({ servers: [server.server] }) });
  await resolver.ipv4("a.example");
  await resolver.ipv4("b.example");
  aheadMs = 3_600_000;
  await resolver.ipv4("c.example");
  assert.deepEqual(sizes, [1, 0, 0, 1]);
});

function openSockets(): number {
  const isSocket = (descriptor: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:");
    } catch {
      // That of the folder itself.
      return false;
    }
  };
  return readdirSync("/proc/self/fd").filter(isSocket).length;
}

test("a resolver that another one has replaced answers whoever still asks, and keeps no socket open", async () => {
  const asked: number[] = [];
  using server = await dnsServer((query) => {
    asked.push(query.id);
    return asked.length === 1 ? [] : [reply(query, "192.0.2.5")];
  });
  const before = openSockets();
  const resolver = resolverFor(server.server, { tryTimeout: "300ms" });
  const late = resolver.ipv4("late.example");
  for (let n = 0; n < 6; n++) assert.equal((await resolver.ipv4(`h${n}.example`)).kind, "found");
  assert.ok(openSockets() > before);
  resolver.retire();
  assert.equal((await late).kind, "found", "what it had been asked for");
  assert.equal((await resolver.ipv4("more.example")).kind, "found");
  assert.equal(openSockets(), before);
});

test("with mixed case an answer in other letters is a forgery", async () => {
  using folding = await dnsServer((query) => [
    reply(
      { ...query, questions: query.questions.map((one) => ({ ...one, name: one.name.toLowerCase() })) },
      "192.0.2.1",
    ),
  ]);
  await using strict = resolverFor(folding.server, { ...IMPATIENT, mixedCase: true });
  assert.equal((await strict.ipv4("a-name-with-many-letters.example")).kind, "failed");
  using honest = await dnsServer((query) => [reply(query, "192.0.2.1")]);
  await using resolver = resolverFor(honest.server, { mixedCase: true });
  assert.equal((await resolver.ipv4("a-name-with-many-letters.example")).kind, "found");
});

test("many questions at once are all answered", async () => {
  using server = await dnsServer((query) => [reply(query, "192.0.2.1")]);
  await using resolver = resolverFor(server.server, { tryTimeout: "5s", timeout: "10s" });
  const all = await Promise.all(Array.from({ length: 500 }, (_, n) => resolver.ipv4(`h${n}.example`)));
  assert.ok(all.every((one) => one.kind === "found"));
  assert.equal(resolver.counters.asked, 500);
});
