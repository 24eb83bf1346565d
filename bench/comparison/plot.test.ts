import assert from "node:assert/strict";
import test from "node:test";
import { Figures } from "./figures.ts";
import { plotOf } from "./plot.ts";
import { leftOutOf, tablesOf } from "./table.ts";

function sample(): Figures {
  const figures = new Figures();
  for (const value of [300, 100, 200]) figures.add("accept", "10 sessions, 1 < 2", "rate", "Posthorn, single", value);
  figures.add("accept", "10 sessions, 1 < 2", "rate", "Postfix", 100);
  figures.add("accept", "50 sessions", "rate", "Exim", 50);
  return figures;
}

test("a plot has a bar for each server and cell, in proportion, with ours as a ratio to Postfix", () => {
  const svg = plotOf("Accept & keep", "rate", sample().rowsOf("accept")) ?? "";
  const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
  const [ours = 0, postfix = 0, exim = 0] = widths;
  assert.equal(widths.length, 3);
  assert.ok(Math.abs(ours - 2 * postfix) < 0.2 && Math.abs(postfix - 2 * exim) < 0.2, widths.join(" "));
  assert.match(svg, />200 \(× 2\.00\)</);
  assert.equal([...svg.matchAll(/\(× /g)].length, 1);
  assert.match(svg, /Accept &amp; keep/);
  assert.match(svg, /1 &lt; 2/);
  assert.match(svg, /prefers-color-scheme:dark/);
});

test("there is no plot of what was not measured", () => {
  assert.equal(plotOf("Accept", "memory", sample().rowsOf("accept")), undefined);
});

test("a table has a column for each server with a figure, the range of several samples, and a dash where one is missing", () => {
  const table = tablesOf("Accept", "accept", sample());
  assert.match(table, /\| messages a second \| Posthorn, single \| Postfix \| Exim \|/);
  assert.match(table, /\| 10 sessions, 1 < 2 \| 200 \[100–300\] \(× 2\.00\) \| 100 \| — \|/);
  assert.match(table, /\| 50 sessions \| — \| — \| 50 \|/);
});

test("who cannot do something is left out by name, with the reason", () => {
  assert.deepEqual(leftOutOf(["Postfix", "Haraka"], { task: { kind: "local" } }), [
    "Left out: Haraka. It has no local delivery.",
  ]);
  assert.match(leftOutOf(["OpenSMTPD"], { task: { kind: "keep" }, hasTls: true }).join(), /OpenSMTPD.*handshake/);
});
