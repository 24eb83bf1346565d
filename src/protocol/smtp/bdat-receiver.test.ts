import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { cut, cuts } from "../../testing/cut.ts";
import { BdatReceiver } from "./bdat-receiver.ts";

test("a chunk ends after the announced octets, whatever they are, and the rest is handed back", () => {
  const receiver = new BdatReceiver("keep");
  receiver.begin(6);
  const progress = receiver.push(Buffer.from("a\r\n.\r\nBDAT 0 LAST\r\n"));
  assert.equal(Buffer.concat(progress.content).toString(), "a\r\n.\r\n");
  assert.equal(progress.rest?.toString(), "BDAT 0 LAST\r\n");
  receiver.begin(3);
  assert.equal(receiver.push(Buffer.from("xy")).rest, undefined);
  assert.equal(receiver.missingBytes, 1);
});

test("a CRLF cut by a chunk's end is no CR alone, and a CR at the end of the last chunk is", () => {
  const receiver = new BdatReceiver("normalise");
  let text = "";
  for (const chunk of ["a\r", "\nb\r"]) {
    receiver.begin(chunk.length);
    text += Buffer.concat(receiver.push(Buffer.from(chunk)).content).toString();
  }
  text += Buffer.concat(receiver.finish()).toString();
  assert.equal(text, "a\r\nb\r\n");
  assert.equal(receiver.facts.bareEndings, 1);
});

test("property: kept content is what was sent, in any chunks and any cut", () => {
  const content = fc.string({ unit: fc.constantFrom("\r", "\n", ".", "\0", "a", "\xe9"), maxLength: 60 });
  fc.assert(
    fc.property(content, cuts, cuts, (text, chunkOffsets, cutOffsets) => {
      const bytes = Buffer.from(text, "latin1");
      const receiver = new BdatReceiver("keep");
      const out: Buffer[] = [];
      for (const chunk of cut(bytes, chunkOffsets)) {
        receiver.begin(chunk.length);
        for (const piece of cut(chunk, cutOffsets)) out.push(...receiver.push(piece).content);
        assert.equal(receiver.missingBytes, 0);
      }
      out.push(...receiver.finish());
      assert.equal(Buffer.concat(out).toString("latin1"), text);
      assert.equal(receiver.facts.bareEndings, text.match(/\r(?!\n)|(?<!\r)\n/g)?.length ?? 0);
    }),
  );
});
