import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import type { HeldCertificate } from "../tls/keeper/keeper.ts";
import { startAcme, type AcmeParts, type RunningAcme } from "./acme.io.ts";
import type { AcmeFinding } from "./acme.ts";
import { ordersOver, type OrderParts } from "./order.io.ts";
import { acmeSettings } from "./settings.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A keeper that has no authorities: each order fails before it begins. Or `issue` says what an order brings. */
function world(first: readonly HeldCertificate[] = [], issue?: (nowAt: number) => HeldCertificate) {
  const clock = virtualClock(NOW);
  const tries: number[] = [];
  const findings: AcmeFinding[] = [];
  let held = first;
  let notes: string | undefined;
  let isAway = false;
  let isLeavingAtChains = false;
  const store: AcmeParts["store"] & OrderParts["store"] = {
    async held() {
      if (isAway) throw new Error("the keeper process is not there");
      return held;
    },
    anchors: async (source) => ({ pems: [], origin: source, problem: "nothing there" }),
    notes: async () => notes,
    async keepNotes(text) {
      notes = text;
      return undefined;
    },
    accountKey: () => Promise.reject(new Error("nobody asks")),
    requestFor: () => Promise.reject(new Error("nobody asks")),
    async keepChain(_label, _kind, chainPem) {
      held = [JSON.parse(chainPem)];
      if (isLeavingAtChains) throw new Error("the keeper process is not there");
      return undefined;
    },
  };
  const settings = acmeSettings.parse({});
  const failing = ordersOver({
    settings,
    store,
    answerer: { show: () => Promise.reject(new Error("nobody asks")) },
    clock,
    userAgent: "test",
  });
  return {
    clock,
    tries,
    findings,
    setAway: (away: boolean): void => {
      isAway = away;
    },
    leaveAtChains: (): void => {
      isLeavingAtChains = true;
    },
    start: (): RunningAcme =>
      startAcme({
        settings,
        items: [{ label: "mx", kind: "ec", names: ["mx.example"] }],
        store,
        order: async (item, signal) => {
          tries.push((clock.now() - NOW) / MINUTE_MS);
          return issue === undefined ? failing(item, signal) : JSON.stringify(issue(clock.now()));
        },
        clock,
        random: { next: () => 0 },
        onFinding: (finding) => findings.push(finding),
      }),
  };
}

function issued(notBeforeAt: number, notAfterAt: number, names = ["mx.example"]): HeldCertificate {
  return { names, keyKind: "ec", notBeforeAt, notAfterAt, fingerprint: "00000000" };
}

const rounded = (minutes: readonly number[]): readonly number[] => minutes.map((at) => Math.round(at));

test("failures are followed by quadratic waits, each told with its cure and the next try", async () => {
  const { clock, tries, findings, start } = world();
  const acme = start();
  await clock.advance(155 * MINUTE_MS);
  assert.deepEqual(rounded(tries), [0, 5, 25, 70, 150]);
  const [first] = findings;
  assert.ok(first?.kind === "failed");
  assert.equal(first.problem.type, "untrusted");
  assert.match(first.problem.cure, /ca-file/);
  assert.deepEqual(acme.status()[0]?.failures, 5);
  await acme.close();
});

test("a restart goes on with the wait; who asks does not wait, and is not forgiven", async () => {
  const { clock, tries, start } = world();
  const first = start();
  await clock.advance(6 * MINUTE_MS);
  await first.close();
  const second = start();
  await clock.advance(18 * MINUTE_MS);
  assert.deepEqual(rounded(tries), [0, 5]);
  assert.deepEqual(second.renew("mx.example"), ["mx"]);
  assert.deepEqual(second.renew("other.example"), []);
  await clock.advance(1000);
  assert.deepEqual(rounded(tries), [0, 5, 24]);
  await clock.advance(44 * MINUTE_MS);
  assert.equal(tries.length, 3);
  await clock.advance(2 * MINUTE_MS);
  assert.equal(tries.length, 4);
  await second.close();
});

test("what is held is left alone until a third of its life is left", async () => {
  const { clock, tries, start } = world([issued(NOW, NOW + 90 * DAY_MS)]);
  const acme = start();
  await clock.advance(60 * DAY_MS - MINUTE_MS);
  assert.deepEqual(tries, []);
  await clock.advance(2 * MINUTE_MS);
  assert.equal(tries.length, 1);
  await acme.close();
});

test("while the keeper is away nothing is asked of an authority, and that is told once", async () => {
  const { clock, tries, findings, setAway, start } = world();
  setAway(true);
  const acme = start();
  await clock.advance(MINUTE_MS);
  assert.deepEqual(tries, []);
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ["trouble"],
  );
  setAway(false);
  await clock.advance(MINUTE_MS);
  assert.equal(tries.length, 1);
  await acme.close();
});

test("a closed one does nothing any more", async () => {
  const { clock, tries, start } = world();
  const acme = start();
  await acme.close();
  acme.renew();
  await clock.advance(DAY_MS);
  assert.deepEqual(tries, []);
  assert.equal(clock.nextAt(), undefined);
});

test("an authority that adds a name is asked once", async () => {
  const { clock, tries, findings, start } = world([], (nowAt) =>
    issued(nowAt, nowAt + 90 * DAY_MS, ["www.mx.example", "MX.example"]),
  );
  const acme = start();
  await clock.advance(DAY_MS);
  assert.equal(tries.length, 1);
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ["issued"],
  );
  await acme.close();
});

test("what is issued and due again at once is told, and waited for ever longer, over restarts too", async () => {
  // This machine's clock is thirteen hours ahead, and the authority's certificates are for a day.
  const { clock, tries, findings, start } = world([], (nowAt) => issued(nowAt - 14 * HOUR_MS, nowAt + 10 * HOUR_MS));
  const first = start();
  await clock.advance(2.5 * HOUR_MS);
  await first.close();
  const second = start();
  await clock.advance(5 * HOUR_MS);
  assert.deepEqual(rounded(tries), [0, 60, 120, 180, 260, 385]);
  const [issuedFirst, told] = findings;
  assert.equal(issuedFirst?.kind, "issued");
  assert.ok(told?.kind === "repeated");
  assert.equal(told.problem.type, "dueAgain");
  assert.match(told.problem.text, /due again at once: it is for 1d, and by this machine's clock 14h old/);
  assert.match(told.problem.cure, /clock/);
  assert.equal(second.status()[0]?.problem?.type, "dueAgain");
  await second.close();
});

test("a certificate that lives for an hour is renewed at its half, and nothing is said of it", async () => {
  const { clock, tries, findings, start } = world([], (nowAt) => issued(nowAt, nowAt + HOUR_MS));
  const acme = start();
  await clock.advance(100 * MINUTE_MS);
  assert.deepEqual(rounded(tries), [0, 30, 60, 90]);
  assert.ok(findings.every(({ kind }) => kind === "issued"));
  await acme.close();
});

test("a keeper that leaves when it has taken a chain is asked what it has, before there is another order", async () => {
  const { clock, tries, leaveAtChains, start } = world([], (nowAt) => issued(nowAt, nowAt + 90 * DAY_MS));
  leaveAtChains();
  const acme = start();
  await clock.advance(DAY_MS);
  assert.equal(tries.length, 1);
  await acme.close();
});
