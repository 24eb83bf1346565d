import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { remoteTable, tablePort } from "../../service/table/remote-table.ts";
import { inlineTable } from "../../service/table/tables.ts";
import { localNames, type LocalNames } from "./local-names.ts";
import { localSettings } from "./settings.ts";

const PASSWORDS = { anna: "{PLAIN}x", "anna-maria": "{PLAIN}y", "shop+de@example.org": "{PLAIN}z" };

/** The users are those who have a password, which no other process is told. */
function whereUsersArePasswords(local: Parameters<typeof localSettings.parse>[0]): LocalNames {
  const people = inlineTable("people", { kind: "map", entries: PASSWORDS });
  const port = tablePort(new Map([["people", people]]), () => true);
  const remote = remoteTable("people", port, { clock: virtualClock(0), timeoutMs: 1000 });
  return localNames(localSettings.parse(local), "mail.example.org", new Map([["people", remote]]));
}

test("who is in a table of passwords is known by a name with a delimiter in it, too", async () => {
  const names = whereUsersArePasswords({ users: "table:people", extensionDelimiter: "+-" });
  const nameOf = {
    anna: "anna",
    "anna+x": "anna",
    "Anna-x": "anna",
    "Anna-Maria": "anna-maria",
    "anna-maria+x": "anna",
  };
  for (const [written, name] of Object.entries({ ...nameOf, "shop+de": "shop+de" }))
    assert.deepEqual(await names.userOf(`${written}@example.org`), { name }, written);
  for (const user of ["eve", "eve+x", "shop", "shop+fr"])
    assert.equal(await names.userOf(`${user}@example.org`), false, user);
});

test("so are those of a virtual domain", async () => {
  const names = whereUsersArePasswords({ virtual: [{ domains: ["example.org"], users: "table:people" }] });
  const domain = await names.virtualOf("example.org");
  assert.ok(domain !== "none" && "userOf" in domain);
  assert.deepEqual(await domain.userOf("shop+de@example.org"), { name: "shop+de" });
  assert.equal(await domain.userOf("shop+fr@example.org"), false);
});
