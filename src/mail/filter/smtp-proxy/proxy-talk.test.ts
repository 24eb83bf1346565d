import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import type { MailFacts } from "../filter.ts";
import { ProxyTalk, type ProxyAction } from "./proxy-talk.ts";

const NOON = Date.UTC(2026, 10, 24, 12);

const FACTS: MailFacts = {
  sender: "a@b.example",
  parameters: ["SIZE=7", "BODY=8BITMIME", "RET=HDRS", "XVERP"],
  recipients: [
    { address: "c@d.example", parameters: ["NOTIFY=NEVER"] },
    { address: "e@f.example", parameters: [] },
  ],
  isInternational: false,
  body: "8BITMIME",
};

function talk(facts: Partial<MailFacts> = {}, headerIsAscii = true): ProxyTalk {
  return new ProxyTalk({
    hostname: "mail.example.org",
    client: { address: "192.0.2.7" },
    ident: "4XK",
    facts: { ...FACTS, ...facts },
    headerIsAscii,
    sizeBytes: 1000,
    nowAt: NOON,
  });
}

const says = (code: number, ...lines: readonly string[]): Reply => ({
  code,
  status: undefined,
  lines: lines.length === 0 ? ["text"] : lines,
});
const ehlo = (...keywords: readonly string[]): Reply => says(250, "filter", ...keywords);

/** What is done, a word each: what is sent, or the answer. */
function play(one: ProxyTalk, replies: readonly Reply[]): readonly string[] {
  return replies.flatMap((reply) => one.onReply(reply).map((action) => shown(one, action)));
}

function shown(one: ProxyTalk, action: ProxyAction): string {
  if (action.do === "content") one.contentSent();
  if (action.do === "send") return action.text;
  if (action.do === "answer") return `answer ${replyText(action.reply)}`;
  return action.do === "fail" ? `fail ${action.text}` : `(${action.do})`;
}

const OK = says(250);

test("a filter that pipelines gets the envelope at once, DATA when it took everybody, and its last word is the answer", () => {
  const said = play(talk(), [
    says(220),
    ehlo("PIPELINING", "8BITMIME", "SIZE", "DSN", "XFORWARD ADDR IDENT"),
    OK,
    OK,
    OK,
    OK,
    says(354),
    says(250, "2.0.0 Ok: queued as 5YL"),
    says(221),
  ]);
  assert.deepEqual(said, [
    "EHLO mail.example.org\r\n",
    "XFORWARD ADDR=192.0.2.7 IDENT=4XK\r\n" +
      "MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME RET=HDRS\r\n" +
      "RCPT TO:<c@d.example> NOTIFY=NEVER\r\nRCPT TO:<e@f.example>\r\n",
    "DATA\r\n",
    "(content)",
    "answer 250 2.0.0 2.0.0 Ok: queued as 5YL",
    "QUIT\r\n",
    "(over)",
  ]);
});

test("a filter from before extensions gets one command after the other, and no parameter", () => {
  const said = play(talk(), [says(220), says(502), OK, OK, OK, OK]);
  assert.deepEqual(said, [
    "EHLO mail.example.org\r\n",
    "HELO mail.example.org\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "RCPT TO:<c@d.example>\r\n",
    "RCPT TO:<e@f.example>\r\n",
    "DATA\r\n",
  ]);
});

test("one refused recipient refuses the mail before its content, for now where any of them is refused for now", () => {
  const begun = [says(220), ehlo("PIPELINING")];
  assert.deepEqual(play(talk(), [...begun, OK, says(550, "no such user"), OK]).slice(-2), [
    "answer 550 5.0.0 <c@d.example>: no such user",
    "QUIT\r\n",
  ]);
  assert.match(play(talk(), [...begun, OK, says(550), says(450, "later")]).at(-2) ?? "", /^answer 450 4\.0\.0 <e@f/);
  assert.match(play(talk(), [...begun, says(452), says(503), says(503)]).at(-2) ?? "", /^answer 452/);
  assert.match(play(talk(), [says(220), ehlo(), OK, says(550)]).at(-2) ?? "", /^answer 550/, "without pipelining");
});

test("a refusal of the content is passed on, also one that does not wait for its end", () => {
  const begun = [says(220), ehlo(), OK, OK, OK];
  assert.match(play(talk(), [...begun, says(354), says(554, "5.7.1 spam")]).at(-2) ?? "", /^answer 554/);
  assert.match(play(talk(), [...begun, says(451)]).at(-2) ?? "", /^answer 451/, "to DATA");
  const early = talk();
  play(early, [...begun]);
  assert.equal(early.onReply(says(354))[0]?.do, "content");
  assert.deepEqual(
    early.onReply(says(552, "too big")).map(({ do: what }) => what),
    ["answer", "over"],
  );
});

test("421 ends the filter's connection, and not our client's", () => {
  assert.match(play(talk(), [says(220), ehlo(), OK, OK, OK, says(354), says(421)]).at(-2) ?? "", /^answer 451 4\.0\.0/);
  const begun = [says(220), ehlo("PIPELINING")];
  const ahead = "what was sent ahead is not answered any more";
  assert.match(play(talk(), [...begun, says(421, "too busy")]).at(-2) ?? "", /^answer 451 4\.0\.0 too busy/, ahead);
  assert.match(play(talk(), [...begun, OK, says(421)]).at(-2) ?? "", /^answer 451 4\.0\.0 <c@d/, ahead);
});

test("a filter that will not talk at all has failed, and says why", () => {
  assert.deepEqual(play(talk(), [says(421, "too busy")]), ["fail it greets with 421 too busy"]);
  assert.match(play(talk(), [says(220), says(421)]).at(-1) ?? "", /^fail it answers EHLO/);
  assert.match(play(talk(), [says(220), ehlo(), OK, OK, OK, says(250)]).at(-1) ?? "", /^fail it answers DATA/);
});

test("what the filter cannot carry is refused for good, with the reason", () => {
  assert.match(play(talk({ body: "BINARYMIME" }), [says(220), ehlo("CHUNKING")]).at(-2) ?? "", /^answer 550 5\.6\.3/);
  assert.match(play(talk({ isInternational: true }, false), [says(220), ehlo()]).at(-2) ?? "", /^answer 550 5\.6\.7/);
  assert.match(play(talk({ sender: "a\r\nDATA@b" }), [says(220), ehlo()]).at(-1) ?? "", /^fail/);
});

test("mail that needs no SMTPUTF8 passes a filter without it, whatever its client asked for", () => {
  const asked = { isInternational: true, parameters: ["SMTPUTF8"] };
  assert.equal(play(talk(asked), [says(220), ehlo()]).at(-1), "MAIL FROM:<a@b.example>\r\n");
  const offered = play(talk(asked, false), [says(220), ehlo("SMTPUTF8")]).at(-1);
  assert.equal(offered, "MAIL FROM:<a@b.example> SMTPUTF8\r\n");
  for (const facts of [
    { sender: "j\u00f6rg@b.example" },
    { recipients: [{ address: "j\u00f6rg@d.example", parameters: [] }] },
    { recipients: [{ address: "c@d.example", parameters: ["ORCPT=utf-8;j\u00f6rg@d.example"] }] },
  ])
    assert.match(play(talk({ ...asked, ...facts }), [says(220), ehlo()]).at(-2) ?? "", /^answer 550 5\.6\.7/);
});

test("times run from when our client said them, and a hold that is over is not asked for", () => {
  const keywords = ["DELIVERBY", "FUTURERELEASE 604800 2030-01-01T00:00:00Z"];
  for (const [parameter, said] of [
    ["HOLDFOR=600", " HOLDFOR=510"],
    ["HOLDFOR=90", ""],
    ["HOLDUNTIL=2026-11-24T11:59:59Z", ""],
    ["HOLDUNTIL=2026-11-24T12:00:01Z", " HOLDUNTIL=2026-11-24T12:00:01Z"],
    ["BY=120;R", " BY=30;R"],
    ["BY=60;RT", " BY=1;RT"],
    ["BY=60;NT", " BY=-30;NT"],
    ["BY=-5;N", " BY=-95;N"],
  ] as const) {
    const facts = { parameters: [parameter], startedAt: NOON - 90_900 };
    assert.equal(
      play(talk(facts), [says(220), ehlo(...keywords)]).at(-1),
      `MAIL FROM:<a@b.example>${said}\r\n`,
      parameter,
    );
  }
  const over = { parameters: ["HOLDFOR=60"], startedAt: NOON - 90_000 };
  assert.equal(play(talk(over), [says(220), ehlo()]).at(-1), "MAIL FROM:<a@b.example>\r\n", "nothing is left to bind");
});

test("a client that asks for VERP gets it behind a filter that offers it", () => {
  for (const parameter of ["XVERP", "XVERP=+="]) {
    const mail = play(talk({ parameters: [parameter] }), [says(220), ehlo("XVERP")]).at(-1);
    assert.equal(mail, `MAIL FROM:<a@b.example> ${parameter}\r\n`);
  }
});

test("mail to be held, or returned when its time is over, goes only to a filter that takes on that", () => {
  for (const [parameter, keyword] of [
    ["HOLDFOR=86400", "FUTURERELEASE 604800 2030-01-01T00:00:00Z"],
    ["HOLDUNTIL=2026-11-25T12:00:00Z", "FUTURERELEASE 604800 2030-01-01T00:00:00Z"],
    ["BY=60;R", "DELIVERBY"],
    ["BY=60;RT", "DELIVERBY"],
  ] as const) {
    const facts = { parameters: [parameter] };
    assert.deepEqual(play(talk(facts), [says(220), ehlo("8BITMIME")]).slice(1), [
      `answer 550 5.3.3 What ${parameter} asks for cannot pass the content filter here`,
      "QUIT\r\n",
    ]);
    assert.equal(
      play(talk(facts), [says(220), ehlo(keyword)]).at(-1),
      `MAIL FROM:<a@b.example> ${parameter}\r\n`,
      parameter,
    );
  }
  assert.equal(
    play(talk({ parameters: ["BY=60;N"] }), [says(220), ehlo()]).at(-1),
    "MAIL FROM:<a@b.example>\r\n",
    "who only wants to be told of a delay",
  );
});

test("whatever a filter says, there is one answer at most, a 2xx only after the content, and an end to it", () => {
  const code = fc.constantFrom(200, 220, 250, 354, 334, 421, 450, 451, 550, 554);
  const lines = fc.array(fc.constantFrom("PIPELINING", "DSN", "x", "XFORWARD NAME", "SIZE 1"), {
    minLength: 1,
    maxLength: 4,
  });
  const reply = fc.record({ code, status: fc.constant(undefined), lines });
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 20 }), (replies) => {
      const one = talk();
      const said = play(one, replies);
      const answers = said.filter((text) => /^(answer|fail) /.test(text));
      assert.ok(answers.length <= 1, said.join("\n"));
      const at = said.findIndex((text) => text.startsWith("answer 2"));
      if (at >= 0) assert.ok(said.slice(0, at).includes("(content)"));
      if (said.some((text) => text.startsWith("fail") || text === "(over)")) assert.deepEqual(play(one, [OK]), []);
    }),
    { numRuns: 2000 },
  );
});
