import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { acmeProblem, problemDocument } from "./problem.ts";

test("a problem document gives its type without the prefix, and what the authority says, on one line", () => {
  assert.deepEqual(
    problemDocument({
      type: "urn:ietf:params:acme:error:rateLimited",
      detail: "too many\r\ncertificates",
      status: 429,
    }),
    { type: "rateLimited", detail: "too many certificates" },
  );
});

test("the words for each name are told with it", () => {
  const compound = {
    type: "urn:ietf:params:acme:error:compound",
    detail: "some identifiers were refused",
    subproblems: [
      {
        type: "urn:ietf:params:acme:error:dns",
        detail: "no such name",
        identifier: { type: "dns", value: "a.example" },
      },
      { detail: "forbidden" },
    ],
  };
  assert.equal(problemDocument(compound)?.detail, "some identifiers were refused; a.example: no such name; forbidden");
});

test("what is no problem document is none, and a type of somebody's own is a refusal", () => {
  for (const given of [undefined, null, 7, "text", [], {}, { type: 3 }])
    assert.equal(problemDocument(given), undefined);
  assert.equal(problemDocument({ type: "about:blank", detail: "no" })?.type, "refused");
});

test("property: nothing an authority sends throws, and its words are bounded", () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), fc.anything(), (type, detail, subproblems) => {
      const document = problemDocument({ type, detail, subproblems });
      assert.ok(document === undefined || document.detail.length <= 401);
    }),
  );
});

test("every problem has a cure, known or not", () => {
  for (const type of ["rateLimited", "unreachable", "whatever", "constructor"])
    assert.match(acmeProblem(type, "x").cure, /\w{3}/);
});
