import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { afterFailure, afterIssue, nextStep, renewalAt, type Held, type Trouble } from "./plan.ts";
import { acmeProblem } from "./problem.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const terms = { firstRetryMs: 300_000 };
const names = ["mx.example", "mail.example"];
const problem = acmeProblem("connection", "nobody there");

function held(days: number, fingerprint = "00000000aa"): Held {
  return { names: ["mail.example", "MX.example"], notBeforeAt: NOW, notAfterAt: NOW + days * DAY_MS, fingerprint };
}

test("without a certificate, and with one for other names, an order is due at once", () => {
  assert.deepEqual(nextStep({ names, isAsked: false }, terms, NOW), { at: NOW, because: "first" });
  const other = { ...held(90), names: ["mx.example"] };
  assert.deepEqual(nextStep({ names, held: other, isAsked: false }, terms, NOW), { at: NOW, because: "names" });
});

test("a certificate that serves more names than are wanted is left alone", () => {
  const more = { ...held(90), names: ["www.mx.example", "MX.example", "mail.example"] };
  assert.equal(nextStep({ names, held: more, isAsked: false }, terms, NOW).because, "renewal");
});

test("a certificate is renewed when a third of its life is left, one of a few days at the half", () => {
  assert.deepEqual(nextStep({ names, held: held(90), isAsked: false }, terms, NOW), {
    at: NOW + 60 * DAY_MS,
    because: "renewal",
  });
  assert.equal(renewalAt(held(6)), NOW + 3 * DAY_MS);
});

test("the settings may say how long before the end, but never so that it is renewed in the first tenth of its life", () => {
  assert.equal(renewalAt(held(90), 10 * DAY_MS), NOW + 80 * DAY_MS);
  assert.equal(renewalAt(held(90), 365 * DAY_MS), NOW + 9 * DAY_MS);
});

test("renewals of certificates made at the same time are spread, each always to the same moment", () => {
  const early = renewalAt(held(90, "ffffffffaa"));
  assert.ok(early >= NOW + 57 * DAY_MS && early < NOW + 57.1 * DAY_MS, String((early - NOW) / DAY_MS));
  assert.equal(renewalAt(held(90, "ffffffffaa")), early);
});

test("what somebody asks for is due, whatever went wrong", () => {
  const trouble: Trouble = { failures: 9, nextAt: NOW + DAY_MS, problem };
  assert.deepEqual(nextStep({ names, held: held(90), trouble, isAsked: true }, terms, NOW), {
    at: NOW,
    because: "asked",
  });
});

test("after failures the wait grows quadratically, to a day, and a quarter of it is chance", () => {
  let trouble: Trouble | undefined;
  const minutes: number[] = [];
  for (let failure = 0; failure < 20; failure++) {
    trouble = afterFailure(trouble, problem, terms, NOW, 0);
    minutes.push((trouble.nextAt - NOW) / 60_000);
  }
  assert.deepEqual(minutes.slice(0, 5), [5, 20, 45, 80, 125]);
  assert.equal(minutes.at(-1), 24 * 60);
  assert.equal(afterFailure(undefined, problem, terms, NOW, 0.999).nextAt, NOW + Math.round(300_000 * (1 + 0.999 / 4)));
});

test("what the authority says of waiting is obeyed, and bounded", () => {
  const limited = acmeProblem("rateLimited", "too many", 30 * HOUR_MS);
  assert.equal(afterFailure(undefined, limited, terms, NOW, 0).nextAt, NOW + 30 * HOUR_MS);
  const absurd = acmeProblem("rateLimited", "too many", 1e15);
  assert.equal(afterFailure(undefined, absurd, terms, NOW, 0).nextAt, NOW + 7 * DAY_MS);
  assert.equal(afterFailure(undefined, acmeProblem("rateLimited", "", 1000), terms, NOW, 0).nextAt, NOW + 300_000);
});

test("a certificate in trouble waits; one that was noted under a clock that ran ahead does not wait for ever", () => {
  const trouble: Trouble = { failures: 1, nextAt: NOW + HOUR_MS, problem };
  assert.equal(nextStep({ names, trouble, isAsked: false }, terms, NOW).at, NOW + HOUR_MS);
  const ahead: Trouble = { failures: 1, nextAt: NOW + 1000 * DAY_MS, problem };
  assert.equal(nextStep({ names, trouble: ahead, isAsked: false }, terms, NOW).at, NOW + 7 * DAY_MS);
});

test("what is issued costs a wait only when another one is due at once, and then longer and longer ones", () => {
  const fresh = { names, held: held(90) };
  assert.equal(afterIssue(undefined, fresh, terms, NOW, 0), undefined);
  assert.equal(afterIssue({ failures: 3, nextAt: NOW, problem }, fresh, terms, NOW, 0), undefined);
  // A clock two months ahead; and the settings want it as early as can be, from an authority that dates back an hour.
  const old = afterIssue({ failures: 3, nextAt: NOW, problem }, fresh, terms, NOW + 61 * DAY_MS, 0);
  assert.deepEqual([old?.failures, old?.nextAt], [1, NOW + 61 * DAY_MS + HOUR_MS]);
  assert.equal(afterIssue(undefined, fresh, { ...terms, renewBeforeMs: 365 * DAY_MS }, NOW + HOUR_MS, 0), undefined);
  let trouble = old;
  for (let order = 0; order < 30; order++) trouble = afterIssue(trouble, { names }, terms, NOW, 0);
  assert.deepEqual([trouble?.failures, trouble?.nextAt], [31, NOW + DAY_MS]);
});

test("property: a certificate is always renewed within its life, and a failure always costs a wait", () => {
  const days = fc.double({ min: 0.01, max: 4000, noNaN: true });
  fc.assert(
    fc.property(days, fc.option(days, { nil: undefined }), fc.nat(2 ** 32 - 1), (life, before, mark) => {
      const one = held(life, mark.toString(16).padStart(8, "0"));
      const at = renewalAt(one, before === undefined ? undefined : before * DAY_MS);
      assert.ok(at > one.notBeforeAt && at <= one.notAfterAt);
    }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, random) => {
        const after = afterFailure({ failures, nextAt: 0, problem }, problem, terms, NOW, random);
        assert.ok(after.nextAt >= NOW + terms.firstRetryMs && after.nextAt <= NOW + 1.25 * DAY_MS);
      },
    ),
  );
});
