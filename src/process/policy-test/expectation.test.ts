import assert from "node:assert/strict";
import { test } from "node:test";
import { expectationSettings, type ExpectationInput } from "./case.ts";
import { differences } from "./expectation.ts";
import type { Found } from "./trial.ts";

const FOUND: Found = {
  verdict: "accept",
  stage: "message",
  code: 250,
  text: "250 2.0.0 Ok: queued",
  recipients: [
    { recipient: "team@example.org", isAccepted: true, reply: "250 Ok" },
    { recipient: "no@example.org", isAccepted: false, reply: "550 No" },
  ],
  envelopes: [
    { recipient: "ann@example.org", action: "deliver", sender: "" },
    { recipient: "bob@example.org", action: "deliver", sender: "" },
  ],
  rule: "rule 2 (posthorn.yaml:12)",
  header: [
    { name: "X-Spam", value: "no, 1.5 of 5" },
    { name: "x-spam", value: "second" },
  ],
  body: "Hello\r\n",
  tags: ["clean", "office"],
  unexpected: [],
  log: [],
};

const differing = (expected: ExpectationInput): readonly string[] =>
  differences(expectationSettings.parse(expected), FOUND).map(({ what }) => what);

test("what holds has no differences, and what is not spoken of may be anything", () => {
  assert.deepEqual(differing("accept"), []);
  assert.deepEqual(differing({}), []);
  assert.deepEqual(
    differing({
      verdict: "accept",
      stage: "message",
      code: 250,
      text: "/^250 .* queued$/",
      rule: "rule 2",
      action: "deliver",
      recipients: ["bob@example.org", "ann@example.org"],
      refused: "no@example.org",
      sender: "<>",
      header: { "X-SPAM": "1.5", "X-Spam": "/^second$/" },
      absent: ["X-Virus"],
      body: "Hello",
      tags: "office",
    }),
    [],
  );
});

test("each thing that differs is told by its name", () => {
  assert.deepEqual(differing("reject"), ["verdict"]);
  assert.deepEqual(
    differing({
      stage: "rcpt",
      code: 550,
      text: "relay",
      rule: "rule 20",
      restriction: "neighbours",
      because: "x",
      action: ["deliver", "relay"],
      recipients: "ann@example.org",
      refused: [],
      sender: "a@example.org",
      header: { "X-Spam": "/^yes/", "X-No": "a" },
      absent: "X-Spam",
      body: "Bye",
      tags: ["office", "bulk"],
    }),
    [
      "stage",
      "code",
      "text",
      "rule",
      "restriction",
      "because",
      "action",
      "recipients",
      "refused",
      "sender",
      "header X-Spam",
      "header X-No",
      "header X-Spam",
      "body",
      "tags",
    ],
  );
});
