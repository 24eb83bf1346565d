import { test } from "node:test";
import assert from "node:assert/strict";
import { z } from "zod";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { Table } from "../../service/table/table.ts";
import { inlineTable, type Tables } from "../../service/table/tables.ts";
import type { Judgement, SessionFactsForRules } from "./policy.ts";
import { rulesPolicy, type ChosenTargets } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";

const settingsSchema = z.strictObject({ local: localSettings, actions: actionsSettings, rules: rulesSettings });

const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "203.0.113.9",
  helo: "mx.stranger.example",
  isEncrypted: false,
  sender: "them@stranger.example",
};

const table = (name: string, ...items: string[]): [string, Table] => [name, inlineTable(name, { kind: "list", items })];
const broken: [string, Table] = [
  "broken",
  {
    name: "broken",
    lookup: () => Promise.resolve({ kind: "failed", text: "no connection" }),
    exact: () => Promise.resolve({ kind: "failed", text: "no connection" }),
    has: () => Promise.resolve({ kind: "failed", text: "no connection" }),
    hasExact: () => Promise.resolve({ kind: "failed", text: "no connection" }),
  },
];

function policy(written: z.input<typeof settingsSchema> = {}, ...tables: [string, Table][]) {
  const settings = settingsSchema.parse(written);
  return rulesPolicy({ hostname: "mail.example.org", ...settings }, new Map(tables) satisfies Tables);
}

/** `action recipient`, or the reply. */
async function ask(
  written: z.input<typeof settingsSchema> | undefined,
  facts: Partial<SessionFactsForRules>,
  recipient: string,
  ...tables: [string, Table][]
): Promise<string> {
  const judged = await policy(written, ...tables).judgeRecipient({ ...stranger, ...facts }, recipient);
  if (judged.kind === "reject") return replyText(judged.reply);
  return judged.targets.map((target) => `${target.action} ${target.recipient}`).join(", ");
}

const DENIED = "550 5.7.1 relaying denied";

test("without rules, mail for this host is delivered, whoever brings it", async () => {
  for (const domain of ["localhost", "mail.example.org", "MAIL.Example.Org", "[127.0.0.1]", "[IPv6:::1]"])
    assert.equal(await ask({}, {}, `joe@${domain}`), `deliver joe@${domain}`);
});

test("without rules, nobody relays but this host and who is logged in", async () => {
  assert.equal(await ask({}, {}, "joe@elsewhere.example"), DENIED);
  assert.equal(await ask({}, { clientAddress: "127.0.0.1" }, "joe@elsewhere.example"), "relay joe@elsewhere.example");
  assert.equal(await ask({}, { clientAddress: "127.9.9.9" }, "joe@elsewhere.example"), "relay joe@elsewhere.example");
  assert.equal(await ask({}, { clientAddress: "::1" }, "joe@elsewhere.example"), "relay joe@elsewhere.example");
  assert.equal(await ask({}, { clientAddress: undefined }, "joe@elsewhere.example"), "relay joe@elsewhere.example");
  assert.equal(await ask({}, { account: "jane" }, "joe@elsewhere.example"), "relay joe@elsewhere.example");
  assert.equal(await ask({}, { helo: "localhost", clientName: "localhost" }, "joe@elsewhere.example"), DENIED);
});

test("no recipient tricks a closed server into relaying", async () => {
  for (const recipient of [
    "joe%elsewhere.example@another.example",
    '"joe@localhost"@elsewhere.example',
    "joe@localhost.elsewhere.example",
    "joe@elsewhere.example.",
    "a!b@elsewhere.example",
  ])
    assert.equal(await ask({}, {}, recipient), DENIED, recipient);
});

test("the first rule that matches decides, and without a match the recipient is refused", async () => {
  const written: z.input<typeof settingsSchema> = {
    actions: { no: { reject: { text: "not you" } }, smart: { relay: { to: "smtps://relay.example" } } },
    rules: [
      { match: { from: "203.0.113.0/24", mailFrom: "@spam.example" }, action: "no" },
      { match: { for: "*.example.net" }, action: "smart" },
    ],
  };
  assert.equal(await ask(written, { sender: "x@spam.example" }, "joe@a.example.net"), "550 5.7.1 not you");
  assert.equal(await ask(written, {}, "joe@a.example.net"), "smart joe@a.example.net");
  assert.equal(await ask(written, {}, "joe@example.net"), DENIED);
  assert.equal(await ask(written, { clientAddress: "127.0.0.1" }, "joe@localhost"), DENIED);
});

const CONDITIONS: readonly (readonly [
  match: z.input<typeof rulesSettings>,
  facts: Partial<SessionFactsForRules>,
  recipient: string,
  isMatch: boolean,
])[] = [
  [[{ match: { from: "any" }, action: "relay" }], {}, "a@b.example", true],
  [[{ match: { from: "192.0.2.0/24" }, action: "relay" }], { clientAddress: "192.0.2.77" }, "a@b.example", true],
  [[{ match: { from: "192.0.2.0/24" }, action: "relay" }], { clientAddress: "::ffff:192.0.2.77" }, "a@b.example", true],
  [
    [{ match: { from: ["any", "!192.0.2.0/24"] }, action: "relay" }],
    { clientAddress: "192.0.2.77" },
    "a@b.example",
    false,
  ],
  [[{ match: { from: "!192.0.2.0/24" }, action: "relay" }], { clientAddress: "198.51.100.1" }, "a@b.example", true],
  [[{ match: { from: "auth" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { from: "table:friends" }, action: "relay" }], { clientAddress: "2001:db8::9" }, "a@b.example", true],
  [[{ match: { from: "table:friends" }, action: "relay" }], { clientAddress: undefined }, "a@b.example", false],
  [[{ match: { auth: "any" }, action: "relay" }], { account: "jane" }, "a@b.example", true],
  [[{ match: { auth: "jane" }, action: "relay" }], { account: "Jane" }, "a@b.example", true],
  [[{ match: { auth: "!jane" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { not: { auth: "any" }, from: "any" }, action: "relay" }], { account: "jane" }, "a@b.example", false],
  [[{ match: { tls: true, from: "any" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { tls: true, from: "any" }, action: "relay" }], { isEncrypted: true }, "a@b.example", true],
  [[{ match: { tag: "inside" }, action: "relay" }], { tag: "inside" }, "a@b.example", true],
  [[{ match: { tag: "inside" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { listener: ["a", "smtp"] }, action: "relay" }], {}, "a@b.example", true],
  [[{ match: { helo: "*.stranger.example" }, action: "relay" }], {}, "a@b.example", true],
  [[{ match: { helo: "*.stranger.example" }, action: "relay" }], { helo: undefined }, "a@b.example", false],
  [
    [{ match: { helo: "mx.stranger.example" }, action: "relay" }],
    { helo: "MX.stranger.example." },
    "a@b.example",
    true,
  ],
  [
    [{ match: { helo: "!mx.stranger.example" }, action: "relay" }],
    { helo: "mx.stranger.example." },
    "a@b.example",
    false,
  ],
  [[{ match: { for: "local" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { for: "!local" }, action: "relay" }], {}, "a@b.example", true],
  [[{ match: { for: ["b.example", "c.example"] }, action: "relay" }], {}, "a@B.Example", true],
  [[{ match: { for: "bücher.example" }, action: "relay" }], {}, "a@xn--bcher-kva.example", true],
  [[{ match: { rcptTo: "a@b.example" }, action: "relay" }], {}, "A@b.example", true],
  [[{ match: { rcptTo: ["@b.example", "!x@b.example"] }, action: "relay" }], {}, "x@b.example", false],
  [[{ match: { mailFrom: "<>" }, action: "relay" }], { sender: "" }, "a@b.example", true],
  [[{ match: { mailFrom: "<>" }, action: "relay" }], {}, "a@b.example", false],
  [[{ match: { mailFrom: "*.example" }, action: "relay" }], { sender: "" }, "a@b.example", false],
  [[{ match: { mailFrom: "table:friends" }, action: "relay" }], { sender: "joe@friend.example" }, "a@b.example", true],
];

for (const [rules, facts, recipient, isMatch] of CONDITIONS) {
  test(`a rule ${JSON.stringify(rules?.[0]?.match)} ${isMatch ? "holds" : "does not hold"} of ${JSON.stringify({ ...facts, recipient })}`, async () => {
    const friends = table("friends", "2001:db8::/32", "friend.example");
    assert.equal(await ask({ rules }, facts, recipient, friends), isMatch ? `relay ${recipient}` : DENIED);
  });
}

test("an unknown user of a local domain is refused when users are known, whatever the action", async () => {
  const written: z.input<typeof settingsSchema> = {
    local: { domains: ["example.org", "example.net"], users: ["joe", "jane@example.net", "@open.example"] },
    actions: { lmtp: { relay: { to: "lmtp+unix:/run/lmtp" } } },
    rules: [{ match: { for: "local" }, action: "lmtp" }],
  };
  const UNKNOWN = "550 5.1.1 no such user here";
  assert.equal(await ask(written, {}, "joe@example.org"), "lmtp joe@example.org");
  assert.equal(await ask(written, {}, "JOE@example.net"), "lmtp JOE@example.net");
  assert.equal(await ask(written, {}, "joe+lists@example.org"), "lmtp joe+lists@example.org");
  assert.equal(await ask(written, {}, '"joe"@example.org'), 'lmtp "joe"@example.org');
  assert.equal(await ask(written, {}, "jane@example.org"), UNKNOWN);
  assert.equal(await ask(written, {}, "jane@example.net"), "lmtp jane@example.net");
  assert.equal(await ask(written, {}, "joey@example.org"), UNKNOWN);
  assert.equal(
    await ask({ ...written, local: { ...written.local, extensionDelimiter: "" } }, {}, "joe+lists@example.org"),
    UNKNOWN,
  );
});

test("postmaster is always accepted, with and without a domain, even behind a rule that refuses all", async () => {
  const written: z.input<typeof settingsSchema> = {
    local: { domains: ["example.org"], users: ["joe"], postmaster: "joe" },
    actions: { no: { reject: {} } },
    rules: [{ match: {}, action: "no" }],
  };
  assert.equal(await ask(written, {}, "postmaster"), "deliver joe@example.org");
  assert.equal(await ask(written, {}, "PostMaster"), "deliver joe@example.org");
  assert.equal(await ask(written, {}, "Postmaster@example.org"), "deliver joe@example.org");
  assert.equal(await ask(written, {}, "joe@example.org"), "550 5.7.1 refused by policy");
  assert.equal(await ask(written, {}, "postmaster@elsewhere.example"), "550 5.7.1 refused by policy");
  assert.equal(await ask({}, {}, "postmaster"), "deliver postmaster@mail.example.org");
});

test("a postmaster elsewhere gets the mail by relay, though the client may not relay", async () => {
  const written: z.input<typeof settingsSchema> = { local: { postmaster: "admin@hosting.example" } };
  assert.equal(await ask(written, {}, "postmaster"), "relay admin@hosting.example");
  assert.equal(await ask(written, {}, "admin@hosting.example"), DENIED);
});

test("a table that cannot be asked puts the client off, and never decides", async () => {
  const LATER = "451 4.3.0 a lookup failed here; please try again later";
  assert.equal(await ask({ local: { domains: "table:broken" } }, {}, "a@b.example", broken), LATER);
  assert.equal(await ask({ local: { users: "table:broken" } }, {}, "a@localhost", broken), LATER);
  assert.equal(
    await ask({ rules: [{ match: { from: "!table:broken" }, action: "relay" }] }, {}, "a@b.example", broken),
    LATER,
  );
  assert.equal(
    await ask(
      { rules: [{ match: { from: "any", not: { mailFrom: "table:broken" } }, action: "relay" }] },
      {},
      "a@b.example",
      broken,
    ),
    LATER,
  );
  const before: z.input<typeof rulesSettings> = [
    { match: { for: "b.example" }, action: "relay" },
    { match: { from: "table:broken" }, action: "relay" },
  ];
  assert.equal(await ask({ rules: before }, {}, "a@b.example", broken), "relay a@b.example");
});

test("our own notices find their action whoever may give us mail", async () => {
  const own = policy({
    actions: { smart: { relay: { to: "smtps://relay.example" } }, no: { reject: {} } },
    rules: [
      { match: { from: "203.0.113.0/24" }, action: "no" },
      { match: { for: "local" }, action: "deliver" },
      { match: { auth: "any", tls: true, not: { tag: "outside" } }, action: "smart" },
    ],
  });
  assert.deepEqual(await own.chooseTargets("joe@elsewhere.example"), {
    kind: "targets",
    targets: [{ action: "smart", recipient: "joe@elsewhere.example" }],
  });
  assert.deepEqual(await own.chooseTargets("joe@localhost"), {
    kind: "targets",
    targets: [{ action: "deliver", recipient: "joe@localhost" }],
  });
  assert.deepEqual(await own.chooseTargets("postmaster"), {
    kind: "targets",
    targets: [{ action: "deliver", recipient: "postmaster@mail.example.org" }],
  });
});

test("what we have to tell postmaster finds him, whatever table has our domains, by his alias or as the settings say", async () => {
  type Local = NonNullable<z.input<typeof settingsSchema>["local"]>;
  const at = (local: Local) =>
    policy({ local, actions: { smart: { relay: { to: "smtps://relay.example" } } } }, table("domains", "example.org"), [
      "aliases",
      inlineTable("aliases", { kind: "map", entries: { postmaster: "ann" } }),
    ]).chooseTargets("postmaster@mail.example.org");
  const cases: readonly (readonly [Local, recipient: string, action: string])[] = [
    [{}, "postmaster@mail.example.org", "deliver"],
    [{ aliases: ["table:aliases"], postmaster: "jane" }, "ann@mail.example.org", "deliver"],
    [{ postmaster: "jane", users: ["jane"] }, "jane@mail.example.org", "deliver"],
    [{ postmaster: "me@far.example" }, "me@far.example", "relay"],
  ];
  for (const [local, recipient, action] of cases) {
    const found = await at({ domains: "table:domains", ...local });
    assert.deepEqual(
      found.kind === "targets" && found.targets.map((target) => [target.recipient, target.action]),
      [[recipient, action]],
      recipient,
    );
  }
});

test("what we have to tell postmaster ends here where the host calls itself localhost, and is not called so elsewhere", async () => {
  type Local = NonNullable<z.input<typeof settingsSchema>["local"]>;
  const aliases = inlineTable("aliases", { kind: "map", entries: { postmaster: "ann" } });
  const targetsOf = async (
    local: Local,
    more: Partial<z.input<typeof settingsSchema>> = {},
  ): Promise<readonly string[]> => {
    const own = policy({ local: { domains: ["localhost"], ...local }, ...more }, ["aliases", aliases]);
    const found = await own.chooseTargets("postmaster@mail.example.org");
    return found.kind === "targets"
      ? found.targets.map(({ action, recipient }) => `${action} ${recipient}`)
      : [found.kind];
  };
  assert.deepEqual(await targetsOf({}), ["deliver postmaster@localhost"]);
  assert.deepEqual(await targetsOf({ aliases: ["table:aliases"] }), ["deliver ann@localhost"]);
  assert.deepEqual(await targetsOf({ postmaster: "jane", users: ["jane"] }), ["deliver jane@localhost"]);
  const smart = { actions: { smart: { relay: { to: "smtps://relay.example" } } }, rules: [{ action: "smart" }] };
  assert.deepEqual(await targetsOf({}, smart), ["smart postmaster@mail.example.org"]);
  assert.deepEqual(await targetsOf({ postmaster: "jane" }, smart), ["smart jane@mail.example.org"]);
});

test("a rule about other clients or their spam takes neither notices nor what aliases and postmaster stand for", async () => {
  const settings = settingsSchema.parse({
    actions: { junk: { deliver: "maildir", path: "/junk" }, bulk: { relay: { to: "smtp://bulk.example" } } },
    local: { aliases: ["table:aliases"] },
    rules: [
      { match: { tag: "spam", for: "local" }, action: "junk" },
      { match: { helo: "dynamic.example", for: "local" }, action: "junk" },
      { match: { tag: "spam" }, action: "bulk" },
      { match: { for: "local" }, action: "deliver" },
      { match: { tag: "inside" }, action: "relay" },
    ],
  });
  const aliases = inlineTable("aliases", { kind: "map", entries: { team: "joe, far@elsewhere.example" } });
  const own = rulesPolicy(
    { hostname: "mail.example.org", ...settings, listenerTags: new Set(["inside"]) },
    new Map([["aliases", aliases]]),
  );
  const actionsOf = (found: Judgement | ChosenTargets): readonly string[] =>
    "targets" in found ? found.targets.map(({ action }) => action) : [found.kind];
  // Notices, and what filters and policy servers add.
  assert.deepEqual(actionsOf(await own.chooseTargets("joe@localhost")), ["deliver"]);
  assert.deepEqual(actionsOf(await own.chooseTargets("far@elsewhere.example")), ["relay"]);
  for (const [facts, joe, far] of [
    [{}, "deliver", "relay"],
    [{ tags: ["spam"] }, "junk", "bulk"],
    [{ helo: "dynamic.example" }, "junk", "relay"],
  ] as const) {
    const client = { ...stranger, ...facts };
    assert.deepEqual(actionsOf(await own.judgeRecipient(client, "team@localhost")), [joe, far]);
    assert.deepEqual(actionsOf(await own.judgeRecipient(client, "postmaster@localhost")), [joe]);
  }
});

test("our own notices go out even where rules let nothing out, but not to a user we do not have", async () => {
  const own = policy({ local: { users: ["joe"] }, rules: [{ match: { for: "local" }, action: "deliver" }] });
  assert.deepEqual(await own.chooseTargets("a@elsewhere.example"), {
    kind: "targets",
    targets: [{ action: "relay", recipient: "a@elsewhere.example" }],
  });
  assert.deepEqual(await own.chooseTargets("jane@localhost"), { kind: "none", because: "no such user here" });
});

test("whoever is refused gets the reply of the rule, whatever the rule asked for", async () => {
  const actions = { busy: { reject: { code: 450, status: "4.7.25", text: "not today" } }, no: { reject: {} } };
  const asked: readonly (readonly [
    NonNullable<z.input<typeof rulesSettings>>[number]["match"],
    Partial<SessionFactsForRules>,
  ])[] = [
    [{ mailFrom: "<>" }, { sender: "" }],
    [{ mailFrom: ["*.stranger.example", "stranger.example"] }, {}],
    [{ mailFrom: "them@stranger.example", for: "b.example" }, {}],
    [{ helo: "mx.stranger.example" }, {}],
    [{ from: "203.0.113.0/24" }, {}],
    [{ tls: false }, {}],
    [{ listener: "smtp" }, {}],
    [{ tag: "junk" }, { tags: ["junk"] }],
    [{ auth: "eve" }, { account: "eve" }],
    [{ not: { auth: "any" } }, {}],
    [{ rcptTo: "a@b.example" }, {}],
    [{ for: "!local" }, {}],
  ];
  for (const [match, facts] of asked) {
    for (const [action, reply] of [
      ["busy", "450 4.7.25 not today"],
      ["no", "550 5.7.1 refused by policy"],
    ] as const) {
      const rules = [{ name: "closed", match, action }, { action: "relay" }];
      assert.equal(await ask({ actions, rules }, facts, "a@b.example"), reply, JSON.stringify(match));
      const judged = await policy({ actions, rules }).judgeRecipient({ ...stranger, ...facts }, "a@b.example");
      assert.equal(judged.kind === "reject" && judged.rule, "closed");
    }
  }
});

test("an address is verified that ends here or is an alias, and one that is only passed on is not", async () => {
  const verified = async (recipient: string): Promise<boolean> => {
    const written = { local: { domains: ["example.org"], aliases: ["table:aliases"] } };
    const aliases: [string, Table] = [
      "aliases",
      inlineTable("aliases", { kind: "map", entries: { away: "jane@elsewhere.example" } }),
    ];
    const judged = await policy(written, aliases).judgeRecipient({ ...stranger, account: "jane" }, recipient);
    assert.equal(judged.kind, "accept");
    return judged.kind === "accept" && judged.isUnverified !== true;
  };
  assert.equal(await verified("jane@example.org"), true);
  assert.equal(await verified("away@example.org"), true);
  assert.equal(await verified("anybody@elsewhere.example"), false);
});

test("the rule that decided is named for the log", async () => {
  const judged = await policy({ rules: [{ match: {}, action: "relay" }] }).judgeRecipient(stranger, "a@b.example");
  assert.equal(judged.kind === "accept" && judged.rule, "rule 1");
  const denied = await policy().judgeRecipient(stranger, "a@b.example");
  assert.equal(denied.kind === "reject" && denied.because, "no rule matches");
  assert.equal(denied.kind === "reject" && denied.rule, undefined);
  const rules = [{ name: "all-out", match: {}, action: "relay" }];
  const named = await policy({ rules }).judgeRecipient(stranger, "a@b.example");
  assert.equal(named.kind === "accept" && named.rule, "all-out");
});
