import assert from "node:assert/strict";
import { test } from "node:test";
import { reply, replyText } from "../../../protocol/smtp/reply.ts";
import { restrictionWorld } from "../../../testing/restriction-world.ts";
import type { Judgement, SessionFactsForRules, Target } from "../policy.ts";
import { calloutFinding, type CalloutAnswer, type CalloutAsk } from "./callout.ts";
import { calloutSettings } from "./callout-settings.ts";

const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.9",
  isEncrypted: false,
  sender: "Eve@Far.example",
  accepted: 0,
};

/** What is said to `RCPT TO:<bob@inside.example>`, and who was asked. */
async function told(
  written: unknown,
  answer: CalloutAnswer,
  changes: { readonly sender?: string; readonly targets?: readonly Target[]; readonly judgement?: Judgement } = {},
): Promise<readonly [string, readonly CalloutAsk[]]> {
  const asked: CalloutAsk[] = [];
  const targets = changes.targets ?? [{ recipient: "bob@inside.example", action: "relay" }];
  const world = restrictionWorld({
    callouts: {
      callOut(ask) {
        asked.push(ask);
        return Promise.resolve(answer);
      },
      judgeRecipient: () => Promise.resolve(changes.judgement ?? { kind: "accept", targets, rule: "rule 1" }),
      isRelayed: (action) => action === "relay",
    },
  });
  const found = await calloutFinding(world, calloutSettings.parse(written), {
    facts: { ...facts, ...(changes.sender === undefined ? {} : { sender: changes.sender }) },
    recipient: "bob@inside.example",
    stage: "rcpt",
  });
  const text =
    found.kind === "pass" || found.kind === "permit" ? found.kind : `${found.kind} ${replyText(found.reply)}`;
  return [text, asked];
}

const NO: CalloutAnswer = { kind: "refused", text: "host x said: 550 5.1.1 no \u00fcser" };

test("a recipient that its host refuses is refused, in the host's words", async () => {
  const [text, asked] = await told("recipient", NO);
  assert.equal(
    text,
    "refuse 550 5.1.1 <bob@inside.example>: Recipient address rejected: undeliverable address: host x said: 550 5.1.1 no ?ser",
  );
  assert.deepEqual(
    asked.map(({ address, action }) => [address, action]),
    [["bob@inside.example", "relay"]],
  );
});

test("a sender is asked for at its own domain, and refused for the moment", async () => {
  const [text, asked] = await told("sender", NO);
  assert.match(text, /^refuse 450 4\.1\.7 <Eve@Far\.example>: Sender address rejected: undeliverable address:/);
  assert.deepEqual(
    asked.map(({ address, action }) => [address, action]),
    [["Eve@far.example", undefined]],
  );
});

test("an address is asked for as it was written: only its own host knows whether its case matters", async () => {
  const sender = "SRS0=aB3x=9Z=Far.example=Eve@Forwarder.EXAMPLE";
  const [, senders] = await told("sender", NO, { sender });
  assert.equal(senders[0]?.address, "SRS0=aB3x=9Z=Far.example=Eve@forwarder.example");
  const [, recipients] = await told("recipient", NO, {
    targets: [{ recipient: "Bob.Smith@Inside.example", action: "relay" }],
  });
  assert.equal(recipients[0]?.address, "Bob.Smith@inside.example");
});

test("what ends here is never asked for: mailboxes, our own senders, the null sender", async () => {
  for (const [written, changes] of [
    ["recipient", { targets: [{ recipient: "bob@ours.example", action: "deliver" }] }],
    [
      "recipient",
      {
        targets: [
          { recipient: "a@x.example", action: "relay" },
          { recipient: "b@x.example", action: "relay" },
        ],
      },
    ],
    ["recipient", { judgement: { kind: "reject", reply: reply(554, "5.7.1", "no"), because: "" } }],
    ["sender", { sender: "" }],
    ["sender", { sender: "ada@ours.example" }],
  ] as const)
    assert.deepEqual(await told(written, NO, changes), ["pass", []]);
});

test("what cannot be found out waits, or goes on where the settings say so", async () => {
  const away: CalloutAnswer = { kind: "unknown", text: "no answer" };
  assert.equal(
    (await told("recipient", away))[0],
    "wait 450 4.1.1 <bob@inside.example>: Recipient address rejected: unverified address; please try again later",
  );
  assert.equal((await told({ of: "recipient", onUnknown: "pass" }, away))[0], "pass");
  assert.equal((await told("recipient", { kind: "taken" }))[0], "pass");
});
