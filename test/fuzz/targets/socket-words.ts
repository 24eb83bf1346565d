import assert from "node:assert/strict";
import { parseSendmailArguments } from "../../../src/admin/cli/sendmail/sendmail-arguments.ts";
import { decodeSrs, encodeSrs } from "../../../src/protocol/address/srs.ts";
import { splitAddress } from "../../../src/protocol/address/mailbox.ts";
import { decodeXtext, encodeXtext } from "../../../src/protocol/smtp/xtext.ts";
import { AuthMasker } from "../../../src/protocol/smtp/auth-masker.ts";
import { parseDovecotLine } from "../../../src/service/account/dovecot-auth.ts";
import { parseSaslauthdAnswer } from "../../../src/service/account/saslauthd.ts";
import { frameReader } from "../../../src/process/split/channel.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

const SRS = {
  secrets: ["secret"],
  separator: "=",
  hash: "sha1",
  hashLength: 4,
  leastHashLength: 4,
  maxAgeDays: 21,
} as const;
const NOW = 1_700_000_000_000;
const PASSWORD = "c2VjcmV0LXBhc3N3b3Jk";

/**
 * Smaller things: SRS addresses (whoever is packed comes out; nobody forges), xtext, words of sendmail's command line, answers of dovecot
 * and saslauthd, frames between our processes in any cut, and the masking of logins in recordings in any cut.
 */
export const target: FuzzTarget = {
  seeds: [
    "SRS0=HHHH=TT=example.org=alice",
    "SRS1=HHHH=example.com==HHH=TT=example.org=alice",
    "alice+x@example.org",
    "a+2Bb+3Dc",
    "-f a@b -oi -t -F x -- c@d",
    "OK\t1\tuser=alice\tcode=temp_fail",
    "\0\0\0\x02hi\0\0\0\0",
    "\0\x02OK",
  ],
  tokens: [
    "=",
    "SRS0",
    "SRS1",
    "==",
    "@",
    "+",
    "+2B",
    "\t",
    "\0\0\0",
    "-f",
    "-N",
    "--",
    "\r\n",
    "AUTH PLAIN ",
    "AUTH LOGIN\r\n",
    "*\r\n",
    '"',
  ],
  run(bytes) {
    const text = bytes.toString("utf8");
    const address = `${text}@us.example`;
    assert.notEqual(decodeSrs(address, NOW, SRS).kind, "address", "nobody has our secret");
    const { local, domain } = splitAddress(text);
    if (/^[\w.+-]{1,40}$/.test(local) && /^[a-z0-9]{1,20}(?:\.[a-z]{1,10})+$/.test(domain)) {
      const back = decodeSrs(encodeSrs(text, "us.example", NOW, SRS), NOW, SRS);
      assert.equal(back.kind, "address", text);
    }
    const decoded = decodeXtext(text);
    if (decoded.ok) assert.deepEqual(decodeXtext(encodeXtext(decoded.value)), decoded);
    parseSendmailArguments(text.split(" "));
    parseDovecotLine(text);
    parseSaslauthdAnswer(bytes);
    sameHoweverCut(bytes, (pieces) => {
      const frames: string[] = [];
      const read = frameReader((payload) => frames.push(payload.toString("latin1")));
      try {
        for (const piece of pieces) read(piece);
      } catch (error) {
        assert.match(String(error), /longer than any of ours/);
        return [...frames, "too long"];
      }
      return frames;
    });
    // A login in the middle of a dialogue of any kind is never shown.
    const dialogue = Buffer.concat([bytes, Buffer.from(`\r\nRSET\r\nAUTH PLAIN ${PASSWORD}\r\n`)]);
    const clear = Buffer.from(`EHLO a\r\nAUTH PLAIN ${PASSWORD}\r\n`);
    sameHoweverCut(dialogue, (pieces) => {
      const masker = new AuthMasker();
      return [...pieces].map((piece) => masker.mask("client", piece)).join("") + masker.rest("client");
    });
    const masker = new AuthMasker();
    assert.ok(!`${masker.mask("client", clear)}${masker.rest("client")}`.includes(PASSWORD));
  },
};
