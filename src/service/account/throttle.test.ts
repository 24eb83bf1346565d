import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Clock } from "../../foundation/clock.ts";
import { LoginThrottle } from "./throttle.ts";
import { throttleSettings, type ThrottleSettings } from "./throttle-settings.ts";

const MINUTE = 60_000;
const STRANGER = { address: "192.0.2.7" };

/** Nothing here sets a timer. */
function standingClock(): Clock & { advance(byMs: number): void } {
  let at = 1_800_000_000_000;
  return {
    now: () => at,
    monotonicMs: () => at,
    after: () => assert.fail(),
    advance(byMs) {
      at += byMs;
    },
  };
}

function throttle(settings: Record<string, unknown> = {}): {
  clock: ReturnType<typeof standingClock>;
  made: LoginThrottle;
  settings: ThrottleSettings;
} {
  const clock = standingClock();
  const parsed = throttleSettings.parse(settings);
  return { clock, made: new LoginThrottle(clock, parsed), settings: parsed };
}

/** How long the next answer waits; undefined: blocked. */
function delay(made: LoginThrottle, from: { address?: string }, user: string): number | undefined {
  const admitted = made.admit(from, user);
  if (admitted.kind === "blocked") return undefined;
  admitted.done();
  return admitted.delayMs;
}

test("the first failures cost nothing, and each further one makes the next answer twice as slow, up to a bound", () => {
  const { made } = throttle();
  const delays = Array.from({ length: 8 }, (_, at) => {
    const before = delay(made, STRANGER, `user${at}`);
    made.failed(STRANGER, `user${at}`);
    return before;
  });
  assert.deepEqual(delays, [0, 0, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test("an account's failures slow down whoever tries it, from wherever", () => {
  const { made } = throttle();
  for (let at = 1; at <= 3; at++) made.failed({ address: `198.51.100.${at}` }, "Ann");
  assert.equal(delay(made, STRANGER, "ann"), 2000);
  assert.equal(delay(made, STRANGER, "bob"), 0);
});

test("many tries at a time are as slow as one after the other", () => {
  const { made } = throttle();
  for (let at = 0; at < 2; at++) made.failed(STRANGER, "ann");
  const delays = Array.from({ length: 3 }, () => {
    const admitted = made.admit(STRANGER, "ann");
    return admitted.kind === "go" ? admitted.delayMs : undefined;
  });
  assert.deepEqual(delays, [1000, 2000, 4000]);
});

test("an address is blocked for a while after many failures, told once, and then begins anew", () => {
  const { made, clock } = throttle({ addressFailures: 3 });
  assert.deepEqual(made.failed(STRANGER, "a"), []);
  assert.deepEqual(made.failed(STRANGER, "b"), []);
  const untilAt = clock.now() + 15 * MINUTE;
  const block = { what: "address", key: "192.0.2.7", failures: 3, untilAt };
  assert.deepEqual(made.failed(STRANGER, "c"), [block]);
  assert.deepEqual(made.admit(STRANGER, "d"), { kind: "blocked", block });
  assert.equal(delay(made, { address: "192.0.2.8" }, "d"), 0);
  clock.advance(15 * MINUTE - 1);
  assert.equal(delay(made, STRANGER, "d"), undefined);
  clock.advance(1);
  assert.equal(delay(made, STRANGER, "d"), 0);
  assert.deepEqual(made.shown(), []);
});

test("all addresses of an IPv6 /64 are one client, and an IPv4 address in IPv6's clothes is itself", () => {
  const { made } = throttle({ addressFailures: 2 });
  made.failed({ address: "2001:db8:1:2::5" }, "a");
  made.failed({ address: "2001:db8:1:2:ffff::9%eth0" }, "b");
  assert.equal(delay(made, { address: "2001:db8:1:2::77" }, "c"), undefined);
  assert.equal(delay(made, { address: "2001:db8:1:3::77" }, "c"), 0);
  made.failed({ address: "::ffff:192.0.2.7" }, "a");
  made.failed(STRANGER, "b");
  assert.equal(delay(made, STRANGER, "c"), undefined);
  assert.deepEqual(
    made.shown().flatMap(({ what, key }) => (what === "address" ? [key] : [])),
    ["2001:db8:1:2::/64", "192.0.2.7"],
  );
});

test("who blocks an account by guessing blocks strangers, not the owner where he was before", () => {
  const { made } = throttle({ accountFailures: 5 });
  const home = { address: "203.0.113.5" };
  made.succeeded(home, "ann");
  const began = Array.from({ length: 5 }, (_, at) => made.failed({ address: `198.51.100.${at}` }, "ann")).flat();
  assert.deepEqual(
    began.map(({ what, key }) => [what, key]),
    [["account", "ann"]],
  );
  assert.equal(delay(made, STRANGER, "ANN"), undefined);
  assert.equal(delay(made, home, "ann"), 0);
  // But the owner's address is still one that can fail too often.
  for (let at = 0; at < 20; at++) made.failed(home, "ann");
  assert.equal(delay(made, home, "ann"), undefined);
});

test("a login that works forgets the failures before it, and only those of that account from there", () => {
  const { made } = throttle({ addressFailures: 10 });
  for (let at = 0; at < 4; at++) made.failed(STRANGER, "ann");
  made.succeeded(STRANGER, "ann");
  assert.equal(delay(made, STRANGER, "ann"), 0);
  assert.deepEqual(made.shown(), []);
  // One good password does not buy guesses at others.
  for (let at = 0; at < 9; at++) {
    made.failed(STRANGER, `victim${at}`);
    made.succeeded(STRANGER, "ann");
  }
  assert.equal(made.failed(STRANGER, "victim9").length, 1);
});

test("a program that sends the same wrong password again and again is one failure", () => {
  const { made } = throttle({ addressFailures: 3 });
  for (let at = 0; at < 100; at++) made.failed(STRANGER, "ann", "the same");
  assert.equal(delay(made, STRANGER, "ann"), 0);
  made.failed(STRANGER, "ann", "another");
  assert.equal(delay(made, STRANGER, "ann"), 1000);
  assert.equal(made.failed(STRANGER, "ann", "a third").length, 1);
});

test("exempt networks are not counted, and make nobody an owner; clients on a unix socket have no address at all", () => {
  const { made } = throttle({ accountFailures: 3 });
  const webmail = { address: "127.0.0.1" };
  for (let at = 0; at < 30; at++) made.failed(webmail, `user${at}`);
  assert.equal(delay(made, webmail, "user99"), 0);
  made.succeeded(webmail, "ann");
  for (let at = 0; at < 3; at++) made.failed(webmail, "ann");
  assert.equal(delay(made, webmail, "ann"), undefined);
  assert.equal(delay(made, {}, "bob"), 0);
  for (let at = 0; at < 3; at++) made.failed({}, "bob");
  assert.equal(delay(made, {}, "bob"), undefined);
});

test("failures are forgotten when it has been quiet", () => {
  const { made, clock } = throttle();
  for (let at = 0; at < 4; at++) made.failed(STRANGER, "ann");
  clock.advance(30 * MINUTE - 1);
  assert.equal(delay(made, STRANGER, "x"), 4000);
  clock.advance(1);
  assert.equal(delay(made, STRANGER, "x"), 0);
});

test("0 turns each part off", () => {
  const { made } = throttle({ delay: "0s", addressFailures: 0, accountFailures: 0 });
  for (let at = 0; at < 1000; at++) assert.deepEqual(made.failed(STRANGER, "ann"), []);
  assert.equal(delay(made, STRANGER, "ann"), 0);
});

test("what is slowed and blocked is shown, worst first, and cleared by the name that is shown or by an address in it", () => {
  const { made, clock } = throttle({ addressFailures: 4 });
  for (let at = 0; at < 3; at++) made.failed({ address: "2001:db8::1" }, "ann");
  clock.advance(1000);
  for (let at = 0; at < 4; at++) made.failed(STRANGER, "bob");
  made.failed({ address: "198.51.100.1" }, "carol");
  const shown = made.shown();
  assert.deepEqual(
    shown.map(({ what, key, state, failures }) => [what, key, state, failures]),
    [
      ["address", "192.0.2.7", "blocked", 4],
      ["account", "bob", "slowed", 4],
      ["address", "2001:db8::/64", "slowed", 3],
      ["account", "ann", "slowed", 3],
    ],
  );
  assert.equal(shown[1]?.untilAt, clock.now() + 30 * MINUTE);
  assert.equal(shown[1]?.delayMs, 4000);
  assert.equal(made.clear("nobody"), 0);
  assert.equal(made.clear("2001:db8::ffff"), 1);
  assert.equal(made.clear("192.0.2.7"), 1);
  assert.equal(made.clear("BOB"), 1);
  assert.equal(delay(made, STRANGER, "bob"), 0);
  assert.equal(made.clear(undefined), 3);
  assert.deepEqual(made.shown(), []);
});

test("new settings hold for what was counted before", () => {
  const { made } = throttle();
  for (let at = 0; at < 5; at++) made.failed(STRANGER, "ann");
  made.reconfigure(throttleSettings.parse({ exempt: ["192.0.2.0/24"], freeFailures: 10 }));
  assert.equal(delay(made, STRANGER, "ann"), 0);
  made.reconfigure(throttleSettings.parse({}));
  assert.equal(delay(made, STRANGER, "x"), 8000);
});

test("property: no answer waits longer than the longest, and a block needs as many failures as the settings say", () => {
  const who = fc.record({
    address: fc.constantFrom("192.0.2.1", "192.0.2.2", "2001:db8::1"),
    user: fc.constantFrom("ann", "bob"),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(who, fc.constantFrom("right", "wrong"), fc.integer({ min: 0, max: 20 * MINUTE }))),
      (tries) => {
        const { made, clock, settings } = throttle({ addressFailures: 5, accountFailures: 7 });
        let failures = 0;
        for (const [{ address, user }, end, afterMs] of tries) {
          clock.advance(afterMs);
          const waits = delay(made, { address }, user);
          if (waits === undefined) assert.ok(failures >= 5);
          else assert.ok(waits <= settings.longestDelay);
          if (waits === undefined) continue;
          if (end === "right") made.succeeded({ address }, user);
          else {
            failures++;
            made.failed({ address }, user);
          }
        }
      },
    ),
  );
});

test("memory is bounded, whoever comes from wherever, and what was quiet for longest is forgotten first", () => {
  const { made } = throttle({ addressFailures: 2 });
  for (let at = 0; at < 3; at++) made.failed(STRANGER, "ann");
  for (let at = 0; at < 120_000; at++)
    made.failed({ address: `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}` }, `user${at}`);
  assert.ok(made.clear(undefined) <= 50_000);
  assert.equal(delay(made, STRANGER, "ann"), 0);
});
