import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import type { SimulatedHost } from "../../simulator/deliveries.ts";
import { simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { memoryStore } from "../queue/memory-store.ts";
import type { Store } from "../queue/store.ts";
import { hindrancesOf } from "./admin/hindrances.ts";

/** What operators want of envelopes that are being tried or written, and what of it is done and said. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;

const full: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "Mailbox full"),
};
const nobody: Failure = {
  lasting: "permanent",
  status: "5.1.1",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(550, "5.1.1", "Nobody of that name"),
};
const all = { by: "all" } as const;

/** One mail, in an attempt that takes ten seconds and ends as is said then. */
async function tried(
  options: Parameters<typeof simulatedScheduling>[0] = {},
  from = "joe@mail.example",
): Promise<SimulatedScheduling & { end: Failure | undefined; id: string }> {
  const simulation = Object.assign(simulatedScheduling(options), { end: undefined as Failure | undefined, id: "" });
  const host: SimulatedHost = {
    name: "mx",
    ip: "192.0.2.1",
    connectMs: 0,
    transactMs: 10 * SECOND,
    onEnvelope: () => simulation.end,
  };
  simulation.world.setDomain("a.example", [host]);
  simulation.id = await simulation.send({ from, to: ["u@a.example"] });
  await simulation.clock.advance(SECOND);
  assert.equal(simulation.scheduler.state.counts.active, 1);
  return simulation;
}

const rowsOf = async ({ store }: SimulatedScheduling) => (await store.list({})).map(({ state }) => state);
const undone = ({ emitted }: SimulatedScheduling): readonly unknown[] =>
  emitted
    .filter(({ name }) => name === "queue.change-undone")
    .map(({ fields }) => `${String(fields["wanted"])}: ${String(fields["why"])}`);

test("what is being tried is counted apart, and changed when the attempt has failed", async () => {
  for (const [command, left, notices] of [
    [{ do: "remove", because: "junk" }, [], 0],
    [{ do: "bounce", because: "junk" }, [], 1],
    [{ do: "hold", because: "a look" }, ["held"], 0],
  ] as const) {
    const simulation = await tried();
    simulation.end = full;
    const changed = await simulation.scheduler.command({ ...command, selector: all });
    assert.deepEqual(changed, { envelopes: 0, asked: 1 }, command.do);
    assert.deepEqual(await rowsOf(simulation), ["queued"]);
    await simulation.clock.advance(MINUTE);
    assert.deepEqual(
      (await rowsOf(simulation)).filter((state) => state !== "queued"),
      left,
      command.do,
    );
    assert.equal(simulation.notices.length, notices, command.do);
    assert.deepEqual(undone(simulation), []);
  }
});

test("a wish that the attempt overtakes by a delivery or a return is told to have come too late", async () => {
  for (const [command, end, why] of [
    [{ do: "remove", because: "junk" }, undefined, "removed: too late, it had left the queue"],
    [{ do: "bounce", because: "junk" }, undefined, "returned: too late, it had left the queue"],
    [{ do: "hold", because: "a look" }, undefined, "held: too late, it had left the queue"],
    [{ do: "hold", because: "a look" }, nobody, "held: too late, it had left the queue"],
    [{ do: "remove", because: "junk" }, nobody, undefined],
    [{ do: "bounce", because: "junk" }, nobody, undefined],
  ] as const) {
    const simulation = await tried();
    simulation.end = end;
    await simulation.scheduler.command({ ...command, selector: all });
    await simulation.clock.advance(MINUTE);
    assert.equal(simulation.world.delivered.get(`${simulation.id}.1`), end === undefined ? 1 : undefined);
    assert.deepEqual(undone(simulation), why === undefined ? [] : [why], command.do);
  }
});

test("what asks for more stays when less is asked for after it, and takes the place of less", async () => {
  for (const [first, second] of [
    ["remove", "hold"],
    ["hold", "remove"],
    ["remove", "bounce"],
    ["bounce", "remove"],
  ] as const) {
    const simulation = await tried();
    simulation.end = full;
    await simulation.scheduler.command({ do: first, because: "junk", selector: all });
    const changed = await simulation.scheduler.command({ do: second, because: "junk", selector: all });
    assert.deepEqual(changed, second === "remove" ? { envelopes: 0, asked: 1 } : { envelopes: 0 });
    await simulation.clock.advance(MINUTE);
    assert.equal(simulation.notices.length, 0, `${first}, ${second}`);
    assert.ok(!(await rowsOf(simulation)).includes("held"));
    assert.equal(simulation.emitted.filter(({ name }) => name === "queue.removed-by-operator").length, 1);
  }
  const simulation = await tried();
  simulation.end = full;
  await simulation.scheduler.command({ do: "hold", because: "a look", selector: all });
  await simulation.scheduler.command({ do: "release", selector: all });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(await rowsOf(simulation), ["queued"]);
});

test("a return whose bounce cannot be made is answered as not done, with the reason, and the mail stays as it was", async () => {
  for (const isHeld of [true, false]) {
    const simulation = await tried({ scheduler: { retry: { spread: 0 } } });
    const { clock, scheduler, store } = simulation;
    simulation.end = full;
    simulation.onNotice = () => "fail";
    await clock.advance(MINUTE);
    if (isHeld) await scheduler.command({ do: "hold", because: "a look", selector: all });
    const before = await store.list({});
    const because = "its bounce could not be made: the notice cannot be made";
    const changed = await scheduler.command({ do: "bounce", because: "junk", selector: all });
    assert.deepEqual(changed, { envelopes: 0, undone: 1, because });
    assert.deepEqual(undone(simulation), [`returned: ${because}`]);
    assert.deepEqual(await store.list({}), before);
    // Its time had not come for this.
    const tries = simulation.world.happenings.filter(({ what }) => what === "transact").length;
    await clock.advance(5.4 * MINUTE);
    assert.equal(simulation.world.happenings.filter(({ what }) => what === "transact").length, tries);
    simulation.onNotice = () => "make";
    assert.deepEqual(await scheduler.command({ do: "bounce", because: "junk", selector: all }), { envelopes: 1 });
  }
});

test("a return that was asked for during an attempt and whose bounce cannot be made is told, and the mail is not tried at once", async () => {
  const simulation = await tried();
  simulation.end = full;
  simulation.onNotice = () => "fail";
  await simulation.scheduler.command({ do: "bounce", because: "junk", selector: all });
  await simulation.clock.advance(5 * MINUTE);
  assert.deepEqual(undone(simulation), ["returned: its bounce could not be made: the notice cannot be made"]);
  assert.equal(simulation.world.happenings.filter(({ what }) => what === "transact").length, 1);
  assert.deepEqual(await rowsOf(simulation), ["queued"]);
});

test("mail without a sender is not returned but dead, and a command says so", async () => {
  const simulation = await tried({}, "");
  simulation.end = full;
  await simulation.clock.advance(MINUTE);
  const changed = await simulation.scheduler.command({ do: "bounce", because: "junk", selector: all });
  assert.deepEqual(changed, { envelopes: 0, undone: 1, because: "it is kept as dead: it has no sender" });
  assert.deepEqual(await rowsOf(simulation), ["dead"]);
});

test("a return says of which mail only postmaster hears, and of which nobody does", async () => {
  const postmaster = { deadLetters: { to: "postmaster" } };
  for (const [from, wish, changed] of [
    ["joe@mail.example", "make", { envelopes: 1 }],
    ["joe@mail.example", "none", { envelopes: 1, untold: 1 }],
    ["", "make", { envelopes: 1, toPostmaster: 1 }],
  ] as const) {
    const simulation = await tried({ scheduler: postmaster }, from);
    simulation.end = full;
    simulation.onNotice = () => wish;
    await simulation.clock.advance(MINUTE);
    const command = { do: "bounce", because: "junk", selector: all } as const;
    assert.deepEqual(await simulation.scheduler.command(command), changed);
  }
});

test("mail without a way back is not returned but dead, and a command says so", async () => {
  const simulation = await tried();
  simulation.end = full;
  simulation.onNotice = () => "unroutable";
  await simulation.clock.advance(MINUTE);
  const changed = await simulation.scheduler.command({ do: "bounce", because: "junk", selector: all });
  const because = "it is kept as dead: there is no way to <joe@mail.example>: no such user here";
  assert.deepEqual(changed, { envelopes: 0, undone: 1, because });
  assert.deepEqual(await rowsOf(simulation), ["dead"]);
});

/** A store whose next write waits until it is let go. */
function heldUp(): { readonly store: Store; readonly hold: () => void; readonly letGo: () => void } {
  const inner = memoryStore();
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  const store = new Proxy(inner, {
    get(target, name) {
      if (name === "apply")
        return async (...given: Parameters<Store["apply"]>) => {
          await gate.promise;
          return target.apply(...given);
        };
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
  });
  return { store, hold: () => void (gate = Promise.withResolvers<void>()), letGo: () => gate.resolve() };
}

test("a command waits for a write that runs: what is still there then is changed, what is not is not counted", async () => {
  for (const [end, changed, left] of [
    [full, { envelopes: 1 }, ["held"]],
    [undefined, { envelopes: 0 }, []],
  ] as const) {
    const { store, hold, letGo } = heldUp();
    const simulation = await tried({ store });
    simulation.end = end;
    hold();
    await simulation.clock.advance(20 * SECOND);
    assert.equal(simulation.scheduler.state.counts.writing, 1);
    let isAnswered = false;
    const answer = simulation.scheduler.command({ do: "hold", because: "a look", selector: all });
    void answer.then(() => (isAnswered = true));
    await simulation.clock.advance(SECOND);
    assert.ok(!isAnswered);
    letGo();
    assert.deepEqual(await answer, changed);
    assert.deepEqual(await rowsOf(simulation), left);
    assert.equal(undone(simulation).length, end === undefined ? 1 : 0);
  }
});

test("a retry in the middle of a write is answered at once, and tried when that has ended", async () => {
  const { store, hold, letGo } = heldUp();
  const simulation = await tried({ store });
  const { clock, scheduler } = simulation;
  simulation.end = full;
  hold();
  await clock.advance(20 * SECOND);
  assert.equal(scheduler.state.counts.writing, 1);
  assert.deepEqual(await scheduler.command({ do: "retryNow", selector: all }), { envelopes: 0, asked: 1 });
  simulation.end = undefined;
  letGo();
  await clock.advance(20 * SECOND);
  assert.deepEqual(await rowsOf(simulation), []);
  assert.deepEqual(undone(simulation), []);
});

test("a retry in the middle of a write does not bring back what is to be held by then, unless it is named", async () => {
  for (const [selector, changed, left] of [
    [all, { envelopes: 0 }, ["held"]],
    [undefined, { envelopes: 0, asked: 1 }, []],
  ] as const) {
    const { store, hold, letGo } = heldUp();
    const simulation = await tried({ store });
    const { clock, scheduler, id } = simulation;
    simulation.end = full;
    hold();
    await clock.advance(20 * SECOND);
    const held = scheduler.command({ do: "hold", because: "a look", selector: all });
    const named = { by: "message", id: id } as const;
    assert.deepEqual(await scheduler.command({ do: "retryNow", selector: selector ?? named }), changed);
    simulation.end = undefined;
    letGo();
    assert.equal((await held).envelopes, selector === undefined ? 0 : 1);
    await clock.advance(20 * SECOND);
    assert.deepEqual(await rowsOf(simulation), left);
  }
});

test("what is suspended meanwhile stays so after a retry in the middle of a write", async () => {
  const { store, hold, letGo } = heldUp();
  const simulation = await tried({ store });
  const { clock, scheduler } = simulation;
  simulation.end = full;
  hold();
  await clock.advance(20 * SECOND);
  await scheduler.command({ do: "retryNow", selector: all });
  const suspended = scheduler.suspend({ level: "all", key: "*", because: "", by: "test", setAt: clock.now() });
  letGo();
  await suspended;
  await clock.advance(MINUTE);
  assert.equal(scheduler.state.counts.waiting, 1);
  assert.deepEqual(await rowsOf(simulation), ["queued"]);
});

test("another time is chosen in the middle of a write: it holds when that has ended", async () => {
  const { store, hold, letGo } = heldUp();
  const simulation = await tried({ store });
  const { clock, scheduler } = simulation;
  simulation.end = full;
  hold();
  await clock.advance(20 * SECOND);
  const at = clock.now() + 600 * MINUTE;
  const answer = scheduler.command({ do: "schedule", at, selector: all });
  letGo();
  assert.deepEqual(await answer, { envelopes: 1 });
  const [row] = await store.list({});
  assert.equal(row?.dueAt, at);
});

test("a removal that comes while a bounce is made is done when that cannot be", async () => {
  const simulation = await tried();
  const { clock, scheduler } = simulation;
  simulation.end = full;
  await clock.advance(MINUTE);
  simulation.onNotice = () => "fail";
  const [bounced, removed] = await Promise.all([
    scheduler.command({ do: "bounce", because: "junk", selector: all }),
    scheduler.command({ do: "remove", because: "junk", selector: all }),
  ]);
  assert.deepEqual([bounced.envelopes, bounced.undone, removed], [0, 1, { envelopes: 1 }]);
  assert.deepEqual(await rowsOf(simulation), []);
});

test("of two commands that wait for one write the one that asks for more is done, and the other answered", async () => {
  const { store, hold, letGo } = heldUp();
  const simulation = await tried({ store });
  simulation.end = full;
  hold();
  await simulation.clock.advance(20 * SECOND);
  const held = simulation.scheduler.command({ do: "hold", because: "a look", selector: all });
  const removed = simulation.scheduler.command({ do: "remove", because: "junk", selector: all });
  letGo();
  assert.deepEqual(await Promise.all([held, removed]), [{ envelopes: 0 }, { envelopes: 1 }]);
  assert.deepEqual(await rowsOf(simulation), []);
});

test("a server that stops before an attempt ends tells which wishes it forgets", async () => {
  const simulation = await tried();
  await simulation.scheduler.command({ do: "remove", because: "junk", selector: all });
  const stopping = simulation.scheduler.stop(SECOND);
  await simulation.clock.advance(2 * SECOND);
  await stopping;
  assert.deepEqual(undone(simulation), ["removed: the server stopped before its attempt ended; ask for it again"]);
  assert.deepEqual(await rowsOf(simulation), ["queued"]);
});

test("why: what is wanted of a mail that is being tried stands there", async () => {
  const simulation = await tried();
  await simulation.scheduler.command({ do: "remove", because: "junk", selector: all });
  const [ticket] = simulation.scheduler.state.tickets.values();
  assert.ok(ticket !== undefined);
  assert.match(
    hindrancesOf(simulation.scheduler.state, ticket)[0]?.text ?? "",
    /being tried .*; then it is removed, if it is still here$/,
  );
});

test("a hold that was asked for during an attempt is told as not done where the mail dies by that attempt", async () => {
  for (const from of ["joe@mail.example", ""]) {
    const simulation = await tried({}, from);
    simulation.end = nobody;
    simulation.onNotice = () => "unroutable";
    const changed = await simulation.scheduler.command({ do: "hold", because: "a look", selector: all });
    assert.deepEqual(changed, { envelopes: 0, asked: 1 });
    await simulation.clock.advance(MINUTE);
    assert.deepEqual(await rowsOf(simulation), ["dead"]);
    assert.deepEqual(undone(simulation), ["held: it is kept as dead"]);
  }
});
