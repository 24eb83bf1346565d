import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Report } from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import { testFacts } from "../../../testing/filter-mail.ts";
import type { FilterFacts } from "../filter.ts";
import { SessionStory } from "./session-story.ts";

let made = 0;
const story = (): SessionStory => new SessionStory(() => String(++made).padStart(8, "0"));
const events = (reports: readonly Report[]): readonly string[] => reports.map(({ event }) => event);
const facts = testFacts();
const two = testFacts(
  {},
  { recipients: ["bob", "eve"].map((name) => ({ address: `${name}@example.org`, parameters: [] })) },
);

test("what was told is not told again", () => {
  const told = story();
  assert.deepEqual(events(told.catchUp(facts, "connection")), ["link-connect"]);
  assert.deepEqual(events(told.catchUp(facts, "session")), ["link-greeting", "link-identify"]);
  assert.deepEqual(events(told.catchUp(facts, "recipients")), ["tx-begin", "tx-mail", "tx-envelope", "tx-rcpt"]);
  assert.deepEqual(events(told.catchUp(two, "content")), ["tx-envelope", "tx-rcpt", "tx-data"]);
  assert.deepEqual(events(told.catchUp(two, "content")), []);
});

test("a program that comes late is told everything at once", () => {
  assert.deepEqual(events(story().catchUp(two, "content")), [
    "link-connect",
    "link-greeting",
    "link-identify",
    "tx-begin",
    "tx-mail",
    "tx-envelope",
    "tx-rcpt",
    "tx-envelope",
    "tx-rcpt",
    "tx-data",
  ]);
});

test("who greets again after STARTTLS is introduced again", () => {
  const told = story();
  told.catchUp({ ...facts, mail: undefined }, "session");
  const tls = { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", bits: 128 };
  assert.deepEqual(events(told.onNote({ notice: "tls", facts: { ...facts, tls, mail: undefined } })), ["link-tls"]);
  assert.deepEqual(events(told.catchUp({ ...facts, tls, mail: undefined }, "session")), ["link-identify"]);
});

test("a mail whose end nobody told is over when the next one begins", () => {
  const told = story();
  told.catchUp(facts, "content");
  assert.deepEqual(events(told.catchUp(facts, "session")), ["tx-rollback", "tx-reset"]);
  assert.deepEqual(events(told.catchUp(facts, "recipients")), ["tx-begin", "tx-mail", "tx-envelope", "tx-rcpt"]);
});

test("a mail that was kept is committed and then forgotten", () => {
  const told = story();
  told.catchUp(facts, "content");
  assert.deepEqual(events(told.onNote({ notice: "commit", message: "x", sizeBytes: 5 })), ["tx-commit", "tx-reset"]);
  assert.deepEqual(events(told.onNote({ notice: "rollback" })), []);
});

test("a refused sender is a whole transaction of its own", () => {
  const told = story();
  assert.deepEqual(events(told.onNote({ notice: "mail", outcome: "permfail", facts })).slice(-4), [
    "tx-begin",
    "tx-mail",
    "tx-rollback",
    "tx-reset",
  ]);
});

test("in whatever order things happen, each recipient is told once, in a transaction, and each transaction ends", () => {
  const none: FilterFacts = { ...facts, mail: { ...facts.mail, recipients: [] } };
  const one = fc.constantFrom(
    "mail",
    "rcpt-facts",
    "rcpt-late",
    "data",
    "commit",
    "rollback",
    "reset",
    "ask",
    "ask-mail",
  );
  fc.assert(
    fc.property(fc.array(one, { maxLength: 14 }), (steps) => {
      const told = story();
      const all: Report[] = [];
      let accepted = 0;
      const now = (): FilterFacts => ({
        ...none,
        mail: {
          ...facts.mail,
          recipients: Array.from({ length: accepted }, (_, at) => ({ address: `r${at}@example.org`, parameters: [] })),
        },
      });
      for (const step of steps) {
        if (step === "mail") all.push(...told.onNote({ notice: "mail", outcome: "ok", facts: now() }));
        if (step === "rcpt-facts" || step === "rcpt-late") {
          const before = now();
          accepted++;
          const recipient = `r${accepted - 1}@example.org`;
          const at = step === "rcpt-facts" ? now() : before;
          all.push(...told.onNote({ notice: "rcpt", outcome: "ok", recipient, facts: at }));
        }
        if (step === "data") all.push(...told.onNote({ notice: "data", outcome: "ok", facts: now() }));
        if (step === "commit") all.push(...told.onNote({ notice: "commit", message: "x", sizeBytes: 1 }));
        if (step === "rollback" || step === "reset") all.push(...told.onNote({ notice: step }));
        if (step === "ask") all.push(...told.catchUp(now(), "recipients"));
        if (step === "ask-mail") all.push(...told.catchUp(none, "session"));
        if (step === "commit" || step === "rollback" || step === "reset" || step === "ask-mail") accepted = 0;
      }
      all.push(...told.end());
      let open: string | undefined;
      let seen = new Set<string>();
      for (const report of all) {
        if (report.event === "tx-begin") {
          assert.equal(open, undefined);
          open = report.transaction;
          seen = new Set();
        } else if (report.event === "tx-commit" || report.event === "tx-rollback") {
          assert.equal(report.transaction, open);
          open = undefined;
        } else if (report.event === "tx-rcpt" || report.event === "tx-mail") {
          assert.equal(report.transaction, open);
          assert.ok(!seen.has(report.address), report.address);
          seen.add(report.address);
        }
      }
      assert.equal(open, undefined);
    }),
  );
});
