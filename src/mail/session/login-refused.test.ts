import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { dialogue, type Dialogue } from "../../testing/dialogue.ts";

function loggingIn(): Dialogue {
  const talk = dialogue(
    { auth: "offer", mayAuthenticateInPlain: true },
    { filters: { wants: (stage) => stage === "auth", wantsNotes: false } },
  );
  talk.say("EHLO client.example");
  talk.say("AUTH PLAIN AGFubgBzZWNyZXQ=");
  assert.deepEqual(talk.give({ kind: "checked", answer: { kind: "right", account: "ann" } }), []);
  return talk;
}

test("what filters said of a login that one of them refuses is not said of the session", () => {
  const talk = loggingIn();
  const by = { filter: "second" };
  const refused = { kind: "refuse", reply: reply(535, "5.7.1", "Not from there"), by } as const;
  const said = talk.give({ kind: "filtered", outcome: { ...refused, tags: ["staff"], told: [] } });
  assert.deepEqual(said, ["535 5.7.1 Not from there"]);
  assert.deepEqual([talk.session.facts.account, talk.session.facts.tags ?? []], [undefined, []]);
});

test("what filters said of a login that they let pass is said of the session", () => {
  const talk = loggingIn();
  const said = talk.give({ kind: "filtered", outcome: { kind: "proceed", tags: ["staff"], told: [] } });
  assert.match(said.join(), /^235 /);
  assert.deepEqual([talk.session.facts.account, talk.session.facts.tags], ["ann", ["staff"]]);
});
