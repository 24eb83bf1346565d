import assert from "node:assert/strict";
import { test } from "node:test";
import { whyText } from "./why.ts";

const NOW = Date.UTC(2026, 10, 21, 9, 11);
const times = { now: NOW, offsetMinutes: () => 0 };

test("a why says of a limit beside others that another way may be open before it has room", () => {
  const full = (of: string, untilAt: number, otherAt: number | undefined) => ({
    what: "rate" as const,
    text: `the rate of mails to ${of} is spent (5/m)`,
    untilAt,
    otherWay: { untilAt: otherAt },
  });
  const text = whyText(
    {
      message: "06XT4VVCG40",
      isCut: false,
      groups: [
        {
          hindrances: [full("mx1", NOW + 60_000, NOW + 60_000), full("mx2", NOW + 3_600_000, NOW + 60_000)],
          count: 1,
          envelopes: [{ id: "06XT4VVCG40.1", recipient: "u1@x.test" }],
          state: "ready",
          attempts: 0,
          expiresAt: NOW + 3 * 86_400_000,
          earliestAt: NOW + 60_000,
        },
      ],
    },
    times,
  );
  assert.match(text, /^ {2}1\. .* mx1 is spent \(5\/m\), until 09:12:00$/m);
  assert.match(text, /^ {2}2\. .* mx2 is spent \(5\/m\), until 10:11:00 or until another way is open$/m);
  assert.match(text, /^ {2}earliest: 09:12:00 /m);
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
