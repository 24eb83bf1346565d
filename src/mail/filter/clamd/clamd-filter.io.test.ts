import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { startScanner } from "../../../testing/scripted-scanner.ts";
import type { FilterMail, MailVerdict } from "../filter.ts";
import { clamdFilter } from "./clamd-filter.io.ts";
import { clamdSettings } from "./settings.ts";

const MAIL = testMail("Subject: hello\n\nA mail.\n");
const { signal: patience } = new AbortController();

function judge(
  at: string | readonly string[],
  more: object = {},
  mail = MAIL,
  signal = patience,
): Promise<MailVerdict> {
  const settings = clamdSettings.parse({ servers: at, connectTimeout: "5s", answerTimeout: "20s", ...more });
  return clamdFilter("virus", settings, testFilterWorld()).open(mail.facts).judge(mail, signal);
}

/** Answers when the chunk without length has come. */
const answering = (text: string) =>
  startScanner({
    onData: (socket, soFar) => {
      if (soFar.startsWith("zPING")) socket.end("PONG\0");
      else if (soFar.endsWith("\0\0\0\0")) socket.end(text);
    },
  });

test("the mail is sent in chunks behind their length, and clean mail is kept", async () => {
  await using clamd = await answering("stream: OK\0");
  assert.deepEqual(await judge(clamd.at), { fate: { kind: "keep" } });
  assert.equal(clamd.heard()[0], "zINSTREAM\0\0\0\0\x12Subject: hello\r\n\r\n\0\0\0\x09A mail.\r\n\0\0\0\0");
});

test("mail without a body ends its stream once", async () => {
  await using clamd = await answering("stream: OK\0");
  const mail = testMail("Subject: x\n\n");
  const withEmptyPieces: FilterMail = {
    ...mail,
    async *content() {
      yield Buffer.alloc(0);
      yield* mail.content();
      yield Buffer.alloc(0);
    },
  };
  await judge(clamd.at, {}, withEmptyPieces);
  assert.equal(clamd.heard()[0], "zINSTREAM\0\0\0\0\x0eSubject: x\r\n\r\n\0\0\0\0");
});

test("a virus is refused with its name, quarantined or discarded, as the settings say; a field can tell", async () => {
  await using clamd = await answering("stream: Eicar-Test-Signature FOUND\0");
  const { fate, because } = await judge(clamd.at);
  assert.deepEqual(fate, {
    kind: "refuse",
    reply: { code: 550, status: "5.7.1", lines: ["Virus found: Eicar-Test-Signature"] },
  });
  assert.equal(because, "virus Eicar-Test-Signature");
  const quarantined = await judge(clamd.at, { onVirus: "quarantine", mark: true });
  assert.equal(quarantined.fate.kind, "quarantine");
  assert.deepEqual(quarantined.edits, [
    { edit: "remove-field", name: "X-Virus-Status" },
    { edit: "add-field", name: "X-Virus-Status", value: "Infected (Eicar-Test-Signature)" },
  ]);
  assert.equal((await judge(clamd.at, { onVirus: "discard" })).fate.kind, "discard");
});

test("a large mail is sent as fast as clamd takes it; when that says `too big` in the middle, that is the answer", async () => {
  const large = testMail(`Subject: x\n\n${"0123456789abcde\n".repeat(500_000)}`);
  await using slow = await answering("stream: OK\0");
  assert.equal((await judge(slow.at, {}, large)).fate.kind, "keep");
  assert.ok((slow.heard()[0]?.length ?? 0) > 8_000_000);
  await using full = await startScanner({
    onData: (socket, soFar) => {
      if (soFar.length > 100_000 && !socket.writableEnded) {
        socket.end("INSTREAM size limit exceeded. ERROR\0");
        socket.pause();
      }
    },
  });
  assert.deepEqual(await judge(full.at, {}, large), {
    fate: { kind: "keep" },
    because: "larger than clamd looks at",
  });
  const deferred = await judge(full.at, { onTooBig: "defer" }, large);
  assert.equal(deferred.fate.kind === "refuse" && deferred.fate.reply.code, 451);
});

test("a clamd that is not there, hangs, closes early or talks nonsense fails, and says so", async () => {
  const failures: readonly [Parameters<typeof startScanner>[0], RegExp][] = [
    [{ onConnect: (socket) => socket.destroy() }, /connection|ECONNRESET/],
    [{}, /no answer within 200ms/],
    [{ onData: (socket) => socket.end() }, /closed the connection without an answer/],
    [{ onData: (socket) => socket.resetAndDestroy() }, /ECONNRESET|broke|without an answer/],
    [
      { onData: (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n") },
      /"HTTP\/1.1 400 Bad Request" is no answer of clamd/,
    ],
    [{ onData: (socket) => socket.end("stream: Can't allocate memory ERROR\0") }, /Can't allocate memory ERROR/],
    [{ onData: (socket) => void socket.write("x".repeat(100_000)) }, /is no answer of clamd/],
    [{ onData: (socket) => socket.end("PONG\0") }, /another question/],
  ];
  for (const [script, says] of failures) {
    await using clamd = await startScanner(script);
    // Only a silence is to be met by the deadline, however slow the machine.
    const answerTimeout = says.source.includes("within 200ms") ? "200ms" : "20s";
    await assert.rejects(judge(clamd.at, { answerTimeout }), { code: "FILTER_FAILED", message: says });
  }
  await assert.rejects(judge("127.0.0.1:1"), {
    code: "FILTER_FAILED",
    message: /clamd 127\.0\.0\.1:1: .*ECONNREFUSED/,
  });
});

test("when nobody waits any more, the connection is closed at once", async () => {
  await using clamd = await startScanner({});
  const gone = new AbortController();
  const judged = judge(clamd.at, { answerTimeout: "1m" }, MAIL, gone.signal);
  while (clamd.heard()[0] === undefined || clamd.heard()[0] === "") await wait(5);
  gone.abort(new Error("the client left"));
  await assert.rejects(judged, { code: "FILTER_FAILED" });
});

test("the next server is asked when one hangs, at a path as well", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-clamd-"));
  await using hanging = await startScanner({});
  await using well = await startScanner({
    path: join(folder, "clamd.ctl"),
    onData: (socket, soFar) => void (soFar.endsWith("\0\0\0\0") && socket.end("stream: OK\0")),
  });
  assert.equal((await judge([hanging.at, `unix:${well.at}`], { answerTimeout: "2s" })).fate.kind, "keep");
  rmSync(folder, { recursive: true });
});

test("its health is what PING says until mails have come, then what they met", async () => {
  await using clamd = await answering("stream: OK\0");
  const filter = clamdFilter("virus", clamdSettings.parse(clamd.at), testFilterWorld());
  assert.equal(filter.health().state, "untried");
  while (filter.health().state === "untried") await wait(5);
  assert.deepEqual(filter.health(), { state: "up", text: `clamd ${clamd.at}`, asked: 0, failures: 0 });
  await filter.open(MAIL.facts).judge(MAIL, patience);
  assert.equal(filter.health().asked, 1);
  assert.equal(typeof filter.health().meanMs, "number");
});

test("settings are an address, or more", () => {
  assert.deepEqual(clamdSettings.parse("unix:/run/clamd.ctl").servers, [
    { kind: "unix", path: "/run/clamd.ctl", text: "/run/clamd.ctl" },
  ]);
  assert.throws(() => clamdSettings.parse("http://127.0.0.1"), /expected host:port/);
  assert.throws(() => clamdSettings.parse({ servers: "a:1", onVirus: "keep" }));
});
