import assert from "node:assert/strict";
import { ja4 } from "../../../src/service/tls/ja4.ts";
import { clientHelloFacts, readClientHello } from "../../../src/service/tls/client-hello.ts";
import { clientHelloLine, serverHelloLine } from "../../../src/service/tls/hello-lines.ts";
import { RecordScanner } from "../../../src/service/tls/record-scanner.ts";
import { readServerHello } from "../../../src/service/tls/server-hello.ts";
import { clientHelloBody } from "../../../src/testing/hello-bytes.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

const hello = Buffer.concat([
  Buffer.from([1, 0, 0, 0]),
  clientHelloBody({ extensions: [0, 10, 13, 16, 43, 51], alpn: [Buffer.from("smtp")] }),
]);
const record = Buffer.concat([Buffer.from([22, 3, 1, hello.length >> 8, hello.length & 255]), hello]);

/**
 * TLS records in any cut: the same records and the same bytes in them; every byte is header, piece or foreign. A hello of any bytes
 * gives facts whose text has no controls, and a JA4 of its form.
 */
export const target: FuzzTarget = {
  seeds: [
    record.toString("latin1"),
    `\x14\x03\x03\0\x01\x01${record.toString("latin1")}`,
    "\x80\x2e\x01\0\x02",
    "EHLO a\r\n",
  ],
  tokens: [
    "\x16\x03\x01",
    "\x15\x03\x03\0\x02\x02\x28",
    "\x17\x03\x03",
    "\0\0",
    "\xff\xff",
    "\x0a\x0a",
    "\x03\x04",
    "\0\x2b",
    "\0\x10\0\x0e",
  ],
  run(bytes) {
    const seen = sameHoweverCut(bytes, (pieces) => {
      const scanner = new RecordScanner();
      const records: string[] = [];
      let content = "";
      let foreign = "";
      for (const piece of pieces)
        scanner.push(piece, {
          onPiece: (_, part) => (content += Buffer.from(part).toString("latin1")),
          onRecord: (type, length) => records.push(`${type}:${length}`),
          onForeign: (part, why) => {
            if (foreign === "") records.push(why);
            foreign += Buffer.from(part).toString("latin1");
          },
        });
      return { records, content };
    });
    assert.ok(seen.content.length <= bytes.length);
    for (const body of [bytes, bytes.subarray(9)]) {
      const read = readClientHello(body);
      assert.match(ja4(read), /^t[0-9sd]{2}[di]\d{4}[ -~]{2}_[0-9a-f]{12}_[0-9a-f]{12}$/);
      const facts = JSON.stringify(clientHelloFacts(read));
      assert.ok(!/\\u00[01]|\x7f/.test(facts.replaceAll("\\\\", "")), facts);
      assert.ok(!/[\x00-\x1f\x7f]/.test(clientHelloLine(read) + serverHelloLine(readServerHello(body))));
    }
  },
};
