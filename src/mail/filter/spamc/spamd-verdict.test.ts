import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { testMail } from "../../../testing/filter-mail.ts";
import { userOf } from "./preferences.ts";
import { spamcSettings } from "./settings.ts";
import { editsToward, prefaceOf, spamdVerdict, withoutPreface } from "./spamd-verdict.ts";

const settings = (more: object = {}) => spamcSettings.parse({ servers: "127.0.0.1:783", ...more });
const answer = (score: number, symbols = "") => ({ spam: { isSpam: score >= 5, score, threshold: 5 }, symbols });
const fields = (text: string): Buffer => Buffer.from(text.replace(/\n/g, "\r\n"));

test("mail that spamd calls spam is marked with fields that people know, and tagged; the client's own are taken out", () => {
  const verdict = spamdVerdict(answer(6.2, "GTUBE,MISSING_DATE"), settings({ action: "junk" }));
  assert.deepEqual(verdict, {
    fate: { kind: "keep" },
    score: { value: 6.2, wanted: 5, symbols: "GTUBE,MISSING_DATE" },
    because: "spam, score 6.2 of 5",
    tags: ["spam"],
    action: "junk",
    edits: [
      { edit: "remove-field", name: "X-Spam-Flag" },
      { edit: "add-field", name: "X-Spam-Flag", value: "YES" },
      { edit: "remove-field", name: "X-Spam-Status" },
      { edit: "add-field", name: "X-Spam-Status", value: "Yes, score=6.2 required=5.0 tests=GTUBE, MISSING_DATE" },
      { edit: "remove-field", name: "X-Spam-Score" },
      { edit: "add-field", name: "X-Spam-Score", value: "6.2" },
      { edit: "remove-field", name: "X-Spam-Level" },
      { edit: "add-field", name: "X-Spam-Level", value: "******" },
    ],
  });
});

test("other mail loses a flag that the client gave it, and keeps its own action", () => {
  const verdict = spamdVerdict(answer(-0.5), settings({ action: "junk" }));
  assert.equal(verdict.action, undefined);
  assert.equal(verdict.tags, undefined);
  assert.deepEqual(verdict.edits?.[0], { edit: "remove-field", name: "X-Spam-Flag" });
  assert.ok(!verdict.edits?.some((edit) => edit.edit === "add-field" && edit.name === "X-Spam-Flag"));
  assert.ok(verdict.edits?.some((edit) => edit.edit === "add-field" && edit.value === "No, score=-0.5 required=5.0"));
});

test("each threshold has its fate, from that score on; the sternest counts", () => {
  const fates = settings({ quarantineAbove: "threshold", rejectAbove: 10, discardAbove: 100, mark: false });
  const kinds = [4.9, 5, 9.9, 10, 99, 100].map((score) => spamdVerdict(answer(score), fates).fate.kind);
  assert.deepEqual(kinds, ["keep", "quarantine", "quarantine", "refuse", "refuse", "discard"]);
  const { fate } = spamdVerdict(answer(12.5), fates);
  assert.equal(fate.kind === "refuse" && fate.reply.code, 550);
  assert.deepEqual(spamdVerdict(answer(1), fates).edits, undefined);
  assert.equal(spamdVerdict(answer(3), settings({ markAbove: 2 })).tags?.[0], "spam");
  assert.equal(spamdVerdict(answer(7), settings({ markAbove: 8 })).tags, undefined);
});

test("a long list of rules is folded", () => {
  const { edits = [] } = spamdVerdict(
    answer(6, Array.from({ length: 40 }, (_, n) => `RULE_${n}`).join(",")),
    settings(),
  );
  const status = edits.find((edit) => edit.edit === "add-field" && edit.name === "X-Spam-Status");
  assert.ok(status?.edit === "add-field");
  for (const line of status.value.split("\r\n")) assert.ok(line.length <= 78, line);
});

test("SpamAssassin's own fields come instead of the client's, and a new subject; nothing else", () => {
  const own = fields("Received: x\nX-Spam-Flag: NO\nSubject: win\nFrom: a@b.example\nContent-Type: text/plain\n");
  const theirs = fields(
    "Received: by spamd\nFrom: a@b.example\nSubject: [SPAM] win\nX-Spam-Flag: YES\nX-Spam-Status: Yes, score=9\n\ttests=A\nContent-Type: multipart/mixed\n",
  );
  assert.deepEqual(editsToward(theirs, own), [
    { edit: "remove-field", name: "x-spam-flag" },
    { edit: "add-field", name: "X-Spam-Flag", value: "YES" },
    { edit: "add-field", name: "X-Spam-Status", value: "Yes, score=9\r\n\ttests=A" },
    { edit: "change-field", name: "Subject", nth: 1, value: "[SPAM] win" },
  ]);
});

test("what was put in front for SpamAssassin alone is taken out of its answer, once", () => {
  const mail = testMail("Subject: x\n\n", { trace: "Received: from a\r\n\tby b; Sat\r\n" });
  const preface = prefaceOf(mail);
  assert.equal(preface, "Return-Path: <alice@example.net>\r\nReceived: from a\r\n\tby b; Sat\r\n");
  const answered = fields(
    "X-Spam-Flag: NO\nReturn-Path: <alice@example.net>\nReceived: from a by b; Sat\nReceived: from a by b; Sat\nSubject: x\n",
  );
  assert.equal(
    withoutPreface(answered, preface.replace("\r\n\t", " ")).toString(),
    "X-Spam-Flag: NO\r\nReceived: from a by b; Sat\r\nSubject: x\r\n",
  );
});

test("preferences are those of a name, or of the only recipient", () => {
  const to = (...addresses: readonly string[]) => ({
    recipients: addresses.map((address) => ({ address, parameters: [] })),
  });
  assert.equal(userOf(undefined, to("bob@example.org")), undefined);
  assert.equal(userOf("mail", to("a@x", "b@x")), "mail");
  assert.equal(userOf("{user}", to("bob@example.org")), "bob");
  assert.equal(userOf("{recipient}", to("$&@example.org")), "$&@example.org");
  assert.equal(userOf("{user}", to("a@x", "b@x")), undefined);
});

test("no header section of a peer makes an edit that is more than one field", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const edit of editsToward(Buffer.concat([Buffer.from("X-Spam-A: "), bytes]), fields("Subject: x\n")))
        if ("value" in edit)
          assert.ok(!/\r\n(?![ \t]+\S)|(?<!\r)\n|\r(?!\n)/.test(edit.value), JSON.stringify(edit.value));
    }),
  );
});
