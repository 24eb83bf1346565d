import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dovecotQuestion, parseDovecotLine } from "./dovecot-auth.ts";

test("the lines of Dovecot's greeting tell its mechanisms and its end", () => {
  assert.deepEqual(parseDovecotLine("VERSION\t1\t2"), { kind: "other" });
  assert.deepEqual(parseDovecotLine("MECH\tPLAIN\tplaintext"), { kind: "mechanism", name: "PLAIN" });
  assert.deepEqual(parseDovecotLine("DONE"), { kind: "done" });
  assert.deepEqual(parseDovecotLine("VERSION\t2\t0"), { kind: "incompatible", version: "2" });
});

test("a yes carries the user's name as Dovecot knows it", () => {
  assert.deepEqual(parseDovecotLine("OK\t7\tuser=joe@example.org\tproxy"), {
    kind: "ok",
    id: 7,
    user: "joe@example.org",
  });
});

test("who is right, and may not log in, is refused with the server's reason; one who is served elsewhere is not", () => {
  for (const [fields, reason] of [
    ["nologin\treason=suspended", "suspended"],
    ["nologin", "nologin"],
    ["nologin\ttemp", "nologin"],
  ] as const)
    assert.deepEqual(parseDovecotLine(`OK\t7\tuser=joe\t${fields}`), {
      kind: "fail",
      id: 7,
      isTemporary: fields.includes("temp"),
      reason,
    });
  for (const fields of ["nologin\tproxy\thost=192.0.2.1", "host=192.0.2.1\tnologin", "reason=nologin"])
    assert.equal(parseDovecotLine(`OK\t7\tuser=joe\t${fields}`).kind, "ok", fields);
});

test("a question says from where the client is, as far as that is known", () => {
  const question = { id: 1, user: "joe", password: "x", service: "smtp" };
  assert.match(dovecotQuestion({ ...question, address: "2001:db8::7" }), /^AUTH\t1\tPLAIN\t.*\trip=2001:db8::7\tresp=/);
  assert.doesNotMatch(dovecotQuestion(question), /rip=/);
});

test("a no is told from not having found out", () => {
  assert.deepEqual(parseDovecotLine("FAIL\t7\tuser=joe"), {
    kind: "fail",
    id: 7,
    isTemporary: false,
    reason: undefined,
  });
  for (const line of ["FAIL\t7\tuser=joe\ttemp", "FAIL\t7\tuser=joe\tcode=temp_fail"]) {
    const parsed = parseDovecotLine(line);
    assert.equal(parsed.kind === "fail" && parsed.isTemporary, true, line);
  }
  const disabled = parseDovecotLine("FAIL\t7\tuser=joe\tuser_disabled");
  assert.equal(disabled.kind === "fail" ? disabled.reason : "", "user_disabled");
});

test("whatever a user and a password are made of, a question is one line with the fields of one", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.string({ unit: "binary" }),
      fc.string({ unit: "binary" }),
      (user, password, service) => {
        const line = dovecotQuestion({ id: 1, user, password, service });
        assert.equal(line.indexOf("\n"), line.length - 1);
        const fields = line.trimEnd().split("\t");
        assert.equal(fields.length, 7);
        const response = Buffer.from(fields.at(-1)?.slice("resp=".length) ?? "", "base64").toString();
        assert.equal(response, Buffer.from(`\0${user}\0${password}`).toString());
      },
    ),
  );
});

test("no line of the server's makes it throw", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (line) => void parseDovecotLine(line)));
});
