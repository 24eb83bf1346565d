import assert from "node:assert/strict";
import { ja4 } from "../../../src/service/tls/flight/ja4.ts";
import { clientHelloFacts, readClientHello } from "../../../src/service/tls/flight/client-hello.ts";
import { clientHelloLine, serverHelloLine } from "../../../src/service/tls/flight/hello-lines.ts";
import { RecordScanner } from "../../../src/service/tls/flight/record-scanner.ts";
import { readServerHello } from "../../../src/service/tls/flight/server-hello.ts";
import { FlightRecorder } from "../../../src/service/tls/flight/flight-recorder.ts";
import type { TlsRole } from "../../../src/service/tls/facts.ts";
import { virtualClock } from "../../../src/simulator/clock.ts";
import { clientHelloBody, handshake, record, serverHelloBody, vector } from "../../../src/testing/hello-bytes.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { sameHoweverCut } from "../pieces.ts";

const hello = record(
  22,
  handshake(1, clientHelloBody({ extensions: [0, 10, 13, 16, 43, 51], alpn: [Buffer.from("smtp")] })),
  0x0301,
);
/** What a server of TLS 1.2 says until it keeps to itself what it says. */
const answer = Buffer.concat([
  record(22, handshake(2, serverHelloBody({ version: 0x0303, cipher: 0xc02f }))),
  record(22, handshake(11, vector(3, vector(3, Buffer.from("certificate"))))),
  record(22, handshake(12, Buffer.from([3, 0, 29, 1, 7]))),
  record(22, handshake(14, Buffer.alloc(0))),
  record(20, Buffer.from([1])),
  record(22, Buffer.alloc(40, 9)),
]);
const retry = record(
  22,
  handshake(2, serverHelloBody({ version: 0x0304, cipher: 0x1301, group: 0x18, isRetry: true })),
);
const MOST_EVENTS = 64;

/**
 * TLS records in any cut: the same records and the same bytes in them; every byte is header, piece or foreign. A hello of any bytes
 * gives facts whose text has no controls, and a JA4 of its form. What is kept of a handshake, from either side, is the same in any cut,
 * bounded, and has no controls.
 */
export const target: FuzzTarget = {
  seeds: [
    hello.toString("latin1"),
    `\x14\x03\x03\0\x01\x01${hello.toString("latin1")}`,
    answer.toString("latin1"),
    `${retry.toString("latin1")}\x15\x03\x03\0\x02\x02\x28`,
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
    "\x16\x03\x03\0\x04",
    "\x0b\0\0",
    "\x0c\0\0",
    "\x14\x03\x03\0\x01\x01",
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
    for (const role of ["server", "client"] as const) recordFlight(role, bytes);
  },
};

/** The peer says all of it; we have said hello where it is for us to begin. */
function recordFlight(role: TlsRole, bytes: Buffer): void {
  sameHoweverCut(bytes, (pieces) => {
    const recorder = new FlightRecorder({ role, clock: virtualClock(0) });
    if (role === "client") recorder.feed("out", hello);
    for (const piece of pieces) recorder.feed("in", piece);
    recorder.note("in", "FIN");
    const flight = recorder.flight();
    assert.ok(flight.events.length <= MOST_EVENTS + 2, "with what has begun in either direction");
    assert.equal(flight.events.at(-1)?.what, "FIN");
    for (const { what, detail = "" } of flight.events) assert.ok(!/[\x00-\x1f\x7f-\x9f]/.test(what + detail), detail);
    assert.equal(flight.bytes.in, bytes.length);
    return { ...flight, isMidRecord: recorder.isMidRecord("in"), group: recorder.group, counts: recorder.counts("in") };
  });
}
