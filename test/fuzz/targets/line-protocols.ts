import assert from "node:assert/strict";
import { clamdReplyReader, parseClamdReply } from "../../../src/protocol/clamd/clamd.ts";
import { LineCutter, contentBytes } from "../../../src/protocol/opensmtpd-filter/data-lines.ts";
import { parseProgramLine } from "../../../src/protocol/opensmtpd-filter/program-lines.ts";
import { policyAnswerReader } from "../../../src/protocol/policy/answer-reader.ts";
import { parsePolicyAction } from "../../../src/protocol/policy/answer.ts";
import { spamdReplyReader } from "../../../src/protocol/spamc/reply.ts";
import { netstringReader } from "../../../src/service/table/socketmap/netstring.ts";
import { parseReply } from "../../../src/service/table/socketmap/reply.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut, wiped } from "../pieces.ts";

/**
 * What policy servers, OpenSMTPD's filters, clamd, spamd and socketmaps answer: the same, however it is cut and although the buffers
 * are used again; after an answer that is none nothing more is taken.
 */
export const target: FuzzTarget = {
  seeds: [
    "action=dunno\n\n",
    "x=y\naction=550 5.7.1 no\r\n\naction=DEFER_IF_PERMIT later\n\n",
    "filter-result|0123456789abcdef|0123456789abcdef|rewrite|a@b\n",
    "register|filter|smtp-in|mail-from\nregister|report|smtp-in|*\nregister|ready\n",
    "filter-dataline|0123456789abcdef|0123456789abcdef|..x\r\n.\n",
    "SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: True ; 15.0 / 5.0\r\n\r\nbody",
    "stream: Eicar-Signature FOUND\0",
    "3:OK ,9:NOTFOUND ,4:PERM,",
  ],
  tokens: [
    "\n",
    "\r\n",
    "\n\n",
    "\0",
    "action=",
    "=",
    "|",
    "SPAMD/1.1 ",
    "Spam: ",
    "Content-length: ",
    "FOUND",
    "OK",
    "reject|",
    "PREPEND X: ",
    "FILTER smtp:",
    ":",
    ",",
    "0",
    ".",
  ],
  run(bytes) {
    const policy = sameHoweverCut(bytes, (pieces) => {
      const read = policyAnswerReader();
      return [...wiped(pieces)].flatMap((piece) => read(piece));
    });
    for (const answer of policy) if (answer.kind === "action") parsePolicyAction(answer.action);
    const lines = sameHoweverCut(bytes, (pieces) => {
      const cutter = new LineCutter(256);
      const found = [...wiped(pieces)].flatMap((piece) => cutter.push(piece));
      return cutter.isTooLong ? [] : [...found, ...cutter.end()];
    });
    for (const line of lines) parseProgramLine(line);
    for (const line of contentBytes(lines).toString("latin1").split("\r\n")) assert.ok(!line.includes("\n"));
    const clamd = sameHoweverCut(bytes, (pieces) => {
      const reader = clamdReplyReader(512);
      for (const piece of wiped(pieces)) {
        const said = reader.push(piece);
        if (said !== undefined) return said;
      }
      return reader.end() ?? "";
    });
    parseClamdReply(clamd);
    sameHoweverCut(bytes, (pieces) => {
      const reader = spamdReplyReader(1024);
      const heard = [
        ...[...wiped(pieces)].flatMap((piece) =>
          reader
            .push(piece)
            .map((event) => (event.kind === "content" ? { ...event, bytes: event.bytes.toString("latin1") } : event)),
        ),
        ...reader.end(),
      ];
      // Where it broke the connection is over; how much of the content came before is the cut's doing.
      if (heard.some((event) => event.kind === "broken")) return "broken";
      return (
        heard
          .filter((event) => event.kind !== "content")
          .map((event) => JSON.stringify(event))
          .join() + heard.map((event) => (event.kind === "content" ? String(event.bytes) : "")).join("")
      );
    });
    const strings = sameHoweverCut(bytes, (pieces) => {
      const reader = netstringReader(512);
      return [...wiped(pieces)].flatMap((piece) => reader(piece));
    });
    for (const heard of strings) if (heard.kind === "string") parseReply(heard.text);
  },
};
