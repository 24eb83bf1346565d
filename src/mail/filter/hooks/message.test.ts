import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuWatch } from "../../../testing/cpu-watch.ts";
import { testMail } from "../../../testing/filter-mail.ts";
import { HookMessage } from "./message.ts";

function message(text: string): HookMessage {
  const mail = testMail(text);
  return new HookMessage(
    { facts: mail.facts, trace: "", header: mail.header, sizeBytes: text.length, body: mail.body },
    { state: {}, now: 0, signal: new AbortController().signal },
  );
}

test("a header of tens of thousands of fields is read once, and asked as often as a hook likes", () => {
  const usedMs = cpuWatch();
  const mail = message(`${"A:\n".repeat(50_000)}Subject: =?utf-8?q?caf=C3=A9?=\n\nx\n`);
  for (let time = 0; time < 50; time++) assert.equal(mail.subject, "café");
  assert.equal(mail.headers("a").length, 50_000);
  const spent = usedMs();
  assert.ok(spent < 4000, `${spent} ms`);
});

test("words that are encoded without end, half, or one in the other, cost as many steps as there are of them", () => {
  const usedMs = cpuWatch();
  for (const bomb of [
    "=?a?b?".repeat(60_000),
    "=?utf-8?q?=41?= ".repeat(20_000),
    `=?utf-8?q?${"=".repeat(300_000)}`,
    `=?a?b?x?=${" ".repeat(300_000)}x`,
    "?= ".repeat(100_000),
    `=?utf-8?b?${"QUFB".repeat(80_000)}?=`,
    `"${'\\" '.repeat(100_000)}`,
  ]) {
    const mail = message(`Subject: ${bomb}\n\nx\n`);
    assert.ok(mail.subject.length <= bomb.length);
  }
  const spent = usedMs();
  assert.ok(spent < 4000, `${spent} ms`);
});

test("of a body of parts in parts, or of a hundred thousand of them, a hook gets the text, and as much as it asks for", async () => {
  let nested = "";
  for (let at = 0; at < 10_000; at++)
    nested += `--b${at}\r\nContent-Type: multipart/mixed; boundary=b${at + 1}\r\n\r\n`;
  const usedMs = cpuWatch();
  for (const body of [nested, "--b\r\n\r\nx\r\n".repeat(100_000)]) {
    const mail = message(`Content-Type: multipart/mixed; boundary=b\n\n${body}`);
    assert.equal(await mail.text(), body);
    assert.equal(await mail.text(10_000), body.slice(0, 10_000));
  }
  const spent = usedMs();
  assert.ok(spent < 4000, `${spent} ms`);
});
