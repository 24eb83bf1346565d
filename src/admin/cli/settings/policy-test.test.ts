import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../../foundation/error.ts";
import { check } from "./check.ts";
import { parseGiven, type CliCommand } from "../command.ts";
import type { CaseOutcome, CompareRequest, Comparison } from "./policy-world.ts";
import { policyTest } from "./policy-test.ts";
import type { Output, World } from "../world.ts";

const FINE: CaseOutcome = { where: "cases.yaml:1:3", name: "one", isPassed: true, differences: [], unexpected: [] };
const WRONG: CaseOutcome = {
  where: "cases.yaml:5:3",
  name: "two\u0007",
  isPassed: false,
  differences: [{ what: "verdict", expected: "reject", found: "accept at message (250 Ok)" }],
  unexpected: ["DNS: MX of example.com"],
  problem: "first\nsecond",
};
const NOTHING: Comparison = { sessions: 3, unclear: 1, queued: 0, hasQueue: false, changes: [] };

async function call(
  command: CliCommand,
  argv: readonly string[],
  fakes: { readonly outcomes?: readonly CaseOutcome[]; readonly comparison?: Comparison } = {},
): Promise<{ code: number; out: string; compared: CompareRequest[] }> {
  let out = "";
  const compared: CompareRequest[] = [];
  const output: Output = {
    isTerminal: false,
    write: (text) => void (out += String(text)),
    room: () => Promise.resolve(),
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  };
  const noServer = new PosthornError("CONTROL_UNREACHABLE", { message: "no server", advice: "start it" });
  const world: Partial<World> = {
    stdout: output,
    stderr: output,
    now: () => 1_800_000_000_000,
    checkSettings: () => Promise.resolve({ isFine: true, lines: [], file: undefined }),
    locate: () => Promise.reject(noServer),
    testPolicy: (_request, tell) => {
      const outcomes = fakes.outcomes ?? [FINE];
      outcomes.forEach(tell);
      return Promise.resolve({ outcomes, settings: [undefined] });
    },
    comparePolicy: (request) => {
      compared.push(request);
      return Promise.resolve(fakes.comparison ?? NOTHING);
    },
  };
  // Only these parts of the world are touched.
  const code = await command.run(parseGiven(command, argv), world as World);
  return { code, out, compared };
}

test("cases are told a line each, with what differs below, and one that fails makes the exit status 1", async () => {
  const { code, out } = await call(policyTest, [], { outcomes: [FINE, WRONG] });
  assert.equal(code, 1);
  assert.deepEqual(out.split("\n"), [
    "ok    cases.yaml:1:3  one",
    "FAIL  cases.yaml:5:3  two\\x07",
    "        verdict: expected reject, found accept at message (250 Ok)",
    "        the network would have been asked, and the case says no answer: DNS: MX of example.com",
    "        first",
    "        second",
    "2 cases, 1 failed; tried with built-in settings",
    "",
  ]);
  assert.equal((await call(policyTest, [])).code, 0);
  assert.equal((await call(policyTest, ["-q"])).out, "1 case, 0 failed; tried with built-in settings\n");
});

test("no cases at all are no success", async () => {
  const { code, out } = await call(policyTest, [], { outcomes: [] });
  assert.equal(code, 1);
  assert.equal(out, "there are no cases\n");
});

test("a comparison looks back a day, or as far as is asked, without the queue where no server answers", async () => {
  const { code, out, compared } = await call(check, ["--compare", "old.yaml", "-f", "new.yaml"]);
  assert.equal(code, 0);
  assert.deepEqual(compared, [
    {
      settingsFile: "new.yaml",
      old: "old.yaml",
      journal: undefined,
      sinceAt: 1_800_000_000_000 - 86_400_000,
      most: 10_000,
      queued: undefined,
    },
  ]);
  assert.match(
    out,
    /3 recipients of sessions; 1 more .*; no queue, for no server answers\nall of them would be treated the same\n$/,
  );
  const week = await call(check, ["--compare", "old.yaml", "--since", "7d", "--limit", "5", "--journal", "j.db"]);
  assert.equal(week.compared[0]?.sinceAt, 1_800_000_000_000 - 7 * 86_400_000);
  assert.equal(week.compared[0]?.most, 5);
  assert.equal(week.compared[0]?.journal, "j.db");
});

test("changes are told with both sides and a few examples", async () => {
  const change = { of: "sessions", before: "accept", after: "reject", count: 7, examples: ["a", "b"] } as const;
  const { out } = await call(check, ["--compare", "old.yaml"], {
    comparison: { ...NOTHING, unclear: 0, changes: [change] },
  });
  assert.match(out, /7 recipients\n {2}before {2}accept\n {2}after {3}reject\n {4}a\n {4}b\n {4}… and 5 more\n$/);
  const { out: json } = await call(check, ["--compare", "old.yaml", "--json"]);
  assert.deepEqual(JSON.parse(json), NOTHING);
});

test("options of a comparison without one are refused", async () => {
  await assert.rejects(call(check, ["--since", "1d"]), { code: "USAGE", message: /--since goes with --compare/ });
});
