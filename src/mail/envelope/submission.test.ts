import assert from "node:assert/strict";
import { test } from "node:test";
import type { Spent } from "../../service/account/sending-limits.ts";
import { inlineTable, type Tables } from "../../service/table/tables.ts";
import type { EnvelopePolicy, SessionFactsForRules } from "./policy.ts";
import { authorsOf, senderRights } from "./sender-rights.ts";
import { localNames } from "./local-names.ts";
import { localSettings, senderRightsSettings } from "./settings.ts";
import { submissionPolicy } from "./submission.ts";

const tables: Tables = new Map([
  [
    "senders",
    inlineTable("senders", {
      kind: "map",
      entries: {
        "info@example.org": "ada, bob",
        "@lists.example.org": "bob",
        "everybody@example.org": "*",
        "Chef@Bücher.example": "ADA@example.net",
      },
    }),
  ],
]);
const shared = ["shared", inlineTable("shared", { kind: "map", entries: { "anna@example.org": "bob" } })] as const;
const local = localNames(localSettings.parse({ domains: ["example.org"] }), "mx.example.org", tables);
const rightsOf = (written: object) => senderRights(senderRightsSettings.parse(written), tables, local, "+");

test("an account without a domain is nobody in virtual domains, whoever has its name there", async () => {
  const names = localNames(
    localSettings.parse({
      domains: ["example.org", "both.example"],
      virtual: [
        { domains: ["hosted.example"], users: ["ada@hosted.example"] },
        { domains: ["both.example"], aliases: "table:senders" },
      ],
    }),
    "mx.example.org",
    tables,
  );
  const rights = senderRights(senderRightsSettings.parse({}), tables, names, "+");
  for (const [account, address, may] of [
    ["ada", "ada@example.org", true],
    ["ada", "ada@hosted.example", false],
    ["ada", "ada+x@both.example", false],
    ["ada@hosted.example", "ada@hosted.example", true],
  ] as const)
    assert.equal(await rights.mayUse(account, address), may, `${account} as ${address}`);
});

test("another user's name is nobody's extension", async () => {
  const names = localNames(
    localSettings.parse({
      domains: ["example.org"],
      users: ["anna", "anna-maria"],
      virtual: [{ domains: ["hosted.example"], users: ["anna@hosted.example", "anna-maria@hosted.example"] }],
    }),
    "mx.example.org",
    tables,
  );
  const rights = senderRights(
    senderRightsSettings.parse({ table: "table:shared" }),
    new Map([...tables, shared]),
    names,
    "+-",
  );
  for (const [account, address, may] of [
    ["anna", "anna-maria@example.org", false],
    ["anna", "anna-lists@example.org", true],
    ["anna-maria", "anna-maria@example.org", true],
    ["anna-maria", "anna@example.org", false],
    ["anna@hosted.example", "anna-maria@hosted.example", false],
    ["anna@hosted.example", "anna-lists@hosted.example", true],
    ["bob", "anna-lists@example.org", true],
    ["bob", "anna-maria@example.org", false],
    // Of others' domains nobody here knows the users.
    ["anna@far.example", "anna-maria@far.example", true],
  ] as const)
    assert.equal(await rights.mayUse(account, address), may, `${account} as ${address}`);
});

test("system users who cannot be asked are neither a yes nor a no", async () => {
  const names = localNames(
    localSettings.parse({ domains: ["example.org"], users: "system" }),
    "mx.example.org",
    tables,
    {
      find: () => Promise.resolve({ kind: "failed", text: "no answer" }),
    },
  );
  const rights = senderRights(senderRightsSettings.parse({}), tables, names, "+");
  assert.deepEqual(await rights.mayUse("ada", "ada+x@example.org"), { failed: "no answer" });
  assert.equal(await rights.mayUse("ada", "ada@example.org"), true);
});

test("an account's own address is its name, at each of our own domains where it has none", async () => {
  const rights = rightsOf({});
  for (const [account, address, may] of [
    ["ada", "ada@example.org", true],
    ["ada", "Ada+lists@EXAMPLE.org", true],
    ["ada", "ada@example.net", false],
    ["ada", "bob@example.org", false],
    ["ada@example.net", "ada@example.net", true],
    ["ada@example.net", "ada@example.org", false],
    ["ada@example.net", "ada+x@example.net", true],
    ["ad", "ada@example.org", false],
    ["\u00e5sa@example.org", "\u00c5sa@example.org", true],
    ["\u00e5sa@example.org", "asa@example.org", false],
    // The whole of it is a local part, at somebody else's domain.
    ["ada@example.net", '"ada@example.net"@bank.example', false],
    ["ada@example.net", '"ada@example.net"@example.org', false],
  ] as const)
    assert.equal(await rights.mayUse(account, address), may, `${account} as ${address}`);
});

test("a table gives accounts further addresses, whole domains, and addresses to all", async () => {
  const rights = rightsOf({ table: "table:senders", own: false });
  for (const [account, address, may] of [
    ["ada", "info@example.org", true],
    ["Bob", "INFO+x@example.org", true],
    ["eve", "info@example.org", false],
    ["bob", "anything@lists.example.org", true],
    ["ada", "anything@lists.example.org", false],
    ["eve", "everybody@example.org", true],
    ["ada@example.net", "chef@xn--bcher-kva.example", true],
    ["ada", "ada@example.org", false],
  ] as const)
    assert.equal(await rights.mayUse(account, address), may, `${account} as ${address}`);
});

function policy(written: object | undefined, spent: Spent = { ok: true }) {
  const counted: string[] = [];
  const rules: EnvelopePolicy = {
    judgeRecipient: (_facts, recipient) =>
      Promise.resolve(
        recipient.startsWith("nobody")
          ? { kind: "reject", reply: { code: 550, status: "5.1.1", lines: ["no"] }, because: "unknown" }
          : { kind: "accept", targets: [], rule: "r" },
      ),
  };
  const whole = submissionPolicy(rules, {
    rightsAt: (listener) => (listener === "submission" && written !== undefined ? rightsOf(written) : undefined),
    quota: {
      spend(account, what) {
        counted.push(`${account} ${what}`);
        return Promise.resolve(spent);
      },
    },
  });
  const facts = (more: Partial<SessionFactsForRules> = {}): SessionFactsForRules => ({
    listener: "submission",
    isEncrypted: true,
    account: "ada",
    sender: "ada@example.org",
    accepted: 0,
    ...more,
  });
  const codeOf = async (more: Partial<SessionFactsForRules> = {}, to = "joe@example.net"): Promise<number> => {
    const judgement = await whole.judgeRecipient(facts(more), to);
    return judgement.kind === "accept" ? 250 : judgement.reply.code;
  };
  return { whole, facts, codeOf, counted };
}

test("a sender that is not the account's is refused, at the listener that says so", async () => {
  const { codeOf } = policy({});
  assert.equal(await codeOf(), 250);
  assert.equal(await codeOf({ sender: "bob@example.org" }), 553);
  assert.equal(await codeOf({ sender: "" }), 550);
  assert.equal(await codeOf({ sender: "bob@example.org", listener: "other" }), 250);
  assert.equal(await codeOf({ sender: "bob@example.org", account: undefined }), 250);
  assert.equal(await policy({ nullSender: true }).codeOf({ sender: "" }), 250);
  assert.equal(await policy({ table: "table:gone" }).codeOf({ sender: "bob@example.org" }), 451);
});

test("only mail that the rules take is counted, its message once, and questions are not", async () => {
  const { codeOf, counted } = policy(undefined);
  await codeOf({ account: undefined });
  await codeOf({ accepted: undefined });
  await codeOf({}, "nobody@example.net");
  assert.deepEqual(counted, []);
  await codeOf();
  await codeOf({ accepted: 1 });
  assert.deepEqual(counted, ["ada messages", "ada recipients", "ada recipients"]);
  // In the place of a recipient that has been counted.
  assert.equal(await codeOf({ instead: {}, accepted: 1 }), 250);
  assert.equal(counted.length, 3);
  assert.equal(await policy({}, { ok: false, limit: "recipients 5/h", againAt: 0 }).codeOf(), 450);
  assert.equal(await policy({}, { ok: "failed", text: "gone" }).codeOf(), 451);
});

test("each author has to be the account's, whatever the sender is", async () => {
  const { whole, facts } = policy({ table: "table:senders" });
  const codeFor = async (fields: readonly string[], more: Partial<SessionFactsForRules> = {}): Promise<number> => {
    const verdict = await whole.judgeAuthor?.(facts(more), fields);
    return verdict?.kind === "reject" ? verdict.reply.code : 250;
  };
  assert.equal(whole.wantsAuthor?.(facts()), true);
  assert.equal(whole.wantsAuthor?.(facts({ account: undefined })), false);
  assert.equal(await codeFor(["Ada <ada@example.org>"]), 250);
  assert.equal(await codeFor(['"ada@example.org" <eve@example.net>']), 553);
  assert.equal(await codeFor(["ada@example.org, info@example.org"]), 250);
  assert.equal(await codeFor(["ada@example.org, eve@example.net"]), 553);
  assert.equal(await codeFor(["ada@example.org", "eve@example.net"]), 550);
  assert.equal(await codeFor([`ada@example.org,${" ".repeat(5000)}`]), 550);
  assert.equal(await codeFor(["nonsense <"]), 550);
  // The missing field that we add has the sender in it.
  assert.equal(await codeFor([]), 250);
  assert.equal(await codeFor([], { sender: "eve@example.net" }), 553);
  assert.equal(policy({ checks: "sender" }).whole.wantsAuthor?.(facts()), false);
});

test("rights that only warn refuse nothing, and say what they would have refused", async () => {
  const warning = policy({ warnOnly: true });
  const judge = (more: Partial<SessionFactsForRules>, to = "joe@example.net") =>
    warning.whole.judgeRecipient(warning.facts(more), to);
  assert.equal((await judge({})).notes, undefined);
  for (const [sender, text] of [
    ["bob@example.org", /^553 5\.7\.1 <bob@example\.org>: Sender address refused: not owned by ada/],
    ["", /^550 5\.7\.1 /],
  ] as const) {
    const found = await judge({ sender });
    assert.equal(found.kind, "accept");
    assert.deepEqual(
      found.notes?.map(({ restriction, isWarning }) => [restriction, isWarning]),
      [["sender-rights", true]],
    );
    assert.match(found.notes?.[0]?.text ?? "", text);
  }
  // What others refuse is refused, and the warning told all the same; what is taken is counted.
  const refused = await judge({ sender: "bob@example.org" }, "nobody@example.net");
  assert.deepEqual([refused.kind, refused.notes?.length], ["reject", 1]);
  assert.equal(warning.counted.length, 6);

  assert.equal(warning.whole.wantsAuthor?.(warning.facts()), "to-warn");
  const author = await warning.whole.judgeAuthor?.(warning.facts(), ["eve@example.net"]);
  assert.equal(author?.kind, "accept");
  assert.match(author?.notes?.[0]?.text ?? "", /^553 5\.7\.1 <eve@example\.net>: From address refused/);
  assert.deepEqual(await warning.whole.judgeAuthor?.(warning.facts(), ["ada@example.org"]), { kind: "accept" });
});

test("authors are found in every form that a From field has", () => {
  assert.deepEqual(authorsOf("Ada (the Countess) <ada@example.org>"), ["ada@example.org"]);
  assert.deepEqual(authorsOf("Team: a@b.example, c@d.example;"), ["a@b.example", "c@d.example"]);
  assert.equal(authorsOf("ada"), undefined);
  assert.equal(authorsOf(""), undefined);
});
