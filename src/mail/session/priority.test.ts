import assert from "node:assert/strict";
import { test } from "node:test";
import { accepting, dialogue, plainContent, type Dialogue } from "../../testing/dialogue.ts";

/** A whole mail with the MAIL parameter; what was said to MAIL, and what is committed. */
function mailed(talk: Dialogue, parameter: string) {
  const said = talk.say(`MAIL FROM:<a@b.example> ${parameter}`)[0] ?? "";
  if (!said.startsWith("250")) return { said };
  talk.say("RCPT TO:<x@y.example>");
  talk.give(accepting("x@y.example"));
  talk.say("DATA");
  const opened = talk.asked.find((action) => action.do === "receiveData");
  talk.give({ kind: "content-ended", content: plainContent() });
  const committed = talk.asked.find((action) => action.do === "commit");
  const message = committed?.do === "commit" ? committed.message : undefined;
  return { said, message, trace: opened?.do === "receiveData" ? opened.opening.trace : "" };
}

function loggedIn(highestPriority = 9): Dialogue {
  const talk = dialogue({ auth: "offer", mayAuthenticateInPlain: true, highestPriority });
  talk.say("EHLO client.example");
  talk.say(`AUTH PLAIN ${Buffer.from("\0ann\0secret").toString("base64")}`);
  talk.give({ kind: "checked", answer: { kind: "right", account: "ann" } });
  return talk;
}

test("it is offered, and who has logged in gets the priority it asks for, in the message and in Received", () => {
  const talk = loggedIn();
  const { said, message, trace } = mailed(talk, "MT-PRIORITY=4");
  assert.match(said, /^250 2\.1\.0 /);
  assert.equal(message?.priority, 4);
  assert.match(trace ?? "", /PRIORITY 4;\r\n/);
  assert.match(dialogue().say("EHLO x").join("\n"), /MT-PRIORITY/);
});

test("a stranger may only ask for less than others have, and is told what it gets", () => {
  const stranger = dialogue();
  stranger.say("EHLO client.example");
  const { said, message } = mailed(stranger, "MT-PRIORITY=4");
  assert.match(said, /^250 2\.3\.6 0 is the priority/);
  assert.equal(message?.priority, 0);
  const humble = dialogue();
  humble.say("EHLO client.example");
  const less = mailed(humble, "MT-PRIORITY=-3");
  assert.match(less.said, /^250 2\.1\.0 /);
  assert.equal(less.message?.priority, -3);
});

test("nobody gets more than the listener allows; without the parameter there is no priority", () => {
  assert.equal(mailed(loggedIn(2), "MT-PRIORITY=9").message?.priority, 2);
  const { message, trace } = mailed(loggedIn(), "");
  assert.equal(message?.priority, undefined);
  assert.doesNotMatch(trace ?? "", /PRIORITY/);
});

test("what is no priority is refused", () => {
  for (const wrong of ["10", "-10", "+3", "high", "", "3.5", "-0"])
    assert.match(mailed(loggedIn(), `MT-PRIORITY=${wrong}`).said, /^501 5\.5\.4/, wrong);
});
