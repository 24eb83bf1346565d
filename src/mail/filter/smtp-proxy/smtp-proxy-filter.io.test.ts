import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { startScanner } from "../../../testing/scripted-scanner.ts";
import type { FilterMail, MailVerdict } from "../filter.ts";
import { smtpProxySettings } from "./settings.ts";
import { smtpProxyFilter } from "./smtp-proxy-filter.io.ts";

const TRACE =
  "Received: from client.example.net (client.example.net [192.0.2.99])\r\n\tby mx.example.org (Posthorn) with ESMTP id 01ARZ3NDEKT;\r\n\tSat, 21 Nov 2026 12:00:00 +0000\r\n";
const MAIL = testMail("Subject: hello\n\n.A mail.\n", { trace: TRACE });

/** Answers each line by its verb; the end of the content by `.`. What is not named gets 250. */
function answering(answers: Readonly<Record<string, string>>) {
  const done = new WeakMap<Socket, { lines: number; isInContent: boolean }>();
  return startScanner({
    onConnect: (socket) => void socket.write(`${answers["greeting"] ?? "220 filter"}\r\n`),
    onData(socket, soFar) {
      const state = done.get(socket) ?? { lines: 0, isInContent: false };
      done.set(socket, state);
      const lines = soFar.split("\r\n").slice(0, -1);
      for (const line of lines.slice(state.lines)) {
        state.lines++;
        if (state.isInContent && line !== ".") continue;
        const verb = /^[A-Z]+|^\./.exec(line)?.[0] ?? "";
        const answer = answers[verb] ?? (verb === "DATA" ? "354 go" : verb === "QUIT" ? "221 bye" : "250 ok");
        if (answer === "close") return void socket.destroy();
        if (answer === "silence") return;
        state.isInContent = verb === "DATA" && answer.startsWith("354");
        socket.write(`${answer}\r\n`);
        if (verb === "QUIT") socket.end();
      }
    },
  });
}

async function judge(at: string, more: object = {}, mail: FilterMail = MAIL): Promise<MailVerdict> {
  const settings = smtpProxySettings.parse({ to: at, connectTimeout: "5s", answerTimeout: "20s", ...more });
  const { signal } = new AbortController();
  return smtpProxyFilter("scan", settings, testFilterWorld()).open(mail.facts).judge(mail, signal);
}

function answerOf({ fate }: MailVerdict): string {
  return fate.kind === "handed-over" ? replyText(fate.reply) : fate.kind;
}

test("the filter gets the mail with our trace, marked, and dots doubled; its answer is the answer", async () => {
  await using filter = await answering({
    EHLO: "250-filter\r\n250-PIPELINING\r\n250 XFORWARD ADDR",
    ".": "250 2.0.0 Ok: queued as 5YL",
  });
  assert.equal(answerOf(await judge(`smtp://${filter.at}`)), "250 2.0.0 Ok: queued as 5YL");
  const heard = filter.heard()[0] ?? "";
  assert.match(heard, /^EHLO mx\.example\.org\r\nXFORWARD ADDR=192\.0\.2\.99\r\nMAIL FROM:<alice@example\.net>\r\n/);
  assert.ok(
    heard.includes(
      `DATA\r\n${TRACE.replace("01ARZ3NDEKT;", "01ARZ3NDEKT\r\n\t(proxy-filter:scan);")}Subject: hello\r\n\r\n..A mail.\r\n.\r\n`,
    ),
    heard,
  );
  while (!(filter.heard()[0] ?? "").endsWith(".\r\nQUIT\r\n")) await wait(5);
});

test("a refusal of recipient or content is passed on, and no content goes to who takes only some", async () => {
  await using picky = await answering({ RCPT: "550 5.1.1 no such user" });
  assert.equal(answerOf(await judge(picky.at)), "550 5.1.1 <bob@example.org>: no such user");
  assert.ok(!(picky.heard()[0] ?? "").includes("Subject"));
  await using strict = await answering({ ".": "554 5.7.1 spam" });
  assert.equal(answerOf(await judge(strict.at)), "554 5.7.1 spam");
});

test("a large mail goes through in pieces", async () => {
  const large = testMail(`Subject: x\n\n${"0123456789abcde\n".repeat(200_000)}`);
  await using filter = await answering({});
  assert.match(answerOf(await judge(filter.at, {}, large)), /^250/);
  assert.ok((filter.heard()[0]?.length ?? 0) > 3_400_000);
});

test("a filter that is not there, hangs, dies or talks nonsense has failed, wherever that happens", async () => {
  const failures: readonly [Readonly<Record<string, string>>, RegExp][] = [
    [{ greeting: "421 4.3.2 too busy" }, /greets with 421 4\.3\.2 too busy/],
    [{ greeting: "hello there" }, /no reply: hello there/],
    [{ EHLO: "silence" }, /no answer within 200ms/],
    [{ MAIL: "close" }, /closed|ECONNRESET|broke/],
    [{ DATA: "close" }, /closed|ECONNRESET|broke/],
    [{ DATA: "250 what?" }, /answers DATA with 250 what\?/],
    [{ ".": "close" }, /closed|ECONNRESET|broke/],
    [{ ".": "silence" }, /no answer within 200ms/],
    [{ ".": "354 more" }, /answers the content with 354/],
    [{ RCPT: "x".repeat(100_000) }, /no reply/],
  ];
  for (const [script, says] of failures) {
    await using filter = await answering(script);
    const answerTimeout = Object.values(script).includes("silence") ? "200ms" : "30s";
    await assert.rejects(judge(filter.at, { answerTimeout }), { code: "FILTER_FAILED", message: says });
  }
  await assert.rejects(judge("127.0.0.1:1"), { code: "FILTER_FAILED", message: /smtp 127\.0\.0\.1:1: .*ECONNREFUSED/ });
});

test("a goodbye that is never answered holds nobody up", async () => {
  await using filter = await answering({ QUIT: "silence", ".": "250 2.0.0 kept" });
  const before = Date.now();
  assert.equal(answerOf(await judge(filter.at, { answerTimeout: "60s" })), "250 2.0.0 kept");
  assert.ok(Date.now() - before < 50_000);
});

test("mail that comes back to the same filter is a loop, and refused before anybody is asked", async () => {
  const header = TRACE.replace("01ARZ3NDEKT;", "01ARZ3NDEKT\r\n\t(proxy-filter:scan);");
  const back = testMail(`${header}Subject: hello\n\nA mail.\n`);
  const { fate, because } = await judge("127.0.0.1:1", {}, back);
  assert.match(fate.kind === "refuse" ? replyText(fate.reply) : fate.kind, /^554 5\.4\.6 Mail loop/);
  assert.equal(because, "it left for this filter as 01ARZ3NDEKT");
});

test("settings are an address or more, and an address is one", () => {
  assert.equal(smtpProxySettings.parse("smtp://127.0.0.1:10025").to.text, "127.0.0.1:10025");
  assert.equal(smtpProxySettings.parse({ to: "unix:/run/filter.sock", return: "back" }).return, "back");
  for (const wrong of ["http://127.0.0.1", "smtp://", ""])
    assert.equal(smtpProxySettings.safeParse(wrong).success, false, wrong);
});
