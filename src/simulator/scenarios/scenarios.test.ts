import assert from "node:assert/strict";
import { test } from "node:test";
import { runExperiment } from "../experiment.ts";
import { scenarioOf } from "../scenario.ts";
import { shippedScenarios } from "./catalogue.ts";

for (const { name, says, make } of shippedScenarios) {
  test(`${name}: what must hold does, in its small size`, () => {
    assert.notEqual(says, "");
    const { judgements } = runExperiment(scenarioOf(make("small")));
    assert.ok(judgements.length > 0, "something is expected of it");
    for (const one of judgements)
      assert.ok(
        one.isMet,
        `${one.what}: ${one.figure} of ${one.run} is ${one.value}, at most ${one.atMost}, at least ${one.atLeast}`,
      );
  });
  test(`${name}: its full size is one that can be run`, () => {
    scenarioOf(make("full"));
  });
}
