import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FILTER_PHASES, REPORT_EVENTS } from "./opensmtpd-filter.ts";
import { parseProgramLine } from "./program-lines.ts";

const SESSION = "7641df9771b4ed00";
const TOKEN = "1ef1c203cc576e5d";

test("a program registers events, all events, phases, and that it is ready", () => {
  assert.deepEqual(parseProgramLine("register|report|smtp-in|link-connect"), {
    kind: "wants-report",
    events: ["link-connect"],
  });
  assert.deepEqual(parseProgramLine("register|report|smtp-in|*"), { kind: "wants-report", events: REPORT_EVENTS });
  for (const phase of FILTER_PHASES)
    assert.deepEqual(parseProgramLine(`register|filter|smtp-in|${phase}`), { kind: "wants-filter", phase });
  assert.deepEqual(parseProgramLine("register|ready"), { kind: "ready" });
});

test("a program may want to hear of mail that leaves, of which nothing is told", () => {
  assert.deepEqual(parseProgramLine("register|report|smtp-out|tx-commit"), { kind: "wants-report", events: [] });
  assert.deepEqual(parseProgramLine("register|report|stats|*"), { kind: "wants-report", events: [] });
});

test("phases and events that there are not are told apart from those that there are", () => {
  for (const line of [
    "register|filter|smtp-in|teatime",
    "register|report|smtp-in|teatime",
    "register|filter|smtp-out|connect",
    "register|",
    "register",
    "",
  ])
    assert.equal(parseProgramLine(line).kind, "garbage", line);
});

test("a decision has a session and a token, with their zeros in front or without", () => {
  assert.deepEqual(parseProgramLine(`filter-result|${SESSION}|${TOKEN}|proceed`), {
    kind: "decision",
    ids: [SESSION, TOKEN],
    decision: { kind: "proceed" },
  });
  assert.deepEqual(parseProgramLine("filter-result|1A|0|junk"), {
    kind: "decision",
    ids: ["000000000000001a", "0000000000000000"],
    decision: { kind: "junk" },
  });
});

test("what a decision says may have bars in it", () => {
  assert.deepEqual(parseProgramLine(`filter-result|${SESSION}|${TOKEN}|reject|550 5.7.1 a|b`), {
    kind: "decision",
    ids: [SESSION, TOKEN],
    decision: { kind: "reject", parameter: "550 5.7.1 a|b" },
  });
});

test("decisions without what they need, with what they can't have, or unheard of, are garbage", () => {
  for (const said of ["reject", "disconnect", "rewrite", "report", "proceed|x", "junk|x", "accept", ""])
    assert.equal(parseProgramLine(`filter-result|${SESSION}|${TOKEN}|${said}`).kind, "garbage", said);
  for (const line of [`filter-result|${SESSION}|proceed`, `filter-result|x|${TOKEN}|proceed`, "filter-result"])
    assert.equal(parseProgramLine(line).kind, "garbage", line);
});

test("a line of content is taken as it stands, bars, bytes and nothing at all", () => {
  for (const line of ["", ".", "..", "a|b|", "\u00ff\u0000\t"])
    assert.deepEqual(parseProgramLine(`filter-dataline|${SESSION}|${TOKEN}|${line}`), {
      kind: "data-line",
      ids: [SESSION, TOKEN],
      line,
    });
});

test("what a program says to people is read as UTF-8", () => {
  const bytes = Buffer.from("grüße").toString("latin1");
  const line = parseProgramLine(`filter-result|${SESSION}|${TOKEN}|reject|550 ${bytes}`);
  assert.deepEqual(line.kind === "decision" && line.decision, { kind: "reject", parameter: "550 grüße" });
});

test("no line of bytes makes the reader throw", () => {
  const word = fc.constantFrom(
    "register",
    "filter-result",
    "filter-dataline",
    "report",
    "filter",
    "smtp-in",
    "ready",
    "proceed",
    "reject",
    SESSION,
  );
  const bytes = fc.uint8Array({ maxLength: 30 }).map((some) => Buffer.from(some).toString("latin1"));
  fc.assert(
    fc.property(fc.array(fc.oneof(word, bytes), { maxLength: 7 }), (parts) => {
      parseProgramLine(parts.join("|"));
    }),
  );
});
