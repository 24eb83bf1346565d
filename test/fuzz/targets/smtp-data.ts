import assert from "node:assert/strict";
import { BdatReceiver } from "../../../src/protocol/smtp/bdat-receiver.ts";
import { DataReceiver } from "../../../src/protocol/smtp/data-receiver.ts";
import { DotStuffer } from "../../../src/protocol/smtp/dot-stuffer.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

const END = /(?:^|\r\n)\.\r\n/;

/**
 * DATA and BDAT: other cuts give the same content, rest and facts; only CRLF.CRLF ends (seen by a regular expression, too); what the
 * client's side writes comes out at the server's as it was, with lone line ends mended and NUL left out, and ends there and nowhere before.
 */
export const target: FuzzTarget = {
  longBytes: 32_768,
  seeds: ["a\r\n.\r\nNOOP\r\n", "..a\r\n...\r\n.\r\n", "a\n.\nb\r.\rc\r\n.\n\r\n.\r\n", ".\r\n", "\r\n.\r.\r\n"],
  tokens: ["\r\n", "\r", "\n", ".", "\r\n.\r\n", "\n.\n", "\r.\r", "\r\n..", "\0", "\x80"],
  run(bytes) {
    for (const bareEndings of ["keep", "normalise"] as const) {
      const received = sameHoweverCut(bytes, (pieces) => receive(bareEndings, pieces));
      const end = END.exec(bytes.toString("latin1"));
      const endAt = end === null ? undefined : end.index + end[0].length;
      assert.equal(received.rest, endAt === undefined ? undefined : bytes.toString("latin1", endAt));
      if (bareEndings === "normalise")
        assert.ok(!/\r(?!\n)|(?<!\r)\n/.test(received.rest === undefined ? "" : received.content));
      sameHoweverCut(bytes, (pieces) => {
        const receiver = new BdatReceiver(bareEndings);
        receiver.begin(bytes.length);
        const content: Buffer[] = [];
        for (const piece of pieces) content.push(...receiver.push(piece).content.map((slice) => Buffer.from(slice)));
        content.push(...receiver.finish());
        const whole = Buffer.concat(content).toString("latin1");
        assert.equal(whole, bareEndings === "keep" ? bytes.toString("latin1") : mended(bytes.toString("latin1")));
        return { whole, facts: receiver.facts };
      });
    }
    const wire = sameHoweverCut(bytes, (pieces) => {
      const stuffer = new DotStuffer();
      const out: Buffer[] = [];
      for (const piece of pieces) out.push(...stuffer.push(piece).map((slice) => Buffer.from(slice)));
      return Buffer.concat([...out, ...stuffer.end()]).toString("latin1");
    });
    const back = receive("keep", [Buffer.from(wire, "latin1")]);
    const content = mended(bytes.toString("latin1").replaceAll("\0", ""));
    assert.equal(back.rest, "", "it ends where it was ended");
    assert.equal(back.content, content === "" || content.endsWith("\r\n") ? content : `${content}\r\n`);
  },
};

function receive(bareEndings: "keep" | "normalise", pieces: Iterable<Buffer>) {
  const receiver = new DataReceiver(bareEndings);
  const content: Buffer[] = [];
  let rest: string | undefined;
  for (const piece of pieces) {
    if (rest !== undefined) {
      rest += piece.toString("latin1");
      continue;
    }
    const progress = receiver.push(piece);
    content.push(...progress.content.map((slice) => Buffer.from(slice)));
    rest = progress.rest?.toString("latin1");
  }
  const whole = Buffer.concat(content).toString("latin1");
  // Without an end the last dot or CR may not have been given out yet.
  return { content: whole, rest, facts: rest === undefined ? undefined : receiver.facts };
}

function mended(text: string): string {
  return text.replace(/\r\n|\r|\n/g, "\r\n");
}
