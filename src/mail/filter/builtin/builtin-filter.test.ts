import assert from "node:assert/strict";
import { test } from "node:test";
import { createTables } from "../../../service/table/tables.ts";
import { tablesSettings } from "../../../service/table/settings.ts";
import { testFacts, testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import type { FilterFacts, FilterQuestion, StageVerdict } from "../filter.ts";
import { builtinFilter } from "./builtin-filter.ts";
import { builtinFilterSettings } from "./settings.ts";

const facts = testFacts();
const signal = new AbortController().signal;
const tables = createTables(
  tablesSettings.parse({ bad: { list: ["spam.example", "192.0.2.0/24"] } }),
  () => assert.fail("no files here"),
  () => {},
);
const world = { ...testFilterWorld(), tables };

function filter(settings: object): ReturnType<typeof builtinFilter> {
  // As settings come to the processes that receive mail.
  return builtinFilter("b", structuredClone(builtinFilterSettings.parse(settings)), world);
}

function said(
  settings: object,
  question: Partial<FilterQuestion> = {},
  changed: Partial<FilterFacts> = {},
): Promise<StageVerdict> {
  const asked = { stage: "connect", facts: { ...facts, ...changed }, ...question } as FilterQuestion;
  return filter(settings).open(asked.facts).ask(asked, signal);
}

const GO_AWAY = { reject: "550 5.7.1 go away" };
const refused = async (...of: Parameters<typeof said>): Promise<boolean> => (await said(...of)).kind === "refuse";

test("without conditions the action is always taken", async () => {
  assert.deepEqual(await said({ phase: "connect", action: GO_AWAY }), {
    kind: "refuse",
    reply: { code: 550, status: "5.7.1", lines: ["go away"] },
  });
  assert.equal((await said({ phase: "connect", action: { disconnect: "421 bye" } })).kind, "disconnect");
});

test("clients without a confirmed name can be told apart from those with one", async () => {
  const settings = { phase: "connect", match: { fcrdns: false }, action: GO_AWAY };
  assert.equal(await refused(settings), false);
  assert.equal(await refused(settings, {}, { client: { address: "192.0.2.1" } }), true);
});

test("a name is asked by pattern, table and regular expression, negated or not", async () => {
  const by = (rdns: unknown): Promise<boolean> => refused({ phase: "connect", match: { rdns }, action: GO_AWAY });
  assert.equal(await by("*.example.net"), true);
  assert.equal(await by("*.example.org"), false);
  assert.equal(await by("/^CLIENT\\./"), true);
  assert.equal(await by("!/^client\\./"), false);
  assert.equal(await by(["/^x/", "/net$/"]), true);
  assert.equal(await by("table:bad"), false);
});

test("an address is asked by network, table and regular expression", async () => {
  const by = (src: unknown): Promise<boolean> => refused({ phase: "connect", match: { src }, action: GO_AWAY });
  assert.equal(await by("192.0.2.0/24"), true);
  assert.equal(await by("!192.0.2.0/24"), false);
  assert.equal(await by("table:bad"), true);
  assert.equal(await by("/^192\\./"), true);
});

test("all that is mentioned must hold, and nothing under `not`", async () => {
  const match = { src: "192.0.2.0/24", not: { auth: "any" } };
  const settings = { phase: "mail-from", match, action: GO_AWAY };
  assert.equal(await refused(settings, { stage: "mail" }), true);
  assert.equal(await refused(settings, { stage: "mail" }, { account: "alice" }), false);
  assert.equal(await refused({ ...settings, match: { ...match, helo: "other.example" } }, { stage: "mail" }), false);
});

test("HELO and EHLO are phases of their own, and the name is the one that is being said", async () => {
  const helo = (verb: "HELO" | "EHLO" | "LHLO", phase: string | string[]): Promise<boolean> =>
    refused({ phase, match: { helo: "/^spam\\./" }, action: GO_AWAY }, { stage: "helo", verb, name: "spam.example" });
  assert.equal(await helo("HELO", "helo"), true);
  assert.equal(await helo("EHLO", "helo"), false);
  assert.equal(await helo("LHLO", "ehlo"), true);
  assert.equal(await helo("EHLO", ["helo", "ehlo"]), true);
});

test("sender and recipient are asked by pattern, the null sender too", async () => {
  const mail = (mailFrom: unknown, sender: string): Promise<boolean> =>
    refused(
      { phase: "mail-from", match: { mailFrom }, action: GO_AWAY },
      { stage: "mail", facts: testFacts({}, { sender }) },
    );
  assert.equal(await mail("<>", ""), true);
  assert.equal(await mail("<>", "a@example.net"), false);
  assert.equal(await mail("@example.net", "A@Example.NET"), true);
  assert.equal(
    await refused(
      { phase: "rcpt-to", match: { rcptTo: "/^bob\\+/" }, action: GO_AWAY },
      { stage: "rcpt", recipient: { address: "bob+x@example.org", parameters: [] } },
    ),
    true,
  );
});

test("an argument is rewritten, filters behind are bypassed, a line is told", async () => {
  assert.deepEqual(await said({ phase: "mail-from", action: { rewrite: "<x@example.org>" } }, { stage: "mail" }), {
    kind: "rewrite",
    to: "x@example.org",
  });
  assert.deepEqual(await said({ phase: "connect", action: "bypass" }), { kind: "bypass" });
  assert.deepEqual(await said({ phase: "connect", action: { report: "somebody came" } }), { kind: "proceed" });
  assert.ok(world.told.includes("filter.said filter b: somebody came"));
});

test("what is junk is marked when it is there, and what came from there before is not forgotten", async () => {
  const junk = filter({ phase: "connect", action: "junk" });
  assert.deepEqual([...junk.stages], ["connect", "message"]);
  const dialogue = junk.open(facts);
  assert.deepEqual((await dialogue.ask({ stage: "connect", facts }, signal)).tags, ["junk"]);
  for (let mails = 0; mails < 2; mails++) {
    const verdict = await dialogue.judge(testMail("Subject: x\n\nx\n"), signal);
    assert.deepEqual(verdict.edits, [{ edit: "add-field", name: "X-Spam", value: "yes", at: 0 }]);
  }
});

test("junk for one recipient is that mail and no other", async () => {
  const dialogue = filter({ phase: "rcpt-to", match: { rcptTo: "@example.org" }, action: "junk" }).open(facts);
  const recipient = { address: "bob@example.org", parameters: [] };
  await dialogue.ask({ stage: "rcpt", facts, recipient }, signal);
  assert.equal((await dialogue.judge(testMail("Subject: x\n\nx\n"), signal)).edits?.length, 1);
  assert.equal((await dialogue.judge(testMail("Subject: x\n\nx\n"), signal)).edits?.length, 0);
});

test("a mail can be refused when it is complete", async () => {
  const dialogue = filter({ phase: "commit", match: { mailFrom: "alice@example.net" }, action: GO_AWAY }).open(facts);
  assert.equal((await dialogue.judge(testMail("Subject: x\n\nx\n"), signal)).fate.kind, "refuse");
  const other = testMail("Subject: x\n\nx\n", { mail: { sender: "eve@example.net" } });
  assert.equal((await dialogue.judge(other, signal)).fate.kind, "keep");
});

test("a table that cannot be asked is a failure, and no no", async () => {
  await assert.rejects(said({ phase: "connect", match: { rdns: "table:ghost" }, action: GO_AWAY }), {
    code: "FILTER_FAILED",
  });
});

test("settings that cannot be meant so are refused", () => {
  for (const settings of [
    { phase: "connect", action: { rewrite: "x" } },
    { phase: "commit", action: "bypass" },
    { phase: "connect", action: { reject: "go away" } },
    { phase: "connect", action: { reject: "550 x", disconnect: "421 x" } },
    { phase: "connect", action: {} },
    { phase: "mail-from", match: { rcptTo: "@x.example" }, action: "junk" },
    { phase: ["ehlo", "data"], match: { mailFrom: "@x.example" }, action: "junk" },
    { phase: "connect", match: { not: { mailFrom: "<>" } }, action: "junk" },
    { phase: ["connect", "ehlo"], match: { helo: "x.example" }, action: "junk" },
    { phase: "connect", match: { rdns: "/(/" }, action: "junk" },
    { phase: "teatime", action: "junk" },
  ])
    assert.equal(builtinFilterSettings.safeParse(settings).success, false, JSON.stringify(settings));
});
