import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAliasTargets } from "../../../protocol/address/alias-targets.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import type { Judgement, SessionFactsForRules } from "../policy.ts";
import { rulesPolicy, type RulesPolicySettings } from "../rules.ts";
import { actionsSettings } from "../action-settings.ts";
import { rulesSettings } from "../rule-settings.ts";
import { localSettings } from "../settings.ts";
import { createSenders } from "./senders.ts";
import { srsSettings, verpSettings } from "./settings.ts";

const now = Date.UTC(2026, 10, 21);
const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.1",
  isEncrypted: false,
  sender: "alice@elsewhere.example",
};

function policy(over: Partial<RulesPolicySettings> = {}, days = 0) {
  return rulesPolicy(
    {
      hostname: "mx.example.org",
      local: localSettings.parse({ domains: ["example.org"] }),
      actions: {},
      srs: srsSettings.parse({}),
      srsSecrets: ["secret"],
      now: () => now + days * 86_400_000,
      ...over,
    },
    new Map(),
  );
}

const rules = rulesSettings.parse([
  { match: { rcptTo: "list@example.org" }, action: "out", as: "list-bounces@example.org" },
  { match: { for: "any", from: "any" }, action: "out" },
]);
const actions = actionsSettings.parse({ out: { relay: {}, as: "@example.org" } });

function sendersOf(judgement: Judgement): readonly (string | undefined)[] {
  assert.equal(judgement.kind, "accept");
  return judgement.targets.map(({ sender }) => sender);
}

test("`as` of the rule, else of the action, is the sender of the envelope", async () => {
  const judge = policy({ rules, actions });
  assert.deepEqual(sendersOf(await judge.judgeRecipient(facts, "list@example.org")), ["list-bounces@example.org"]);
  assert.deepEqual(sendersOf(await judge.judgeRecipient(facts, "x@example.net")), ["alice@example.org"]);
  assert.deepEqual(sendersOf(await judge.judgeRecipient({ ...facts, sender: "" }, "x@example.net")), [undefined]);
});

test("VERP is written in where the sender is listed, or the client asked", async () => {
  const judge = policy({ verp: verpSettings.parse({ senders: ["alice@elsewhere.example"] }) });
  assert.deepEqual(sendersOf(await judge.judgeRecipient(facts, "bob@example.org")), [
    "alice+bob=example.org@elsewhere.example",
  ]);
  const asked = { ...facts, sender: "l@list.example", verp: { before: "-", at: "=" } };
  assert.deepEqual(sendersOf(await judge.judgeRecipient(asked, "bob@example.org")), ["l-bob=example.org@list.example"]);
});

test("VERP is written in once, also where the mailbox's `.forward` sends the mail on by an action that wants it, too", async () => {
  const judge = policy({ verp: verpSettings.parse({ senders: ["@lists.example.net"] }), srs: undefined });
  const mail = { ...facts, sender: "bounces@lists.example.net" };
  const [sender] = sendersOf(await judge.judgeRecipient(mail, "jane@example.org"));
  assert.equal(sender, "bounces+jane=example.org@lists.example.net");
  const answer = await judge.expandForward({
    message: mail,
    envelope: { id: "M.1", message: "M", recipient: "jane@example.org", notify: [], action: "deliver", sender },
    user: "jane",
    where: "/home/jane/.forward",
    targets: parseAliasTargets("far@elsewhere.example, \\jane").targets,
  });
  assert.ok(answer.kind === "envelopes");
  assert.deepEqual(
    answer.envelopes.map((one) => one.sender),
    [sender, sender],
  );
});

/** The sender that forwarded mail of alice had some days before. */
async function forwarded(): Promise<string> {
  const made = await createSenders({
    hostname: "mx.example.org",
    srs: srsSettings.parse({}),
    srsSecrets: ["secret"],
    tables: new Map(),
    isLocalDomain: () => Promise.resolve(false),
    now: () => now,
  }).senderFor({
    sender: facts.sender,
    given: "bob@example.org",
    action: { kind: "relay", to: [], backup: false },
    isForwarded: true,
  });
  assert.ok(made.kind === "sender" && made.sender !== undefined);
  return made.sender;
}

test("a bounce to a forwarded sender is taken from anybody and goes to that sender, though nobody may relay", async () => {
  const address = await forwarded();
  const bounce = { ...facts, sender: "" };
  assert.equal((await policy().judgeRecipient(bounce, "alice@elsewhere.example")).kind, "reject");
  assert.deepEqual(await policy().judgeRecipient(bounce, address), {
    kind: "accept",
    targets: [{ recipient: "alice@elsewhere.example", action: "relay" }],
    rule: "srs",
  });
  assert.deepEqual(await policy().chooseTargets(address), {
    kind: "targets",
    targets: [{ recipient: "alice@elsewhere.example", action: "relay" }],
  });
});

test("an answer to a forwarded sender goes on with a sender of ours, like any forwarded mail", async () => {
  const answer = { ...facts, sender: "robot@third.example" };
  const [sender] = sendersOf(await policy().judgeRecipient(answer, await forwarded()));
  assert.match(sender ?? "", /^SRS0=....=..=third\.example=robot@mx\.example\.org$/);
});

test("a return address that is forged or too old is refused for good, and told why", async () => {
  const address = await forwarded();
  const refusal = async (recipient: string, days = 0): Promise<string> => {
    const judgement = await policy({}, days).judgeRecipient({ ...facts, sender: "" }, recipient);
    return judgement.kind === "reject" ? replyText(judgement.reply) : "accepted";
  };
  assert.equal(await refusal(address.replace("alice", "mallory")), "550 5.1.1 this return address was not made here");
  assert.equal(await refusal(address, 22), "550 5.1.1 this return address has expired");
  assert.equal(await refusal("SRS0=x@mx.example.org"), "550 5.1.1 this is no return address of ours");
});
