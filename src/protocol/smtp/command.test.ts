import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatMail, formatRcpt, parseCommand, parseCommandText, VERBS, type Command } from "./command.ts";

function command(line: string): Command {
  const parsed = parseCommandText(line);
  assert.ok(parsed.ok, `${line}: ${JSON.stringify(parsed)}`);
  return parsed.value;
}

function problem(line: string): string {
  const parsed = parseCommandText(line);
  assert.ok(!parsed.ok, line);
  return `${parsed.problem.verb} ${parsed.problem.kind} ${parsed.problem.at}`;
}

test("verbs are known in any case, others are told by their word", () => {
  assert.deepEqual(command("data"), { verb: "DATA" });
  assert.deepEqual(command("Quit  "), { verb: "QUIT" });
  assert.deepEqual(command("eHlO client.example"), { verb: "EHLO", domain: "client.example" });
  assert.deepEqual(command("GET / HTTP/1.1"), { verb: "unknown", word: "GET" });
  assert.deepEqual(command(""), { verb: "unknown", word: "" });
  assert.deepEqual(command("DATAX"), { verb: "unknown", word: "DATAX" });
});

test("MAIL and RCPT carry a path and typed parameters", () => {
  const mail = command("MAIL FROM:<a@Example.org> SIZE=1024 BODY=8BITMIME RET=HDRS ENVID=q+2B1 AUTH=<> SMTPUTF8");
  assert.ok(mail.verb === "MAIL");
  assert.deepEqual(mail.parameters, {
    sizeBytes: 1024,
    body: "8BITMIME",
    dsnReturn: "HDRS",
    dsnEnvelopeId: "q+1",
    auth: "",
    isInternational: true,
  });
  const rcpt = command("rcpt to:<b@c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@c");
  assert.ok(rcpt.verb === "RCPT");
  assert.deepEqual(rcpt.parameters, { notify: ["SUCCESS", "DELAY"], originalRecipient: "rfc822;Bob+x@c" });
});

test("a space behind the colon is forgiven, missing brackets are not", () => {
  assert.deepEqual(command("MAIL FROM: <>"), command("MAIL FROM:<>"));
  assert.equal(problem("MAIL FROM:a@b"), "MAIL sender 10");
  assert.equal(problem("RCPT TO:a@b"), "RCPT recipient 8");
});

test("senders may be null and recipients postmaster, not the other way round", () => {
  assert.deepEqual(command("RCPT TO:<POSTMASTER>"), {
    verb: "RCPT",
    to: { kind: "postmaster" },
    isInternational: false,
    parameters: {},
  });
  assert.equal(problem("MAIL FROM:<postmaster>"), "MAIL sender 21");
  assert.equal(problem("RCPT TO:<>"), "RCPT recipient 9");
});

test("problems say what kind of reply they deserve", () => {
  assert.equal(problem("MAIL"), "MAIL argument 4");
  assert.equal(problem("MAIL TO:<a@b>"), "MAIL argument 5");
  assert.equal(problem("MAIL FROM:<a@b>SIZE=1"), "MAIL sender 15");
  assert.equal(problem("MAIL FROM:<a@b> SIZE=x"), "MAIL parameter 16");
  assert.equal(problem("MAIL FROM:<a@b> FOO=x"), "MAIL unknown-parameter 16");
  assert.equal(problem("RCPT TO:<a@b> SIZE=1"), "RCPT unknown-parameter 14");
  assert.equal(problem("DATA x"), "DATA argument 5");
  assert.equal(problem("EHLO"), "EHLO argument 4");
  assert.equal(problem("EHLO a b"), "EHLO argument 4");
  assert.equal(problem("BDAT"), "BDAT argument 4");
  assert.equal(problem("BDAT -1"), "BDAT argument 4");
  assert.equal(problem("BDAT 1 FIRST"), "BDAT argument 4");
  assert.equal(problem("VRFY "), "VRFY argument 4");
  assert.equal(problem("NOOP\0"), "unknown encoding 4");
  assert.equal(problem("MAIL FROM:<a\0@b>"), "MAIL encoding 12");
});

test("BDAT, AUTH, XCLIENT, HELP and NOOP carry what their RFCs say", () => {
  assert.deepEqual(command("BDAT 1000"), { verb: "BDAT", sizeBytes: 1000, isLast: false });
  assert.deepEqual(command("bdat 0 last"), { verb: "BDAT", sizeBytes: 0, isLast: true });
  assert.deepEqual(command("AUTH scram-sha-256"), { verb: "AUTH", mechanism: "SCRAM-SHA-256", initial: undefined });
  assert.deepEqual(command("AUTH PLAIN ="), { verb: "AUTH", mechanism: "PLAIN", initial: "=" });
  assert.deepEqual(command("AUTH PLAIN AGEAYg=="), { verb: "AUTH", mechanism: "PLAIN", initial: "AGEAYg==" });
  assert.equal(problem("AUTH PLAIN a*b"), "AUTH argument 4");
  const xclient = command("XCLIENT NAME=a+2Bb ADDR=IPV6:::1 helo=[UNAVAILABLE]");
  assert.ok(xclient.verb === "XCLIENT");
  assert.deepEqual(
    [...xclient.attributes],
    [
      ["NAME", "a+b"],
      ["ADDR", "IPV6:::1"],
      ["HELO", "[UNAVAILABLE]"],
    ],
  );
  assert.equal(problem("XCLIENT"), "XCLIENT argument 7");
  assert.equal(problem("XCLIENT NAME=a+0D+0Ab"), "XCLIENT argument 8");
  assert.equal(problem("XFORWARD NAME=+G0"), "XFORWARD argument 9");
  assert.deepEqual(command("HELP  rcpt "), { verb: "HELP", argument: "rcpt" });
  assert.deepEqual(command("NOOP"), { verb: "NOOP", argument: "" });
});

test("addresses beyond ASCII are parsed and marked, for the session to judge", () => {
  const mail = parseCommand(Buffer.from("MAIL FROM:<ü@example.org>"));
  assert.ok(mail.ok && mail.value.verb === "MAIL" && mail.value.isInternational);
  const domainOnly = parseCommand(Buffer.from("RCPT TO:<a@bücher.example>"));
  assert.ok(domainOnly.ok && domainOnly.value.verb === "RCPT" && domainOnly.value.isInternational);
  const latin1 = parseCommand(Buffer.from("MAIL FROM:<\xfc@example.org>", "latin1"));
  assert.ok(!latin1.ok);
  assert.equal(latin1.problem.kind, "encoding");
});

test("property: no line makes the parser throw", () => {
  const words = fc.constantFrom(
    ...VERBS,
    ...Array.from(' <>@:;=+"\\[].,\t\0'),
    "FROM:",
    "TO:",
    "<a@b>",
    " SIZE=",
    " ORCPT=",
    " BY=",
    "LAST",
    "12",
    "ü",
    "\xff",
  );
  const lines = fc.array(words, { maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(lines, fc.constantFrom("utf8" as const, "latin1" as const), (line, encoding) => {
      parseCommand(Buffer.from(line, encoding));
    }),
    { numRuns: 1000 },
  );
});

const printable = fc.stringMatching(/^[\x20-\x7e]{1,30}$/);
const mails = fc.record(
  {
    sizeBytes: fc.nat(),
    body: fc.constantFrom("7BIT" as const, "8BITMIME" as const, "BINARYMIME" as const),
    isInternational: fc.constant(true),
    dsnReturn: fc.constantFrom("FULL" as const, "HDRS" as const),
    dsnEnvelopeId: printable,
    auth: fc.constantFrom("", "a+b=c@example.org", '"x y"@b'),
    deliverBy: fc.record(
      {
        seconds: fc.integer({ min: 1, max: 999_999_999 }),
        mode: fc.constantFrom("return" as const, "notify" as const),
        trace: fc.boolean(),
      },
      { noNullPrototype: true },
    ),
    holdForSeconds: fc.integer({ min: 1, max: 999_999_999 }),
  },
  { requiredKeys: [], noNullPrototype: true },
);
const rcpts = fc.record(
  {
    notify: fc.constantFrom(["NEVER" as const], ["SUCCESS" as const, "FAILURE" as const], ["DELAY" as const]),
    originalRecipient: fc.oneof(
      printable.map((address) => `rfc822;${address}`),
      fc
        .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
        .filter((address) => !/\p{Cc}|[\u2028\u2029]/u.test(address))
        .map((address) => `utf-8;${address}`),
    ),
  },
  { requiredKeys: [], noNullPrototype: true },
);

test("property: MAIL and RCPT are read back as they were written", () => {
  fc.assert(
    fc.property(mails, rcpts, fc.boolean(), (mail, rcpt, isInternational) => {
      const from = { kind: "null" } as const;
      const mailBack = command(formatMail(from, mail));
      assert.ok(mailBack.verb === "MAIL");
      assert.deepEqual(mailBack.parameters, mail);
      const line = formatRcpt({ kind: "postmaster" }, rcpt, isInternational);
      if (!isInternational) assert.match(line, /^[\x20-\x7e]*$/);
      const rcptBack = command(line);
      assert.ok(rcptBack.verb === "RCPT");
      assert.deepEqual(rcptBack.parameters, rcpt);
    }),
    { numRuns: 300 },
  );
});
