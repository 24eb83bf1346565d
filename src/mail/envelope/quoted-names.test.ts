import assert from "node:assert/strict";
import { test } from "node:test";
import { replyText } from "../../protocol/smtp/reply.ts";
import { createTables } from "../../service/table/tables.ts";
import type { SessionFactsForRules } from "./policy.ts";
import { rulesPolicy } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";

const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "203.0.113.9",
  isEncrypted: false,
  sender: "them@stranger.example",
};

/** `action recipient`, or the reply; `patterns` is the text of `table:patterns`. */
async function ask(
  local: Parameters<typeof localSettings.parse>[0],
  recipient: string,
  patterns = "",
): Promise<string> {
  const tables = createTables(
    { patterns: { kind: "file", file: "/patterns", syntax: "regexp" } },
    () => ({ current: () => Promise.resolve({ ok: true, text: patterns, version: 1 }) }),
    () => {},
  );
  const settings = {
    local: localSettings.parse(local),
    actions: actionsSettings.parse({}),
    rules: rulesSettings.parse(undefined),
  };
  const judged = await rulesPolicy({ hostname: "mail.example.org", ...settings }, tables).judgeRecipient(
    stranger,
    recipient,
  );
  if (judged.kind === "reject") return replyText(judged.reply);
  return judged.targets.map(({ action, recipient: to }) => `${action} ${to}`).join(", ");
}

test("a quoted name that looks like an address is no address to a table of patterns, and relays nothing", async () => {
  const local = { domains: ["example.org"], aliases: ["table:patterns"], users: ["jane"] };
  for (const [patterns, recipient] of [
    ["/^(.+)-bounces$/ $1", '"victim@elsewhere.example-bounces"@example.org'],
    ["/^(.+)-bounces/ $1", '"victim@elsewhere.example-bounces+x"@example.org'],
    ['/^"?(.+?)-bounces/ $1', '"victim@elsewhere.example-bounces"@example.org'],
    ["/^([^@]+@[^@-]+)-/ $1", '"victim@elsewhere.example-bounces"@example.org'],
    ["/(victim@[a-z.]+)/ $1", '"victim@elsewhere.example"@example.org'],
  ] as const)
    assert.match(await ask(local, recipient, patterns), /^(?:550 5\.1\.1|451 4\.)/, `${patterns} for ${recipient}`);
  assert.equal(await ask(local, "jane-bounces@example.org", "/^(\\w+)-bounces$/ $1"), "deliver jane@example.org");
  assert.equal(
    await ask(local, "jane-old@example.org", "/^(\\w+)-old(@example.org)$/ $1$2"),
    "deliver jane@example.org",
  );
});

test("a quoted name that another's address is has no mailbox for that", async () => {
  const virtual = [
    { domains: ["a.example"], users: ["alice@a.example", "bob@b.example"] },
    { domains: ["b.example"], users: ["bob@b.example"] },
  ];
  const primary = { domains: ["example.org"], users: ["jane", "bob@b.example"] };
  for (const local of [{ ...primary, virtual }, primary])
    for (const domain of [...("virtual" in local ? ["a.example"] : []), "example.org"])
      for (const name of ['"bob@b.example"', '"bob@b.example+x"'])
        assert.match(await ask(local, `${name}@${domain}`), /^550 5\.1\.1/, `${name}@${domain}`);
  assert.equal(await ask({ ...primary, virtual }, "alice@a.example"), "deliver alice@a.example");
});

test("a name that a list leaves out has no extensions either, and an address counts for more than its name", async () => {
  const left = { domains: ["example.org"], users: ["@example.org", "!spam@example.org", "spam+box@example.org"] };
  for (const name of ["spam", "spam+x", "SPAM+x+y"])
    assert.match(await ask(left, `${name}@example.org`), /^550 5\.1\.1/, name);
  for (const name of ["joe", "joe+x", "spam+box"])
    assert.equal(await ask(left, `${name}@example.org`), `deliver ${name}@example.org`);
  const two = { domains: ["example.org", "example.net"], users: ["jane", "!jane@example.net"] };
  for (const name of ["jane", "jane+x"]) {
    assert.equal(await ask(two, `${name}@example.org`), `deliver ${name}@example.org`);
    assert.match(await ask(two, `${name}@example.net`), /^550 5\.1\.1/, name);
  }
});
