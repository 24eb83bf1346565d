import assert from "node:assert/strict";
import { parseMilterAnswer } from "../../../src/protocol/milter/answer.ts";
import { bodyLines } from "../../../src/protocol/milter/body-lines.ts";
import { valueForMilter, valueOfMilter } from "../../../src/protocol/milter/field-value.ts";
import { agree } from "../../../src/protocol/milter/negotiation.ts";
import { milterPacket, milterPacketReader } from "../../../src/protocol/milter/packet.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut, wiped } from "../pieces.ts";

const packet = (code: string, ...parts: (string | Uint8Array)[]): string =>
  milterPacket(code, ...parts).toString("latin1");
const MOST = 4096;

/**
 * What a milter answers: the same packets however cut, none longer than may be; a field, a reply or an address that is taken over has
 * nothing in it that could end a line.
 */
export const target: FuzzTarget = {
  seeds: [
    packet("c"),
    packet("y", "550 5.7.1 no\0"),
    packet("y", "550-5.7.1 a\r\n550 5.7.1 b\0"),
    packet("h", "X-A\0b c\0"),
    packet("m", Buffer.from([0, 0, 0, 1]), "Subject\0\0"),
    packet("i", Buffer.from([0, 0, 0, 0]), "X\0 v\r\n w\0"),
    packet("+", "<a@b>\0"),
    packet("e", "<c@d> SIZE=1\0"),
    packet("q", "because\0"),
    packet("b", "body\n"),
    packet("O", Buffer.from([0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff])),
    packet("O", Buffer.from([0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]), "{a} j\0"),
  ],
  tokens: [
    "\0",
    "\0\0\0",
    "\0\0\0\x05",
    "c",
    "y",
    "h",
    "m",
    "\r\n",
    "\n",
    "550 ",
    "4.7.1 ",
    "-",
    "%",
    "\x80",
    "\xff\xff\xff\xff",
  ],
  run(bytes) {
    const read = sameHoweverCut(bytes, (pieces) => {
      const reader = milterPacketReader(MOST);
      const packets: { code: string; data: string }[] = [];
      let problem = "";
      for (const piece of wiped(pieces)) {
        const found = reader(piece);
        if (found.ok) packets.push(...found.value.map(({ code, data }) => ({ code, data: data.toString("latin1") })));
        else problem = found.problem;
      }
      // Packets in front of a length that is none are lost with it where they came in one piece: the connection is over.
      return problem === "" ? { packets, problem } : { packets: [], problem };
    });
    for (const { code, data } of read.packets) {
      assert.ok(data.length < MOST);
      const answer = parseMilterAnswer({ code, data: Buffer.from(data, "latin1") });
      if (!answer.ok) continue;
      const said = answer.value;
      if (said.says === "negotiate") for (const version of [2, 3, 4, 6] as const) agree(version, said.data);
      if ("name" in said) assert.match(said.name, /^[\x21-\x39\x3b-\x7e]{1,76}$/);
      if ("value" in said)
        for (const keepsSpace of [false, true])
          assert.ok(
            !/\r(?!\n)|(?<!\r)\n|\n(?![ \t])|\0/.test(valueOfMilter(said.value, keepsSpace)),
            JSON.stringify(said),
          );
      if ("recipient" in said) assert.ok(!/[\x00-\x1f\x7f]/.test(said.recipient));
      if ("sender" in said) assert.ok(!/[\x00-\x1f\x7f]/.test(said.sender));
      if ("reply" in said)
        assert.ok(
          said.reply.lines.every((line) => !/[\x00-\x1f\x7f]/.test(line)),
          JSON.stringify(said),
        );
    }
    valueForMilter(bytes, true);
    sameHoweverCut(bytes, (pieces) => {
      const lines = bodyLines();
      const out = [...wiped(pieces)].map((piece) => Buffer.from(lines.push(piece)));
      const whole = Buffer.concat([...out, lines.end()]).toString("latin1");
      assert.ok(!/(?<!\r)\n/.test(whole));
      return whole;
    });
  },
};
