import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cpuWatch } from "../../../testing/cpu-watch.ts";
import { reply } from "../../../protocol/smtp/reply.ts";
import { toldWaitMs } from "./told-wait.ts";

const seconds = (text: string): number | undefined => {
  const ms = toldWaitMs(reply(450, "4.2.0", text));
  return ms === undefined ? undefined : ms / 1000;
};

test("the wait is read from the wordings of greylisters and of people", () => {
  for (const [text, expected] of [
    ["try again in 300 seconds", 300],
    ["<jane@example.org>: Recipient address rejected: Greylisted for 5 minutes", 300],
    ["Greylisted for 300 seconds (see http://postgrey.example/help/example.org.html)", 300],
    ["Please try again in 4 min 30 s", 270],
    ["retry after 00:05:00", 300],
    ["Greylisting in action, please come back in 00:29:59", 1799],
    ["come back in one hour", 3600],
    ["Greylisted, please try again in 299 seconds", 299],
    ["temporarily rejected after RCPT: greylisted, please wait 600 seconds", 600],
    ["You must wait at least 60s before retrying", 60],
    ["Try again in about 1 hour and 5 minutes.", 3900],
    ["please retry in 5-10 minutes", 600],
    ["try again in half an hour", 1800],
    ["Please try your delivery again after 15m", 900],
    ["Your address 192.0.2.1 is greylisted for 90 seconds", 90],
    ["Retry in: 25 mins", 1500],
    ["deferred for 05:00", 300],
    ["Please retry your message in 10 minutes, but within 12 hours", 600],
    ["Try again in 1.5 hours", 5400],
    ["You are greylisted. Your wait is 8sec", 8],
    ["greylisted; the wait time is about 5 minutes", 300],
    ["Wait period: 90 seconds", 90],
  ] as const)
    assert.equal(seconds(text), expected, text);
});

test("numbers that are no wait are not taken for one", () => {
  for (const text of [
    "Please try again later",
    "Resources temporarily unavailable. Please try again later [#4.16.5].",
    "Too many connections from 192.0.2.1, try again later",
    "you have sent 500 messages in 60 seconds; try again later",
    "Rate limit: 20 messages in 1 hour exceeded, please retry",
    "try again: 5 in 60 seconds is the limit",
    "Greylisted, see http://postgrey.example/help/300/seconds.html",
    "greylisted (first seen 20 seconds ago)",
    "try again with id 300 s",
    "mailbox busy, retry 451-300",
    "delayed for the last 3 days",
    "wait for 20 seconds ago",
    "retry in 300",
    "retry in a few minutes",
    "retry 5 times in 10 minutes",
    "must be retried within 4 hours",
    "your wait is over in 5 minutes",
    "Try again later. Your counter is reset in 60 seconds",
    "try again in 10.0.0.5 minutes",
    "",
  ])
    assert.equal(seconds(text), undefined, text);
});

test("a wait is between a second and a day, and only temporary replies name one", () => {
  assert.equal(seconds("try again in 0 seconds"), 1);
  assert.equal(seconds("try again in 30 days"), 86_400);
  assert.equal(toldWaitMs(reply(550, "5.7.1", "try again in 300 seconds")), undefined);
  assert.equal(toldWaitMs(undefined), undefined);
});

test("a wait may go on over the lines of a reply", () => {
  assert.equal(toldWaitMs(reply(451, "4.7.1", "Greylisted, please try again in", "5 minutes")), 300_000);
});

test("whatever a host says, the wait is undefined or within its bounds", () => {
  const word = fc.constantFrom(
    "try",
    "again",
    "in",
    "for",
    "wait",
    "5",
    "00:05:00",
    "minutes",
    "s",
    ":",
    "and",
    "half",
    "-",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.array(word).map((words) => words.join(" ")),
      ),
      (text) => {
        const ms = toldWaitMs(reply(451, undefined, text));
        assert.ok(ms === undefined || (ms >= 1000 && ms <= 86_400_000 && Number.isInteger(ms)));
      },
    ),
  );
});

test("a long line costs no more than its length", () => {
  const usedMs = cpuWatch();
  for (const text of [
    "again in 1 ".repeat(50_000),
    "wait ".repeat(100_000),
    "1 and ".repeat(100_000),
    "1:".repeat(200_000),
  ])
    toldWaitMs(reply(451, undefined, text));
  assert.ok(usedMs() < 2000);
});
