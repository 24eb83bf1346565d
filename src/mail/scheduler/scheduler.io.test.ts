import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { emitNothing } from "../../foundation/events.ts";
import { messageIdMaker } from "../../foundation/ids.ts";
import { simulatedDeliveries } from "../../simulator/deliveries.ts";
import { coreSettings, mailOf } from "../../simulator/scheduling.ts";
import { queueSettings } from "../queue/settings.ts";
import { openStore } from "../queue/store.io.ts";
import { Scheduler } from "./scheduler.io.ts";

async function withServer(directory: string, work: (server: Awaited<ReturnType<typeof start>>) => Promise<void>) {
  const server = await start(directory);
  try {
    await work(server);
  } finally {
    await server.scheduler.stop(5000);
    await server.store[Symbol.asyncDispose]();
  }
}

async function start(directory: string) {
  const store = await openStore({
    directory,
    settings: queueSettings.parse({}),
    clock: systemClock,
    emit: emitNothing,
  });
  const world = simulatedDeliveries(systemClock);
  const scheduler = new Scheduler({
    store,
    network: world.network,
    local: world.local,
    notices: { make: async () => ({ kind: "unwanted" }) },
    clock: systemClock,
    emit: emitNothing,
    seed: 1,
    settings: coreSettings(),
  });
  scheduler.start();
  return { store, world, scheduler };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 6000; n++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("it should have happened within a minute");
}

test("on a real disk: mail is committed, delivered, removed; what was deferred is there after a restart, held stays held", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-scheduler-"));
  const newId = messageIdMaker(systemClock, 1);
  try {
    await withServer(directory, async ({ store, world, scheduler }) => {
      world.setDomain("example.org", [
        {
          name: "mx.example.org",
          ip: "192.0.2.1",
          onEnvelope: (_, recipient) =>
            recipient.startsWith("later")
              ? { lasting: "temporary", status: "4.2.0", cause: { kind: "reply", during: "RCPT" } }
              : undefined,
        },
      ]);
      const mails = Array.from({ length: 50 }, (_, n) =>
        mailOf(newId(), systemClock.now(), { to: [`user${n}@example.org`] }),
      );
      const deferred = mailOf(newId(), systemClock.now(), { to: ["later@example.org", "later-too@example.org"] });
      await Promise.all([...mails, deferred].map((mail) => scheduler.commit(mail)));
      await until(async () => world.delivered.size === 50 && (await store.list({})).length === 2);
      await until(() => scheduler.state.counts.waiting === 2);
      const held = deferred.envelopes[1]?.id ?? "";
      assert.equal(
        (await scheduler.command({ do: "hold", selector: { by: "envelope", id: held }, because: "a look" })).envelopes,
        1,
      );
    });
    await withServer(directory, async ({ store, scheduler }) => {
      await until(() => scheduler.state.tickets.size === 2);
      assert.deepEqual(
        { ...scheduler.state.counts },
        { waiting: 1, ready: 0, active: 0, writing: 0, held: 1, dead: 0 },
      );
      const rows = await store.list({});
      assert.deepEqual(
        rows.map((row) => [row.state, row.attempts, row.lastFailure?.status]),
        [
          ["queued", 1, "4.2.0"],
          ["held", 1, "4.2.0"],
        ],
      );
    });
  } finally {
    await rm(directory, { recursive: true });
  }
});
