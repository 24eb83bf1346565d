import assert from "node:assert/strict";
import { test } from "node:test";
import { accepting, dialogue, plainContent } from "../../testing/dialogue.ts";
import { masqueradeSettings, verpSettings } from "../envelope/rewrite/settings.ts";

const masquerade = masqueradeSettings.parse({ domains: ["example.org"] });
const local = { address: "127.0.0.1", port: 4242 };

test("the names of hosts are hidden in the sender before anybody asks about it", () => {
  const talk = dialogue({ rewriting: { masquerade } });
  talk.say("EHLO client.example");
  talk.say("MAIL FROM:<bob@pc.example.org>");
  talk.say("RCPT TO:<x@y.example>");
  const [judge] = talk.asked;
  assert.equal(judge?.do === "judge" && judge.facts.sender, "bob@example.org");
  talk.give(accepting("x@y.example"));
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  const committed = talk.asked.find((action) => action.do === "commit");
  assert.equal(committed?.do === "commit" && committed.message.sender, "bob@example.org");
});

test("XVERP is refused, and not offered, where the settings do not allow it", () => {
  const talk = dialogue({}, { peer: local });
  assert.doesNotMatch(talk.say("EHLO client.example").join(), /XVERP/);
  assert.match(talk.say("MAIL FROM:<l@list.example> XVERP")[0] ?? "", /^555 5\.5\.4 /);
});

test("who may ask for XVERP is offered it, and the rules hear of it with its delimiters", () => {
  for (const [parameter, expected] of [
    ["XVERP", { before: "-", at: "=" }],
    ["XVERP=+=", { before: "+", at: "=" }],
  ] as const) {
    const talk = dialogue(
      { rewriting: { verp: verpSettings.parse({ clients: "local", delimiters: "-=" }) } },
      { peer: local },
    );
    assert.match(talk.say("EHLO client.example").join(), /XVERP/);
    assert.match(talk.say(`MAIL FROM:<l@list.example> ${parameter}`)[0] ?? "", /^250 /);
    talk.say("RCPT TO:<x@y.example>");
    const [judge] = talk.asked;
    assert.deepEqual(judge?.do === "judge" && judge.facts.verp, expected);
  }
  const stranger = dialogue({ rewriting: { verp: verpSettings.parse({ clients: "authenticated" }) } });
  assert.doesNotMatch(stranger.say("EHLO client.example").join(), /XVERP/);
  assert.match(stranger.say("MAIL FROM:<l@list.example> XVERP")[0] ?? "", /^555 /);
});

test("an envelope has the sender that the rules gave it, and one recipient for two senders gets two", () => {
  const talk = dialogue();
  talk.say("EHLO client.example");
  talk.say("MAIL FROM:<l@list.example>");
  for (const name of ["one", "two"]) {
    talk.say(`RCPT TO:<${name}@y.example>`);
    const targets = [{ recipient: "x@y.example", action: "relay", sender: `l+${name}@list.example` }];
    talk.give({ kind: "judged", judgement: { kind: "accept", targets, rule: "test" } });
  }
  talk.say("DATA");
  talk.give({ kind: "content-ended", content: plainContent() });
  const committed = talk.asked.find((action) => action.do === "commit");
  assert.deepEqual(committed?.do === "commit" && committed.envelopes.map(({ sender }) => sender), [
    "l+one@list.example",
    "l+two@list.example",
  ]);
});
