import assert from "node:assert/strict";
import { parseRequest } from "../../../src/admin/control/protocol.ts";
import { readDropped } from "../../../src/mail/connection/dropped-mail.ts";
import { parseMessageAnswer, parseStageAnswer } from "../../../src/mail/filter/http/answer.ts";
import { readMessageAnswer, readStageAnswer } from "../../../src/mail/filter/hooks/read-answer.ts";
import { parseRspamdAnswer } from "../../../src/mail/filter/rspamd/answer.ts";
import { parseAnswer, parseHello, scannedOf } from "../../../src/mail/queue/process/messages.ts";
import { parseTold } from "../../../src/service/tls/told.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const STAGES = ["connect", "helo", "mail", "rcpt", "data"] as const;

/**
 * Whatever comes as JSON: requests at the control socket, answers of rspamd, of HTTP services, hooks and queue programs, mail dropped by
 * users. Each is understood or refused with words, in which nothing of a stranger's can begin a new line.
 */
export const target: FuzzTarget = {
  seeds: [
    '{"v":1,"id":1,"do":"show","with":{}}',
    '{"posthorn":1,"sender":"a@b","recipients":["c@d"]}\nbody',
    '{"verdict":"refuse","reply":{"code":550,"status":"5.7.1","text":"no"},"tags":["a"],"because":"x"}',
    '{"verdict":"proceed","edits":[{"edit":"add-field","name":"X","value":"y","at":0},{"edit":"replace-body","body":"aGk="}]}',
    '{"action":"reject","score":15.1,"required_score":15,"symbols":{"A":{"score":1,"options":["x"]}},"messages":{"smtp_message":"no"},"milter":{"add_headers":{"X":"y"}}}',
    '{"hello":"posthorn-queue","version":1,"program":"p","messages":1,"envelopes":2}',
    '{"id":1,"ok":true,"value":{"rows":[]}}',
    '{"kind":"refuse","code":550}',
  ],
  tokens: [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "null",
    "true",
    "1e400",
    "-0",
    '"__proto__":',
    '"constructor":',
    "\\u0000",
    "\\r\\n",
    "\\ud800",
    '{"a":',
    "[[",
  ],
  run(bytes) {
    const text = bytes.toString("utf8");
    const refusals = [
      wordsOf(parseRspamdAnswer(text)),
      wordsOf(parseMessageAnswer(text)),
      wordsOf(parseHello(text)),
      wordsOf(parseAnswer(text)),
      wordsOf(readDropped(bytes)),
      ...STAGES.map((stage) => wordsOf(parseStageAnswer(text, stage))),
    ];
    parseRequest(text);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = text;
    }
    scannedOf(value);
    parseTold(value);
    refusals.push(wordsOf(readMessageAnswer(value)), ...STAGES.map((stage) => wordsOf(readStageAnswer(stage, value))));
    for (const words of refusals) assert.ok(!/[\r\n]/.test(words), JSON.stringify(words));
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  },
};

function wordsOf(result: { readonly ok: boolean; readonly problem?: unknown }): string {
  if (result.ok) return "";
  const { problem } = result;
  return typeof problem === "string" ? problem : String((problem as { expected?: unknown }).expected);
}
