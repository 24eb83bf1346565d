import assert from "node:assert/strict";
import { changeDomains } from "../../../src/protocol/message/address-domains.ts";
import { formatListed, parseAddressList } from "../../../src/protocol/message/address-list.ts";
import { bareEndingFinder } from "../../../src/protocol/message/bare-endings.ts";
import { decodeWords } from "../../../src/protocol/message/decode-words.ts";
import { encodeWords } from "../../../src/protocol/message/encoded-word.ts";
import { formatField, sanitiseText, unfold } from "../../../src/protocol/message/field.ts";
import { parseHeaderSection, recipientsOf, withoutFields } from "../../../src/protocol/message/header-fields.ts";
import { HeaderScanner } from "../../../src/protocol/message/header-scanner.ts";
import { loopThrough, ownTraces } from "../../../src/protocol/message/own-received.ts";
import { rawFieldsOf } from "../../../src/protocol/message/raw-fields.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut, wiped } from "../pieces.ts";

const MOST_HEADER = 4096;
const OURS =
  "from a (b [192.0.2.1]) by mx (Posthorn) with ESMTPS id 4RkX (content-filter:a); Mon, 1 Jan 2024 00:00:00 +0000";

/**
 * Header sections: the scanner that sees pieces finds the same, wherever they are cut, as the one that has all at once; fields taken out
 * are gone and the body is what it was; addresses that were understood are understood again; other domains in address fields touch no body.
 */
export const target: FuzzTarget = {
  seeds: [
    'From: A <a@b.example>\r\nTo: c@d.example, "E F" <e@f>\r\nSubject: =?utf-8?q?x=20y?=\r\n\r\nbody\r\n',
    `Received: ${OURS}\r\nReceived: from x\r\n\tby y; date\r\nMessage-ID: <a@b>\r\nDate: x\r\nDelivered-To: a\r\n\r\n`,
    "Bcc: group:a@b,c@d;,(comment (nested))e@f\r\nResent-To: x@y\r\n continued\r\nno field\r\n",
    'To: <@r1,@r2:a@b>, a . b@c . d, "q\\""@[192.0.2.1]\n\nbody',
  ],
  tokens: [
    "\r\n",
    "\n",
    "\r",
    "From:",
    "To: ",
    "Bcc : ",
    "Received: ",
    "=?utf-8?B?",
    "?=",
    "<a@b>",
    ",",
    "(",
    ")",
    '"',
    "\\",
    ":",
    ";",
    " ",
    "\t",
    OURS,
    "[",
    "]",
    "=?iso-8859-1?q?",
  ],
  repeats: [
    ["To: ", "(", ""],
    ["To: ", "a,", ""],
    ["To: ", '"a" ', "<x@y>"],
    ["Subject: ", "=?utf-8?q?a?= ", ""],
    ["Received: ", "by x ", ""],
    ["To: ", "<", ""],
  ],
  run(bytes) {
    const summary = sameHoweverCut(bytes, (pieces) => {
      const scanner = new HeaderScanner({ maxHeaderBytes: MOST_HEADER });
      for (const piece of wiped(pieces)) scanner.push(piece);
      return scanner.end();
    });
    const section = parseHeaderSection(bytes);
    if (summary.endedBy === "empty-line") assert.equal(bytes[summary.bodyAt - 1], 10);
    assert.ok(summary.bodyAt <= bytes.length && section.bodyAt <= bytes.length);
    const isPlain = !/\r(?!\n)|[^\x00-\x7f]/.test(bytes.toString("latin1"));
    if (summary.endedBy === "empty-line" && isPlain && bytes.length < MOST_HEADER) {
      assert.equal(section.bodyAt, summary.bodyAt, "both see the body begin there");
      assert.equal(section.fields.length, summary.fieldCount);
    }
    const without = withoutFields(bytes, section, "Bcc");
    assert.ok(
      !parseHeaderSection(without)
        .fields.slice(0, section.fields.length)
        .some((field) => field.name.toLowerCase() === "bcc") || section.bodyAt === section.end,
    );
    recipientsOf(section);
    sameHoweverCut(bytes, (pieces) => {
      const find = bareEndingFinder();
      return [...pieces].map((piece) => find(piece)).includes(true);
    });
    const raw = rawFieldsOf(bytes.subarray(0, summary.headerBytes));
    assert.ok(raw.length <= bytes.length);
    loopThrough(ownTraces(section.fields.map((field) => field.value)), ["content-filter:a"]);
    const text = bytes.toString("utf8");
    for (const value of [text, ...section.fields.map((field) => field.value)].slice(0, 20)) {
      decodeWords(value);
      const list = parseAddressList(unfold(value));
      if (!list.ok) continue;
      for (const address of list.value.slice(0, 50)) {
        const written = formatListed(address);
        const again = parseAddressList(written);
        assert.ok(again.ok && again.value.length === 1 && again.value[0] !== undefined, written);
        assert.equal(formatListed(again.value[0]), written);
      }
    }
    const changed = changeDomains(bytes, new Set(["from", "to", "cc"]), ({ domain }) =>
      domain === "b.example" ? "c.example" : undefined,
    );
    assert.deepEqual(
      changed.subarray(changed.length - (bytes.length - section.bodyAt)),
      bytes.subarray(section.bodyAt),
    );
    const clean = sanitiseText(text);
    assert.ok(!/[\x00-\x08\x0a-\x1f\x7f]/.test(clean), JSON.stringify(clean));
    for (const line of formatField("X-Test", encodeWords(clean)).split("\r\n").slice(1, -1))
      assert.match(line, /^[ \t]/);
  },
};
