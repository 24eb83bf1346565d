import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { assertSchedulerInvariants } from "../../simulator/scheduler-invariants.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { memoryStore } from "../queue/memory-store.ts";
import type { Store } from "../queue/store.ts";
import type { Command } from "./commands.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};
const facts = { level: "sender", key: "@x.example", because: "an incident", by: "ann" } as const;

/**
 * Twenty mails of one sender, and one of another, that waited when the server was stopped; it has been started anew and
 * reads one of them each second. Four are read.
 */
async function starting({ isPaused = false, wait = "5m" } = {}): Promise<
  SimulatedScheduling & { readonly ids: readonly string[]; readonly inner: Store }
> {
  const inner = memoryStore();
  const before = simulatedScheduling({
    store: inner,
    scheduler: { retry: { spread: 0, relay: { by: "list", waits: [wait] } } },
  });
  const ids: string[] = [];
  for (let n = 0; n < 20; n++)
    ids.push(await before.send({ from: "spammer@x.example", to: [`u${n}@a.example`, `v${n}@a.example`] }));
  ids.push(await before.send({ from: "joe@y.example", to: ["joe@a.example"] }));
  before.world.setDomain("a.example", [{ name: "mx", ip: "192.0.2.1", onEnvelope: () => full }]);
  await before.clock.advance(MINUTE);
  await before.scheduler.stop(0);
  const store: Store = {
    ...inner,
    async *load() {
      for await (const portion of inner.load()) {
        yield portion;
        await new Promise<void>((resolve) => void simulation.clock.after(SECOND, resolve));
      }
    },
  };
  const simulation = simulatedScheduling({ store, startAt: before.clock.now() + 4 * HOUR });
  simulation.world.setDomain("a.example", [{ name: "mx", ip: "192.0.2.1", connectMs: 2 * SECOND }]);
  if (isPaused) simulation.scheduler.pause("out", "to have it there");
  simulation.scheduler.start();
  await simulation.clock.advance(3 * SECOND + 500);
  return { ...simulation, ids, inner };
}

async function ended<Answer>({ clock }: SimulatedScheduling, asked: Promise<Answer>): Promise<Answer> {
  await clock.advance(HOUR);
  return asked;
}

const ofSpammer = { by: "sender", sender: "spammer@x.example" } as const;

test("what is commanded while the queue is read concerns what is not read yet, too, before that is handed out", async () => {
  const commands: readonly (readonly [Command, number, number])[] = [
    // Some had gone, or were under way, before anybody asked.
    [{ do: "hold", selector: ofSpammer, because: "spam" }, 32, 32],
    [{ do: "remove", selector: ofSpammer, because: "spam" }, 32, 0],
    [{ do: "schedule", selector: ofSpammer, at: Date.UTC(2026, 0, 3) }, 32, 32],
  ];
  for (const [command, least, left] of commands) {
    const simulation = await starting();
    const { scheduler, inner, world, clock, ids } = simulation;
    const asked = scheduler.command(command);
    await clock.advance(10 * SECOND);
    assert.equal(scheduler.isLoading, true);
    assertSchedulerInvariants(scheduler.state);
    const { envelopes } = await ended(simulation, asked);
    assert.ok(envelopes >= least, `${command.do}: ${envelopes}`);
    const rows = await inner.list({ sender: "spammer@x.example" });
    assert.ok(rows.length >= left, `${command.do}: ${rows.length} left`);
    const tried = ids.slice(0, -1).filter((id) => world.delivered.has(`${id}.1`));
    assert.ok(2 * tried.length <= 40 - envelopes, `${command.do}: ${tried.length} delivered`);
    assertSchedulerInvariants(scheduler.state);
  }
});

test("what is named and read is changed and answered at once, and what is not read yet when it is", async () => {
  const simulation = await starting({ isPaused: true });
  const { scheduler, clock, ids, inner } = simulation;
  const [first = "", last = ""] = [ids[3], ids.at(-1)];
  const hold = (id: string) => scheduler.command({ do: "hold", selector: { by: "message", id }, because: "a look" });
  assert.deepEqual(await hold(first), { envelopes: 2 });
  assert.equal(scheduler.isLoading, true);
  const later = hold(last);
  const never = hold("00000000000");
  await clock.advance(MINUTE);
  assert.deepEqual([await later, await never], [{ envelopes: 1 }, { envelopes: 0 }]);
  assert.equal((await inner.list({ state: "held" })).length, 3);
});

test("a command does not concern what comes after it, be it read with the rest", async () => {
  const simulation = await starting();
  const { scheduler, clock, world } = simulation;
  const asked = scheduler.command({ do: "remove", selector: { by: "all" }, because: "all of it" });
  await clock.advance(SECOND);
  const id = await simulation.send({ from: "spammer@x.example", to: ["new@a.example"] });
  await ended(simulation, asked);
  assert.ok(world.delivered.has(`${id}.1`));
});

test("of two commands the later one has the last word", async () => {
  const simulation = await starting();
  const { scheduler, inner } = simulation;
  const held = scheduler.command({ do: "hold", selector: { by: "all" }, because: "a look" });
  const released = scheduler.command({ do: "release", selector: { by: "all" } });
  await ended(simulation, Promise.all([held, released]));
  assert.deepEqual(await inner.list({}), []);
});

test("who suspends while the queue is read is told what that holds, and a time that ends meanwhile ends afterwards", async () => {
  const simulation = await starting();
  const { scheduler, clock, world } = simulation;
  const before = world.delivered.size;
  const asked = scheduler.suspend({ ...facts, setAt: clock.now(), untilAt: clock.now() + 5 * SECOND });
  await clock.advance(10 * SECOND);
  assert.equal(scheduler.state.suspensionCount, 1);
  assert.ok(world.delivered.size <= before + 8, "what was being tried");
  await clock.advance(8 * SECOND);
  assert.ok((await asked) >= 32);
  await clock.advance(MINUTE);
  assert.equal(scheduler.state.suspensionCount, 0);
  assert.equal(world.delivered.size, 41);
});

test("what is lifted while the queue is read is lifted when all of it is known, unless it is set again", async () => {
  for (const isAgain of [false, true]) {
    const simulation = await starting();
    const { scheduler, clock, inner } = simulation;
    const set = scheduler.suspend({ ...facts, setAt: clock.now() });
    await clock.advance(SECOND);
    const lifted = scheduler.unsuspend(facts.level, facts.key, "bob");
    await clock.advance(SECOND);
    const again = isAgain ? scheduler.suspend({ ...facts, setAt: clock.now() }) : undefined;
    const held = await ended(simulation, lifted);
    assert.equal((held ?? 0) >= 32, !isAgain);
    await Promise.all([set, again]);
    assert.equal((await inner.notes("suspension ")).length, isAgain ? 1 : 0);
    assert.equal(scheduler.state.suspensionCount, isAgain ? 1 : 0);
  }
});

test("ETRN while the queue is read is answered at once, and wakes what is read afterwards", async () => {
  const simulation = await starting({ wait: "1d" });
  const { scheduler, clock, inner } = simulation;
  assert.deepEqual(await scheduler.wake({ domain: "a.example", withSubdomains: false }), {
    kind: "woken",
    isStarting: true,
  });
  await clock.advance(HOUR);
  assert.deepEqual(await inner.list({}), []);
});
