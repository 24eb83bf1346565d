import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatedScheduling } from "../../simulator/scheduling.ts";

const SECOND = 1000;
const DAY = 86_400_000;
const ALL = { by: "all" } as const;

async function withOneInQuarantine(startWith = simulatedScheduling(), from = "joe@mail.example") {
  startWith.world.setDomain("example.org", [{ name: "mx.example.org", ip: "192.0.2.1" }]);
  const id = await startWith.send({
    from,
    to: ["jane@example.org"],
    quarantine: { filter: "scanner", because: "a virus" },
  });
  await startWith.clock.advance(SECOND);
  return { ...startWith, id };
}

test("what is in quarantine is not tried, and no command for the queue touches it by accident", async () => {
  const { scheduler, clock, world, store, id } = await withOneInQuarantine();
  for (const selector of [ALL, { by: "message", id } as const]) {
    assert.equal((await scheduler.command({ do: "release", selector })).envelopes, 0);
    assert.equal((await scheduler.command({ do: "retryNow", selector })).envelopes, 0);
    assert.equal((await scheduler.command({ do: "hold", selector, because: "x" })).envelopes, 0);
  }
  assert.equal((await scheduler.command({ do: "remove", selector: ALL, because: "x" })).envelopes, 0);
  assert.equal((await scheduler.command({ do: "bounce", selector: ALL, because: "x" })).envelopes, 0);
  await clock.advance(5 * DAY);
  assert.equal(world.delivered.size, 0);
  assert.equal((await store.list({ state: "held" })).length, 1);
});

test("released from quarantine it is delivered; what is held otherwise is not concerned", async () => {
  const simulation = await withOneInQuarantine();
  const { scheduler, clock, world, id } = simulation;
  scheduler.pause("out", "to hold before it goes");
  const other = await simulation.send({ to: ["john@example.org"] });
  await clock.advance(SECOND);
  await scheduler.command({ do: "hold", selector: { by: "message", id: other }, because: "a look" });
  scheduler.resume("out");
  assert.equal((await scheduler.command({ do: "release", selector: ALL, quarantined: true })).envelopes, 1);
  await clock.advance(SECOND);
  assert.deepEqual([...world.delivered.keys()], [`${id}.1`]);
  assert.equal((await scheduler.command({ do: "release", selector: ALL })).envelopes, 1);
});

test("removed from quarantine it is gone, by the command for that or by its id", async () => {
  for (const command of [
    { do: "remove", selector: ALL, because: "x", quarantined: true },
    { do: "remove", selector: { by: "message", id: "" }, because: "x" },
  ] as const) {
    const { scheduler, clock, store, id } = await withOneInQuarantine();
    const selector = command.selector.by === "message" ? { by: "message" as const, id } : command.selector;
    assert.equal((await scheduler.command({ ...command, selector })).envelopes, 1);
    await clock.advance(SECOND);
    assert.equal((await store.list({})).length, 0);
  }
});

test("when its time is over it is removed, not delivered", async () => {
  const first = await withOneInQuarantine(simulatedScheduling({ scheduler: { quarantineFor: "2d" } }));
  await first.clock.advance(DAY);
  const { store } = first;
  assert.equal((await store.list({}))[0]?.quarantine?.filter, "scanner");
  await first.clock.advance(DAY);
  assert.equal((await store.list({})).length, 0);
  assert.equal(first.world.delivered.size, 0);
  assert.ok(first.lines.some((line) => line.includes("its time in quarantine is over")));
});

test("what is let go late is tried for as long as mail that has just come", async () => {
  const { scheduler, clock, store } = await withOneInQuarantine(
    simulatedScheduling({ scheduler: { expireAfter: "4d" } }),
  );
  await clock.advance(3.9 * DAY);
  const releasedAt = clock.now();
  scheduler.pause("out", "to look at it");
  assert.equal((await scheduler.command({ do: "release", selector: ALL, quarantined: true })).envelopes, 1);
  await clock.advance(SECOND);
  const [row] = await store.list({});
  assert.ok((row?.expiresAt ?? 0) >= releasedAt + 4 * DAY);
});

test("what is returned from quarantine and has no way back is dead and still kept back: no retry delivers it", async () => {
  for (const [from, why] of [
    ["", "it has no sender"],
    ["joe@mail.example", "there is no way to <joe@mail.example>: no such user here"],
  ] as const) {
    const simulation = simulatedScheduling();
    simulation.onNotice = () => "unroutable";
    const { scheduler, clock, world, store, id } = await withOneInQuarantine(simulation, from);
    const because = `${why}; in quarantine by the filter scanner: a virus`;
    assert.deepEqual(await scheduler.command({ do: "bounce", selector: { by: "message", id }, because: "x" }), {
      envelopes: 0,
      undone: 1,
      because: `it is kept as dead: ${because}`,
    });
    const [row] = await store.list({});
    assert.deepEqual([row?.state, row?.quarantine?.filter, row?.heldBecause], ["dead", "scanner", because]);
    for (const selector of [ALL, { by: "message", id } as const]) {
      assert.equal((await scheduler.command({ do: "retryNow", selector })).envelopes, 0);
      assert.equal((await scheduler.command({ do: "release", selector })).envelopes, 0);
    }
    assert.equal((await scheduler.command({ do: "release", selector: ALL, quarantined: true })).envelopes, 0);
    await clock.advance(DAY);
    assert.equal(world.delivered.size, 0);
    // Who means this very mail lets it go.
    const named = { by: "message", id } as const;
    assert.equal((await scheduler.command({ do: "release", selector: named, quarantined: true })).envelopes, 1);
    await clock.advance(SECOND);
    assert.equal(world.delivered.size, 1);
  }
});
