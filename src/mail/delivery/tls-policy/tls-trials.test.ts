import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../../foundation/clock.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import type { ConnectRequest, TlsTried } from "../delivery.ts";
import { TlsHosts } from "./tls-hosts.ts";
import { TlsTrials } from "./tls-trials.ts";

const noon = Date.UTC(2026, 0, 1, 12);
const minute = 60_000;
const TERMS = "min-version=TLSv1.2";
const WORKED: TlsTried = { result: "worked", text: "TLSv1.3", terms: TERMS };

/** Hosts whose handshake failed once; `answer` is what the next trials of each come to, and a trial takes a second. */
function setUp(answer: (host: string, trial: number) => TlsTried) {
  const clock = virtualClock(noon);
  const hosts = new TlsHosts({ brokenKeptMs: 60 * minute, variantKeptMs: 60 * minute, triesVariants: true });
  const names: string[] = [];
  const tried = new Map<string, number>();
  const counters = { now: 0, most: 0 };
  const trials = new TlsTrials({
    hosts,
    clock,
    emit: (event) => void names.push(event.name),
    network: {
      async tryTls({ relay }) {
        counters.most = Math.max(counters.most, ++counters.now);
        await sleep(clock, 1000);
        counters.now--;
        tried.set(relay, (tried.get(relay) ?? 0) + 1);
        return answer(relay, tried.get(relay) ?? 0);
      },
    },
  });
  const fail = (name: string): void => {
    const place = { host: `${name}[192.0.2.1]:25`, terms: TERMS };
    const request: ConnectRequest = {
      session: `s-${name}`,
      host: { name, address: { ip: "192.0.2.1", port: 25 }, preference: 0 },
      protocol: "smtp",
      tls: "may",
      verify: false,
      helo: "us.example",
      relay: name,
    };
    if (hosts.learn({ ...place, handshake: "failed", because: "reset" }, clock.now())) trials.begin(request, place);
  };
  return { clock, hosts, trials, fail, tried, counters, names };
}

test("however many hosts fail at once, each is tried, a few at a time", async () => {
  const world = setUp(() => WORKED);
  for (let count = 0; count < 20; count++) world.fail(`mx${count}.example`);
  await world.clock.advance(5000);
  assert.deepEqual(world.hosts.list(world.clock.now()), []);
  assert.deepEqual([world.tried.size, world.counters.most], [20, 4]);
});

test("a host that could not be asked is asked again after a while, and less and less often", async () => {
  const away = setUp((_, trial) => (trial < 3 ? { result: "not-tried", text: "421 too many connections" } : WORKED));
  away.fail("mx.example");
  await away.clock.advance(minute);
  assert.equal(away.tried.get("mx.example"), 1);
  // Another mail's failure begins no second round.
  away.fail("mx.example");
  await away.clock.advance(2000);
  assert.equal(away.tried.get("mx.example"), 2);
  await away.clock.advance(2 * minute + 2000);
  assert.equal(away.tried.get("mx.example"), 3);
  assert.deepEqual(away.hosts.list(away.clock.now()), []);

  const gone = setUp(() => ({ result: "not-tried", text: "Connection refused" }));
  gone.fail("mx.example");
  await gone.clock.advance(24 * 60 * minute);
  assert.equal(gone.tried.get("mx.example"), 6);
  assert.ok(!gone.names.includes("delivery.tls-nothing-works"));
});

test("a round goes on where it stopped, and tells its end once", async () => {
  const world = setUp((_, trial) => ({ result: trial === 2 ? "not-tried" : "failed", text: "reset" }));
  world.fail("mx.example");
  await world.clock.advance(2 * minute);
  assert.equal(world.tried.get("mx.example"), 6);
  assert.equal(world.names.filter((name) => name === "delivery.tls-nothing-works").length, 1);
});

test("what a trial says on other terms is not taken for an answer", async () => {
  const world = setUp(() => ({ ...WORKED, terms: "min-version=TLSv1.3" }));
  world.fail("mx.example");
  await world.clock.advance(2000);
  assert.equal(world.hosts.list(world.clock.now()).length, 1);
});

test("at the end nothing more is tried", async () => {
  const world = setUp(() => ({ result: "not-tried", text: "away" }));
  for (let count = 0; count < 6; count++) world.fail(`mx${count}.example`);
  await world.clock.advance(1500);
  world.trials.close();
  await world.clock.advance(10 * minute);
  assert.ok([...world.tried.values()].every((count) => count === 1));
});

test("that no kind of handshake works is not told of a host where one has worked since", async () => {
  for (const worksMeanwhile of [true, false]) {
    const world = setUp((_, trial) =>
      trial === 3 ? { result: "not-tried", text: "421 too many connections" } : { result: "failed", text: "reset" },
    );
    world.fail("mx.example");
    await world.clock.advance(minute / 2);
    if (worksMeanwhile)
      world.hosts.learn({ host: "mx.example[192.0.2.1]:25", terms: TERMS, handshake: "worked" }, world.clock.now());
    await world.clock.advance(2 * minute);
    assert.equal(world.names.includes("delivery.tls-nothing-works"), !worksMeanwhile);
  }
});
