import assert from "node:assert/strict";
import { test } from "node:test";
import * as dnsPacket from "dns-packet";
import * as fc from "fast-check";
import { answersQuestion, isReferral, readAnswer } from "./answer.ts";
import { decodeMessage, encodeQuery } from "./message.ts";
import { encodeName, labelText, reverseName } from "./name.ts";

const NOERROR = 0x8180;
const NXDOMAIN = 0x8183;

function response(parts: {
  answers?: object[];
  authorities?: object[];
  additionals?: object[];
  flags?: number;
}): Buffer {
  return dnsPacket.encode({
    type: "response",
    id: 7,
    flags: parts.flags ?? NOERROR,
    questions: [{ name: "example.com", type: "MX" }],
    ...parts,
  });
}

function decoded(bytes: Uint8Array) {
  const result = decodeMessage(bytes);
  assert.ok(result.ok);
  return result.value;
}

test("a query asks for recursion, the AD bit and an EDNS payload, as another codec reads it", () => {
  const query = encodeQuery(0xabcd, "Mail.Example.com", "AAAA", 1232);
  assert.ok(query !== undefined);
  const read = dnsPacket.decode(Buffer.from(query));
  assert.equal(read.id, 0xabcd);
  assert.equal(read.flags & 0x0120, 0x0120);
  assert.deepEqual(read.questions, [{ name: "Mail.Example.com", type: "AAAA", class: "IN" }]);
  assert.equal(read.additionals[0]?.type, "OPT");
  assert.equal(read.additionals[0]?.udpPayloadSize, 1232);
});

test("a query without EDNS has no additional record", () => {
  const query = encodeQuery(1, "example.com", "MX", undefined);
  assert.ok(query !== undefined);
  assert.deepEqual(dnsPacket.decode(Buffer.from(query)).additionals, []);
});

test("every kind of record that another codec writes is read", () => {
  const message = decoded(
    response({
      answers: [
        { name: "example.com", type: "MX", ttl: 300, data: { preference: 10, exchange: "MX1.Example.com" } },
        { name: "a.example.com", type: "A", ttl: 1, data: "192.0.2.1" },
        { name: "a.example.com", type: "AAAA", ttl: 2, data: "2001:db8::1" },
        { name: "b.example.com", type: "CNAME", ttl: 3, data: "a.example.com" },
        { name: "b.example.com", type: "PTR", ttl: 3, data: "c.example.com" },
        { name: "t.example.com", type: "TXT", ttl: 4, data: ["v=spf1 ", "-all"] },
        {
          name: "x.example.com",
          type: "TLSA",
          ttl: 5,
          data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from("ab") },
        },
        {
          name: "s.example.com",
          type: "SRV",
          ttl: 5,
          data: { priority: 3, weight: 2, port: 1, target: "x.example.com" },
        },
        { name: "n.example.com", type: "NS", ttl: 5, data: "ns.example.com" },
      ],
    }),
  );
  assert.deepEqual(
    message.answers.map(({ data }) => ("data" in data ? { ...data, data: Buffer.from(data.data).toString() } : data)),
    [
      { type: "MX", preference: 10, exchange: "mx1.example.com" },
      { type: "A", address: "192.0.2.1" },
      { type: "AAAA", address: "2001:db8::1" },
      { type: "CNAME", name: "a.example.com" },
      { type: "PTR", name: "c.example.com" },
      { type: "TXT", text: "v=spf1 -all" },
      { type: "TLSA", usage: 3, selector: 1, match: 1, data: "ab" },
      { type: "SRV", priority: 3, weight: 2, port: 1, target: "x.example.com" },
      { type: "NS" },
    ],
  );
  assert.equal(message.answers[1]?.ttlSeconds, 1);
});

test("the null MX has an empty exchange", () => {
  const message = decoded(
    response({ answers: [{ name: "example.com", type: "MX", data: { preference: 0, exchange: "." } }] }),
  );
  const reading = readAnswer(message, "example.com", "MX");
  assert.ok(reading.kind === "found");
  assert.deepEqual(reading.data, [{ type: "MX", preference: 0, exchange: "" }]);
});

test("an extended error is read from the options", () => {
  const message = decoded(
    response({
      flags: 0x8182,
      additionals: [
        { type: "OPT", name: ".", udpPayloadSize: 1232, options: [{ code: 15, data: Buffer.from("\0\x06bad") }] },
      ],
    }),
  );
  assert.deepEqual(message.extendedError, { code: 6, text: "bad" });
});

test("a dot inside a label cannot pass for the end of one", () => {
  assert.equal(labelText(Buffer.from("evil.example")), "evil\\046example");
  assert.deepEqual(encodeName("a\\046b.c"), Uint8Array.from([3, 97, 46, 98, 1, 99, 0]));
});

test("forged record counts are refused before anything is read", () => {
  const bytes = Buffer.alloc(319);
  bytes.writeUInt16BE(57_344, 6);
  assert.equal(decodeMessage(bytes).ok, false);
});

test("a record whose address has another length than its family is refused", () => {
  const bytes = Buffer.from(response({ answers: [{ name: "example.com", type: "A", ttl: 1, data: "192.0.2.1" }] }));
  bytes.writeUInt16BE(3, bytes.length - 6);
  assert.equal(decodeMessage(bytes.subarray(0, -1)).ok, false);
});

test("names that point forwards or in a circle are refused", () => {
  const bytes = Buffer.from(response({}));
  const circle = Buffer.concat([bytes, Buffer.from([0xc0, bytes.length, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])]);
  circle.writeUInt16BE(1, 6);
  assert.equal(decodeMessage(circle).ok, false);
});

test("no byte string throws, and the work stays within bounds", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void decodeMessage(bytes)));
  const valid = response({
    answers: [
      { name: "example.com", type: "MX", ttl: 300, data: { preference: 10, exchange: "mx1.example.com" } },
      { name: "mx1.example.com", type: "TXT", ttl: 4, data: ["abc"] },
    ],
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
      const mutant = Buffer.from(valid);
      for (const [at, byte] of changes) mutant[at] = byte;
      decodeMessage(mutant);
    }),
    { numRuns: 500 },
  );
});

test("aliases inside one answer are followed to the records, with the least time to live", () => {
  const message = decoded(
    response({
      answers: [
        { name: "example.com", type: "CNAME", ttl: 30, data: "b.example.com" },
        { name: "b.example.com", type: "CNAME", ttl: 20, data: "c.example.com" },
        { name: "c.example.com", type: "MX", ttl: 100, data: { preference: 1, exchange: "mx.example.com" } },
      ],
    }),
  );
  const reading = readAnswer(message, "EXAMPLE.com.", "MX");
  assert.ok(reading.kind === "found");
  assert.equal(reading.ttlSeconds, 20);
});

test("an alias without its target asks for the target, and a circle of aliases is told", () => {
  const open = decoded(response({ answers: [{ name: "example.com", type: "CNAME", ttl: 30, data: "b.example.com" }] }));
  assert.deepEqual(readAnswer(open, "example.com", "MX"), {
    kind: "alias",
    to: "b.example.com",
    links: 1,
    ttlSeconds: 30,
    isAuthenticated: false,
  });
  const circle = decoded(
    response({
      answers: [
        { name: "example.com", type: "CNAME", ttl: 30, data: "b.example.com" },
        { name: "b.example.com", type: "CNAME", ttl: 30, data: "example.com" },
      ],
    }),
  );
  assert.equal(readAnswer(circle, "example.com", "MX").kind, "loop");
});

test("that there is nothing is kept for the lesser of the SOA's times, and not at all without an SOA", () => {
  const soa = {
    name: "example.com",
    type: "SOA",
    ttl: 900,
    data: { mname: "ns.example.com", rname: "h.example.com", minimum: 60 },
  };
  const denied = decoded(response({ flags: NXDOMAIN, authorities: [soa] }));
  assert.deepEqual(readAnswer(denied, "example.com", "MX"), {
    kind: "none",
    because: "no-such-name",
    ttlSeconds: 60,
    isAuthenticated: false,
  });
  const bare = readAnswer(decoded(response({})), "example.com", "MX");
  assert.ok(bare.kind === "none");
  assert.equal(bare.because, "no-such-record");
  assert.equal(bare.ttlSeconds, undefined);
});

test("an empty answer of a server that does not recurse is a referral; that of one that knows is none", () => {
  const soa = { name: "example.com", type: "SOA", ttl: 9, data: { mname: "a", rname: "b", minimum: 6 } };
  const ns = { name: "com", type: "NS", ttl: 9, data: "a.gtld-servers.net" };
  const mx = { name: "example.com", type: "MX", ttl: 9, data: { preference: 1, exchange: "a.example.com" } };
  const [recursive, plain, authoritative] = [0x8180, 0x8100, 0x8500];
  for (const [flags, parts, expected] of [
    [plain, { authorities: [ns] }, true],
    [plain, {}, true],
    // A forwarder says that it recurses, and hands on what a server behind it said that does not.
    [recursive, { authorities: [ns] }, true],
    [recursive, {}, false],
    [recursive, { authorities: [ns, soa] }, false],
    [plain, { authorities: [soa] }, false],
    [authoritative, {}, false],
    [authoritative, { authorities: [ns] }, false],
    [plain, { answers: [mx], authorities: [ns] }, false],
    [plain | 3, {}, false],
    [plain | 5, { authorities: [ns] }, false],
  ] as const)
    assert.equal(
      isReferral(decoded(response({ flags, ...parts } as object))),
      expected,
      JSON.stringify([flags, parts]),
    );
});

test("of an answer that is marked as cut, head and question are enough, wherever the cut is", () => {
  const whole = response({
    flags: 0x8380,
    answers: Array.from({ length: 3 }, () => ({
      name: "example.com",
      type: "MX",
      ttl: 300,
      data: { preference: 10, exchange: "mx1.example.com" },
    })),
  });
  const questionEnds = 12 + 13 + 4;
  for (let length = questionEnds; length < whole.length; length++) {
    const message = decoded(whole.subarray(0, length));
    assert.ok(message.isTruncated);
    assert.deepEqual(message.answers, []);
    assert.ok(answersQuestion(message, 7, "example.com", "MX", true));
  }
  assert.equal(decodeMessage(whole.subarray(0, questionEnds - 1)).ok, false);
});

test("an answer with another id, name or type is not ours", () => {
  const message = decoded(response({}));
  assert.equal(answersQuestion(message, 7, "example.com", "MX", false), true);
  assert.equal(answersQuestion(message, 7, "eXample.com", "MX", true), false);
  assert.equal(answersQuestion(message, 8, "example.com", "MX", false), false);
  assert.equal(answersQuestion(message, 7, "example.org", "MX", false), false);
  assert.equal(answersQuestion(message, 7, "example.com", "A", false), false);
});

test("addresses have their reverse names", () => {
  assert.equal(reverseName("192.0.2.5"), "5.2.0.192.in-addr.arpa");
  assert.equal(reverseName("2001:db8::1"), `1.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`);
  assert.equal(reverseName("nonsense"), undefined);
});
