import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cut, cuts } from "../../../testing/cut.ts";
import {
  clientHelloBody,
  handshake,
  numbers16,
  record,
  serverHelloBody,
  vector,
} from "../../../testing/hello-bytes.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { FlightRecorder } from "./flight-recorder.ts";
import type { Direction, Flight, FlightEvent } from "./flight.ts";

const noon = Date.UTC(2026, 5, 1, 12);

function recorder(role: "server" | "client" = "server", events?: FlightEvent[]): FlightRecorder {
  const watch = events === undefined ? undefined : { event: (event: FlightEvent) => events.push(event) };
  return new FlightRecorder({ role, clock: virtualClock(noon), watch });
}

const said = (flight: Flight): string[] =>
  flight.events.map(
    ({ direction, what, detail }) => `${direction} ${what}${detail === undefined ? "" : `: ${detail}`}`,
  );

const hello13 = handshake(
  1,
  clientHelloBody({
    versions: [0x0304, 0x0303],
    ciphers: [0x1302, 0x1301],
    extensions: [0, 10, 13, 16, 43, 51],
    groups: [4588, 29],
    signatures: [0x0403],
    alpn: [Buffer.from("smtp")],
    serverName: "mx.example",
  }),
);
const ccs = record(20, Buffer.from([1]));
const curve = Buffer.concat([Buffer.from([3]), numbers16([29]), vector(1, Buffer.alloc(32))]);

const steps13: readonly (readonly [Direction, Buffer])[] = [
  ["in", record(22, hello13, 0x0301)],
  ["out", record(22, handshake(2, serverHelloBody({ version: 0x0304, cipher: 0x1302, group: 29, isRetry: true })))],
  ["out", ccs],
  ["in", Buffer.concat([ccs, record(22, hello13)])],
  ["out", record(22, handshake(2, serverHelloBody({ version: 0x0304, cipher: 0x1302, group: 29 })))],
  ["out", Buffer.concat([record(23, Buffer.alloc(40)), record(23, Buffer.alloc(900))])],
  ["in", record(21, Buffer.from([2, 48]))],
];

const steps12: readonly (readonly [Direction, Buffer])[] = [
  ["in", record(22, handshake(1, clientHelloBody({ extensions: [0, 10] })))],
  [
    "out",
    record(
      22,
      Buffer.concat([
        handshake(2, serverHelloBody({ version: 0x0303, cipher: 0xc02f })),
        handshake(11, vector(3, vector(3, Buffer.alloc(700)), vector(3, Buffer.alloc(800)))),
        handshake(12, curve),
        handshake(13, Buffer.alloc(10)),
        handshake(14, Buffer.alloc(0)),
      ]),
    ),
  ],
  ["in", Buffer.concat([record(22, handshake(16, Buffer.alloc(33))), ccs, record(22, Buffer.alloc(40))])],
  ["out", Buffer.concat([ccs, record(22, Buffer.alloc(40))])],
];

test("the steps of a TLS 1.3 handshake are told as far as they are in clear, a second hello and an alert included", () => {
  const recorded = recorder();
  for (const [direction, bytes] of steps13) recorded.feed(direction, bytes);
  const hello =
    "TLSv1.3 TLSv1.2, 2 ciphers, groups X25519MLKEM768 X25519, shares X25519MLKEM768 X25519, alpn smtp, for mx.example";
  assert.deepEqual(said(recorded.flight()), [
    `in ClientHello: ${hello}`,
    "out HelloRetryRequest: TLSv1.3, TLS_AES_256_GCM_SHA384, X25519",
    "out ChangeCipherSpec",
    "in ChangeCipherSpec",
    `in ClientHello: ${hello}`,
    "out ServerHello: TLSv1.3, TLS_AES_256_GCM_SHA384, X25519",
    "out encrypted: 2 records",
    "in Alert: fatal unknown_ca (48)",
  ]);
  assert.equal(recorded.group, "X25519");
  assert.equal(recorded.serverHello?.wasRetried, true);
  assert.equal(recorded.hello?.serverName, "mx.example");
  assert.match(recorded.hello.ja4, /^t13d0206sp_/);
});

test("the steps of a TLS 1.2 handshake are told with the certificates and the group", () => {
  const recorded = recorder();
  for (const [direction, bytes] of steps12) recorded.feed(direction, bytes);
  assert.deepEqual(said(recorded.flight()), [
    "in ClientHello: TLSv1.2, 1 cipher, groups X25519, for mx.example",
    "out ServerHello: TLSv1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "out Certificate: 2 certificates, 1509 bytes",
    "out ServerKeyExchange: X25519",
    "out CertificateRequest",
    "out ServerHelloDone",
    "in ClientKeyExchange",
    "in ChangeCipherSpec",
    "in Finished",
    "out ChangeCipherSpec",
    "out Finished",
  ]);
  assert.equal(recorded.group, "X25519");
  assert.equal(recorded.serverHello?.isResumption, false);
});

test("a server that goes on without a certificate has resumed a session", () => {
  const recorded = recorder("client");
  recorded.feed("out", record(22, handshake(1, clientHelloBody({}))));
  recorded.feed("in", record(22, handshake(2, serverHelloBody({ version: 0x0303, cipher: 0xc02f }))));
  recorded.feed("in", Buffer.concat([ccs, record(22, Buffer.alloc(40))]));
  assert.equal(recorded.serverHello?.isResumption, true);
  assert.equal(recorded.group, undefined);
});

test("what has begun and is not whole is told, before the end that cut it", () => {
  const recorded = recorder();
  recorded.feed("in", record(22, hello13).subarray(0, 100));
  recorded.note("in", "FIN");
  assert.equal(recorded.isMidRecord("in"), true);
  assert.deepEqual(said(recorded.flight()), [`in part of a ClientHello: 91 of ${hello13.length - 4} bytes`, "in FIN"]);
  const encrypted = recorder();
  encrypted.feed("in", record(23, Buffer.alloc(50)).subarray(0, 20));
  assert.deepEqual(said(encrypted.flight()), ["in part of an encrypted record"]);
});

test("bytes that are no TLS are shown by their beginning, harmless and bounded", () => {
  const recorded = recorder();
  recorded.feed("in", Buffer.from(`EHLO \u001b[31m${"x".repeat(500)}\r\n`, "latin1"));
  const [event] = recorded.flight().events;
  assert.equal(event?.what, "not TLS");
  assert.equal(event.detail, `EHLO \\x1b[31m${"x".repeat(70)}`);
  assert.equal(event.bytes, 512);
  const old = recorder();
  old.feed("in", Buffer.from([0x80, 0x2e, 0x01, 0x00, 0x02]));
  assert.equal(old.flight().events[0]?.what, "SSLv2");
  const large = recorder();
  large.feed("in", Buffer.from([22, 3, 1, 0xff, 0xff, 1, 2, 3]));
  assert.equal(large.flight().events[0]?.what, "oversized record");
});

test("a message larger than is looked at is named, and costs no memory", () => {
  const recorded = recorder();
  const size = 70_000;
  const message = handshake(1, Buffer.alloc(size));
  for (let at = 0; at < message.length; at += 16_000) {
    recorded.feed("in", record(22, message.subarray(at, at + 16_000)));
  }
  assert.deepEqual(said(recorded.flight()), [`in ClientHello: ${size} bytes, more than is looked at`]);
  assert.equal(recorded.hello, undefined);
});

test("at most 64 events are kept, the end of a connection among them", () => {
  const recorded = recorder();
  for (let n = 0; n < 200; n += 1) recorded.feed("in", record(22, handshake(24, Buffer.from([1]))));
  recorded.note("in", "FIN");
  const flight = recorded.flight();
  assert.ok(flight.events.length <= 64);
  assert.equal(flight.events.length + flight.omitted, 201);
  assert.equal(flight.events.at(-1)?.what, "FIN");
});

test("alerts without end do not take the place of how the connection ended", () => {
  const recorded = recorder();
  const warning = record(21, Buffer.from([1, 90]));
  for (let count = 0; count < 200; count++) recorded.feed("in", warning);
  recorded.note("out", "timeout");
  recorded.note("out", "FIN");
  recorded.note("in", "RST");
  const flight = recorded.flight();
  assert.deepEqual(said(flight).slice(-3), ["out timeout", "out FIN", "in RST"]);
  assert.ok(flight.events.length <= 64);
  assert.equal(flight.events.length + flight.omitted, 203);
});

test("after the handshake only records are counted, and the wire kept for a failure is let go", () => {
  const recorded = recorder();
  for (const [direction, bytes] of steps12) recorded.feed(direction, bytes);
  assert.notEqual(recorded.flight().wire.length, 0);
  recorded.handshakeDone();
  const before = recorded.flight();
  assert.deepEqual(before.wire, []);
  recorded.feed("in", Buffer.concat([record(23, Buffer.alloc(500)), record(22, Buffer.alloc(80))]));
  for (let n = 0; n < 3; n += 1) recorded.feed("in", record(23, Buffer.alloc(22)));
  recorded.feed("in", record(23, Buffer.alloc(600)).subarray(0, 300));
  assert.deepEqual(recorded.flight().events, before.events);
  const counts = recorded.counts("in");
  assert.equal(counts.lateHandshakes, 1);
  assert.equal(counts.keyUpdateSized, 3);
  assert.equal(recorded.isMidRecord("in"), true);
  recorded.feed("in", Buffer.alloc(305));
  assert.equal(recorded.isMidRecord("in"), false);
});

test("the first 16 KiB of each direction are kept as they were on the wire, with their times", () => {
  const recorded = recorder();
  const pieces = Array.from({ length: 3000 }, (_, n) => record(23, Buffer.alloc(20, n)));
  for (const piece of pieces) recorded.feed("in", piece);
  recorded.feed("out", Buffer.from([21, 3, 3, 0, 2, 2, 40]));
  const { wire } = recorded.flight();
  const bytes = (direction: Direction): Buffer =>
    Buffer.concat(
      wire.filter((piece) => piece.direction === direction).map((piece) => Buffer.from(piece.bytes, "base64")),
    );
  assert.deepEqual(bytes("in"), Buffer.concat(pieces).subarray(0, 16_384));
  assert.deepEqual(bytes("out"), Buffer.from([21, 3, 3, 0, 2, 2, 40]));
  assert.equal(wire[0]?.at, noon);
});

test("any cut of the bytes gives the same flight", () => {
  for (const steps of [steps13, steps12]) {
    const whole = recorder();
    for (const [direction, bytes] of steps) whole.feed(direction, bytes);
    fc.assert(
      fc.property(cuts, (offsets) => {
        const recorded = recorder();
        for (const [direction, bytes] of steps) {
          for (const piece of cut(bytes, offsets)) recorded.feed(direction, piece);
        }
        assert.deepEqual(recorded.flight(), whole.flight());
      }),
      { numRuns: 60 },
    );
  }
});

test("no byte string throws, in any pieces, and the flight stays bounded", () => {
  const structured = fc
    .array(fc.tuple(fc.integer({ min: 19, max: 25 }), fc.uint8Array({ maxLength: 120 })), { maxLength: 12 })
    .map((records) => Buffer.concat(records.map(([type, content]) => record(type, content))));
  const mutated = fc
    .tuple(fc.nat(200), fc.nat(255), fc.constantFrom(...[...steps12, ...steps13].map(([, bytes]) => bytes)))
    .map(([at, byte, bytes]) => {
      const copy = Buffer.from(bytes);
      copy[at % copy.length] = byte;
      return copy;
    });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array)),
    structured,
    mutated,
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom<Direction>("in", "out"), bytes), { maxLength: 6 }),
      cuts,
      (all, offsets) => {
        const whole = recorder();
        const pieces = recorder();
        for (const [direction, input] of all) {
          whole.feed(direction, input);
          for (const piece of cut(input, offsets)) pieces.feed(direction, piece);
        }
        const flight = whole.flight();
        assert.deepEqual(pieces.flight(), flight);
        assert.ok(flight.events.length <= 66);
        for (const event of flight.events) assert.match(event.detail ?? "", /^[^\u0000-\u001f\u007f]*$/);
      },
    ),
    { numRuns: 300 },
  );
});

test("who watches sees each step once, as it happens", () => {
  const events: FlightEvent[] = [];
  const recorded = recorder("server", events);
  for (const [direction, bytes] of steps12) recorded.feed(direction, bytes);
  recorded.note("in", "FIN");
  assert.deepEqual(
    events.map((event) => event.what),
    recorded.flight().events.map((event) => event.what),
  );
  const foreign: FlightEvent[] = [];
  recorder("server", foreign).feed("in", Buffer.from("GET / HTTP/1.1\r\n"));
  assert.deepEqual(
    foreign.map((event) => event.detail),
    ["GET / HTTP/1.1\\x0d\\x0a"],
  );
});
