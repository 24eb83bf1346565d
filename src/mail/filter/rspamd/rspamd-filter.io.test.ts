import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { startScanner } from "../../../testing/scripted-scanner.ts";
import type { Filter, MailVerdict } from "../filter.ts";
import { wholeOf } from "../kept-content.ts";
import { rspamdFilter } from "./rspamd-filter.io.ts";
import { rspamdSettings } from "./settings.ts";

const MAIL = testMail("Subject: hello\n\nA mail.\n");
const { signal: patience } = new AbortController();

function make(servers: string | readonly string[], more: object = {}): Promise<Filter> {
  const settings = rspamdSettings.parse({ servers, connectTimeout: "5s", answerTimeout: "20s", ...more });
  return rspamdFilter("spam", settings, testFilterWorld({ secrets: { spam: "s3cret" } }));
}

async function judge(servers: string | readonly string[], more: object = {}, mail = MAIL): Promise<MailVerdict> {
  const filter = await make(servers, more);
  try {
    return await filter.open(mail.facts).judge(mail, patience);
  } finally {
    await filter.close();
  }
}

const http = (json: string, more = "", body = json): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const CLEAN = '{"action":"no action","score":-1}';
/** Whether a question of HTTP with this mail has come whole. */
const isWhole = (soFar: string): boolean => soFar.endsWith("A mail.\r\n") || /^GET .*\r\n\r\n$/s.test(soFar);
const answering = (text: string) =>
  startScanner({ onData: (socket, soFar) => void (isWhole(soFar) && socket.end(text)) });

test("the mail goes to /checkv2 with the envelope in headers and the password, without our Received field", async () => {
  await using rspamd = await answering(http(CLEAN));
  const { fate, score } = await judge(`http://${rspamd.at}`);
  assert.equal(fate.kind, "keep");
  assert.equal(score?.value, -1);
  const heard = rspamd.heard()[0] ?? "";
  assert.match(heard, /^POST \/checkv2 HTTP\/1\.1\r\n/);
  assert.match(heard, /\r\nPassword: s3cret\r\n/);
  assert.match(heard, /\r\nRcpt: bob@example\.org\r\n/);
  assert.match(heard, /\r\ncontent-length: 27\r\n/i);
  assert.match(heard, /\r\n\r\nSubject: hello\r\n\r\nA mail\.\r\n$/);
});

test("a body behind the message's offset replaces the mail's; its line feeds become line ends", async () => {
  await using rspamd = await answering(http("", `Message-Offset: ${CLEAN.length}\r\n`, `${CLEAN}New\r\nbody\n`));
  const { edits = [] } = await judge(`http://${rspamd.at}`);
  const [edit] = edits;
  assert.ok(edit?.edit === "replace-body");
  assert.equal((await wholeOf(edit.body.read())).toString(), "New\r\nbody\r\n");
});

test("connections are kept for the next mail, and one that was closed meanwhile does not fail a mail", async () => {
  let answered = 0;
  await using rspamd = await startScanner({
    onData: (socket, soFar) => {
      if (!isWhole(soFar)) return;
      answered++;
      socket.write(http(CLEAN));
      if (answered === 2) setTimeout(() => socket.destroy(), 20);
    },
  });
  const filter = await make(`http://${rspamd.at}`);
  for (let n = 0; n < 4; n++) {
    assert.equal((await filter.open(MAIL.facts).judge(MAIL, patience)).fate.kind, "keep");
    if (n === 1) await wait(60);
  }
  await filter.close();
  assert.equal(rspamd.connections(), 2);
  assert.equal(filter.health().failures, 0);
});

test("an rspamd that is not there, hangs, dies in the middle or talks nonsense fails, and says so", async () => {
  const failures: readonly [Parameters<typeof startScanner>[0], RegExp][] = [
    [{ onConnect: (socket) => socket.destroy() }, /socket hang up|ECONNRESET|closed/],
    [{}, /no answer within 300ms/],
    [
      { onData: (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") },
      /no answer within 300ms/,
    ],
    [{ onData: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") }, /aborted|closed/],
    [{ onData: (socket) => socket.resetAndDestroy() }, /ECONNRESET|hang up|EPIPE/],
    [{ onData: (socket) => socket.end("* OK IMAP4rev1 ready\r\n") }, /Parse Error/],
    [{ onData: (socket) => socket.end(http("<html>no</html>")) }, /no JSON/],
    [{ onData: (socket) => socket.end(http('{"action":""}')) }, /makes no sense at action/],
    [
      { onData: (socket) => socket.end(http('{"error":"bad password"}').replace("200 OK", "403 Forbidden")) },
      /it failed: "bad password"/,
    ],
    [{ onData: (socket) => socket.end(http("nothing here").replace("200 OK", "404 Not Found")) }, /HTTP 404/],
    [
      {
        onData: (socket) =>
          socket.end("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
      },
      /HTTP 301/,
    ],
    [{ onData: (socket) => socket.end(http(CLEAN, "Message-Offset: -5\r\n")) }, /no offset/],
    [{ onData: (socket) => socket.end(http(CLEAN, "Content-Encoding: zstd\r\n")) }, /compressed/],
    [
      { onData: (socket) => void socket.write(`HTTP/1.1 200 OK\r\n\r\n${" ".repeat(1_200_000)}`) },
      /longer than 1048576 bytes/,
    ],
    [{ onData: (socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}`) }, /Header overflow/],
  ];
  for (const [script, says] of failures) {
    await using rspamd = await startScanner(script);
    // Only a silence is to be met by the deadline, however slow the machine.
    const answerTimeout = says.source.includes("within 300ms") ? "300ms" : "20s";
    await assert.rejects(judge(`http://${rspamd.at}`, { answerTimeout }), {
      code: "FILTER_FAILED",
      message: says,
    });
  }
  await assert.rejects(judge("http://127.0.0.1:1"), { message: /rspamd http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/ });
});

test("the next server is asked when one hangs; a socket's path is a server too", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-rspamd-"));
  await using hanging = await startScanner({});
  await using well = await startScanner({
    path: join(folder, "socket"),
    onData: (socket, soFar) => void (isWhole(soFar) && socket.end(http(CLEAN))),
  });
  const verdict = await judge([`http://${hanging.at}`, `unix:${well.at}`], { answerTimeout: "2s" });
  assert.equal(verdict.fate.kind, "keep");
  rmSync(folder, { recursive: true });
});

test("a mail that nobody waits for any more ends its question", async () => {
  await using rspamd = await startScanner({});
  const filter = await make(`http://${rspamd.at}`, { answerTimeout: "1m" });
  const gone = new AbortController();
  const judged = filter.open(MAIL.facts).judge(MAIL, gone.signal);
  while (rspamd.connections() === 0) await wait(5);
  gone.abort(new Error("the client left"));
  await assert.rejects(judged, { code: "FILTER_FAILED" });
  await filter.close();
});

test("its health is what /ping says until mails have come", async () => {
  await using rspamd = await startScanner({ onData: (socket) => socket.end(http("pong\r\n")) });
  const filter = await make(`http://${rspamd.at}`);
  filter.health();
  while (filter.health().state === "untried") await wait(5);
  assert.equal(filter.health().state, "up");
  assert.match(rspamd.heard()[0] ?? "", /^GET \/ping /);
  await filter.close();
});
