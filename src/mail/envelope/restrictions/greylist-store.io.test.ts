import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { virtualClock } from "../../../simulator/clock.ts";
import { greylistSettings } from "./greylist-settings.ts";
import { openGreylistStore } from "./greylist-store.io.ts";

const DAY = 86_400_000;

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "posthorn-greylist-"));
  context.after(() => rmSync(made, { recursive: true }));
  return join(made, "greylist.db");
}

const triplet = (n: number) => ({ network: "192.0.2.0/24", sender: `s${n}@a.example`, recipient: "bob@ours.example" });

test("what was seen outlives the process", async (context) => {
  const file = folder(context);
  const clock = virtualClock(1000 * DAY);
  const terms = greylistSettings.parse({});
  const first = openGreylistStore(file, clock);
  assert.equal(first.ask({ triplet: triplet(1), terms }).kind, "wait");
  first.allow("198.51.100.0/24");
  first.close();
  await clock.advance(600_000);
  const second = openGreylistStore(file, clock);
  assert.equal(second.ask({ triplet: triplet(1), terms }).kind, "arrived");
  assert.equal(second.ask({ triplet: { ...triplet(2), network: "198.51.100.0/24" }, terms }).kind, "pass");
  second.close();
});

test("two processes see what the other one saw", (context) => {
  const file = folder(context);
  const clock = virtualClock(1000 * DAY);
  const terms = greylistSettings.parse({});
  const one = openGreylistStore(file, clock);
  const other = openGreylistStore(file, clock);
  assert.deepEqual(one.ask({ triplet: triplet(1), terms }), { kind: "wait", leftMs: 300_000, isNew: true });
  assert.deepEqual(other.ask({ triplet: triplet(1), terms }), { kind: "wait", leftMs: 300_000, isNew: false });
  one.close();
  other.close();
});

test("what nobody will ask for is swept, what is known and allowed stays", async (context) => {
  const clock = virtualClock(1000 * DAY);
  const terms = greylistSettings.parse({});
  const store = openGreylistStore(folder(context), clock);
  store.ask({ triplet: triplet(1), terms });
  store.ask({ triplet: triplet(2), terms });
  store.allow("198.51.100.0/24");
  await clock.advance(300_000);
  store.ask({ triplet: triplet(2), terms });
  await clock.advance(3 * DAY);
  store.ask({ triplet: triplet(3), terms });
  await clock.advance(11 * 60_000);
  const states = store.list({}).map(({ state, sender }) => `${state} ${sender ?? ""}`);
  assert.deepEqual(states.toSorted(), ["allowed ", "network ", "passed s2@a.example", "waiting s3@a.example"]);
  store.close();
});

test("there is a bound: those who wait are forgotten first", async (context) => {
  const clock = virtualClock(1000 * DAY);
  const terms = greylistSettings.parse({ mostEntries: 1000 });
  const store = openGreylistStore(folder(context), clock);
  store.ask({ triplet: triplet(0), terms });
  await clock.advance(300_000);
  assert.equal(store.ask({ triplet: triplet(0), terms }).kind, "arrived");
  for (let n = 1; n <= 3000; n++) {
    await clock.advance(1);
    store.ask({ triplet: triplet(n), terms });
  }
  const rows = store.list({});
  assert.ok(rows.length <= 1200, String(rows.length));
  assert.equal(store.ask({ triplet: triplet(0), terms }).kind, "pass");
  store.close();
});

test("a person looks, removes and allows", (context) => {
  const clock = virtualClock(1000 * DAY);
  const terms = greylistSettings.parse({});
  const store = openGreylistStore(folder(context), clock);
  for (const n of [1, 2, 3]) store.ask({ triplet: triplet(n), terms });
  store.ask({ triplet: { ...triplet(4), sender: "x@b_example" }, terms });
  assert.equal(store.list({ text: "s2@" }).length, 1);
  assert.equal(store.list({ text: "%" }).length, 0);
  assert.equal(store.list({ state: "passed" }).length, 0);
  assert.equal(store.remove("s1@a.example"), 1);
  assert.equal(store.remove("@a.example"), 2);
  assert.equal(store.remove("b_example"), 1);
  assert.equal(store.remove("nobody"), 0);
  store.allow("192.0.2.0/24");
  assert.equal(store.ask({ triplet: triplet(5), terms }).kind, "pass");
  assert.equal(store.remove("192.0.2.0/24"), 1);
  assert.equal(store.ask({ triplet: triplet(5), terms }).kind, "wait");
  store.close();
});

test("networks have a bound too; those that a person let in stay", async (context) => {
  const clock = virtualClock(1_800_000_000_000);
  const store = openGreylistStore(folder(context), clock);
  const terms = greylistSettings.parse({ mostEntries: 1000 });
  store.allow("192.0.2.0/24");
  for (const batch of [1, 2]) {
    const asks = Array.from({ length: 700 }, (_, at) => ({
      triplet: { network: `10.${batch}.${at}.0/24`, sender: "a@b.example", recipient: "c@d.example" },
      terms,
    }));
    for (const ask of asks) assert.equal(store.ask(ask).kind, "wait");
    await clock.advance(6 * 60_000);
    for (const ask of asks) assert.equal(store.ask(ask).kind, "arrived");
    // What is remembered of mails has a bound of its own.
    store.remove("a@b.example");
  }
  assert.equal(store.list({ state: "networks" }).length, 1401);
  await clock.advance(11 * 60_000);
  const left = store.list({ state: "networks" });
  assert.equal(left.length, 1001);
  assert.ok(left.some(({ state }) => state === "allowed"));
  store.close();
});
