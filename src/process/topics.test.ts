import assert from "node:assert/strict";
import { test } from "node:test";
import type { Emit } from "../foundation/events.ts";
import { virtualClock } from "../simulator/clock.ts";
import { Topics, TopicTraces } from "./topics.ts";

function traced() {
  const clock = virtualClock(1_000_000);
  const lines: string[] = [];
  const emit: Emit = (event, fields) => {
    if (event.name === "trace.line") lines.push(event.line(fields) ?? "");
  };
  const topics = new Topics(clock, emit);
  const traces = new TopicTraces({ clock, emit, tell: (switches) => topics.take(switches) });
  return { clock, lines, topics, traces };
}

test("a trace is on from when it is set to its end, and only lines with its filter are shown", async () => {
  const { clock, lines, topics, traces } = traced();
  const mta = topics.of("mta");
  assert.equal(mta.isOn, false);
  mta.show("before");
  await traces.set({ topic: "mta", filter: "Example", forMs: 10_000 });
  assert.deepEqual([mta.isOn, topics.of("dns").isOn], [true, false]);
  mta.show("to mx.example.org");
  mta.show("to mx.other.test");
  await traces.set({ topic: "mta", forMs: 5000 });
  mta.show("to mx.other.test");
  await clock.advance(5001);
  mta.show("again to mx.other.test");
  await clock.advance(5001);
  assert.equal(mta.isOn, false);
  assert.deepEqual(await traces.list(), []);
  assert.deepEqual(lines, ["trace mta: to mx.example.org", "trace mta: to mx.other.test"]);
});

test("traces end one by one, by topic, or all, and a process that begins late is told of those that hold", async () => {
  const { clock, topics, traces } = traced();
  const one = await traces.set({ topic: "dns", filter: "a", forMs: 60_000 });
  await traces.set({ topic: "dns", filter: "b", forMs: 60_000 });
  await traces.set({ topic: "smtp", forMs: 60_000 });
  await traces.end(one);
  assert.deepEqual(
    (await traces.list()).map(({ topic, filter }) => [topic, filter]),
    [
      ["dns", "b"],
      ["smtp", undefined],
    ],
  );
  const late = new Topics(clock, () => {});
  late.take(traces.switches);
  assert.ok(late.of("smtp").isOn);
  assert.deepEqual(await traces.remove("dns"), { removed: 1 });
  assert.deepEqual([topics.of("dns").isOn, topics.of("smtp").isOn], [false, true]);
  assert.deepEqual(await traces.remove(undefined), { removed: 1 });
  assert.equal(topics.of("smtp").isOn, false);
  late.close();
});

test("whoever follows a trace ends nobody else's, and hears when it is ended", async () => {
  const { clock, topics, traces } = traced();
  const gone: string[] = [];
  const follow = (who: string, forMs: number) => traces.set({ topic: "smtp", forMs, onGone: () => gone.push(who) });
  await traces.set({ topic: "smtp", forMs: 60_000 });
  const first = await follow("first", 30_000);
  const second = await follow("second", 2000);
  await traces.end(second);
  assert.deepEqual([gone, (await traces.list()).length], [[], 2]);
  await traces.set({ topic: "smtp", forMs: 1000 });
  await clock.advance(1001);
  assert.ok(topics.of("smtp").isOn, "the first is still being followed");
  await traces.end(first);
  assert.equal(topics.of("smtp").isOn, false);
  await follow("third", 30_000);
  assert.deepEqual(await traces.remove("smtp"), { removed: 1 });
  assert.deepEqual([gone, topics.of("smtp").isOn], [["third"], false]);
});
