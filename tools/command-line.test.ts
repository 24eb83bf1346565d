import assert from "node:assert/strict";
import { test } from "node:test";
import { readCommandLine } from "./command-line.ts";

const read = (...words: string[]) =>
  readCommandLine(
    "try",
    "tries",
    {
      minutes: { value: "N", says: "how long", default: "10", number: { least: 0, whole: false } },
      rounds: { value: "N", says: "how many", number: { least: 1, whole: true } },
      only: { value: "NAME,...", says: "some", among: { names: ["cut", "kill"], many: true } },
      layout: { value: "NAME", says: "one", among: { names: ["single", "split"], many: false } },
    },
    words,
  );

test("values are given as written, with what is usual for those that are not", () => {
  const line = read("--rounds", "3", "--only=kill,cut", "--layout", "split");
  assert.deepEqual(line, {
    kind: "values",
    values: { minutes: "10", rounds: "3", only: "kill,cut", layout: "split" },
  });
  assert.deepEqual(read("--minutes", "0.5"), { kind: "values", values: { minutes: "0.5" } });
});

test("a word that is not known, or a value that is none, is told in one line, and nothing is done", () => {
  for (const [words, why] of [
    [["--round", "3"], "Unknown option '--round'"],
    [["3"], "Unexpected argument '3'"],
    [["--rounds"], "Option '--rounds <value>' argument missing"],
    [["--rounds", "many"], '--rounds takes a whole number from 1 on, not "many"'],
    [["--rounds", "0"], '--rounds takes a whole number from 1 on, not "0"'],
    [["--rounds", "1.5"], '--rounds takes a whole number from 1 on, not "1.5"'],
    [["--minutes", "1e3"], '--minutes takes a number, not "1e3"'],
    [["--only", "cut,kil"], '--only takes some of cut, kill, not "cut,kil"'],
    [["--layout", "single,split"], '--layout takes one of single, split, not "single,split"'],
  ] as const) {
    const line = read(...words);
    assert.ok(line.kind === "end", words.join(" "));
    assert.equal(line.status, 2);
    assert.ok(line.text.startsWith(`try: ${why}`), line.text);
    assert.match(line.text, /^[^\n]+; --help shows what it takes\n$/);
  }
});

test("the help has a line for each option, with what is usual and what may stand there", () => {
  const line = read("--rounds", "x", "--help");
  assert.deepEqual(line, {
    kind: "end",
    status: 0,
    text: [
      "try: tries",
      "  --minutes N      how long (10)",
      "  --rounds N       how many",
      "  --only NAME,...  some: cut, kill",
      "  --layout NAME    one: single, split",
      "",
    ].join("\n"),
  });
});
