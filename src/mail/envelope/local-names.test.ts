import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { remoteTable, tablePort } from "../../service/table/remote-table.ts";
import { keyedTable } from "../../service/table/keyed-table.ts";
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

test("what a list has of domains names nobody; a user may be called what a domain is called", async () => {
  const users = ["anna", "jane.doe", "*.b.example", "192.0.2.0/24", "@closed.example"];
  const names = localNames(localSettings.parse({ users }), "mail.example.org", new Map());
  for (const user of ["anna", "anna+x", "jane.doe", "Jane.Doe+x"])
    assert.notEqual(await names.userOf(`${user}@example.org`), false, user);
  for (const user of [
    "x.b.example",
    "x.b.example+y",
    "192.0.2.7",
    '".b.example"',
    '"*.b.example"',
    '"x@closed.example"',
  ])
    assert.equal(await names.userOf(`${user}@example.org`), false, user);
  // Of domains it says what it says: everybody there.
  for (const address of ["x@a.b.example", "x@closed.example"])
    assert.notEqual(await names.userOf(address), false, address);
  const virtual = [{ domains: ["example.org"], users }];
  const entry = await localNames(localSettings.parse({ virtual }), "mail.example.org", new Map()).virtualOf(
    "example.org",
  );
  assert.ok(entry !== "none" && "userOf" in entry);
  assert.equal(await entry.userOf("x.b.example@example.org"), false);
  assert.notEqual(await entry.userOf("jane.doe@example.org"), false);
});

test("a user whose name holds a delimiter is known by it where all of a domain has mailboxes, too", async () => {
  const users = ["anna", "anna-maria", "@old.example"];
  const parsed = localSettings.parse({ users, extensionDelimiter: "+-" });
  const names = localNames(parsed, "mail.example.org", new Map());
  assert.deepEqual(await names.userOf("anna-maria@old.example"), { name: "anna-maria" });
  assert.deepEqual(await names.userOf("anna-x@old.example"), { name: "anna" });
  assert.deepEqual(await names.userOf("eve-x@old.example"), { name: "eve" });
});

test("a table that takes extensions off by itself, or asks for whole domains, makes no user of a name with its extension", async () => {
  const asking = (isThere: (key: string) => boolean): LocalNames => {
    const clock = virtualClock(0);
    const people = keyedTable(
      "people",
      {
        get: async (key) => (isThere(key) ? { kind: "found", value: "1", where: "here" } : { kind: "none" }),
        services: () => undefined,
        health: () => ({ kind: "test", source: "test", state: "up", text: "", queries: 0, failures: 0 }),
        close: async () => {},
      },
      { clock, timeoutMs: 1000, wildcards: false },
    );
    const local = localSettings.parse({
      users: "table:people",
      extensionDelimiter: "+-",
      virtual: [{ domains: ["boxes.example"], users: "table:people" }],
    });
    return localNames(local, "mail.example.org", new Map([["people", people]]));
  };
  const stripping = asking((key) => /^(anna|anna-maria)([+][^@]*)?(@example\.org)?$/.test(key));
  for (const [written, name] of [
    ["anna+lists", "anna"],
    ["anna-maria", "anna-maria"],
    ["Anna", "anna"],
  ] as const)
    assert.deepEqual(await stripping.userOf(`${written}@example.org`), { name }, written);
  const wild = await asking((key) => key.endsWith("@boxes.example")).virtualOf("boxes.example");
  assert.ok(wild !== "none" && "userOf" in wild);
  assert.deepEqual(await wild.userOf("kim+x@boxes.example"), { name: "kim" });
  assert.deepEqual(await wild.userOf("kim@boxes.example"), { name: "kim" });
  // Whom it has with an extension only, it has with that.
  const only = asking((key) => /^shop[+]/.test(key));
  assert.deepEqual(await only.userOf("shop+de@example.org"), { name: "shop+de" });
  const failing = asking((key) => {
    if (key.includes("nosuch")) throw new Error("away");
    return true;
  });
  assert.match(JSON.stringify(await failing.userOf("anna+lists@example.org")), /failed.*away/);
});
