import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { parseReplyCode } from "./reply-code.ts";

test("a reply has its code, its status and its text", () => {
  assert.deepEqual(parseReplyCode("550 5.7.1 Spam is not wanted"), {
    ok: true,
    value: { code: 550, status: "5.7.1", lines: ["Spam is not wanted"] },
  });
  assert.deepEqual(parseReplyCode("451 later"), {
    ok: true,
    value: { code: 451, status: undefined, lines: ["later"] },
  });
  assert.deepEqual(parseReplyCode("421"), { ok: true, value: { code: 421, status: undefined, lines: [""] } });
});

test("a reply of several lines stays one", () => {
  assert.deepEqual(parseReplyCode("554-5.7.1 one\r\n554-5.7.1 two\r\n554 5.7.1 three\r\n"), {
    ok: true,
    value: { code: 554, status: "5.7.1", lines: ["one", "two", "three"] },
  });
});

test("a doubled per cent sign is one, a single one none", () => {
  const parsed = parseReplyCode("550 5.7.1 100%% spam, 5%s");
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value.lines, ["100% spam, 5s"]);
});

test("what is no refusal is refused itself", () => {
  for (const text of [
    "250 2.0.0 ok",
    "hello",
    "",
    "550x",
    "550-5.7.1 a\r\n551 5.7.1 b",
    "550 4.7.1 mixed",
    "450 5.7.1 mixed",
  ])
    assert.equal(parseReplyCode(text).ok, false, text);
});

test("controls become spaces, and lines stay within what a client must take", () => {
  const parsed = parseReplyCode(`550 5.7.1 a\tb\x07c${"x".repeat(3000)}`);
  assert.ok(parsed.ok);
  assert.match(parsed.value.lines[0] ?? "", /^a b cx{400,}$/);
  assert.ok((parsed.value.lines[0] ?? "").length <= 480);
});

test("line ends in front of more text cost as many steps as there are of them", () => {
  const usedMs = cpuWatch();
  assert.equal(parseReplyCode(`550 ${"\n\r".repeat(500_000)}x`).ok, false);
  assert.ok(parseReplyCode(`550 5.7.1 no${"\r\n".repeat(500_000)}`).ok);
  const spent = usedMs();
  assert.ok(spent < 3000, `${spent} ms`);
});
