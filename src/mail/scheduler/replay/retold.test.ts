import assert from "node:assert/strict";
import { test } from "node:test";
import { unreachable } from "../../../simulator/deliveries.ts";
import { NOON, simulatedScheduling } from "../../../simulator/scheduling.ts";
import { createSchedulerAdmin } from "../admin/admin.io.ts";
import type { RecordedInput } from "./replay.ts";
import { retell, type Retold } from "./retold.ts";
import { snapshot } from "./snapshot.ts";

const ALL = { fromAt: 0, untilAt: Infinity };
const steps = (told: readonly Retold[]): readonly string[] =>
  told.flatMap((one) => (one.kind === "step" ? [one.text] : []));

async function recorded() {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const admin = createSchedulerAdmin(simulation);
  const { world, clock } = simulation;
  world.setDomain("down.test", [{ name: "mx.down.test", ip: "192.0.2.1", onConnect: () => unreachable("192.0.2.1") }]);
  world.setDomain("up.test", [{ name: "mx.up.test", ip: "192.0.2.2" }]);
  const down = await simulation.send({ to: ["a@down.test"] });
  await clock.advance(100);
  const up = await simulation.send({ to: ["b@up.test"] });
  await clock.advance(2000);
  const resumedAt = clock.now();
  await admin.forgive("mx.down.test");
  await clock.advance(500_000);
  return { ...simulation, admin, down, up, resumedAt };
}

test("a recording is told step by step, with what was decided in each", async () => {
  const { inputs, up, down } = await recorded();
  const told = [...retell(inputs, ALL)];
  assert.deepEqual([told[0]?.kind, told.some((one) => one.kind === "broken")], ["start", false]);
  const text = steps(told).join("\n");
  assert.match(text, new RegExp(`^queued ${up}\\.1 <b@up\\.test> => .*resolve up\\.test`, "m"));
  assert.match(text, /^connected s\w+: .*Connection timed out.* => .*rests/m);
  assert.match(text, new RegExp(`^transacted s\\w+: ${up}\\.1 sent .* => .*write w\\d+: remove ${up}\\.1`, "m"));
  assert.match(text, new RegExp(`${down}\\.1 queued, due in 400 s`));
  assert.match(text, /^forgive command=\d+ which=mx\.down\.test => .*answer 1/m);
});

test("only what concerns an envelope, or a domain with its sessions, and only between two instants", async () => {
  const { inputs, up, down, resumedAt } = await recorded();
  const ofUp = steps([...retell(inputs, { ...ALL, about: `${up}.1` })]).join("\n");
  assert.match(ofUp, /sent/);
  assert.match(ofUp, /^written w\d+ => .*removed/m);
  assert.doesNotMatch(ofUp, new RegExp(`${down}|forgive`));
  const ofDown = steps([...retell(inputs, { ...ALL, about: "DOWN.test" })]).join("\n");
  assert.match(ofDown, /^connected s\w+: 4\.4\.1/m);
  assert.doesNotMatch(ofDown, new RegExp(up));
  const late = [...retell(inputs, { fromAt: resumedAt, untilAt: resumedAt + 1000 })];
  assert.ok(late.every((one) => one.kind === "start" || (one.at >= resumedAt && one.at <= resumedAt + 1000)));
  assert.match(steps(late)[0] ?? "", /^forgive/);
});

test("a start that the inputs before it do not lead to is a gap, one that they lead to is none", async () => {
  const { inputs, scheduler, clock } = await recorded();
  const start = { at: clock.now(), isStart: true, json: snapshot(scheduler.state) };
  const gaps = (all: readonly RecordedInput[]): readonly boolean[] =>
    [...retell(all, ALL)].flatMap((one) => (one.kind === "start" ? [one.isGap] : []));
  assert.deepEqual(gaps([...inputs, start]), [false, false]);
  const without = inputs.filter(({ json }) => !json.includes("forgive"));
  assert.deepEqual(gaps([...without, start]), [false, true]);
});

test("a recording that cannot be followed says so and is followed again from its next start", async () => {
  const { inputs } = await recorded();
  const bad = { at: NOON, isStart: false, json: '{"on":"command","command":1,"wants":{"do":"hold"}}' };
  const [first] = inputs;
  assert.ok(first?.isStart);
  const told = [...retell([first, bad, ...inputs], ALL)];
  assert.deepEqual(
    told.slice(0, 3).map(({ kind }) => kind),
    ["start", "broken", "start"],
  );
  assert.ok(steps(told).length > 5);
});

test("answers of real deliveries have properties that are undefined: that makes no gap", async () => {
  const simulation = simulatedScheduling({ wantsStart: (recorded) => recorded === 6 });
  const { world, clock } = simulation;
  const facts = { tls: undefined, mostRecipients: undefined };
  world.setDomain("up.test", [{ name: "mx.up.test", ip: "192.0.2.2", facts, transactMs: 5000 }]);
  await simulation.send({ to: ["a@up.test"] });
  await clock.advance(1000);
  await simulation.send({ to: ["b@up.test"] });
  await simulation.send({ to: ["c@up.test"] });
  await clock.advance(60_000);
  const starts = [...retell(simulation.inputs, ALL)].filter((one) => one.kind === "start");
  assert.deepEqual(
    starts.map(({ isGap }) => isGap),
    [false, false],
  );
});

test("an envelope is not another one whose number begins alike, nor a domain another one that ends alike", async () => {
  const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
  const { world, clock } = simulation;
  for (const [at, domain] of ["up.test", "back-up.test", "soup.test"].entries())
    world.setDomain(domain, [{ name: "mx.example", ip: `192.0.2.${at + 1}` }]);
  const id = await simulation.send({ to: Array.from({ length: 12 }, (_, n) => `u${n}@up.test`) });
  await clock.advance(60_000);
  await simulation.send({ to: ["x@back-up.test", "x@soup.test"] });
  await clock.advance(60_000);
  simulation.scheduler
    .command({ do: "hold", selector: { by: "envelope", id: `${id}.11` }, because: "gone" })
    .catch(() => {});
  const about = (what: string): string => steps([...retell(simulation.inputs, { ...ALL, about: what })]).join("\n");
  assert.match(about(`${id}.1`), /sent/);
  assert.doesNotMatch(about(`${id}.1`), /hold/);
  assert.match(about(`${id}.11`), /hold/);
  assert.match(about(id), /hold/);
  assert.doesNotMatch(about("up.test"), /back-up|soup/);
  assert.match(about("soup.test"), /sent/);
});
