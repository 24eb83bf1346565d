import assert from "node:assert/strict";
import { test } from "node:test";
import { tableWriter, textTable } from "./text-table.ts";

const COLUMNS = [{ title: "ID" }, { title: "SIZE", align: "right" }, { title: "WHY" }] as const;

test("columns are as wide as their widest cell, numbers stand right, and no line ends in blanks", () => {
  const rows = [
    ["a", "1", ""],
    ["longer", "12345", "because"],
  ];
  assert.equal(textTable(COLUMNS, rows), "ID       SIZE  WHY\na           1\nlonger  12345  because\n");
});

test("characters count, not code units, and what would act on a terminal is shown as text", () => {
  const lines = textTable(COLUMNS, [
    ["müller😀", "1", "x"],
    ["a\x1b[2J", "1", "x\\y"],
  ]).split("\n");
  assert.deepEqual(lines.slice(1, 3), ["müller😀      1  x", "a\\x1b[2J     1  x\\\\y"]);
});

test("a later portion has no titles, and a longer cell widens what follows", () => {
  const write = tableWriter(COLUMNS);
  assert.equal(write([["a", "1", "x"]]), "ID  SIZE  WHY\na      1  x\n");
  assert.equal(write([["longer", "1", "x"]]), "longer     1  x\n");
  assert.equal(write([["a", "1", "x"]]), "a          1  x\n");
});

test("cells wider than any usual one are aligned, too", () => {
  const wide = "w".repeat(150);
  assert.equal(
    textTable(COLUMNS, [
      [wide, "1", "x"],
      ["a", "1", "x"],
    ]).split("\n")[2],
    `a${" ".repeat(149)}     1  x`,
  );
});
