import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { PLAIN_TERMS } from "../../testing/dialogue.ts";
import { memoryQueue } from "../../testing/reception.ts";
import { masqueradeSettings } from "../envelope/rewrite/settings.ts";
import { authorsOf } from "../envelope/sender-rights.ts";
import type { BodyWriter } from "../queue/queue.ts";
import { IncomingContent } from "./incoming-content.ts";
import type { Content, Opening, Terms } from "./state.ts";

const TRACE = "Received: here\r\n";
const OPENING: Opening = { message: "M1", trace: TRACE, isBinary: false };
const ADDING = { at: 0, offsetMinutes: 0, id: "M1", host: "mx.test", sender: "a@b.example" };

async function receive(
  pieces: readonly Buffer[],
  opening = OPENING,
  terms: Terms = PLAIN_TERMS,
): Promise<{ content: Content; stored: string; isComplete: boolean }> {
  const writer = memoryQueue().begin("M1");
  const incoming = new IncomingContent(opening, terms, writer);
  let isComplete = false;
  for (const piece of pieces) {
    const { rest, written } = incoming.pushData(piece);
    await written;
    isComplete ||= rest !== undefined;
  }
  const content = await incoming.end();
  const body = await writer.finish();
  return { content, isComplete, stored: body.kind === "inline" ? Buffer.from(body.bytes).toString("latin1") : "" };
}

function inPieces(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

test("the trace field comes first, and the content follows as it was meant", async () => {
  const { stored, content } = await receive([Buffer.from("Message-ID: <1@x>\r\n\r\nhi\r\n..\r\n.\r\n")]);
  assert.equal(stored, `${TRACE}Message-ID: <1@x>\r\n\r\nhi\r\n.\r\n`);
  assert.equal(content.storedBytes, stored.length);
  assert.equal(content.messageIdField, "<1@x>");
});

test("binary content may hold any octet, and its header only whole line ends", async () => {
  const opening: Opening = { ...OPENING, isBinary: true };
  const refusal = async (text: string, cuts: readonly number[]): Promise<Content["refusal"]> => {
    const incoming = new IncomingContent(opening, PLAIN_TERMS, memoryQueue().begin("M1"));
    for (const piece of inPieces(text, cuts)) {
      incoming.beginChunk(piece.length);
      await incoming.pushChunk(piece).written;
    }
    return (await incoming.end()).refusal;
  };
  for (const cuts of [[], [3], [5, 6, 7], [20, 21]]) {
    assert.equal(await refusal("From: a@b\r\nSubject: x\r\n\r\n\r\0\n\n\xff\r", cuts), undefined);
    assert.equal(await refusal("From: a@b\nFrom: eve@x.example\r\n\r\nhi", cuts), "bare-header");
    assert.equal(await refusal("X: a\rFrom: eve@x.example\r\n\r\nhi", cuts), "bare-header");
    assert.equal(await refusal("X: a\r\n\nhi", cuts), "bare-header");
  }
});

test("of a From too long to be kept nothing is taken for its author, however it is filled up", async () => {
  const authors = async (from: string, cuts: readonly number[]): Promise<unknown> => {
    const { content } = await receive(inPieces(`${from}\r\nSubject: x\r\n\r\nhi\r\n.\r\n`, cuts));
    return (content.authorFields ?? []).map(authorsOf);
  };
  const eve = "<ceo@own.example>";
  for (const cuts of [[], [7, 2000], [4090, 4096, 4097, 4100]]) {
    assert.deepEqual(await authors("From: me@own.example", cuts), [["me@own.example"]]);
    for (const filling of [
      " ".repeat(5000),
      `${" ".repeat(400)}\r\n`.repeat(20),
      "\r\n ".repeat(3000),
      ", ".repeat(2050),
    ])
      assert.deepEqual(await authors(`From: me@own.example${filling} ${eve}`, cuts), [undefined]);
    const many = await authors(`${"From: me@own.example\r\n".repeat(64)}From: ${eve}`, cuts);
    assert.deepEqual(many, [undefined]);
  }
});

test("a message of nothing at all is kept as its trace field", async () => {
  const { stored, isComplete } = await receive([Buffer.from(".\r\n")]);
  assert.equal(isComplete, true);
  assert.equal(stored, TRACE);
});

test("where fields are added a header that ends with no empty line gets one, so that nobody finds fields behind it", async () => {
  const opening: Opening = { ...OPENING, adding: ADDING };
  const own = "Date: x\r\nFrom: <q@w.example>\r\nMessage-ID: <1@x>\r\n";
  for (const rest of ["junk\r\nFrom: <eve@x.example>\r\n\r\nhi\r\n", "Fr\u00f6m: x\r\nFrom: y\r\n", "hello"]) {
    const { stored, content } = await receive(inPieces(`${own}${rest}\r\n.\r\n`, [9, 60, 70]), opening);
    assert.equal(stored, `${TRACE}${own}\r\n${rest}\r\n`);
    assert.deepEqual(content.authorFields, ["<q@w.example>"]);
    assert.equal(content.isHeaderBroken, false);
  }
  // Not even a continuation of what we put in front.
  const { stored } = await receive([Buffer.from(" From: <eve@x.example>\r\nFrom: z\r\n.\r\n")], opening);
  assert.match(stored, /From: a@b\.example\r\n\r\n From: <eve@x\.example>\r\nFrom: z\r\n$/);
  // Elsewhere content stays as it came.
  const relayed = await receive([Buffer.from("A: b\r\njunk\r\n.\r\n")]);
  assert.equal(relayed.stored, `${TRACE}A: b\r\njunk\r\n`);
  assert.equal(relayed.content.isHeaderBroken, true);
});

test("missing fields are added where asked, in front, and fields that are there stay alone", async () => {
  const opening: Opening = { ...OPENING, adding: ADDING };
  const bare = await receive([Buffer.from("Subject: x\r\n\r\nhi\r\n.\r\n")], opening);
  assert.match(
    bare.stored,
    /^Received: here\r\nMessage-ID: <.+@mx\.test>\r\nDate: .+\r\nFrom: a@b\.example\r\nSubject: x\r\n\r\nhi/,
  );
  const [, id = "none"] = /^Message-ID: (<.+>)\r$/m.exec(bare.stored) ?? [];
  assert.equal(bare.content.messageIdField, id, "the log, notices and whoever looks for it know the id that it has");
  const whole = "Date: x\r\nFrom: <q@w.example>\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n";
  assert.equal((await receive([Buffer.from(`${whole}.\r\n`)], opening)).stored, TRACE + whole);
});

test("submitted mail has the names of hosts hidden in its header, and only there", async () => {
  const masquerade = masqueradeSettings.parse({ domains: ["example.org"] });
  const terms: Terms = { ...PLAIN_TERMS, rewriting: { masquerade } };
  const text = "Subject: bob@pc.example.org\r\nFrom: Bob\r\n <bob@pc.example.org>\r\n\r\nFrom: bob@pc.example.org\r\n";
  const { stored, content } = await receive([Buffer.from(`${text}.\r\n`)], OPENING, terms);
  assert.equal(stored, TRACE + text.replace("<bob@pc.example.org>", "<bob@example.org>"));
  assert.equal(content.storedBytes, stored.length);
  assert.deepEqual(content.authorFields, ["Bob <bob@example.org>"], "who may be the author is asked of what is stored");
  const signed = `DKIM-Signature: v=1\r\n${text}`;
  assert.equal((await receive([Buffer.from(`${signed}.\r\n`)], OPENING, terms)).stored, TRACE + signed);
});

test("wherever the stream is cut, the same is stored and found", async () => {
  const text = "Received: a\r\n b\r\nFrom: x@z.y\r\nReceived: c\r\n\r\n.. dot\r\nbody é\r\n.\r\n";
  const masquerade = masqueradeSettings.parse({ domains: ["y"] });
  for (const [opening, terms] of [
    [OPENING, PLAIN_TERMS],
    [{ ...OPENING, adding: ADDING }, PLAIN_TERMS],
    [
      { ...OPENING, adding: ADDING },
      { ...PLAIN_TERMS, rewriting: { masquerade } },
    ],
    [OPENING, { ...PLAIN_TERMS, rewriting: { masquerade } }],
  ] as const) {
    const whole = await receive([Buffer.from(text, "latin1")], opening, terms);
    assert.equal(whole.content.hops, 2);
    assert.equal(whole.content.facts.has8bit, true);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(100), { maxLength: 6 }), async (cuts) => {
        assert.deepEqual(await receive(inPieces(text, cuts), opening, terms), whole);
      }),
      { numRuns: 60 },
    );
  }
});

test("content beyond the size is refused and no longer kept, but read to its end", async () => {
  const terms = { ...PLAIN_TERMS, settings: { ...PLAIN_TERMS.settings, messageSize: 100 } };
  const fits = await receive([Buffer.from(`${"x".repeat(98)}\r\n.\r\n`)], OPENING, terms);
  assert.equal(fits.content.refusal, undefined);
  const pieces = Array.from({ length: 50 }, () => Buffer.from("y".repeat(50)));
  const big = await receive([...pieces, Buffer.from("\r\n.\r\n")], OPENING, terms);
  assert.equal(big.content.refusal, "too-big");
  assert.equal(big.isComplete, true);
  assert.ok(big.stored.length < 200);
});

test("a header section beyond its size is refused, with or without fields to add", async () => {
  const terms = { ...PLAIN_TERMS, settings: { ...PLAIN_TERMS.settings, headerSize: 1000 } };
  const text = `${"X-Field: yes\r\n".repeat(200)}\r\nbody\r\n.\r\n`;
  for (const opening of [OPENING, { ...OPENING, adding: ADDING }])
    assert.equal((await receive(inPieces(text, [500, 1500]), opening, terms)).content.refusal, "header-too-big");
});

test("a writer that fails makes the message refused, not the session broken", async () => {
  const writer: BodyWriter = {
    write: () => {
      throw new Error("disk");
    },
    settle: () => Promise.reject(new Error("disk")),
    finish: () => Promise.reject(new Error("disk")),
    abort: () => Promise.resolve(),
    sizeBytes: 0,
  };
  const incoming = new IncomingContent(OPENING, PLAIN_TERMS, writer);
  assert.notEqual(incoming.pushData(Buffer.from("hi\r\n.\r\n")).rest, undefined);
  assert.deepEqual((await incoming.end()).refusal, { isFull: false, reason: "disk" });
});

test("a client of bare line ends is known to wait when its end of data is none", () => {
  for (const [pieces, expected] of [
    [["hello\n.\n"], true],
    [["hello\n", ".", "\n"], true],
    [["hello\r\n.\n"], true],
    [["hello\n.\r\n"], true],
    [["a\rb\r.\r"], true],
    [[".\n"], true],
    [["hello\nworld\r\n"], false],
    [["hello\r\n..\r\n"], false],
  ] as const) {
    const incoming = new IncomingContent(OPENING, PLAIN_TERMS, memoryQueue().begin("M1"));
    for (const piece of pieces) assert.equal(incoming.pushData(Buffer.from(piece)).rest, undefined);
    assert.equal(incoming.isHopeless, expected, JSON.stringify(pieces));
  }
});

test("normalised content has no bare line end left, and only a true end ends it", async () => {
  const terms = { ...PLAIN_TERMS, bareLineEnds: "normalise" } as const;
  const { stored } = await receive([Buffer.from("a\nb\rc\n.\nMAIL FROM:<x>\r.\rd\r\n.\r\n")], OPENING, terms);
  assert.equal(stored, `${TRACE}a\r\nb\r\nc\r\n.\r\nMAIL FROM:<x>\r\n.\r\nd\r\n`);
});
