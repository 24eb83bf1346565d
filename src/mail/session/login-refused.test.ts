import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import type { StageOutcome } from "../filter/outcome.ts";
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

test("what filters said of an EHLO that one of them refuses is not said of the session", () => {
  const talk = dialogue({}, { filters: { wants: (stage) => stage === "helo", wantsNotes: false } });
  const greet = (name: string, outcome: StageOutcome): readonly string[] => {
    talk.say(`EHLO ${name}`);
    return talk.give({ kind: "filtered", outcome });
  };
  greet("known.example", { kind: "proceed", tags: ["known"], told: [] });
  const by = { filter: "second" };
  const refused = { kind: "refuse", reply: reply(550, "5.7.1", "Not you"), by, tags: ["partner"], told: [] } as const;
  assert.deepEqual(greet("partner.example", refused), ["550 5.7.1 Not you"]);
  assert.deepEqual([talk.session.facts.helo, talk.session.facts.tags], ["known.example", ["known"]]);
});
