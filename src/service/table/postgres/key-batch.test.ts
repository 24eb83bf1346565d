import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answeredState, batchBytes, isOutdated } from "./key-batch.ts";

interface Message {
  readonly type: string;
  readonly body: Buffer;
}

/** As PostgreSQL cuts it: a letter, and a length that counts itself. */
function messagesOf(bytes: Buffer): readonly Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 1);
    messages.push({ type: String.fromCharCode(bytes[at] ?? 0), body: bytes.subarray(at + 5, at + 1 + length) });
    at += 1 + length;
  }
  return messages;
}

/** The fields of a Bind, by the protocol's page of message formats. */
function readBind(body: Buffer): {
  portal: string;
  statement: string;
  formats: number;
  values: string[];
  results: number;
} {
  let at = 0;
  const text = (): string => {
    const from = at;
    at = body.indexOf(0, at) + 1;
    return body.toString("utf8", from, at - 1);
  };
  const short = (): number => body.readUInt16BE((at += 2) - 2);
  const [portal, statement, formats, count] = [text(), text(), short(), short()];
  const values: string[] = [];
  for (let value = 0; value < count; value++) {
    const length = body.readUInt32BE(at);
    values.push(body.toString("utf8", at + 4, at + 4 + length));
    at += 4 + length;
  }
  const results = short();
  assert.equal(at, body.length);
  return { portal, statement, formats, values, results };
}

test("a batch is a Bind and an Execute for each key, and one Sync", () => {
  const value = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(
      fc.constantFrom("", "posthorn_alias"),
      fc.array(fc.array(value, { maxLength: 3 })),
      (statement, keys) => {
        const messages = messagesOf(batchBytes(statement, keys));
        assert.equal(messages.map(({ type }) => type).join(""), `${"BE".repeat(keys.length)}S`);
        const binds = messages.filter(({ type }) => type === "B").map(({ body }) => readBind(body));
        assert.deepEqual(
          binds,
          keys.map((values) => ({ portal: "", statement, formats: 0, values, results: 0 })),
        );
        // The unnamed portal, all rows.
        for (const { type, body } of messages) if (type === "E") assert.deepEqual([...body], [0, 0, 0, 0, 0]);
        assert.equal(messages.at(-1)?.body.length, 0);
      },
    ),
  );
});

test("in whatever language the server speaks, its SQLSTATE says whether the connection goes on", () => {
  const told = (severity: string, code: string, routine = ""): Error =>
    Object.assign(new Error("told"), { severity, code, routine });
  assert.equal(answeredState(told("ERROR", "42P01")), "42P01");
  assert.equal(answeredState(told("FEHLER", "42P01")), "42P01");
  assert.equal(answeredState(told("ERREUR", "57014")), "57014", "a query that took too long");
  for (const code of ["57P01", "57P05", "08P01", "25P03", "28P01"])
    assert.equal(answeredState(told("SCHWERWIEGEND", code)), undefined, code);
  assert.equal(answeredState(Object.assign(new Error("read"), { code: "ECONNRESET" })), undefined);
  assert.ok(isOutdated(told("FEHLER", "0A000", "RevalidateCachedQuery")));
  assert.ok(isOutdated(told("ERROR", "26000")));
  assert.ok(!isOutdated(told("ERROR", "0A000", "transformColumnRef")));
});
