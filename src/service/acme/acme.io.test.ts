import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import type { HeldCertificate } from "../tls/keeper.ts";
import { startAcme, type AcmeStore, type RunningAcme } from "./acme.io.ts";
import type { AcmeFinding } from "./acme.ts";
import { acmeSettings } from "./settings.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** A keeper that has no authorities: each order fails before it begins, so what is seen is when they are tried. */
function world(held: readonly HeldCertificate[] = []) {
  const clock = virtualClock(NOW);
  const tries: number[] = [];
  const findings: AcmeFinding[] = [];
  let notes: string | undefined;
  let isAway = false;
  const store: AcmeStore = {
    async held() {
      if (isAway) throw new Error("the keeper process is not there");
      return held;
    },
    async anchors(source) {
      tries.push((clock.now() - NOW) / MINUTE_MS);
      return { pems: [], origin: source, problem: "nothing there" };
    },
    notes: async () => notes,
    async keepNotes(text) {
      notes = text;
      return undefined;
    },
    accountKey: () => Promise.reject(new Error("nobody asks")),
    requestFor: () => Promise.reject(new Error("nobody asks")),
    keepChain: () => Promise.reject(new Error("nobody asks")),
  };
  return {
    clock,
    tries,
    findings,
    setAway: (away: boolean): void => {
      isAway = away;
    },
    start: (): RunningAcme =>
      startAcme({
        settings: acmeSettings.parse({}),
        items: [{ label: "mx", kind: "ec", names: ["mx.example"] }],
        store,
        answerer: { show: () => Promise.reject(new Error("nobody asks")) },
        clock,
        random: { next: () => 0 },
        userAgent: "test",
        onFinding: (finding) => findings.push(finding),
      }),
  };
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
  const held = {
    names: ["mx.example"],
    keyKind: "ec",
    notBeforeAt: NOW,
    notAfterAt: NOW + 90 * DAY_MS,
    fingerprint: "00000000",
  };
  const { clock, tries, start } = world([held]);
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
