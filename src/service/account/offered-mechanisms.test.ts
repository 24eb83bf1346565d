import assert from "node:assert/strict";
import { test } from "node:test";
import { mechanismProblems, offeredMechanisms } from "./offered-mechanisms.ts";
import { accountsSettings } from "./settings.ts";

const table = accountsSettings.parse("table:people");
const oauth = accountsSettings.parse([{ oauth: { introspection: "https://id.example/introspect" } }]);
const both = accountsSettings.parse([
  { table: "table:people" },
  { oauth: { introspection: "https://id.example/introspect" } },
]);

test("what is offered is what the backends can serve for certain", () => {
  assert.deepEqual(offeredMechanisms(table), ["PLAIN", "LOGIN", "EXTERNAL"]);
  assert.deepEqual(offeredMechanisms(oauth), ["OAUTHBEARER", "XOAUTH2", "EXTERNAL"]);
  assert.deepEqual(offeredMechanisms(both), ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "EXTERNAL"]);
  assert.deepEqual(offeredMechanisms(undefined), ["PLAIN", "LOGIN", "EXTERNAL"]);
});

test("what the settings name is offered, the best first, in whatever case and order it was written", () => {
  const accounts = accountsSettings.parse({
    backends: [{ table: "table:people" }],
    mechanisms: ["plain", "cram-md5", "scram-sha-256", "SCRAM-SHA-256-PLUS"],
  });
  assert.deepEqual(offeredMechanisms(accounts), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "CRAM-MD5"]);
  assert.equal(
    accountsSettings.safeParse({ backends: [{ table: "table:people" }], mechanisms: ["GSSAPI"] }).success,
    false,
  );
});

test("a mechanism that no backend can serve is a mistake of the settings", () => {
  assert.deepEqual(mechanismProblems(table, ["PLAIN", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "EXTERNAL"]), []);
  assert.match(mechanismProblems(table, ["XOAUTH2"]).join(), /XOAUTH2 needs an oauth backend/);
  assert.match(
    mechanismProblems(oauth, ["PLAIN", "SCRAM-SHA-1"]).join(),
    /a backend with passwords.*SCRAM-SHA-1 needs a table/,
  );
});
