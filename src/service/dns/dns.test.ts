import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../foundation/clock.ts";
import type { DnsData, DnsMessage, DnsRecord } from "../../protocol/dns/message.ts";
import { virtualClock, type VirtualClock } from "../../simulator/clock.ts";
import { createDnsResolver, type Exchanged } from "./dns.ts";
import { parseDnsServer, serversOfResolvConf, serverText } from "./servers.ts";
import { dnsSettings } from "./settings.ts";

const noon = Date.UTC(2026, 0, 1, 12);

function server(text: string) {
  const parsed = parseDnsServer(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

function answer(name: string, data: readonly DnsData[], extra: Partial<DnsMessage> = {}): Exchanged {
  const answers: DnsRecord[] = data.map((one) => ({ name, ttlSeconds: 60, data: one }));
  const message: DnsMessage = {
    id: 1,
    isResponse: true,
    opcode: 0,
    isTruncated: false,
    isAuthoritative: false,
    isRecursive: true,
    isAuthenticated: false,
    rcode: 0,
    questions: [],
    answers,
    authorities: [],
    ...extra,
  };
  return { ok: true, message };
}

function setUp(parts: {
  servers?: string[];
  reply: (server: string, name: string, type: string) => Exchanged | undefined;
  settings?: object;
}) {
  const time = virtualClock(noon);
  /** How far somebody has set the time of day. */
  const day = { setByMs: 0 };
  const clock: VirtualClock = { ...time, now: () => time.now() + day.setByMs };
  const asked: string[] = [];
  const known = { servers: (parts.servers ?? ["127.0.0.1"]).map(server) };
  const resolver = createDnsResolver({
    clock,
    settings: dnsSettings.parse(parts.settings ?? {}),
    servers: () => known,
    exchange: (at, name, type, limitMs) =>
      new Promise((resolve) => {
        asked.push(`${serverText(at)} ${name} ${type}`);
        const exchanged = parts.reply(serverText(at), name, type);
        if (exchanged === undefined)
          clock.after(limitMs, () => resolve({ ok: false, reason: "timeout", text: "silence" }));
        else clock.after(1, () => resolve(exchanged));
      }),
  });
  const run = async <Value>(work: Promise<Value>): Promise<Value> => {
    const state = { isDone: false };
    const watched = work.finally(() => {
      state.isDone = true;
    });
    while (!state.isDone) if (!(await clock.advanceToNext())) break;
    return watched;
  };
  return { clock, day, asked, resolver, run };
}

test("an answer is remembered for its time to live and no longer", async () => {
  const { clock, asked, resolver, run } = setUp({
    reply: (_, name) => answer(name, [{ type: "A", address: "192.0.2.1" }]),
  });
  await run(resolver.ipv4("a.example"));
  await clock.advance(59_000);
  const kept = await run(resolver.ipv4("A.example."));
  assert.ok(kept.kind === "found");
  assert.equal(asked.length, 1);
  assert.ok(kept.ttlMs <= 1000);
  await clock.advance(1000);
  await run(resolver.ipv4("a.example"));
  assert.equal(asked.length, 2);
});

test("what is remembered lives no longer when the clock is set back, and what the machine has slept through counts", async () => {
  const { clock, day, asked, resolver, run } = setUp({
    reply: (_, name) => (name === "down.example" ? undefined : answer(name, [{ type: "A", address: "192.0.2.1" }])),
    settings: { failureTtl: "30s" },
  });
  const isAskedAgain = async (name: string): Promise<boolean> => {
    const before = asked.length;
    await run(resolver.ipv4(name));
    return asked.length > before;
  };
  assert.ok(await isAskedAgain("a.example"));
  assert.ok(await isAskedAgain("down.example"));
  day.setByMs = -86_400_000;
  await clock.advance(10_000);
  assert.equal(await isAskedAgain("a.example"), false);
  assert.equal(await isAskedAgain("down.example"), false);
  await clock.advance(50_000);
  assert.ok(await isAskedAgain("a.example"));
  assert.ok(await isAskedAgain("down.example"));
  // Asleep: the time of day goes on, and the other clock does not.
  day.setByMs += 20_000;
  assert.equal(await isAskedAgain("down.example"), false);
  day.setByMs += 20_000;
  assert.ok(await isAskedAgain("down.example"));
  assert.equal(await isAskedAgain("a.example"), false);
  day.setByMs += 30_000;
  assert.ok(await isAskedAgain("a.example"));
});

test("the same question asked by many at once goes out once", async () => {
  const { asked, resolver, run } = setUp({ reply: (_, name) => answer(name, [{ type: "A", address: "192.0.2.1" }]) });
  const all = await run(Promise.all(Array.from({ length: 20 }, () => resolver.ipv4("a.example"))));
  assert.equal(asked.length, 1);
  assert.ok(all.every((one) => one.kind === "found"));
});

test("a silent server is passed over for the next one, and asked last from then on", async () => {
  const { asked, resolver, run } = setUp({
    servers: ["127.0.0.1", "127.0.0.2"],
    reply: (at, name) =>
      at.startsWith("127.0.0.1:") ? undefined : answer(name, [{ type: "A", address: "192.0.2.1" }]),
  });
  assert.equal((await run(resolver.ipv4("a.example"))).kind, "found");
  assert.equal((await run(resolver.ipv4("b.example"))).kind, "found");
  assert.deepEqual(asked, ["127.0.0.1:53 a.example A", "127.0.0.2:53 a.example A", "127.0.0.2:53 b.example A"]);
});

test("a lookup ends at its own deadline when every server is silent", async () => {
  const { clock, resolver, run } = setUp({ reply: () => undefined, settings: { timeout: "5s", tries: 10 } });
  const result = await run(resolver.mx("a.example"));
  assert.ok(result.kind === "failed");
  assert.equal(result.finding.reason, "timeout");
  assert.equal(clock.now() - noon, 5000);
});

test("a failure is remembered for a moment, so that a dead server is not asked by everyone", async () => {
  const { clock, asked, resolver, run } = setUp({ reply: (_, name) => answer(name, [], { rcode: 2 }) });
  const first = await run(resolver.mx("a.example"));
  assert.ok(first.kind === "failed" && first.finding.reason === "servfail");
  await run(resolver.mx("a.example"));
  assert.equal(asked.length, 1);
  await clock.advance(5000);
  await run(resolver.mx("a.example"));
  assert.equal(asked.length, 2);
});

test("a referral is no answer: the next server is asked, and without one the failure says so", async () => {
  const refers = { isRecursive: false };
  const reply = (at: string, name: string) =>
    at.startsWith("127.0.0.1:") ? answer(name, [], refers) : answer(name, [{ type: "A", address: "192.0.2.1" }]);
  const two = setUp({ servers: ["127.0.0.1", "127.0.0.2"], reply });
  assert.equal((await two.run(two.resolver.ipv4("a.example"))).kind, "found");
  const one = setUp({ reply });
  const result = await one.run(one.resolver.mx("a.example"));
  assert.ok(result.kind === "failed");
  assert.equal(result.finding.reason, "refused");
  assert.match(result.finding.text, /recursion is not offered/);
  assert.equal(one.asked.length, 1);
});

test("a referral at the end of aliases is no answer, either", async () => {
  const { resolver, run } = setUp({
    reply: (_, name) =>
      name === "a.example"
        ? answer(name, [{ type: "CNAME", name: "b.example" }])
        : answer(name, [], { isRecursive: false }),
  });
  assert.equal((await run(resolver.ipv4("a.example"))).kind, "failed");
});

test("a validator's refusal is not outvoted by the next server", async () => {
  const { asked, resolver, run } = setUp({
    servers: ["127.0.0.1", "127.0.0.2"],
    reply: (at, name) =>
      at.startsWith("127.0.0.1:")
        ? answer(name, [], { rcode: 2, extendedError: { code: 6, text: "" } })
        : answer(name, [{ type: "A", address: "192.0.2.66" }]),
  });
  const result = await run(resolver.ipv4("a.example"));
  assert.ok(result.kind === "failed" && result.finding.reason === "bogus");
  assert.equal(asked.length, 1);
});

test("the AD bit is believed from loopback only, unless the settings trust the server", async () => {
  const reply = (_: string, name: string) =>
    answer(name, [{ type: "A", address: "192.0.2.1" }], { isAuthenticated: true });
  for (const [servers, settings, expected] of [
    [["127.0.0.1"], {}, true],
    [["192.0.2.53"], {}, false],
    [["192.0.2.53"], { trustAuthenticated: "always" }, true],
    [["127.0.0.1"], { trustAuthenticated: "never" }, false],
  ] as const) {
    const { resolver, run } = setUp({ servers: [...servers], reply, settings });
    const result = await run(resolver.ipv4("a.example"));
    assert.ok(result.kind === "found");
    assert.equal(result.secure, expected);
  }
});

test("an alias is followed over several answers, and is only as secure as its weakest part", async () => {
  const { resolver, run } = setUp({
    reply: (_, name) =>
      name === "a.example"
        ? answer(name, [{ type: "CNAME", name: "b.example" }])
        : answer(name, [{ type: "A", address: "192.0.2.1" }], { isAuthenticated: true }),
  });
  const result = await run(resolver.ipv4("a.example"));
  assert.ok(result.kind === "found");
  assert.deepEqual(result.records, ["192.0.2.1"]);
  assert.equal(result.secure, false);
});

test("aliases that never end are cut and told", async () => {
  const { asked, resolver, run } = setUp({ reply: (_, name) => answer(name, [{ type: "CNAME", name: `x${name}` }]) });
  const result = await run(resolver.ipv4("a.example"));
  assert.ok(result.kind === "failed" && result.finding.reason === "cname-loop");
  assert.ok(asked.length <= 14);
});

test("the caller's signal ends the caller's wait and nobody else's", async () => {
  const { resolver, run } = setUp({ reply: (_, name) => answer(name, [{ type: "A", address: "192.0.2.1" }]) });
  const controller = new AbortController();
  const impatient = assert.rejects(resolver.ipv4("a.example", controller.signal), /enough/);
  const patient = resolver.ipv4("a.example");
  controller.abort(new Error("enough"));
  await impatient;
  assert.equal((await run(patient)).kind, "found");
});

test("names that no message can carry, and the special ones, need no server", async () => {
  const { asked, resolver } = setUp({ reply: () => undefined });
  assert.equal((await resolver.mx("x".repeat(64))).kind, "none");
  assert.equal((await resolver.ipv4("host.invalid")).kind, "none");
  const local = await resolver.ipv4("localhost");
  assert.ok(local.kind === "found");
  assert.deepEqual(local.records, ["127.0.0.1"]);
  assert.deepEqual(asked, []);
});

test("without any server a lookup fails with advice, at once", async () => {
  const { resolver, run } = setUp({ servers: [], reply: () => undefined });
  const result = await run(resolver.mx("a.example"));
  assert.ok(result.kind === "failed");
  assert.match(result.finding.text, /dns\.servers/);
});

test("no more questions are on the way than the settings allow; the others wait for their turn", async () => {
  let now = 0;
  let most = 0;
  const clock = virtualClock(noon);
  const resolver = createDnsResolver({
    clock,
    settings: dnsSettings.parse({ inFlight: 3 }),
    servers: () => ({ servers: [server("127.0.0.1")] }),
    exchange: (_, name) =>
      new Promise((resolve) => {
        most = Math.max(most, ++now);
        clock.after(10, () => {
          now--;
          resolve(answer(name, [{ type: "A", address: "192.0.2.1" }]));
        });
      }),
  });
  const all = Promise.all(Array.from({ length: 20 }, (_, n) => resolver.ipv4(`h${n}.example`)));
  await clock.advance(1000);
  assert.ok((await all).every((one) => one.kind === "found"));
  assert.equal(most, 3);
});

test("a silent domain keeps nobody else's questions waiting", async () => {
  const { clock, resolver, run } = setUp({
    reply: (_, name) =>
      name.endsWith(".slow.example") ? undefined : answer(name, [{ type: "A", address: "192.0.2.1" }]),
  });
  const silent = Promise.all(Array.from({ length: 1000 }, (_, n) => resolver.txt(`k${n}.slow.example`)));
  for (let n = 0; n < 5; n++) {
    const askedAt = clock.now();
    assert.equal((await run(resolver.ipv4(`host.good${n}.example`))).kind, "found");
    assert.ok(clock.now() - askedAt <= 2, `${clock.now() - askedAt} ms`);
  }
  assert.ok((await run(silent)).every((one) => one.kind === "failed"));
});

test("a question without a turn, or with one that came too late, says so and nothing against the server", async () => {
  const clock = virtualClock(noon);
  const asked: string[] = [];
  const resolver = createDnsResolver({
    clock,
    settings: dnsSettings.parse({ inFlight: 1, timeout: "500ms" }),
    servers: () => ({ servers: [server("127.0.0.1"), server("127.0.0.2")] }),
    exchange: async (at, name, _, limitMs) => {
      asked.push(`${serverText(at)} ${name}`);
      await sleep(clock, Math.min(400, limitMs));
      return limitMs < 400
        ? { ok: false, reason: "timeout", text: "silence" }
        : answer(name, [{ type: "A", address: "192.0.2.1" }]);
    },
  });
  const all = Promise.all(["a.example", "b.example", "c.example"].map((name) => resolver.ipv4(name)));
  await clock.advance(500);
  const [first, late, never] = await all;
  assert.equal(first?.kind, "found");
  assert.ok(late?.kind === "failed" && never?.kind === "failed");
  assert.equal(never.finding.server, "");
  assert.match(never.finding.text, /dns\.in-flight/);
  void resolver.ipv4("d.example");
  await clock.advance(1);
  assert.deepEqual(asked, ["127.0.0.1:53 a.example", "127.0.0.1:53 b.example", "127.0.0.1:53 d.example"]);
});

test("remembered answers never weigh more than they may", async () => {
  const { asked, resolver, run } = setUp({
    reply: (_, name) => answer(name, [{ type: "A", address: "192.0.2.1" }]),
    settings: { cacheSize: "4KiB" },
  });
  for (let n = 0; n < 30; n++) await run(resolver.ipv4(`h${n}.example`));
  await run(resolver.ipv4("h29.example"));
  assert.equal(asked.length, 30);
  await run(resolver.ipv4("h0.example"));
  assert.equal(asked.length, 31);
});

test("servers are read from resolv.conf and from the settings' writings", () => {
  const conf =
    "# comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver fe80::1%eth0 # x\nnameserver nonsense\n";
  assert.deepEqual(serversOfResolvConf(conf).map(serverText), ["192.0.2.1:53", "[fe80::1%eth0]:53"]);
  assert.equal(serverText(server("[2001:db8::53]:5353")), "[2001:db8::53]:5353");
  assert.equal(serverText(server("[fe80::1%eth0.7]:5353")), "[fe80::1%eth0.7]:5353");
  for (const text of ["ns.example.org", "192.0.2.1%eth0", "fe80::1%", "fe80::1%eth0/../x", "%eth0", ""])
    assert.equal(parseDnsServer(text), undefined, text);
  assert.equal(parseDnsServer("192.0.2.1:99999"), undefined);
});

test("a server in the settings that is no address is a problem of the settings", () => {
  const parsed = dnsSettings.safeParse({ servers: ["127.0.0.1", "dns.google"] });
  assert.deepEqual(
    parsed.error?.issues.map((issue) => issue.path),
    [["servers", 1]],
  );
  assert.match(parsed.error?.issues[0]?.message ?? "", /expected the address of a DNS server/);
});

test("a trace shows each question with its server, answer and time, and what was remembered; off it shows nothing", async () => {
  const clock = virtualClock(noon);
  const lines: string[] = [];
  const trace = { isOn: true, show: (line: string) => void lines.push(line) };
  const resolver = createDnsResolver({
    clock,
    settings: dnsSettings.parse({}),
    servers: () => ({ servers: [server("127.0.0.1"), server("192.0.2.53:5353")] }),
    exchange: async (at, name, type) => {
      await sleep(clock, 20);
      if (serverText(at).includes("5353")) return { ok: false, reason: "timeout", text: "no answer" };
      if (type === "AAAA") return answer(name, [], { rcode: 3, isAuthenticated: true });
      return answer(name, [
        { type: "MX", preference: 10, exchange: "mx1.a.test" },
        { type: "MX", preference: 20, exchange: "mx2.a.test" },
      ]);
    },
    trace,
  });
  const asking = [resolver.mx("a.test"), resolver.ipv6("nobody.test")];
  await clock.advance(1000);
  await Promise.all(asking);
  await resolver.mx("a.test");
  assert.deepEqual(lines, [
    "MX a.test @127.0.0.1:53: NOERROR: MX 10 mx1.a.test (60 s), MX 20 mx2.a.test (60 s), 20 ms",
    "AAAA nobody.test @127.0.0.1:53: NXDOMAIN ad, no records, 20 ms",
    "MX a.test: remembered, found",
  ]);
  trace.isOn = false;
  await resolver.mx("a.test");
  assert.equal(lines.length, 3);
});
