import assert from "node:assert/strict";
import { test } from "node:test";
import { flagsOf } from "./show.ts";
import { flagsOf as statusFlags } from "./show-status.ts";
import { statsText } from "./show-stats.ts";
import { fitting } from "../watch.ts";
import { whyText } from "../queue/why.ts";

const NOW = Date.UTC(2026, 10, 21, 9, 11);
const times = { now: NOW, offsetMinutes: () => 0 };

test("flags have a letter for each state, each in its own place", () => {
  assert.equal(flagsOf([]), "-----");
  assert.equal(flagsOf(["queued", "resting"]), "--ZQ-");
  assert.equal(flagsOf(["new", "running", "resting", "queued", "held"]), "NRZQH");
});

test("a why reads from the top: who, how often tried, each hindrance with its setting, the earliest time", () => {
  const text = whyText(
    {
      message: "06XT4VVCG40",
      isCut: false,
      groups: [
        {
          hindrances: [
            {
              what: "not-due",
              text: "waits after attempt 3",
              untilAt: NOW + 100_000,
              setting: ["scheduler", "retry", "relay"],
              origin: "posthorn.yaml:12:5",
            },
            {
              what: "route-rests",
              text: "every next host rests: mx.x.test[192.0.2.1]:25, penalty 2\u001b[2J",
              untilAt: NOW + 200_000,
              setting: ["route", "penaltyStep"],
              origin: "default",
            },
          ],
          count: 40,
          envelopes: [1, 2, 3, 4].map((n) => ({ id: `06XT4VVCG40.${n}`, recipient: `u${n}@x.test` })),
          state: "waiting",
          attempts: 3,
          expiresAt: NOW + 3 * 86_400_000,
          lastFailure: "host mx said: 450 busy",
          earliestAt: NOW + 200_000,
          latestAt: NOW + 260_000,
        },
        {
          hindrances: [{ what: "held", text: "held: a look" }],
          count: 1,
          envelopes: [{ id: "06XT4VVCG40.41", recipient: "z@x.test" }],
          state: "held",
          attempts: 0,
          expiresAt: NOW - 1,
        },
        {
          hindrances: [{ what: "quarantine", text: "in quarantine; removed then", untilAt: NOW + 60_000 }],
          count: 1,
          envelopes: [{ id: "06XT4VVCG40.42", recipient: "q@x.test" }],
          state: "held",
          attempts: 0,
          expiresAt: NOW + 1000,
        },
      ],
    },
    times,
  );
  assert.equal(
    text,
    `06XT4VVCG40.1 <u1@x.test>, 06XT4VVCG40.2 <u2@x.test>, 06XT4VVCG40.3 <u3@x.test> and 37 more
  waiting, 3 attempts, expires 2026-11-24 09:11:00 (in 3d)
  last: host mx said: 450 busy
  1. waits after attempt 3, until 09:12:40 [scheduler.retry.relay, posthorn.yaml:12:5]
  2. every next host rests: mx.x.test[192.0.2.1]:25, penalty 2\\x1b[2J, until 09:14:20 [route.penalty-step, default]
  earliest: 09:14:20 (in 3m20s); the last at 09:15:20

06XT4VVCG40.41 <z@x.test>
  held, not tried yet, expires 09:10:59 (now)
  1. held: a look
  earliest: when somebody lets it go

06XT4VVCG40.42 <q@x.test>
  in quarantine, not tried yet
  1. in quarantine; removed then, until 09:12:00
  earliest: when somebody lets it go
`,
  );
});

test("counters have what people look for first, then the rest, then failures by how many", () => {
  const text = statsText([
    { name: "delivered", total: 5, lastMinute: 1, lastHour: 4 },
    { name: "failure connect", total: 1, lastMinute: 0, lastHour: 1 },
    { name: "failure reply", total: 7, lastMinute: 0, lastHour: 1 },
    { name: "sessions", total: 3, lastMinute: 0, lastHour: 3 },
  ]);
  assert.deepEqual(
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/)[0]),
    [
      "WHAT",
      "queued",
      "delivered",
      "deferred",
      "bounced",
      "expired",
      "dead",
      "sessions",
      "failure reply",
      "failure connect",
    ],
  );
  assert.match(text, /^delivered +5 +1 +4$/m);
});

test("a status tells what is out of the ordinary, and nothing when nothing is", () => {
  const queue = {
    startedAt: 0,
    envelopes: { waiting: 1, ready: 0, active: 0, writing: 0, held: 0, dead: 0 },
    messages: 1,
    isLoading: false,
    isStoreUsable: true,
    sessions: { connecting: 0, idle: 0, busy: 0 },
    localDeliveries: 0,
    relays: 0,
    routesResting: 0,
    paused: [],
    since: { queued: 0, delivered: 0, deferred: 0, bounced: 0, expired: 0, dead: 0 },
  };
  assert.deepEqual(statusFlags({ queue, processes: [] }), []);
  const bad = {
    ...queue,
    isStoreUsable: false,
    routesResting: 2,
    envelopes: { ...queue.envelopes, held: 3 },
    paused: [{ direction: "out", because: "a look", sinceAt: 0 }] as const,
  };
  const processes = [{ role: "egress-1", pid: 1, startedAt: 0, restarts: 1 }];
  assert.deepEqual(statusFlags({ queue: bad, processes }), ["STORE", "PAUSED-OUT", "RESTING", "HELD", "RESTARTED"]);
  const logTroubles = [{ sink: "/var/log/mail.log", problem: "ENOSPC", sinceAt: 0 }];
  assert.deepEqual(statusFlags({ queue, processes: [], logTroubles }), ["NO-LOG"]);
  assert.deepEqual(statusFlags({ queue, processes: [], logTroubles: [] }), []);
});

test("a terminal gets what it has room for, and is told of the rest", () => {
  const text = Array.from({ length: 10 }, (_, at) => `line ${at}`).join("\n");
  assert.equal(fitting(text, undefined), text);
  assert.equal(fitting(text, 40), text);
  assert.equal(fitting(text, 6), "line 0\nline 1\nline 2\n… 6 lines more");
});
