import assert from "node:assert/strict";
import { test } from "node:test";
import { nameIn } from "./core-settings.ts";
import { runExperiment } from "./experiment.ts";
import { plotOf } from "./plot.ts";
import { reportText } from "./report-text.ts";
import { scenarioOf, type WrittenScenario } from "./scenario.ts";

const written: WrittenScenario = {
  name: "limits",
  says: "One host <slow> & far away.",
  until: "1d",
  world: { hosts: { mx: { latency: "1s" } }, domains: { there: { mx: [{ host: "mx" }] } } },
  workloads: { list: { mails: 200, to: "there" }, single: { mails: 3, to: "there", begins: "1m", over: "1m" } },
  variants: {
    narrow: { set: { "route.limits.host": 1 } },
    wide: { set: { "route.limits.host": 5 } },
    alone: { without: ["list"] },
  },
  expect: [
    { what: "more connections are faster", figure: "list.p100", run: "wide", atMost: 0.5, timesThatOf: "narrow" },
    { what: "all arrives", figure: "single.deliveredShare", atLeast: 1 },
    { what: "magic", figure: "single.p50", run: "narrow", atMost: "1ms" },
  ],
};

test("variants are runs of their own, and what must hold is judged with its figures", () => {
  const report = runExperiment(scenarioOf(written));
  assert.deepEqual(
    report.runs.map(({ name }) => name),
    ["narrow", "wide", "alone"],
  );
  assert.deepEqual(
    report.judgements.map(({ what, isMet }) => [what, isMet]),
    [
      ["more connections are faster", true],
      ["all arrives", true],
      ["all arrives", true],
      ["all arrives", true],
      ["magic", false],
    ],
  );
  assert.equal(report.isFine, false);
  assert.equal(report.runs[2]?.figures.workloads["list"], undefined);
  const text = reportText(report);
  assert.match(text, /== narrow: /);
  assert.match(text, /^FAILS {2}magic \(single\.p50 of narrow: .*, at most 1 ms\)$/m);
});

test("an expectation about what there is not is not met", () => {
  const scenario = scenarioOf({ ...written, expect: [{ what: "nothing", figure: "list.beauty", atMost: 1 }] });
  assert.equal(runExperiment(scenario, { variant: "wide" }).isFine, false);
});

test("settings of an installation win over the scenario's, and single ones over both", () => {
  const own = scenarioOf({ ...written, variants: {}, expect: [], settings: { route: { limits: { host: 1 } } } });
  const most = (options: Parameters<typeof runExperiment>[1]): number =>
    runExperiment(own, options).runs[0]?.figures.hosts["mx"]?.mostConnections ?? 0;
  // One that is leaving may still be seen beside its successor.
  assert.ok(most({}) <= 2);
  assert.ok(most({ settings: { route: { limits: { host: 4, route: 4 } } } }) >= 3);
  assert.ok(most({ settings: { route: { limits: { host: 4 } } }, set: { "route.limits.host": 1 } }) <= 2);
});

test("settings of an installation win over the scenario's in whichever spelling each has them", () => {
  const own = { ...written, variants: {}, expect: [] };
  const mails = (scenarios: object, files: object): number =>
    runExperiment(scenarioOf({ ...own, settings: { route: { limits: scenarios } } }), {
      settings: { route: { limits: { host: 1, relay: 1, ...files } } },
    }).runs[0]?.figures.run.connections ?? 0;
  const [few, many] = [mails({}, { mailsPerSession: 100 }), mails({}, { mailsPerSession: 2 })];
  assert.ok(many > 10 * few);
  assert.equal(mails({ mailsPerSession: 100 }, { "mails-per-session": 2 }), many);
  assert.equal(mails({ "mails-per-session": 2 }, { mailsPerSession: 100 }), few);
});

test("domains and hosts are no settings that could be spelled otherwise", () => {
  const base = { "mx-1.example": { rate: "1/h" }, penaltyStep: 1 };
  assert.equal(nameIn(base, "mx1.example"), "mx1.example");
  assert.equal(nameIn(base, "penalty-step"), "penaltyStep");
});

test("a setting is compared with one run for each of its values", () => {
  const scenario = scenarioOf({ ...written, variants: {}, expect: [] });
  const report = runExperiment(scenario, { compare: { path: "route.limits.host", values: [1, 5] } });
  assert.deepEqual(
    report.runs.map(({ name }) => name),
    ["1", "5"],
  );
  const [slow, fast] = report.runs.map((run) => run.figures.workloads["list"]?.p100 ?? 0);
  assert.ok((fast ?? 0) < (slow ?? 0) / 2);
});

test("settings that there are not are refused with their name", () => {
  const scenario = scenarioOf({ ...written, variants: {}, expect: [] });
  assert.throws(() => runExperiment(scenario, { set: { "route.limits.hosst": 5 } }), /hosst/);
  assert.throws(() => runExperiment(scenario, { set: { "route.limits.host": "many" } }), /route\.limits\.host/);
});

test("names of a scenario must mean something", () => {
  assert.throws(
    () => scenarioOf({ ...written, workloads: { list: { mails: 1, to: "ther" } } }),
    /did you mean there\?/,
  );
  assert.throws(() => scenarioOf({ ...written, variants: { wide: { without: ["lists"] } } }), /did you mean list\?/);
  assert.throws(() => scenarioOf({ ...written, expect: [{ what: "x", figure: "host.my.mails", atMost: 1 }] }), /mx\?/);
});

test("the picture is whole, names each curve once, and takes no text for markup", () => {
  const svg = plotOf(runExperiment(scenarioOf({ ...written, name: "a <b> & c" })));
  assert.match(svg, /^<svg xmlns/);
  assert.match(svg, /a &lt;b&gt; &amp; c/);
  assert.equal(svg.match(/<title>/g)?.length, 5, "two curves of two runs, one of the third");
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  assert.equal((svg.match(/<(?!\/)[a-z]+[^>]*[^/]>/g) ?? []).length, (svg.match(/<\/[a-z]+>/g) ?? []).length);
});
