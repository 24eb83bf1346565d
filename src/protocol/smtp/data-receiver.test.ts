import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { allTexts, cut, cuts } from "../../testing/cut.ts";
import type { ContentFacts } from "./content-facts.ts";
import { DataReceiver, type BareEndings } from "./data-receiver.ts";

interface Received {
  readonly content: string;
  readonly rest: string | undefined;
  readonly facts: ContentFacts;
}

/** Latin-1, so that each byte is a character. */
function receive(pieces: readonly Buffer[], bareEndings: BareEndings): Received {
  const receiver = new DataReceiver(bareEndings);
  let content = "";
  let rest: string | undefined;
  for (const piece of pieces) {
    if (rest !== undefined) rest += piece.toString("latin1");
    else {
      const progress = receiver.push(piece);
      content += Buffer.concat(progress.content).toString("latin1");
      rest = progress.rest?.toString("latin1");
    }
  }
  return { content, rest, facts: receiver.facts };
}

function whole(text: string, bareEndings: BareEndings = "keep"): Received {
  return receive([Buffer.from(text, "latin1")], bareEndings);
}

/** RFC 5321 section 4.5.2, said with strings: the data is lines of CRLF, and a line of one dot ends it. */
function expected(text: string, bareEndings: BareEndings): { content: string; rest: string } | undefined {
  const end = `\r\n${text}`.indexOf("\r\n.\r\n");
  if (end < 0) return undefined;
  const lines = text.slice(0, end).split("\r\n");
  const content = lines.map((line) => (line.startsWith(".") ? line.slice(1) : line)).join("\r\n");
  return {
    content: bareEndings === "keep" ? content : content.replace(/\r\n|\r|\n/g, "\r\n"),
    rest: text.slice(end + 3),
  };
}

test("content ends at CRLF.CRLF, dots at line starts are taken away, and what follows is handed back", () => {
  const { content, rest } = whole("a\r\n..b\r\n.c\r\n.\r\nMAIL FROM:<>\r\n");
  assert.equal(content, "a\r\n.b\r\nc\r\n");
  assert.equal(rest, "MAIL FROM:<>\r\n");
});

test("an empty message is one dot", () => {
  assert.deepEqual(whole(".\r\n"), {
    content: "",
    rest: "",
    facts: { bytes: 0, has8bit: false, hasNul: false, longestLineBytes: 0, bareEndings: 0 },
  });
});

// Each has ended the data in one server or another (SMTP smuggling), or comes near to what did.
const SMUGGLING = [
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\r.\n",
  "\n.\r",
  "\r\r\n.\n",
  "\n\n.\r\n",
  "\r\r.\r\r",
  "\r\n\0.\r\n",
  "\r\n.\0\r\n",
  "\r\n.\r\0\n",
  "\r\n\0.\0\r\n",
  "\0\n.\n",
  "\r\n. \r\n",
  "\r\n.\t\r\n",
  "\r\n.\r\r\n",
  "\r\r\n.\r\r\n",
  "\r\n.\x0b\r\n",
  "\x85.\x85",
  "\r\n\x2e\x85",
  "\u00a0.\r\n",
];

test("no known smuggling sequence ends the data", () => {
  for (const sequence of SMUGGLING)
    for (const bareEndings of ["keep", "normalise"] as const) {
      const smuggled = `Subject: a\r\n\r\nb${sequence}MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@c>\r\nDATA\r\n`;
      const { rest, content } = whole(`${smuggled}.\r\nQUIT\r\n`, bareEndings);
      assert.equal(rest, "QUIT\r\n", JSON.stringify(sequence));
      assert.ok(content.includes("MAIL FROM:<evil@example.org>"), JSON.stringify(sequence));
    }
});

test("a CR or LF that stands alone is counted, so that the session can refuse the message", () => {
  assert.equal(whole("a\nb\r\n.\r\n").facts.bareEndings, 1);
  assert.equal(whole("a\rb\r\n.\r\n").facts.bareEndings, 1);
  assert.equal(whole("a\r\r\n.\r\n").facts.bareEndings, 1);
  assert.equal(whole(".\n\r\n.\r\n").facts.bareEndings, 1);
  assert.equal(whole(".\rx\r\n.\r\n").facts.bareEndings, 1);
  assert.equal(whole("a\r\n\r\n..\r\n.\r\n").facts.bareEndings, 0);
});

test("every text of CR, LF, dot, NUL and a letter is read as the RFC's definition says, whole and byte by byte", () => {
  for (const text of allTexts(["\r", "\n", ".", "\0", "a"], 5))
    for (const bareEndings of ["keep", "normalise"] as const) {
      const wanted = expected(`${text}\r\n.\r\nx`, bareEndings);
      const bytes = Buffer.from(`${text}\r\n.\r\nx`, "latin1");
      const atOnce = receive([bytes], bareEndings);
      assert.equal(atOnce.content, wanted?.content, JSON.stringify(text));
      assert.equal(atOnce.rest, wanted?.rest, JSON.stringify(text));
      const slowly = receive(
        Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
        bareEndings,
      );
      assert.deepEqual(slowly, atOnce, JSON.stringify(text));
    }
});

const streams = fc
  .array(fc.constantFrom("\r\n", "\r\n.", "\r\n..", "\r\n.\r\n", "\n", "\r", ".", "\0", "text", "é", "x".repeat(100)), {
    maxLength: 30,
  })
  .map((parts) => parts.join(""));

test("property: any cut of the bytes gives the same content, end and facts", () => {
  fc.assert(
    fc.property(streams, cuts, fc.constantFrom("keep" as const, "normalise" as const), (text, offsets, bareEndings) => {
      const bytes = Buffer.from(text, "latin1");
      const atOnce = receive([bytes], bareEndings);
      assert.deepEqual(receive(cut(bytes, offsets), bareEndings), atOnce);
      const wanted = expected(text, bareEndings);
      assert.equal(atOnce.rest, wanted?.rest);
      if (wanted !== undefined) assert.equal(atOnce.content, wanted.content);
    }),
    { numRuns: 300 },
  );
});

test("property: the facts are those of the content", () => {
  fc.assert(
    fc.property(streams, (text) => {
      const { content, facts } = whole(`${text}\r\n.\r\n`);
      assert.equal(facts.bytes, content.length);
      assert.equal(facts.has8bit, /[\x80-\xff]/.test(content));
      assert.equal(facts.hasNul, content.includes("\0"));
      assert.equal(facts.bareEndings, content.match(/\r(?!\n)|(?<!\r)\n/g)?.length ?? 0);
      const lines = content.split(/\r\n|\r|\n/);
      assert.equal(facts.longestLineBytes, Math.max(...lines.map((line) => line.length)));
    }),
    { numRuns: 300 },
  );
});

test("a megabyte of one line costs no memory of ours: slices are views", () => {
  const receiver = new DataReceiver("keep");
  const chunk = Buffer.alloc(65_536, "a");
  for (let count = 0; count < 16; count++) {
    const { content } = receiver.push(chunk);
    assert.equal(content.length, 1);
    assert.equal(content[0]?.buffer, chunk.buffer);
  }
  assert.equal(receiver.facts.longestLineBytes, 1_048_576);
});
