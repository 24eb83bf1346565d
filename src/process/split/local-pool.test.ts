import assert from "node:assert/strict";
import { test } from "node:test";
import type { LocalDelivery, LocalRequest } from "../../mail/delivery/delivery.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { localPool } from "./local-pool.ts";

// The pool hands requests on without a look at them.
const request = {} as LocalRequest;

function member(name: string, told: string[]): LocalDelivery {
  return {
    async deliver() {
      told.push(name);
      return {
        kind: "delivered",
        envelope: "E.1",
        relay: name,
        text: "",
        status: "2.0.0",
        dsnPassedOn: false,
        isFinal: true,
        tookMs: 0,
      };
    },
  };
}

test("mail that is due before any delivery process is there waits for the first to come", async () => {
  const clock = virtualClock(0);
  const pool = localPool({ clock, patienceMs: 5000, version: 1 });
  const told: string[] = [];
  const both = Promise.all([pool.deliver(request), pool.deliver(request)]);
  await clock.advance(4000);
  pool.add(member("one", told), 1);
  await both;
  assert.deepEqual(told, ["one", "one"]);
});

test("when none comes in time, the mail is put off", async () => {
  const clock = virtualClock(0);
  const pool = localPool({ clock, patienceMs: 5000, version: 1 });
  const refused = assert.rejects(pool.deliver(request), { code: "ROLE_UNAVAILABLE" });
  await clock.advance(5000);
  await refused;
});

test("the newest process of the version that is served gets the mail, and the older one again when that is gone", async () => {
  const pool = localPool({ clock: virtualClock(0), patienceMs: 5000, version: 1 });
  const told: string[] = [];
  const [older, newer, ahead] = [member("older", told), member("newer", told), member("ahead", told)];
  pool.add(older, 1);
  pool.add(newer, 1);
  pool.add(ahead, 2);
  await pool.deliver(request);
  pool.remove(newer);
  await pool.deliver(request);
  pool.serve(2);
  await pool.deliver(request);
  pool.serve(1);
  await pool.deliver(request);
  assert.deepEqual(told, ["newer", "older", "ahead", "older"]);
});

test("a stop is told to every process that still delivers, also to those that get nothing new", async () => {
  const pool = localPool({ clock: virtualClock(0), patienceMs: 5000, version: 1 });
  const told: string[] = [];
  const finishing = (name: string): LocalDelivery => ({
    ...member(name, told),
    finish: async (withinMs) => void told.push(`${name} ${withinMs}`),
  });
  const [retired, gone] = [finishing("retired"), finishing("gone")];
  pool.add(retired, 1);
  pool.add(gone, 1);
  pool.add(finishing("newest"), 1);
  pool.add({ ...member("dead", told), finish: () => Promise.reject(new Error("it is not there")) }, 1);
  pool.retire(retired);
  pool.retire(gone);
  pool.remove(gone);
  await pool.finish(1000);
  assert.deepEqual(told.sort(), ["newest 1000", "retired 1000"]);
});

test("mail that waits goes to a process of the version that is served by then", async () => {
  const pool = localPool({ clock: virtualClock(0), patienceMs: 5000, version: 1 });
  const told: string[] = [];
  const late = pool.deliver(request);
  pool.add(member("ahead", told), 2);
  pool.serve(2);
  await late;
  assert.deepEqual(told, ["ahead"]);
});
