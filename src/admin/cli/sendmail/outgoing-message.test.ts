import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { prepareMessage, type OutgoingMessage } from "./outgoing-message.ts";
import { parseSendmailArguments, type SendmailRequest } from "./sendmail-arguments.ts";

const facts = {
  now: Date.UTC(2026, 10, 21, 12),
  offsetMinutes: 60,
  id: "abc",
  hostname: "here.example",
  mailName: "here.example",
  callerName: "anna",
  callerFullName: "Anna Amsel",
};

function request(...argv: string[]): SendmailRequest {
  const parsed = parseSendmailArguments(argv);
  assert.ok(parsed.ok);
  return parsed.value;
}

function prepared(text: string, ...argv: string[]): OutgoingMessage & { readonly text: string } {
  const result = prepareMessage(Buffer.from(text), request(...argv), facts);
  assert.ok(result.ok, JSON.stringify(result));
  return { ...result.value, text: result.value.content.toString() };
}

test("with -t the recipients are those of To, Cc and Bcc, and Bcc is gone", () => {
  const message = prepared(
    "To: Bert <bert@b.example>, carl\nCc: d@d.example\nBcc: e@e.example\nSubject: x\n\nhello\n",
    "-t",
  );
  assert.deepEqual(message.recipients, ["bert@b.example", "carl@here.example", "d@d.example", "e@e.example"]);
  assert.doesNotMatch(message.text, /bcc/i);
  assert.match(message.text, /Subject: x\n\nhello\n$/);
});

test("without -t the header's addresses mean nothing, and Bcc stays as the program wrote it", () => {
  const message = prepared("To: x@x.example\nBcc: y@y.example\n\nhello\n", "bert");
  assert.deepEqual(message.recipients, ["bert@here.example"]);
  assert.match(message.text, /Bcc: y@y.example/);
});

test("missing fields are added, present ones are left alone", () => {
  const added = prepared("Subject: x\n\nhello\n", "bert").text;
  assert.match(
    added,
    /^Message-ID: <\S+@here\.example>\r\nDate: Sat, 21 Nov 2026 13:00:00 \+0100\r\nFrom: Anna Amsel <anna@here\.example>\r\nSubject: x\n/,
  );
  const full = "From: z@z.example\nDate: Sat, 21 Nov 2026 13:00:00 +0100\nMessage-ID: <1@z.example>\n\nhello\n";
  assert.equal(prepared(full, "bert").text, full);
});

test("names without a domain get the one that users have, which need not be the host's", () => {
  const input = Buffer.from("To: carl\nSubject: x\n\nhello\n");
  const result = prepareMessage(input, request("-t", "bert"), { ...facts, mailName: "example" });
  assert.ok(result.ok);
  const { sender, recipients, content } = result.value;
  assert.deepEqual([sender, ...recipients], ["anna@example", "bert@example", "carl@example"]);
  assert.match(content.toString(), /^Message-ID: <\S+@here\.example>\r\n[^]*From: Anna Amsel <anna@example>\r\n/);
});

test("whoever calls is the sender, however odd the name of the login", () => {
  for (const [callerName, sender] of [
    ["anna", "anna@here.example"],
    ["o'neil", "o'neil@here.example"],
    ["anna@corp.example", "anna@corp.example"],
    ["CORP\\anna", '"CORP\\\\anna"@here.example'],
    ["anna bert", '"anna bert"@here.example'],
    ["anna,bert", '"anna,bert"@here.example'],
    ["anna (work)", '"anna (work)"@here.example'],
    ["anna.", '"anna."@here.example'],
    ["<root>", '"<root>"@here.example'],
    ["a@b@c", '"a@b@c"@here.example'],
    ["jürgen", "jürgen@here.example"],
  ] as const) {
    const result = prepareMessage(Buffer.from("Subject: x\n\nhello\n"), request("bert"), {
      ...facts,
      callerName,
      callerFullName: undefined,
    });
    assert.ok(result.ok, callerName);
    assert.equal(result.value.sender, sender);
    assert.ok(result.value.content.toString().includes(`From: ${sender}\r\n`), callerName);
  }
});

test("-F names the sender of a missing From, -f its address", () => {
  assert.match(
    prepared("\nhello", "-F", "The Boss", "-f", "boss@b.example", "bert").text,
    /From: The Boss <boss@b\.example>\r\n/,
  );
});

test("a message without a header gets one, with the empty line that keeps its body a body", () => {
  const { text } = prepared("hello: world, this is no header\nbecause this line is none\n", "bert");
  assert.match(text, /^Message-ID: /);
  const plain = prepared("just text\n", "bert").text;
  assert.match(plain, /From: [^\n]*\r\n\r\njust text\n$/);
});

test("a dot alone ends the message, unless -i says that it does not", () => {
  const input = "Subject: x\n\none\n.\ntwo\n";
  assert.match(prepared(input, "bert").text, /one\n$/);
  assert.match(prepared(input, "-i", "bert").text, /one\n\.\ntwo\n$/);
});

test("an mbox `From ` line is left out", () => {
  assert.doesNotMatch(
    prepared("From anna Sat Nov 21 12:00:00 2026\nSubject: x\n\nhello\n", "bert").text,
    /^From anna/m,
  );
});

test("the null sender is kept, and From names nobody who would get an answer to it", () => {
  const message = prepared("Subject: x\n\nhello\n", "-f", "<>", "bert");
  assert.equal(message.sender, "");
  assert.match(message.text, /From: MAILER-DAEMON@here\.example/);
});

test("mistakes are told apart: in the call, or in the message", () => {
  for (const [text, argv, where] of [
    ["Subject: x\n\n", [], "arguments"],
    ["Subject: x\n\n", ["-t"], "message"],
    ["To: <<>>\n\n", ["-t"], "message"],
    ["\n", ["@"], "arguments"],
    ["\n", ["-f", "a b c", "bert"], "arguments"],
  ] as const) {
    const result = prepareMessage(Buffer.from(text), request(...argv), facts);
    assert.ok(!result.ok, text);
    assert.equal(result.problem.in, where);
  }
});

test("no bytes make it throw, and the body always arrives whole", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const input = Buffer.concat([Buffer.from("Subject: x\r\n\r\n"), bytes]);
      const result = prepareMessage(input, request("-i", "bert"), facts);
      assert.ok(result.ok);
      assert.ok(result.value.content.subarray(-bytes.length).equals(bytes) || bytes.length === 0);
      prepareMessage(Buffer.from(bytes), request("-t"), facts);
    }),
  );
});
