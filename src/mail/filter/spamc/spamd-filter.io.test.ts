import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { startScanner } from "../../../testing/scripted-scanner.ts";
import type { MailVerdict } from "../filter.ts";
import { filterMail } from "../filter-mail.ts";
import { keptInMemory, memoryRoom, wholeOf } from "../kept-content.ts";
import { spamcSettings } from "./settings.ts";
import { spamdFilter } from "./spamd-filter.io.ts";

const MAIL = testMail("X-Spam-Flag: NO\nSubject: hello\n\nA mail.\n", { trace: "Received: from a\r\n" });
const { signal: patience } = new AbortController();

function judge(at: string | readonly string[], more: object = {}, mail = MAIL): Promise<MailVerdict> {
  const settings = spamcSettings.parse({ servers: at, connectTimeout: "5s", answerTimeout: "20s", ...more });
  return spamdFilter("spam", settings, testFilterWorld()).open(mail.facts).judge(mail, patience);
}

const spam = (body = "", score = "True ; 9.5 / 5.0"): string =>
  `SPAMD/1.1 0 EX_OK\r\nContent-length: ${body.length}\r\nSpam: ${score}\r\n\r\n${body}`;

/** Answers when our side is closed. */
const answering = (text: string) => startScanner({ onEnd: (socket) => socket.end(text) });

test("the mail is shown with its sender and our Received field in front, and our side is closed behind it", async () => {
  await using spamd = await answering(spam("GTUBE"));
  const { score, fate } = await judge(spamd.at, { user: "{user}" });
  assert.deepEqual(score, { value: 9.5, wanted: 5, symbols: "GTUBE" });
  assert.equal(fate.kind, "keep");
  const mail =
    "Return-Path: <alice@example.net>\r\nReceived: from a\r\nX-Spam-Flag: NO\r\nSubject: hello\r\n\r\nA mail.\r\n";
  assert.equal(spamd.heard()[0], `SYMBOLS SPAMC/1.5\r\nContent-length: ${mail.length}\r\nUser: bob\r\n\r\n${mail}`);
});

test("`check` needs no names, and an answer without a length ends with the connection", async () => {
  await using spamd = await answering("SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.0 / 5.0\r\n\r\n");
  assert.equal((await judge(spamd.at, { ask: "check" })).score?.value, 1);
});

test("a mail in an answer without a length may be torn, and one of nothing is none: neither takes the mail's place", async () => {
  const torn = "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.0 / 5.0\r\n\r\nSubject: hello\r\n\r\nA ma";
  for (const answer of [torn, spam(""), spam("\r\n")]) {
    await using spamd = await answering(answer);
    await assert.rejects(judge(spamd.at, { ask: "process" }), { code: "FILTER_FAILED", message: /whole|no mail/ });
  }
});

test("`headers` takes SpamAssassin's own fields", async () => {
  await using spamd = await answering(
    spam("X-Spam-Flag: YES\r\nReturn-Path: <alice@example.net>\r\nReceived: from a\r\nSubject: [SPAM] hello\r\n\r\n"),
  );
  assert.deepEqual((await judge(spamd.at, { ask: "headers" })).edits, [
    { edit: "remove-field", name: "x-spam-flag" },
    { edit: "add-field", name: "X-Spam-Flag", value: "YES" },
    { edit: "change-field", name: "Subject", nth: 1, value: "[SPAM] hello" },
  ]);
});

test("`process` takes a new body with its header, and leaves a body alone that is the same", async () => {
  const header = "X-Spam-Flag: YES\nReturn-Path: <alice@example.net>\nReceived: from a\nSubject: hello\n";
  await using wrapped = await answering(spam(`${header}Content-Type: multipart/mixed\n\nA report.\n\nA mail.\n`));
  const { edits = [] } = await judge(wrapped.at, { ask: "process" });
  const [first, second, ...others] = edits;
  assert.deepEqual(others, []);
  assert.ok(first?.edit === "replace-header" && second?.edit === "replace-body");
  assert.equal(
    Buffer.from(first.header).toString(),
    "X-Spam-Flag: YES\r\nSubject: hello\r\nContent-Type: multipart/mixed\r\n",
  );
  assert.equal((await wholeOf(second.body.read())).toString(), "A report.\r\n\r\nA mail.\r\n");
  await using same = await answering(spam(`${header}\nA mail.\n`));
  assert.deepEqual((await judge(same.at, { ask: "process" })).edits, [
    { edit: "remove-field", name: "x-spam-flag" },
    { edit: "add-field", name: "X-Spam-Flag", value: "YES" },
  ]);
});

test("the trace shows questions and verdicts while it is on", async () => {
  const lines: string[] = [];
  const trace = { isOn: true, show: (line: string) => void lines.push(line) };
  await using spamd = await answering(spam("GTUBE"));
  const filter = spamdFilter(
    "spam",
    spamcSettings.parse({ servers: spamd.at, mark: false }),
    testFilterWorld({ trace }),
  );
  await filter.open(MAIL.facts).judge(MAIL, patience);
  assert.deepEqual(lines, [
    `spam > mail 3f8Q0000000000001 from <alice@example.net>, ${MAIL.sizeBytes} bytes`,
    "spam < keep; score 9.5 of 5 GTUBE; spam, score 9.5 of 5; tags spam",
  ]);
});

test("binary mail keeps its line feeds when SpamAssassin has only added fields", async () => {
  const binary = filterMail({ ...MAIL, body: keptInMemory(Buffer.from("a\nb\0\r\n")), room: () => memoryRoom(1000) });
  await using spamd = await answering(spam("X-Spam-Flag: YES\r\nSubject: hello\r\n\r\na\nb\0\r\n"));
  const { edits = [] } = await judge(spamd.at, { ask: "process" }, binary);
  assert.ok(!edits.some(({ edit }) => edit === "replace-body"));
});

test("a mail whose scan hangs delays no other", async () => {
  await using spamd = await startScanner({
    onEnd: (socket, soFar) => void (!soFar.includes("hanging") && socket.end(spam())),
  });
  const filter = spamdFilter("spam", spamcSettings.parse(spamd.at), testFilterWorld());
  const gone = new AbortController();
  const hanging = testMail("Subject: hanging\n\n");
  const first = filter.open(hanging.facts).judge(hanging, gone.signal);
  while (spamd.connections() === 0) await wait(5);
  for (let n = 0; n < 3; n++) assert.equal((await filter.open(MAIL.facts).judge(MAIL, patience)).fate.kind, "keep");
  gone.abort(new Error("nobody waits"));
  await assert.rejects(first, { code: "FILTER_FAILED" });
});

test("a spamd that is not there, hangs, dies in the middle or talks nonsense fails, and says so", async () => {
  const failures: readonly [Parameters<typeof startScanner>[0], RegExp][] = [
    [{ onEnd: () => {} }, /no answer within 300ms/],
    [{ onEnd: (socket) => socket.end() }, /without an answer/],
    [{ onEnd: (socket) => socket.end("SPAMD/1.0 76 Bad header line\r\n") }, /answered 76 "Bad header line"/],
    [{ onEnd: (socket) => socket.end("SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n") }, /no score/],
    [
      { onEnd: (socket) => socket.end("SPAMD/1.1 0 EX_OK\r\nContent-length: 50\r\nSpam: True ; 9 / 5\r\n\r\nGTU") },
      /after 3 of 50/,
    ],
    [{ onEnd: (socket) => socket.end("220 mx.example.org ESMTP\r\n\r\n") }, /no answer of spamd/],
    [{ onEnd: (socket) => void socket.write("x".repeat(100_000)) }, /no end of the header|without end/],
    [{ onData: (socket) => socket.resetAndDestroy() }, /ECONNRESET|broke|without an answer/],
  ];
  for (const [script, says] of failures) {
    await using spamd = await startScanner(script);
    // Only a silence is to be met by the deadline, however slow the machine.
    const answerTimeout = says.source.includes("within 300ms") ? "300ms" : "20s";
    await assert.rejects(judge(spamd.at, { answerTimeout }), { code: "FILTER_FAILED", message: says });
  }
});

test("a mail that is much longer than what came in is not taken", async () => {
  await using spamd = await startScanner({
    onEnd: (socket) => socket.end(spam("x".repeat(3_000_000))),
  });
  await assert.rejects(judge(spamd.at, { ask: "process" }), { code: "FILTER_FAILED", message: /more than/ });
});

test("its health is what PING says until mails have come", async () => {
  await using spamd = await startScanner({ onEnd: (socket) => socket.end("SPAMD/1.5 0 PONG\r\n") });
  const filter = spamdFilter("spam", spamcSettings.parse(spamd.at), testFilterWorld());
  assert.equal(filter.health().state, "untried");
  while (filter.health().state === "untried") await wait(5);
  assert.equal(filter.health().state, "up");
});
