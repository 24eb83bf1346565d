import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { NOT_ALLOWED, TlsHosts, TRIAL_EVERY_MS, VARIANTS, type Trial, type TrialResult } from "./tls-hosts.ts";

const HOST = "mx.example[192.0.2.1]:25";
const TERMS = "min-version=TLSv1.2";
const PLACE = { host: HOST, terms: TERMS };
const noon = Date.UTC(2026, 0, 1, 12);
const hour = 3_600_000;

function hosts(changes: object = {}): TlsHosts {
  return new TlsHosts({ brokenKeptMs: hour, variantKeptMs: 24 * hour, triesVariants: true, ...changes });
}

const failed = { ...PLACE, handshake: "failed", because: "reset", reason: "peer-reset" } as const;

/** Lets the machine try what it wants, at a host where only some kinds work. */
function round(machine: TlsHosts, works: (trial: Trial) => TrialResult, now: number): Trial[] {
  const tried: Trial[] = [];
  for (;;) {
    const trial = machine.nextTrial(PLACE, now);
    if (trial === undefined) return tried;
    tried.push(trial);
    assert.ok(tried.length <= VARIANTS.length + 1, "no end of trials");
    if (machine.tried(PLACE, trial, works(trial), trial, now)) return tried;
  }
}

test("a host whose handshake failed is remembered at once, for as long as is set", () => {
  const machine = hosts();
  assert.deepEqual(machine.known(HOST, noon), []);
  assert.equal(machine.learn(failed, noon), true);
  assert.deepEqual(machine.known(HOST, noon + hour - 1), [{ terms: TERMS, brokenBecause: "reset" }]);
  assert.deepEqual(machine.known(HOST, noon + hour), []);
  assert.deepEqual(machine.list(noon + hour), []);
});

test("with 0s nothing is taken as broken, and variants are looked for all the same", () => {
  const machine = hosts({ brokenKeptMs: 0 });
  machine.learn(failed, noon);
  assert.deepEqual(machine.known(HOST, noon + 1), []);
  round(machine, (trial) => (trial === "no-tickets" ? "worked" : "failed"), noon);
  assert.deepEqual(machine.known(HOST, noon + 1), [{ terms: TERMS, variant: "no-tickets" }]);
});

test("the usual handshake is tried first: a failure by chance is forgotten", () => {
  const machine = hosts();
  machine.learn(failed, noon);
  assert.deepEqual(
    round(machine, () => "worked", noon),
    ["usual"],
  );
  assert.deepEqual(machine.known(HOST, noon), []);
  assert.deepEqual(machine.list(noon), []);
});

test("variants are tried from the least different on, until one works, which is then used", () => {
  for (const [at, variant] of VARIANTS.entries()) {
    const machine = hosts();
    machine.learn(failed, noon);
    const tried = round(machine, (trial) => (trial === variant ? "worked" : "failed"), noon);
    assert.deepEqual(tried, ["usual", ...VARIANTS.slice(0, at + 1)]);
    assert.equal(machine.list(noon)[0]?.variant, variant);
    assert.deepEqual(machine.known(HOST, noon + 23 * hour), [{ terms: TERMS, variant }]);
    assert.deepEqual(machine.known(HOST, noon + 24 * hour), []);
  }
});

test("each kind is tried once an hour, however often the host fails", () => {
  const machine = hosts();
  let connections = 0;
  for (let minute = 0; minute < 180; minute++) {
    const now = noon + minute * 60_000;
    if (machine.learn(failed, now)) connections += round(machine, () => "failed", now).length;
  }
  assert.ok(connections <= 3 * (VARIANTS.length + 1) && connections > VARIANTS.length, String(connections));
});

test("while trials run, nobody begins others", () => {
  const machine = hosts();
  machine.learn(failed, noon);
  assert.equal(machine.nextTrial(PLACE, noon), "usual");
  assert.equal(machine.learn(failed, noon + 1), false);
  machine.tried(PLACE, "usual", "failed", "", noon + 2);
  assert.equal(machine.nextTrial(PLACE, noon + 2), VARIANTS[0]);
});

test("a host that cannot be reached now is not asked on; a variant that the policy forbids is passed over", () => {
  const away = hosts();
  away.learn(failed, noon);
  assert.deepEqual(
    round(away, () => "not-tried", noon),
    ["usual"],
  );
  // It is asked again after a minute, then after two, and then goes on where it stopped.
  assert.equal(away.againAt(PLACE, noon), noon + 60_000);
  assert.equal(away.nextTrial(PLACE, noon + 59_999), undefined);
  assert.deepEqual(
    round(away, () => "not-tried", noon + 60_000),
    ["usual"],
  );
  assert.equal(away.againAt(PLACE, noon + 60_000), noon + 180_000);
  assert.equal(away.nextTrial(PLACE, noon + 180_000), "usual");
  assert.equal(away.tried(PLACE, "usual", "worked", "", noon + 180_000), true);
  assert.deepEqual(away.known(HOST, noon + 180_000), []);
  const strict = hosts();
  strict.learn(failed, noon);
  const tried: Trial[] = [];
  for (let trial = strict.nextTrial(PLACE, noon); trial !== undefined; trial = strict.nextTrial(PLACE, noon)) {
    tried.push(trial);
    strict.tried(PLACE, trial, trial === "no-tickets" ? "not-tried" : "failed", NOT_ALLOWED, noon);
  }
  assert.deepEqual(tried, ["usual", ...VARIANTS]);
});

test("a variant that stops working is dropped, and a usual handshake that works ends it all", () => {
  const machine = hosts();
  machine.learn(failed, noon);
  round(machine, (trial) => (trial === "no-tickets" ? "worked" : "failed"), noon);
  machine.learn({ ...PLACE, handshake: "worked", variant: "no-tickets" }, noon + 1);
  assert.deepEqual(machine.known(HOST, noon + 1), [{ terms: TERMS, variant: "no-tickets" }]);
  // What another variant says comes too late.
  machine.learn({ ...failed, variant: "tls1.2" }, noon + 2);
  assert.deepEqual(machine.known(HOST, noon + 2), [{ terms: TERMS, variant: "no-tickets" }]);
  assert.equal(machine.learn({ ...failed, variant: "no-tickets" }, noon + 2 * hour), true);
  assert.deepEqual(machine.known(HOST, noon + 2 * hour), [{ terms: TERMS, brokenBecause: "reset" }]);
  machine.learn({ ...PLACE, handshake: "worked" }, noon + 2 * hour);
  assert.deepEqual(machine.known(HOST, noon + 2 * hour), []);
});

test("what handshakes on some terms do says nothing of those on others", () => {
  const machine = hosts();
  const strict = { host: HOST, terms: "min-version=TLSv1.3" };
  machine.learn({ ...failed, ...strict }, noon);
  assert.deepEqual(machine.known(HOST, noon), [{ terms: strict.terms, brokenBecause: "reset" }]);
  assert.equal(machine.learn(failed, noon), true);
  round(machine, (trial) => (trial === "no-tickets" ? "worked" : "failed"), noon);
  assert.equal(machine.nextTrial(strict, noon), "usual");
  machine.tried(strict, "usual", "failed", "", noon);
  assert.deepEqual(machine.known(HOST, noon), [
    { terms: strict.terms, brokenBecause: "reset" },
    { terms: TERMS, variant: "no-tickets" },
  ]);
  machine.learn({ ...strict, handshake: "worked" }, noon);
  assert.deepEqual(machine.known(HOST, noon), [{ terms: TERMS, variant: "no-tickets" }]);
  for (let count = 0; count < 30; count++) machine.learn({ ...failed, terms: `servername=x${count}` }, noon);
  assert.equal(machine.list(noon).length, 20);
  assert.equal(machine.forget(HOST), 1);
  assert.deepEqual(machine.list(noon), []);
});

test("a usual handshake that began before the variant was found and fails after it takes nothing from it", () => {
  const machine = hosts();
  machine.learn(failed, noon);
  round(machine, (trial) => (trial === "no-tickets" ? "worked" : "failed"), noon);
  assert.equal(machine.learn(failed, noon + 1), false);
  assert.deepEqual(machine.known(HOST, noon + 1), [{ terms: TERMS, variant: "no-tickets" }]);
});

test("hosts are forgotten by name, by address, by both, and all at once", () => {
  for (const which of ["MX.example", "192.0.2.1", HOST, "mx.example:25", "192.0.2.1:25", "*"]) {
    const machine = hosts();
    machine.learn(failed, noon);
    machine.learn({ ...failed, host: "other.example[192.0.2.2]:25" }, noon);
    assert.equal(machine.forget("nobody"), 0);
    assert.equal(machine.forget(which), which === "*" ? 2 : 1, which);
    assert.deepEqual(machine.known(HOST, noon), []);
  }
});

test("however many hosts are broken, memory is bounded, and the newest are known", () => {
  const machine = hosts();
  for (let count = 0; count < 1500; count++) machine.learn({ ...failed, host: `h${count}[192.0.2.1]:25` }, noon);
  assert.equal(machine.list(noon).length, 1000);
  assert.deepEqual(machine.known("h1499[192.0.2.1]:25", noon), [{ terms: TERMS, brokenBecause: "reset" }]);
});

test("whatever happens in whatever order, no kind is tried twice within an hour", () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: hour }),
    what: fc.constantFrom("failed", "worked", "trial"),
    result: fc.constantFrom<TrialResult>("worked", "failed", "not-tried"),
    variant: fc.option(fc.constantFrom(...VARIANTS), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const machine = hosts();
      const lastAt = new Map<Trial, number>();
      let now = noon;
      for (const { afterMs, what, result, variant } of steps) {
        now += afterMs;
        // Forgotten with the host is what was tried there.
        if (machine.list(now).length === 0) lastAt.clear();
        if (what !== "trial") machine.learn({ ...PLACE, handshake: what, variant, because: "x" }, now);
        else {
          const trial = machine.nextTrial(PLACE, now);
          if (trial === undefined) continue;
          assert.ok(now - (lastAt.get(trial) ?? -Infinity) >= TRIAL_EVERY_MS, trial);
          // Where none came about it is asked again, and not at once.
          lastAt.set(trial, result === "not-tried" ? now - TRIAL_EVERY_MS + 60_000 : now);
          machine.tried(PLACE, trial, result, "", now);
        }
      }
    }),
  );
});
