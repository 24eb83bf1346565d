import assert from "node:assert/strict";
import { test } from "node:test";
import { flagsOf } from "./show-status.ts";

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
  assert.deepEqual(flagsOf({ queue, processes: [] }), []);
  const bad = {
    ...queue,
    isStoreUsable: false,
    routesResting: 2,
    envelopes: { ...queue.envelopes, held: 3 },
    paused: [{ direction: "out", because: "a look", sinceAt: 0 }] as const,
  };
  const processes = [{ role: "egress-1", pid: 1, startedAt: 0, restarts: 1 }];
  assert.deepEqual(flagsOf({ queue: bad, processes }), ["STORE", "PAUSED-OUT", "RESTING", "HELD", "RESTARTED"]);
  const logTroubles = [{ sink: "/var/log/mail.log", problem: "ENOSPC", sinceAt: 0 }];
  assert.deepEqual(flagsOf({ queue, processes: [], logTroubles }), ["NO-LOG"]);
  assert.deepEqual(flagsOf({ queue, processes: [], logTroubles: [] }), []);
});
