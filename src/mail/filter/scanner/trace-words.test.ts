import assert from "node:assert/strict";
import { test } from "node:test";
import { testMail } from "../../../testing/filter-mail.ts";
import { mailInWords, stageVerdictInWords, verdictInWords } from "./trace-words.ts";

test("the trace shows which mail and what was decided, never what is in it", () => {
  assert.equal(
    mailInWords(testMail("Subject: a secret\n\nAnother.\n")),
    "mail 3f8Q0000000000001 from <alice@example.net>, 31 bytes",
  );
  assert.equal(
    verdictInWords({
      fate: { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["No"] } },
      score: { value: 9.5, wanted: 5, symbols: "GTUBE" },
      because: "spam",
      edits: [
        { edit: "remove-field", name: "X-Spam" },
        { edit: "add-field", name: "X-Spam", value: "Yes" },
        { edit: "sender", sender: "a@b.example" },
      ],
      tags: ["spam"],
      action: "junk",
    }),
    "refuse 550 5.7.1 No; score 9.5 of 5 GTUBE; spam; no X-Spam, X-Spam, sender; tags spam; action junk",
  );
  assert.equal(verdictInWords({ fate: { kind: "keep" } }), "keep");
  assert.equal(
    stageVerdictInWords({ kind: "rewrite", to: "a@b.example", tags: ["x"] }),
    "rewrite to <a@b.example>; tags x",
  );
  assert.equal(
    stageVerdictInWords({ kind: "refuse", reply: { code: 451, lines: ["later"] }, because: "busy" }),
    "refuse 451 later; busy",
  );
});
