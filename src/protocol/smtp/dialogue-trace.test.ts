import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DialogueTrace } from "./dialogue-trace.ts";

function traced() {
  const lines: string[] = [];
  const trace = { isOn: true, show: (line: string) => void lines.push(line) };
  const dialogue = DialogueTrace.begin(trace, () => "s1 mx");
  assert.ok(dialogue !== undefined);
  return { lines, dialogue, trace };
}

test("commands, replies and the size of content are shown, each on a line of its own", () => {
  const { lines, dialogue } = traced();
  dialogue.server({ code: 220, lines: ["mx ESMTP"] });
  dialogue.client("EHLO me\r\n");
  dialogue.server({ code: 250, lines: ["mx", "PIPELINING"] });
  dialogue.client("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
  dialogue.server({ code: 354, lines: ["go"] });
  dialogue.content(700);
  dialogue.content(34);
  dialogue.server({ code: 250, status: "2.0.0", lines: ["ok"] });
  dialogue.note("the connection ends");
  assert.deepEqual(lines, [
    "s1 mx S: 220 mx ESMTP",
    "s1 mx C: EHLO me",
    "s1 mx S: 250-mx",
    "s1 mx S: 250 PIPELINING",
    "s1 mx C: MAIL FROM:<a@b>",
    "s1 mx C: RCPT TO:<c@d>",
    "s1 mx C: DATA",
    "s1 mx S: 354 go",
    "s1 mx C: [734 bytes of content]",
    "s1 mx S: 250 2.0.0 ok",
    "s1 mx -- the connection ends",
  ]);
});

test("no answer of an AUTH exchange is shown, also after content, chunks and refusals before it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("data", "bdat", "refused", "rset"), { maxLength: 6 }),
      fc.constantFrom("plain", "login", "plain-later"),
      (before, kind) => {
        const { lines, dialogue } = traced();
        for (const what of before) {
          if (what === "data") {
            dialogue.client("DATA\r\n");
            dialogue.server({ code: 354, lines: ["go"] });
            dialogue.content(5);
            dialogue.server({ code: 250, lines: ["ok"] });
          } else if (what === "bdat") {
            dialogue.client("BDAT 500 LAST\r\n");
            dialogue.content(500);
            dialogue.server({ code: 250, lines: ["ok"] });
          } else {
            dialogue.client(what === "rset" ? "RSET\r\n" : "RCPT TO:<x@y>\r\n");
            dialogue.server({ code: what === "rset" ? 250 : 550, lines: ["so"] });
          }
        }
        if (kind === "plain") dialogue.client("AUTH PLAIN c2VjcmV0\r\n");
        else {
          dialogue.client(kind === "login" ? "AUTH LOGIN\r\n" : "AUTH PLAIN\r\n");
          dialogue.server({ code: 334, lines: [kind === "login" ? "c2VjcmV0" : ""] });
          dialogue.client("c2VjcmV0\r\n");
          if (kind === "login") {
            dialogue.server({ code: 334, lines: ["c2VjcmV0"] });
            dialogue.client("c2VjcmV0\r\n");
          }
        }
        dialogue.server({ code: 235, lines: ["welcome"] });
        dialogue.client("MAIL FROM:<a@b>\r\n");
        const text = lines.join("\n");
        assert.doesNotMatch(text, /c2VjcmV0/);
        assert.match(text, /AUTH (PLAIN|LOGIN)/);
        assert.match(text, /C: MAIL FROM:<a@b>$/);
      },
    ),
  );
});

test("nothing is made while the trace is off, and nothing shown once it ended", () => {
  assert.equal(
    DialogueTrace.begin({ isOn: false, show: () => {} }, () => assert.fail("asked for")),
    undefined,
  );
  const { lines, dialogue, trace } = traced();
  trace.isOn = false;
  dialogue.client("NOOP\r\n");
  assert.deepEqual(lines, []);
});
