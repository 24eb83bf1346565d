import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../../simulator/deliveries.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import type { Failure } from "../../envelope/failure.ts";
import { earliestOf, hindrancesOf } from "../admin/hindrances.ts";
import { limitsOf, limitText } from "../admin/limits-of.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

const host = (ip: string, more: Partial<SimulatedHost> = {}): SimulatedHost => ({
  name: `mx-${ip.replaceAll(/[.:]/g, "-")}.provider.example`,
  ip,
  connectMs: 20,
  transactMs: 50,
  ...more,
});

const greeting = (code: number, text: string): Failure => ({
  lasting: "temporary",
  status: "4.7.1",
  cause: { kind: "reply", during: "greeting" },
  reply: reply(code, undefined, text),
});

const notOurs = (address: string): Failure => ({
  lasting: "temporary",
  status: "4.4.1",
  cause: { kind: "connect", reason: "source", text: `from ${address}: Cannot assign requested address` },
});

const happened = (simulation: SimulatedScheduling, what: string): number[] =>
  simulation.world.happenings.filter((one) => one.what === what).map((one) => one.at);

/** In no stretch of `perMs` are there more than `count` of them. */
function assertRate(at: readonly number[], count: number, perMs: number): void {
  for (let n = count; n < at.length; n++)
    assert.ok((at[n] ?? 0) - (at[n - count] ?? 0) >= perMs, `number ${n} of ${at.length} came too early`);
}

/** Moves on to each next instant and looks at the whole state there. */
async function watch(simulation: SimulatedScheduling, ms: number): Promise<void> {
  const { clock, scheduler } = simulation;
  const end = clock.now() + ms;
  while (clock.now() < end) {
    const next = clock.nextAt() ?? end;
    await clock.advance(Math.min(Math.max(0, next - clock.now()), end - clock.now()));
    if (next === clock.now()) await clock.advance(0);
    assertSchedulerInvariants(scheduler.state);
    if (clock.nextAt() === undefined) return;
  }
}

test("two hundred domains behind the same next host share what a pattern of its name allows", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "mx:*.provider.example": { connections: 3 } } } });
  const provider = [host("192.0.2.1")];
  for (let n = 0; n < 200; n++) simulation.world.setDomain(`d${n}.example`, provider);
  for (let n = 0; n < 200; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await watch(simulation, 10 * MINUTE);
  assert.equal(simulation.world.delivered.size, 200);
  assert.equal(simulation.world.connections.get("192.0.2.1")?.most, 3);
});

test("a limit that counts all of a pattern together holds over several hosts", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "mx:*.provider.example": { connections: 4, together: { connections: 5 } } } },
  });
  simulation.world.setDomain("one.example", [host("192.0.2.1"), host("192.0.2.2"), host("192.0.2.3")]);
  simulation.world.setDomain("two.example", [host("192.0.2.3"), host("192.0.2.4")]);
  for (let n = 0; n < 100; n++) await simulation.send({ to: [`a${n}@one.example`, `a${n}@two.example`] });
  await watch(simulation, 10 * MINUTE);
  assert.equal(simulation.world.delivered.size, 200);
  assert.equal(simulation.world.connections.get("all")?.most, 5);
});

test("a domain's limit holds for that domain only", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "*.slow.example": { connections: 1 } } } });
  simulation.world.setDomain("a.slow.example", [host("192.0.2.1")]);
  simulation.world.setDomain("fast.example", [host("192.0.2.2")]);
  for (let n = 0; n < 60; n++) await simulation.send({ to: [`a${n}@a.slow.example`, `a${n}@fast.example`] });
  await watch(simulation, 10 * MINUTE);
  assert.equal(simulation.world.delivered.size, 120);
  assert.equal(simulation.world.connections.get("192.0.2.1")?.most, 1);
  assert.ok((simulation.world.connections.get("192.0.2.2")?.most ?? 0) > 1);
});

test("a rate is used up at once, then mail goes as tokens come back: never too much, and nothing waits longer", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "example.org": { rate: "10/min" } } } });
  simulation.world.setDomain("example.org", [host("192.0.2.1")]);
  for (let n = 0; n < 35; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await watch(simulation, 5 * MINUTE);
  const went = happened(simulation, "transact");
  assert.equal(went.length, 35);
  assertRate(went, 10, MINUTE);
  // Three full periods, and what it takes to connect anew and hand the mail over.
  assert.ok((went.at(-1) ?? 0) - (went[0] ?? 0) < 3 * MINUTE + 2 * SECOND);
  // Nothing is looked at in vain while a bucket is empty.
  const timers = simulation.inputs.filter(({ json }) => json.includes('"timer"')).length;
  assert.ok(timers < 60, `${timers} timers for 35 mails`);
});

test("domains that share a host's rate have their turns; a long list holds up nobody", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "mx:*.provider.example": { rate: "6/min" } } } });
  const provider = [host("192.0.2.1")];
  for (let n = 0; n < 5; n++)
    simulation.world.setDomain(`d${n}.example`, [...provider, host(`192.0.3.${n}`, { preference: 20 })]);
  for (let n = 0; n < 40; n++) await simulation.send({ to: [`list${n}@d0.example`] });
  await watch(simulation, 2 * MINUTE);
  for (let n = 1; n < 5; n++) await simulation.send({ to: [`single@d${n}.example`] });
  const before = happened(simulation, "transact").length;
  await watch(simulation, 2 * MINUTE);
  assertRate(happened(simulation, "transact"), 6, MINUTE);
  assert.ok(happened(simulation, "transact").length >= before + 12);
  const { state } = simulation.scheduler;
  const left = [...state.tickets.values()].filter(({ recipient }) => recipient.startsWith("single"));
  assert.deepEqual(left, [], "the single mails went between those of the list");
});

test("who gives a place back does not take it again before those who wait for it", async () => {
  const simulation = simulatedScheduling({ route: { limits: { total: 1, mailsPerSession: 1 } } });
  simulation.world.setDomain("busy.example", [host("192.0.2.1")]);
  for (let n = 0; n < 5; n++) simulation.world.setDomain(`d${n}.example`, [host(`192.0.2.1${n}`)]);
  for (let n = 0; n < 60; n++) await simulation.send({ to: [`a${n}@busy.example`] });
  await watch(simulation, 200);
  for (let n = 0; n < 5; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await watch(simulation, 12 * 80);
  const { state } = simulation.scheduler;
  const left = [...state.tickets.values()].map(({ recipient }) => recipient);
  assert.ok(left.length > 30 && left.every((recipient) => recipient.endsWith("busy.example")));
});

test("a session with nothing to carry gives its place to those who wait for it, instead of being kept open", async () => {
  const simulation = simulatedScheduling({ route: { limits: { total: 1 }, keepOpen: "1m" } });
  for (let n = 0; n < 50; n++) simulation.world.setDomain(`d${n}.example`, [host(`192.0.2.${n}`)]);
  for (let n = 0; n < 50; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await watch(simulation, 50 * 80);
  assert.equal(simulation.world.delivered.size, 50);
});

test("connections are opened at the rate that was set", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "mx:*": { connectionRate: "2/10s", mailsPerConnection: 1 } } },
  });
  simulation.world.setDomain("example.org", [host("192.0.2.1")]);
  for (let n = 0; n < 12; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await watch(simulation, 2 * MINUTE);
  const opened = happened(simulation, "connect");
  assert.equal(opened.length, 12);
  assertRate(opened, 2, 10 * SECOND);
});

test("a connection that fails gives the mail's token back", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "example.org": { rate: "1/1h" } } } });
  let isUp = false;
  const onConnect = (): Failure | undefined => (isUp ? undefined : unreachable("192.0.2.1"));
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onConnect })]);
  await simulation.send({ to: ["a@example.org"] });
  await watch(simulation, 5 * SECOND);
  isUp = true;
  await watch(simulation, 10 * MINUTE);
  assert.equal(simulation.world.delivered.size, 1);
});

test("rates of any settings hold at any load, and everything arrives", async () => {
  const rules = fc.record({
    domain: fc.constantFrom("5/min", "1/s", "40/10s"),
    host: fc.constantFrom("12/min", "2/s", "100/10s"),
    all: fc.constantFrom("15/min", "3/s"),
    opens: fc.constantFrom("4/10s", "1/s"),
    mails: fc.integer({ min: 1, max: 4 }),
    connections: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(
      rules,
      fc.array(fc.nat(5), { minLength: 1, maxLength: 40 }),
      fc.integer(),
      async (set, to, seed) => {
        const simulation = simulatedScheduling({
          seed,
          route: {
            shaping: {
              "*.example": { rate: set.domain, connections: set.connections },
              "mx:*.provider.example": {
                rate: set.host,
                connectionRate: set.opens,
                mailsPerConnection: set.mails,
                together: { rate: set.all },
              },
            },
          },
        });
        const hosts = [host("192.0.2.1"), host("192.0.2.2"), host("192.0.2.3", { facts: { mostTransactions: 2 } })];
        for (let n = 0; n < 6; n++) {
          const serving = [hosts[n % 3], hosts[(n + 1) % 3]].filter((one) => one !== undefined);
          simulation.world.setDomain(`d${n}.example`, serving);
        }
        for (const [at, n] of to.entries()) await simulation.send({ to: [`a${at}@d${n}.example`] });
        await watch(simulation, 30 * MINUTE);
        assert.equal(simulation.world.delivered.size, to.length, "all of it arrived");
        const rateOf = (text: string): [number, number] => {
          const [count = "", per = ""] = text.split("/");
          return [Number(count), { min: MINUTE, s: SECOND, "10s": 10 * SECOND }[per] ?? 0];
        };
        const { happenings } = simulation.world;
        const went = happenings.filter((one) => one.what === "transact");
        assertRate(
          went.map((one) => one.at),
          ...rateOf(set.all),
        );
        for (const { ip } of hosts) {
          assertRate(
            went.filter((one) => one.where === ip).map((one) => one.at),
            ...rateOf(set.host),
          );
          const opened = happenings.filter((one) => one.what === "connect" && one.where === ip);
          assertRate(
            opened.map((one) => one.at),
            ...rateOf(set.opens),
          );
        }
        await simulation.scheduler.stop(0);
      },
    ),
    { numRuns: 25 },
  );
});

test("new settings hold at once: a lower limit for what is opened from then on, a higher one for what waits", async () => {
  const simulation = simulatedScheduling({ route: { shaping: { "example.org": { rate: "1/1h" } } } });
  const { scheduler, settings, world } = simulation;
  world.setDomain("example.org", [host("192.0.2.1", { transactMs: 5000 })]);
  for (let n = 0; n < 30; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await watch(simulation, SECOND);
  assert.equal(world.running.transactions, 1);
  const change = (shaping: typeof settings.route.shaping): void =>
    scheduler.reload({ ...settings, route: { ...settings.route, shaping } });
  change({ "mx:*.provider.example": { connections: 2 } });
  await watch(simulation, MINUTE);
  assert.ok(world.delivered.size >= 20, "nothing is held back any more");
  assert.equal(world.connections.get("192.0.2.1")?.most, 2);
  assert.equal(happened(simulation, "refused").length, 0);
  change({});
  for (let n = 0; n < 60; n++) await simulation.send({ to: [`b${n}@example.org`] });
  await watch(simulation, 2 * MINUTE);
  assert.equal(world.connections.get("192.0.2.1")?.most, 5);
  assert.equal(world.delivered.size, 90);
});

test("our addresses share the sessions by weight", async () => {
  const sources = [{ address: "198.51.100.1", weight: 3 }, { address: "198.51.100.2" }, "2001:db8::9"];
  const simulation = simulatedScheduling({ route: { sources, shaping: { "*": { mailsPerConnection: 1 } } } });
  const used = new Map<string, number>();
  for (let n = 0; n < 50; n++) {
    const onConnect = ({ sourceAddress = "none" }): undefined => {
      used.set(sourceAddress, (used.get(sourceAddress) ?? 0) + 1);
    };
    simulation.world.setDomain(`d${n}.example`, [host(`192.0.2.${n}`, { onConnect })]);
  }
  for (let n = 0; n < 1000; n++) await simulation.send({ to: [`a@d${n % 50}.example`] });
  await simulation.clock.advance(30 * MINUTE);
  assert.equal(simulation.world.delivered.size, 1000);
  assert.equal(
    [...used.values()].reduce((sum, one) => sum + one, 0),
    1000,
  );
  const share = (used.get("198.51.100.1") ?? 0) / 1000;
  assert.ok(Math.abs(share - 0.75) < 0.04, `${share} of the sessions came from the first address`);
  assert.equal(used.has("2001:db8::9"), false, "an IPv6 address is not for IPv4 hosts");
});

test("an address that was shut out for a while has its share again afterwards, and not more", async () => {
  const sources = [{ address: "198.51.100.1", weight: 3 }, "198.51.100.2"];
  const simulation = simulatedScheduling({ route: { sources, shaping: { "*": { mailsPerConnection: 1 } } } });
  let isShutOut = true;
  const used: string[] = [];
  const onConnect: SimulatedHost["onConnect"] = ({ sourceAddress = "" }) => {
    if (isShutOut && sourceAddress === "198.51.100.1") return greeting(554, "5.7.1 blocked");
    used.push(sourceAddress);
    return undefined;
  };
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onConnect })]);
  const send = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) await simulation.send({ to: [`a${n}@example.org`] });
    await simulation.clock.advance(MINUTE);
  };
  await send(200);
  assert.deepEqual(new Set(used), new Set(["198.51.100.2"]));
  isShutOut = false;
  await simulation.clock.advance(2 * 60 * MINUTE);
  used.length = 0;
  await send(80);
  const share = used.filter((one) => one === "198.51.100.1").length / 80;
  assert.ok(share > 0.68 && share < 0.82, `${share} of the sessions came from the address that is back`);
});

test("a host that shuts out one of our addresses gets its mail from the other, and the first works elsewhere", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1", "198.51.100.2"] } });
  const connects: string[] = [];
  const strict = host("192.0.2.1", {
    onConnect: ({ sourceAddress = "" }) => {
      connects.push(`strict ${sourceAddress}`);
      return sourceAddress === "198.51.100.1" ? greeting(554, "5.7.1 your address is blocked") : undefined;
    },
  });
  const open = host("192.0.2.2", {
    onConnect: ({ sourceAddress = "" }) => void connects.push(`open ${sourceAddress}`),
  });
  simulation.world.setDomain("strict.example", [strict]);
  simulation.world.setDomain("open.example", [open]);
  for (let n = 0; n < 40; n++) {
    await simulation.send({ to: [`a${n}@strict.example`, `a${n}@open.example`] });
    await watch(simulation, 10 * SECOND);
  }
  assert.equal(simulation.world.delivered.size, 80, "nothing was deferred for the address that is not liked");
  assert.ok(simulation.lines.every((line) => !line.includes("status=deferred")));
  const refused = connects.filter((one) => one === "strict 198.51.100.1").length;
  assert.ok(refused >= 1 && refused <= 8, `${refused} times from the address that is not liked`);
  assert.ok(connects.filter((one) => one === "open 198.51.100.1").length > 5);
});

test("an address that this machine does not have costs nobody an attempt, and the others carry on without it", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1", "198.51.100.2"] } });
  const onConnect: SimulatedHost["onConnect"] = ({ sourceAddress = "" }) =>
    sourceAddress === "198.51.100.1" ? notOurs(sourceAddress) : undefined;
  for (let n = 0; n < 20; n++) simulation.world.setDomain(`d${n}.example`, [host(`192.0.2.${n}`, { onConnect })]);
  for (let n = 0; n < 20; n++) await simulation.send({ to: [`a@d${n}.example`] });
  await watch(simulation, 10 * SECOND);
  assert.equal(simulation.world.delivered.size, 20);
  const rests = simulation.emitted.filter((one) => one.name === "source.rests");
  assert.equal(rests.length, 1, "told once, not for each host");
  assert.equal(rests[0]?.fields["source"], "198.51.100.1");
  assert.ok(simulation.lines.every((line) => !line.includes("status=deferred")));
});

test("with no other address the mail waits for it without an attempt, and goes when it is there", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1"] } });
  let isOurs = false;
  const onConnect = (): Failure | undefined => (isOurs ? undefined : notOurs("198.51.100.1"));
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onConnect })]);
  await simulation.send({ to: ["a@example.org"] });
  await watch(simulation, 2 * MINUTE);
  assert.equal([...simulation.scheduler.state.tickets.values()][0]?.attempts, 0);
  isOurs = true;
  await watch(simulation, 3 * MINUTE);
  assert.equal(simulation.world.delivered.size, 1);
});

test("an address that never comes back does not keep mail for ever", async () => {
  const simulation = simulatedScheduling({ route: { sources: ["198.51.100.1"] }, scheduler: { expireAfter: "1h" } });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onConnect: () => notOurs("198.51.100.1") })]);
  await simulation.send({ to: ["a@example.org"] });
  await watch(simulation, 8 * 60 * MINUTE);
  assert.equal(simulation.notices.length, 1, "it was returned");
});

test("a host that does not answer is tried from one more of our addresses, when no other host is left", async () => {
  const simulation = simulatedScheduling({
    route: { sources: ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"] },
  });
  const tried: string[] = [];
  const dead = (ip: string, preference: number): SimulatedHost =>
    host(ip, {
      preference,
      onConnect: ({ sourceAddress = "" }) => {
        tried.push(`${ip} ${sourceAddress}`);
        return unreachableByTimeout(ip);
      },
    });
  simulation.world.setDomain("example.org", [dead("192.0.2.1", 10), dead("192.0.2.2", 20)]);
  await simulation.send({ to: ["a@example.org"] });
  await watch(simulation, 10 * SECOND);
  assert.equal(tried.length, 4);
  assert.equal(new Set(tried).size, 4);
  assert.deepEqual(
    tried.map((one) => one.split(" ")[0]),
    ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"],
  );
});

function unreachableByTimeout(ip: string): Failure {
  return { ...unreachable(ip), cause: { kind: "connect", reason: "timeout", text: "Connection timed out" } };
}

test("a pool for one domain is for that domain, and its name in EHLO goes with the address", async () => {
  const simulation = simulatedScheduling({
    route: {
      pools: { bulk: [{ address: "198.51.100.7", helo: "bulk.example" }] },
      shaping: { "news.example": { sources: "pool:bulk", connectTimeout: "7s" } },
    },
  });
  const asked: [string, string | undefined, string, number | undefined][] = [];
  const provider = host("192.0.2.1", {
    onConnect: ({ relay, sourceAddress, helo, connectTimeoutMs }) =>
      void asked.push([relay, sourceAddress, helo, connectTimeoutMs]),
  });
  simulation.world.setDomain("news.example", [provider]);
  simulation.world.setDomain("other.example", [provider]);
  await simulation.send({ to: ["a@news.example", "a@other.example"] });
  await watch(simulation, 10 * SECOND);
  assert.deepEqual(
    asked.toSorted(([a], [b]) => a.localeCompare(b)),
    [
      ["news.example", "198.51.100.7", "bulk.example", 7000],
      ["other.example", undefined, "mail.example", undefined],
    ],
  );
});

test("mails in a session and recipients in a mail are as the rules say, and never more than the host announced", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "example.org": { recipientsPerMail: 4, mailsPerConnection: 3 } } },
  });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { facts: { mostRecipients: 7, mostTransactions: 2 } })]);
  await simulation.send({ to: Array.from({ length: 20 }, (_, n) => `a${n}@example.org`) });
  await watch(simulation, MINUTE);
  const sizes = simulation.world.happenings.filter((one) => one.what === "transact").map((one) => one.envelopes.length);
  assert.deepEqual(sizes, [4, 4, 4, 4, 4]);
  assert.equal(happened(simulation, "connect").length, 3);
});

test("what limits mail at a relay is told with its use and the setting it comes from; asking changes nothing", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "example.org": { rate: "2/min" }, "mx:*.provider.example": { connections: 2 } } },
  });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { transactMs: 100 })]);
  for (let n = 0; n < 9; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await watch(simulation, 20 * SECOND);
  const { state } = simulation.scheduler;
  const relay = [...state.relays.values()].find((one) => one.readyCount > 0);
  assert.ok(relay !== undefined);
  const before = JSON.stringify([...state.buckets.values()].map(({ spentAt, missing }) => [spentAt, missing]));
  const { common, ways } = limitsOf(state, relay, "example.org");
  assert.equal(JSON.stringify([...state.buckets.values()].map(({ spentAt, missing }) => [spentAt, missing])), before);
  const rate = common.find((one) => one.unit === "mails in a time");
  assert.ok(rate?.isFull);
  assert.deepEqual(rate.setting, ["route", "shaping", "example.org", "rate"]);
  assert.ok((rate.untilAt ?? 0) > simulation.clock.now());
  assert.equal(limitText(rate), "the rate of mails for the domain example.org is spent (2/m)");
  const toHost = ways[0]?.limits.find((one) => one.scope === "host");
  assert.deepEqual(toHost?.setting, ["route", "shaping", "mx:*.provider.example", "connections"]);
  assert.equal(toHost?.limit, 2);
});

test("a domain may have waits of its own between attempts, and they are named as what an envelope waits for", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "slow.example": { retry: { by: "list", waits: ["1h"] } } } },
    scheduler: { retry: { relay: { by: "list", waits: ["5m"] }, spread: 0 } },
  });
  const busy: Failure = { ...greeting(450, "4.2.1 busy"), cause: { kind: "reply", during: "RCPT" } };
  for (const domain of ["slow.example", "other.example"])
    simulation.world.setDomain(domain, [host("192.0.2.1", { connectMs: 0, transactMs: 0, onEnvelope: () => busy })]);
  await simulation.send({ to: ["a@slow.example", "a@other.example"] });
  const startedAt = simulation.clock.now();
  await watch(simulation, 10 * SECOND);
  const { state } = simulation.scheduler;
  const waits = (await simulation.store.list({})).map(({ recipient, dueAt }) => [
    recipient,
    Math.round((dueAt - startedAt) / MINUTE),
  ]);
  assert.deepEqual(Object.fromEntries(waits), { "a@slow.example": 60, "a@other.example": 5 });
  const slow = [...state.tickets.values()].find(({ recipient }) => recipient === "a@slow.example");
  assert.ok(slow !== undefined);
  assert.deepEqual(hindrancesOf(state, slow)[0]?.setting, ["route", "shaping", "slow.example", "retry"]);
});

/** What holds up the last of thirty mails to example.org, and when the next one really goes. */
async function heldUp(simulation: SimulatedScheduling, hosts: readonly SimulatedHost[]) {
  const { clock, scheduler, world } = simulation;
  world.setDomain("example.org", hosts);
  for (let n = 0; n < 30; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await clock.advance(20 * SECOND);
  const last = [...scheduler.state.tickets.values()].at(-1);
  assert.equal(last?.place, "ready");
  const found = hindrancesOf(scheduler.state, last);
  const earliestAt = earliestOf(found, clock.now());
  const before = happened(simulation, "transact").length;
  while (happened(simulation, "transact").length === before) await clock.advance(SECOND);
  const reasons = found.map(({ what, setting }) => [what, setting?.join(".")]);
  return { reasons, earliestAt, goesAt: happened(simulation, "transact")[before] ?? 0 };
}

test("a host whose rest is over is used while the other one waits for its rate", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "mx:mx-192-0-2-1.provider.example": { rate: "1/h" } } },
  });
  const up = { isUp: false };
  const second = host("192.0.2.2", { onConnect: () => (up.isUp ? undefined : unreachable("192.0.2.2")) });
  simulation.world.setDomain("example.org", [host("192.0.2.1"), second]);
  simulation.world.setDomain("example.net", [second]);
  // It rests because of others' mail.
  await simulation.send({ to: ["a@example.net"] });
  await simulation.clock.advance(SECOND);
  up.isUp = true;
  for (let n = 0; n < 4; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await simulation.clock.advance(SECOND);
  const { state } = simulation.scheduler;
  const last = [...state.tickets.values()].find(({ place }) => place === "ready");
  const earliestAt = last && earliestOf(hindrancesOf(state, last), simulation.clock.now());
  await watch(simulation, MINUTE);
  const [first, ...others] = happened(simulation, "transact");
  assert.equal(others.length, 3);
  assert.ok((others.at(-1) ?? 0) - (first ?? 0) < 20 * SECOND);
  assert.ok(Math.abs((others[0] ?? 0) - (earliestAt ?? 0)) < SECOND, String(earliestAt));
});

test("so is one while the other, which failed from one of our addresses, has no room for the other address", async () => {
  const simulation = simulatedScheduling({
    route: {
      sources: ["198.51.100.1", "198.51.100.2"],
      shaping: { "mx:mx-192-0-2-1.provider.example": { connectionRate: "1/h" } },
    },
  });
  const up = { isUp: false };
  const first = host("192.0.2.1", { onConnect: () => greeting(554, "5.7.1 your address is blocked") });
  const second = host("192.0.2.2", { onConnect: () => (up.isUp ? undefined : unreachable("192.0.2.2")) });
  simulation.world.setDomain("example.org", [first, second]);
  simulation.world.setDomain("example.net", [second]);
  await simulation.send({ to: ["a@example.net"] });
  await simulation.clock.advance(SECOND);
  up.isUp = true;
  await simulation.send({ to: ["a@example.org"] });
  await watch(simulation, MINUTE);
  assert.equal(simulation.world.happenings.filter(({ what }) => what === "transact").length, 1);
});

test("a host whose rest is over is no way before it has a token again", async () => {
  const simulation = simulatedScheduling({
    route: {
      shaping: {
        "mx:mx-192-0-2-1.provider.example": { rate: "2/5min" },
        "mx:mx-192-0-2-2.provider.example": { connectionRate: "1/h" },
      },
    },
  });
  const up = { isUp: false };
  const second = host("192.0.2.2", { onConnect: () => (up.isUp ? undefined : unreachable("192.0.2.2")) });
  simulation.world.setDomain("example.net", [second]);
  await simulation.send({ to: ["a@example.net"] });
  await simulation.clock.advance(SECOND);
  up.isUp = true;
  simulation.world.setDomain("example.org", [host("192.0.2.1"), second]);
  for (let n = 0; n < 4; n++) await simulation.send({ to: [`a${n}@example.org`] });
  await simulation.clock.advance(SECOND);
  const last = [...simulation.scheduler.state.tickets.values()].at(-1);
  assert.equal(last?.place, "ready");
  const sent = happened(simulation, "transact").length;
  const earliestAt = earliestOf(hindrancesOf(simulation.scheduler.state, last), simulation.clock.now()) ?? 0;
  while (happened(simulation, "transact").length === sent) await simulation.clock.advance(SECOND);
  const goesAt = happened(simulation, "transact")[sent] ?? 0;
  assert.ok(Math.abs(goesAt - earliestAt) < SECOND, `${goesAt - earliestAt} ms`);
});

test("a backup that is free holds nothing back: what is full of the host before it is named", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "mx:mx-192-0-2-1.provider.example": { rate: "5/min" } } },
  });
  const hosts = [host("192.0.2.1"), host("192.0.2.2", { preference: 20 })];
  const { reasons, earliestAt = 0, goesAt } = await heldUp(simulation, hosts);
  assert.deepEqual(reasons[0], ["rate", "route.shaping.mx:mx-192-0-2-1.provider.example.rate"]);
  assert.ok(Math.abs(goesAt - earliestAt) < SECOND, `${goesAt - earliestAt} ms`);
});

test("a lighter address that had its share is no way: what is full of the heavier one is named", async () => {
  const simulation = simulatedScheduling({
    route: {
      sources: [
        { address: "198.51.100.1", weight: 999, connectionRate: "2/min" },
        { address: "198.51.100.2", weight: 1 },
      ],
      limits: { mailsPerSession: 1 },
    },
  });
  const { reasons, earliestAt = 0, goesAt } = await heldUp(simulation, [host("192.0.2.1")]);
  assert.deepEqual(reasons[0], ["rate", "route.sources.0.connectionRate"]);
  assert.ok(Math.abs(goesAt - earliestAt) < SECOND, `${goesAt - earliestAt} ms`);
});

test("of several hosts that are full the first that has room again says when mail can go on", async () => {
  const simulation = simulatedScheduling({
    route: {
      shaping: {
        "mx:mx-192-0-2-1.provider.example": { rate: "5/min" },
        "mx:mx-192-0-2-2.provider.example": { rate: "5/h" },
      },
    },
  });
  const { reasons, earliestAt = 0, goesAt } = await heldUp(simulation, [host("192.0.2.1"), host("192.0.2.2")]);
  assert.deepEqual(
    reasons.map(([what]) => what),
    ["rate", "rate", "queue"],
  );
  assert.ok(Math.abs(goesAt - earliestAt) < SECOND, `${goesAt - earliestAt} ms`);
});

test("a host that is suspended is no way beside one that rests", async () => {
  const simulation = simulatedScheduling();
  const hosts = [host("192.0.2.1", { onConnect: () => unreachable("192.0.2.1") }), host("192.0.2.2")];
  simulation.world.setDomain("example.org", hosts);
  const facts = { key: "mx-192-0-2-2.provider.example", because: "a move", by: "ann", setAt: simulation.clock.now() };
  await simulation.scheduler.suspend({ level: "host", ...facts });
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(SECOND);
  await simulation.send({ to: ["b@example.org"] });
  await simulation.clock.advance(SECOND);
  const { state } = simulation.scheduler;
  const [, second] = [...state.tickets.values()];
  assert.equal(second?.place, "ready");
  const [first] = hindrancesOf(state, second);
  assert.equal(first?.what, "route-rests");
  assert.match(first.text, /^every next host rests: mx-192-0-2-1/);
});

test("what is not due names the rest that ends later, though nothing is ready for its relay", async () => {
  const simulation = simulatedScheduling({
    route: { shaping: { "example.org": { sources: ["198.51.100.1"] } }, penaltyStep: "10m" },
    scheduler: { retry: { relay: { by: "list", waits: ["1m"] }, spread: 0 } },
  });
  simulation.world.setDomain("example.org", [host("192.0.2.1", { onConnect: () => unreachable("192.0.2.1") })]);
  await simulation.send({ to: ["a@example.org"] });
  await simulation.clock.advance(SECOND);
  const { state } = simulation.scheduler;
  const [only] = state.tickets.values();
  assert.ok(only !== undefined);
  const found = hindrancesOf(state, only);
  assert.deepEqual(
    found.map(({ what }) => what),
    ["not-due", "route-rests"],
  );
  const before = happened(simulation, "refused").length;
  while (happened(simulation, "refused").length === before) await simulation.clock.advance(SECOND);
  const triedAt = happened(simulation, "refused")[before] ?? 0;
  assert.ok(Math.abs(triedAt - (found[1]?.untilAt ?? 0)) < SECOND, String(triedAt - (found[1]?.untilAt ?? 0)));
});
