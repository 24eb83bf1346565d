import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { testMail } from "../../../testing/filter-mail.ts";
import { applyEdits } from "../header-edits.ts";
import type { MailVerdict } from "../filter.ts";
import { parseRspamdAnswer } from "./answer.ts";
import { questionHeaders } from "./question.ts";
import { rspamdVerdict } from "./rspamd-verdict.ts";
import { rspamdSettings } from "./settings.ts";

const MAIL = testMail("Received: a\nX-Spam: No\nDKIM-Signature: 1\nDKIM-Signature: 2\nSubject: hello\n\nA mail.\n");
const settings = (more: object = {}) => rspamdSettings.parse({ servers: "http://127.0.0.1:11333", ...more });

function verdict(answer: object, more: object = {}): MailVerdict {
  const parsed = parseRspamdAnswer(JSON.stringify({ score: 7.123, required_score: 15, ...answer }));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.problem);
  return rspamdVerdict(parsed.value, settings(more), { header: MAIL.header });
}

/** The header as it is after the edits. */
function header(answer: object, more: object = {}): string {
  return applyEdits(MAIL.header, verdict(answer, more).edits ?? [])
    .header.toString()
    .replaceAll("\r\n", "\n");
}

const replyOf = ({ fate }: MailVerdict): string =>
  fate.kind === "refuse" ? `${fate.reply.code} ${fate.reply.status} ${fate.reply.lines.join(" ")}` : fate.kind;

test("each action has a meaning, and the settings may give it another", () => {
  for (const [action, more, says] of [
    ["no action", {}, "keep"],
    ["greylist", {}, "keep"],
    ["greylist", { onGreylist: "defer" }, "451 4.7.1 Try again later"],
    ["add header", {}, "keep"],
    ["add header", { onAddHeader: "refuse" }, "550 5.7.1 The mail looks like spam"],
    ["rewrite subject", {}, "keep"],
    ["soft reject", {}, "451 4.7.1 Try again later"],
    ["soft reject", { onSoftReject: "accept" }, "keep"],
    ["reject", {}, "550 5.7.1 The mail looks like spam"],
    ["reject", { onReject: "quarantine" }, "quarantine"],
    ["reject", { onReject: "mark" }, "keep"],
    ["quarantine", {}, "quarantine"],
    ["discard", {}, "discard"],
  ] as const)
    assert.equal(replyOf(verdict({ action }, more)), says, action);
});

test("rspamd's own words stand in the reply, on one line", () => {
  const answer = { action: "soft reject", messages: { smtp_message: "Ratelimit\r\n250 ok" } };
  assert.equal(replyOf(verdict(answer)), "451 4.7.1 Ratelimit 250 ok");
});

test("score and symbols are for the log, the weightiest first", () => {
  const symbols = { A: { score: 0.5 }, B: { score: -7.12345 }, C: {} };
  assert.deepEqual(verdict({ action: "add header", symbols }).score, {
    value: 7.123,
    wanted: 15,
    symbols: "B(-7.12) A(0.5) C(0)",
  });
  assert.equal(verdict({ action: "add header" }).because, "add header, score 7.12");
});

test("spam is marked instead of what the client said of it, and tagged, with an action of its own", () => {
  assert.equal(
    header({ action: "add header" }),
    "Received: a\nDKIM-Signature: 1\nDKIM-Signature: 2\nSubject: hello\nX-Spam: Yes\n",
  );
  const marked = verdict({ action: "add header" }, { action: "junk", spamHeader: "X-Junk" });
  assert.deepEqual(marked.tags, ["spam"]);
  assert.equal(marked.action, "junk");
  assert.match(header({ action: "add header", milter: { spam_header: "Very" } }), /X-Spam: Very\n$/);
  assert.match(header({ action: "add header", milter: { spam_header: { "X-Is": "spam" } } }), /X-Is: spam\n$/);
  assert.equal(verdict({ action: "no action" }).edits, undefined);
});

test("a new subject is taken, or the mail is marked where there is none", () => {
  assert.match(header({ action: "rewrite subject", subject: "[SPAM] hello" }), /Subject: \[SPAM\] hello\n$/);
  assert.match(header({ action: "rewrite subject" }), /X-Spam: Yes\n$/);
  assert.match(header({ action: "rewrite subject", subject: "x" }, { onRewriteSubject: "mark" }), /X-Spam: Yes\n$/);
});

test("fields go out by number, all, or from the end; others come in where rspamd wants them", () => {
  const remove = (remove_headers: object): string => header({ action: "no action", milter: { remove_headers } });
  assert.equal(remove({ "dkim-signature": 1 }), "Received: a\nX-Spam: No\nDKIM-Signature: 2\nSubject: hello\n");
  assert.equal(remove({ "DKIM-Signature": -1 }), "Received: a\nX-Spam: No\nDKIM-Signature: 1\nSubject: hello\n");
  assert.equal(remove({ "DKIM-Signature": 0 }), "Received: a\nX-Spam: No\nSubject: hello\n");
  assert.equal(remove({ "DKIM-Signature": -3, None: -1 }), header({ action: "no action" }));
  const add = (add_headers: object): string => header({ action: "no action", milter: { add_headers } });
  const own = "Received: a\nX-Spam: No\nDKIM-Signature: 1\nDKIM-Signature: 2\nSubject: hello\n";
  assert.equal(add({ "X-A": "b" }), `${own}X-A: b\n`);
  assert.equal(add({ "X-A": { value: "b", order: 0 } }), `X-A: b\n${own}`);
  assert.equal(add({ "X-A": { value: "b", order: 1 } }), `X-A: b\n${own}`, "our Received field is the first");
  assert.equal(add({ "X-A": { value: "b", order: 2 } }), own.replace("X-Spam", "X-A: b\nX-Spam"));
  assert.equal(add({ "X-A": { value: "b", order: -1 } }), `${own}X-A: b\n`);
  assert.equal(add({ "X-A": { value: "b", order: -2 } }), own.replace("Subject", "X-A: b\nSubject"));
  assert.equal(add({ "X-A": [{ value: "b", order: 0 }, "c"] }), `X-A: b\n${own}X-A: c\n`);
  assert.equal(
    add({ "X-A": "folded;\n\there", "X-B": "not\nfolded" }),
    `${own}X-A: folded;\n\there\nX-B: not\n folded\n`,
  );
});

test("signatures stand in front, in rspamd's order", () => {
  assert.match(
    header({ action: "no action", "dkim-signature": ["v=1; a=x;\r\n\tb=1", "v=1; b=2"] }),
    /^DKIM-Signature: v=1; a=x;\n\tb=1\nDKIM-Signature: v=1; b=2\nReceived: a\n/,
  );
});

test("sender and recipients change as rspamd says; without `edits` nothing does", () => {
  const milter = { change_from: "<a@b.example>", add_rcpt: ["c@d.example"], del_rcpt: ["<bob@example.org>"] };
  assert.deepEqual(verdict({ action: "no action", milter }).edits, [
    { edit: "sender", sender: "a@b.example" },
    { edit: "add-recipient", recipient: "c@d.example" },
    { edit: "remove-recipient", recipient: "bob@example.org" },
  ]);
  assert.equal(verdict({ action: "no action", milter, "dkim-signature": "x" }, { edits: false }).edits, undefined);
});

test("rspamd may say what it would have done, or soften a refusal, never make one sterner", () => {
  const told = { action: "reject", milter: { no_action: true } };
  assert.equal(replyOf(verdict(told)), "keep");
  assert.match(header(told), /X-Rspamd-Action: reject\n$/);
  assert.equal(replyOf(verdict({ action: "reject", milter: { reject: "discard" } })), "discard");
  assert.equal(replyOf(verdict({ action: "reject", milter: { reject: "quarantine" } })), "quarantine");
  assert.equal(replyOf(verdict({ action: "reject", milter: { reject: "discard" } }, { onReject: "mark" })), "keep");
});

test("mail for which rspamd has an action of the operator's own goes on, and the log names it", () => {
  const own = { action: "to the archive", milter: { add_headers: { "X-A": "b" } } };
  assert.equal(replyOf(verdict(own)), "keep");
  assert.match(header(own), /X-A: b\n$/);
  assert.equal(verdict(own).because, "to the archive, score 7.12");
});

test("an answer that is none, an error, or without an action is a problem", () => {
  for (const [text, says] of [
    ["", /no JSON/],
    ["<html>", /no JSON/],
    ["[]", /makes no sense/],
    ['{"error":"cannot find settings id"}', /it failed: "cannot find settings id"/],
    ['{"score":1}', /makes no sense at action/],
    ['{"action":""}', /makes no sense at action/],
    ['{"action":"reject","milter":{"add_headers":{"X":{"order":0}}}}', /makes no sense at milter\.add_headers/],
  ] as const) {
    const parsed = parseRspamdAnswer(text);
    assert.ok(!parsed.ok);
    assert.match(parsed.problem, says);
  }
  // Empty tables of Lua are arrays.
  assert.ok(
    parseRspamdAnswer(
      '{"action":"no action","symbols":[],"messages":[],"milter":{"add_headers":[],"remove_headers":[]}}',
    ).ok,
  );
  fc.assert(fc.property(fc.json(), (text) => void parseRspamdAnswer(text)));
});

test("no answer makes an edit that the chain would refuse to make", () => {
  const text = fc.string({
    maxLength: 30,
    unit: fc.constantFrom("a", ":", " ", "\r", "\n", "\t", "\0", "ü", "@", "<"),
  });
  fc.assert(
    fc.property(fc.dictionary(text, text), fc.array(text), text, text, (fields, signatures, subject, mark) => {
      const answer = {
        action: "rewrite subject",
        subject,
        "dkim-signature": signatures,
        milter: { add_headers: fields, spam_header: mark },
      };
      const { edits = [] } = verdict(answer);
      const before = MAIL.header.toString("latin1").split("\r\n").length;
      const { header: after } = applyEdits(MAIL.header, edits);
      assert.ok(after.toString("latin1").split(/\r\n(?![ \t])/).length <= before + edits.length);
    }),
  );
});

test("the question says who sent what to whom from where, in headers without line ends", () => {
  const { facts } = testMail("Subject: x\n\n", {
    facts: {
      account: "joe",
      tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" },
      helo: "a\r\nPassword: x",
    },
    mail: {
      sender: "",
      recipients: ["bob@example.org", "jürgen@example.org"].map((address) => ({ address, parameters: [] })),
    },
  });
  const headers = questionHeaders(
    { facts },
    settings({ headers: { "MTA-Tag": "in" }, settingsId: "strict" }),
    "s3cret",
  );
  assert.deepEqual(headers, {
    "content-type": "application/octet-stream",
    "accept-encoding": "identity",
    "user-agent": "posthorn",
    From: "<>",
    IP: "192.0.2.99",
    Helo: "a Password: x",
    Hostname: "client.example.net",
    User: "joe",
    "Queue-ID": "3f8Q0000000000001",
    "MTA-Name": "mx.example.org",
    "TLS-Cipher": "TLS_AES_256_GCM_SHA384",
    "TLS-Version": "TLSv1.3",
    "Settings-ID": "strict",
    Password: "s3cret",
    Flags: "milter,body_block",
    "MTA-Tag": "in",
    Rcpt: ["bob@example.org", "jÃ¼rgen@example.org"],
  });
});
