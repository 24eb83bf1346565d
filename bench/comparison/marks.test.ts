import assert from "node:assert/strict";
import test from "node:test";
import { markedCell } from "./cells.ts";
import type { ContenderName } from "./contender.ts";
import { Figures, type Measure } from "./figures.ts";
import { marksFor, verdictsOf, verdictTable, type Verdict } from "./marks.ts";

const marks = marksFor(
  { part: "deferred", cell: "100,000 envelopes" },
  { part: "idle", cell: "1,000 sessions, STARTTLS" },
);
const parts = ["accept", "tls", "relay", "deferred", "idle"];
const oneEach = markedCell("accept", ({ keepsSession }) => !keepsSession);
const manyEach = markedCell("accept", ({ keepsSession }) => keepsSession);

function found(part: string, cell: string, measure: Measure, values: Partial<Record<ContenderName, number>>): Figures {
  const figures = new Figures();
  for (const [name, value] of Object.entries(values)) figures.add(part, cell, measure, name as ContenderName, value);
  return figures;
}

function verdict(figures: Figures, mark: RegExp, layout = "single"): Verdict {
  const all = verdictsOf(marks, figures, parts).filter((one) => mark.test(one.mark) && one.name.endsWith(layout));
  assert.equal(all.length, 1, String(mark));
  return all[0] as Verdict;
}

test("a rate mark is a ratio to Postfix, and holds from the ratio itself on", () => {
  const figures = found("accept", oneEach, "rate", {
    "Posthorn, single": 2500,
    "Posthorn, split": 2499,
    Postfix: 1000,
  });
  assert.equal(verdict(figures, /one message each: rate/).holds, true);
  assert.equal(verdict(figures, /one message each: rate/, "split").holds, false);
});

test("the best peer is the one with the least CPU, or the highest rate, and mail that is only held does not count", () => {
  const cpu = found("accept", manyEach, "cpu", {
    "Posthorn, single": 0.3,
    Postfix: 1.4,
    Exim: 0.91,
    "Postfix, held": 0.5,
  });
  const ofCpu = verdict(cpu, /CPU ≤ ⅓/);
  assert.match(ofCpu.found, /0\.33 × .*Exim/);
  assert.equal(ofCpu.holds, true);
  const cell = markedCell("relay", () => true);
  const rate = found("relay", cell, "rate", { "Posthorn, single": 2000, Postfix: 400, Haraka: 501 });
  assert.match(verdict(rate, /relay/).found, /3\.99 × .*Haraka/);
  assert.equal(verdict(rate, /relay/).holds, false);
});

test("what Node alone comes to stands beside each mark that is a ratio, and is nobody's peer", () => {
  const figures = found("accept", manyEach, "cpu", {
    "Posthorn, single": 0.4,
    OpenSMTPD: 0.5,
    "Node, bare": 0.2,
    "Node, stores": 0.3,
  });
  const { found: text, bare, stores } = verdict(figures, /CPU ≤ ⅓/);
  assert.match(text, /0\.80 × .*OpenSMTPD/);
  assert.equal(bare, "0.40 ×");
  assert.equal(stores, "0.60 ×");
  assert.match(verdictTable(verdictsOf(marks, figures, parts)), /OpenSMTPD.*\| \*\*no\*\* \| 0\.40 × \| 0\.60 × \|/);
  assert.equal(verdict(new Figures(), /idle TLS/).bare, "");
});

test("a figure or a peer that is missing leaves the mark not shown", () => {
  assert.equal(verdict(new Figures(), /idle TLS/).holds, undefined);
  const alone = found("accept", oneEach, "rate", { "Posthorn, single": 2500 });
  assert.equal(verdict(alone, /one message each: rate/).holds, undefined);
  assert.match(verdictTable(verdictsOf(marks, alone, parts)), /not shown/);
});

test("of parts that were not asked for there is no verdict", () => {
  const asked = verdictsOf(marks, new Figures(), ["relay"]);
  assert.deepEqual(
    asked.map(({ mark, name }) => `${mark} ${name}`).filter((text) => !text.startsWith("relay")),
    [],
  );
  assert.equal(asked.length, 2);
});

test("marks in seconds and kilobytes need nobody beside us", () => {
  const list = found("deferred", "100,000 envelopes", "list", { "Posthorn, single": 1.1, "Posthorn, split": 2.4 });
  assert.equal(verdict(list, /list/).holds, true);
  assert.equal(verdict(list, /list/, "split").holds, false);
});
