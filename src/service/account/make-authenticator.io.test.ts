import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { seededRandom } from "../../foundation/random.ts";
import type { Table } from "../table/table.ts";
import { inlineTable } from "../table/tables.ts";
import { accountKey } from "./account-key.ts";
import type { Authenticator } from "./authenticator.ts";
import { makeAuthenticator, type AccountWorld } from "./make-authenticator.io.ts";
import { accountsSettings } from "./settings.ts";
import { trustIn } from "../../testing/trust.ts";

async function withBackend(
  settings: unknown,
  backend: Partial<Pick<AccountWorld, "table" | "system">>,
  work: (authenticator: Authenticator) => Promise<void>,
): Promise<void> {
  const { authenticator, close } = await makeAuthenticator(accountsSettings.parse(settings), {
    clock: systemClock,
    random: seededRandom(1),
    trust: trustIn(),
    table: () => undefined,
    source: () => undefined,
    system: { checkSystemPassword: () => Promise.resolve({ kind: "wrong" }) },
    secrets: { accounts: {}, tables: {} },
    loginSecret: new Uint8Array(32),
    ...backend,
  });
  await work(authenticator).finally(close);
}

test("where a database takes a name without its accents for the same, the account is called as it was written", async () => {
  const asked: string[] = [];
  const people = inlineTable("people", { kind: "map", entries: { "asa@example.org": "{PLAIN}sesame" } });
  const lenient: Table = {
    ...people,
    lookup(key, ask) {
      asked.push(key);
      return people.lookup(accountKey(key), ask);
    },
  };
  await withBackend("table:people", { table: () => lenient }, async (accounts) => {
    for (const [written, account] of [
      ["\u00c5sa@example.org", "\u00e5sa@example.org"],
      ["asa@example.org", "asa@example.org"],
    ] as const) {
      asked.length = 0;
      assert.deepEqual(await accounts.checkPassword(written, "sesame"), { kind: "right", account });
      const keys = await accounts.scramKeys?.(written, "SHA-256");
      assert.equal(keys?.kind === "found" && keys.account, account);
      const plain = await accounts.plainPassword?.(written);
      assert.equal(plain?.kind === "found" && plain.account, account);
      assert.deepEqual(asked, [written, written, written]);
    }
  });
});

test("the account is the name that a backend gives back, and no backend hears a password with another name", async () => {
  const asked: string[] = [];
  const system: AccountWorld["system"] = {
    checkSystemPassword({ user, password }) {
      asked.push(`${user} ${password}`);
      if (accountKey(user) === "asa") return Promise.resolve({ kind: "right", account: "\u00e5sa@example.org" });
      const isRight = (user === "m\u00fcller" && password === "his") || (user === "muller" && password === "hers");
      return Promise.resolve(isRight ? { kind: "right", account: user } : { kind: "wrong" });
    },
  };
  await withBackend({ backends: [{ system: "pam" }], remember: "0s" }, { system }, async (accounts) => {
    for (const name of ["asa", "\u00e5sa"])
      assert.deepEqual(await accounts.checkPassword(name, "x"), { kind: "right", account: "\u00e5sa@example.org" });
    assert.deepEqual(asked.splice(0), ["asa x", "\u00e5sa x"]);
    assert.deepEqual(await accounts.checkPassword("M\u00fcller", "his"), { kind: "right", account: "m\u00fcller" });
    assert.deepEqual(await accounts.checkPassword("muller", "hers"), { kind: "right", account: "muller" });
    assert.deepEqual(asked, ["m\u00fcller his", "muller hers"]);
  });
});
