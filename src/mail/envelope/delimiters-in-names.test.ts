import assert from "node:assert/strict";
import { test } from "node:test";
import { inlineTable } from "../../service/table/tables.ts";
import type { UserDirectory } from "../../service/account/users.ts";
import { parseAliasTargets } from "../../protocol/address/alias-targets.ts";
import { rulesPolicy, type RulesPolicy } from "./rules.ts";
import { localSettings } from "./settings.ts";

/** Users whose own names hold a delimiter, beside those whose names end there. */
const USERS = ["anna", "anna-maria", "joe", "shop+de"];

const local = { domains: ["example.org"], users: USERS, aliases: "table:aliases", extensionDelimiter: "+-" };

function host(over: object = {}, aliases: Readonly<Record<string, string>> = {}, users?: UserDirectory): RulesPolicy {
  return rulesPolicy(
    { hostname: "mx.example.org", local: localSettings.parse({ ...local, ...over }), actions: {} },
    new Map([["aliases", inlineTable("aliases", { kind: "map", entries: aliases })]]),
    { users },
  );
}

const facts = { listener: "smtp", clientAddress: "192.0.2.7", isEncrypted: false, sender: "sam@elsewhere.example" };

/** Each target: its recipient, and whose mailbox that is, where the envelope says it. */
async function targets(policy: RulesPolicy, recipient: string): Promise<readonly string[]> {
  const judged = await policy.judgeRecipient(facts, recipient);
  assert.ok(judged.kind === "accept", JSON.stringify(judged));
  return judged.targets.map(
    ({ recipient: to, target }) =>
      `${to}${target?.kind === "user" ? ` of ${target.user}${target.isFinal ? " at last" : ""}` : ""}`,
  );
}

async function forward(policy: RulesPolicy, from: string, name: string | undefined, text: string): Promise<unknown> {
  const answer = await policy.expandForward({
    message: { sender: "sam@elsewhere.example" },
    envelope: {
      id: "06A7Q2MK0W1.1",
      message: "06A7Q2MK0W1",
      recipient: from,
      notify: [],
      action: "deliver",
      ...(name === undefined ? {} : { target: { kind: "user", user: name, isFinal: false } }),
    },
    user: "whoever",
    where: ".forward",
    targets: parseAliasTargets(text).targets,
  });
  assert.ok(answer.kind === "envelopes", JSON.stringify(answer));
  return answer.envelopes.map(
    ({ recipient, target }) =>
      `${recipient}${target?.kind === "user" ? ` of ${target.user}${target.isFinal ? " at last" : ""}` : ""}`,
  );
}

test("the envelope says whose mailbox it is where that is not the name before the delimiter", async () => {
  const policy = host();
  assert.deepEqual(await targets(policy, "anna@example.org"), ["anna@example.org"]);
  assert.deepEqual(await targets(policy, "anna-x@example.org"), ["anna-x@example.org"]);
  assert.deepEqual(await targets(policy, "Anna-Maria@example.org"), ["Anna-Maria@example.org of anna-maria"]);
  assert.deepEqual(await targets(policy, "shop+de@example.org"), ["shop+de@example.org of shop+de"]);
});

test("so it does of the system's users, and of those of a virtual domain", async () => {
  const system: UserDirectory = {
    find: async (name) =>
      USERS.includes(name) ? { kind: "found", user: { name, uid: 1, gid: 1, home: "/" } } : { kind: "none" },
  };
  const ofSystem = host({ users: "system" }, {}, system);
  assert.deepEqual(await targets(ofSystem, "anna-maria@example.org"), ["anna-maria@example.org of anna-maria"]);
  assert.deepEqual(await targets(ofSystem, "anna-x@example.org"), ["anna-x@example.org"]);
  const users = USERS.map((name) => `${name}@boxes.example`);
  const virtual = host({ virtual: [{ domains: ["boxes.example"], users }] });
  assert.deepEqual(await targets(virtual, "anna-maria@boxes.example"), ["anna-maria@boxes.example of anna-maria"]);
  assert.deepEqual(await targets(virtual, "anna-x@boxes.example"), ["anna-x@boxes.example"]);
});

test("where nothing says who the users are, or a wildcard does, the name ends before the delimiter", async () => {
  assert.deepEqual(await targets(host({ users: undefined }), "anna-maria@example.org"), ["anna-maria@example.org"]);
  const open = host({ users: ["@example.org"] });
  assert.deepEqual(await targets(open, "anna-maria@example.org"), ["anna-maria@example.org"]);
});

test("an alias leads to the user of the whole name, with a backslash, too", async () => {
  const policy = host({}, { team: "anna, anna-maria", real: "\\anna-maria, \\anna-x" });
  assert.deepEqual(await targets(policy, "team@example.org"), [
    "anna@example.org",
    "anna-maria@example.org of anna-maria",
  ]);
  assert.deepEqual(await targets(policy, "real@example.org"), [
    "anna-maria@example.org of anna-maria at last",
    "anna-x@example.org of anna at last",
  ]);
});

test("the owner of a list with a delimiter in its name is that list's own", async () => {
  const policy = host(
    {},
    { "sales-team": "anna, joe", "owner-sales": "joe", "owner-sales-team": "anna", sales: "joe", "owner-joe": "anna" },
  );
  const senderOf = async (list: string): Promise<string | undefined> => {
    const judged = await policy.judgeRecipient(facts, `${list}@example.org`);
    assert.ok(judged.kind === "accept");
    return judged.targets.at(-1)?.sender;
  };
  assert.equal(await senderOf("sales-team"), "owner-sales-team@example.org");
  assert.equal(await senderOf("sales"), "owner-sales@example.org");
  assert.equal(await senderOf("sales-x"), "owner-sales@example.org");
});

test("what a .forward leads to is the user's own mailbox only if it is the user's", async () => {
  const policy = host({}, { "anna-sales": "joe", "anna-loop": "anna", "anna-own": "anna-own, joe" });
  const ofAnna = (text: string): Promise<unknown> => forward(policy, "anna@example.org", undefined, text);
  assert.deepEqual(await ofAnna("anna, anna-x, anna-maria"), [
    "anna@example.org of anna at last",
    "anna-x@example.org of anna at last",
    "anna-maria@example.org of anna-maria",
  ]);
  assert.deepEqual(await ofAnna("anna-sales"), ["joe@example.org"]);
  assert.deepEqual(await ofAnna("anna-loop"), ["anna@example.org of anna at last"]);
  // Who is reached by an address that her .forward names, too, would be reached by it for ever.
  assert.deepEqual(await forward(policy, "anna-own@example.org", undefined, "anna-own"), [
    "anna-own@example.org of anna at last",
  ]);
  const ofMaria = (text: string): Promise<unknown> => forward(policy, "anna-maria@example.org", "anna-maria", text);
  assert.deepEqual(await ofMaria("anna-maria, joe"), [
    "anna-maria@example.org of anna-maria at last",
    "joe@example.org",
  ]);
  assert.deepEqual(await ofMaria("anna"), ["anna@example.org"]);
});
