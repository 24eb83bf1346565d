import assert from "node:assert/strict";
import { test } from "node:test";
import { isTokenText, judgeClaims } from "./oauth-token.ts";

const settings = { issuer: "https://id.example.org", audience: ["mail"], scope: ["smtp"], userClaim: "email" };
const claims = { iss: "https://id.example.org", aud: ["mail", "web"], scope: "openid smtp", email: "Joe@Example.org" };

test("a token of the issuer, for us, with the scope, opens the account that it names", () => {
  assert.deepEqual(judgeClaims(claims, settings, ""), { kind: "right", account: "joe@example.org" });
  assert.deepEqual(judgeClaims(claims, settings, "JOE@example.org"), { kind: "right", account: "joe@example.org" });
  assert.equal(judgeClaims({ ...claims, aud: "mail" }, settings, "").kind, "right");
  for (const verified of [true, "true", undefined])
    assert.equal(judgeClaims({ ...claims, email_verified: verified }, settings, "").kind, "right", String(verified));
});

for (const [what, changed] of [
  ["of another issuer", { iss: "https://evil.example" }],
  ["without an issuer", { iss: undefined }],
  ["for another service", { aud: "web" }],
  ["for nobody in particular", { aud: undefined }],
  ["without the scope", { scope: "openid smtps" }],
  ["of nobody", { email: undefined }],
  ["of a name with a line break in it", { email: "joe\nx" }],
  ["of an address that was not verified", { email_verified: false }],
  ["of an address that was not verified, as a text", { email_verified: "false" }],
  ["of an address that nobody knows to be verified", { email_verified: null }],
] as const)
  test(`a token ${what} is refused`, () => {
    assert.equal(judgeClaims({ ...claims, ...changed }, settings, "").kind, "wrong");
  });

test("somebody else's token does not open the account", () => {
  assert.equal(judgeClaims(claims, settings, "jane@example.org").kind, "wrong");
});

test("only what may be a bearer token is looked at", () => {
  assert.equal(isTokenText("eyJhbGciOi.J9-_~+/=="), true);
  for (const text of ["", "a b", "a\r\nHost: x", "x".repeat(20_000)]) assert.equal(isTokenText(text), false);
});
