import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../protocol/smtp/reply.ts";
import type { Failure } from "../envelope/failure.ts";
import {
  endProbing,
  endRest,
  mayHandOut,
  MOST_FIRST,
  newGreylist,
  nextAttemptAt,
  onAccepted,
  onRefused,
  type Surroundings,
} from "./greylist.ts";
import { greylistingSettings } from "./greylisting-settings.ts";

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const rules = greylistingSettings.parse({});
const failure: Failure = {
  lasting: "temporary",
  status: "4.2.0",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(450, "4.2.0", "greylisted"),
};
const around = (now: number, more: Partial<Surroundings> = {}): Surroundings => ({
  now,
  rules,
  sweepMs: HOUR,
  ready: 100_000,
  welcomedAt: 0,
  ...more,
});
const refused = (n: number, more: { wasTried?: boolean; toldMs?: number } = {}) => ({
  envelope: `e${n}`,
  recipient: `user${n}@example.org`,
  wasTried: more.wasTried ?? false,
  failure,
  toldMs: more.toldMs,
});
const accepted = (n: number, wasTried: boolean) => ({ envelope: `e${n}`, recipient: `user${n}@example.org`, wasTried });

function suspected(toldMs?: number) {
  const of = newGreylist();
  for (let n = 0; n < 5; n++) onRefused(of, refused(n, toldMs === undefined ? {} : { toldMs }), around(SECOND));
  return of;
}

test("five different recipients in a row make a long line rest, four with an acceptance between do not", () => {
  assert.equal(mayHandOut(suspected()), "none");
  const of = newGreylist();
  for (let n = 0; n < 20; n++) {
    if (n % 4 === 3) onAccepted(of, accepted(n, false), around(n));
    onRefused(of, refused(n), around(n));
    assert.equal(mayHandOut(of), "any");
  }
});

test("probes come after 305 s, 25 minutes, just before 2000, 5600 and 12,000 s, and then hourly", () => {
  const of = suspected();
  const at: number[] = [];
  for (let round = 0; round < 12; round++) {
    const now = of.restsUntilAt;
    at.push(Math.round((now - SECOND) / SECOND));
    endRest(of, rules);
    onRefused(of, refused(0, { wasTried: true }), around(now));
    assert.equal(endProbing(of, around(now)), "resting");
  }
  assert.deepEqual(at, [305, 1510, 1990, 3620, 5560, 7500, 9300, 11_900, 15_500, 19_100, 22_700, 26_300]);
});

test("a told wait takes the place of them all", () => {
  const of = suspected(120 * SECOND);
  const wait = of.restsUntilAt - SECOND;
  assert.ok(wait >= 120 * SECOND && wait <= 125 * SECOND, `${wait}`);
});

test("nobody is held back where those refused before pass and those never tried are refused", () => {
  const of = suspected();
  const now = of.restsUntilAt;
  endRest(of, rules);
  assert.equal(onAccepted(of, accepted(0, true), around(now)), "passed");
  for (let n = 10; n < 14; n++) assert.equal(onRefused(of, refused(n), around(now)), undefined);
  assert.equal(onRefused(of, refused(14), around(now)), "recipient");
  for (let n = 20; n < 200; n++) onRefused(of, refused(n), around(now));
  assert.equal(mayHandOut(of), "any");
  assert.equal(nextAttemptAt(of, false, around(now)), now + 305 * SECOND);
  // It is forgotten in the end.
  for (let n = 200; n < 205; n++) onRefused(of, refused(n), around(now + 13 * HOUR));
  assert.equal(of.keys, "unknown");
});

test("those never tried pass and those refused before do not: no greylisting, and nobody is held back", () => {
  const of = suspected();
  const now = of.restsUntilAt;
  endRest(of, rules);
  for (let n = 0; n < 5; n++) onRefused(of, refused(n, { wasTried: true }), around(now));
  assert.equal(onAccepted(of, accepted(10, false), around(now)), "none");
  for (let n = 20; n < 100; n++) onRefused(of, refused(n), around(now));
  assert.equal(mayHandOut(of), "any");
});

test("a short line is presented, and rests once when waiting did not help", () => {
  const short = { sweepMs: 10 * SECOND, ready: 50 };
  const of = newGreylist();
  for (let n = 0; n < 40; n++) onRefused(of, refused(n), around(SECOND, short));
  assert.equal(of.phase, "presenting");
  assert.equal(nextAttemptAt(of, false, around(SECOND, short)), 306 * SECOND);
  for (let n = 0; n < 5; n++) onRefused(of, refused(100 + n, { wasTried: true }), around(310 * SECOND, short));
  assert.equal(mayHandOut(of), "none");
  assert.equal(of.restsUntilAt, 615 * SECOND);
});

test("whatever hosts answer, rests end within a day and a bit, and what is remembered is bounded", () => {
  const answer = fc.record({
    what: fc.constantFrom("refused", "refused", "refused", "accepted", "rest", "probed"),
    n: fc.nat(30),
    wasTried: fc.boolean(),
    toldMs: fc.option(fc.constantFrom(SECOND, 300 * SECOND, 24 * HOUR), { nil: undefined }),
    passMs: fc.constantFrom(0, SECOND, 400 * SECOND, 2 * HOUR),
    sweepMs: fc.constantFrom(0, 1000 * SECOND, 10 * HOUR),
    strategy: fc.constantFrom("adaptive", "adaptive", "batch"),
  });
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 80 }), (answers) => {
      const of = newGreylist();
      let now = SECOND;
      for (const { what, n, wasTried, toldMs, passMs, sweepMs, strategy } of answers) {
        now += passMs;
        const here = around(now, { sweepMs, rules: { ...rules, strategy } });
        if (what === "refused") {
          onRefused(of, { ...refused(n), wasTried, toldMs }, here);
          const at = nextAttemptAt(of, wasTried, here);
          assert.ok(at === undefined || (at >= now && at <= now + 27 * HOUR), `${at}`);
        } else if (what === "accepted") {
          onAccepted(of, accepted(n, wasTried), here);
          assert.equal(mayHandOut(of), "any");
        } else if (what === "rest" && of.phase === "resting" && now >= of.restsUntilAt) endRest(of, here.rules);
        else if (what === "probed" && of.phase === "probing") endProbing(of, here);
        assert.ok(of.run.length <= rules.after && of.first.length <= MOST_FIRST);
        if (of.phase === "resting") assert.ok(of.restsUntilAt <= now + 25 * HOUR);
      }
    }),
  );
});
