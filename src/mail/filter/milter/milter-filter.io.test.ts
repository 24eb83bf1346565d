import assert from "node:assert/strict";
import { test } from "node:test";
import { MILTER_STEPS } from "../../../protocol/milter/negotiation.ts";
import { milterNumber, milterPacket, milterString } from "../../../protocol/milter/packet.ts";
import { testMail } from "../../../testing/filter-mail.ts";
import { BOB, NEVER, TEXT, ask, at, dialogueWith, upToContent } from "../../../testing/milter-dialogue.ts";
import { says, startScriptedMilter } from "../../../testing/scripted-milter.ts";
import { applyEdits } from "../header-edits.ts";
import { wholeOf } from "../kept-content.ts";

test("a mail is told in libmilter's order, without our own trace field", async () => {
  await using milter = await startScriptedMilter();
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  const verdict = await dialogue.judge(testMail(TEXT), NEVER);
  assert.deepEqual(verdict.fate, { kind: "keep" });
  assert.deepEqual(verdict.edits, []);
  dialogue.end();
  await milter.sees("Q");
  assert.deepEqual(milter.commands(), [
    "C client.example.net|4\x9c@192.0.2.99|",
    "H client.example.net|",
    "M <alice@example.net>|",
    "R <bob@example.org>|",
    "T ",
    "L From|alice@example.net|",
    "L Subject|hello\n\tworld|",
    "L X-Odd|tight|",
    "N ",
    "B first line\r\nsecond line\r\n",
    "E ",
    "Q ",
  ]);
  assert.equal(milter.connections, 1);
});

test("macros go in front of the commands they are for", async () => {
  await using milter = await startScriptedMilter({ unix: true });
  const dialogue = dialogueWith(milter, { macros: { daemon_name: "ORIGINATING", site: "north" } });
  const facts = {
    tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: 256 },
    account: "alice",
    mechanism: "PLAIN",
  };
  await ask(dialogue, { stage: "mail" }, facts, { message: undefined });
  await ask(dialogue, { stage: "rcpt", recipient: BOB }, facts);
  const macros = milter.heard.filter((line) => line.startsWith("D "));
  assert.match(
    macros[0] ?? "",
    /^D Cj\|mx\.example\.org\|_\|client\.example\.net \[192\.0\.2\.99\]\|v\|Posthorn 0\.0\.0\|/,
  );
  assert.match(macros[0] ?? "", /\{daemon_name\}\|ORIGINATING\|\{daemon_addr\}\|192\.0\.2\.1\|/);
  assert.match(macros[0] ?? "", /\{site\}\|north\|$/);
  assert.match(
    macros[1] ?? "",
    /^D H\{tls_version\}\|TLSv1\.3\|\{cipher\}\|TLS_AES_256_GCM_SHA384\|\{cipher_bits\}\|256\|/,
  );
  assert.match(
    macros[2] ?? "",
    /^D M\{auth_type\}\|PLAIN\|\{auth_authen\}\|alice\|\{mail_addr\}\|alice@example\.net\|\{mail_host\}\|example\.net\|/,
  );
  assert.match(macros[3] ?? "", /^D Ri\|3f8Q0000000000001\|\{rcpt_addr\}\|bob@example\.org\|/);
});

test("a milter that chooses its macros gets those and no others", async () => {
  await using milter = await startScriptedMilter({
    chosen: Buffer.concat([milterNumber(0), milterString("{client_addr} j"), milterNumber(2), milterString("")]),
  });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  assert.equal(milter.heard[1], "D C{client_addr}|192.0.2.99|j|mx.example.org|");
  assert.equal(
    milter.heard.some((line) => line.startsWith("D M")),
    false,
  );
});

test("steps that a milter does without cost no round trip", async () => {
  const { noConnect, noHelo, noMail, noRcpt, noData, noHeaders, noEndOfHeader, noBody } = MILTER_STEPS;
  await using milter = await startScriptedMilter({
    steps: noConnect | noHelo | noMail | noRcpt | noData | noHeaders | noEndOfHeader | noBody,
  });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  assert.deepEqual((await dialogue.judge(testMail(TEXT), NEVER)).fate, { kind: "keep" });
  assert.deepEqual(milter.commands(), ["E "]);
});

test("a milter that does not answer fields and body is not waited for", async () => {
  const { noReplyHeader, noReplyBody, noReplyEndOfHeader } = MILTER_STEPS;
  await using milter = await startScriptedMilter({
    steps: noReplyHeader | noReplyBody | noReplyEndOfHeader,
    on: ({ code }) => ("LNB".includes(code) ? "silence" : undefined),
  });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  assert.deepEqual((await dialogue.judge(testMail(TEXT), NEVER)).fate, { kind: "keep" });
  assert.equal(milter.commands().at(-1), "E ");
});

test("a body goes in pieces that libmilter takes, until the milter has seen enough", async () => {
  const body = "0123456789abcde\n".repeat(16_384);
  await using milter = await startScriptedMilter({ steps: MILTER_STEPS.skip });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  await dialogue.judge(testMail(`A: b\n\n${body}`), NEVER);
  const pieces = milter.commands().filter((line) => line.startsWith("B "));
  assert.deepEqual(
    pieces.map((piece) => piece.length - 2),
    [65_535, 65_535, 65_535, 65_535, 16_388],
  );
  assert.equal(pieces.map((piece) => piece.slice(2)).join(""), body.replaceAll("\n", "\r\n"));

  await using brief = await startScriptedMilter({ steps: MILTER_STEPS.skip, on: at("B", says.skip) });
  const second = dialogueWith(brief);
  await upToContent(second);
  assert.deepEqual((await second.judge(testMail(`A: b\n\n${body}`), NEVER)).fate, { kind: "keep" });
  assert.equal(brief.commands().filter((line) => line.startsWith("B ")).length, 1);
});

test("every change becomes an edit, and a new body has our line ends", async () => {
  await using milter = await startScriptedMilter({
    on: at(
      "E",
      says.addHeader("X-Added", "one\n\ttwo"),
      says.insertHeader(0, "X-Top", "a"),
      says.insertHeader(1, "X-First", "b"),
      says.insertHeader(3, "X-Third", "c"),
      says.changeHeader(2, "Received", "changed"),
      says.changeHeader(0, "Subject", ""),
      says.progress,
      says.replaceBody("new\nbo"),
      says.addRecipient("<carol@example.org>"),
      milterPacket("2", "<dave@example.org>", "NOTIFY=NEVER"),
      says.removeRecipient("<bob@example.org>"),
      says.changeSender("<>"),
      says.replaceBody("dy\r\n"),
      says.continue,
    ),
  });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  const { fate, edits = [] } = await dialogue.judge(testMail(TEXT), NEVER);
  assert.deepEqual(fate, { kind: "keep" });
  assert.deepEqual(edits.slice(0, -1), [
    { edit: "add-field", name: "X-Added", value: " one\r\n\ttwo", encoding: "latin1" },
    { edit: "add-field", name: "X-Top", value: " a", at: 0, encoding: "latin1" },
    { edit: "add-field", name: "X-First", value: " b", at: 0, encoding: "latin1" },
    { edit: "add-field", name: "X-Third", value: " c", at: 2, encoding: "latin1" },
    { edit: "change-field", name: "Received", nth: 2, value: " changed", encoding: "latin1" },
    { edit: "remove-field", name: "Subject", nth: 1 },
    { edit: "add-recipient", recipient: "carol@example.org" },
    { edit: "add-recipient", recipient: "dave@example.org" },
    { edit: "remove-recipient", recipient: "bob@example.org" },
    { edit: "sender", sender: "" },
  ]);
  const last = edits.at(-1);
  assert.equal(last?.edit === "replace-body" && (await wholeOf(last.body.read())).toString(), "new\r\nbody\r\n");
});

test("a milter that wants the space behind the colon sees it, and writes it itself", async () => {
  await using milter = await startScriptedMilter({
    steps: MILTER_STEPS.leadingSpace,
    on: at("E", says.addHeader("X-A", "tight"), says.accept),
  });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  const { edits } = await dialogue.judge(testMail(TEXT), NEVER);
  assert.deepEqual(
    milter.commands().filter((line) => line.startsWith("L ")),
    ["L From| alice@example.net|", "L Subject| hello\n\tworld|", "L X-Odd|tight|"],
  );
  assert.deepEqual(edits, [{ edit: "add-field", name: "X-A", value: "tight", encoding: "latin1" }]);
});

test("what a milter puts into a field stays byte for byte, be it UTF-8 or older than that", async () => {
  const bytes = (...values: number[]): Buffer => Buffer.from(values);
  const old = bytes(0x5b, 0x53, 0x5d, 0x20, 0x67, 0x72, 0xfc, 0xdf, 0x85, 0xa0);
  const utf8 = Buffer.from("grüße");
  const nul = bytes(0);
  await using milter = await startScriptedMilter({
    on: at(
      "E",
      milterPacket("m", milterNumber(1), "Subject", old, nul),
      milterPacket("h", "X-Utf8", utf8, nul),
      milterPacket("i", milterNumber(1), "X-Top", old, nul),
      says.continue,
    ),
  });
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  const mail = testMail(TEXT);
  const { edits = [] } = await dialogue.judge(mail, NEVER);
  const { header } = applyEdits(mail.header, edits);
  const field = (name: string, value: Buffer) => Buffer.concat([Buffer.from(`${name}: `), value, Buffer.from("\r\n")]);
  assert.ok(header.subarray(0, 19).equals(field("X-Top", old)), header.toString("latin1"));
  assert.ok(header.includes(field("Subject", old)), header.toString("latin1"));
  assert.ok(header.includes(field("X-Utf8", utf8)), header.toString("latin1"));
});

test("every decision at the end of a mail is a fate", async () => {
  const refused = (code: number, status: string | undefined, ...lines: string[]) => ({
    kind: "refuse",
    reply: { code, status, lines },
  });
  for (const [packet, fate] of [
    [says.continue, { kind: "keep" }],
    [says.accept, { kind: "keep" }],
    [says.discard, { kind: "discard" }],
    [says.reject, refused(550, "5.7.1", "Command rejected")],
    [says.tempfail, refused(451, "4.7.1", "Service unavailable - try again later")],
    [says.shutdown, refused(421, "4.7.0", "Service unavailable - closing connection")],
    [milterPacket("f"), refused(421, "4.7.0", "Service unavailable - closing connection")],
    [says.reply("554-5.7.1 one\r\n554 5.7.1 two"), refused(554, "5.7.1", "one", "two")],
  ] as const) {
    await using milter = await startScriptedMilter({ on: at("E", packet) });
    const dialogue = dialogueWith(milter);
    await upToContent(dialogue);
    assert.deepEqual((await dialogue.judge(testMail(TEXT), NEVER)).fate, fate);
    dialogue.end();
  }
});

test("a milter's quarantine is what the settings say", async () => {
  await using milter = await startScriptedMilter({ on: at("E", says.quarantine("looks odd"), says.continue) });
  for (const [quarantine, fate] of [
    [undefined, { kind: "quarantine" }],
    ["accept", { kind: "keep" }],
    ["discard", { kind: "discard" }],
    ["reject", { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["Message refused: looks odd"] } }],
  ] as const) {
    const dialogue = dialogueWith(milter, quarantine === undefined ? {} : { quarantine });
    await upToContent(dialogue);
    const verdict = await dialogue.judge(testMail(TEXT), NEVER);
    assert.deepEqual(verdict.fate, fate);
    assert.equal(verdict.because, "looks odd");
    dialogue.end();
  }
});

test("a decision in the middle of a mail ends it, and the next mail is told anew", async () => {
  for (const [code, packet, fate] of [
    ["L", says.accept, { kind: "keep" }],
    ["N", says.discard, { kind: "discard" }],
    ["B", says.reject, { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["Command rejected"] } }],
  ] as const) {
    await using milter = await startScriptedMilter({ on: at(code, packet) });
    const dialogue = dialogueWith(milter);
    await upToContent(dialogue);
    assert.deepEqual((await dialogue.judge(testMail(TEXT), NEVER)).fate, fate);
    const before = milter.commands().length;
    await ask(dialogue, { stage: "mail" });
    assert.deepEqual(milter.commands().slice(before), ["A ", "M <alice@example.net>|"]);
    assert.equal(milter.connections, 1);
    dialogue.end();
  }
});
