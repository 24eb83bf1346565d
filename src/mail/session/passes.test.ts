import assert from "node:assert/strict";
import { test } from "node:test";
import { markReceived } from "../../protocol/message/own-received.ts";
import { formatReceived } from "../../protocol/message/received-field.ts";
import { dialogue, plainContent, type Dialogue } from "../../testing/dialogue.ts";
import { eventLog } from "../../testing/reception.ts";
import type { Action, Terms } from "./state.ts";

const ID = "01ARZ3NDEKT";

/** The value of a field that we wrote when the mail had this id, and left for these filters. */
function ours(id: string, ...filters: readonly string[]): string {
  const field = formatReceived({
    helo: "mx.stranger.example",
    clientAddress: "203.0.113.9",
    by: "mx.test",
    protocol: "ESMTP",
    id,
    at: 0,
    offsetMinutes: 0,
  });
  return markReceived(field, filters).replace("Received: ", "").replace(/\r\n/g, "");
}

function begin(
  actions: readonly string[],
  terms: Partial<Terms> = {},
  peer = { address: "127.0.0.1", port: 1 },
  before: readonly string[] = [],
): { talk: Dialogue; log: ReturnType<typeof eventLog>; opening: Extract<Action, { do: "receiveData" }> } {
  const log = eventLog();
  const talk = dialogue(terms, { emit: log.emit, peer });
  talk.say("EHLO filter.example");
  for (const line of before) assert.match(talk.say(line)[0] ?? "", /^250 /, line);
  talk.say("MAIL FROM:<a@b.example>");
  for (const [at, action] of actions.entries()) {
    talk.say(`RCPT TO:<c${at}@d.example>`);
    const recipient = `c${at}@d.example`;
    talk.give({ kind: "judged", judgement: { kind: "accept", targets: [{ recipient, action }], rule: "rule 1" } });
  }
  talk.say("DATA");
  const [opening] = talk.asked;
  assert.ok(opening?.do === "receiveData");
  return { talk, log, opening };
}

function end(talk: Dialogue, received: readonly string[]): readonly string[] {
  return talk.give({ kind: "content-ended", content: { ...plainContent(), received } });
}

test("our Received field names the filters that all of a mail goes to, and none where some of it does not", () => {
  const { opening } = begin(["content-filter:smtp", "content-filter:smtp", "content-filter:rule:x"]).opening;
  assert.match(opening.trace, /\r\n\t\(content-filter:smtp content-filter:rule:x\);/);
  assert.equal(opening.wantsTrace, true);
  assert.doesNotMatch(begin(["content-filter:smtp", "deliver"]).opening.opening.trace, /content-filter/);
});

test("a stranger's mail that no filter sees costs no look at its trace", () => {
  const { opening } = begin(["deliver"], {}, { address: "203.0.113.9", port: 1 }).opening;
  assert.equal(opening.wantsTrace, undefined);
});

test("mail that comes back to where it was filtered is refused as a loop, with the id under which it left", () => {
  const { talk, log } = begin(["content-filter:smtp"]);
  const [told = ""] = end(talk, ["by filter.example id 1; x", ours(ID, "content-filter:smtp")]);
  assert.match(told, /^554 5\.4\.6 Mail loop/);
  assert.equal(talk.asked[0]?.do, "abandon");
  assert.ok(
    log.lines.some((line) => line.includes("554 5.4.6")),
    log.lines.join("\n"),
  );
});

test("a loop is found from anywhere, also where only a part of the mail would go to the filter again", () => {
  const { talk } = begin(["deliver", "content-filter:smtp"], {}, { address: "203.0.113.9", port: 1 });
  assert.match(end(talk, [ours(ID, "content-filter:smtp")])[0] ?? "", /^554 5\.4\.6/);
});

test("mail that came back as it should, went out and returns is no loop", () => {
  const { talk } = begin(["content-filter:smtp"]);
  assert.deepEqual(end(talk, ["by list.example id 1; x", ours("01ARZ3NDEKV"), ours(ID, "content-filter:smtp")]), []);
  assert.ok(talk.asked.some((action) => action.do === "commit"));
});

test("what a filter hands back is told as a copy of what it was given, at both ends of the story", () => {
  const { talk, log } = begin(["deliver"]);
  end(talk, [ours(ID, "content-filter:smtp")]);
  const message = talk.asked.flatMap((action) => (action.do === "commit" ? [action.message.id] : []))[0] ?? "";
  assert.ok(
    log.lines.some((line) => line.endsWith(`${message}: filtered copy of ${ID}`)),
    log.lines.join("\n"),
  );
  assert.deepEqual(
    log.events.filter(({ name }) => name === "session.came-back").map(({ fields }) => fields),
    [{ message: ID, copy: message }],
  );
});

test("a stranger joins its mail to nobody's story, whatever header fields it makes up", () => {
  const { talk, log } = begin(["deliver"], {}, { address: "203.0.113.9", port: 1 });
  end(talk, [ours(ID, "content-filter:smtp")]);
  assert.ok(!log.lines.some((line) => line.includes("filtered copy")));
});

test("of mail that went to the filter in part, XFORWARD says whose copy it is", () => {
  const terms = { mayXforward: () => true };
  for (const [ident, isCopy] of [
    [ID, true],
    ["01ARZ3NDEKV", false],
  ] as const) {
    const { talk, log } = begin(["deliver"], terms, undefined, [`XFORWARD IDENT=${ident}`]);
    end(talk, [ours(ID)]);
    assert.equal(
      log.lines.some((line) => line.includes(`filtered copy of ${ID}`)),
      isCopy,
    );
  }
});

test("XFORWARD is about one mail, is kept with it, and forgotten by RSET", () => {
  const said = "XFORWARD NAME=orig.example ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=ESMTPS HELO=[UNAVAILABLE] LOGIN=jane";
  const { talk } = begin(["deliver"], { mayXforward: () => true }, undefined, [said]);
  end(talk, []);
  const [first] = talk.asked.flatMap((action) => (action.do === "commit" ? [action.message] : []));
  assert.deepEqual(first?.origin.forwarded, {
    name: "orig.example",
    address: "2001:db8::7",
    port: 4711,
    protocol: "ESMTPS",
    helo: undefined,
    account: "jane",
  });
  talk.give({ kind: "committed" });
  assert.equal(talk.session.facts.forwarded, undefined);
  talk.say(said);
  talk.say("RSET");
  assert.equal(talk.session.facts.forwarded, undefined);
});

test("rules judge the client that XFORWARD names where the listener wants it, and never its login", () => {
  const said = "XFORWARD NAME=orig.example ADDR=IPV6:::ffff:198.51.100.7 HELO=orig LOGIN=jane";
  for (const [judgesForwarded, address] of [
    [true, "198.51.100.7"],
    [false, "127.0.0.1"],
  ] as const) {
    const talk = dialogue({ mayXforward: () => true, judgesForwarded }, { peer: { address: "127.0.0.1" } });
    talk.say("EHLO filter.example");
    talk.say(said);
    talk.say("MAIL FROM:<a@b.example>");
    talk.say("RCPT TO:<c@d.example>");
    const [judge] = talk.asked;
    assert.ok(judge?.do === "judge");
    assert.equal(judge.facts.clientAddress, address);
    assert.equal(judge.facts.account, undefined);
  }
  const talk = dialogue({ mayXforward: () => true, judgesForwarded: true }, { peer: { address: "127.0.0.1" } });
  talk.say("EHLO filter.example");
  talk.say("XFORWARD ADDR=[UNAVAILABLE] SOURCE=LOCAL");
  talk.say("MAIL FROM:<a@b.example>");
  talk.say("RCPT TO:<c@d.example>");
  assert.ok(talk.asked[0]?.do === "judge" && talk.asked[0].facts.clientAddress === "127.0.0.1");
});
