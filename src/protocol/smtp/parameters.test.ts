import { test } from "node:test";
import assert from "node:assert/strict";
import { parseMailParameters, parseRcptParameters } from "./parameters.ts";

function kindOf(result: ReturnType<typeof parseMailParameters> | ReturnType<typeof parseRcptParameters>): string {
  return result.ok ? "ok" : `${result.problem.kind} ${result.problem.keyword}`;
}

test("each parameter is taken in the form that its RFC gives it", () => {
  for (const text of [
    "SIZE=0",
    "SIZE=99999999999999999999",
    "size=1 body=7bit",
    "BODY=BINARYMIME",
    "RET=full",
    "ENVID=a+20b",
    "AUTH=e+3Dmc2@example.com",
    "AUTH=<>",
    "BY=120;R",
    "BY=-5;NT",
    "MT-PRIORITY=-9",
    "MT-PRIORITY=0",
    "MT-PRIORITY=7",
    "XVERP",
    "XVERP=-+",
    "HOLDFOR=3600",
    "HOLDUNTIL=2026-02-28T23:59:59Z",
    "  SIZE=1   SMTPUTF8 ",
  ])
    assert.equal(kindOf(parseMailParameters(text)), "ok", text);
});

test("other forms are refused and the keyword is named", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["SIZE", "syntax SIZE"],
    ["SIZE=", "syntax SIZE"],
    ["SIZE=-1", "syntax SIZE"],
    ["SIZE=123456789012345678901", "syntax SIZE"],
    ["SIZE=1 SIZE=2", "syntax SIZE"],
    ["BODY=9BIT", "syntax BODY"],
    ["SMTPUTF8=yes", "syntax SMTPUTF8"],
    ["RET=NONE", "syntax RET"],
    ["ENVID=", "syntax ENVID"],
    ["ENVID=+0D+0ABcc:", "syntax ENVID"],
    ["ENVID=a+b", "syntax ENVID"],
    ["AUTH=nobody", "syntax AUTH"],
    ["BY=0;R", "syntax BY"],
    ["BY=5", "syntax BY"],
    ["HOLDFOR=0", "syntax HOLDFOR"],
    ["HOLDFOR=1 HOLDUNTIL=2026-01-01T00:00:00Z", "syntax HOLDUNTIL"],
    ["HOLDUNTIL=2026-01-01T00:00:00Z HOLDFOR=1", "syntax HOLDFOR"],
    ["HOLDUNTIL=2026-02-29T00:00:00Z", "syntax HOLDUNTIL"],
    ["FOO", "unknown FOO"],
    ["NOTIFY=NEVER", "unknown NOTIFY"],
    ["=", "syntax "],
    ["F\u00dc=1", "syntax F\u00dc"],
  ];
  for (const [text, kind] of cases) assert.equal(kindOf(parseMailParameters(text)), kind, text);
});

test("RFC 3461: NEVER stands alone, ORCPT has a type and nothing that breaks a header field", () => {
  assert.deepEqual(parseRcptParameters("NOTIFY=success,failure,SUCCESS"), {
    ok: true,
    value: { notify: ["SUCCESS", "FAILURE"] },
  });
  assert.deepEqual(parseRcptParameters("ORCPT=UTF-8;\\x{FC}@b\u00fccher.example"), {
    ok: true,
    value: { originalRecipient: "utf-8;ü@bücher.example" },
  });
  for (const text of [
    "NOTIFY=",
    "NOTIFY=NEVER,DELAY",
    "NOTIFY=SOMETIMES",
    "ORCPT=a@b",
    "ORCPT=rfc822;",
    "ORCPT=rfc822;a+0Ab",
    "ORCPT=rfc822;\u00fc@b",
    "ORCPT=utf-8;\\x{D800}",
    "ORCPT=utf-8;\\x{0A}",
    "ORCPT=utf-8;\\x{110000}",
    `ORCPT=rfc822;${"a".repeat(500)}`,
  ])
    assert.equal(kindOf(parseRcptParameters(text)).split(" ")[0], "syntax", text);
});
