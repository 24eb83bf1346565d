import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReply } from "./reply.ts";

test("a reply is found, not there, or a failure, by its first word", () => {
  assert.deepEqual(parseReply("OK joe, jane@example.net"), { kind: "found", value: "joe, jane@example.net" });
  assert.deepEqual(parseReply("OK "), { kind: "found", value: "" });
  assert.deepEqual(parseReply("OK  two spaces"), { kind: "found", value: " two spaces" });
  assert.deepEqual(parseReply("NOTFOUND "), { kind: "none" });
  // Some servers say why, or leave the space out.
  assert.deepEqual(parseReply("NOTFOUND"), { kind: "none" });
  assert.deepEqual(parseReply("NOTFOUND no such user"), { kind: "none" });
  assert.deepEqual(parseReply("TEMP no database"), { kind: "failed", text: 'TEMP "no database"' });
  assert.deepEqual(parseReply("TIMEOUT "), { kind: "failed", text: "TIMEOUT" });
  assert.deepEqual(parseReply("PERM bad map"), { kind: "failed", text: 'PERM "bad map"' });
});

test("anything else is a failure, never `not there`", () => {
  for (const reply of ["", "notfound ", "OKAY x", " OK x", "NOTFOUNDx", "500 error"])
    assert.equal(parseReply(reply).kind, "failed", reply);
});
