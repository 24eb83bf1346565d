import assert from "node:assert/strict";
import { test } from "node:test";
import { runExperiment } from "./experiment.ts";
import { figuresOf, type Figures } from "./figures.ts";
import { scenarioOf, type WrittenScenario } from "./scenario.ts";
import { simulate } from "./simulation.ts";

type Host = NonNullable<NonNullable<WrittenScenario["world"]>["hosts"]>[string];

/** Mail to one domain with one host that behaves so. */
function toHost(host: Host, more: Partial<WrittenScenario> = {}): Figures {
  return figuresOf(
    simulate(
      scenarioOf({
        until: "2d",
        world: { hosts: { mx: host }, domains: { there: { mx: [{ host: "mx" }] } } },
        workloads: { mail: { mails: 200, to: "there", over: "10m" } },
        ...more,
      }),
      { checkEvery: 500 },
    ),
  );
}

test("mail to a host that is well arrives in a few round trips, each with one attempt", () => {
  const { all, hosts } = toHost({ latency: "100ms" });
  assert.equal(all.delivered, 200);
  assert.equal(all.attemptsPerDelivered, 1);
  assert.ok(all.p100 < 1000, `${all.p100}`);
  assert.ok(all.p50 >= 100, "one round trip at least");
  assert.equal(hosts["mx"]?.taken, 200);
});

test("latency and bandwidth are paid for", () => {
  const slow = toHost(
    { latency: "2s", bandwidth: "10KiB" },
    { workloads: { mail: { mails: 1, to: "there", size: "100KiB" } } },
  );
  // Connection, greeting, EHLO, mail and content: a round trip each, and ten seconds for the content.
  assert.ok(slow.all.p100 >= 14_000 && slow.all.p100 <= 22_000, `${slow.all.p100}`);
});

test("a tarpit delays each mail and loses none", () => {
  const { all } = toHost({ slow: { greeting: "20s", command: "1s" } });
  assert.equal(all.delivered, 200);
  assert.ok(all.p50 > 1000);
});

test("a host that is silent for longer than a deadline is a lost connection, and the mail goes elsewhere", () => {
  const figures = figuresOf(
    simulate(
      scenarioOf({
        until: "2d",
        world: {
          hosts: { silent: { slow: { greeting: "1h" } }, well: {} },
          domains: { there: { mx: [{ host: "silent" }, { host: "well", preference: 20 }] } },
        },
        workloads: { mail: { mails: 5, to: "there" } },
      }),
    ),
  );
  assert.equal(figures.all.delivered, 5);
  assert.equal(figures.hosts["well"]?.taken, 5);
  assert.ok(figures.all.p100 >= 300_000 && figures.all.p100 < 310_000, "the greeting's deadline is five minutes");
});

test("no host of the world ever has more connections than our limits allow", () => {
  const { hosts } = toHost({ slow: { command: "5s" } }, { settings: { route: { limits: { host: 3, route: 3 } } } });
  assert.ok((hosts["mx"]?.mostConnections ?? 0) <= 4, "one more may still be closing");
  assert.ok((hosts["mx"]?.mostConnections ?? 0) >= 2);
});

test("connection limits, rates and goodbyes of a host make mail wait and lose none", () => {
  for (const host of [
    { connections: { perClient: 1 } },
    { connections: { most: 1, beyond: "refuses" } },
    { rate: { most: 30 } },
    { rate: { most: 30, reply: { code: 421 } } },
    { closesAfter: 3 },
    { announces: { mostMails: 2, mostRecipients: 1 } },
    { announces: { pipelining: false, chunking: false } },
    { announces: { chunking: false, tls: "works" } },
    { announces: { tls: "fails" } },
  ] as const) {
    const { all } = toHost(host);
    assert.equal(all.delivered, 200, JSON.stringify(host));
  }
});

test("connections that break at any stage delay mail, and none is delivered twice or lost", () => {
  for (const at of ["connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"] as const) {
    const { all, hosts } = toHost({ drops: [{ at, likelihood: 0.2 }], announces: { chunking: at !== "DATA" } });
    assert.equal(all.delivered, 200, at);
    assert.ok((hosts["mx"]?.cut ?? 0) > 0, `${at} was cut`);
  }
});

test("a storm of refusals at any stage passes", () => {
  for (const at of ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"] as const) {
    const { all } = toHost({ storms: [{ at, from: "2m", until: "20m" }], announces: { chunking: false } });
    assert.equal(all.delivered, 200, at);
    assert.ok(all.p100 > 60_000, `${at}: some had to wait`);
  }
});

test("recipients that do not exist are returned, and only they", () => {
  const { all } = toHost({ recipients: [{ match: "u1*" }] });
  assert.equal(all.returned, 111, "u1, u10 to u19 and u100 to u199");
  assert.equal(all.delivered, 89);
  const shared = toHost({ unknownUsers: 0.5 }).all;
  assert.ok(shared.returned > 60 && shared.returned < 140);
  assert.equal(shared.returned + shared.delivered, 200);
});

test("a host beyond its number of recipients gets the others in further transactions", () => {
  const { all, hosts } = toHost(
    { takesRecipients: 10 },
    { workloads: { mail: { mails: 1, recipients: 35, to: "there" } } },
  );
  assert.equal(all.delivered, 35);
  assert.equal(hosts["mx"]?.mails, 4);
});

test("a host that is down is reached when it is back", () => {
  for (const how of ["hangs", "refuses"] as const) {
    const { all } = toHost({ down: [{ how, until: "30m" }] });
    assert.equal(all.delivered, 200, how);
    assert.ok(all.p100 > 20 * 60_000 && all.p100 < 3 * 3_600_000, `${how}: ${all.p100}`);
  }
});

test("how long a connection may take is what shaping says for its host", () => {
  const settings = { route: { shaping: { "mx:*": { connectTimeout: "5s" } } } };
  const world: WrittenScenario["world"] = {
    hosts: { gone: { ipv4: "hangs" }, well: {} },
    domains: { there: { mx: [{ host: "gone" }, { host: "well", preference: 20 }] } },
  };
  const { all } = toHost({}, { world, settings, workloads: { mail: { mails: 1, to: "there" } } });
  assert.ok(all.p100 >= 5000 && all.p100 < 6000, `${all.p100}`);
});

test("an address of ours that a host does not want is told from one that it takes", () => {
  const settings = { actions: { relay: { relay: { source: "192.0.2.1" } } } };
  const refused = toHost({ sources: [{ address: "192.0.2.1" }] }, { settings, until: "10m" });
  assert.equal(refused.all.delivered, 0);
  assert.equal(toHost({ sources: [{ address: "192.0.2.2" }] }, { settings }).all.delivered, 200);
});

test("DNS that fails for a while delays mail; a domain that does not exist, or takes none, returns it", () => {
  const about = (dns: object, mx = [{ host: "mx" }]): Figures["all"] =>
    figuresOf(
      simulate(
        scenarioOf({
          until: "1d",
          world: { hosts: { mx: {} }, domains: { there: { mx, dns } } },
          workloads: { mail: { mails: 20, to: "there" } },
        }),
      ),
    ).all;
  const failing = about({ fails: "servfail", until: "10m" });
  assert.equal(failing.delivered, 20);
  assert.ok(failing.p50 >= 400_000);
  assert.equal(about({ fails: "no-such-domain" }).returned, 20);
  assert.equal(about({}, []).returned, 20);
});

test("what is never taken expires, and is counted so", () => {
  const { all } = toHost({ storms: [{ at: "RCPT" }] }, { until: "3d", settings: { scheduler: { expireAfter: "1d" } } });
  assert.equal(all.expired, 200);
  assert.equal(all.p50, Infinity);
});

test("the same seed gives the same report, another seed another", () => {
  const scenario = scenarioOf({
    until: "1d",
    world: {
      hosts: { mx: { count: 5, drops: [{ at: "RCPT", likelihood: 0.2 }] } },
      domains: { some: { count: 20, mx: [{ host: "mx" }, { host: "mx", shift: 1 }] } },
    },
    workloads: { mail: { mails: 300, to: "some", spread: "random", over: "1h", arrivals: "poisson" } },
  });
  const report = (seed: number): string => JSON.stringify({ ...runExperiment(scenario, { seed }), seed: 0 });
  assert.equal(report(1), report(1));
  assert.notEqual(report(1), report(2));
});

test("looking at the invariants changes nothing", () => {
  const scenario = scenarioOf({
    world: { hosts: { mx: { drops: [{ at: "end", likelihood: 0.3 }] } }, domains: { there: { mx: [{ host: "mx" }] } } },
    workloads: { mail: { mails: 100, to: "there" } },
  });
  const often = figuresOf(simulate(scenario, { checkEvery: 1 }));
  const never = figuresOf(simulate(scenario, { checkEvery: 0 }));
  assert.ok(often.run.checks > 100);
  assert.deepEqual({ ...often, run: 0 }, { ...never, run: 0 });
});
