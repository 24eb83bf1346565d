import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { spamdReplyReader, type SpamdHeard } from "./reply.ts";
import { spamcRequest } from "./request.ts";

function read(text: string, cuts: readonly number[] = [], mostBytes = 1000): readonly SpamdHeard[] {
  const bytes = Buffer.from(text, "latin1");
  const reader = spamdReplyReader(mostBytes);
  const heard: SpamdHeard[] = [];
  let from = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    heard.push(...reader.push(bytes.subarray(from, Math.max(from, cut))));
    from = Math.max(from, cut);
  }
  return [...heard, ...reader.end()];
}

/** The head and all of the content in one. */
function summary(heard: readonly SpamdHeard[]): unknown {
  const bytes = heard.flatMap((each) => (each.kind === "content" ? [each.bytes] : []));
  return {
    head: heard.find(({ kind }) => kind === "head"),
    content: Buffer.concat(bytes).toString("latin1"),
    last: heard.at(-1)?.kind,
  };
}

const SPAM = "SPAMD/1.1 0 EX_OK\r\nContent-length: 19\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE,MISSING_HEADE";

test("an answer has a code, a score and content", () => {
  assert.deepEqual(summary(read(SPAM)), {
    head: {
      kind: "head",
      head: { code: 0, word: "EX_OK", contentBytes: 19, spam: { isSpam: true, score: 1000, threshold: 5 } },
    },
    content: "GTUBE,MISSING_HEADE",
    last: "end",
  });
  assert.deepEqual(summary(read("SPAMD/1.5 0 EX_OK\nSpam: False ; -1.9 / 5.0\n\n")), {
    head: { kind: "head", head: { code: 0, word: "EX_OK", spam: { isSpam: false, score: -1.9, threshold: 5 } } },
    content: "",
    last: "end",
  });
});

test("an answer is the same however it was cut", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(SPAM.length), { maxLength: 6 }), (cuts) => {
      assert.deepEqual(summary(read(SPAM, cuts)), summary(read(SPAM)));
    }),
  );
});

test("a refusal is a line of its own", () => {
  assert.deepEqual(read("SPAMD/1.0 76 Bad header line: (EOF during headers)\r\n"), [
    { kind: "head", head: { code: 76, word: "Bad header line: (EOF during headers)" } },
    { kind: "end" },
  ]);
  assert.deepEqual(read("SPAMD/1.4 0 PONG\r\n")[0], { kind: "head", head: { code: 0, word: "PONG" } });
});

test("what is no answer, longer or shorter than announced, or has no number as its score, is broken", () => {
  for (const [text, says] of [
    ["", /without an answer/],
    ["220 mx ESMTP\r\n", /no answer of spamd/],
    ["SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\n\r\nabc", /after 3 of 5 bytes/],
    ["SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\n\r\nabc", /more than it had announced/],
    ["SPAMD/1.1 0 EX_OK\r\nContent-length: 5000\r\n\r\nabc", /announced 5000 bytes/],
    ["SPAMD/1.1 0 EX_OK\r\nContent-length: -1\r\n\r\n", /no length/],
    ["SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5.0\r\n\r\n", /no score/],
    ["SPAMD/1.1 0 EX_OK\r\nSpam: Maybe ; 1 / 5\r\n\r\n", /no score/],
    [`SPAMD/1.1 0 EX_OK\r\n\r\n${"x".repeat(2000)}`, /longer than 1000 bytes/],
    ["x".repeat(20_000), /no end of the header/],
  ] as const) {
    const last = read(text).at(-1);
    assert.equal(last?.kind, "broken", text.slice(0, 60));
    assert.match(last.text, says);
  }
});

test("no bytes make the reader throw", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), fc.boolean(), (chunks, isStarted) => {
      const reader = spamdReplyReader(100);
      if (isStarted) reader.push(Buffer.from("SPAMD/1.1 0 EX_OK\r\n"));
      for (const chunk of chunks) reader.push(chunk);
      reader.end();
    }),
  );
});

test("a question has the length of the mail, and a user without anything that could end the line", () => {
  assert.equal(
    spamcRequest({ command: "SYMBOLS", sizeBytes: 120, user: "bob\r\nX: y" }).toString(),
    "SYMBOLS SPAMC/1.5\r\nContent-length: 120\r\nUser: bobX:y\r\n\r\n",
  );
  assert.equal(
    spamcRequest({ command: "CHECK", sizeBytes: 0 }).toString(),
    "CHECK SPAMC/1.5\r\nContent-length: 0\r\n\r\n",
  );
});
