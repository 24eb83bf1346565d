import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { scramPbkdf2 } from "../../protocol/sasl/pbkdf2.io.ts";
import { inlineTable } from "../table/tables.ts";
import type { Table } from "../table/table.ts";
import { accountKey } from "./account-key.ts";
import type { Authenticator } from "./authenticator.ts";
import { isPassword } from "./password-check.io.ts";
import { RememberedLogins } from "./remembered-logins.ts";
import { SendingLimits } from "./sending-limits.ts";
import { sendingQuota } from "./sending-quota.ts";
import { tableAuthenticator } from "./table-authenticator.ts";
import { turns } from "./turns.ts";
import { namedPlainly } from "./written-names.ts";

const WRITINGS = [
  "alice@example.org ",
  "\u00e1lice@example.org",
  "Alice@example.org",
  " alice@example.org",
  "ali\u00adce@example.org",
];

/** As a database that leaves out spaces at the ends, accents, and what cannot be seen. */
function lenient(): Table {
  const table = inlineTable("people", { kind: "map", entries: { "alice@example.org": "{PLAIN}sesame" } });
  return { ...table, lookup: (key, ask) => table.lookup(accountKey(key), ask) };
}

function over(table: Table): Authenticator {
  return tableAuthenticator(table, {
    isPassword,
    pbkdf2: scramPbkdf2,
    turns: turns(2, 10),
    remembered: new RememberedLogins(systemClock, 60_000, (text) => text),
    allowsWeak: false,
    secret: Buffer.alloc(16),
  });
}

test("however a database lets an account's name be written, the account has one name", async () => {
  const accounts = over(lenient());
  for (const name of [...WRITINGS, ...WRITINGS]) {
    const right = { kind: "right", account: "alice@example.org" };
    assert.deepEqual(await accounts.checkPassword(name, "sesame"), right, name);
    const keys = await accounts.scramKeys?.(name, "SHA-256");
    assert.equal(keys?.kind === "found" && keys.account, "alice@example.org", name);
    const plain = await accounts.plainPassword?.(name);
    assert.equal(plain?.kind === "found" && plain.account, "alice@example.org", name);
  }
});

test("where a table tells names apart by their accents, they are two accounts", async () => {
  const entries = {
    "m\u00fcller@example.org": "{PLAIN}sesame",
    "muller@example.org": "{PLAIN}open",
    "\u00e9va@example.org": "{PLAIN}sesame",
  };
  const accounts = over(inlineTable("people", { kind: "map", entries }));
  for (const [name, password] of [
    ["m\u00fcller@example.org", "sesame"],
    ["muller@example.org", "open"],
    ["\u00e9va@example.org", "sesame"],
  ] as const)
    assert.deepEqual(await accounts.checkPassword(name, password), { kind: "right", account: name });
});

test("a server that compares itself is asked for the plain writing, and what it cannot say is no yes", async () => {
  const asked: string[] = [];
  let isAway = false;
  const directory: Authenticator = {
    checkPassword(user) {
      asked.push(user);
      if (isAway && asked.length > 1) return Promise.resolve({ kind: "failed", text: "away" });
      return Promise.resolve(
        accountKey(user) === "alice" ? { kind: "right", account: user.toLowerCase() } : { kind: "wrong" },
      );
    },
  };
  const accounts = namedPlainly(directory);
  assert.deepEqual(await accounts.checkPassword("Alice", "x"), { kind: "right", account: "alice" });
  assert.deepEqual(asked, ["Alice"]);
  assert.deepEqual(await accounts.checkPassword("alice ", "x"), { kind: "right", account: "alice" });
  asked.length = 0;
  isAway = true;
  assert.equal((await accounts.checkPassword("alice ", "x")).kind, "failed");
});

test("an account's own limits hold for each of its writings", async () => {
  const table = inlineTable("limits", { kind: "map", entries: { "alice@example.org": "messages=1/h" } });
  const quota = sendingQuota({ table: "limits" }, new SendingLimits(systemClock), table);
  assert.equal((await quota.spend("alice@example.org", "messages")).ok, true);
  for (const name of WRITINGS) assert.equal((await quota.spend(name, "messages")).ok, false, name);
  assert.equal((await quota.spend("bob@example.org", "messages")).ok, true);
});
