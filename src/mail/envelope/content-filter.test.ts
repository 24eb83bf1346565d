import { test } from "node:test";
import assert from "node:assert/strict";
import { z } from "zod";
import { replyText } from "../../protocol/smtp/reply.ts";
import { inlineTable } from "../../service/table/tables.ts";
import { contentFilterActions, contentFilterChoice, isContentFilterAction, PLACED_LATER } from "./content-filter.ts";
import { contentFilterSetting } from "./content-filter-settings.ts";
import type { Envelope } from "./envelope.ts";
import type { SessionFactsForRules } from "./policy.ts";
import { rulesPolicy } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";

const schema = z.strictObject({
  local: localSettings,
  actions: actionsSettings,
  rules: rulesSettings,
  contentFilter: contentFilterSetting().optional(),
  listeners: z
    .array(z.strictObject({ name: z.string(), contentFilter: contentFilterSetting().optional() }))
    .default([]),
});

function policyOf(written: z.input<typeof schema>) {
  const settings = schema.parse({ local: { domains: ["example.org"], aliases: ["table:aliases"] }, ...written });
  const tables = new Map([
    ["aliases", inlineTable("aliases", { kind: "map", entries: { all: "joe, jane", out: "them@elsewhere.example" } })],
  ]);
  const contentFilters = contentFilterChoice(settings);
  return rulesPolicy({ hostname: "mail.example.org", ...settings, contentFilters }, tables);
}

const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "203.0.113.9",
  helo: "mx.stranger.example",
  isEncrypted: false,
  sender: "them@stranger.example",
};

async function ask(written: z.input<typeof schema>, recipient: string, listener = "smtp"): Promise<string> {
  const judged = await policyOf(written).judgeRecipient({ ...facts, listener }, recipient);
  if (judged.kind === "reject") return replyText(judged.reply);
  return judged.targets.map(({ action, recipient: to }) => `${action} ${to}`).join(", ");
}

const FILTER = "smtp://127.0.0.1:10025";

test("a recipient whose mail is filtered first is not expanded, and keeps the name that the client gave", async () => {
  const listeners = [{ name: "smtp", contentFilter: FILTER }];
  assert.equal(await ask({ listeners }, "all@example.org"), "content-filter:smtp all@example.org");
  assert.equal(await ask({}, "all@example.org"), "deliver joe@example.org, deliver jane@example.org");
});

test("the nearest that says something about the filter decides: rule, listener, all", async () => {
  const listeners = [
    { name: "smtp", contentFilter: FILTER },
    { name: "back", contentFilter: "none" },
    { name: "other" },
  ];
  const common = { contentFilter: "lmtp+unix:/run/filter", listeners };
  assert.equal(await ask(common, "joe@example.org"), "content-filter:smtp joe@example.org");
  assert.equal(await ask(common, "joe@example.org", "back"), "deliver joe@example.org");
  assert.equal(await ask(common, "joe@example.org", "other"), "content-filter: joe@example.org");
  for (const none of [null, []])
    assert.equal(
      await ask({ ...common, listeners: [{ name: "smtp", contentFilter: none }] }, "joe@example.org"),
      "deliver joe@example.org",
    );
  const rules: z.input<typeof rulesSettings> = [
    { name: "joes", match: { rcptTo: "joe@example.org" }, action: "deliver", contentFilter: "smtp://[::1]:10030" },
    { match: { rcptTo: "jane@example.org" }, action: "deliver", contentFilter: "none" },
    { match: { for: "local" }, action: "deliver" },
  ];
  assert.equal(await ask({ ...common, rules }, "joe@example.org"), "content-filter:rule:joes joe@example.org");
  assert.equal(await ask({ ...common, rules }, "jane@example.org"), "deliver jane@example.org");
  assert.equal(await ask({ ...common, rules }, "jim@example.org"), "content-filter:smtp jim@example.org");
  // The rule of the recipient himself, not of whom he stands for.
  assert.equal(await ask({ ...common, rules }, "all@example.org"), "content-filter:smtp all@example.org");
});

test("a filter opens nothing: what the rules refuse is refused before it", async () => {
  const listeners = [{ name: "smtp", contentFilter: FILTER }];
  assert.equal(await ask({ listeners }, "joe@elsewhere.example"), "550 5.7.1 relaying denied");
  const local = { domains: ["example.org"], users: ["joe"] };
  assert.match(await ask({ local, listeners }, "nobody@example.org"), /^550 5\.1\.1 /);
});

test("each filter of the settings is an action whose name no action that people write can have", () => {
  const settings = schema.parse({
    contentFilter: { to: [FILTER, "smtp://192.0.2.1"], connections: 3 },
    listeners: [
      { name: "smtp", contentFilter: [FILTER, "smtp://192.0.2.1"] },
      { name: "back", contentFilter: "none" },
    ],
    rules: [{ name: "joes", action: "deliver", contentFilter: FILTER }],
  });
  const actions = contentFilterActions(settings);
  assert.deepEqual(Object.keys(actions), ["content-filter:", "content-filter:smtp", "content-filter:rule:joes"]);
  for (const name of Object.keys(actions)) {
    assert.ok(isContentFilterAction(name));
    assert.equal(actionsSettings.safeParse({ [name]: { deliver: "discard" } }).success, false);
  }
  const [common, ofListener] = Object.values(actions);
  assert.deepEqual(ofListener?.kind === "relay" && ofListener.to, [FILTER, "smtp://192.0.2.1"]);
  assert.equal(common?.kind === "relay" && common.connections, 3);
  assert.deepEqual(common?.kind === "relay" && common.to, [FILTER, "smtp://192.0.2.1"]);
});

test("mail whose filter is gone goes where the rules say now, with what its sender asked for", async () => {
  const envelope: Envelope = {
    id: "00000000001.1",
    message: "00000000001",
    recipient: "all@example.org",
    notify: ["NEVER"],
    action: "content-filter:smtp",
  };
  const origin = { listener: "smtp", protocol: "ESMTP", session: "s1", address: "203.0.113.9" };
  const placed = await policyOf({}).placeUnfiltered({ sender: "them@stranger.example", origin }, envelope);
  assert.ok(placed.kind === "envelopes");
  assert.deepEqual(
    placed.envelopes.map(({ action, recipient, notify, givenRecipient }) => [
      action,
      recipient,
      notify,
      givenRecipient,
    ]),
    [
      ["deliver", "joe@example.org", ["NEVER"], "all@example.org"],
      ["deliver", "jane@example.org", ["NEVER"], "all@example.org"],
    ],
  );
});

test("a notice of ours whose way could not be found is placed by the rules when it is tried", async () => {
  const notice = { id: "M.1", message: "M", notify: ["NEVER"], action: PLACED_LATER } as const;
  const origin = { listener: "bounce", protocol: "local", session: "" };
  for (const [recipient, actions] of [
    ["joe@example.org", ["deliver"]],
    ["them@stranger.example", ["relay"]],
  ] as const) {
    const placed = await policyOf({}).placeUnfiltered({ sender: "", origin }, { ...notice, recipient });
    assert.ok(placed.kind === "envelopes");
    assert.deepEqual(
      placed.envelopes.map(({ action }) => action),
      actions,
    );
  }
});
