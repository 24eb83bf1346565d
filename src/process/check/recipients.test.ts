import assert from "node:assert/strict";
import { test } from "node:test";
import { mailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import { actionsSettings } from "../../mail/envelope/action-settings.ts";
import { localSettings } from "../../mail/envelope/settings.ts";
import { recipientProblems } from "./recipients.ts";

function problems(
  local: Parameters<typeof localSettings.parse>[0],
  actions: Parameters<typeof actionsSettings.parse>[0] = {},
  mailbox: Parameters<typeof mailboxSettings.parse>[0] = {},
): { readonly named: readonly string[]; readonly told: readonly string[] } {
  const named: string[] = [];
  const found = recipientProblems(
    {
      local: localSettings.parse(local),
      actions: actionsSettings.parse(actions),
      mailbox: mailboxSettings.parse(mailbox),
    },
    {
      table: (name, path) => void named.push(`${path.join(".")}: ${name}`),
      action: (name, path) => void named.push(`${path.join(".")}: ${name}`),
    },
  );
  return { named, told: found.map(({ path, severity, text }) => `${severity} ${path.join(".")}: ${text}`) };
}

test("every table and action that recipients name is looked at", () => {
  const { named } = problems(
    {
      aliases: ["table:a", "table:b"],
      virtual: [{ domains: "table:c", aliases: "table:d", users: "table:e", action: "boxes" }],
    },
    { boxes: { deliver: "maildir", path: "/m/{domain}/{user}" }, far: { relay: {}, virtual: "table:f" } },
  );
  assert.deepEqual(named, [
    "local.aliases.0: a",
    "local.aliases.1: b",
    "local.virtual.0.domains: c",
    "local.virtual.0.aliases: d",
    "local.virtual.0.users: e",
    "local.virtual.0.action: boxes",
    "actions.far.virtual: f",
  ]);
});

test("mailboxes of two domains that would be one are refused, and a virtual domain with nobody in it", () => {
  const boxes = { virtual: [{ domains: "v.example", users: "kim@v.example" }] };
  assert.match(problems(boxes).told.join(), /^error local\.virtual\.0\.users: .*one mailbox/);
  assert.deepEqual(problems(boxes, {}, { maildir: "/m/{recipient}" }).told, []);
  assert.deepEqual(problems(boxes, { deliver: { deliver: "mbox", path: "/m/{domain}/{user}" } }).told, []);
  assert.deepEqual(problems(boxes, { deliver: { relay: {} } }).told, []);
  assert.deepEqual(problems(boxes, {}, { user: "vmail" }).told, []);
  assert.match(problems({ virtual: [{ domains: "v.example" }] }).told.join(), /nobody can be there/);
});

test("folders of lists that nothing may include are told of", () => {
  assert.deepEqual(problems({ includeFolders: "/lists" }).told, []);
  assert.match(problems({ includeFolders: "/lists", includesFrom: ["forward"] }).told.join(), /^warning /);
});
