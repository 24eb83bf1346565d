import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import { unreachable } from "../../simulator/deliveries.ts";
import {
  coreSettings,
  mailOf,
  NOON,
  simulatedScheduling,
  type SimulatedScheduling,
} from "../../simulator/scheduling.ts";
import { memoryStore } from "../queue/memory-store.ts";
import type { Store } from "../queue/store.ts";
import type { LiveRow } from "./admin/admin.ts";
import { createSchedulerAdmin } from "./admin/admin.io.ts";
import type { schedulerSettings } from "./settings.ts";

const SECOND = 1000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ALL = { by: "all" } as const;

type Settings = Partial<z.input<typeof schedulerSettings>>;

/** A server whose next host is down. */
function server(store: Store, scheduler: Settings, startAt?: number): SimulatedScheduling {
  const simulation = simulatedScheduling({ store, scheduler, ...(startAt === undefined ? {} : { startAt }) });
  simulation.world.setDomain("a.example", [{ name: "mx", ip: "192.0.2.1", onConnect: () => unreachable("192.0.2.1") }]);
  simulation.scheduler.start();
  return simulation;
}

/** Other settings: by a reload, or by a stop and a start. */
const CHANGES = {
  async reload(at: SimulatedScheduling, _store: Store, scheduler: Settings) {
    at.scheduler.reload(coreSettings({ scheduler }));
    await at.clock.advance(SECOND);
    return at;
  },
  async restart({ scheduler, clock }: SimulatedScheduling, store: Store, settings: Settings) {
    const stopped = scheduler.stop(0);
    await clock.advance(0);
    await stopped;
    const next = server(store, settings, clock.now());
    await next.clock.advance(SECOND);
    return next;
  },
} as const;

const changes = Object.entries(CHANGES);

async function states(store: Store): Promise<readonly string[]> {
  return (await store.list({})).map(({ state }) => state);
}

function adminOf({ scheduler, store, clock, network }: SimulatedScheduling) {
  return createSchedulerAdmin({ scheduler, store, clock, network });
}

/** As `queue list` shows it. */
async function listed(at: SimulatedScheduling): Promise<readonly LiveRow[]> {
  return JSON.parse((await adminOf(at).list({})).rows) as readonly LiveRow[];
}

for (const [how, change] of changes) {
  test(`a longer expire-after in the middle of an outage holds for what is queued: ${how}`, async () => {
    const store = memoryStore();
    const before = server(store, { expireAfter: "4d" });
    await before.clock.advance(0);
    const sentAt = before.clock.now();
    const id = await before.send({ to: ["u@a.example"] });
    await before.clock.advance(3 * DAY);
    const at = await change(before, store, { expireAfter: "8d" });
    const shown = await adminOf(at).show(id);
    assert.equal(shown?.envelopes[0]?.progress.expiresAt, sentAt + 8 * DAY);
    assert.equal((await listed(at))[0]?.expiresAt, sentAt + 8 * DAY);
    const why = await adminOf(at).whyAll(id);
    assert.equal(why?.groups[0]?.expiresAt, sentAt + 8 * DAY);
    await at.clock.advance(4.5 * DAY);
    assert.deepEqual(await states(store), ["queued"]);
    assert.equal((await store.list({}))[0]?.expiresAt, sentAt + 8 * DAY);
    await at.clock.advance(DAY);
    assert.deepEqual(await states(store), []);
    const bounces = [...before.notices, ...at.notices].filter(({ kind }) => kind === "bounce");
    assert.equal(new Set(bounces).size, 1);
  });

  test(`a shorter expire-after returns what is queued when it is tried next, not at once: ${how}`, async () => {
    const store = memoryStore();
    const before = server(store, { expireAfter: "4d", retry: { spread: 0, relay: { by: "list", waits: ["12h"] } } });
    await before.clock.advance(0);
    await before.send({ to: ["u@a.example"] });
    await before.clock.advance(2.25 * DAY);
    const next: Settings = { expireAfter: "1d", retry: { spread: 0, relay: { by: "list", waits: ["12h"] } } };
    const at = await change(before, store, next);
    await at.clock.advance(HOUR);
    assert.deepEqual(await states(store), ["queued"]);
    await at.clock.advance(12 * HOUR);
    assert.deepEqual(await states(store), []);
  });

  test(`the time under a suspension does not count by other settings, either: ${how}`, async () => {
    const store = memoryStore();
    const before = server(store, { expireAfter: "4d" });
    await before.clock.advance(0);
    const sentAt = before.clock.now();
    await before.scheduler.suspend({ level: "all", key: "*", because: "", by: "ann", setAt: sentAt });
    await before.send({ to: ["u@a.example"] });
    await before.clock.advance(3 * DAY);
    await before.scheduler.unsuspend("all", "*", "ann");
    await before.clock.advance(HOUR);
    const at = await change(before, store, { expireAfter: "5d" });
    await at.clock.advance(2 * DAY);
    const row = (await listed(at))[0];
    assert.equal(row?.expiresAt, sentAt + 8 * DAY);
  });

  test(`dead-letters.keep-for holds for what is dead: ${how}`, async () => {
    for (const [keepFor, left] of [
      ["9d", ["dead"]],
      ["1d", []],
    ] as const) {
      const store = memoryStore();
      const before = server(store, { expireAfter: "1h", deadLetters: { keepFor: "3d" } });
      await before.clock.advance(0);
      await before.send({ from: "", to: ["u@a.example"] });
      await before.clock.advance(2 * HOUR);
      assert.deepEqual(await states(store), ["dead"]);
      const at = await change(before, store, { expireAfter: "1h", deadLetters: { keepFor } });
      await at.clock.advance(4 * DAY);
      assert.deepEqual(await states(store), left);
      await at.clock.advance(5 * DAY);
      assert.deepEqual(await states(store), []);
    }
  });

  test(`quarantine-for holds for what is in quarantine, and expire-after from its release: ${how}`, async () => {
    for (const [quarantineFor, left] of [
      ["9d", ["held"]],
      ["2d", []],
    ] as const) {
      const store = memoryStore();
      const before = server(store, { quarantineFor: "4d" });
      await before.clock.advance(0);
      const sentAt = before.clock.now();
      await before.send({ to: ["u@a.example"], quarantine: { filter: "scanner" } });
      await before.clock.advance(DAY);
      const at = await change(before, store, { quarantineFor, expireAfter: "2d" });
      const row = (await listed(at))[0];
      assert.equal(row?.heldUntilAt, sentAt + (left.length > 0 ? 9 : 2) * DAY);
      await at.clock.advance(5 * DAY);
      assert.deepEqual(await states(store), left);
      if (left.length === 0) continue;
      await at.scheduler.command({ do: "release", selector: ALL, quarantined: true });
      assert.equal((await store.list({}))[0]?.expiresAt, at.clock.now() + 2 * DAY);
    }
  });

  test(`what an earlier version wrote keeps the end that it has: ${how}`, async () => {
    const store = memoryStore();
    const { message, body, envelopes } = mailOf("03NMH2T0040", NOON, { to: ["u@a.example"] });
    const progress = { state: "queued", dueAt: NOON, expiresAt: NOON + 4 * DAY, attempts: 0 } as const;
    await store.apply([
      { do: "commit", message, body, envelopes: envelopes.map((envelope) => ({ envelope, progress })) },
    ]);
    const started = server(store, { expireAfter: "4d" });
    await started.clock.advance(HOUR);
    const [row] = await store.list({});
    const at = await change(started, store, { expireAfter: "8d" });
    await at.clock.advance(HOUR);
    const [now] = await store.list({});
    assert.ok(now !== undefined && row !== undefined && now.attempts > row.attempts);
    assert.equal(now.expiresAt, row.expiresAt);
  });
}
